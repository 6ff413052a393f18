//! The part of a text that is in memory, and what has been found in it.
//!
//! Bytes are read into one block. Records are found in it as offsets, and when a batch is full the block is cut at a
//! record's border: the front goes on as it is, without a copy, and only what was read behind it moves into the next
//! block. So the memory of a source is one block, or the record that is larger than one. Blocks come back when their
//! records have arrived, and are used again: fresh memory costs more than reading into it.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use crate::{Records, Rejected, Span};
use bytes::Bytes;

use super::Limits;
use super::blocks::{Block, Blocks};
use super::wrapper::Unwrapper;

/// How much of a rejected text is kept.
pub(super) const KEPT_BYTES: usize = 64 << 10;

/// A batch that uses less than this part of its block is copied out of it: it must not hold the whole block.
const SMALL_PART: usize = 8;

#[derive(Debug)]
pub(super) struct Window {
    blocks: Arc<Blocks>,
    block: Block,
    /// What of the block was read and is not handed on.
    held: Range<usize>,
    /// The offset in the text of what is held.
    base: u64,
    /// What is framed of it: a border between records.
    done: usize,
    /// Positions up to here were given out by an earlier run. See [`Window::position`].
    pub(super) covered: u64,
    /// Where a record began that the end of the text cut short.
    pub(super) unfinished: Option<u64>,
    /// What looking at bytes a second time has cost.
    pub(super) spent: u64,
    /// Records that do not stand in the text as they are: cells of a CSV, and what was wrapped. If there are any, all
    /// of the batch are here.
    cells: Vec<u8>,
    unwrapper: Unwrapper,
    spans: Vec<Span>,
    rejected: Vec<Rejected>,
    rejected_bytes: usize,
    pub(super) limits: Limits,
    /// What messages call the text.
    pub(super) name: Arc<str>,
}

impl Window {
    pub(super) fn new(name: Arc<str>, limits: Limits, offset: u64, covered: u64) -> Window {
        Window {
            blocks: Arc::default(),
            block: Block::default(),
            held: 0..0,
            base: offset,
            done: 0,
            covered,
            unfinished: None,
            spent: 0,
            cells: Vec::new(),
            unwrapper: Unwrapper::new(),
            spans: Vec::new(),
            rejected: Vec::new(),
            rejected_bytes: 0,
            limits,
            name,
        }
    }

    /// Reads once. Gives the number of bytes; 0 at the end.
    pub(super) fn fill(&mut self, reader: &mut dyn Read) -> io::Result<usize> {
        self.make_room(self.limits.read_bytes);
        let end = self.held.end;
        let read = loop {
            match reader.read(&mut self.block.bytes_mut()[end..end + self.limits.read_bytes]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.held.end += read.as_ref().map_or(0, |&count| count);
        read
    }

    /// Takes bytes that somebody else has read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.block.bytes_mut()[self.held.end..][..bytes.len()].copy_from_slice(bytes);
        self.held.end += bytes.len();
    }

    fn make_room(&mut self, room: usize) {
        if self.room() < room {
            let next = Blocks::get(&self.blocks, self.limits.batch_bytes.max(2 * self.held.len()) + room);
            self.replace(next, 0);
        }
    }

    fn room(&self) -> usize {
        self.block.bytes().len() - self.held.end
    }

    /// Goes on in another block, with what is held from `from` on. Gives the one used so far.
    fn replace(&mut self, next: Block, from: usize) -> Block {
        let last = std::mem::replace(&mut self.block, next);
        let moved = &last.bytes()[self.held.start + from..self.held.end];
        self.block.bytes_mut()[..moved.len()].copy_from_slice(moved);
        self.held = 0..moved.len();
        last
    }

    fn buffer(&self) -> &[u8] {
        &self.block.bytes()[self.held.clone()]
    }

    /// Whether the block has no room for another read.
    pub(super) fn is_used_up(&self) -> bool {
        self.room() < self.limits.read_bytes
    }

    /// What is not framed yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer()[self.done..]
    }

    /// Where [`Window::rest`] begins in the text.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.done as u64
    }

    /// Where the text ends, as far as it was read.
    pub(super) fn end(&self) -> u64 {
        self.base + self.held.len() as u64
    }

    /// The first bytes of the rest are framed.
    pub(super) fn consume(&mut self, count: usize) {
        self.done += count;
    }

    /// Forgets what is framed and holds no record that waits for its batch.
    pub(super) fn trim(&mut self) {
        if self.spans.is_empty() || !self.cells.is_empty() {
            self.held.start += self.done;
            self.base += self.done as u64;
            self.done = 0;
        }
    }

    /// The position of what stands from `start` to `end`: its start and one.
    ///
    /// What an earlier run saw only in part has used that position up, so whatever began then and goes on now gets
    /// the next one. What ended then was given out already, and has none.
    fn position(&self, start: u64, end: u64) -> Option<u64> {
        (end > self.covered).then(|| start.max(self.covered) + 1)
    }

    /// A record: `len` bytes of the rest, from `start` on, or what is wrapped in them.
    pub(super) fn record(&mut self, start: usize, len: usize) {
        let at = self.offset() + start as u64;
        let Some(position) = self.position(at, at + len as u64) else { return };
        let start = self.done + start;
        let buffer = &self.block.bytes()[self.held.clone()];
        let found = &buffer[start..start + len];
        match self.unwrapper.unwrap(found) {
            None if self.cells.is_empty() => self.spans.push(Span { start, len, position }),
            None => push_cell(&mut self.cells, &mut self.spans, found, position),
            Some(inner) => {
                if self.cells.is_empty() {
                    for span in std::mem::take(&mut self.spans) {
                        let earlier = &buffer[span.start..span.start + span.len];
                        push_cell(&mut self.cells, &mut self.spans, earlier, span.position);
                    }
                }
                push_cell(&mut self.cells, &mut self.spans, &inner, position);
            }
        }
    }

    /// A record with a text of its own, which stands for `len` bytes of the rest.
    pub(super) fn cell(&mut self, cell: &[u8], len: usize) {
        let at = self.offset();
        if let Some(position) = self.position(at, at + len as u64) {
            push_cell(&mut self.cells, &mut self.spans, cell, position);
        }
    }

    /// Something from `start` to `end` that is no record. `raw` is what it says, or the first part of it.
    pub(super) fn reject(&mut self, start: u64, end: u64, raw: &[u8], problem: &str) {
        if let Some(position) = self.position(start, end) {
            let raw = Bytes::copy_from_slice(&raw[..raw.len().min(KEPT_BYTES)]);
            self.rejected_bytes += raw.len();
            let reason = format!("{}, byte {start}: {problem}", self.name);
            self.rejected.push(Rejected { position, reason, raw });
        }
    }

    /// Whether nothing waits to be handed on.
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.rejected.is_empty()
    }

    /// Whether a batch is full.
    pub(super) fn is_full(&self) -> bool {
        let text = if self.cells.is_empty() { self.done } else { self.cells.len() };
        self.spans.len() + self.rejected.len() >= self.limits.batch_records
            || self.rejected_bytes >= self.limits.batch_bytes
            || (text >= self.limits.batch_bytes && !self.spans.is_empty())
    }

    /// Takes what was found.
    pub(super) fn take(&mut self) -> (Records, Vec<Rejected>) {
        let spans = std::mem::take(&mut self.spans);
        let cells = std::mem::take(&mut self.cells);
        let done = std::mem::take(&mut self.done);
        self.base += done as u64;
        self.rejected_bytes = 0;
        let text = if cells.is_empty() && !spans.is_empty() {
            self.split_off(done)
        } else {
            self.held.start += done;
            Bytes::from(cells)
        };
        (Records { text, spans }, std::mem::take(&mut self.rejected))
    }

    /// Takes the first `len` bytes: the block that they are in, unless that would waste it.
    fn split_off(&mut self, len: usize) -> Bytes {
        let front = self.held.start..self.held.start + len;
        if len * SMALL_PART < self.block.bytes().len() {
            self.held.start = front.end;
            return Bytes::copy_from_slice(&self.block.bytes()[front]);
        }
        let behind = self.held.len() - len;
        let next = Blocks::get(&self.blocks, self.limits.batch_bytes.max(2 * behind) + self.limits.read_bytes);
        Bytes::from_owner(self.replace(next, len)).slice(front)
    }

    /// How many bytes it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }
}

/// A record whose text does not stand in the block as it is.
fn push_cell(cells: &mut Vec<u8>, spans: &mut Vec<Span>, cell: &[u8], position: u64) {
    spans.push(Span { start: cells.len(), len: cell.len(), position });
    cells.extend_from_slice(cell);
}
