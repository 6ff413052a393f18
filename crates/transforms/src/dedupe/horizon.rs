//! Horizons cut into generations: what the index forgets, it forgets by the generation.
//!
//! A generation is an eighth of the horizon. A key is known through the generation in which it arrived and the eight
//! after it: for at least the horizon, and for at most an eighth longer. Eight generations are an epoch: a filter of
//! [`super::bloom`].

use std::time::Duration;

/// How many generations a horizon has.
const PARTS: u32 = 8;

/// The calendar of a horizon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    /// Of a generation.
    millis: u128,
}

impl Horizon {
    pub(super) fn new(horizon: Duration) -> Horizon {
        let millis = horizon.as_millis().div_ceil(u128::from(PARTS)).max(1_000);
        Horizon { millis }
    }

    /// The generation of a time, given since 1970.
    pub(super) fn generation(self, time: Duration) -> u32 {
        u32::try_from(time.as_millis() / self.millis).unwrap_or(u32::MAX)
    }
}

/// Whether keys that arrived in `generation` are still known in the generation `now`.
#[inline]
pub(super) fn is_alive(generation: u32, now: u32) -> bool {
    now.saturating_sub(generation) <= PARTS
}

/// The epoch of a generation.
pub(super) fn epoch(generation: u32) -> u32 {
    generation / PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_for_a_horizon_and_not_much_longer() {
        let horizon = Duration::from_secs(7 * 86_400);
        let calendar = Horizon::new(horizon);
        for arrived in [0, 1, 75_599, 75_600, 1_000_000].map(Duration::from_secs) {
            let generation = calendar.generation(arrived);
            assert!(is_alive(generation, calendar.generation(arrived + horizon)));
            assert!(!is_alive(generation, calendar.generation(arrived + horizon + horizon / 8)));
        }
        // What an epoch's filter held is gone when the next but one begins.
        assert!((0..8).all(|generation| !is_alive(generation, 16 + 1)) && !is_alive(7, 16));
        assert_eq!([7, 8, 15, 16].map(epoch), [0, 1, 1, 2]);
    }

    #[test]
    fn short_and_long_horizons() {
        assert_eq!(Horizon::new(Duration::ZERO).generation(Duration::from_secs(5)), 5);
        assert_eq!(Horizon::new(Duration::MAX).generation(Duration::from_secs(1 << 40)), 0);
    }
}
