//! What an unquoted scalar means: the core schema of YAML 1.2 (section 10.3.2 of the specification).
//!
//! `yes`, `no`, `on` and `1_000` are strings there, unlike in YAML 1.1.

/// The meaning of a plain scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

/// Decides what a plain scalar with this text is.
pub(super) fn classify(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Plain::Float(f64::NAN),
        _ => classify_number(text),
    }
}

fn classify_number(text: &str) -> Plain {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let negative = text.starts_with('-');
        return Plain::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    if let Ok(whole) = text.parse::<i128>() {
        return Plain::Int(whole);
    }
    // What Rust reads as a finite float and starts with a digit or a dot is what the core schema calls a float.
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Plain::Float(number),
        _ => Plain::Text,
    }
}

fn radix(digits: &str, radix: u32) -> Plain {
    // `from_str_radix` would take a sign after the prefix, which YAML does not.
    if digits.starts_with(['-', '+']) {
        return Plain::Text;
    }
    i128::from_str_radix(digits, radix).map_or(Plain::Text, Plain::Int)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let cases = [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("null", Plain::Null),
            ("nULL", Plain::Text),
            ("true", Plain::Bool(true)),
            ("False", Plain::Bool(false)),
            ("yes", Plain::Text),
            ("on", Plain::Text),
            ("0", Plain::Int(0)),
            ("-17", Plain::Int(-17)),
            ("+17", Plain::Int(17)),
            ("007", Plain::Int(7)),
            ("0x1F", Plain::Int(31)),
            ("0o17", Plain::Int(15)),
            ("0x", Plain::Text),
            ("0x-1", Plain::Text),
            ("1_000", Plain::Text),
            ("1.5", Plain::Float(1.5)),
            (".5", Plain::Float(0.5)),
            ("1.", Plain::Float(1.0)),
            ("-1e3", Plain::Float(-1000.0)),
            (".", Plain::Text),
            ("-", Plain::Text),
            ("+", Plain::Text),
            ("--1", Plain::Text),
            ("1e999", Plain::Text),
            ("inf", Plain::Text),
            ("nan", Plain::Text),
            ("infinity", Plain::Text),
            (".inf", Plain::Float(f64::INFINITY)),
            ("-.INF", Plain::Float(f64::NEG_INFINITY)),
            ("1.2.3.4", Plain::Text),
            ("2026-11-22", Plain::Text),
            ("12h", Plain::Text),
            ("340282366920938463463374607431768211456", Plain::Float(2f64.powi(128))),
        ];
        for (text, expected) in cases {
            assert_eq!(classify(text), expected, "{text:?}");
        }
        assert!(matches!(classify(".nan"), Plain::Float(number) if number.is_nan()));
    }
}
