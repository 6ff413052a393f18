//! Reading a record by its shape.

use super::{Fork, ROOT, Shapes, Step, What};
use crate::field::FieldId;
use crate::json::{self, Home, Scanner, StringEnd};
use crate::value::{Entry, Kind, Slot};
use wide::u8x16;

/// Bytes that are compared at once.
const SHORT: usize = 32;

/// What is read: a record, or the content of a string in it.
#[derive(Clone, Copy)]
struct Source<'t> {
    /// It is `text[start..end]`.
    text: &'t str,
    start: usize,
    end: usize,
    home: Home,
    /// Where `text` starts in its home; a raw text is all of it.
    base: usize,
}

/// One record's way through the steps.
struct Reader<'s> {
    steps: &'s mut [Step],
    literals: &'s [u8],
    command_line: Option<FieldId>,
    arena: &'s mut String,
    entries: &'s mut Vec<Entry>,
    /// How many bytes of strings may still be opened; `None`: none are opened at all.
    openable: Option<u32>,
}

impl Shapes {
    /// Reads the record `text[start..end]` if its shape is known: pushes its flat entries and gives the shape's number.
    /// If it is not known, or if the record is not JSON, nothing is pushed.
    pub(crate) fn read(
        &mut self,
        text: &str,
        start: usize,
        end: usize,
        arena: &mut String,
        entries: &mut Vec<Entry>,
    ) -> Option<u32> {
        let (entries_before, arena_before) = (entries.len(), arena.len());
        let Shapes { steps, literals, command_line, openable, .. } = self;
        let (openable, command_line) = (*openable, *command_line);
        let mut reader = Reader { steps, literals, command_line, arena, entries, openable };
        let record = Source { text, start, end, home: Home::Raw, base: 0 };
        let last = reader.follow(record, Fork::ROOT).map(|last| reader.steps[last as usize].what);
        if let Some(What::End { shape }) = last {
            return Some(shape);
        }
        entries.truncate(entries_before);
        arena.truncate(arena_before);
        None
    }
}

impl Reader<'_> {
    /// Takes step after step until the source ends. Gives the last step; `None` if there is none to be taken.
    fn follow(&mut self, source: Source<'_>, mut fork: Fork) -> Option<u32> {
        let mut scanner = Scanner::new(source.text, source.start, source.end);
        let bytes = scanner.bytes();
        let mut at = source.start;
        loop {
            let index = self.choose(fork, &bytes[at..])?;
            let step = &self.steps[index as usize];
            let (inside, what) = (step.inside, step.what);
            at += step.len as usize;
            fork = Fork::behind(index);
            let (field, trail) = match what {
                What::Scalar { field, trail } => (field, trail),
                What::Empty { field, trail, kind, len } => {
                    let slot = source.slot(kind, at - len as usize, at);
                    self.entries.push(Entry { field, trail, slot });
                    continue;
                }
                What::EndOfContent | What::End { .. } => return Some(index),
            };
            let slot = match scanner.byte(at) {
                b'"' => {
                    let StringEnd { end, escaped } = scanner.string(at + 1).ok()?;
                    let slot = if escaped {
                        self.unescaped(source, at + 1, end)
                    } else {
                        source.slot(Kind::String, at + 1, end)
                    };
                    let first =
                        if escaped { self.arena.as_bytes().get(slot.start as usize) } else { bytes.get(at + 1) };
                    at = end + 1;
                    match first {
                        Some(b'-') if self.command_line == Some(field) => return None,
                        Some(first) if json::may_be_bracketed(*first) && self.opens(source, slot) => {
                            self.entries.push(Entry { field, trail, slot: slot.opened() });
                            fork = Fork::behind(self.content(source, slot, index, inside)?);
                            continue;
                        }
                        _ => slot,
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let start = at;
                    at = scanner.number(start).ok()?;
                    source.slot(Kind::Number, start, at)
                }
                other => {
                    let (kind, word): (_, &[u8]) = match other {
                        b't' => (Kind::True, b"true"),
                        b'f' => (Kind::False, b"false"),
                        _ => (Kind::Null, b"null"),
                    };
                    let start = at;
                    at = scanner.word(start, word).ok()?;
                    source.slot(kind, start, at)
                }
            };
            self.entries.push(Entry { field, trail, slot });
        }
    }

    /// Chooses the step whose literal comes next, and puts it first for the next record.
    #[inline]
    fn choose(&mut self, fork: Fork, rest: &[u8]) -> Option<u32> {
        let first = *fork.first(self.steps);
        let mut before = ROOT;
        let mut index = first;
        while index != ROOT {
            let step = &self.steps[index as usize];
            let literal = Literal { text: &self.literals[step.start as usize..], len: step.len as usize };
            if literal.begins(rest) && fits(step.what, rest.get(literal.len)) {
                if before != ROOT {
                    let other = std::mem::replace(&mut self.steps[index as usize].other, first);
                    self.steps[before as usize].other = other;
                    *fork.first(self.steps) = index;
                }
                return Some(index);
            }
            before = index;
            index = step.other;
        }
        None
    }

    /// The value of the string whose content is `start..end` of the source, with escapes.
    #[inline]
    fn unescaped(&mut self, source: Source<'_>, start: usize, end: usize) -> Slot {
        let begin = self.arena.len();
        json::unescape_into(&source.text[start..end], self.arena);
        Slot {
            kind: Kind::String,
            home: Home::Arena,
            opened: false,
            start: begin as u32,
            len: (self.arena.len() - begin) as u32,
        }
    }

    /// Whether a string that was read from the source is to be opened.
    #[inline(never)]
    fn opens(&self, source: Source<'_>, string: Slot) -> bool {
        let (start, end) = (string.start as usize, (string.start + string.len) as usize);
        self.openable.is_some()
            && json::is_bracketed(match string.home {
                Home::Raw => &source.text[start..end],
                Home::Arena => &self.arena[start..end],
            })
    }

    /// Reads what a string holds. Gives the last step.
    #[inline(never)]
    fn content(&mut self, source: Source<'_>, string: Slot, step: u32, inside: u32) -> Option<u32> {
        if inside == ROOT {
            return None;
        }
        self.openable = Some(self.openable?.checked_sub(string.len)?);
        let (start, len) = (string.start as usize, string.len as usize);
        let fork = Fork::inside(step);
        match string.home {
            Home::Raw => self.follow(Source { start, end: start + len, ..source }, fork),
            Home::Arena => {
                // The arena grows while it is read.
                let text = self.arena[start..start + len].to_owned();
                self.follow(Source { text: &text, start: 0, end: len, home: Home::Arena, base: start }, fork)
            }
        }
    }
}

impl Source<'_> {
    #[inline]
    fn slot(self, kind: Kind, start: usize, end: usize) -> Slot {
        let len = (end - start) as u32;
        Slot { kind, home: self.home, opened: false, start: (self.base + start) as u32, len }
    }
}

/// The first `len` bytes of a text.
struct Literal<'s> {
    text: &'s [u8],
    len: usize,
}

impl Literal<'_> {
    /// Whether a text begins with it. Most literals are short, and calling a function that compares any number of bytes
    /// would take longer than comparing these.
    #[inline(always)]
    fn begins(&self, text: &[u8]) -> bool {
        match (text.first_chunk::<SHORT>(), self.text.first_chunk::<SHORT>()) {
            (Some(text), Some(literal)) if self.len <= SHORT => {
                let same = |half: usize| {
                    let half = |bytes: &[u8; SHORT]| u8x16::new(bytes.as_chunks().0[half]);
                    u64::from(half(text).simd_eq(half(literal)).to_bitmask())
                };
                // As many ones from below as bytes are the same.
                (same(0) | same(1) << 16 | 1 << SHORT).trailing_ones() as usize >= self.len
            }
            _ => text.starts_with(&self.text[..self.len]),
        }
    }
}

/// Whether what begins with this byte can be what a step says.
#[inline]
fn fits(what: What, next: Option<&u8>) -> bool {
    match what {
        What::Scalar { .. } => !matches!(next, Some(b'{' | b'[')),
        What::Empty { .. } => true,
        What::EndOfContent | What::End { .. } => next.is_none(),
    }
}
