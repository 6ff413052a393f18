//! Simulated time: it starts where the config says, runs at a rate, and can be pushed ahead.

use std::sync::Mutex;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::lock;

/// The cloud's clock.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    base: Timestamp,
    at: Instant,
    rate: f64,
}

impl State {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from_secs_f64(self.at.elapsed().as_secs_f64() * self.rate);
        passed.ok().and_then(|passed| self.base.checked_add(passed).ok()).unwrap_or(Timestamp::MAX)
    }
}

impl Clock {
    pub(crate) fn new(start: Timestamp, rate: f64) -> Clock {
        Clock(Mutex::new(State { base: start, at: Instant::now(), rate: rate.max(0.0) }))
    }

    /// What time it is for the simulated services.
    pub(crate) fn now(&self) -> Timestamp {
        lock(&self.0).now()
    }

    /// Simulated seconds per real second.
    pub(crate) fn rate(&self) -> f64 {
        lock(&self.0).rate
    }

    /// Pushes the clock ahead (never back: what is published stays published).
    pub(crate) fn advance(&self, seconds: f64) {
        let mut state = lock(&self.0);
        let now = state.now();
        let ahead = SignedDuration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
        *state = State { base: now.checked_add(ahead).unwrap_or(now), at: Instant::now(), rate: state.rate };
    }

    /// Changes how fast time goes from now on; 0 stops it.
    pub(crate) fn set_rate(&self, rate: f64) {
        let mut state = lock(&self.0);
        *state = State { base: state.now(), at: Instant::now(), rate: rate.max(0.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_only_when_pushed() {
        let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let clock = Clock::new(start, 0.0);
        assert_eq!(clock.now(), start);
        clock.advance(90.0);
        clock.advance(-5.0);
        assert_eq!(clock.now().to_string(), "2026-01-05T00:01:30Z");
        clock.set_rate(1000.0);
        assert_eq!(clock.rate(), 1000.0);
        assert!(clock.now() >= start);
    }
}
