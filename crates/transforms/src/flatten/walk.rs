//! The walk over one record's parse tree that pushes its flat entries.
//!
//! Every value is visited once. What is pushed is counted before it is pushed: a container is opened only if its
//! members still have room, so a hostile record costs no more than it is long, and what finds no room stays as one
//! closed entry. If the record itself has more members than there is room for, those past the limit are one such
//! entry, of the record's own path. Nothing is dropped.

use std::ops::Range;

use downspout_core::FieldId;
use downspout_core::json::{self, Node, Tag};
use downspout_core::rewrite::Rewrite;
use downspout_core::value::{Entry, Slot, Step, TrailId};

use super::bag::{Spelling, spelling};
use super::cmdlet;

/// How long a path may grow, in bytes, before what stands beneath it stays closed. Real ones stay below 200; without
/// a limit, 2,000 values under one name of a megabyte would print as two gigabytes.
const MAX_PATH_BYTES: u32 = 1024;

/// How deeply containers may nest, those in opened strings counted on; deeper ones stay closed. Bounds the stack.
const MAX_LEVELS: u32 = json::MAX_DEPTH as u32;

/// How many bytes of strings are read as JSON in one event.
pub(super) const MAX_OPENED_BYTES: u32 = 1 << 20;

/// What the config allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_fields: usize,
    pub(super) open_strings: bool,
    /// The field whose top-level string is a command line.
    pub(super) parameters: Option<FieldId>,
}

/// Where the walk stands.
#[derive(Clone, Copy)]
struct Place {
    field: FieldId,
    trail: TrailId,
    /// How many segments the path has, and how many bytes.
    depth: u32,
    bytes: u32,
    /// How many containers stand around it.
    level: u32,
}

/// The walk over one event's record.
pub(super) struct Walk<'r, 'b> {
    rewrite: &'r mut Rewrite<'b>,
    limits: Limits,
    /// How many entries may still be pushed, beside those that have room already.
    left: usize,
    /// Whether the record is so small that all it holds has room already.
    roomy: bool,
    /// How many bytes of strings may still be read as JSON.
    openable: u32,
    /// Whether something stayed closed.
    spent: bool,
}

impl<'r, 'b> Walk<'r, 'b> {
    /// Flattens an event. Gives whether a budget was spent, so that something stayed closed.
    pub(super) fn event(rewrite: &'r mut Rewrite<'b>, event: usize, limits: Limits) -> bool {
        let Some((root, members)) = rewrite.begin(event) else { return false };
        let nodes = (rewrite.node(root).end - root) as usize;
        let roomy = nodes <= limits.max_fields;
        let left = limits.max_fields.saturating_sub(if roomy { nodes } else { members.len() });
        let all_fit = members.len() <= limits.max_fields;
        let fit = if all_fit { members } else { members.start..members.start + limits.max_fields - 1 };
        let mut walk = Walk { rewrite, limits, left, roomy, openable: MAX_OPENED_BYTES, spent: !all_fit };
        let behind = walk.members(root, fit);
        if !all_fit {
            let rest = walk.rewrite.rest_of(root, behind);
            walk.rewrite.push_part(FieldId::ROOT, 0, rest);
        }
        if walk.spent {
            walk.rewrite.depends_on_values();
        }
        walk.rewrite.end();
        walk.spent
    }

    /// The top level: its names are known and its strings unescaped already. Gives the node behind these members.
    fn members(&mut self, root: u32, members: Range<usize>) -> u32 {
        let parameters = self.limits.parameters;
        let special = |entry: &Entry, first: u8| {
            entry.slot.is_json()
                || (entry.slot.is_string() && json::may_be_bracketed(first))
                || Some(entry.field) == parameters
        };
        let mut from = members.start;
        let mut value = root + 2;
        loop {
            let kept = self.rewrite.keep_until(from..members.end, value, special);
            from += kept + 1;
            value += 2 * kept as u32;
            if from > members.end {
                return value - 1;
            }
            let entry = *self.rewrite.old(from - 1);
            let bytes = self.rewrite.node(value - 1).len;
            let at = Place { field: entry.field, trail: 0, depth: 1, bytes, level: 1 };
            let end = self.rewrite.node(value).end;
            if entry.slot.is_json() {
                self.container(at, value);
            } else if Some(entry.field) == parameters && entry.slot.is_string() {
                self.command_line(at, entry.slot, value);
            } else {
                self.string(at, entry.slot, value);
            }
            value = end + 1;
        }
    }

    #[inline]
    fn value(&mut self, at: Place, index: u32) {
        let node = self.rewrite.node(index);
        match node.tag {
            Tag::Object | Tag::Array if node.end > index + 1 => self.container(at, index),
            Tag::Null | Tag::True | Tag::False | Tag::Number => self.rewrite.push_plain(at.field, at.trail, index),
            Tag::String if !self.rewrite.node_bytes(node).first().is_some_and(|byte| json::may_be_bracketed(*byte)) => {
                self.rewrite.push_plain(at.field, at.trail, index)
            }
            _ => {
                let slot = self.rewrite.slot(index);
                self.string(at, slot, index);
            }
        }
    }

    /// A string, or an empty container.
    fn string(&mut self, at: Place, slot: Slot, index: u32) {
        if self.opens(slot) {
            self.opened_string(at, slot, index);
        } else {
            self.rewrite.push(at.field, at.trail, slot, index);
        }
    }

    /// An object or array that is not empty.
    fn container(&mut self, at: Place, index: u32) {
        let node = self.rewrite.node(index);
        if !self.has_room(at, index, node) {
            self.spent = true;
            let slot = self.rewrite.slot(index);
            self.rewrite.push(at.field, at.trail, slot, index);
        } else if node.tag == Tag::Object {
            self.object(Place { level: at.level + 1, ..at }, index, node.end);
        } else {
            self.array(Place { level: at.level + 1, ..at }, index, node.end);
        }
    }

    fn object(&mut self, at: Place, index: u32, end: u32) {
        let mut key = index + 1;
        while key < end {
            let member = self.member(at, key);
            self.value(member, key + 1);
            key = self.rewrite.node(key + 1).end;
        }
    }

    #[inline]
    fn member(&mut self, at: Place, key: u32) -> Place {
        let name = self.rewrite.slot(key);
        self.named(at, name)
    }

    #[inline]
    fn named(&mut self, at: Place, name: Slot) -> Place {
        let field = self.rewrite.child_of_slot(at.field, name);
        Place { field, depth: at.depth + 1, bytes: at.bytes.saturating_add(name.size()), ..at }
    }

    fn array(&mut self, at: Place, index: u32, end: u32) {
        let mut element = index + 1;
        let mut number = 0;
        while element < end {
            let node = self.rewrite.node(element);
            let spelling = match node.tag {
                Tag::Object => spelling(self.rewrite, element),
                _ => None,
            };
            match spelling {
                Some(spelling) => self.name_value(at, number, spelling, element),
                None => {
                    let trail = self.rewrite.step(at.trail, at.depth, Step::Element(number));
                    self.value(Place { trail, ..at }, element);
                }
            }
            element = node.end;
            number += 1;
        }
    }

    /// An element that names itself: what it holds stands under that name.
    fn name_value(&mut self, at: Place, number: u32, spelling: Spelling, element: u32) {
        let node = self.rewrite.node(element);
        if !self.has_room(at, element, node) {
            self.spent = true;
            let trail = self.rewrite.step(at.trail, at.depth, Step::Element(number));
            let slot = self.rewrite.slot(element);
            return self.rewrite.push(at.field, trail, slot, element);
        }
        let trail = self.rewrite.step(at.trail, at.depth, Step::Named(number, spelling.bag));
        let at = self.member(Place { trail, level: at.level + 1, ..at }, spelling.name + 1);
        let mut key = element + 1;
        while key < node.end {
            let value = self.rewrite.node(key + 1);
            if key == spelling.value {
                let inside = value.tag == Tag::Object && value.end > key + 2;
                let trail = if inside { self.rewrite.step(at.trail, at.depth, Step::Value) } else { at.trail };
                self.value(Place { trail, ..at }, key + 1);
            } else if key != spelling.name {
                let member = self.member(at, key);
                self.value(member, key + 1);
            }
            key = value.end;
        }
    }

    /// Whether a container that has room as one entry has room for its members too; takes that room.
    #[inline]
    fn has_room(&mut self, at: Place, index: u32, node: Node) -> bool {
        if at.bytes > MAX_PATH_BYTES || at.level >= MAX_LEVELS {
            return false;
        }
        self.roomy || self.take_room(index, node)
    }

    #[cold]
    fn take_room(&mut self, index: u32, node: Node) -> bool {
        let mut members = 0;
        let mut child = index + 1;
        while child < node.end {
            let value = if node.tag == Tag::Object { child + 1 } else { child };
            child = self.rewrite.node(value).end;
            members += 1;
            if members > self.left + 1 {
                return false;
            }
        }
        self.left = self.left + 1 - members;
        true
    }

    /// Whether a value is a string that looks like JSON text.
    fn opens(&self, slot: Slot) -> bool {
        self.limits.open_strings && slot.is_string() && json::is_bracketed(self.rewrite.slot_text(slot))
    }

    /// A string that looks like JSON text: itself, and behind it what it holds, if it is.
    fn opened_string(&mut self, at: Place, slot: Slot, index: u32) {
        let first = match self.parsed(at, slot) {
            Some(first) => first,
            None => return self.rewrite.push(at.field, at.trail, slot, index),
        };
        self.rewrite.push(at.field, at.trail, slot.opened(), index);
        self.rewrite.enter(slot);
        let trail = self.rewrite.step(at.trail, at.depth, Step::Opened);
        self.value(Place { trail, ..at }, first);
        self.rewrite.close(first);
    }

    /// The node of what a string holds, if it is JSON and has room.
    fn parsed(&mut self, at: Place, slot: Slot) -> Option<u32> {
        if slot.size() > self.openable || at.level >= MAX_LEVELS {
            self.spent = true;
            return None;
        }
        self.openable -= slot.size();
        let first = self.rewrite.open(slot)?;
        let nodes = (self.rewrite.node(first).end - first) as usize;
        if nodes > self.left {
            self.spent = true;
            self.rewrite.forget(first);
            return None;
        }
        self.left -= nodes;
        Some(first)
    }

    /// A top-level string that may be a command line: itself, and behind it its parameters, if it is.
    fn command_line(&mut self, at: Place, slot: Slot, index: u32) {
        let text = self.rewrite.slot_text(slot);
        if !cmdlet::is_command_line(text) {
            return self.string(at, slot, index);
        }
        let mut found = Vec::new();
        let mut from = 0;
        while let Some((parameter, next)) = cmdlet::parameter(text, from) {
            if found.len() == self.left {
                self.spent = true;
                return self.rewrite.push(at.field, at.trail, slot, index);
            }
            found.push(parameter);
            from = next;
        }
        self.left -= found.len();
        self.rewrite.push_part(at.field, at.trail, slot.opened());
        let trail = self.rewrite.step(at.trail, at.depth, Step::Opened);
        for parameter in found {
            let name = slot.part(parameter.name);
            let member = self.named(Place { trail, ..at }, name);
            let value = slot.part(parameter.value);
            self.string(member, value, index);
        }
    }
}
