//! Pauses between attempts: they double, up to a most, and differ at random, so that tenants that failed together do
//! not come back together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Grows with each failure.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    seed: u64,
}

impl Backoff {
    /// Pauses from about `first` to about `most`.
    pub fn new(first: Duration, most: Duration) -> Backoff {
        // The hasher's keys are the cheapest randomness there is; nothing here needs better.
        Backoff { first, most, failures: 0, seed: RandomState::new().hash_one(0) }
    }

    /// The next pause: between half of and all of what the failures so far amount to.
    #[expect(clippy::should_implement_trait, reason = "pauses never end, so there is nothing to be an Option")]
    pub fn next(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.failures.min(20)).min(self.most);
        self.failures += 1;
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (self.seed >> 40) as f64 / (1u64 << 24) as f64;
        full.mul_f64(0.5 + share / 2.0)
    }

    /// How often [`Backoff::next`] was asked since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked: the next failure is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_most_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for full in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = backoff.next().as_secs_f64();
            assert!((f64::from(full) / 2.0..=f64::from(full)).contains(&pause), "{full}: {pause}");
        }
        assert_eq!(backoff.failures(), 8);
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }
}
