//! The spellings of time that the APIs read and write.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Reads what the APIs accept: a date, a date with minutes or seconds and any number of fraction digits, with or
/// without a zone. Without one it is UTC.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim().trim_matches('\'').trim_start_matches("datetime'");
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let bare = text.strip_suffix('Z').unwrap_or(text);
    let civil = match bare.len() {
        // `YYYY-MM-DD` and `YYYY-MM-DDTHH:MM` are not both known to the parser in all their forms.
        10 => bare.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight()),
        _ => bare.parse::<DateTime>().ok()?,
    };
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// `2026-01-05T08:03:11Z`.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-05T08:03:11.123Z`.
pub(crate) fn millis(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// `Mon, 05 Jan 2026 08:03:11 GMT`, as in the `Date` header.
pub(crate) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// That many seconds later (or earlier), inside what a timestamp can hold.
pub(crate) fn plus(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

/// Seconds from one moment to a later one; negative if it is earlier.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_documented_form() {
        for (text, expected) in [
            ("2026-01-05", "2026-01-05T00:00:00Z"),
            ("2026-01-05T08:03", "2026-01-05T08:03:00Z"),
            ("2026-01-05T08:03Z", "2026-01-05T08:03:00Z"),
            ("2026-01-05T08:03:11", "2026-01-05T08:03:11Z"),
            ("2026-01-05T08:03:11Z", "2026-01-05T08:03:11Z"),
            ("2026-01-05T08:03:11.1234567Z", "2026-01-05T08:03:11.1234567Z"),
            ("2026-01-05T10:03:11+02:00", "2026-01-05T08:03:11Z"),
            ("'2026-01-05T08:03:11Z'", "2026-01-05T08:03:11Z"),
            ("datetime'2026-01-05T08:03:11'", "2026-01-05T08:03:11Z"),
        ] {
            assert_eq!(parse(text).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "2026-01-05T25:00"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn writes_what_headers_and_records_have() {
        let time: Timestamp = "2026-01-05T08:03:11.1234567Z".parse().unwrap();
        assert_eq!(seconds(time), "2026-01-05T08:03:11Z");
        assert_eq!(millis(time), "2026-01-05T08:03:11.123Z");
        assert_eq!(http_date(time), "Mon, 05 Jan 2026 08:03:11 GMT");
    }
}
