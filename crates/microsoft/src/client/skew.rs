//! What time it is at the service.
//!
//! Each answer says it (`Date`), and the difference to our clock serves until the next one. It is only good for the
//! clock that it was measured with: when somebody sets ours (a machine whose time was wrong at first, a simulator that
//! leaps), the old difference would put the service days away. Windows that end in the future would then count as
//! read, and content as expired that is not. So the difference is forgotten when our clock was set.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;

/// What is less than the `Date`'s resolution and the way is no difference.
const LEAST: SignedDuration = SignedDuration::from_secs(5);

/// The operator is told of more than that.
const NOTABLE: SignedDuration = SignedDuration::from_secs(60);

/// What to do about a difference.
pub(crate) const SET_RIGHT: &str = "set this machine's clock right (NTP): windows of time follow the service's, but certificates and sign-ins go by ours";

/// How far the service is ahead.
#[derive(Debug, Default)]
pub(super) struct Skew(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last difference, whether it is one or not.
    last: Option<SignedDuration>,
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    ahead: SignedDuration,
    /// When it was measured, by our clock and by one that nobody can set.
    at: (Timestamp, Instant),
}

/// Whether the operator was told that the clock is wrong: once for all sources of a pipeline.
#[derive(Debug, Default)]
pub struct SkewTold(AtomicBool);

impl SkewTold {
    /// What is to be told of a service that is `ahead`; nothing the second time.
    pub(super) fn tell(&self, ahead: SignedDuration) -> Option<String> {
        told(ahead).filter(|_| !self.0.swap(true, Ordering::Relaxed))
    }
}

/// What the operator should know of a service that is `ahead`; nothing if that is too little.
pub(crate) fn told(ahead: SignedDuration) -> Option<String> {
    let which = if ahead.is_positive() { "behind" } else { "ahead of" };
    (ahead.abs() >= NOTABLE)
        .then(|| format!("this machine's clock is {} s {which} the service's", ahead.abs().as_secs()))
}

impl Skew {
    /// An answer came, with that `Date`. Gives how far the service is ahead.
    pub(super) fn learn(&self, date: Timestamp, clock: &Clock) -> SignedDuration {
        let at = (clock.now(), Instant::now());
        let ahead = date.duration_since(at.0);
        let mut state = self.lock();
        state.last = Some(ahead);
        state.seen = (ahead.abs() >= LEAST).then_some(Seen { ahead, at });
        ahead
    }

    /// How far the service was ahead at its last answer; `None` before the first.
    pub(super) fn last(&self) -> Option<SignedDuration> {
        self.lock().last
    }

    /// The time at the service.
    pub(super) fn service_now(&self, clock: &Clock) -> Timestamp {
        let now = clock.now();
        let seen = self.lock().seen.filter(|seen| !clock.was_set(seen.at));
        seen.and_then(|seen| now.checked_add(seen.ahead).ok()).unwrap_or(now)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{minus, plus};

    #[test]
    fn a_difference_serves_until_our_clock_is_set() {
        let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let (clock, skew) = (Clock::scaled(start, 1.0), Skew::default());
        let near = |time: Timestamp, expected: Timestamp| {
            let apart = time.duration_since(expected).abs();
            assert!(apart < SignedDuration::from_secs(60), "{time} is not {expected}");
        };
        let days = Duration::from_secs(5 * 86_400);
        assert_eq!(told(skew.learn(plus(start, Duration::from_secs(2)), &clock)), None);
        near(skew.service_now(&clock), start);
        let ahead = skew.learn(plus(start, days), &clock);
        let once = SkewTold::default();
        let words = once.tell(ahead).unwrap();
        assert!(words.contains("432000 s behind") || words.contains("431999 s behind"), "{words}");
        assert_eq!(once.tell(ahead), None);
        near(skew.service_now(&clock), plus(start, days));
        // Our clock is set right: the service is not five days ahead of that.
        clock.adjust(plus(start, days), 1.0);
        near(skew.service_now(&clock), plus(start, days));
        assert!(told(skew.learn(start, &clock)).unwrap().contains("ahead of"));
        near(skew.service_now(&clock), start);
        clock.adjust(minus(start, days), 1.0);
        near(skew.service_now(&clock), minus(start, days));
    }
}
