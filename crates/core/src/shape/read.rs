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
                    let slot = slot(kind, source.home, source.base + at - len as usize, len as usize);
                    self.entries.push(Entry { field, trail, slot });
                    continue;
                }
                What::EndOfContent | What::End { .. } => return Some(index),
            };
            // Put together from scalars at the end, so that it is built in registers.
            let (kind, home, start, len) = match scanner.byte(at) {
                b'"' => {
                    let StringEnd { end, escaped } = scanner.string(at + 1).ok()?;
                    let (home, start, len) = if escaped {
                        let start = self.arena.len();
                        json::unescape_into(&source.text[at + 1..end], self.arena);
                        (Home::Arena, start, self.arena.len() - start)
                    } else {
                        (source.home, source.base + at + 1, end - at - 1)
                    };
                    let first = if escaped { self.arena.as_bytes().get(start) } else { bytes.get(at + 1) };
                    at = end + 1;
                    match first {
                        Some(b'-') if self.command_line == Some(field) => return None,
                        Some(first) if json::may_be_bracketed(*first) => {
                            let string = slot(Kind::String, home, start, len);
                            if self.opens(source, string) {
                                self.entries.push(Entry { field, trail, slot: string.opened() });
                                fork = Fork::behind(self.content(source, string, index, inside)?);
                                continue;
                            }
                        }
                        _ => {}
                    }
                    (Kind::String, home, start, len)
                }
                b'-' | b'0'..=b'9' => {
                    let start = at;
                    at = scanner.number(start).ok()?;
                    (Kind::Number, source.home, source.base + start, at - start)
                }
                other => {
                    let (kind, word): (_, &[u8]) = match other {
                        b't' => (Kind::True, b"true"),
                        b'f' => (Kind::False, b"false"),
                        _ => (Kind::Null, b"null"),
                    };
                    let start = at;
                    at = scanner.word(start, word).ok()?;
                    (kind, source.home, source.base + start, at - start)
                }
            };
            self.entries.push(Entry { field, trail, slot: slot(kind, home, start, len) });
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

#[inline(always)]
fn slot(kind: Kind, home: Home, start: usize, len: usize) -> Slot {
    Slot { kind, home, opened: false, start: start as u32, len: len as u32 }
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
            _ => self.begins_long(text),
        }
    }

    /// Those that only differ late are told apart by their ends.
    #[inline(never)]
    fn begins_long(&self, text: &[u8]) -> bool {
        let (literal, end) = (&self.text[..self.len], self.len.saturating_sub(SHORT));
        text.get(end..self.len).is_some_and(|tail| *tail == literal[end..]) && text[..end] == literal[..end]
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
