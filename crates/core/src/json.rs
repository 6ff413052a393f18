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
    let mut parser = Parser { bytes: &text.as_bytes()[..end], at: start, origin: start, home, nodes };
    let outcome = parser.document();
    if outcome.is_err() {
        nodes.truncate(first);
    }
    outcome.map(|()| first as u32)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the record starts, for offsets in messages.
    origin: usize,
    home: Home,
    nodes: &'a mut Vec<Node>,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        self.value(0)?;
        self.skip_blanks();
        if self.at < self.bytes.len() {
            return Err(self.unexpected("the end of the record"));
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => {
                let (tag, start, len) = self.string()?;
                self.push(tag, start, len);
                Ok(())
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b't') => self.literal(b"true", Tag::True),
            Some(b'f') => self.literal(b"false", Tag::False),
            Some(b'n') => self.literal(b"null", Tag::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        let node = self.open(Tag::Object, depth)?;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(self.close(node));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a member's name in quotes"));
            }
            let (tag, start, len) = self.string()?;
            self.push(tag, start, len);
            self.skip_blanks();
            self.expect(b':', "`:`")?;
            self.skip_blanks();
            self.value(depth + 1)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(self.close(node));
                }
                _ => return Err(self.unexpected("`,` or `}`")),
            }
            self.skip_blanks();
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        let node = self.open(Tag::Array, depth)?;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(self.close(node));
        }
        loop {
            self.value(depth + 1)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(self.close(node));
                }
                _ => return Err(self.unexpected("`,` or `]`")),
            }
            self.skip_blanks();
        }
    }

    fn open(&mut self, tag: Tag, depth: usize) -> Result<usize, JsonError> {
        if depth >= MAX_DEPTH {
            return Err(JsonError::TooDeep(self.at - self.origin));
        }
        let node = self.nodes.len();
        self.push(tag, self.at, 0);
        self.at += 1;
        Ok(node)
    }

    fn close(&mut self, node: usize) {
        let end = self.nodes.len() as u32;
        let node = &mut self.nodes[node];
        node.len = self.at as u32 - node.start;
        node.end = end;
    }

    fn push(&mut self, tag: Tag, start: usize, len: usize) {
        let end = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { tag, home: self.home, start: start as u32, len: len as u32, end });
    }

    /// Stands on the opening quote; leaves behind the closing one. Gives what stands between them.
    fn string(&mut self) -> Result<(Tag, usize, usize), JsonError> {
        self.at += 1;
        let start = self.at;
        let mut tag = Tag::String;
        loop {
            self.at = end_of_plain(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let len = self.at - start;
                    self.at += 1;
                    return Ok((tag, start, len));
                }
                Some(b'\\') => {
                    tag = Tag::EscapedString;
                    self.escape()?;
                }
                Some(_) => return Err(self.unexpected("no bare control character in a string")),
                None => return Err(JsonError::Truncated(self.at - self.origin, "inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                self.at += 2;
                for _ in 0..4 {
                    match self.peek() {
                        Some(b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.at += 1,
                        _ => return Err(self.unexpected("four hex digits behind `\\u`")),
                    }
                }
            }
            _ => {
                self.at += 1;
                return Err(self.unexpected("an escape such as `\\n`"));
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        self.push(Tag::Number, start, self.at - start);
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("a digit"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &'static [u8], tag: Tag) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.unexpected("`true`, `false` or `null`"));
        }
        self.push(tag, self.at, word.len());
        self.at += word.len();
        Ok(())
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[cold]
    fn unexpected(&self, expected: &'static str) -> JsonError {
        let offset = self.at - self.origin;
        match self.bytes.get(self.at) {
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
    if high < 0xdc00 && tail.get(5..7) == Some("\\u") {
        if let Some(low @ 0xdc00..=0xdfff) = unit(tail.get(7..11)) {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
        }
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
