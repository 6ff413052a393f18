//! The lanes of a pipeline: whatever Microsoft counts together has one budget and so many places, whichever sources ask.
//!
//! A wait that somebody may wonder about is told when it begins, once for all who wait together, and can be looked up
//! for as long as it lasts ([`Lanes::waits`]). So is, once, that a host cannot be reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::api::{Api, Limit};
use super::budget::Budget;
use crate::clock::{Clock, between, plus};

/// Shorter waits are nothing to wonder about.
const TOLD: Duration = Duration::from_secs(10);

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quota {
    pub(super) api: Api,
    /// The base URL of the service.
    pub(super) base: String,
    pub(super) tenant_id: String,
    /// The application, where each has a quota of its own ([`Api::counts_apps`]).
    pub(super) app: Option<String>,
}

/// The budget of a quota, and its places.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) budget: Budget,
    pub(super) places: Arc<Semaphore>,
    clock: Clock,
    /// The last wait that was told: until when, and why.
    told: Mutex<Option<(Timestamp, String)>>,
}

/// A wait that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Whose requests wait.
    pub api: Api,
    /// The tenant's id.
    pub tenant_id: String,
    /// How long yet, in the time of the pipeline's clock.
    pub left: Duration,
    /// Why, in words.
    pub why: String,
}

impl Lane {
    /// Tells a wait that begins, unless it is short, or a wait that was told lasts as long.
    pub(super) fn tell(&self, tenant: &str, wait: Duration, why: &dyn Display) {
        let until = plus(self.clock.now(), wait);
        let mut told = lock(&self.told);
        let is_new = told.as_ref().is_none_or(|(before, _)| between(*before, until) >= TOLD);
        if wait < TOLD || !is_new {
            return;
        }
        tracing::info!(tenant, "waiting {}, until {until:.0}: {why}", in_words(wait));
        *told = Some((until, why.to_string()));
    }

    /// The wait that goes on: how long yet, and why.
    fn wait(&self) -> Option<(Duration, String)> {
        let told = lock(&self.told);
        let (until, why) = told.as_ref()?;
        let left = between(self.clock.now(), *until);
        (!left.is_zero()).then(|| (left, why.clone()))
    }
}

/// A duration as one says it, without false precision: `45 s`, `10 min`, `3.5 h`.
pub fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..90 => format!("{seconds} s"),
        seconds @ 90..5400 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

/// All lanes of a pipeline.
#[derive(Debug, Default)]
pub struct Lanes {
    kept: Mutex<BTreeMap<Quota, Kept>>,
    /// Hosts that could not be reached, by tenant, and the word for it.
    unreached: Mutex<BTreeSet<(String, String, String)>>,
}

#[derive(Debug)]
struct Kept {
    lane: Arc<Lane>,
    /// The lowest number of requests a minute that a config gives.
    own: Option<u32>,
}

impl Lanes {
    /// The lane of a quota. `own` requests a minute take the place of the API's own limit; of several numbers the
    /// lowest holds.
    pub(super) fn get(&self, quota: Quota, own: Option<u32>, clock: &Clock) -> Arc<Lane> {
        let mut lanes = lock(&self.kept);
        let api = quota.api;
        let kept = lanes.entry(quota).or_insert_with(|| {
            let budget = Budget::new(api.limit(), clock.clone());
            let places = Arc::new(Semaphore::new(api.concurrency()));
            let lane = Lane { budget, places, clock: clock.clone(), told: Mutex::default() };
            Kept { lane: Arc::new(lane), own: None }
        });
        if let Some(own) = own.filter(|&own| kept.own.is_none_or(|known| own < known)) {
            kept.own = Some(own);
            kept.lane.budget.set_limit(Limit { requests: f64::from(own.max(1)), per: Duration::from_secs(60) });
        }
        Arc::clone(&kept.lane)
    }

    /// The waits that go on, of those that were told.
    pub fn waits(&self) -> Vec<Wait> {
        let lanes = lock(&self.kept);
        let waits = lanes.iter().filter_map(|(quota, kept)| {
            let (left, why) = kept.lane.wait()?;
            Some(Wait { api: quota.api, tenant_id: quota.tenant_id.clone(), left, why })
        });
        waits.collect()
    }

    /// Whether it is news that a tenant's requests do not reach a host: the first time, for each word for it.
    pub(super) fn is_news(&self, tenant: &str, host: &str, code: &str) -> bool {
        lock(&self.unreached).insert((tenant.to_owned(), host.to_owned(), code.to_owned()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds the lock can panic half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_together_shares_a_budget_and_the_lowest_number_holds() {
        let lanes = Lanes::default();
        let clock = Clock::leaping("2026-01-05T00:00:00Z".parse().unwrap());
        let quota = |tenant: &str| Quota {
            api: Api::Exchange,
            base: "https://outlook.office365.com/".to_owned(),
            tenant_id: tenant.to_owned(),
            app: None,
        };
        let lane = |tenant, own| lanes.get(quota(tenant), own, &clock);
        let per_minute = |tenant, own| lane(tenant, own).budget.per_minute().round();
        let usual = per_minute("a", None);
        assert!(Arc::ptr_eq(&lane("a", None), &lane("a", None)));
        assert!(!Arc::ptr_eq(&lane("a", None), &lane("b", None)));
        assert!(per_minute("a", Some(900)) > usual);
        let low = per_minute("a", Some(100));
        assert!(low < 100.0);
        assert_eq!((per_minute("a", Some(300)), per_minute("a", None), per_minute("b", None)), (low, low, usual));
    }

    #[test]
    fn durations_are_said_without_false_precision() {
        let said = [30, 300, 599, 36_000].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(said, ["30 s", "5 min", "10 min", "10.0 h"]);
    }

    #[tokio::test]
    async fn a_wait_is_told_once_and_can_be_seen_while_it_lasts() {
        let lanes = Lanes::default();
        let clock = Clock::manual("2026-01-05T00:00:00Z".parse().unwrap());
        let quota = Quota { api: Api::Exchange, base: String::new(), tenant_id: "t".to_owned(), app: None };
        let lane = lanes.get(quota, None, &clock);
        let seconds = Duration::from_secs;
        let seen = || lanes.waits().into_iter().map(|wait| (wait.left.as_secs(), wait.why)).collect::<Vec<_>>();
        lane.tell("t", seconds(9), &"short");
        assert_eq!(seen(), []);
        lane.tell("t", seconds(30), &"first");
        lane.tell("t", seconds(35), &"together with it");
        clock.advance(seconds(10));
        assert_eq!(seen(), [(20, "first".to_owned())]);
        lane.tell("t", seconds(60), &"longer");
        assert_eq!(seen(), [(60, "longer".to_owned())]);
        clock.advance(seconds(60));
        assert_eq!(seen(), []);
        assert!(lanes.is_news("t", "host", "connection") && !lanes.is_news("t", "host", "connection"));
    }
}
