//! The tokens of JSON: strings, numbers and words, each read and checked by itself.

use wide::u8x16;

use super::JsonError;

/// Reads tokens of a text. Its methods take the position to read at and give the position behind what they read, so
/// that it stays in a register.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    marks: Marks<'a>,
    /// Where the record starts, for offsets in messages.
    origin: usize,
}

/// Where the content of a string ends; its closing quote stands there.
pub(crate) struct StringEnd {
    pub(crate) end: usize,
    /// Whether there are escapes in it.
    pub(crate) escaped: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner of `text[start..end]`. Each string it reads must not lie before the last one.
    pub(crate) fn new(text: &'a str, start: usize, end: usize) -> Self {
        Scanner { bytes: &text.as_bytes()[..end], marks: Marks::new(text.as_bytes(), start), origin: start }
    }

    /// What is scanned, from the start of the text on.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the content ends of a string whose opening quote stands before `start`.
    #[inline(always)]
    pub(crate) fn string(&mut self, start: usize) -> Result<StringEnd, JsonError> {
        let end = self.marks.first_from(start);
        if self.byte(end) != b'"' {
            return self.escaped_string(end);
        }
        Ok(StringEnd { end, escaped: false })
    }

    /// The rest of a string that is not plain at `at`.
    #[inline(never)]
    fn escaped_string(&mut self, mut at: usize) -> Result<StringEnd, JsonError> {
        loop {
            match self.peek(at) {
                Some(b'"') => return Ok(StringEnd { end: at, escaped: true }),
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

    /// A number, as it is written.
    pub(crate) fn number(&self, start: usize) -> Result<usize, JsonError> {
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

    /// One of JSON's three words.
    pub(crate) fn word(&self, at: usize, word: &'static [u8]) -> Result<usize, JsonError> {
        if !self.bytes[at..].starts_with(word) {
            return Err(self.unexpected(at, "`true`, `false` or `null`"));
        }
        Ok(at + word.len())
    }

    #[inline]
    fn peek(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// The byte at `at`; 0, which JSON has no use for, at the end.
    #[inline(always)]
    pub(crate) fn byte(&self, at: usize) -> u8 {
        self.peek(at).unwrap_or(0)
    }

    /// The first position from `at` on that is not blank, and its byte.
    #[inline(always)]
    pub(crate) fn solid(&self, at: usize) -> (usize, u8) {
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

    /// The error of finding something else than `expected` at `at`.
    #[cold]
    pub(crate) fn unexpected(&self, at: usize, expected: &'static str) -> JsonError {
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

/// Finds what ends a run of plain characters in a string: quotes, backslashes and control characters.
///
/// They are looked for 64 bytes at a time, by vector instructions, ahead of the reader. So where a string ends is
/// known without waiting for where it began, which is what makes reading fast.
pub(super) struct Marks<'a> {
    bytes: &'a [u8],
    /// Where the present block starts, and a bit for each mark in it.
    block: usize,
    bits: u64,
}

impl<'a> Marks<'a> {
    /// Marks from `start` on.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        Marks { bytes, block: start, bits: Self::bits(bytes, start) }
    }

    /// The first mark at `at` or behind it; the length if there is none. Each call's `at` is not before the last's.
    #[inline(always)]
    pub(super) fn first_from(&mut self, at: usize) -> usize {
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
