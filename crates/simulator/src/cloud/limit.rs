//! Rate limits: no window of the given length may hold more requests than allowed.
//!
//! A sliding window is the strictest reading of "n requests in t": a client that passes here passes a token bucket
//! and fixed windows too.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

/// All windows of a tenant, by name.
#[derive(Debug, Default)]
pub(crate) struct Limits(HashMap<String, VecDeque<i64>>);

impl Limits {
    /// Counts a request, or says in how many seconds one will be welcome again. `allowed` 0 means no limit.
    pub(crate) fn take(&mut self, name: &str, allowed: u64, seconds: u64, now: Timestamp) -> Result<(), u64> {
        if allowed == 0 {
            return Ok(());
        }
        let now = now.as_microsecond();
        let window = seconds as i64 * 1_000_000;
        let times = match self.0.get_mut(name) {
            Some(times) => times,
            None => self.0.entry(name.to_owned()).or_default(),
        };
        while times.front().is_some_and(|time| *time <= now - window) {
            times.pop_front();
        }
        if (times.len() as u64) < allowed {
            times.push_back(now);
            return Ok(());
        }
        let first = times.front().copied().unwrap_or(now);
        Err(((first + window - now) as u64).div_ceil(1_000_000).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let mut limits = Limits::default();
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        assert_eq!(limits.take("a", 2, 10, at(0)), Ok(()));
        assert_eq!(limits.take("a", 2, 10, at(4)), Ok(()));
        assert_eq!(limits.take("a", 2, 10, at(5)), Err(5));
        assert_eq!(limits.take("b", 2, 10, at(5)), Ok(()));
        assert_eq!(limits.take("a", 2, 10, at(10)), Ok(()));
        assert_eq!(limits.take("a", 2, 10, at(11)), Err(3));
        assert_eq!(limits.take("c", 0, 10, at(11)), Ok(()));
    }
}
