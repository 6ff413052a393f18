//! Which stretches of time to ask for, and when to ask again.
//!
//! Records turn up after the time that they bear: minutes, hours, for some feeds days later. So every stretch is read
//! more than once: as soon as it has settled, and again when it is older. Reading the whole overlap at every poll
//! would cost a large tenant its budget (six hours each five minutes is seventy-two times the traffic). Instead the
//! ages at which a stretch is read again grow by a factor: with an interval of five minutes and an overlap of six
//! hours these are 5, 15, 45, 135 and 360 minutes. A record that was late by `d` is found when its stretch is about
//! three times `d` old, and one that was late by up to the whole overlap is never missed.
//!
//! Each age has a cursor: the stretches before it have been read at that age or a greater one. The cursors are all
//! that must be remembered, and an outage needs no care: the deepest cursor lags behind, and reading from it on
//! satisfies the others as it goes.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{between, minus};
use crate::ledger::{Gap, Reason};

/// By how much the ages grow.
const FACTOR: u32 = 3;

/// A stretch of time. Both ends are whole seconds, and both are read: services understand `ge` and `le` everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
}

impl Window {
    /// How long it is.
    pub fn length(&self) -> Duration {
        between(self.start, self.end)
    }

    /// All of it is missing.
    pub(crate) fn gap(self, reason: Reason, why: &str) -> Gap {
        Gap { start: self.start, end: self.end, reason, detail: why.to_owned(), items: 0, filled_by: None }
    }

    /// What of it lies between two times, the first of which is a whole second.
    pub(super) fn within(self, from: Timestamp, to: Timestamp) -> Window {
        Window { start: self.start.max(from), end: self.end.min(whole(to)) }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

/// When a feed is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The ages at which a stretch is read, in seconds: zero, and growing.
    ages: Vec<u64>,
    /// How old the newest stretch is that is read at all.
    settle: Duration,
    /// How far back the service knows anything.
    keeps: Duration,
}

impl Schedule {
    /// A schedule. `interval`: how often the newest stretch is read; `overlap`: up to which age a stretch is read
    /// again; `settle`: how old it is at first; `keeps`: how far back the service knows anything.
    pub(crate) fn new(interval: Duration, overlap: Duration, settle: Duration, keeps: Duration) -> Self {
        let (mut age, overlap) = (interval.as_secs().max(1), overlap.as_secs());
        let mut ages = vec![0];
        // One that is close to the overlap would find little that the last one does not find soon after.
        while age.saturating_mul(2) <= overlap {
            ages.push(age);
            age = age.saturating_mul(FACTOR.into());
        }
        if overlap > 0 {
            ages.push(overlap);
        }
        Schedule { ages, settle, keeps }
    }

    /// How far back the service knows anything.
    pub(super) fn keeps(&self) -> Duration {
        self.keeps
    }

    /// From when on the service knows anything.
    pub(super) fn known(&self, now: Timestamp) -> Timestamp {
        whole(minus(now, self.keeps))
    }
}

/// How far a feed has been read, at each age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursors {
    /// Age in seconds, and the end of what was read at that age.
    levels: Vec<(u64, Timestamp)>,
}

impl Cursors {
    /// Nothing is read before `start`.
    pub(crate) fn new(schedule: &Schedule, start: Timestamp) -> Cursors {
        let start = whole(start);
        Cursors { levels: schedule.ages.iter().map(|age| (*age, start)).collect() }
    }

    /// Cursors that were remembered, under a schedule that may have changed: an age that is new knows nothing, so
    /// it begins where the least advanced one is.
    pub(crate) fn adapt(self, schedule: &Schedule) -> Cursors {
        let Some(lowest) = self.levels.iter().map(|(_, at)| *at).min() else { return self };
        let known = |age: &u64| self.levels.iter().find(|(known, _)| known == age).map_or(lowest, |(_, at)| *at);
        let newest = self.newest();
        let at = |age: &u64| if *age == 0 { newest } else { known(age) };
        Cursors { levels: schedule.ages.iter().map(|age| (*age, at(age))).collect() }
    }

    /// Everything before has been read once.
    pub(crate) fn newest(&self) -> Timestamp {
        self.levels.iter().map(|(_, at)| *at).max().unwrap_or_default()
    }

    /// Nothing before is ever read again.
    pub(crate) fn oldest(&self) -> Timestamp {
        self.levels.iter().map(|(_, at)| *at).min().unwrap_or_default()
    }

    /// Passes over what the service has forgotten. Gives the stretch that was never read, if there is one.
    pub(crate) fn forget(&mut self, schedule: &Schedule, now: Timestamp) -> Option<Window> {
        let known = schedule.known(now);
        let newest = self.newest();
        for (_, at) in &mut self.levels {
            *at = (*at).max(known);
        }
        (newest < known).then_some(Window { start: newest, end: known })
    }

    /// What is to be read now, in the order of time; nothing ends behind `until`. With `all`, stretches at a greater age are read although little of them is due.
    pub(crate) fn due(&self, schedule: &Schedule, now: Timestamp, until: Option<Timestamp>, all: bool) -> Vec<Window> {
        let settled = minus(now, schedule.settle);
        let mut stretches: Vec<Window> = Vec::new();
        let mut read = Timestamp::MIN;
        for (age, at) in self.levels.iter().rev() {
            let ripe = minus(settled, Duration::from_secs(*age));
            let window = Window { start: (*at).max(read), end: whole(until.map_or(ripe, |until| ripe.min(until))) };
            // A stretch that is read again waits until there is some length of it, so that few requests do.
            let least = if all || until.is_some_and(|until| until <= ripe) { 1 } else { (age / 4).max(1) };
            if window.start >= window.end || window.length().as_secs() < least {
                continue;
            }
            read = window.end;
            match stretches.last_mut() {
                Some(last) if last.end == window.start => last.end = window.end,
                _ => stretches.push(window),
            }
        }
        stretches
    }

    /// A window has been read; it was asked for at `asked`.
    pub(crate) fn advance(&mut self, schedule: &Schedule, window: Window, asked: Timestamp) {
        let settled = minus(asked, schedule.settle);
        for (age, at) in &mut self.levels {
            let ripe = whole(minus(settled, Duration::from_secs(*age))).min(window.end);
            if window.start <= *at && *at < ripe {
                *at = ripe;
            }
        }
    }
}

/// The whole second at or before a time.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second() - i64::from(time.subsec_nanosecond() < 0)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 3600;

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    fn minutes(windows: &[Window]) -> Vec<(i64, i64)> {
        let minute = |time: Timestamp| (time.as_second() - 1_800_000_000) / 60;
        windows.iter().map(|window| (minute(window.start), minute(window.end))).collect()
    }

    fn schedule() -> Schedule {
        Schedule::new(secs(5 * MINUTE), secs(6 * HOUR), secs(2 * MINUTE), secs(30 * 24 * HOUR))
    }

    #[test]
    fn ages_grow_up_to_the_overlap() {
        assert_eq!(schedule().ages, [0, 300, 900, 2700, 8100, 21600]);
        let flat = Schedule::new(secs(300), secs(0), secs(0), secs(600));
        assert_eq!(flat.ages, [0]);
    }

    #[test]
    fn the_first_pass_reads_everything_once_in_order() {
        let schedule = schedule();
        let mut cursors = Cursors::new(&schedule, at(-3000));
        let due = cursors.due(&schedule, at(0), None, false);
        assert_eq!(minutes(&due), [(-3000, -2)]);
        for window in due {
            cursors.advance(&schedule, window, at(0));
        }
        assert_eq!(cursors.newest(), at(-2));
        assert_eq!(cursors.oldest(), at(-362));
        assert_eq!(cursors.due(&schedule, at(0), None, false), []);
    }

    #[test]
    fn every_stretch_is_read_at_every_age_and_no_more_often() {
        let schedule = schedule();
        let mut cursors = Cursors::new(&schedule, at(0));
        let mut reads: Vec<(i64, i64)> = Vec::new();
        let mut windows = 0;
        for now in (5..2000).step_by(5) {
            for window in cursors.due(&schedule, at(now), None, false) {
                windows += 1;
                let (start, end) = minutes(&[window])[0];
                reads.extend((start..end).map(|minute| (minute, now)));
                cursors.advance(&schedule, window, at(now));
            }
        }
        for minute in [100, 512, 999] {
            let ages: Vec<i64> =
                reads.iter().filter(|(read, _)| *read == minute).map(|(_, now)| now - minute).collect();
            let wanted = [(2, 8), (7, 13), (17, 25), (47, 65), (137, 180), (362, 460)];
            assert_eq!(ages.len(), wanted.len(), "{minute}: {ages:?}");
            for (age, (least, most)) in ages.iter().zip(wanted) {
                assert!((least..=most).contains(age), "{minute}: {ages:?}");
            }
        }
        assert!(windows < 3 * 400, "{windows} requests for 400 polls");
    }

    #[test]
    fn after_an_outage_everything_is_read_once() {
        let schedule = schedule();
        let mut cursors = Cursors::new(&schedule, at(-1000));
        for now in (-900..=0).step_by(5) {
            for window in cursors.due(&schedule, at(now), None, false) {
                cursors.advance(&schedule, window, at(now));
            }
        }
        let due = cursors.due(&schedule, at(8640), None, false);
        let total: u64 = due.iter().map(|window| window.length().as_secs() / 60).sum();
        assert!(due.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(due.last().unwrap().end, at(8638));
        assert!((8638 + 362..8638 + 462).contains(&total), "{total}");
    }

    #[test]
    fn what_the_service_forgot_unread_is_told() {
        let schedule = schedule();
        let mut cursors = Cursors::new(&schedule, at(0));
        cursors.advance(&schedule, Window { start: at(0), end: at(100) }, at(1000));
        assert_eq!(cursors.forget(&schedule, at(30 * 24 * 60)), None);
        assert_eq!(cursors.forget(&schedule, at(30 * 24 * 60 + 60)), None);
        let lost = cursors.forget(&schedule, at(30 * 24 * 60 + 150)).unwrap();
        assert_eq!((lost.start, lost.end), (at(100), at(150)));
        assert_eq!(cursors.newest(), at(150));
    }

    #[test]
    fn a_finite_read_ends_at_its_end() {
        let schedule = schedule();
        let mut cursors = Cursors::new(&schedule, at(-600));
        let due = cursors.due(&schedule, at(0), Some(at(-10)), true);
        assert_eq!(minutes(&due), [(-600, -10)]);
        cursors.advance(&schedule, due[0], at(0));
        assert_eq!(cursors.newest(), at(-10));
    }

    #[test]
    fn a_changed_schedule_reads_more_rather_than_less() {
        let schedule = schedule();
        let mut cursors = Cursors::new(&schedule, at(-3000));
        cursors.advance(&schedule, Window { start: at(-3000), end: at(-2) }, at(0));
        let longer = Schedule::new(secs(10 * MINUTE), secs(9 * HOUR), secs(0), secs(24 * HOUR));
        let adapted = cursors.clone().adapt(&longer);
        assert_eq!(adapted.newest(), at(-2));
        assert_eq!(adapted.oldest(), at(-362));
        assert_eq!(cursors.clone().adapt(&schedule), cursors);
    }
}
