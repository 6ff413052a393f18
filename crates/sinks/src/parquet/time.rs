//! Times as Microsoft's logs write them, to microseconds since 1970.
//!
//! Written by hand because every record has one and a general parser costs ten times as much. Times in the format of
//! a local culture (`9/20/2023 4:05:03 AM`) are not read: which of them is the day cannot be known.

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// A time in ISO 8601: `2026-11-22T10:09:55`, seconds optional, up to nine digits of a second, `Z` or an offset. No zone
/// means UTC, which is what Microsoft's documentation says of the fields that lack one. Gives microseconds since 1970
/// in UTC; smaller digits are cut off. `None` for everything else.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_first_chunk::<10>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let days = days_from_civil(year, two(m1, m2)?, two(d1, d2)?)?;
    let (clock, mut rest) = rest.split_first_chunk::<6>()?;
    let [b'T' | b't' | b' ', h1, h2, b':', i1, i2] = *clock else { return None };
    let (hour, minute) = (two(h1, h2)?, two(i1, i2)?);
    let mut micros = 0;
    let mut second = 0;
    if let [b':', s1, s2, tail @ ..] = rest {
        second = two(*s1, *s2)?;
        rest = tail;
        if let [b'.' | b',', tail @ ..] = rest {
            let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            for digit in tail[..digits].iter().chain(b"000000").take(6) {
                micros = micros * 10 + i64::from(digit - b'0');
            }
            rest = &tail[digits..];
        }
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // A leap second has no number of its own.
    let seconds = hour * 3600 + minute * 60 + second.min(59);
    Some(days * DAY + (seconds - offset_seconds(rest)?) * 1_000_000 + micros)
}

/// The day of a time, in days since 1970.
pub(super) fn day_of(micros: i64) -> i32 {
    // Four-digit years keep this far inside 32 bits.
    micros.div_euclid(DAY) as i32
}

/// A day as `2026-11-22`.
pub(super) fn format_day(day: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(day));
    format!("{year:04}-{month:02}-{day:02}")
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then_some(i64::from(tens) * 10 + i64::from(ones))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, h1, h2, m1, m2) = match *zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2] => (sign, h1, h2, b'0', b'0'),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, h1, h2, m1, m2),
        _ => return None,
    };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    let seconds = hours * 3600 + minutes * 60;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Days since 1970 of a date in the Gregorian calendar. The year is counted from March, so that the day which leap
/// years insert is its last.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468)
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    // 400 years have 146,097 days.
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + i64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jiff(text: &str) -> Option<i64> {
        text.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond())
    }

    #[test]
    fn forms() {
        let noon = 1_795_348_800_000_000;
        for (text, expected) in [
            ("2026-11-22T12:00:00", noon),
            ("2026-11-22T12:00:00Z", noon),
            ("2026-11-22t12:00:00z", noon),
            ("2026-11-22 12:00:00", noon),
            ("2026-11-22T12:00", noon),
            ("2026-11-22T12:00Z", noon),
            ("2026-11-22T12:00:00.1", noon + 100_000),
            ("2026-11-22T12:00:00.0000019Z", noon + 1),
            ("2026-11-22T12:00:00.123456789+00:00", noon + 123_456),
            ("2026-11-22T14:30:00+02:30", noon),
            ("2026-11-22T14:30:00+0230", noon),
            ("2026-11-22T04:00:00-08", noon),
            ("2026-11-22T11:59:60Z", noon - 1_000_000),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
        ] {
            assert_eq!(parse_time(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T",
            "2026-11-22T12",
            "9/20/2023 4:05:03 AM",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T12:60:00Z",
            "2026-11-22T12:00:61Z",
            "2026-11-22T12:00:00.",
            "2026-11-22T12:00:00.1234567890Z",
            "2026-11-22T12:00:00ZZ",
            "2026-11-22T12:00:00+24:00",
            "2026-11-22T12:00:00+2",
            "2026-11-22T12:00:00 Z",
            " 2026-11-22T12:00:00Z",
            "2026-11-22T12:00:00Z ",
            "20261122T120000Z",
            "2026-11-2212:00:00",
            "２026-11-22T12:00",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_digit_years_prints_as_it_was_read() {
        let first = day_of(parse_time("0001-01-01T00:00:00Z").unwrap());
        let last = day_of(parse_time("9999-12-31T23:59:59Z").unwrap());
        assert_eq!(last - first + 1, 3_652_059);
        for day in first..=last {
            assert_eq!(parse_time(&format!("{}T00:00:00", format_day(day))), Some(i64::from(day) * DAY));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(
            micros in -62_135_596_800_000_000i64..253_402_207_200_000_000,
            minutes in -1_439i32..1_440,
        ) {
            let time = jiff::Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(parse_time(&time.to_string()), Some(micros));
            let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
            let text = time.display_with_offset(offset).to_string();
            if text.len() >= 25 && !text.starts_with('-') && !text.starts_with("0000") {
                prop_assert_eq!(parse_time(&text), Some(micros), "{}", text);
            }
            prop_assert_eq!(format_day(day_of(micros)), time.to_string()[..10].to_owned());
        }

        #[test]
        fn reads_what_jiff_reads(text in "20[0-3][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])") {
            prop_assert_eq!(parse_time(&text), jiff(&text), "{}", text);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse_time(&text);
        }
    }
}
