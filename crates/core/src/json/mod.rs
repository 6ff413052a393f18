//! The JSON reader: one pass over a record, into nodes that point at its text.
//!
//! Written here, and not taken from a crate, for three reasons. Numbers keep the text they were written with
//! (`1.10`, `12345678901234567890123`), where value-building parsers round them. Strings stay where they are: a
//! node is an offset and a length, so nothing is allocated for a record and nothing is copied until somebody needs
//! a string that carries escapes. And a batch of records shares one list of nodes, so the cost for a record is its
//! bytes alone. Strictness is RFC 8259, save that a lone surrogate escape (`\ud800`), which Microsoft's own
//! services write when they cut strings, is accepted and reads as U+FFFD.
//!
//! The input is a `&str`: UTF-8 has been checked, and every offset this module stores lies on a character border.

mod scan;
mod text;

use thiserror::Error;

pub(crate) use scan::{Scanner, StringEnd};
pub use text::{is_bracketed, may_be_bracketed, unescape_into, write_string};

/// How deeply objects and arrays may nest. Audit records reach 10; a bomb of 100,000 must not reach the stack.
pub const MAX_DEPTH: usize = 128;

/// What a [`Node`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number; the slice is its text as written.
    Number,
    /// A string without escapes; the slice is what stands between the quotes.
    String,
    /// A string with escapes; the slice is what stands between the quotes, still escaped.
    EscapedString,
    /// An object; its members follow as key, value, key, value up to `end`. The slice is its text.
    Object,
    /// An array; its elements follow up to `end`. The slice is its text.
    Array,
}

/// Which text a slice points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The records as received.
    Raw,
    /// The batch's arena: what had to be unescaped, and what transforms added.
    Arena,
}

/// One value of a document, or one key of an object.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// What it is. Keys are `String` or `EscapedString`.
    pub tag: Tag,
    /// Which text `start` and `len` refer to.
    pub home: Home,
    /// Byte offset of the slice.
    pub start: u32,
    /// Byte length of the slice.
    pub len: u32,
    /// Index of the node behind this one's last descendant.
    pub end: u32,
}

/// Why a text is not JSON. Offsets count bytes from the start of the record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// The text ended inside a value.
    #[error("the record ends early, at byte {0}: {1}")]
    Truncated(usize, &'static str),
    /// Something else stood where JSON wants `expected`.
    #[error("byte {offset}: expected {expected}, found {found}")]
    Unexpected {
        /// Byte offset in the record.
        offset: usize,
        /// What JSON allows there.
        expected: &'static str,
        /// What stood there, printable.
        found: String,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels, at byte {0}")]
    TooDeep(usize),
    /// More than 4 GiB of text or nodes in one batch.
    #[error("a batch holds at most 4 GiB")]
    TooLarge,
}

/// Reads the one JSON value that `text[start..end]` holds (blanks around it allowed) and appends its nodes.
///
/// Gives the index of the value's node. On an error `nodes` is as it was before. `home` is written into each node;
/// it says which of a batch's texts `text` is.
///
/// # Errors
/// [`JsonError`], with byte offsets relative to `start`.
pub fn parse(text: &str, start: usize, end: usize, home: Home, nodes: &mut Vec<Node>) -> Result<u32, JsonError> {
    let first = nodes.len();
    if u32::try_from(end).is_err() || u32::try_from(first + (end - start)).is_err() {
        return Err(JsonError::TooLarge);
    }
    let mut parser = Parser { scanner: Scanner::new(text, start, end), origin: start, home, nodes };
    let outcome = parser.document(start);
    if outcome.is_err() {
        nodes.truncate(first);
    }
    outcome.map(|()| first as u32)
}

/// The parent of the outermost container.
const NONE: u32 = u32::MAX;

struct Parser<'a> {
    scanner: Scanner<'a>,
    /// Where the record starts, for offsets in messages.
    origin: usize,
    home: Home,
    nodes: &'a mut Vec<Node>,
}

impl Parser<'_> {
    /// A loop, and no recursion: what is open is a list through the nodes. Until a container is closed, its `end`
    /// holds the container around it.
    fn document(&mut self, start: usize) -> Result<(), JsonError> {
        let mut at = start;
        let mut depth = 0;
        let mut inner = NONE;
        let mut closing = 0;
        loop {
            if closing == b'}' {
                at = self.key(at)?;
            }
            let (start, byte) = self.scanner.solid(at);
            at = match byte {
                b'"' => self.string(start)?,
                b'{' | b'[' => {
                    if depth >= MAX_DEPTH {
                        return Err(JsonError::TooDeep(start - self.origin));
                    }
                    depth += 1;
                    let node = self.nodes.len() as u32;
                    let tag = if byte == b'{' { Tag::Object } else { Tag::Array };
                    self.push(tag, start, 0, inner);
                    inner = node;
                    closing = closing_of(tag);
                    let (next, byte) = self.scanner.solid(start + 1);
                    if byte != closing {
                        at = next;
                        continue;
                    }
                    next
                }
                b't' => self.word(start, b"true", Tag::True)?,
                b'f' => self.word(start, b"false", Tag::False)?,
                b'n' => self.word(start, b"null", Tag::Null)?,
                b'-' | b'0'..=b'9' => {
                    let end = self.scanner.number(start)?;
                    self.push_scalar(Tag::Number, start, end)
                }
                _ => return Err(self.scanner.unexpected(start, "a value")),
            };
            // Behind a value: what is complete is closed.
            loop {
                let (next, byte) = self.scanner.solid(at);
                at = next + 1;
                if inner == NONE {
                    let rest = next < self.scanner.bytes().len();
                    return if rest { Err(self.scanner.unexpected(next, "the end of the record")) } else { Ok(()) };
                } else if byte == b',' {
                    break;
                } else if byte != closing {
                    let expected = if closing == b'}' { "`,` or `}`" } else { "`,` or `]`" };
                    return Err(self.scanner.unexpected(next, expected));
                }
                inner = self.close(inner, at);
                depth -= 1;
                closing = self.nodes.get(inner as usize).map_or(0, |node| closing_of(node.tag));
            }
        }
    }

    /// Closes a container that ends before `at`; gives the one around it.
    fn close(&mut self, node: u32, at: usize) -> u32 {
        let end = self.nodes.len() as u32;
        let node = &mut self.nodes[node as usize];
        node.len = at as u32 - node.start;
        std::mem::replace(&mut node.end, end)
    }

    #[inline]
    fn push(&mut self, tag: Tag, start: usize, len: usize, end: u32) {
        self.nodes.push(Node { tag, home: self.home, start: start as u32, len: len as u32, end });
    }

    /// Gives `end`.
    #[inline]
    fn push_scalar(&mut self, tag: Tag, start: usize, end: usize) -> usize {
        let behind = self.nodes.len() as u32 + 1;
        self.push(tag, start, end - start, behind);
        end
    }

    /// A member's name and the colon.
    #[inline(always)]
    fn key(&mut self, at: usize) -> Result<usize, JsonError> {
        let (quote, byte) = self.scanner.solid(at);
        if byte != b'"' {
            return Err(self.scanner.unexpected(quote, "a member's name in quotes"));
        }
        let end = self.string(quote)?;
        let (colon, byte) = self.scanner.solid(end);
        if byte != b':' {
            return Err(self.scanner.unexpected(colon, "`:`"));
        }
        Ok(colon + 1)
    }

    /// A string whose opening quote stands at `quote`.
    #[inline(always)]
    fn string(&mut self, quote: usize) -> Result<usize, JsonError> {
        let start = quote + 1;
        let StringEnd { end, escaped } = self.scanner.string(start)?;
        self.push_scalar(if escaped { Tag::EscapedString } else { Tag::String }, start, end);
        Ok(end + 1)
    }

    fn word(&mut self, start: usize, word: &'static [u8], tag: Tag) -> Result<usize, JsonError> {
        let end = self.scanner.word(start, word)?;
        Ok(self.push_scalar(tag, start, end))
    }
}

fn closing_of(container: Tag) -> u8 {
    if container == Tag::Object { b'}' } else { b']' }
}

#[cfg(test)]
mod tests;
