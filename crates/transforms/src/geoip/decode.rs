//! Values of the MaxMind DB format.
//!
//! A value is a byte that tells its type and length, and what belongs to it; or it points to another place. Nothing in
//! a file is trusted: how deep values lie in one another, and how many bytes are read for one record, is limited.

use std::io;
use std::ops::Range;

use serde_json::{Map, Number, Value};

use super::pages::Pages;

/// How deep values and pointers may lie in one another. Known databases need six.
const MAX_DEPTH: u32 = 32;
/// How many bytes are read for one record, what it points to included. Known databases need two thousand.
const MAX_BYTES: usize = 64 << 10;

/// An error of the file's content.
pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("invalid database: {what}"))
}

/// The value at an offset of a section, with all it points to. Bytes are `null`; numbers that JSON has not (NaN, more
/// than 64 bits) are texts.
///
/// # Errors
/// If there is no value, it goes beyond the section or the limits, or the disk does not give it.
pub(super) fn decode(pages: &mut Pages, section: Range<u64>, offset: u64) -> io::Result<Value> {
    let at = section.start + offset;
    Decoder { pages, section, at, left: MAX_BYTES }.value(0)
}

struct Decoder<'p> {
    pages: &'p mut Pages,
    section: Range<u64>,
    /// Where in the file the next byte is.
    at: u64,
    /// How many bytes may still be read.
    left: usize,
}

impl Decoder<'_> {
    fn value(&mut self, depth: u32) -> io::Result<Value> {
        if depth > MAX_DEPTH {
            return Err(invalid("values lie too deep in one another"));
        }
        let control = self.number(1, 1)? as u8;
        let kind = match control >> 5 {
            // More types than fit into three bits.
            0 => self.number(1, 1)? as usize + 7,
            1 => return self.pointed_to(control, depth),
            kind => usize::from(kind),
        };
        let size = match usize::from(control & 0x1f) {
            29 => 29 + self.number(1, 1)? as usize,
            30 => 285 + self.number(2, 2)? as usize,
            31 => 65_821 + self.number(3, 3)? as usize,
            size => size,
        };
        Ok(match (kind, size) {
            (2, _) => Value::String(self.text(size)?),
            (3, 8) => float(f64::from_bits(self.number(8, 8)? as u64)),
            (4, _) => {
                self.skip(size)?;
                Value::Null
            }
            (5, _) => unsigned(self.number(size, 2)?),
            (6, _) => unsigned(self.number(size, 4)?),
            (7, _) => self.map(size, depth)?,
            (8, _) => Value::from(self.number(size, 4)? as u32 as i32),
            (9, _) => unsigned(self.number(size, 8)?),
            (10, _) => unsigned(self.number(size, 16)?),
            (11, _) => (0..size).map(|_| self.value(depth + 1)).collect::<io::Result<_>>()?,
            (14, 0 | 1) => Value::Bool(size == 1),
            (15, 4) => short_float(f32::from_bits(self.number(4, 4)? as u32)),
            _ => return Err(invalid(&format!("unknown data type: {kind} of size {size}"))),
        })
    }

    fn pointed_to(&mut self, control: u8, depth: u32) -> io::Result<Value> {
        let high = u64::from(control & 7);
        let offset = match control >> 3 & 3 {
            0 => (high << 8) + self.number(1, 1)? as u64,
            1 => (high << 16) + self.number(2, 2)? as u64 + 2048,
            2 => (high << 24) + self.number(3, 3)? as u64 + 526_336,
            _ => self.number(4, 4)? as u64,
        };
        let next = std::mem::replace(&mut self.at, self.section.start + offset);
        let value = self.value(depth + 1)?;
        self.at = next;
        Ok(value)
    }

    fn map(&mut self, size: usize, depth: u32) -> io::Result<Value> {
        let mut members = Map::new();
        for _ in 0..size {
            let Value::String(key) = self.value(depth + 1)? else {
                return Err(invalid("a key is not a text"));
            };
            members.insert(key, self.value(depth + 1)?);
        }
        Ok(Value::Object(members))
    }

    fn text(&mut self, size: usize) -> io::Result<String> {
        let start = self.skip(size)?;
        let mut text = vec![0; size];
        self.pages.read(start, &mut text)?;
        String::from_utf8(text).map_err(|_| invalid("invalid UTF-8 in string"))
    }

    /// An unsigned number of at most 16 bytes.
    fn number(&mut self, size: usize, limit: usize) -> io::Result<u128> {
        if size > limit {
            return Err(invalid("a number is too long"));
        }
        let start = self.skip(size)?;
        let mut bytes = [0; 16];
        self.pages.read(start, &mut bytes[16 - size..])?;
        Ok(u128::from_be_bytes(bytes))
    }

    /// Passes over some bytes and gives where they begin.
    fn skip(&mut self, size: usize) -> io::Result<u64> {
        let start = self.at;
        let end = start + size as u64;
        if end > self.section.end {
            return Err(invalid("unexpected end of buffer"));
        }
        self.left = self.left.checked_sub(size).ok_or_else(|| invalid("a record is too large"))?;
        self.at = end;
        Ok(start)
    }
}

fn unsigned(value: u128) -> Value {
    number_or_text(Number::from_u128(value), value)
}

fn float(value: f64) -> Value {
    number_or_text(Number::from_f64(value), value)
}

fn number_or_text(number: Option<Number>, value: impl ToString) -> Value {
    number.map_or_else(|| Value::String(value.to_string()), Value::Number)
}

/// By way of its own text, so that a 32-bit 37.751 does not become 37.750999450683594.
fn short_float(value: f32) -> Value {
    float(value.to_string().parse().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decoded(bytes: &[u8], offset: u64) -> Result<Value, String> {
        let mut pages = Pages::with(bytes);
        decode(&mut pages, 0..bytes.len() as u64, offset).map_err(|error| error.to_string())
    }

    #[test]
    fn every_type() {
        for (bytes, expected) in [
            (&b"\x43abc"[..], json!("abc")),
            (b"\x40", json!("")),
            (b"\x68\xc0\x12\x00\x00\x00\x00\x00\x00", json!(-4.5)),
            (b"\x68\x7f\xf8\x00\x00\x00\x00\x00\x00", json!("NaN")),
            (b"\x82\xff\xfe", json!(null)),
            (b"\xa0", json!(0)),
            (b"\xa2\x01\x00", json!(256)),
            (b"\xc4\xff\xff\xff\xff", json!(u32::MAX)),
            (b"\x04\x01\xff\xff\xff\xfe", json!(-2)),
            (b"\x01\x01\x07", json!(7)),
            (b"\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff", json!(u64::MAX)),
            (b"\x09\x03\x01\0\0\0\0\0\0\0\0", json!("18446744073709551616")),
            (b"\x02\x04\x41a\xa1\x05", json!(["a", 5])),
            (b"\x00\x07", json!(false)),
            (b"\x01\x07", json!(true)),
            (b"\x04\x08\x42\x17\x01\x06", json!(37.751)),
            (b"\xe2\x41a\xe0\x41b\x41c", json!({ "a": {}, "b": "c" })),
            // Twice the same text, by a pointer.
            (b"\x02\x04\x41a\x20\x02", json!(["a", "a"])),
        ] {
            assert_eq!(decoded(bytes, 0), Ok(expected), "{bytes:x?}");
        }
        for (size, head) in [(29, &b"\x5d\x00"[..]), (285, b"\x5e\x00\x00"), (65_000, b"\x5e\xfc\xcb")] {
            let text = "x".repeat(size);
            assert_eq!(decoded(&[head, text.as_bytes()].concat(), 0), Ok(json!(text)));
        }
    }

    #[test]
    fn pointers_of_every_length() {
        for (pointer, target) in [
            (&b"\x27\xff"[..], 0x7ff),
            (b"\x28\x00\x00", 2048),
            (b"\x2f\xff\xff", 2048 + 0x7_ffff),
            (b"\x30\x00\x00\x00", 526_336),
            (b"\x38\x00\x00\x10\x00", 4096),
        ] {
            let mut bytes = pointer.to_vec();
            bytes.resize(target, 0);
            bytes.extend(b"\x42ok");
            assert_eq!(decoded(&bytes, 0), Ok(json!("ok")), "{pointer:x?}");
        }
    }

    #[test]
    fn what_is_wrong_or_has_no_end_is_an_error() {
        // An array of twenty pointers to the one before: 20^9 values in 400 bytes.
        let mut fan = vec![0x40, 0];
        for level in 0..9_u16 {
            let before = if level == 0 { 0 } else { 2 + 42 * (level - 1) };
            fan.extend([20, 4]);
            fan.extend([0x20 | (before >> 8) as u8, before as u8].repeat(20));
        }
        let last = fan.len() as u64 - 42;
        for (bytes, offset, expected) in [
            (fan.as_slice(), last, "a record is too large"),
            (b"\x20\x00", 0, "values lie too deep in one another"),
            (b"\x01\x04".repeat(99).as_slice(), 0, "values lie too deep in one another"),
            (b"\x01\x04\x20\x00", 0, "values lie too deep in one another"),
            (b"\x5f\xff\xff\xff", 0, "unexpected end of buffer"),
            (b"\x1f\x04\xff\xff\xff", 0, "unexpected end of buffer"),
            (b"\x38\xff\xff\xff\xff", 0, "unexpected end of buffer"),
            (b"\x42a", 0, "unexpected end of buffer"),
            (b"", 0, "unexpected end of buffer"),
            (b"\x41\xff", 0, "invalid UTF-8 in string"),
            (b"\xe1\xa0\xa0", 0, "a key is not a text"),
            (b"\xa3\0\0\0", 0, "a number is too long"),
            (b"\x67\0\0\0\0\0\0\0", 0, "unknown data type: 3 of size 7"),
            (b"\x02\x07", 0, "unknown data type: 14 of size 2"),
            (b"\x00\xff", 0, "unknown data type: 262 of size 0"),
        ] {
            assert_eq!(decoded(bytes, offset), Err(format!("invalid database: {expected}")), "{bytes:x?}");
        }
        let large = [&b"\x5f\x00\x00\x00"[..], &[b'x'; 65_821]].concat();
        assert_eq!(decoded(&large, 0), Err("invalid database: a record is too large".to_owned()));
    }
}
