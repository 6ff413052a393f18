//! The map of all fields of an event: one entry for each name, as [`downspout_core::print`] prints it.
//!
//! The map has no order: fields of one value come first, those that print as an array behind them. The names follow
//! from the event's layout, so they are written down once for each layout and not for each event.

use super::NOTHING;
use super::dictionary::{Dictionary, Hint};
use crate::parquet::record::Reader;

/// The map of each row: names, and a value for each.
#[derive(Debug, Default)]
pub(in crate::parquet) struct MapColumn {
    /// Each row's list of names.
    lists: Vec<u32>,
    /// The lists of names, one behind the other, and where each ends.
    keys: Vec<u32>,
    list_ends: Vec<u32>,
    /// For each layout, its list of names, counted from 1; 0 if it has none yet.
    list_of: Vec<u32>,
    /// The epoch of these layouts.
    epoch: u32,
    /// Where each row ends in `values`.
    ends: Vec<u32>,
    /// The values' numbers among all texts.
    values: Vec<u32>,
    pub(in crate::parquet) names: Dictionary,
    /// By the fields' numbers.
    known: Vec<Known>,
    /// Room for printing values.
    json: Vec<u8>,
}

/// What is known of a field.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Its name's number plus one.
    name: u32,
    /// Where its last value stands among all texts.
    hint: Hint,
}

impl MapColumn {
    /// One with as much room as another has used.
    pub(super) fn like(other: &MapColumn) -> MapColumn {
        MapColumn {
            lists: Vec::with_capacity(other.lists.len()),
            ends: Vec::with_capacity(other.ends.len()),
            values: Vec::with_capacity(other.values.len()),
            ..MapColumn::default()
        }
    }

    /// To be called before each batch. `fields`: how many there are in the field table. `epoch`: of the layouts' numbers.
    pub(super) fn begin(&mut self, fields: usize, epoch: u32) {
        self.known.resize(fields.max(self.known.len()), Known::default());
        if epoch != self.epoch {
            self.epoch = epoch;
            self.list_of.clear();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let numbers = [&self.lists, &self.keys, &self.list_ends, &self.list_of, &self.ends, &self.values];
        numbers.iter().map(|numbers| size_of_val(numbers.as_slice())).sum::<usize>()
            + self.names.bytes()
            + size_of_val(self.known.as_slice())
    }

    /// Adds the map of the event that the reader has turned to. Opened originals, and additions that have columns of
    /// their own, are left out. Notes in `numbers`, by place, which texts the fields of one value have.
    pub(super) fn push(&mut self, reader: &Reader<'_>, texts: &mut Dictionary, numbers: &mut Vec<u32>) {
        numbers.clear();
        numbers.resize(reader.places(), NOTHING);
        let layout = reader.layout();
        for place in &layout.singles {
            let number = self.value(reader.id_at(*place).index(), reader.text_at(*place), texts);
            numbers[*place as usize] = number;
        }
        if !layout.groups.is_empty() {
            let mut json = std::mem::take(&mut self.json);
            for group in &layout.groups {
                reader.print(group, &mut json);
                self.value(group.first().and_then(|place| reader.id_at(*place).index()), &json, texts);
            }
            self.json = json;
        }
        self.ends.push(self.values.len() as u32);
        let list = self.list(reader);
        self.lists.push(list);
    }

    #[inline]
    fn value(&mut self, field: Option<usize>, text: &[u8], texts: &mut Dictionary) -> u32 {
        let number = match field.and_then(|field| self.known.get_mut(field)) {
            Some(known) => texts.number_of(text, &mut known.hint),
            None => texts.number_of(text, &mut Hint::default()),
        };
        self.values.push(number);
        number
    }

    /// The list of the names of the reader's event.
    #[inline]
    fn list(&mut self, reader: &Reader<'_>) -> u32 {
        let Some(layout) = reader.layout_number() else { return self.new_list(reader) };
        let layout = layout as usize;
        match self.list_of.get(layout) {
            Some(list) if *list > 0 => list - 1,
            _ => {
                let list = self.new_list(reader);
                self.list_of.resize(self.list_of.len().max(layout + 1), 0);
                self.list_of[layout] = list + 1;
                list
            }
        }
    }

    #[cold]
    fn new_list(&mut self, reader: &Reader<'_>) -> u32 {
        let layout = reader.layout();
        let names = reader.event().batch().names();
        for place in layout.singles.iter().chain(layout.groups.iter().flat_map(|group| group.first())) {
            let field = reader.id_at(*place);
            let key = match field.index().and_then(|index| self.known.get_mut(index)) {
                Some(known) if known.name > 0 => known.name - 1,
                Some(known) => {
                    let name = self.names.add(names.printed(field).as_bytes());
                    known.name = name + 1;
                    name
                }
                None => self.names.number_of(names.printed(field).as_bytes(), &mut Hint::default()),
            };
            self.keys.push(key);
        }
        self.list_ends.push(self.keys.len() as u32);
        self.list_ends.len() as u32 - 1
    }

    /// The numbers of a row's names.
    #[inline]
    pub(in crate::parquet) fn keys(&self, row: usize) -> &[u32] {
        list(&self.keys, &self.list_ends, self.lists[row] as usize)
    }

    /// The numbers of a row's values.
    #[inline]
    pub(in crate::parquet) fn values(&self, row: usize) -> &[u32] {
        list(&self.values, &self.ends, row)
    }
}

#[inline]
fn list<'n>(numbers: &'n [u32], ends: &[u32], index: usize) -> &'n [u32] {
    let start = if index == 0 { 0 } else { ends[index - 1] };
    &numbers[start as usize..ends[index] as usize]
}
