//! Times as the feeds write them, and the hours in which people work.
//!
//! Times are milliseconds since 1970 inside the world: cheap to add to and to compare.

use super::rng::push_number;

pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// How a feed writes a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `2026-01-05T08:03:11`
    Plain,
    /// `2026-01-05T08:03:11Z`
    Zulu,
    /// `2026-01-05T08:03:11.1230000Z`
    Fine,
    /// `2026-01-05T08:03:11.1230000+00:00`
    Offset,
    /// `2026-01-05`
    Date,
}

/// Year, month and day of a day since 1970.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    // Counts in eras of 400 years that begin in March, so that leap days come last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn push_two(out: &mut String, number: i64) {
    out.push(char::from(b'0' + (number / 10 % 10) as u8));
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// Appends a time. Digits below the millisecond are zero: what a record says is exactly when it happened.
pub(super) fn push_time(out: &mut String, at: i64, form: Form) {
    let (year, month, day) = civil(at.div_euclid(DAY));
    push_number(out, year);
    out.push('-');
    push_two(out, month);
    out.push('-');
    push_two(out, day);
    if form == Form::Date {
        return;
    }
    let millis = at.rem_euclid(DAY);
    out.push('T');
    push_two(out, millis / HOUR);
    out.push(':');
    push_two(out, millis / MINUTE % 60);
    out.push(':');
    push_two(out, millis / SECOND % 60);
    if matches!(form, Form::Fine | Form::Offset) {
        let digits = 10_000_000 + millis % SECOND * 10_000;
        let start = out.len();
        push_number(out, digits);
        // The leading 1 only kept the zeros: it becomes the point.
        out.replace_range(start..=start, ".");
    }
    match form {
        Form::Zulu | Form::Fine => out.push('Z'),
        Form::Offset => out.push_str("+00:00"),
        Form::Plain | Form::Date => {}
    }
}

/// How lively a person is at a time of their own place: 1 at the height of a working day, 0.01 at its lowest.
pub(super) fn liveliness(local: i64, starts: i64, ends: i64) -> f64 {
    // 1970-01-01 was a Thursday.
    let weekend = matches!((local.div_euclid(DAY) + 4).rem_euclid(7), 0 | 6);
    let of_day = local.rem_euclid(DAY);
    let noon = (of_day - (12 * HOUR + 15 * MINUTE)).abs() < 30 * MINUTE;
    let working = of_day >= starts && of_day < ends;
    match (weekend, working) {
        (false, true) if noon => 0.45,
        (false, true) => 1.0,
        (false, false) if of_day >= ends && of_day < 22 * HOUR => 0.08,
        (false, false) if of_day >= 6 * HOUR && of_day < starts => 0.12,
        (true, true) => 0.06,
        _ => 0.01,
    }
}
