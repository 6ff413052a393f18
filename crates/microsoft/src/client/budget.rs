//! How many requests may be made: a bucket of tokens that learns.
//!
//! The bucket fills at a rate a little below the limit and holds so few tokens that no stretch of time sees more
//! requests than the limit allows, not even the first. When the service says "too many" all the same (others may use
//! the same quota), everybody pauses for as long as it says, the rate drops, and what was too much is remembered: the
//! rate grows back to just below it within minutes, and beyond it only by the hour. So it settles, and does not
//! oscillate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::api::Limit;
use crate::clock::{Clock, between, plus};

/// How much of a large limit is used, and of a small one: the rest is for requests that overtake each other on the way.
const SHARES: (f64, f64) = (0.985, 0.95);

/// How much of the limit may come at once.
const BURST: f64 = 0.01;

/// What a refusal leaves of the rate.
const DROP: f64 = 0.7;

/// The rate that was refused, less this, is where it settles.
const SETTLE: f64 = 0.95;

/// The rate reaches what it may be within this time.
const RECOVERY: Duration = Duration::from_secs(300);

/// After that time without a refusal, a twentieth more is tried.
const PROBE: Duration = Duration::from_secs(3600);

/// A first pause without a hint from the service, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));

/// The budget of whatever Microsoft counts together.
#[derive(Debug)]
pub struct Budget {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests a second that the limit allows.
    most: f64,
    /// Requests a second that were not refused lately.
    ceiling: f64,
    rate: f64,
    burst: f64,
    tokens: f64,
    filled: Timestamp,
    paused_until: Timestamp,
    /// When the service last refused, and how often in a row.
    refused: Option<Timestamp>,
    in_a_row: u32,
    grown: Timestamp,
}

impl Budget {
    /// A full budget.
    pub fn new(limit: Limit, clock: Clock) -> Budget {
        let (most, burst) = pace(limit);
        let now = clock.now();
        let state = State {
            most,
            ceiling: most,
            rate: most,
            burst,
            tokens: burst,
            filled: now,
            paused_until: now,
            refused: None,
            in_a_row: 0,
            grown: now,
        };
        Budget { clock, state: Mutex::new(state) }
    }

    /// From now on another limit holds.
    pub fn set_limit(&self, limit: Limit) {
        let (most, burst) = pace(limit);
        let mut state = self.lock();
        state.fill(self.clock.now());
        let tokens = state.tokens.min(burst);
        *state = State { most, ceiling: most, rate: most, burst, tokens, ..*state };
    }

    /// Waits until a request may be made. Whoever asks first goes first.
    pub async fn take(&self) {
        let wait = {
            let mut state = self.lock();
            let now = self.clock.now();
            state.fill(now);
            // Tokens below zero are promised: everybody waits for a turn of its own.
            state.tokens -= 1.0;
            let missing = (-state.tokens).max(0.0);
            let turn = Duration::try_from_secs_f64(missing / state.rate).unwrap_or(PAUSES.1);
            turn.max(between(now, state.paused_until) + turn)
        };
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        // A pause may have begun meanwhile.
        loop {
            let until = self.lock().paused_until;
            if self.clock.now() >= until {
                return;
            }
            self.clock.sleep_until(until).await;
        }
    }

    /// The service refused a request as one too many, and said when to come back, perhaps. Gives the pause.
    pub fn refused(&self, retry_after: Option<Duration>) -> Duration {
        let mut state = self.lock();
        let now = self.clock.now();
        // Requests that were under way together are refused together, and count once.
        let again = now < state.paused_until;
        if !again {
            let recently = state.refused.is_some_and(|at| between(at, now) < RECOVERY);
            state.in_a_row = if recently { state.in_a_row + 1 } else { 0 };
            state.ceiling = (state.rate * SETTLE).max(state.most / 1000.0);
            state.rate = (state.rate * DROP).max(state.most / 1000.0);
            state.grown = now;
            state.refused = Some(now);
        }
        let own = PAUSES.0.saturating_mul(1 << state.in_a_row.min(8)).min(PAUSES.1);
        let pause = retry_after.unwrap_or(own);
        state.paused_until = state.paused_until.max(plus(now, pause));
        state.tokens = state.tokens.min(0.0);
        pause
    }

    /// How long everybody pauses yet because a request was refused.
    pub fn pause_left(&self) -> Duration {
        between(self.clock.now(), self.lock().paused_until)
    }

    /// Requests a minute at present.
    pub fn per_minute(&self) -> f64 {
        self.lock().rate * 60.0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rate that a limit allows, in requests a second, and how many may come at once.
fn pace(limit: Limit) -> (f64, f64) {
    let burst = (limit.requests * BURST).max(1.0);
    let seconds = limit.per.as_secs_f64().max(1e-3);
    let share = if limit.requests >= 1000.0 { SHARES.0 } else { SHARES.1 };
    // The full bucket and what fills it during `per` are together no more than the limit.
    ((limit.requests * share - (burst - 1.0)) / seconds, burst)
}

impl State {
    fn fill(&mut self, now: Timestamp) {
        self.grow(now);
        let since = self.filled.max(self.paused_until.min(now));
        self.tokens = (self.tokens + between(since, now).as_secs_f64() * self.rate).min(self.burst);
        self.filled = now;
    }

    fn grow(&mut self, now: Timestamp) {
        let passed = between(self.grown, now);
        if self.rate < self.ceiling && passed > Duration::ZERO {
            self.rate = (self.rate + self.most * passed.as_secs_f64() / RECOVERY.as_secs_f64()).min(self.ceiling);
            self.grown = now;
        }
        if self.ceiling < self.most && self.refused.is_none_or(|at| between(at, now) >= PROBE) {
            self.ceiling = (self.ceiling + self.most / 20.0).min(self.most);
            self.refused = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Api;

    fn start() -> Timestamp {
        "2026-01-05T00:00:00Z".parse().unwrap()
    }

    /// When `count` requests, made as fast as the budget allows, went out.
    async fn times(budget: &Budget, count: usize) -> Vec<f64> {
        let mut times = Vec::new();
        for _ in 0..count {
            budget.take().await;
            times.push(between(start(), budget.clock.now()).as_secs_f64());
        }
        times
    }

    fn most_in(times: &[f64], seconds: f64) -> usize {
        let within = |at: usize| times[at..].iter().take_while(|time| **time < times[at] + seconds).count();
        (0..times.len()).map(within).max().unwrap_or(0)
    }

    #[tokio::test]
    async fn no_stretch_of_time_sees_more_than_the_limit_and_little_is_wasted() {
        for api in Api::ALL {
            let limit = api.limit();
            let budget = Budget::new(limit, Clock::leaping(start()));
            let times = times(&budget, (limit.requests * 4.0) as usize + 10).await;
            let seconds = limit.per.as_secs_f64();
            let found = most_in(&times, seconds);
            assert!(found as f64 <= limit.requests, "{api:?}: {found}");
            let used = times.len() as f64 / times[times.len() - 1] * seconds / limit.requests;
            let least = if limit.requests >= 1000.0 { 0.95 } else { 0.9 };
            assert!(used >= least, "{api:?} uses {used}");
        }
    }

    #[tokio::test]
    async fn refusals_pause_everybody_and_settle_below_what_was_refused() {
        let limit = Limit { requests: 600.0, per: Duration::from_secs(60) };
        let budget = Budget::new(limit, Clock::leaping(start()));
        let full = budget.per_minute();
        assert_eq!(budget.refused(Some(Duration::from_secs(7))), Duration::from_secs(7));
        // Together with others: the same refusal.
        budget.refused(Some(Duration::from_secs(7)));
        assert!((budget.per_minute() - full * DROP).abs() < 1.0);
        budget.take().await;
        assert!(budget.clock.now() >= plus(start(), Duration::from_secs(7)));
        budget.clock.sleep(Duration::from_secs(600)).await;
        budget.take().await;
        assert!((budget.per_minute() - full * SETTLE).abs() < 1.0);
        for _ in 0..3 {
            budget.clock.sleep(PROBE).await;
            budget.take().await;
        }
        budget.clock.sleep(RECOVERY).await;
        budget.take().await;
        assert!((budget.per_minute() - full).abs() < 1.0);
    }

    #[tokio::test]
    async fn pauses_without_a_hint_grow() {
        let budget = Budget::new(Api::Management.limit(), Clock::leaping(start()));
        let mut pauses = Vec::new();
        for _ in 0..5 {
            pauses.push(budget.refused(None).as_secs());
            budget.take().await;
        }
        assert_eq!(pauses, [30, 60, 120, 240, 300]);
    }
}
