//! The map of all fields of an event: one entry for each name, as [`downspout_core::print`] prints it.
//!
//! Most fields of most events have one value and stand outside arrays: their text goes straight to the columns. Only
//! the others are brought together first. So they follow behind in the map, which has no order.

use std::collections::HashMap;

use downspout_core::value::Value;
use downspout_core::{EventRef, Field, FieldId};

use super::dictionary::{Dictionary, Hint};
use crate::parquet::schema::{Addition, Schema};

/// What is known of a field. One look-up for all of it, because this is asked for every value of every event.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The event in which it was last seen.
    round: u32,
    /// What it is there: `SINGLE`, `SEVERAL`, or the number of its group.
    group: u32,
    /// Its name's number in the keys' dictionary plus one.
    key: u32,
    /// Where its last value stands in the values' dictionary.
    hint: Hint,
}

/// One value, outside arrays.
const SINGLE: u32 = u32::MAX;

/// Several values, or some in an array; not grouped yet.
const SEVERAL: u32 = u32::MAX - 1;

/// The values of a field that prints as an array.
#[derive(Debug, Clone, Copy)]
struct Group<'a> {
    field: FieldId,
    first: Value<'a>,
    /// Where further values are, in `more`.
    next: u32,
    last: u32,
}

const NONE: u32 = u32::MAX;

/// The map of each row: keys, and a value for each.
#[derive(Debug, Default)]
pub(in crate::parquet) struct MapColumn {
    /// Where each row ends in `keys` and `values`.
    pub(in crate::parquet) ends: Vec<u32>,
    pub(in crate::parquet) keys: Vec<u32>,
    pub(in crate::parquet) values: Vec<u32>,
    pub(in crate::parquet) names: Dictionary,
    pub(in crate::parquet) texts: Dictionary,
    /// By the fields' numbers.
    known: Vec<Known>,
    /// The same for names that found no room in the field table. Another batch's events may use the same numbers for
    /// others; `round` keeps them apart, and nothing else is remembered of them.
    locals: HashMap<FieldId, Known>,
    round: u32,
}

/// Room for bringing values of one field together, used for one event after the other.
#[derive(Debug, Default)]
pub(super) struct Scratch<'a> {
    groups: Vec<Group<'a>>,
    more: Vec<(Value<'a>, u32)>,
    text: Vec<u8>,
}

impl MapColumn {
    /// Makes room for what is known of the schema's fields.
    pub(super) fn begin(&mut self, schema: &Schema) {
        self.known.resize(schema.field_count(), Known::default());
    }

    pub(super) fn bytes(&self) -> usize {
        4 * (self.ends.len() + self.keys.len() + self.values.len())
            + self.names.bytes()
            + self.texts.bytes()
            + size_of_val(self.known.as_slice())
    }

    /// Adds the map of an event. Opened originals, and additions that have columns of their own, are left out.
    pub(super) fn push<'a>(&mut self, event: EventRef<'a>, schema: &Schema, scratch: &mut Scratch<'a>) {
        self.round += 1;
        let mut all_single = true;
        for entry in event.own_entries() {
            if !entry.slot.is_opened() {
                all_single &= self.look(entry.field, event.repeats(entry.trail));
            }
        }
        for field in additions(event, schema) {
            all_single &= self.look(field.id, false);
        }
        if all_single {
            for entry in event.own_entries() {
                if !entry.slot.is_opened() {
                    self.entry(entry.field, event.text(entry), event, schema);
                }
            }
            for field in additions(event, schema) {
                self.entry(field.id, field.value.text().as_bytes(), event, schema);
            }
        } else {
            self.push_mixed(event, schema, scratch);
        }
        self.ends.push(self.keys.len() as u32);
    }

    /// The same for an event of which some fields have several values.
    fn push_mixed<'a>(&mut self, event: EventRef<'a>, schema: &Schema, scratch: &mut Scratch<'a>) {
        scratch.groups.clear();
        scratch.more.clear();
        for entry in event.own_entries().iter().filter(|entry| !entry.slot.is_opened()) {
            if self.known(entry.field).group == SINGLE {
                self.entry(entry.field, event.text(entry), event, schema);
            } else {
                self.put(entry.field, event.read(entry).value, scratch);
            }
        }
        for field in additions(event, schema) {
            if self.known(field.id).group == SINGLE {
                self.entry(field.id, field.value.text().as_bytes(), event, schema);
            } else {
                self.put(field.id, field.value, scratch);
            }
        }
        let mut text = std::mem::take(&mut scratch.text);
        for group in &scratch.groups {
            print(group, &scratch.more, &mut text);
            self.entry(group.field, &text, event, schema);
        }
        scratch.text = text;
    }

    #[inline]
    fn known(&mut self, field: FieldId) -> &mut Known {
        match field.index().and_then(|index| self.known.get_mut(index)) {
            Some(known) => known,
            None => self.locals.entry(field).or_default(),
        }
    }

    /// Looks at a value to come. Gives whether it is the only one of its field so far, and outside arrays.
    #[inline]
    fn look(&mut self, field: FieldId, repeats: bool) -> bool {
        let round = self.round;
        let known = self.known(field);
        let single = !repeats && known.round != round;
        known.round = round;
        known.group = if single { SINGLE } else { SEVERAL };
        single
    }

    /// Adds a value to its field's group.
    fn put<'a>(&mut self, field: FieldId, value: Value<'a>, scratch: &mut Scratch<'a>) {
        let next = scratch.groups.len() as u32;
        let known = self.known(field);
        if known.group == SEVERAL {
            known.group = next;
            return scratch.groups.push(Group { field, first: value, next: NONE, last: NONE });
        }
        let group = known.group as usize;
        let at = scratch.more.len() as u32;
        scratch.more.push((value, NONE));
        let group = &mut scratch.groups[group];
        match scratch.more.get_mut(group.last as usize) {
            Some(last) => last.1 = at,
            None => group.next = at,
        }
        group.last = at;
    }

    #[inline]
    fn entry(&mut self, field: FieldId, text: &[u8], event: EventRef<'_>, schema: &Schema) {
        let index = field.index().unwrap_or(usize::MAX);
        match self.known.get_mut(index) {
            Some(known) => {
                if known.key == 0 {
                    known.key = self.names.add(schema.name(index).as_bytes()) + 1;
                }
                self.keys.push(known.key - 1);
                self.values.push(self.texts.number_of(text, &mut known.hint));
            }
            None => {
                let name = event.batch().names();
                self.keys.push(self.names.number_of(name.printed(field).as_bytes(), &mut Hint::default()));
                self.values.push(self.texts.number_of(text, &mut Hint::default()));
            }
        }
    }
}

/// Prints a field's values as an array of JSON.
fn print(group: &Group<'_>, more: &[(Value<'_>, u32)], text: &mut Vec<u8>) {
    text.clear();
    text.push(b'[');
    group.first.write_json(text);
    let mut next = group.next;
    while let Some((value, after)) = more.get(next as usize) {
        text.push(b',');
        value.write_json(text);
        next = *after;
    }
    text.push(b']');
}

/// What transforms added to an event and has no column of its own.
fn additions<'a>(event: EventRef<'a>, schema: &Schema) -> impl Iterator<Item = Field<'a>> {
    event.added().filter(|field| schema.addition_of(field.id) == Addition::Other)
}
