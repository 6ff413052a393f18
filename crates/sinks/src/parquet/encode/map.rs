//! The map of all fields of an event: one entry for each name, as [`downspout_core::print`] prints it.
//!
//! Most fields of most events have one value and stand outside arrays: their text goes straight to the columns. Only
//! the others are brought together first. So they follow behind in the map, which has no order.

use std::collections::HashMap;

use downspout_core::value::Value;
use downspout_core::{EventRef, Field, FieldId};
use parquet::errors::Result;

use super::chunk::{Chunk, Codec};
use super::dictionary::Hint;
use super::text::TextWriter;
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

/// Writes the two columns of the map.
pub(super) struct MapWriter<'a> {
    keys: TextWriter,
    values: TextWriter,
    schema: &'a Schema,
    /// By the fields' numbers.
    known: Vec<Known>,
    /// The same for names that found no room in the field table. Another batch's events may use the same numbers for
    /// others; `round` keeps them apart, and nothing else is remembered of them.
    locals: HashMap<FieldId, Known>,
    round: u32,
    groups: Vec<Group<'a>>,
    more: Vec<(Value<'a>, u32)>,
    text: Vec<u8>,
}

impl<'a> MapWriter<'a> {
    pub(super) fn new(keys: TextWriter, values: TextWriter, schema: &'a Schema) -> MapWriter<'a> {
        MapWriter {
            keys,
            values,
            schema,
            known: vec![Known::default(); schema.field_count()],
            locals: HashMap::new(),
            round: 0,
            groups: Vec::new(),
            more: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Adds the map of an event. Opened originals, and additions that have columns of their own, are left out.
    pub(super) fn push(&mut self, event: EventRef<'a>, codec: &mut Codec) -> Result<()> {
        self.round += 1;
        let mut all_single = true;
        let mut count = 0;
        for entry in event.own_entries() {
            if !entry.slot.is_opened() {
                all_single &= self.look(entry.field, event.repeats(entry.trail));
                count += 1;
            }
        }
        for field in additions(event, self.schema) {
            all_single &= self.look(field.id, false);
            count += 1;
        }
        if all_single {
            for entry in event.own_entries() {
                if !entry.slot.is_opened() {
                    self.entry(entry.field, event.text(entry), event);
                }
            }
            for field in additions(event, self.schema) {
                self.entry(field.id, field.value.text().as_bytes(), event);
            }
        } else {
            count = self.push_mixed(event);
        }
        self.keys.end_row(count, codec)?;
        self.values.end_row(count, codec)
    }

    /// The same for an event of which some fields have several values. Gives how many entries there are.
    fn push_mixed(&mut self, event: EventRef<'a>) -> usize {
        self.groups.clear();
        self.more.clear();
        let mut singles = 0;
        for entry in event.own_entries().iter().filter(|entry| !entry.slot.is_opened()) {
            if self.known(entry.field).group == SINGLE {
                self.entry(entry.field, event.text(entry), event);
                singles += 1;
            } else {
                self.put(entry.field, event.read(entry).value);
            }
        }
        for field in additions(event, self.schema) {
            if self.known(field.id).group == SINGLE {
                self.entry(field.id, field.value.text().as_bytes(), event);
                singles += 1;
            } else {
                self.put(field.id, field.value);
            }
        }
        let mut text = std::mem::take(&mut self.text);
        for index in 0..self.groups.len() {
            let group = self.groups[index];
            self.print(group, &mut text);
            self.entry(group.field, &text, event);
        }
        self.text = text;
        singles + self.groups.len()
    }

    fn print(&self, group: Group<'a>, text: &mut Vec<u8>) {
        text.clear();
        text.push(b'[');
        group.first.write_json(text);
        let mut next = group.next;
        while let Some((value, after)) = self.more.get(next as usize) {
            text.push(b',');
            value.write_json(text);
            next = *after;
        }
        text.push(b']');
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
    fn put(&mut self, field: FieldId, value: Value<'a>) {
        let next = self.groups.len() as u32;
        let known = self.known(field);
        if known.group == SEVERAL {
            known.group = next;
            return self.groups.push(Group { field, first: value, next: NONE, last: NONE });
        }
        let group = known.group as usize;
        let at = self.more.len() as u32;
        self.more.push((value, NONE));
        let group = &mut self.groups[group];
        match self.more.get_mut(group.last as usize) {
            Some(last) => last.1 = at,
            None => group.next = at,
        }
        group.last = at;
    }

    #[inline]
    fn entry(&mut self, field: FieldId, text: &[u8], event: EventRef<'_>) {
        let index = field.index().unwrap_or(usize::MAX);
        match self.known.get_mut(index) {
            Some(known) => {
                self.keys.push_again(&mut known.key, || self.schema.name(index).as_bytes());
                self.values.push(text, &mut known.hint);
            }
            None => {
                self.keys.push(event.batch().names().printed(field).as_bytes(), &mut Hint::default());
                self.values.push(text, &mut Hint::default());
            }
        }
    }

    /// Ends the columns of the keys and of the values.
    pub(super) fn finish(self, codec: &mut Codec) -> Result<(Chunk, Chunk)> {
        Ok((self.keys.finish(codec)?, self.values.finish(codec)?))
    }
}

/// What transforms added to an event and has no column of its own.
fn additions<'a>(event: EventRef<'a>, schema: &Schema) -> impl Iterator<Item = Field<'a>> {
    event.added().filter(|field| schema.addition_of(field.id) == Addition::Other)
}
