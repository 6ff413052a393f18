//! Numbers, compared as they are written.
//!
//! Ids of 64 bits and more stand in audit records; as floats two of them may be one. So whole numbers compare as
//! whole numbers, and only the rest as floats.

use std::cmp::Ordering;

/// A number in the form in which it compares.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    /// The number that a text holds, in JSON's notation.
    pub(super) fn parse(text: &str) -> Option<Number> {
        if !is_number(text) {
            return None;
        }
        match text.parse() {
            Ok(whole) => Some(Number::Whole(whole)),
            Err(_) => text.parse().ok().map(Number::Float),
        }
    }

    pub(super) fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => Some(a.cmp(&b)),
            (a, b) => a.float().partial_cmp(&b.float()),
        }
    }

    fn float(self) -> f64 {
        match self {
            Number::Whole(whole) => whole as f64,
            Number::Float(float) => float,
        }
    }
}

/// Whether a text is a number of JSON, with leading zeros allowed.
pub(super) fn is_number(text: &str) -> bool {
    let mut rest = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if !digits(&mut rest) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = fraction;
        if !digits(&mut rest) {
            return false;
        }
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        rest = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
        if !digits(&mut rest) {
            return false;
        }
    }
    rest.is_empty()
}

/// Takes digits off; false if there is none.
fn digits(rest: &mut &[u8]) -> bool {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    *rest = &rest[count..];
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        for (a, order, b) in [
            ("1", Ordering::Equal, "1.0"),
            ("9007199254740993", Ordering::Greater, "9007199254740992"),
            ("-1", Ordering::Less, "0.5e-3"),
            ("12345678901234567890123456789012345678901234567890", Ordering::Greater, "1e10"),
            ("010", Ordering::Equal, "10"),
        ] {
            let compared = Number::parse(a).unwrap().compare(Number::parse(b).unwrap());
            assert_eq!(compared, Some(order), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", "-", "+1", ".5", "1.", "1e", "1e+", "0x10", "inf", "NaN", " 1", "1 ", "1_0", "--1"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }
}
