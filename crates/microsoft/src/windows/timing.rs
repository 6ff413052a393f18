//! The keys that say from when, until when and how often a feed is read.

use std::fmt;
use std::time::Duration;

use downspout_core::ConfigError;
use downspout_core::config_values::HumanDuration;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::clock::minus;
use crate::config::Mode;

/// A moment in a config: a time (`2026-01-05T00:00:00Z`), or how long ago (`7d`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// That long before now.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl Moment {
    /// When it is, seen from `now`.
    pub fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Moment::Ago(duration) => minus(now, duration),
            Moment::At(time) => time,
        }
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time, such as `2026-01-05T00:00:00Z`, or how long ago, such as `7d`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
        let ago = text.parse::<HumanDuration>().map(|ago| Moment::Ago(ago.0)).ok();
        let at = || text.parse().map(Moment::At).ok();
        ago.or_else(at).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MomentVisitor)
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A time, or how long ago: a whole number and its unit, ms, s, m, h or d.",
            "examples": ["7d", "2026-01-05T00:00:00Z"],
        })
    }
}

/// `start`, if it is left out: a week back.
pub(crate) fn default_start() -> Moment {
    Moment::Ago(Duration::from_secs(7 * 24 * 3600))
}

/// `interval`, if it is left out: five minutes.
pub(crate) fn default_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(300))
}

/// `overlap`, if it is left out: a day.
pub(crate) fn default_overlap() -> HumanDuration {
    HumanDuration(Duration::from_secs(24 * 3600))
}

/// When feeds are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How far back the first read goes.
    pub(crate) start: Moment,
    /// Where reading ends.
    pub(crate) until: Option<Moment>,
    /// How often the newest stretch is read.
    pub(crate) interval: Duration,
    /// Up to which age a stretch is read again; each feed's own if there is none.
    pub(crate) overlap: Option<Duration>,
    /// Whether reading ends.
    pub(crate) mode: Mode,
}

impl Timing {
    /// Checks the keys.
    ///
    /// # Errors
    /// All mistakes.
    pub(crate) fn plan(self) -> Result<Timing, Vec<ConfigError>> {
        let mut errors = Vec::new();
        if self.interval < Duration::from_secs(1) {
            errors.push(ConfigError::at("interval", "it must be at least 1s"));
        }
        if let (Moment::At(start), Some(Moment::At(until))) = (self.start, self.until)
            && until <= start
        {
            errors.push(ConfigError::at("until", format!("{until} is not behind `start`, {start}")));
        }
        if self.until.is_some() && self.mode == Mode::Follow {
            errors.push(ConfigError::at("until", "an end belongs to `mode: once`").help("add `mode: once`"));
        }
        if errors.is_empty() { Ok(self) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_durations() {
        let read = |text: &str| serde_json::from_value::<Moment>(text.into());
        let now: Timestamp = "2026-01-08T00:00:00Z".parse().unwrap();
        for (text, expected) in [("3d", "2026-01-05T00:00:00Z"), ("2026-01-05T01:00:00+01:00", "2026-01-05T00:00:00Z")]
        {
            assert_eq!(read(text).unwrap().from(now).to_string(), expected);
        }
        let told = read("yesterday").unwrap_err().to_string();
        assert!(told.contains("expected a time, such as"), "{told}");
    }

    #[test]
    fn mistakes_are_told_at_their_keys() {
        let at = |text: &str| Moment::At(text.parse().unwrap());
        let timing = Timing {
            start: at("2026-01-05T00:00:00Z"),
            until: Some(at("2026-01-04T00:00:00Z")),
            interval: Duration::ZERO,
            overlap: None,
            mode: Mode::Follow,
        };
        let keys: Vec<String> = timing.plan().unwrap_err().into_iter().map(|error| error.key).collect();
        assert_eq!(keys, ["interval", "until", "until"]);
    }
}
