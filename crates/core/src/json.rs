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

use thiserror::Error;
use wide::u8x16;

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
    let bytes = &text.as_bytes()[..end];
    let mut parser = Parser { bytes, marks: Marks::new(text.as_bytes(), start), origin: start, home, nodes };
    let outcome = parser.document(start);
    if outcome.is_err() {
        nodes.truncate(first);
    }
    outcome.map(|()| first as u32)
}

/// The parent of the outermost container.
const NONE: u32 = u32::MAX;

/// Its methods take the position to read at and give the position behind what they read, so that it stays in a
/// register.
struct Parser<'a> {
    bytes: &'a [u8],
    marks: Marks<'a>,
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
            let (start, byte) = self.solid(at);
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
                    let (next, byte) = self.solid(start + 1);
                    if byte != closing {
                        at = next;
                        continue;
                    }
                    next
                }
                b't' => self.literal(start, b"true", Tag::True)?,
                b'f' => self.literal(start, b"false", Tag::False)?,
                b'n' => self.literal(start, b"null", Tag::Null)?,
                b'-' | b'0'..=b'9' => self.number(start)?,
                _ => return Err(self.unexpected(start, "a value")),
            };
            // Behind a value: what is complete is closed.
            loop {
                let (next, byte) = self.solid(at);
                at = next + 1;
                if inner == NONE {
                    let rest = next < self.bytes.len();
                    return if rest { Err(self.unexpected(next, "the end of the record")) } else { Ok(()) };
                } else if byte == b',' {
                    break;
                } else if byte != closing {
                    return Err(self.unexpected(next, if closing == b'}' { "`,` or `}`" } else { "`,` or `]`" }));
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

    #[inline]
    fn push_scalar(&mut self, tag: Tag, start: usize, len: usize) {
        let end = self.nodes.len() as u32 + 1;
        self.push(tag, start, len, end);
    }

    /// A member's name and the colon.
    #[inline(always)]
    fn key(&mut self, at: usize) -> Result<usize, JsonError> {
        let (quote, byte) = self.solid(at);
        if byte != b'"' {
            return Err(self.unexpected(quote, "a member's name in quotes"));
        }
        let end = self.string(quote)?;
        let (colon, byte) = self.solid(end);
        if byte != b':' {
            return Err(self.unexpected(colon, "`:`"));
        }
        Ok(colon + 1)
    }

    /// A string whose opening quote stands at `quote`.
    #[inline(always)]
    fn string(&mut self, quote: usize) -> Result<usize, JsonError> {
        let start = quote + 1;
        let at = self.marks.first_from(start);
        if self.byte(at) != b'"' {
            return self.escaped_string(start, at);
        }
        self.push_scalar(Tag::String, start, at - start);
        Ok(at + 1)
    }

    /// The rest of a string that starts at `start` and is not plain at `at`.
    #[inline(never)]
    fn escaped_string(&mut self, start: usize, mut at: usize) -> Result<usize, JsonError> {
        loop {
            match self.peek(at) {
                Some(b'"') => {
                    self.push_scalar(Tag::EscapedString, start, at - start);
                    return Ok(at + 1);
                }
                Some(b'\\') => at = self.escape(at)?,
                Some(_) => return Err(self.unexpected(at, "no bare control character in a string")),
                None => return Err(JsonError::Truncated(self.bytes.len() - self.origin, "inside a string")),
            }
            at = self.marks.first_from(at);
        }
    }

    /// An escape whose backslash stands at `at`.
    fn escape(&self, at: usize) -> Result<usize, JsonError> {
        match self.peek(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let digits = at + 2..at + 6;
                let wrong =
                    digits.clone().find(|&digit| !self.peek(digit).is_some_and(|byte| byte.is_ascii_hexdigit()));
                wrong.map_or(Ok(digits.end), |digit| Err(self.unexpected(digit, "four hex digits behind `\\u`")))
            }
            _ => Err(self.unexpected(at + 1, "an escape such as `\\n`")),
        }
    }

    fn number(&mut self, start: usize) -> Result<usize, JsonError> {
        let mut at = start;
        if self.peek(at) == Some(b'-') {
            at += 1;
        }
        at = match self.peek(at) {
            Some(b'0') => at + 1,
            _ => self.digits(at)?,
        };
        if self.peek(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if matches!(self.peek(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(self.peek(at), Some(b'+' | b'-')) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        self.push_scalar(Tag::Number, start, at - start);
        Ok(at)
    }

    /// One digit or more.
    fn digits(&self, start: usize) -> Result<usize, JsonError> {
        let mut at = start;
        while matches!(self.peek(at), Some(b'0'..=b'9')) {
            at += 1;
        }
        if at == start { Err(self.unexpected(at, "a digit")) } else { Ok(at) }
    }

    fn literal(&mut self, at: usize, word: &'static [u8], tag: Tag) -> Result<usize, JsonError> {
        if !self.bytes[at..].starts_with(word) {
            return Err(self.unexpected(at, "`true`, `false` or `null`"));
        }
        self.push_scalar(tag, at, word.len());
        Ok(at + word.len())
    }

    #[inline]
    fn peek(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// The byte at `at`; 0, which JSON has no use for, at the end.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.peek(at).unwrap_or(0)
    }

    /// The first position from `at` on that is not blank, and its byte.
    #[inline(always)]
    fn solid(&self, at: usize) -> (usize, u8) {
        let byte = self.byte(at);
        if byte > b' ' { (at, byte) } else { self.behind_blanks(at) }
    }

    #[inline(never)]
    fn behind_blanks(&self, mut at: usize) -> (usize, u8) {
        while matches!(self.peek(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            at += 1;
        }
        (at, self.byte(at))
    }

    #[cold]
    fn unexpected(&self, at: usize, expected: &'static str) -> JsonError {
        let offset = at - self.origin;
        match self.bytes.get(at) {
            None => JsonError::Truncated(offset, expected),
            Some(byte) if byte.is_ascii_graphic() => {
                JsonError::Unexpected { offset, expected, found: format!("`{}`", char::from(*byte)) }
            }
            Some(byte) => JsonError::Unexpected { offset, expected, found: format!("byte 0x{byte:02x}") },
        }
    }
}

fn closing_of(container: Tag) -> u8 {
    if container == Tag::Object { b'}' } else { b']' }
}

/// Finds what ends a run of plain characters in a string: quotes, backslashes and control characters.
///
/// They are looked for 64 bytes at a time, by vector instructions, ahead of the reader. So where a string ends is
/// known without waiting for where it began, which is what makes reading fast.
struct Marks<'a> {
    bytes: &'a [u8],
    /// Where the present block starts, and a bit for each mark in it.
    block: usize,
    bits: u64,
}

impl<'a> Marks<'a> {
    /// Marks from `start` on.
    fn new(bytes: &'a [u8], start: usize) -> Self {
        Marks { bytes, block: start, bits: Self::bits(bytes, start) }
    }

    /// The first mark at `at` or behind it; the length if there is none. Each call's `at` is not before the last's.
    #[inline(always)]
    fn first_from(&mut self, at: usize) -> usize {
        let offset = at - self.block;
        if offset < BLOCK {
            let bits = self.bits >> offset;
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
        }
        self.first_in_later_blocks(at)
    }

    #[inline(never)]
    fn first_in_later_blocks(&mut self, at: usize) -> usize {
        self.block += BLOCK.max((at - self.block) / BLOCK * BLOCK);
        while self.block < self.bytes.len() {
            self.bits = Self::bits(self.bytes, self.block);
            let bits = self.bits & u64::MAX << at.saturating_sub(self.block);
            if bits != 0 {
                return self.block + bits.trailing_zeros() as usize;
            }
            self.block += BLOCK;
        }
        self.bytes.len()
    }

    #[inline]
    fn bits(bytes: &[u8], start: usize) -> u64 {
        match bytes.get(start..).and_then(<[u8]>::first_chunk::<BLOCK>) {
            Some(block) => marks(block),
            None => marks_of_rest(bytes.get(start..).unwrap_or_default()),
        }
    }
}

const BLOCK: usize = 64;

/// The marks of less than a block, at the end of the text.
#[inline(never)]
fn marks_of_rest(rest: &[u8]) -> u64 {
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    marks(&block)
}

#[inline]
fn marks(block: &[u8; BLOCK]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    parts.iter().rev().fold(0, |bits, part| {
        let part = u8x16::new(*part);
        let quotes = part.simd_eq(u8x16::splat(b'"'));
        let backslashes = part.simd_eq(u8x16::splat(b'\\'));
        let controls = part.simd_eq(part.min(u8x16::splat(0x1f)));
        bits << 16 | u64::from((quotes | backslashes | controls).to_bitmask())
    })
}

/// Appends to `out` what an escaped string stands for.
///
/// `escaped` is the slice of an [`Tag::EscapedString`] node, so its escapes are known to be well formed; what is not
/// is copied as it stands. Lone surrogates become U+FFFD.
pub fn unescape_into(escaped: &str, out: &mut String) {
    let mut rest = escaped;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let (character, used) = match tail.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'u') => unicode_escape(tail),
            Some(&other) if other.is_ascii() => (char::from(other), 1),
            _ => ('\\', 0),
        };
        out.push(character);
        rest = &tail[used..];
    }
    out.push_str(rest);
}

/// `tail` starts at the `u` of an escape. Gives the character and how many bytes of `tail` it took.
fn unicode_escape(tail: &str) -> (char, usize) {
    let unit = |text: Option<&str>| text.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(high) = unit(tail.get(1..5)) else { return ('u', 1) };
    if !(0xd800..0xe000).contains(&high) {
        return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5);
    }
    if high < 0xdc00
        && tail.get(5..7) == Some("\\u")
        && let Some(low @ 0xdc00..=0xdfff) = unit(tail.get(7..11))
    {
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
    }
    (char::REPLACEMENT_CHARACTER, 5)
}

/// Appends `text` to `out` as a JSON string, quotes included.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut at = 0;
    let bytes = text.as_bytes();
    let mut marks = Marks::new(bytes, 0);
    loop {
        let stop = marks.first_from(at);
        out.extend_from_slice(&bytes[at..stop]);
        let Some(&byte) = bytes.get(stop) else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
        at = stop + 1;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
