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
    let mut parser = Parser { bytes: &text.as_bytes()[..end], origin: start, home, nodes };
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
    /// Where the record starts, for offsets in messages.
    origin: usize,
    home: Home,
    nodes: &'a mut Vec<Node>,
}

impl Parser<'_> {
    /// A loop, and no recursion: what is open is a list through the nodes. Until a container is closed, its `end`
    /// holds the container around it.
    fn document(&mut self, start: usize) -> Result<(), JsonError> {
        let mut at = self.skip_blanks(start);
        let mut depth = 0;
        let mut inner = NONE;
        let mut in_object = false;
        loop {
            match self.peek(at) {
                Some(b'"') => at = self.string(at)?,
                Some(opening @ (b'{' | b'[')) => {
                    if depth >= MAX_DEPTH {
                        return Err(JsonError::TooDeep(at - self.origin));
                    }
                    depth += 1;
                    in_object = opening == b'{';
                    let node = self.nodes.len() as u32;
                    self.push(if in_object { Tag::Object } else { Tag::Array }, at, 0, inner);
                    inner = node;
                    at = self.skip_blanks(at + 1);
                    let empty = self.peek(at) == Some(if in_object { b'}' } else { b']' });
                    if !empty {
                        if in_object {
                            at = self.key(at)?;
                        }
                        continue;
                    }
                }
                Some(b't') => at = self.literal(at, b"true", Tag::True)?,
                Some(b'f') => at = self.literal(at, b"false", Tag::False)?,
                Some(b'n') => at = self.literal(at, b"null", Tag::Null)?,
                Some(b'-' | b'0'..=b'9') => at = self.number(at)?,
                _ => return Err(self.unexpected(at, "a value")),
            }
            // Behind a value: what is complete is closed.
            loop {
                at = self.skip_blanks(at);
                if inner == NONE {
                    return if at < self.bytes.len() { Err(self.unexpected(at, "the end of the record")) } else { Ok(()) };
                }
                match self.peek(at) {
                    Some(b',') => {
                        at = self.skip_blanks(at + 1);
                        if in_object {
                            at = self.key(at)?;
                        }
                        break;
                    }
                    Some(b'}') if in_object => at += 1,
                    Some(b']') if !in_object => at += 1,
                    _ => return Err(self.unexpected(at, if in_object { "`,` or `}`" } else { "`,` or `]`" })),
                }
                inner = self.close(inner, at);
                depth -= 1;
                in_object = self.nodes.get(inner as usize).is_some_and(|node| node.tag == Tag::Object);
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

    /// A member's name, and the colon and blanks behind it.
    #[inline]
    fn key(&mut self, at: usize) -> Result<usize, JsonError> {
        if self.peek(at) != Some(b'"') {
            return Err(self.unexpected(at, "a member's name in quotes"));
        }
        let at = self.string(at)?;
        let at = self.skip_blanks(at);
        if self.peek(at) != Some(b':') {
            return Err(self.unexpected(at, "`:`"));
        }
        Ok(self.skip_blanks(at + 1))
    }

    /// A string whose opening quote stands at `quote`.
    #[inline(always)]
    fn string(&mut self, quote: usize) -> Result<usize, JsonError> {
        let start = quote + 1;
        let at = end_of_plain(self.bytes, start);
        if self.peek(at) != Some(b'"') {
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
                None => return Err(JsonError::Truncated(at - self.origin, "inside a string")),
            }
            at = end_of_plain(self.bytes, at);
        }
    }

    /// An escape whose backslash stands at `at`.
    fn escape(&self, at: usize) -> Result<usize, JsonError> {
        match self.peek(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let digits = at + 2..at + 6;
                let wrong = digits.clone().find(|&digit| !self.peek(digit).is_some_and(|byte| byte.is_ascii_hexdigit()));
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

    #[inline]
    fn skip_blanks(&self, mut at: usize) -> usize {
        while matches!(self.peek(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            at += 1;
        }
        at
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

/// The first position from `at` on that holds a quote, a backslash or a control character; the length if none does.
///
/// Eight bytes at a time: each test leaves a high bit where a byte matches. A borrow can set bits above a true
/// match only, so the lowest set bit is exact.
#[inline]
fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    const BLANKS: u64 = u64::from_ne_bytes([b' '; 8]);
    while let Some((word, _)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ QUOTES;
        let backslash = word ^ BACKSLASHES;
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(BLANKS) & !word);
        let hits = hits & HIGHS;
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
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
    loop {
        let stop = end_of_plain(bytes, at);
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
