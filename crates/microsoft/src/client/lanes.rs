//! The lanes of a pipeline: whatever Microsoft counts together has one budget and so many places, whichever sources ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::api::{Api, Limit};
use super::budget::Budget;
use crate::clock::Clock;

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
}

/// All lanes of a pipeline.
#[derive(Debug, Default)]
pub struct Lanes(Mutex<BTreeMap<Quota, Kept>>);

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
        // Nothing that holds the lock can panic half way.
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let api = quota.api;
        let kept = lanes.entry(quota).or_insert_with(|| {
            let budget = Budget::new(api.limit(), clock.clone());
            let lane = Lane { budget, places: Arc::new(Semaphore::new(api.concurrency())) };
            Kept { lane: Arc::new(lane), own: None }
        });
        if let Some(own) = own.filter(|&own| kept.own.is_none_or(|known| own < known)) {
            kept.own = Some(own);
            kept.lane.budget.set_limit(Limit { requests: f64::from(own.max(1)), per: Duration::from_secs(60) });
        }
        Arc::clone(&kept.lane)
    }
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
}
