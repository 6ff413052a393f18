//! The part of a text that is in memory, and what has been found in it.
//!
//! Bytes are read into one block. Records are found in it as offsets, and when a batch is full the block is cut at a
//! record's border: the front goes on as it is, without a copy, and only the unfinished record behind it moves into
//! the next block. So the memory of a source is one block, or the record that is larger than one.

use std::io::{self, Read};
use std::sync::Arc;

use crate::{Records, Rejected, Span};
use bytes::{Buf, Bytes, BytesMut};

use super::Limits;
use super::wrapper::Unwrapper;

/// How much of a rejected text is kept.
pub(super) const KEPT_BYTES: usize = 64 << 10;

/// A batch that uses less than this part of its block is copied out of it: it must not hold the whole block.
const SMALL_PART: usize = 8;

#[derive(Debug)]
pub(super) struct Window {
    buffer: BytesMut,
    /// How much memory the block has that `buffer` is what is left of.
    allocated: usize,
    /// The offset of `buffer` in the text.
    base: u64,
    /// What is framed of `buffer`: a border between records.
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
            buffer: BytesMut::new(),
            allocated: 0,
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
        let before = self.buffer.len();
        self.buffer.resize(before + self.limits.read_bytes, 0);
        let read = loop {
            match reader.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(before + read.as_ref().map_or(0, |&count| count));
        read
    }

    /// Takes bytes that somebody else has read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.buffer.extend_from_slice(bytes);
    }

    fn make_room(&mut self, room: usize) {
        if self.buffer.capacity() - self.buffer.len() < room {
            self.allocated = self.limits.batch_bytes.max(2 * self.buffer.len()) + room;
            let mut block = BytesMut::with_capacity(self.allocated);
            block.extend_from_slice(&self.buffer);
            self.buffer = block;
        }
    }

    /// Whether the block has no room for another read.
    pub(super) fn is_used_up(&self) -> bool {
        self.buffer.capacity() - self.buffer.len() < self.limits.read_bytes
    }

    /// What is not framed yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.done..]
    }

    /// Where [`Window::rest`] begins in the text.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.done as u64
    }

    /// Where the text ends, as far as it was read.
    pub(super) fn end(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// The first bytes of the rest are framed.
    pub(super) fn consume(&mut self, count: usize) {
        self.done += count;
    }

    /// Forgets what is framed and holds no record that waits for its batch.
    pub(super) fn trim(&mut self) {
        if self.spans.is_empty() || !self.cells.is_empty() {
            self.buffer.advance(self.done);
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
        let found = &self.buffer[start..start + len];
        match self.unwrapper.unwrap(found) {
            None if self.cells.is_empty() => self.spans.push(Span { start, len, position }),
            None => push_cell(&mut self.cells, &mut self.spans, found, position),
            Some(inner) => {
                if self.cells.is_empty() {
                    for span in std::mem::take(&mut self.spans) {
                        let earlier = &self.buffer[span.start..span.start + span.len];
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
        let front = self.buffer.split_to(self.done);
        self.base += self.done as u64;
        self.done = 0;
        self.rejected_bytes = 0;
        let text = if !cells.is_empty() {
            Bytes::from(cells)
        } else if spans.is_empty() {
            Bytes::new()
        } else if front.len() * SMALL_PART < self.allocated {
            Bytes::copy_from_slice(&front)
        } else {
            front.freeze()
        };
        (Records { text, spans }, std::mem::take(&mut self.rejected))
    }
    /// How many bytes it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.buffer.len()
    }
}

/// A record whose text does not stand in the block as it is.
fn push_cell(cells: &mut Vec<u8>, spans: &mut Vec<Span>, cell: &[u8], position: u64) {
    spans.push(Span { start: cells.len(), len: cell.len(), position });
    cells.extend_from_slice(cell);
}
