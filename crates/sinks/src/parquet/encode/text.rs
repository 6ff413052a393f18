//! Columns of texts: with a dictionary while that pays, plain otherwise.

use std::ops::Range;

use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::bits::{bytes_for, pack};
use super::chunk::{Bounds, Chunk, ChunkWriter, Codec, PAGE_BYTES, PAGE_ROWS};
use crate::parquet::collect::Dictionary;

/// Values of a page at which it is full, of columns with many values a row.
const PAGE_VALUES: usize = 1 << 19;

/// The longest bound that indexes and statistics hold; longer ones are cut.
const LONGEST_BOUND: usize = 64;

/// How likely a Bloom filter says "perhaps" for a text that is not there.
const FALSE_POSITIVES: f64 = 0.01;

/// How a text column is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Bytes that the dictionary may hold; 0 for none. A column with more distinct text goes on plain.
    pub(super) dictionary_bytes: usize,
    /// Whether there are statistics and a page index.
    pub(super) bounds: bool,
    /// Whether there is a Bloom filter.
    pub(super) bloom: bool,
}

/// Numbers anew the texts that a chunk uses of a dictionary, in the order of their first use. Its memory is as
/// large as the largest dictionary, and need not be wiped, because it counts on from chunk to chunk.
#[derive(Debug, Default)]
pub(super) struct Renumbering {
    /// The last number that each text of the dictionary was given; 0 for none.
    numbers: Vec<u32>,
    /// The first number of this chunk.
    first: u32,
    next: u32,
}

impl Renumbering {
    fn begin(&mut self, texts: usize) {
        if u32::MAX as usize - self.next as usize <= texts {
            *self = Renumbering::default();
        }
        self.next = self.next.max(1);
        self.first = self.next;
        if self.numbers.len() < texts {
            self.numbers.resize(texts, 0);
        }
    }

    /// The number of a text in this chunk, and whether that is its first use.
    #[inline]
    fn number(&mut self, text: u32) -> (u32, bool) {
        let number = &mut self.numbers[text as usize];
        let new = *number < self.first;
        if new {
            *number = self.next;
            self.next += 1;
        }
        (*number - self.first, new)
    }
}

/// Lists of texts by the chunk's own numbers.
#[derive(Debug, Default)]
struct Lists {
    numbers: Vec<u32>,
    /// Where each list stands in `numbers`; an empty one is not known yet.
    places: Vec<Range<usize>>,
}

impl Lists {
    #[inline]
    fn of(&self, list: usize) -> Option<&[u32]> {
        let place = self.places.get(list).filter(|place| !place.is_empty())?;
        self.numbers.get(place.clone())
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.places.clear();
    }

    fn add(&mut self, list: usize, numbers: &[u32]) {
        if self.places.len() <= list {
            self.places.resize(list + 1, 0..0);
        }
        self.places[list] = self.numbers.len()..self.numbers.len() + numbers.len();
        self.numbers.extend_from_slice(numbers);
    }
}

/// The working memory of a writer, kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Desk {
    renumbering: Renumbering,
    /// The texts that the chunk's own dictionary holds.
    used: Vec<u32>,
    /// The numbers of the page under way, in the chunk's dictionary.
    numbers: Vec<u32>,
    lists: Lists,
    packed: Vec<u8>,
    plain: Vec<u8>,
    /// For each text of the chunk's dictionary, the last page whose bounds know it.
    known_in: Vec<u32>,
}

impl Desk {
    /// `texts`: how many the dictionary has.
    fn begin(&mut self, texts: usize) {
        self.renumbering.begin(texts);
        self.used.clear();
        self.numbers.clear();
        self.lists.clear();
        self.plain.clear();
        self.known_in.clear();
    }
}

/// Writes a column of texts.
pub(super) struct TextWriter<'a> {
    chunk: ChunkWriter,
    style: Style,
    dictionary: &'a Dictionary,
    desk: &'a mut Desk,
    /// The bytes that the texts of the chunk's own dictionary take.
    used_bytes: usize,
    /// Whether the page under way points into the chunk's dictionary.
    in_dictionary: bool,
    bounds: Option<(Vec<u8>, Vec<u8>)>,
    before: Option<(Vec<u8>, Vec<u8>)>,
    all: Option<(Vec<u8>, Vec<u8>)>,
    /// Of plain texts, whose number is not known before: so it is made for all rows.
    bloom: Option<Sbbf>,
    rows: usize,
    page: u32,
}

impl<'a> TextWriter<'a> {
    /// `rows`: how many the column will have. Texts are told by their numbers in `dictionary`.
    pub(super) fn new(
        chunk: ChunkWriter,
        style: Style,
        rows: usize,
        dictionary: &'a Dictionary,
        desk: &'a mut Desk,
    ) -> Result<TextWriter<'a>> {
        let in_dictionary = style.dictionary_bytes > 0;
        let bloom = if style.bloom && !in_dictionary { Some(bloom_for(rows)?) } else { None };
        desk.begin(dictionary.len());
        Ok(TextWriter {
            chunk,
            style,
            dictionary,
            desk,
            used_bytes: 0,
            in_dictionary,
            bounds: None,
            before: None,
            all: None,
            bloom,
            rows,
            page: 1,
        })
    }

    /// Pushes texts.
    #[inline]
    pub(super) fn push(&mut self, numbers: &[u32]) {
        if !self.in_dictionary {
            return numbers.iter().for_each(|number| self.push_plain(*number));
        }
        let TextWriter { dictionary, desk, used_bytes, .. } = self;
        let Desk { renumbering, used, numbers: own, known_in, .. } = &mut **desk;
        let before = own.len();
        own.extend(numbers.iter().map(|text| {
            let (number, new) = renumbering.number(*text);
            if new {
                used.push(*text);
                *used_bytes += dictionary.plain(*text).len();
            }
            number
        }));
        if self.style.bounds {
            known_in.resize(used.len(), 0);
            for own in &own[before..] {
                let known_in = &mut known_in[*own as usize];
                if *known_in != self.page {
                    *known_in = self.page;
                    let text = self.dictionary.text(used[*own as usize]);
                    widen(&mut self.bounds, text, text);
                }
            }
        }
    }

    /// Pushes the texts of a list that many rows have, told by its number. Gives how many there are.
    ///
    /// Its texts are numbered anew once for the chunk, and only copied from then on. Not for a column with bounds.
    #[inline]
    pub(super) fn push_list(&mut self, list: usize, numbers: &[u32]) -> usize {
        if self.in_dictionary {
            let Desk { lists, numbers: own, .. } = &mut *self.desk;
            if let Some(known) = lists.of(list) {
                own.extend_from_slice(known);
            } else {
                let before = own.len();
                self.push(numbers);
                let Desk { lists, numbers: own, .. } = &mut *self.desk;
                lists.add(list, &own[before..]);
            }
        } else {
            self.push(numbers);
        }
        numbers.len()
    }

    fn push_plain(&mut self, number: u32) {
        self.desk.plain.extend_from_slice(self.dictionary.plain(number));
        let text = self.dictionary.text(number);
        if let Some(bloom) = &mut self.bloom {
            bloom.insert(text);
        }
        if self.style.bounds {
            widen(&mut self.bounds, text, text);
        }
    }

    /// Ends a row for which `values` texts were pushed; a full page with it.
    #[inline]
    pub(super) fn end_row(&mut self, values: usize, codec: &mut Codec) -> Result<()> {
        self.chunk.row(values);
        let full = if self.in_dictionary {
            self.desk.numbers.len() >= PAGE_VALUES || self.used_bytes > self.style.dictionary_bytes
        } else {
            self.desk.plain.len() >= PAGE_BYTES
        };
        if full || self.chunk.page_rows() >= PAGE_ROWS { self.end_page(codec) } else { Ok(()) }
    }

    fn end_page(&mut self, codec: &mut Codec) -> Result<()> {
        let bounds = self.bounds.take().map(|(least, greatest)| {
            let ascending = self.before.as_ref().is_none_or(|(l, g)| least >= *l && greatest >= *g);
            widen(&mut self.all, &least, &greatest);
            let of_page = Bounds {
                least: cut_down(&least).to_vec(),
                greatest: cut_up(&greatest).unwrap_or(greatest.clone()),
                ascending,
            };
            self.before = Some((least, greatest));
            of_page
        });
        if self.in_dictionary {
            // Whole bytes, so that zstd sees where rows resemble each other: smaller and faster than fewer bits.
            let bytes = bytes_for(self.desk.used.len());
            self.desk.packed.clear();
            self.desk.packed.push(8 * bytes as u8);
            pack(&self.desk.numbers, bytes, &mut self.desk.packed);
            self.chunk.end_page(Encoding::RLE_DICTIONARY, &self.desk.packed, bounds, codec)?;
            self.in_dictionary = self.used_bytes <= self.style.dictionary_bytes;
            if !self.in_dictionary && self.style.bloom {
                self.bloom = Some(bloom_for(self.rows)?);
            }
        } else {
            self.chunk.end_page(Encoding::PLAIN, &self.desk.plain, bounds, codec)?;
        }
        self.desk.numbers.clear();
        self.desk.plain.clear();
        self.page += 1;
        Ok(())
    }

    /// Ends the column.
    pub(super) fn finish(mut self, codec: &mut Codec) -> Result<Chunk> {
        if self.chunk.page_rows() > 0 {
            self.end_page(codec)?;
        }
        if self.style.bloom && self.bloom.is_none() {
            self.bloom = Some(bloom_for(self.desk.used.len())?);
        }
        if let Some(bloom) = &mut self.bloom {
            self.desk.used.iter().for_each(|number| bloom.insert(self.dictionary.text(*number)));
        }
        let statistics = self.style.bounds.then(|| statistics(self.all.take(), self.chunk.total_nulls()));
        if self.style.dictionary_bytes == 0 {
            return self.chunk.finish(None, statistics, self.bloom, codec);
        }
        let Desk { used, plain: page, .. } = self.desk;
        page.clear();
        page.reserve(self.used_bytes);
        used.iter().for_each(|number| page.extend_from_slice(self.dictionary.plain(*number)));
        self.chunk.finish(Some((page, used.len())), statistics, self.bloom, codec)
    }
}

/// A Bloom filter for that many texts.
fn bloom_for(texts: usize) -> Result<Sbbf> {
    Sbbf::new_with_ndv_fpp(texts as u64, FALSE_POSITIVES)
}

fn widen(bounds: &mut Option<(Vec<u8>, Vec<u8>)>, least: &[u8], greatest: &[u8]) {
    match bounds {
        None => *bounds = Some((least.to_vec(), greatest.to_vec())),
        Some(bounds) => {
            if least < bounds.0.as_slice() {
                bounds.0 = least.to_vec();
            }
            if greatest > bounds.1.as_slice() {
                bounds.1 = greatest.to_vec();
            }
        }
    }
}

fn statistics(bounds: Option<(Vec<u8>, Vec<u8>)>, nulls: u64) -> Statistics {
    let Some((least, greatest)) = bounds else {
        return Statistics::ByteArray(ValueStatistics::new(None, None, None, Some(nulls), false));
    };
    let short = cut_down(&least).to_vec();
    let long = cut_up(&greatest);
    let (least_is_exact, greatest_is_exact) = (short.len() == least.len(), long.is_none());
    let (least, greatest) = (ByteArray::from(short), ByteArray::from(long.unwrap_or(greatest)));
    let statistics = ValueStatistics::new(Some(least), Some(greatest), None, Some(nulls), false)
        .with_min_is_exact(least_is_exact)
        .with_max_is_exact(greatest_is_exact);
    Statistics::ByteArray(statistics)
}

/// A text at or below a text, and not too long.
fn cut_down(text: &[u8]) -> &[u8] {
    let mut end = text.len().min(LONGEST_BOUND);
    // Not through the middle of a character.
    while end < text.len() && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

/// A text above a text that is too long; `None` if it is not, or if there is none.
fn cut_up(text: &[u8]) -> Option<Vec<u8>> {
    let cut = cut_down(text);
    if cut.len() == text.len() {
        return None;
    }
    let mut chars: Vec<char> = std::str::from_utf8(cut).ok()?.chars().collect();
    while let Some(last) = chars.pop() {
        // The next character of at most the same length.
        let next = (last as u32 + 1..=last as u32 + 0x801).find_map(char::from_u32);
        if let Some(next) = next.filter(|next| next.len_utf8() == last.len_utf8()) {
            chars.push(next);
            return Some(chars.into_iter().collect::<String>().into_bytes());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cut_bounds_still_bound(text in "(a|b|\u{7f}|\u{7ff}|\u{d7ff}|\u{ffff}|\u{10ffff}|é){0,90}") {
            let bytes = text.as_bytes();
            prop_assert!(cut_down(bytes) <= bytes && cut_down(bytes).len() <= LONGEST_BOUND);
            prop_assert!(std::str::from_utf8(cut_down(bytes)).is_ok());
            if let Some(above) = cut_up(bytes) {
                prop_assert!(above.as_slice() > bytes && above.len() <= LONGEST_BOUND);
                prop_assert!(String::from_utf8(above).is_ok());
            }
        }
    }
}
