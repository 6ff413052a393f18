//! The map of all fields of an event: one entry for each name, as [`downspout_core::print`] prints it.
//!
//! Most fields of most events have one value and stand outside arrays: their text goes straight to the columns. Only
//! the others are brought together first. So they follow behind in the map, which has no order.

use std::collections::HashMap;

use downspout_core::value::Value;
use downspout_core::{EventRef, Field, FieldId};

use super::schema::{Addition, Schema};

/// What a field is in an event.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The event that this is about.
    round: u32,
    /// `SINGLE`, `SEVERAL`, or the number of its group.
    group: u32,
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

/// Brings together what belongs together. Its tables are kept from event to event.
#[derive(Debug, Default)]
pub(super) struct Grouping<'a> {
    groups: Vec<Group<'a>>,
    more: Vec<(Value<'a>, u32)>,
    /// By the fields' numbers.
    seen: Vec<Seen>,
    /// The same for names that found no room in the field table. Another batch's events may use the same numbers for
    /// others; `round` keeps them apart.
    locals: HashMap<FieldId, Seen>,
    round: u32,
    text: Vec<u8>,
}

impl<'a> Grouping<'a> {
    /// Hands each entry of an event's map to `take`: the field, and the bare text of a single value, else a JSON
    /// array. Opened originals, and additions that have columns of their own, are left out. Gives how many there are.
    pub(super) fn each(&mut self, event: EventRef<'a>, schema: &Schema, mut take: impl FnMut(FieldId, &[u8])) -> usize {
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
        if !all_single {
            return self.each_of_mixed(event, schema, take);
        }
        let mut count = 0;
        for entry in event.own_entries() {
            if !entry.slot.is_opened() {
                take(entry.field, event.text(entry));
                count += 1;
            }
        }
        for field in additions(event, schema) {
            take(field.id, field.value.text().as_bytes());
            count += 1;
        }
        count
    }

    fn each_of_mixed(&mut self, event: EventRef<'a>, schema: &Schema, mut take: impl FnMut(FieldId, &[u8])) -> usize {
        self.groups.clear();
        self.more.clear();
        let mut singles = 0;
        for entry in event.own_entries().iter().filter(|entry| !entry.slot.is_opened()) {
            if self.seen(entry.field).group == SINGLE {
                take(entry.field, event.text(entry));
                singles += 1;
            } else {
                self.put(entry.field, event.read(entry).value);
            }
        }
        for field in additions(event, schema) {
            if self.seen(field.id).group == SINGLE {
                take(field.id, field.value.text().as_bytes());
                singles += 1;
            } else {
                self.put(field.id, field.value);
            }
        }
        for group in &self.groups {
            self.text.clear();
            self.text.push(b'[');
            group.first.write_json(&mut self.text);
            let mut next = group.next;
            while let Some((value, after)) = self.more.get(next as usize) {
                self.text.push(b',');
                value.write_json(&mut self.text);
                next = *after;
            }
            self.text.push(b']');
            take(group.field, &self.text);
        }
        singles + self.groups.len()
    }

    #[inline]
    fn seen(&mut self, field: FieldId) -> &mut Seen {
        match field.index() {
            Some(index) => {
                if index >= self.seen.len() {
                    self.seen.resize(index + 256, Seen::default());
                }
                &mut self.seen[index]
            }
            None => self.locals.entry(field).or_default(),
        }
    }

    /// Looks at a value to come. Gives whether it is the only one of its field so far, and outside arrays.
    #[inline]
    fn look(&mut self, field: FieldId, repeats: bool) -> bool {
        let round = self.round;
        let seen = self.seen(field);
        let single = !repeats && seen.round != round;
        *seen = Seen { round, group: if single { SINGLE } else { SEVERAL } };
        single
    }

    /// Adds a value to its field's group.
    fn put(&mut self, field: FieldId, value: Value<'a>) {
        let next = self.groups.len() as u32;
        let seen = self.seen(field);
        if seen.group == SEVERAL {
            seen.group = next;
            return self.groups.push(Group { field, first: value, next: NONE, last: NONE });
        }
        let group = seen.group as usize;
        let at = self.more.len() as u32;
        self.more.push((value, NONE));
        let group = &mut self.groups[group];
        match self.more.get_mut(group.last as usize) {
            Some(last) => last.1 = at,
            None => group.next = at,
        }
        group.last = at;
    }
}

/// What transforms added to an event and has no column of its own.
fn additions<'a>(event: EventRef<'a>, schema: &Schema) -> impl Iterator<Item = Field<'a>> {
    event.added().filter(|field| schema.addition_of(field.id) == Addition::Other)
}
