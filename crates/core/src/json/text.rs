//! The texts of JSON strings: what an escaped one stands for, and how a text is written as one.

use wide::u8x16;

use super::scan::Marks;

/// Whether a text that starts with this byte may be one for [`is_bracketed`].
#[inline]
pub fn may_be_bracketed(first: u8) -> bool {
    matches!(first, b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a text looks like a JSON object or array: it starts with a bracket and ends with its counterpart, blanks
/// aside.
pub fn is_bracketed(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']'))
}

/// Appends to `out` what an escaped string stands for.
///
/// `escaped` is the slice of an [`super::Tag::EscapedString`] node, so its escapes are known to be well formed; what is
/// not is copied as it stands. Lone surrogates become U+FFFD.
pub fn unescape_into(escaped: &str, out: &mut String) {
    // Never longer than it was.
    out.reserve(escaped.len());
    let mut rest = escaped;
    while let Some(at) = backslash(rest.as_bytes()) {
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

/// The first backslash. Where there is one, others are near as a rule: so a look at a few bytes comes before a search.
#[inline]
fn backslash(bytes: &[u8]) -> Option<usize> {
    if let Some(near) = bytes.first_chunk::<16>() {
        let found = u8x16::new(*near).simd_eq(u8x16::splat(b'\\')).to_bitmask();
        if found != 0 {
            return Some(found.trailing_zeros() as usize);
        }
    }
    memchr::memchr(b'\\', bytes)
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
