//! Values that configs write in a form of their own: durations (`30s`), sizes (`64MiB`) and secrets.
//!
//! They live here because every component's config struct may use them. Their errors never quote the text: the
//! caller does, and knows whether it may be shown.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// The units of a duration with their milliseconds, the largest first.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of a size with their bytes; the first of those that divide a size is used to print it.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Why a text is no value; says what would be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not of the form of a duration.
    #[error("a duration: a whole number and its unit (ms, s, m, h or d), such as `30s`")]
    NotADuration,
    /// More than 2^64 milliseconds.
    #[error("a duration that is not longer than 213503982334d")]
    DurationTooLong,
    /// Not of the form of a size.
    #[error("a size: bytes, or a whole number and its unit (KB, MB, GB, KiB, MiB, GiB), such as `64MiB`")]
    NotASize,
    /// More than 2^64 bytes.
    #[error("a size of less than 16777216TiB")]
    SizeTooLarge,
}

/// So that an error reads "expected a duration: ..., found ...".
impl de::Expected for ValueError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// A duration in a config: a whole number and its unit, `500ms`, `30s`, `5m`, `12h` or `7d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

impl FromStr for HumanDuration {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, unit) = split_unit(text).ok_or(ValueError::NotADuration)?;
        let factor = factor(&TIME_UNITS, unit).ok_or(ValueError::NotADuration)?;
        let milliseconds = multiply(number, factor).ok_or(ValueError::DurationTooLong)?;
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

/// Prints the largest unit that divides the duration; what is below a millisecond is cut off.
impl Display for HumanDuration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        let divides = |unit: &&(&str, u64)| milliseconds.is_multiple_of(u128::from(unit.1));
        let (unit, factor) = TIME_UNITS.iter().find(divides).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", milliseconds / u128::from(*factor))
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&ValueError::NotADuration, f)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
        text.parse().map_err(|error| E::invalid_value(Unexpected::Str(text), &error))
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A whole number and its unit: ms, s, m, h or d.",
            "pattern": r"^[0-9]+ ?(ms|s|m|h|d)$|\$\{.+\}",
            "examples": ["500ms", "30s", "5m", "12h", "7d"],
        })
    }
}

/// A number of bytes in a config: `64MiB`, `10MB`, `1GiB`, or a plain number. Units are spelled as listed, since
/// `mb` may mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, unit) = split_unit(text).ok_or(ValueError::NotASize)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let factor = factor(&SIZE_UNITS, unit).ok_or(ValueError::NotASize)?;
        let bytes = multiply(number, factor).ok_or(ValueError::SizeTooLarge)?;
        Ok(Self(bytes))
    }
}

/// Prints the first unit of the list that divides the size.
impl Display for ByteSize {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let divides = |unit: &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(unit.1);
        let (unit, factor) = SIZE_UNITS.iter().find(divides).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&ValueError::NotASize, f)
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(|error| E::invalid_value(Unexpected::Str(text), &error))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "A number of bytes, or a whole number and its unit: KB, MB, GB, TB, KiB, MiB, GiB, TiB.",
            "minimum": 0,
            "pattern": r"^[0-9]+ ?([kKMGT]?B|[KMGT]iB)?$|\$\{.+\}",
            "examples": ["64MiB", "10MB", "1GiB", 65536],
        })
    }
}

/// A text that must not be shown: it prints as `***` and cannot be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be used and not to be kept: for a request header, never for a log or an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Display for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A secret; better `${VAR}` or `${file:PATH}` than the text itself.",
            "writeOnly": true,
        })
    }
}

/// The digits that a text begins with, and its unit, with at most one blank between.
fn split_unit(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (digits > 0).then(|| (number, unit.strip_prefix(' ').unwrap_or(unit)))
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    let found = units.iter().find(|(name, _)| *name == unit);
    found.map(|(_, factor)| *factor)
}

/// None if the product (or the number itself) does not fit.
fn multiply(number: &str, factor: u64) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let valid = [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
            ("0s", 0),
            ("5 m", 300_000),
            ("18446744073709551615ms", u64::MAX),
        ];
        for (text, milliseconds) in valid {
            let expected = HumanDuration(Duration::from_millis(milliseconds));
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1.5h", "1h30m", "30S", "30  s", "30s ", "3٣s", "30sec"] {
            let result = text.parse::<HumanDuration>();
            assert_eq!(result, Err(ValueError::NotADuration), "{text}");
        }
        for text in ["213503982335d", "18446744073709551616ms"] {
            let result = text.parse::<HumanDuration>();
            assert_eq!(result, Err(ValueError::DurationTooLong), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_a_number_and_a_unit() {
        let valid = [
            ("64MiB", 64 << 20),
            ("10MB", 10_000_000),
            ("1GiB", 1 << 30),
            ("2 kB", 2_000),
            ("2KB", 2_000),
            ("0", 0),
            ("65536", 65_536),
            ("7B", 7),
        ];
        for (text, bytes) in valid {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MB", "-1", "1.5GB", "64mib", "64Mb", "64 M B"] {
            let result = text.parse::<ByteSize>();
            assert_eq!(result, Err(ValueError::NotASize), "{text}");
        }
        let result = "16777216TiB".parse::<ByteSize>();
        assert_eq!(result, Err(ValueError::SizeTooLarge));
    }

    #[test]
    fn values_print_as_they_are_written() {
        let durations = ["500ms", "30s", "5m", "12h", "7d", "1500ms", "90m", "0s"];
        for text in durations {
            let value: HumanDuration = text.parse().unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(serde_json::to_value(value).unwrap(), text);
        }
        for text in ["64MiB", "10MB", "1GiB", "65537B", "0B", "3KiB", "3KB"] {
            let value: ByteSize = text.parse().unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(serde_json::to_value(value).unwrap(), text);
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let error = serde_json::from_str::<HumanDuration>("30").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid type: integer `30`, expected a duration: a whole number and its unit \
             (ms, s, m, h or d), such as `30s` at line 1 column 2"
        );
        assert!(serde_json::from_str::<ByteSize>("-1").is_err());
        assert_eq!(serde_json::from_str::<ByteSize>("7").unwrap(), ByteSize(7));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn schemas_describe_the_written_form() {
        let duration = schemars::schema_for!(HumanDuration).to_value();
        assert_eq!(duration["type"], "string");
        let size = schemars::schema_for!(ByteSize).to_value();
        assert_eq!(size["type"], serde_json::json!(["string", "integer"]));
        let secret = schemars::schema_for!(Secret).to_value();
        assert_eq!(secret["writeOnly"], true);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn printing_and_reading_give_the_same_value(number in any::<u64>()) {
            let size = ByteSize(number);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            let duration = HumanDuration(Duration::from_millis(number));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn any_text_is_a_value_or_an_error(text in ".*") {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<HumanDuration>();
        }
    }
}
