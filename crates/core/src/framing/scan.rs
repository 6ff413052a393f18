//! Finds where a JSON value ends, without parsing it: it follows brackets and strings, and nothing else.
//!
//! It may be fed in pieces of any size, holds no memory that grows with the nesting, and notices two mistakes: a raw
//! newline inside a string, and a bracket that closes another kind. The first is what keeps a lost quote from
//! swallowing the rest of a file. All other mistakes are the parser's to name.

use memchr::memchr3;

/// How many levels of brackets are remembered by kind. The parser refuses what nests deeper, so a mistake there needs
/// no better name.
const KINDS: usize = 128;

/// Why a value cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A raw newline in a string.
    OpenString,
    /// `}` for `[`, or `]` for `{`.
    WrongBracket,
}

/// What a piece of text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// The value goes on behind the piece.
    More,
    /// The value ended in front of that offset of the piece.
    End(usize),
    /// The value is broken at that offset of the piece.
    Bad(usize, Mistake),
}

/// How far into a value the text has been followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scanner {
    depth: usize,
    /// The kinds of the open brackets, the innermost lowest: 1 is an object.
    kinds: u128,
    /// Whether more than `KINDS` brackets were open at once: the kinds are then unknown.
    deep: bool,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// A scanner that stands inside of an object.
    pub(super) fn in_object() -> Scanner {
        Scanner { depth: 1, kinds: 1, ..Scanner::default() }
    }

    /// Follows the next piece. A value begins with `{`, `[` or `"`.
    pub(super) fn scan(&mut self, piece: &[u8]) -> Scan {
        let mut at = 0;
        loop {
            if self.in_string {
                if self.escaped {
                    match piece.get(at) {
                        None => return Scan::More,
                        Some(b'\n') => return Scan::Bad(at, Mistake::OpenString),
                        Some(_) => at += 1,
                    }
                    self.escaped = false;
                }
                let Some(found) = memchr3(b'"', b'\\', b'\n', &piece[at..]) else { return Scan::More };
                at += found + 1;
                match piece[at - 1] {
                    b'"' => self.in_string = false,
                    b'\\' => self.escaped = true,
                    _ => return Scan::Bad(at - 1, Mistake::OpenString),
                }
                if !self.in_string && self.depth == 0 {
                    return Scan::End(at);
                }
                continue;
            }
            let Some(found) = piece[at..].iter().position(|&byte| is_structural(byte)) else { return Scan::More };
            at += found + 1;
            let byte = piece[at - 1];
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.open(byte == b'{'),
                _ if !self.close(byte == b'}') => return Scan::Bad(at - 1, Mistake::WrongBracket),
                _ if self.depth == 0 => return Scan::End(at),
                _ => {}
            }
        }
    }

    fn open(&mut self, object: bool) {
        self.depth += 1;
        self.kinds = self.kinds << 1 | u128::from(object);
        self.deep |= self.depth > KINDS;
    }

    /// Whether the bracket closes the one that is open.
    fn close(&mut self, object: bool) -> bool {
        if self.depth == 0 || (!self.deep && (self.kinds & 1 == 1) != object) {
            return false;
        }
        self.depth -= 1;
        self.kinds >>= 1;
        true
    }
}

fn is_structural(byte: u8) -> bool {
    matches!(byte, b'"' | b'{' | b'}' | b'[' | b']')
}
