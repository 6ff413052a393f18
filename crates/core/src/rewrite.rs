//! The tool with which a transform gives every event of a batch new entries.
//!
//! It lends out the pieces of a batch that a walk over parse trees needs at the same time: the nodes and texts to
//! read, the entries, trails and names to write. What a walk does with them is the transform's business.

use crate::batch::{Batch, NONE};
use crate::field::{FieldId, FieldTable};
use crate::interner::Interner;
use crate::json::{self, Home, Node, Tag};
use crate::names::LocalNames;
use crate::shape::{Lesson, Shapes, Token};
use crate::value::{Entry, Kind, Slot, Step, Trail, TrailId};

/// A rewrite under way. [`Rewrite::finish`] puts the new entries in place.
#[derive(Debug)]
pub struct Rewrite<'b> {
    text: &'b str,
    arena: &'b mut String,
    nodes: &'b mut Vec<Node>,
    trails: &'b mut Vec<Trail>,
    locals: &'b mut LocalNames,
    events: &'b mut [crate::batch::Event],
    /// The new entries come behind the old ones.
    entries: &'b mut Vec<Entry>,
    interner: Interner<'b>,
    fields: &'b FieldTable,
    shapes: Option<&'b mut Shapes>,
    /// What the walk over the event passed, for the shapes.
    tokens: Vec<Token>,
    /// Whether the event's entries follow from its shape alone.
    by_shape: bool,
    /// Whether the shape of an event was learnt.
    learnt: bool,
    /// Trails made lately: the elements of arrays have the same ones from record to record.
    recent: [TrailId; RECENT],
    event: usize,
    first: usize,
}

const RECENT: usize = 128;

impl<'b> Rewrite<'b> {
    pub(crate) fn new(batch: &'b mut Batch, shapes: Option<&'b mut Shapes>) -> Self {
        Rewrite {
            text: &batch.text,
            arena: &mut batch.arena,
            nodes: &mut batch.nodes,
            trails: &mut batch.trails,
            locals: &mut batch.locals,
            events: &mut batch.events,
            entries: &mut batch.entries,
            interner: Interner::new(&batch.fields),
            fields: &batch.fields,
            shapes,
            tokens: Vec::new(),
            by_shape: true,
            learnt: false,
            recent: [0; RECENT],
            event: 0,
            first: 0,
        }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Turns to an event; what is pushed from now on is its. Gives the node of its record (an object) and the range
    /// of its old entries, one for each member of the record. `None`: the event is flat already.
    pub fn begin(&mut self, event: usize) -> Option<(u32, std::ops::Range<usize>)> {
        self.event = event;
        self.first = self.entries.len();
        self.tokens.clear();
        self.by_shape = self.shapes.as_ref().is_some_and(|shapes| shapes.learns());
        let event = &self.events[event];
        (event.node != NONE).then_some((event.node, event.first as usize..(event.first + event.count) as usize))
    }

    /// Ends the event's entries.
    pub fn end(&mut self) {
        let event = &mut self.events[self.event];
        event.first = self.first as u32;
        event.count = (self.entries.len() - self.first) as u32;
        if let Some(shapes) = &mut self.shapes
            && self.by_shape
        {
            let lesson = Lesson {
                raw: self.text,
                arena: self.arena,
                start: event.start,
                end: event.start + event.len,
                tokens: &self.tokens,
                entries: &self.entries[self.first..],
            };
            event.shape = shapes.learn(&lesson, self.fields).unwrap_or(NONE);
            self.learnt = true;
        }
    }

    /// Says that the event's entries do not follow from its shape alone: another record of the same shape may have others.
    pub fn depends_on_values(&mut self) {
        self.by_shape = false;
    }

    /// An old entry.
    #[inline]
    pub fn old(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// Adds old entries as they are, up to the first that `special` picks by the entry and the first byte of its
    /// text (any byte, if it has no text). Gives how many it added. `value`: the node of the first one's value.
    #[inline]
    pub fn keep_until(
        &mut self,
        old: std::ops::Range<usize>,
        value: u32,
        special: impl Fn(&Entry, u8) -> bool,
    ) -> usize {
        let entries = &self.entries[old.clone()];
        let count = entries.iter().take_while(|entry| !special(entry, self.first_byte(entry.slot))).count();
        self.entries.extend_from_within(old.start..old.start + count);
        if self.by_shape {
            (0..count as u32).for_each(|number| self.note(value + 2 * number));
        }
        count
    }

    /// Notes the token of a value.
    #[inline]
    fn note(&mut self, value: u32) {
        if self.by_shape {
            let Node { tag, start, len, .. } = self.nodes[value as usize];
            let quote = u32::from(matches!(tag, Tag::String | Tag::EscapedString));
            self.tokens.push(Token::Value { start: start - quote, end: start + len + quote });
        }
    }

    /// A node of the parse tree.
    #[inline]
    pub fn node(&self, index: u32) -> Node {
        self.nodes[index as usize]
    }

    /// The text that a node or a slot points to; of an escaped string, its escaped form.
    #[inline]
    pub fn slice(&self, home: Home, start: u32, len: u32) -> &str {
        let text: &str = match home {
            Home::Raw => self.text,
            Home::Arena => self.arena,
        };
        &text[start as usize..(start + len) as usize]
    }

    /// The text of a slot that [`Rewrite::slot`] or [`Rewrite::store`] gave.
    #[inline]
    pub fn slot_text(&self, slot: Slot) -> &str {
        self.slice(slot.home, slot.start, slot.len)
    }

    #[inline]
    fn first_byte(&self, slot: Slot) -> u8 {
        self.bytes(slot.home).get(slot.start as usize).copied().unwrap_or_default()
    }

    /// The bytes of a node's text; of an escaped string, its escaped form.
    #[inline]
    pub fn node_bytes(&self, node: Node) -> &[u8] {
        &self.bytes(node.home)[node.start as usize..(node.start + node.len) as usize]
    }

    #[inline]
    fn bytes(&self, home: Home) -> &[u8] {
        match home {
            Home::Raw => self.text.as_bytes(),
            Home::Arena => self.arena.as_bytes(),
        }
    }

    /// The nodes of a value: its own, and those of all that it holds.
    #[inline]
    pub fn nodes_of(&self, index: u32) -> &[Node] {
        &self.nodes[index as usize..self.nodes[index as usize].end as usize]
    }

    /// The value of a node: strings unescaped, empty containers told from full ones, full ones as their JSON text.
    #[inline]
    pub fn slot(&mut self, index: u32) -> Slot {
        slot_of(self.nodes, index, self.text, self.arena)
    }

    /// The members of a record from the key node `key` on, as the JSON text of an object of their own. `record` is the
    /// node of the record.
    pub fn rest_of(&mut self, record: u32, key: u32) -> Slot {
        let (record, key) = (self.nodes[record as usize], self.nodes[key as usize]);
        let start = self.arena.len() as u32;
        self.arena.push('{');
        // A key's text begins behind its quote.
        self.arena.push_str(&self.text[key.start as usize - 1..(record.start + record.len) as usize]);
        let len = self.arena.len() as u32 - start;
        Slot { kind: Kind::Json, home: Home::Arena, opened: false, start, len }
    }

    /// The field under `parent` that a key node names.
    #[inline]
    pub fn child(&mut self, parent: FieldId, key: u32) -> FieldId {
        let slot = self.slot(key);
        self.child_of_slot(parent, slot)
    }

    /// The field under `parent` that a string names.
    #[inline]
    pub fn child_of_slot(&mut self, parent: FieldId, name: Slot) -> FieldId {
        let text: &str = match name.home {
            Home::Raw => self.text,
            Home::Arena => self.arena,
        };
        self.interner.child(parent, text, name.start, name.len, self.locals)
    }

    /// Copies a text into the arena, as a string value.
    pub fn store(&mut self, text: &str) -> Slot {
        let start = self.arena.len() as u32;
        self.arena.push_str(text);
        Slot { kind: Kind::String, home: Home::Arena, opened: false, start, len: text.len() as u32 }
    }

    /// The trail that goes on from `parent` with `step`, `depth` segments down the path.
    #[inline]
    pub fn step(&mut self, parent: TrailId, depth: u32, step: Step) -> TrailId {
        let number = match step {
            Step::Element(number) | Step::Named(number, _) => number,
            Step::Value | Step::Opened => 0,
        };
        // Where a trail is likely to be.
        let place = (parent.wrapping_mul(41) ^ depth.wrapping_mul(13)).wrapping_add(number) as usize % RECENT;
        let recent = self.recent[place];
        let known = &self.trails[recent as usize];
        if (known.parent, known.depth, known.step) == (parent, depth, step) {
            return recent;
        }
        let new = self.trails.len() as u32;
        let trail = self.shapes.as_mut().map_or(new, |shapes| shapes.trail(parent, depth, step, new));
        if trail == new {
            let repeats = matches!(step, Step::Element(_)) || self.trails[parent as usize].repeats;
            self.trails.push(Trail { parent, depth, step, repeats });
        }
        self.recent[place] = trail;
        trail
    }

    /// Adds an entry for a node that is neither an escaped string nor an empty container.
    #[inline]
    pub fn push_plain(&mut self, field: FieldId, trail: TrailId, value: u32) {
        let Node { tag, home, start, len, .. } = self.nodes[value as usize];
        let slot = Slot { kind: kind_of(tag), home, opened: false, start, len };
        self.push(field, trail, slot, value);
    }

    /// Adds an entry for a node's value to the event.
    #[inline]
    pub fn push(&mut self, field: FieldId, trail: TrailId, slot: Slot, value: u32) {
        self.note(value);
        self.entries.push(Entry { field, trail, slot });
    }

    /// Adds an entry for what is no value of the record by itself.
    pub fn push_part(&mut self, field: FieldId, trail: TrailId, slot: Slot) {
        self.depends_on_values();
        self.entries.push(Entry { field, trail, slot });
    }

    /// Reads a string as JSON. Gives the node of its value; `None` if it is not JSON.
    pub fn open(&mut self, string: Slot) -> Option<u32> {
        let start = string.start as usize;
        let end = start + string.len as usize;
        let text = match string.home {
            Home::Raw => self.text,
            Home::Arena => self.arena.as_str(),
        };
        json::parse(text, start, end, string.home, self.nodes).ok()
    }

    /// What is pushed from now on stands in the string that was pushed last, until [`Rewrite::close`].
    pub fn enter(&mut self, string: Slot) {
        let Slot { home, start, len, .. } = string;
        if self.by_shape {
            self.tokens.push(Token::Opened { home, start, end: start + len });
        }
    }

    /// Ends what a string holds, and lets go of the nodes that [`Rewrite::open`] made, from `node` on.
    pub fn close(&mut self, node: u32) {
        if self.by_shape {
            self.tokens.push(Token::Closed);
        }
        self.nodes.truncate(node as usize);
    }

    /// Lets go of nodes that [`Rewrite::open`] made, from `node` on.
    pub fn forget(&mut self, node: u32) {
        self.nodes.truncate(node as usize);
    }

    /// Lets go of the parse tree.
    pub fn finish(self) {
        self.interner.finish();
        if let Some(shapes) = self.shapes {
            shapes.finish(self.trails, self.learnt);
        }
        *self.nodes = Vec::new();
    }
}

#[inline]
pub(crate) fn slot_of(nodes: &[Node], index: u32, text: &str, arena: &mut String) -> Slot {
    let node = nodes[index as usize];
    // Put together from scalars at the end, so that it is built in registers.
    let (kind, home, start, len) = match node.tag {
        Tag::EscapedString => {
            let (start, len) = unescaped(node, text, arena);
            (Kind::String, Home::Arena, start, len)
        }
        Tag::Object if node.end == index + 1 => (Kind::EmptyObject, node.home, node.start, node.len),
        Tag::Array if node.end == index + 1 => (Kind::EmptyArray, node.home, node.start, node.len),
        tag => (kind_of(tag), node.home, node.start, node.len),
    };
    Slot { kind, home, opened: false, start, len }
}

#[inline]
fn kind_of(tag: Tag) -> Kind {
    match tag {
        Tag::Null => Kind::Null,
        Tag::True => Kind::True,
        Tag::False => Kind::False,
        Tag::Number => Kind::Number,
        Tag::String | Tag::EscapedString => Kind::String,
        Tag::Object | Tag::Array => Kind::Json,
    }
}

/// Where in the arena an escaped string now stands unescaped.
#[inline(never)]
fn unescaped(node: Node, text: &str, arena: &mut String) -> (u32, u32) {
    let range = node.start as usize..(node.start + node.len) as usize;
    let start = arena.len() as u32;
    match node.home {
        Home::Raw => json::unescape_into(&text[range], arena),
        Home::Arena => {
            let escaped = arena[range].to_owned();
            json::unescape_into(&escaped, arena);
        }
    }
    (start, arena.len() as u32 - start)
}
