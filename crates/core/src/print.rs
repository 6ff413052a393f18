//! Events as text: the raw record with additions spliced in, and the flattened form.
//!
//! A field that occurs once outside arrays prints its value. A field with several values, or one that stood in an
//! array, prints a JSON array of its values in document order: readers then see the same shape whether a record had
//! one recipient or ten. An original whose content was opened beneath it is left out, for it says the same twice.
//! What a transform added hides what the record itself has of the same name: a record must not speak for a transform.

use crate::batch::{EventRef, Field};
use crate::field::FieldId;
use crate::json::write_string;
use crate::names::BatchNames;
use crate::value::write_in_a_line;

/// The values of one field in one event.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// The field.
    pub field: FieldId,
    /// Its first value.
    pub first: Field<'a>,
    /// Where the next value is, in [`Grouper`]; `NONE` at the last.
    next: u32,
    last: u32,
    /// Whether it prints as an array.
    pub array: bool,
}

const NONE: u32 = u32::MAX;

/// In place of a group's number: a transform added the field, and it has no group yet.
const ADDED: u32 = u32::MAX;

/// Brings the values of the same field together. Its tables are kept from event to event.
#[derive(Debug, Default)]
pub struct Grouper {
    /// For each field: the event it was last seen in, and its group there, or [`ADDED`].
    seen: Vec<(u64, u32)>,
    /// The same for the names that live in the batch only.
    seen_in_batch: Vec<(u64, u32)>,
    round: u64,
    /// How many fields the last event had: a good guess for the next.
    usual: usize,
}

/// The fields of one event, each with all its values.
#[derive(Debug)]
pub struct Grouped<'a> {
    groups: Vec<Group<'a>>,
    chain: Vec<(Field<'a>, u32)>,
}

impl Grouper {
    /// Groups the fields of an event, in the order of their first value. Opened originals are left out, and so is what
    /// [`EventRef::fields`] leaves out.
    pub fn group<'a>(&mut self, event: EventRef<'a>) -> Grouped<'a> {
        let mut grouped = Grouped { groups: Vec::with_capacity(self.usual), chain: Vec::new() };
        self.round += 1;
        for field in event.added() {
            *self.last_seen(field.id) = (self.round, ADDED);
        }
        for field in event.own_fields().filter(|field| !field.opened) {
            let round = self.round;
            let seen = self.last_seen(field.id);
            if *seen != (round, ADDED) {
                grouped.push(field, event.repeats(field.trail), seen, round);
            }
        }
        for field in event.added() {
            let round = self.round;
            let seen = self.last_seen(field.id);
            grouped.push(field, false, seen, round);
        }
        self.usual = grouped.groups.len();
        grouped
    }

    /// Where it is noted when a field was last seen.
    #[inline]
    fn last_seen(&mut self, field: FieldId) -> &mut (u64, u32) {
        let (seen, index) = match field.local_index() {
            None => (&mut self.seen, field.index().unwrap_or_default()),
            Some(index) => (&mut self.seen_in_batch, index),
        };
        if index >= seen.len() {
            seen.resize(index + 64, (0, 0));
        }
        &mut seen[index]
    }
}

impl<'a> Grouped<'a> {
    /// Puts a field into its group, or into a new one. `seen` says where its group is, if it is of this round.
    #[inline]
    fn push(&mut self, field: Field<'a>, repeats: bool, seen: &mut (u64, u32), round: u64) {
        if seen.0 != round || seen.1 == ADDED {
            *seen = (round, self.groups.len() as u32);
            self.groups.push(Group { field: field.id, first: field, next: NONE, last: NONE, array: repeats });
            return;
        }
        let at = self.chain.len() as u32;
        self.chain.push((field, NONE));
        let group = &mut self.groups[seen.1 as usize];
        group.array = true;
        match self.chain.get_mut(group.last as usize) {
            Some(last) => last.1 = at,
            None => group.next = at,
        }
        group.last = at;
    }

    /// The fields.
    pub fn groups(&self) -> &[Group<'a>] {
        &self.groups
    }

    /// All values of a group, in order.
    pub fn values(&self, group: &Group<'a>) -> impl Iterator<Item = Field<'a>> {
        let mut next = group.next;
        std::iter::once(group.first).chain(std::iter::from_fn(move || {
            let (field, after) = *self.chain.get(next as usize)?;
            next = after;
            Some(field)
        }))
    }

    /// Appends what the group prints as JSON: a value, or an array of values.
    pub fn write_json(&self, group: &Group<'a>, out: &mut Vec<u8>) {
        if !group.array {
            return group.first.value.write_json(out);
        }
        out.push(b'[');
        for (index, field) in self.values(group).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            field.value.write_json(out);
        }
        out.push(b']');
    }

    /// Appends what the group prints where only text fits: the bare text of a single value, else a JSON array.
    pub fn write_text(&self, group: &Group<'a>, out: &mut Vec<u8>) {
        if group.array {
            self.write_json(group, out);
        } else {
            out.extend_from_slice(group.first.value.text().as_bytes());
        }
    }
}

/// Writes events as lines of JSON. Its buffers are kept from event to event.
#[derive(Debug, Default)]
pub struct LineWriter {
    grouper: Grouper,
}

impl LineWriter {
    /// Appends the record as received, with what transforms added spliced in as further members, and a newline.
    ///
    /// Bare newlines inside the record (a pretty-printed one) become blanks, so that one event is one line.
    pub fn write_raw(&mut self, event: EventRef<'_>, names: &BatchNames<'_>, out: &mut Vec<u8>) {
        let raw = event.raw().trim_end();
        let (body, additions) = match raw.strip_suffix('}') {
            Some(body) if event.added().next().is_some() => (body.trim_end(), true),
            _ => (raw, false),
        };
        write_in_a_line(body, out);
        if additions {
            let mut first = body.ends_with('{');
            for field in event.added() {
                member(&names.printed(field.id), &mut first, out);
                field.value.write_json(out);
            }
            out.push(b'}');
        }
        out.push(b'\n');
    }

    /// Appends the event in its flattened form, additions included, and a newline.
    pub fn write_flat(&mut self, event: EventRef<'_>, names: &BatchNames<'_>, out: &mut Vec<u8>) {
        let grouped = self.grouper.group(event);
        out.push(b'{');
        let mut first = true;
        for group in grouped.groups() {
            member(&names.printed(group.field), &mut first, out);
            grouped.write_json(group, out);
        }
        out.extend_from_slice(b"}\n");
    }
}

fn member(name: &str, first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
    write_string(name, out);
    out.push(b':');
}
