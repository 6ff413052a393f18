//! The time that sources live in.
//!
//! Every "now" and every pause of a source goes through a [`Clock`], because there are three times to live in: the
//! machine's; the simulated cloud's, which may run a thousand times faster; and a test's, which moves when the test
//! says so. Time-outs of single requests are the exception: they bound how long this machine waits for another one,
//! and stay in the machine's time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

/// A scaled sleep looks at the clock at least that often, so that a rate that changes is obeyed.
const SLICE: Duration = Duration::from_millis(100);

/// A clock. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Kind, Arc<()>);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Scaled(Arc<Mutex<Scale>>),
    Manual(Arc<Mutex<Manual>>),
}

/// `now` was right at `at`, and advances at `rate`.
#[derive(Debug)]
struct Scale {
    now: Timestamp,
    at: Instant,
    rate: f64,
}

impl Scale {
    fn read(&self) -> Timestamp {
        let passed = self.at.elapsed().mul_f64(self.rate);
        plus(self.now, passed)
    }
}

#[derive(Debug)]
struct Manual {
    now: Timestamp,
    /// Whether a sleep moves the time itself.
    leaps: bool,
    count: u64,
    /// Who sleeps until when.
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
}

impl Manual {
    /// Told when the time has come.
    fn wait(&mut self, until: Timestamp) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        self.count += 1;
        self.sleepers.insert((until, self.count), wake);
        woken
    }

    fn advance(&mut self, to: Timestamp) {
        self.now = self.now.max(to);
        while let Some(first) = self.sleepers.first_entry() {
            if first.key().0 > self.now {
                break;
            }
            // A sleeper that was dropped needs no waking.
            let _ = first.remove().send(());
        }
    }
}

impl Clock {
    /// The machine's time.
    pub fn system() -> Clock {
        Clock(Kind::System, Arc::default())
    }

    /// A time that is `now` at this instant and runs `rate` times as fast as the machine's. A `rate` that is no
    /// positive number counts as 1.
    pub fn scaled(now: Timestamp, rate: f64) -> Clock {
        let scale = Scale { now, at: Instant::now(), rate: sane(rate) };
        Clock(Kind::Scaled(Arc::new(Mutex::new(scale))), Arc::default())
    }

    /// A time for tests: it stands still until [`Clock::advance`] moves it.
    pub fn manual(now: Timestamp) -> Clock {
        Clock::by_hand(now, false)
    }

    /// A time for tests that leaps: whoever sleeps moves it to the end of the sleep at once, and everybody whose
    /// sleep has ended by then wakes up.
    pub fn leaping(now: Timestamp) -> Clock {
        Clock::by_hand(now, true)
    }

    fn by_hand(now: Timestamp, leaps: bool) -> Clock {
        let manual = Manual { now, leaps, count: 0, sleepers: BTreeMap::new() };
        Clock(Kind::Manual(Arc::new(Mutex::new(manual))), Arc::default())
    }

    /// Lives as long as any clone of this clock.
    pub(crate) fn handle(&self) -> Arc<()> {
        Arc::clone(&self.1)
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System => Timestamp::now(),
            Kind::Scaled(scale) => lock(scale).read(),
            Kind::Manual(manual) => lock(manual).now,
        }
    }

    /// Sleeps for a duration of this clock.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::System => tokio::time::sleep(duration).await,
            _ => self.sleep_until(plus(self.now(), duration)).await,
        }
    }

    /// As [`Clock::sleep`], for loops that keep house beside the work: it does not make a leaping clock leap, and ends
    /// when the work has moved it far enough.
    pub async fn rest(&self, duration: Duration) {
        match &self.0 {
            Kind::Manual(manual) => {
                let until = plus(self.now(), duration);
                let woken = lock(manual).wait(until);
                drop(woken.await);
            }
            _ => self.sleep(duration).await,
        }
    }

    /// Sleeps until this clock shows `until`.
    pub async fn sleep_until(&self, until: Timestamp) {
        match &self.0 {
            Kind::System => tokio::time::sleep(between(self.now(), until)).await,
            Kind::Scaled(scale) => loop {
                let (left, rate) = {
                    let scale = lock(scale);
                    (between(scale.read(), until), scale.rate)
                };
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.div_f64(rate).min(SLICE)).await;
            },
            Kind::Manual(manual) => {
                let woken = {
                    let mut manual = lock(manual);
                    if manual.leaps {
                        manual.advance(until);
                    }
                    (manual.now < until).then(|| manual.wait(until))
                };
                match woken {
                    // The sender lives as long as the clock, which `self` holds.
                    Some(woken) => drop(woken.await),
                    None => tokio::task::yield_now().await,
                }
            }
        }
    }

    /// Moves a manual clock on. Other clocks move by themselves.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(manual) = &self.0 {
            let mut manual = lock(manual);
            let to = plus(manual.now, by);
            manual.advance(to);
        }
    }

    /// How many sleep on a manual clock.
    pub fn sleepers(&self) -> usize {
        match &self.0 {
            Kind::Manual(manual) => lock(manual).sleepers.len(),
            _ => 0,
        }
    }

    /// Whether it goes as fast as the machine's: then it can be compared with another one.
    pub(crate) fn is_in_step(&self) -> bool {
        match &self.0 {
            Kind::System => true,
            Kind::Scaled(scale) => (lock(scale).rate - 1.0).abs() < f64::EPSILON,
            Kind::Manual(_) => false,
        }
    }

    /// Whether somebody has set this clock since it showed a time at an instant. A clock for tests moves as it likes.
    pub(crate) fn was_set(&self, since: (Timestamp, Instant)) -> bool {
        const LEAST: Duration = Duration::from_secs(5);
        let rate = match &self.0 {
            Kind::System => 1.0,
            Kind::Scaled(scale) => lock(scale).rate,
            Kind::Manual(_) => return false,
        };
        let expected = plus(since.0, since.1.elapsed().mul_f64(rate));
        let now = self.now();
        between(expected, now).max(between(now, expected)) > LEAST.mul_f64(rate.max(1.0))
    }

    /// Sets a scaled clock right: `now` was read from its master, which runs at `rate`. Small differences are the
    /// time that the answer travelled, and are left alone.
    pub fn adjust(&self, now: Timestamp, rate: f64) {
        if let Kind::Scaled(scale) = &self.0 {
            let mut scale = lock(scale);
            let rate = sane(rate);
            let shown = scale.read();
            let apart = between(shown, now).max(between(now, shown));
            if rate != scale.rate || apart > Duration::from_millis(250).mul_f64(rate) {
                *scale = Scale { now, at: Instant::now(), rate };
            }
        }
    }
}

/// `time` and `duration`; the last time there is if that is too late.
pub fn plus(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|by| time.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// `time` less `duration`; the first time there is if that is too early.
pub fn minus(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|by| time.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}

/// How long it is from `earlier` to `later`; nothing if that is the wrong way round.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// A duration in whole seconds, for a gauge.
pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn sane(rate: f64) -> f64 {
    if rate.is_finite() && rate > 0.0 { rate } else { 1.0 }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that holds the lock can panic half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn arithmetic_ends_at_the_ends_of_time() {
        let now = at("2026-01-05T00:00:00Z");
        assert_eq!(plus(now, Duration::from_secs(60)), at("2026-01-05T00:01:00Z"));
        assert_eq!(minus(now, Duration::from_secs(60)), at("2026-01-04T23:59:00Z"));
        assert_eq!(plus(now, Duration::MAX), Timestamp::MAX);
        assert_eq!(minus(now, Duration::MAX), Timestamp::MIN);
        assert_eq!(between(now, plus(now, Duration::from_millis(5))), Duration::from_millis(5));
        assert_eq!(between(plus(now, Duration::from_millis(5)), now), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_whose_time_has_come() {
        let clock = Clock::manual(at("2026-01-05T00:00:00Z"));
        let sleeper = |seconds| {
            let clock = clock.clone();
            tokio::spawn(async move { clock.sleep(Duration::from_secs(seconds)).await })
        };
        let (short, long) = (sleeper(10), sleeper(60));
        while clock.sleepers() < 2 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(10));
        short.await.unwrap();
        assert!(!long.is_finished());
        clock.advance(Duration::from_secs(50));
        long.await.unwrap();
        assert_eq!(clock.now(), at("2026-01-05T00:01:00Z"));
    }

    #[tokio::test]
    async fn a_leaping_clock_never_waits() {
        let clock = Clock::leaping(at("2026-01-05T00:00:00Z"));
        clock.sleep(Duration::from_secs(86_400)).await;
        clock.sleep_until(at("2026-01-05T00:00:00Z")).await;
        assert_eq!(clock.now(), at("2026-01-06T00:00:00Z"));
    }

    #[tokio::test]
    async fn a_scaled_clock_runs_at_its_rate() {
        let start = at("2026-01-05T00:00:00Z");
        let clock = Clock::scaled(start, 1e6);
        clock.sleep(Duration::from_secs(3600)).await;
        assert!(clock.now() >= at("2026-01-05T01:00:00Z"));
        clock.adjust(at("2027-01-01T00:00:00Z"), 1.0);
        assert!(between(at("2027-01-01T00:00:00Z"), clock.now()) < Duration::from_secs(60));
        assert!(Clock::scaled(start, f64::NAN).now() < plus(start, Duration::from_secs(60)));
    }
}
