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
    /// For each of `keys`, where its last value stands among all texts: what comes in the same place of a like event
    /// is likely to be the same.
    hints: Vec<Hint>,
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
    /// By the fields' numbers, the number of each field's name plus one.
    known: Vec<u32>,
    /// Room for printing values.
    json: Vec<u8>,
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

    /// Forgets all rows, lists and names, and keeps the memory.
    pub(super) fn clear(&mut self) {
        for numbers in [
            &mut self.lists,
            &mut self.keys,
            &mut self.list_ends,
            &mut self.list_of,
            &mut self.ends,
            &mut self.values,
            &mut self.known,
        ] {
            numbers.clear();
        }
        self.hints.clear();
        self.names.clear();
    }

    /// To be called before each batch. `fields`: how many there are in the field table. `epoch`: of the layouts' numbers.
    pub(super) fn begin(&mut self, fields: usize, epoch: u32) {
        self.known.resize(fields.max(self.known.len()), 0);
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
            + size_of_val(self.hints.as_slice())
    }

    /// Adds the map of the event that the reader has turned to. Opened originals, and additions that have columns of
    /// their own, are left out. Notes in `numbers`, by place, which texts the fields of one value have.
    pub(super) fn push(&mut self, reader: &Reader<'_>, texts: &mut Dictionary, numbers: &mut Vec<u32>) {
        numbers.clear();
        numbers.resize(reader.places(), NOTHING);
        let list = self.list_for(reader);
        let layout = reader.layout();
        let hints = &mut self.hints[start(&self.list_ends, list as usize)..];
        let (of_singles, of_groups) = hints.split_at_mut(layout.singles.len());
        for (place, hint) in layout.singles.iter().zip(of_singles) {
            let number = texts.number_of(reader.text_at(*place), hint);
            self.values.push(number);
            numbers[*place as usize] = number;
        }
        for (group, hint) in layout.groups.iter().zip(of_groups) {
            reader.print(group, &mut self.json);
            self.values.push(texts.number_of(&self.json, hint));
        }
        self.ends.push(self.values.len() as u32);
        self.lists.push(list);
    }

    /// The list of the names of the reader's event.
    #[inline]
    fn list_for(&mut self, reader: &Reader<'_>) -> u32 {
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
                Some(known) if *known > 0 => *known - 1,
                Some(known) => {
                    let name = self.names.add(names.printed(field).as_bytes());
                    *known = name + 1;
                    name
                }
                None => self.names.number_of(names.printed(field).as_bytes(), &mut Hint::default()),
            };
            self.keys.push(key);
        }
        self.hints.resize(self.keys.len(), Hint::default());
        self.list_ends.push(self.keys.len() as u32);
        self.list_ends.len() as u32 - 1
    }

    /// A row's list of names.
    #[inline]
    pub(in crate::parquet) fn list(&self, row: usize) -> usize {
        self.lists[row] as usize
    }

    /// The numbers of the names of a list.
    #[inline]
    pub(in crate::parquet) fn keys(&self, list: usize) -> &[u32] {
        slice(&self.keys, &self.list_ends, list)
    }

    /// The numbers of a row's values.
    #[inline]
    pub(in crate::parquet) fn values(&self, row: usize) -> &[u32] {
        slice(&self.values, &self.ends, row)
    }
}

#[inline]
fn slice<'n>(numbers: &'n [u32], ends: &[u32], index: usize) -> &'n [u32] {
    &numbers[start(ends, index)..ends[index] as usize]
}

/// Where the stretch of an index starts, if each ends where the next starts.
#[inline]
fn start(ends: &[u32], index: usize) -> usize {
    if index == 0 { 0 } else { ends[index - 1] as usize }
}
