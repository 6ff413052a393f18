//! The texts of a column, each kept once as far as that pays, and numbered.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Where a text stands that is likely to come again; nowhere at first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hint {
    start: usize,
    len: u32,
    /// The text's number plus one.
    number: u32,
    /// How many texts in a row were new.
    news: u32,
}

/// After so many new texts in a row, the next will be new as well: record ids, times.
const SURELY_NEW: u32 = 16;

/// Texts, each behind its length as Parquet's plain encoding wants it.
#[derive(Debug, Default)]
pub(in crate::parquet) struct Dictionary {
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    page: Vec<u8>,
    /// Where each text ends in `page`.
    ends: Vec<usize>,
}

impl Dictionary {
    /// One with as much room as another has used: growing step by step would copy most texts once more.
    pub(super) fn like(other: &Dictionary) -> Dictionary {
        Dictionary {
            table: HashTable::with_capacity(other.table.len()),
            hasher: DefaultHashBuilder::default(),
            page: Vec::with_capacity(other.page.len() + other.page.len() / 8),
            ends: Vec::with_capacity(other.ends.len() + other.ends.len() / 8),
        }
    }

    /// Forgets all texts, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.page.clear();
        self.ends.clear();
    }

    /// How many texts there are.
    pub(in crate::parquet) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How much memory the texts take, and what finds them.
    pub(super) fn bytes(&self) -> usize {
        self.page.len() + self.ends.len() * size_of::<usize>() + self.table.num_buckets() * (size_of::<u32>() + 1)
    }

    /// The text of a number.
    #[inline]
    pub(in crate::parquet) fn text(&self, number: u32) -> &[u8] {
        text(&self.page, &self.ends, number)
    }

    /// The text of a number, behind its length.
    #[inline]
    pub(in crate::parquet) fn plain(&self, number: u32) -> &[u8] {
        plain(&self.page, &self.ends, number)
    }

    /// The number of a text. `hint` remembers, for the caller, one that is likely to come again.
    #[inline]
    pub(super) fn number_of(&mut self, text: &[u8], hint: &mut Hint) -> u32 {
        match self.hinted(text, hint) {
            Some(number) => number,
            None => self.number(text, hint),
        }
    }

    /// The number of the text that `hint` leads to, if it is this one.
    #[inline]
    fn hinted(&self, wanted: &[u8], hint: &mut Hint) -> Option<u32> {
        if hint.news > SURELY_NEW || hint.len as usize != wanted.len() {
            return None;
        }
        if self.page.get(hint.start..hint.start + wanted.len()) != Some(wanted) {
            return None;
        }
        hint.news = 0;
        hint.number.checked_sub(1)
    }

    /// The number of a text, given now if it has none; left in `hint` too.
    ///
    /// A text may be given a second number: where only new texts came, looking for them is given up but for a sample.
    #[inline(never)]
    fn number(&mut self, wanted: &[u8], hint: &mut Hint) -> u32 {
        let before = self.len();
        let number = if hint.news > SURELY_NEW && !hint.news.is_multiple_of(SURELY_NEW) {
            self.add(wanted)
        } else {
            self.find_or_add(wanted)
        };
        *hint = Hint {
            start: self.ends[number as usize] - wanted.len(),
            // The text stands in a page, so its length fits.
            len: wanted.len() as u32,
            number: number + 1,
            news: if self.len() > before { hint.news.wrapping_add(1) } else { 0 },
        };
        number
    }

    fn find_or_add(&mut self, wanted: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(wanted);
        if let Some(number) = self.table.find(hash, |number| self.text(*number) == wanted) {
            return *number;
        }
        let new = self.add(wanted);
        let Dictionary { table, hasher, page, ends } = self;
        table.insert_unique(hash, new, |number| hasher.hash_one(text(page, ends, *number)));
        new
    }

    /// Gives a text a number of its own.
    pub(super) fn add(&mut self, text: &[u8]) -> u32 {
        self.page.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.page.extend_from_slice(text);
        self.ends.push(self.page.len());
        self.ends.len() as u32 - 1
    }
}

#[inline]
fn plain<'p>(page: &'p [u8], ends: &[usize], number: u32) -> &'p [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &page[start..ends[number]]
}

#[inline]
fn text<'p>(page: &'p [u8], ends: &[usize], number: u32) -> &'p [u8] {
    &plain(page, ends, number)[4..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_lead_back_to_their_texts(texts in prop::collection::vec("[ab]{0,3}", 0..60), hinted: bool) {
            let mut dictionary = Dictionary::default();
            let mut hint = Hint::default();
            let mut numbers = Vec::new();
            for text in &texts {
                let own = &mut Hint::default();
                let hint = if hinted { &mut hint } else { own };
                numbers.push(dictionary.number_of(text.as_bytes(), hint));
            }
            for (text, number) in texts.iter().zip(&numbers) {
                prop_assert_eq!(dictionary.text(*number), text.as_bytes());
            }
            let distinct: std::collections::HashSet<&String> = texts.iter().collect();
            prop_assert!(dictionary.len() >= distinct.len());
            prop_assert!(hinted || dictionary.len() == distinct.len());
        }
    }
}
