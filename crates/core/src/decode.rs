//! From bytes to events: the one place where a record is parsed.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::batch::{Batch, NONE, Origin};
use crate::field::{FieldId, FieldTable};
use crate::interner::Interner;
use crate::json::{self, Home, Tag};
use crate::rewrite::slot_of;
use crate::shape::Shapes;
use crate::value::Entry;

/// Where a record stands in [`Records::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Byte offset in the text.
    pub start: usize,
    /// Byte length.
    pub len: usize,
    /// The record's place in its shard; grows from record to record.
    pub position: u64,
}

/// Records as a source found them: framed, not parsed.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// The bytes that hold the records.
    pub text: Bytes,
    /// Where each record stands in `text`, in order.
    pub spans: Vec<Span>,
}

/// A record that cannot become an event, or that a sink refuses for good. It goes to the dead-letter file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in its shard.
    pub position: u64,
    /// What is wrong with it.
    pub reason: String,
    /// Its bytes; the first ones of a record too large to keep.
    pub raw: Bytes,
}

impl Batch {
    /// Parses records. Gives the events of those that are JSON objects, each with one entry for each of its members,
    /// and the others with the reason.
    pub fn decode(records: Records, origin: Origin, fields: Arc<FieldTable>) -> (Batch, Vec<Rejected>) {
        Self::decode_with(records, origin, fields, None)
    }

    /// As [`Batch::decode`], but the events of records whose shape is known come out flat. The others are flattened by a
    /// [`Batch::rewrite`] that must follow, with the same shapes, so that they learn.
    pub fn decode_known(
        records: Records,
        origin: Origin,
        fields: Arc<FieldTable>,
        shapes: &mut Shapes,
    ) -> (Batch, Vec<Rejected>) {
        Self::decode_with(records, origin, fields, Some(shapes))
    }

    fn decode_with(
        records: Records,
        origin: Origin,
        fields: Arc<FieldTable>,
        mut shapes: Option<&mut Shapes>,
    ) -> (Batch, Vec<Rejected>) {
        let mut rejected = Vec::new();
        let Records { text, spans } = records;
        let (text, spans) = match ByteString::try_from(text.clone()) {
            Ok(text) => (text, spans),
            Err(_) => valid_only(&text, &spans, &mut rejected),
        };
        let shared = text.as_bytes().clone();
        let mut batch = Batch::empty(text, origin, fields);
        // About what Office 365 records need.
        batch.entries.reserve(batch.text.len() / 40);
        batch.arena.reserve(batch.text.len() / 16);
        batch.events.reserve(spans.len());
        if let Some(shapes) = &mut shapes {
            batch.trails = shapes.begin();
        }
        let fields = Arc::clone(&batch.fields);
        let mut interner = Interner::new(&fields);
        for span in spans {
            if shapes.as_mut().is_some_and(|shapes| batch.decode_by_shape(&span, shapes)) {
                continue;
            }
            if let Err(reason) = batch.decode_one(&span, &mut interner) {
                let raw = shared.slice(span.start..span.start + span.len);
                rejected.push(Rejected { position: span.position, reason, raw });
            }
        }
        interner.finish();
        (batch, rejected)
    }

    /// Reads a record whose shape is known. `false`: it is not.
    fn decode_by_shape(&mut self, span: &Span, shapes: &mut Shapes) -> bool {
        let (start, end) = (span.start, span.start + span.len);
        // Offsets have 32 bits. The parser refuses what is larger.
        if u32::try_from(end).is_err() || !shapes.tries() {
            return false;
        }
        let first = self.entries.len();
        let shape = shapes.read(&self.text, start, end, &mut self.arena, &mut self.entries);
        shapes.tried(shape.is_some());
        let Some(shape) = shape else { return false };
        self.push_event(span.start, span.len, span.position, NONE, shape);
        self.own_entries_from(first);
        true
    }

    fn decode_one(&mut self, span: &Span, interner: &mut Interner<'_>) -> Result<(), String> {
        // A member each 30 bytes, two nodes for each.
        if self.nodes.capacity() == 0 {
            self.nodes.reserve(self.text.len() / 12);
        }
        let node = json::parse(&self.text, span.start, span.start + span.len, Home::Raw, &mut self.nodes)
            .map_err(|error| format!("not JSON: {error}"))?;
        if self.nodes[node as usize].tag != Tag::Object {
            self.nodes.truncate(node as usize);
            return Err("a record must be a JSON object".to_owned());
        }
        self.push_event(span.start, span.len, span.position, node, NONE);
        self.name_members(node, interner);
        Ok(())
    }

    /// Gives the newest event one entry for each member of its record.
    fn name_members(&mut self, record: u32, interner: &mut Interner<'_>) {
        let Batch { text, arena, nodes, entries, locals, .. } = self;
        let text: &str = text;
        let first = entries.len();
        let end = nodes[record as usize].end;
        let mut key = record + 1;
        while key < end {
            let name = slot_of(nodes, key, text, arena);
            let home = match name.home {
                Home::Raw => text,
                Home::Arena => arena,
            };
            let field = interner.child(FieldId::ROOT, home, name.start, name.len, locals);
            let slot = slot_of(nodes, key + 1, text, arena);
            entries.push(Entry { field, trail: 0, slot });
            key = nodes[key as usize + 1].end;
        }
        self.own_entries_from(first);
    }

    /// The entries from `first` on are the newest event's.
    fn own_entries_from(&mut self, first: usize) {
        if let Some(event) = self.events.last_mut() {
            event.first = first as u32;
            event.count = (self.entries.len() - first) as u32;
        }
    }
}

/// The records of `text` that are UTF-8, copied together; the others are refused.
fn valid_only(text: &Bytes, spans: &[Span], rejected: &mut Vec<Rejected>) -> (ByteString, Vec<Span>) {
    let mut valid = String::with_capacity(text.len());
    let mut kept = Vec::with_capacity(spans.len());
    for span in spans {
        let raw = text.slice(span.start..span.start + span.len);
        match std::str::from_utf8(&raw) {
            Ok(record) => {
                kept.push(Span { start: valid.len(), ..*span });
                valid.push_str(record);
            }
            Err(error) => {
                let reason = format!("not UTF-8: invalid byte at offset {} of the record", error.valid_up_to());
                rejected.push(Rejected { position: span.position, reason, raw });
            }
        }
    }
    (valid.into(), kept)
}

#[cfg(test)]
mod tests;
