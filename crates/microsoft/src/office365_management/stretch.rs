//! Stretches of time that are searched for what feeds have missed, and what of them is wanted.
//!
//! The ledger's gaps are times of publication, and a search knows times of events; records are published up to a day
//! after what they tell about. So a gap is searched for from a day before its beginning on. Stretches that touch or
//! overlap are searched in one go: no time is searched that no gap asks for, and none twice. A search gives records of
//! all content types; those of a feed that was not open at their time are left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};

use super::content_type::{ContentType, Told};
use crate::audit_search::search::Sieve;
use crate::clock::{minus, plus};

/// How long after what they tell about records are published, at most.
const LATENESS: Duration = Duration::from_secs(24 * 3600);

/// An open gap of a feed: from when to when content was published that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) content_type: ContentType,
}

impl Missing {
    /// When the events of what is missing were: at least a second, as services count.
    fn events(&self) -> (Timestamp, Timestamp) {
        (minus(self.start, LATENESS), self.end.max(plus(self.start, Duration::from_secs(1))))
    }

    /// Whether an event of that second can be missing.
    fn covers(&self, second: Timestamp) -> bool {
        let (from, to) = self.events();
        from.as_second() <= second.as_second() && second < to
    }
}

/// What is searched in one go.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The first instant that is searched.
    pub(super) start: Timestamp,
    /// The first instant behind it.
    pub(super) end: Timestamp,
    /// The gaps that it is searched for.
    pub(super) missing: Vec<Missing>,
    taken: AtomicU64,
    left_out: AtomicU64,
}

/// The stretches in which all of these can be found, by time.
pub(super) fn stretches(mut missing: Vec<Missing>) -> Vec<Stretch> {
    missing.sort_unstable_by_key(|missing| (missing.start, missing.end, missing.content_type));
    let mut found: Vec<Stretch> = Vec::new();
    for missing in missing {
        let (start, end) = missing.events();
        match found.last_mut().filter(|last| start <= last.end) {
            Some(last) => {
                last.end = last.end.max(end);
                last.missing.push(missing);
            }
            None => {
                let (taken, left_out) = Default::default();
                found.push(Stretch { start, end, missing: vec![missing], taken, left_out });
            }
        }
    }
    found
}

impl Stretch {
    /// The name of its search: that of another one if anything else is to be found by it.
    pub(super) fn name(&self) -> String {
        let what: Vec<String> = self
            .missing
            .iter()
            .map(|missing| format!("{} {} {}", missing.content_type.as_str(), missing.start, missing.end))
            .collect();
        let digest = digest(&SHA256, what.join("\n").as_bytes());
        let mark: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("recovered {} {} {mark}", self.start, self.end)
    }

    /// How many records were taken, and how many left out.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.taken.load(Ordering::Relaxed), self.left_out.load(Ordering::Relaxed))
    }
}

impl Sieve for Stretch {
    /// What does not say when and where it was is taken: twice is better than never.
    fn takes(&self, record: &[u8]) -> bool {
        let told = serde_json::from_slice::<Told<'_>>(record).unwrap_or_default();
        let (content_types, time) = (told.content_types(), told.time());
        let takes = self.missing.iter().any(|missing| {
            content_types.contains(&missing.content_type) && time.is_none_or(|time| missing.covers(time))
        });
        let count = if takes { &self.taken } else { &self.left_out };
        count.fetch_add(1, Ordering::Relaxed);
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::ContentType::{Exchange, SharePoint};
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_767_571_200 + hour * 3600).unwrap()
    }

    fn gap(content_type: ContentType, start: i64, end: i64) -> Missing {
        Missing { start: at(start), end: at(end), content_type }
    }

    #[test]
    fn stretches_that_touch_or_overlap_are_one() {
        let missing =
            vec![gap(Exchange, 100, 100), gap(Exchange, 0, 10), gap(SharePoint, 34, 40), gap(Exchange, 5, 12)];
        let found = stretches(missing);
        let spans: Vec<_> = found.iter().map(|found| (found.start, found.end, found.missing.len())).collect();
        let second = plus(at(100), Duration::from_secs(1));
        assert_eq!(spans, [(at(-24), at(40), 3), (at(76), second, 1)]);
    }

    #[test]
    fn a_search_of_other_gaps_is_another_search() {
        let name = |missing| stretches(missing)[0].name();
        let one = name(vec![gap(Exchange, 0, 10)]);
        assert_eq!(one, name(vec![gap(Exchange, 0, 10)]));
        assert!(one.starts_with("recovered 2026-01-04T00:00:00Z 2026-01-05T10:00:00Z "), "{one}");
        assert_ne!(one, name(vec![gap(SharePoint, 0, 10)]));
        assert_ne!(one, name(vec![gap(Exchange, 0, 10), gap(SharePoint, 2, 3)]));
    }

    #[test]
    fn only_what_an_open_feed_would_have_brought_is_taken() {
        let found = stretches(vec![gap(Exchange, 0, 10), gap(SharePoint, 30, 40)]);
        let record = |workload: &str, hour: i64| {
            let time = at(hour).strftime("%Y-%m-%dT%H:%M:%S").to_string();
            format!(r#"{{"RecordType":1,"Workload":"{workload}","CreationTime":"{time}"}}"#)
        };
        let cases = [
            ("Exchange", -24, true),
            ("Exchange", 9, true),
            ("Exchange", 10, false),
            ("OneDrive", 5, false),
            ("OneDrive", 6, true),
            ("OneDrive", 39, true),
            ("OneDrive", 40, false),
            ("MicrosoftTeams", 5, false),
        ];
        for (workload, hour, taken) in cases {
            assert_eq!(found[0].takes(record(workload, hour).as_bytes()), taken, "{workload} at {hour}");
        }
        assert!(found[0].takes(br#"{"RecordType":1,"Workload":"Exchange"}"#));
        assert!(found[0].takes(b"[]"));
        assert_eq!(found[0].counts(), (6, 4));
    }
}
