//! The map of all fields of an event: one entry for each name, as [`downspout_core::print`] prints it.

use std::collections::HashMap;

use downspout_core::value::Value;
use downspout_core::{EventRef, Field, FieldId};

use super::schema::{Addition, Schema};

const NONE: u32 = u32::MAX;

/// A name of the map and its values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) field: FieldId,
    first: Value<'a>,
    array: bool,
    /// Where further values are, in `more`.
    next: u32,
    last: u32,
}

/// What transforms added to an event and has no column of its own.
pub(super) fn additions<'a>(event: EventRef<'a>, schema: &Schema) -> impl Iterator<Item = Field<'a>> {
    event.added().filter(|field| schema.addition_of(field.id) == Addition::Other)
}

/// Groups the values of an event by field. Its tables are kept from event to event.
#[derive(Debug, Default)]
pub(super) struct Grouping<'a> {
    entries: Vec<Entry<'a>>,
    more: Vec<(Value<'a>, u32)>,
    /// For each field: the round in which it was last seen, and its entry then.
    seen: Vec<(u32, u32)>,
    /// The entries of names that found no room in the field table.
    locals: HashMap<FieldId, usize>,
    round: u32,
    text: Vec<u8>,
}

impl<'a> Grouping<'a> {
    /// How many entries the map of an event has, if each of its fields has a number and one value outside arrays:
    /// such an event, and most are, needs no grouping.
    pub(super) fn plain(&mut self, event: EventRef<'a>, schema: &Schema) -> Option<usize> {
        self.round += 1;
        let mut count = 0;
        for entry in event.own_entries() {
            if !entry.slot.is_opened() {
                if entry.slot.repeats() || !self.is_new(entry.field) {
                    return None;
                }
                count += 1;
            }
        }
        for field in additions(event, schema) {
            if !self.is_new(field.id) {
                return None;
            }
            count += 1;
        }
        Some(count)
    }

    /// Whether a field with a number is seen for the first time in this round.
    #[inline]
    fn is_new(&mut self, field: FieldId) -> bool {
        let Some(index) = field.index() else { return false };
        if index >= self.seen.len() {
            self.seen.resize(index + 256, (0, 0));
        }
        std::mem::replace(&mut self.seen[index].0, self.round) != self.round
    }

    /// Groups the fields of an event, in the order of their first values. Opened originals, and additions that have
    /// columns of their own, are left out.
    pub(super) fn group(&mut self, event: EventRef<'a>, schema: &Schema) {
        self.entries.clear();
        self.more.clear();
        self.locals.clear();
        self.round += 1;
        for field in event.own_fields().filter(|field| !field.opened) {
            self.put(field.id, field.value, event.repeats(field.trail));
        }
        for field in additions(event, schema) {
            self.put(field.id, field.value, false);
        }
    }

    #[inline]
    fn put(&mut self, field: FieldId, value: Value<'a>, repeats: bool) {
        if let Some(known) = self.find(field) {
            return self.append(known, value);
        }
        self.entries.push(Entry { field, first: value, array: repeats, next: NONE, last: NONE });
    }

    /// The entry of a field; notes the next one as its if it has none.
    #[inline]
    fn find(&mut self, field: FieldId) -> Option<usize> {
        let Some(index) = field.index() else {
            let next = self.entries.len();
            let entry = *self.locals.entry(field).or_insert(next);
            return (entry < next).then_some(entry);
        };
        if index >= self.seen.len() {
            self.seen.resize(index + 256, (0, 0));
        }
        let seen = &mut self.seen[index];
        if seen.0 == self.round {
            return Some(seen.1 as usize);
        }
        *seen = (self.round, self.entries.len() as u32);
        None
    }

    fn append(&mut self, entry: usize, value: Value<'a>) {
        let at = self.more.len() as u32;
        self.more.push((value, NONE));
        let entry = &mut self.entries[entry];
        entry.array = true;
        match self.more.get_mut(entry.last as usize) {
            Some(last) => last.1 = at,
            None => entry.next = at,
        }
        entry.last = at;
    }

    /// How many names the event has.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Hands each entry to `take`: the field, and the bare text of a single value, else a JSON array.
    pub(super) fn each(&mut self, mut take: impl FnMut(FieldId, &[u8])) {
        for entry in &self.entries {
            if !entry.array {
                take(entry.field, entry.first.text().as_bytes());
                continue;
            }
            self.text.clear();
            self.text.push(b'[');
            entry.first.write_json(&mut self.text);
            let mut next = entry.next;
            while let Some((value, after)) = self.more.get(next as usize) {
                self.text.push(b',');
                value.write_json(&mut self.text);
                next = *after;
            }
            self.text.push(b']');
            take(entry.field, &self.text);
        }
    }
}
