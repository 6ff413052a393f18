//! The distinct texts of a column chunk, numbered in the order of their first sight.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Where a text stands that is likely to come again; nowhere at first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hint {
    start: usize,
    len: u32,
    /// Its number plus one.
    number: u32,
}

impl Hint {
    /// The number of the text.
    #[inline]
    pub(super) fn number(self) -> Option<u32> {
        self.number.checked_sub(1)
    }
}

/// Distinct texts, kept as the dictionary page will hold them.
#[derive(Debug)]
pub(super) struct Dictionary {
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    page: Vec<u8>,
    /// Where each text ends in `page`.
    ends: Vec<usize>,
}

impl Dictionary {
    /// An empty dictionary with room for that many bytes of text.
    pub(super) fn with_capacity(bytes: usize) -> Dictionary {
        let texts = bytes / 32;
        Dictionary {
            table: HashTable::with_capacity(texts),
            hasher: DefaultHashBuilder::default(),
            page: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(texts),
        }
    }

    /// How many texts there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The dictionary page: each text behind its length.
    pub(super) fn page(&self) -> &[u8] {
        &self.page
    }

    /// The text of a number.
    #[inline]
    pub(super) fn text(&self, number: u32) -> &[u8] {
        text(&self.page, &self.ends, number)
    }

    /// The number of a text, given now if it has none. Looks where `hint` says first, and leaves there what it found.
    #[inline]
    pub(super) fn number(&mut self, wanted: &[u8], hint: &mut Hint) -> u32 {
        if let Some(number) = hint.number()
            && same(&self.page[hint.start..hint.start + hint.len as usize], wanted)
        {
            return number;
        }
        let number = self.find_or_add(wanted);
        // The text stands in the page, so its length fits.
        *hint = Hint { start: self.ends[number as usize] - wanted.len(), len: wanted.len() as u32, number: number + 1 };
        number
    }

    fn find_or_add(&mut self, wanted: &[u8]) -> u32 {
        let Dictionary { table, hasher, page, ends } = self;
        let hash = hasher.hash_one(wanted);
        if let Some(number) = table.find(hash, |number| text(page, ends, *number) == wanted) {
            return *number;
        }
        let number = ends.len() as u32;
        page.extend_from_slice(&(wanted.len() as u32).to_le_bytes());
        page.extend_from_slice(wanted);
        ends.push(page.len());
        table.insert_unique(hash, number, |number| hasher.hash_one(text(page, ends, *number)));
        number
    }
}

/// Whether two texts are equal. Most are short, and a call of the library's comparison costs more than comparing them.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        0 => true,
        1..4 => a[0] == b[0] && a[a.len() / 2] == b[a.len() / 2] && a[a.len() - 1] == b[a.len() - 1],
        4..8 => ends::<4>(a) == ends(b),
        8..17 => ends::<8>(a) == ends(b),
        17..33 => ends::<16>(a) == ends(b),
        _ => a == b,
    }
}

/// The first and the last `N` bytes, which overlap in a text shorter than both together.
#[inline]
fn ends<const N: usize>(text: &[u8]) -> Option<([u8; N], [u8; N])> {
    Some((*text.first_chunk()?, *text.last_chunk()?))
}

#[inline]
fn text<'p>(page: &'p [u8], ends: &[usize], number: u32) -> &'p [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &page[start + 4..ends[number]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_are_compared_whole(text in prop::collection::vec(any::<u8>(), 0..70), at in 0usize..70) {
            prop_assert!(same(&text, &text));
            if let Some(changed) = text.get(at) {
                let mut other = text.clone();
                other[at] = changed.wrapping_add(1);
                prop_assert!(!same(&text, &other));
                prop_assert!(!same(&text, &text[..at]));
            }
        }

        #[test]
        fn numbers_lead_back_to_their_texts(texts in prop::collection::vec("[ab]{0,3}", 0..60), hinted: bool) {
            let mut dictionary = Dictionary::with_capacity(0);
            let mut hint = Hint::default();
            let mut numbers = Vec::new();
            for text in &texts {
                let own = &mut Hint::default();
                numbers.push(dictionary.number(text.as_bytes(), if hinted { &mut hint } else { own }));
            }
            for (text, number) in texts.iter().zip(&numbers) {
                prop_assert_eq!(dictionary.text(*number), text.as_bytes());
            }
            let distinct: std::collections::HashSet<&String> = texts.iter().collect();
            prop_assert_eq!(dictionary.len(), distinct.len());
        }
    }
}
