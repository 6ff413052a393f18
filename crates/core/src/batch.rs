//! Batches: what stages hand to each other.
//!
//! A batch is a few thousand records of one shard, in the order of the source. It owns four flat arrays that all its
//! events share (entries, additions, trails, nodes) and two texts: the records as received, immutable and shared, and
//! the arena for what had to be unescaped or was added. An event is a handful of offsets into them. So the cost of a
//! batch is a few allocations however many events it holds, and a value is read without copying.
//!
//! The life of an event: [`Batch::decode`] gives it one entry for each top-level member. `flatten` rewrites the
//! entries ([`Batch::rewrite`]) so that nested ones are opened. Other transforms add to it ([`Batch::add`]) or drop
//! it ([`Batch::retain`]). Sinks read it through [`EventRef`].

use std::sync::Arc;

use bytestring::ByteString;

use crate::field::{FieldId, FieldTable};
use crate::json::{Home, Node};
use crate::names::{BatchNames, LocalNames};
use crate::rewrite::Rewrite;
use crate::shape::Shapes;
use crate::value::{Entry, Kind, Slot, Trail, TrailId, Value};

/// Where a batch comes from: the unit that a checkpoint speaks about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The id of the source component in the config.
    pub source: Arc<str>,
    /// The source's shard: a file, or a tenant's feed. Positions grow inside a shard.
    pub shard: Arc<str>,
}

/// A list end in `Event::added_*`, and what an event does not have.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// The record, in `text`.
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// Its entries, in `entries`.
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// Its node, in `nodes`; meaningless once those are forgotten. `NONE` if it was never parsed into nodes, because its
    /// shape was known: then its entries are flat.
    pub(crate) node: u32,
    /// The number of its shape; `NONE` if that is not known.
    pub(crate) shape: u32,
    /// Its additions: a list through `added`, in order.
    added_first: u32,
    added_last: u32,
    /// Its place in the shard.
    pub(crate) position: u64,
}

#[derive(Debug, Clone, Copy)]
struct Added {
    entry: Entry,
    next: u32,
}

/// A few thousand events of one shard. See the module's documentation.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) text: ByteString,
    pub(crate) arena: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) events: Vec<Event>,
    pub(crate) entries: Vec<Entry>,
    added: Vec<Added>,
    pub(crate) trails: Vec<Trail>,
    pub(crate) locals: LocalNames,
    pub(crate) fields: Arc<FieldTable>,
    origin: Origin,
}

impl Batch {
    /// A batch without events over `text`; [`Batch::decode`] fills it.
    pub(crate) fn empty(text: ByteString, origin: Origin, fields: Arc<FieldTable>) -> Batch {
        Batch {
            text,
            arena: String::new(),
            nodes: Vec::new(),
            events: Vec::new(),
            entries: Vec::new(),
            added: Vec::new(),
            trails: vec![Trail::ROOT],
            locals: LocalNames::default(),
            fields,
            origin,
        }
    }

    /// Adds an event without entries.
    pub(crate) fn push_event(&mut self, start: usize, len: usize, position: u64, node: u32, shape: u32) {
        let first = self.entries.len() as u32;
        self.events.push(Event {
            start: start as u32,
            len: len as u32,
            first,
            count: 0,
            node,
            shape,
            added_first: NONE,
            added_last: NONE,
            position,
        });
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The pipeline's field table.
    pub fn fields(&self) -> &Arc<FieldTable> {
        &self.fields
    }

    /// The block of text that its records stand in, among others perhaps that were filtered out.
    pub fn text(&self) -> &ByteString {
        &self.text
    }

    /// How many bytes its records have, as received.
    pub fn raw_bytes(&self) -> usize {
        self.events.iter().map(|event| event.len as usize).sum()
    }

    /// The event of that index.
    ///
    /// # Panics
    /// If there is none: indexes come from `0..batch.len()`.
    pub fn event(&self, index: usize) -> EventRef<'_> {
        EventRef { batch: self, event: &self.events[index], index }
    }

    /// All events, in the order of the source.
    pub fn events(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        self.events.iter().enumerate().map(|(index, event)| EventRef { batch: self, event, index })
    }

    /// The names of this batch's fields, under one read lock.
    pub fn names(&self) -> BatchNames<'_> {
        BatchNames::new(self.fields.read(), &self.locals)
    }

    /// Adds a field to an event, behind those it has. `value` is copied into the arena.
    pub fn add(&mut self, event: usize, field: FieldId, value: Value<'_>) {
        let slot = self.store(value);
        self.append_added(event, Entry { field, trail: 0, slot });
    }

    fn store(&mut self, value: Value<'_>) -> Slot {
        let (kind, text) = match value {
            Value::Null => (Kind::Null, ""),
            Value::Bool(true) => (Kind::True, ""),
            Value::Bool(false) => (Kind::False, ""),
            Value::Number(text) => (Kind::Number, text),
            Value::String(text) => (Kind::String, text),
            Value::EmptyObject => (Kind::EmptyObject, ""),
            Value::EmptyArray => (Kind::EmptyArray, ""),
            Value::Json(text) => (Kind::Json, text),
        };
        let start = self.arena.len() as u32;
        self.arena.push_str(text);
        Slot { kind, home: Home::Arena, opened: false, start, len: text.len() as u32 }
    }

    /// Keeps the events for which `keep` answers true. When little is left, the rest is copied together, so that a
    /// few kept events do not hold the memory of a whole batch.
    pub fn retain(&mut self, mut keep: impl FnMut(EventRef<'_>) -> bool) {
        let kept: Vec<bool> = self.events().map(&mut keep).collect();
        let mut kept = kept.iter();
        self.events.retain(|_| kept.next().copied().unwrap_or(false));
        if self.raw_bytes() < self.text.len() / 2 {
            let all: Vec<usize> = (0..self.len()).collect();
            *self = self.select(&all);
        }
    }

    /// A batch of its own with the events of the given indexes, in that order.
    pub fn select(&self, indexes: &[usize]) -> Batch {
        let mut text = String::with_capacity(indexes.iter().map(|&i| self.events[i].len as usize).sum());
        let mut batch = Batch::empty(ByteString::new(), self.origin.clone(), Arc::clone(&self.fields));
        batch.trails = self.trails.clone();
        batch.locals = self.locals.clone();
        for &index in indexes {
            let event = self.events[index];
            let start = text.len();
            text.push_str(self.slice(Home::Raw, event.start, event.len));
            let node = if event.node == NONE { NONE } else { batch.nodes.len() as u32 };
            batch.push_event(start, event.len as usize, event.position, node, event.shape);
            let moved = |batch: &mut Batch, home: Home, at: u32, len: u32| match home {
                Home::Raw => at - event.start + start as u32,
                Home::Arena => {
                    let new = batch.arena.len() as u32;
                    batch.arena.push_str(self.slice(Home::Arena, at, len));
                    new
                }
            };
            let move_entry = |batch: &mut Batch, mut entry: Entry| {
                entry.slot.start = moved(batch, entry.slot.home, entry.slot.start, entry.slot.len);
                entry
            };
            let last = batch.events.len() - 1;
            batch.events[last].count = event.count;
            for entry in self.entries_of(&event) {
                let entry = move_entry(&mut batch, *entry);
                batch.entries.push(entry);
            }
            if let Some(nodes) = self.nodes.get(event.node as usize..) {
                let end = nodes.first().map_or(0, |root| (root.end - event.node) as usize);
                let shift = batch.nodes.len() as u32;
                for node in &nodes[..end] {
                    let mut node = *node;
                    node.start = moved(&mut batch, node.home, node.start, node.len);
                    node.end = node.end - event.node + shift;
                    batch.nodes.push(node);
                }
            }
            let mut at = event.added_first;
            while let Some(added) = self.added.get(at as usize) {
                let entry = move_entry(&mut batch, added.entry);
                batch.append_added(last, entry);
                at = added.next;
            }
        }
        batch.text = text.into();
        batch
    }

    fn append_added(&mut self, event: usize, entry: Entry) {
        let at = self.added.len() as u32;
        self.added.push(Added { entry, next: NONE });
        let event = &mut self.events[event];
        match self.added.get_mut(event.added_last as usize) {
            Some(last) => last.next = at,
            None => event.added_first = at,
        }
        event.added_last = at;
    }

    /// About how much memory it takes, the text that it shares with its source included.
    pub fn memory(&self) -> usize {
        self.text.len()
            + self.arena.capacity()
            + self.nodes.capacity() * size_of::<Node>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.added.capacity() * size_of::<Added>()
            + self.trails.capacity() * size_of::<Trail>()
            + self.events.capacity() * size_of::<Event>()
            + self.locals.memory()
    }

    /// Lets go of what only a rewrite needs: for a batch that waits for a sink.
    pub fn forget_parse_tree(&mut self) {
        self.nodes = Vec::new();
    }

    /// Starts a rewrite of the entries of every event that has a parse tree: what `flatten` is made of. `None` if none
    /// has: then they are flat already. `shapes` are those that the batch was decoded with, if it was; they learn.
    pub fn rewrite<'b>(&'b mut self, shapes: Option<&'b mut Shapes>) -> Option<Rewrite<'b>> {
        if self.nodes.is_empty() { None } else { Some(Rewrite::new(self, shapes)) }
    }

    pub(crate) fn entries_of(&self, event: &Event) -> &[Entry] {
        &self.entries[event.first as usize..(event.first + event.count) as usize]
    }

    #[inline]
    pub(crate) fn slice(&self, home: Home, start: u32, len: u32) -> &str {
        let text: &str = match home {
            Home::Raw => &self.text,
            Home::Arena => &self.arena,
        };
        &text[start as usize..(start + len) as usize]
    }

    #[inline]
    fn value(&self, slot: Slot) -> Value<'_> {
        match slot.kind {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Number => Value::Number(self.slice(slot.home, slot.start, slot.len)),
            Kind::String => Value::String(self.slice(slot.home, slot.start, slot.len)),
            Kind::EmptyObject => Value::EmptyObject,
            Kind::EmptyArray => Value::EmptyArray,
            Kind::Json => Value::Json(self.slice(slot.home, slot.start, slot.len)),
        }
    }
}

/// One event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    batch: &'a Batch,
    event: &'a Event,
    index: usize,
}

/// One field of an event, as a reader sees it.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Which field.
    pub id: FieldId,
    /// Where in arrays it stood.
    pub trail: TrailId,
    /// What it holds.
    pub value: Value<'a>,
    /// Whether what it holds follows opened, under the same path: printed forms leave such an original out.
    pub opened: bool,
}

impl<'a> EventRef<'a> {
    /// Its index in the batch.
    pub fn index(self) -> usize {
        self.index
    }

    /// The record as received.
    pub fn raw(self) -> &'a str {
        self.batch.slice(Home::Raw, self.event.start, self.event.len)
    }

    /// Where [`EventRef::raw`] stands in [`Batch::text`]: its start and its length.
    pub fn place(self) -> (u32, u32) {
        (self.event.start, self.event.len)
    }

    /// The number of its shape, if that is known: events of one shape have the same fields and trails in the same order,
    /// all but what transforms added. Numbers hold for a field table.
    #[inline]
    pub fn shape(self) -> Option<u32> {
        Some(self.event.shape).filter(|shape| *shape != NONE)
    }

    /// Its place in its shard. Positions grow from event to event.
    pub fn position(self) -> u64 {
        self.event.position
    }

    /// Its batch.
    pub fn batch(self) -> &'a Batch {
        self.batch
    }

    #[inline]
    fn field(self, entry: &Entry) -> Field<'a> {
        Field { id: entry.field, trail: entry.trail, value: self.batch.value(entry.slot), opened: entry.slot.opened }
    }

    /// The record's own fields in the order of the record, then what transforms added. A field of the record's own that
    /// has the name of an added one is left out: a record must not speak for a transform.
    pub fn fields(self) -> impl Iterator<Item = Field<'a>> {
        self.own_fields().filter(move |field| !self.is_added(field.id)).chain(self.added())
    }

    /// The record's own fields, in the order of the record.
    #[inline]
    pub fn own_fields(self) -> impl Iterator<Item = Field<'a>> {
        self.batch.entries_of(self.event).iter().map(move |entry| self.field(entry))
    }

    /// The record's own fields as they are stored, for readers that pass over most of them; see [`EventRef::read`].
    #[inline]
    pub fn own_entries(self) -> &'a [Entry] {
        self.batch.entries_of(self.event)
    }

    /// One of [`EventRef::own_entries`] as a field.
    #[inline]
    pub fn read(self, entry: &Entry) -> Field<'a> {
        self.field(entry)
    }

    /// The bytes of [`Value::text`] of one of [`EventRef::own_entries`].
    #[inline]
    pub fn text(self, entry: &Entry) -> &'a [u8] {
        let slot = entry.slot;
        match slot.kind {
            Kind::Number | Kind::String | Kind::Json => {
                let text: &str = match slot.home {
                    Home::Raw => &self.batch.text,
                    Home::Arena => &self.batch.arena,
                };
                &text.as_bytes()[slot.start as usize..(slot.start + slot.len) as usize]
            }
            _ => self.batch.value(slot).text().as_bytes(),
        }
    }

    /// What transforms added, in the order of their adding.
    #[inline]
    pub fn added(self) -> impl Iterator<Item = Field<'a>> {
        let mut at = self.event.added_first;
        std::iter::from_fn(move || {
            let added = self.batch.added.get(at as usize)?;
            at = added.next;
            Some(self.field(&added.entry))
        })
    }

    /// Whether a transform added a field of that name. It hides what the record itself has of the name.
    #[inline]
    pub fn is_added(self, field: FieldId) -> bool {
        self.added().any(|added| added.id == field)
    }

    /// The first value of a field; see [`EventRef::fields`].
    pub fn get(self, field: FieldId) -> Option<Value<'a>> {
        self.all(field).next()
    }

    /// All values of a field, in order; see [`EventRef::fields`].
    pub fn all(self, field: FieldId) -> impl Iterator<Item = Value<'a>> {
        let hidden = self.is_added(field);
        let own = self.own_fields().filter(move |_| !hidden).chain(self.added());
        own.filter(move |candidate| candidate.id == field).map(|field| field.value)
    }

    /// The steps of a trail, outermost first.
    pub fn steps(self, trail: TrailId) -> Vec<Trail> {
        let mut steps = Vec::new();
        let mut at = trail;
        while at != 0 {
            let step = self.batch.trails[at as usize];
            steps.push(step);
            at = step.parent;
        }
        steps.reverse();
        steps
    }

    /// Whether a trail passes through an array of unnamed elements.
    #[inline]
    pub fn repeats(self, trail: TrailId) -> bool {
        self.batch.trails[trail as usize].repeats
    }
}
