//! How many audit log queries a tenant has left today.
//!
//! Microsoft counts the queries of a tenant, whoever creates them. So all sources of a pipeline count together: when
//! queries were created stands in the store under the tenant's own key, which outlives a restart, and they take turns at
//! creating them ([`Turns`], which the pipeline's components have in common).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use downspout_core::store::{StoreError, Write, key};
use downspout_core::{Context, Store};
use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;

use crate::client::{Api, PoliteClient};
use crate::clock::{between, plus};

/// The stretch in which queries are counted.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Who may create a query now, by tenant: one after the other, as quick ones are refused.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// The queries that a source may create for a tenant.
#[derive(Debug)]
pub(super) struct Submissions {
    store: Arc<Store>,
    key: Vec<u8>,
    turns: Arc<tokio::sync::Mutex<()>>,
    /// How many all sources together may have created within 24 hours when this one creates another.
    daily: usize,
}

/// The right to create a query.
#[derive(Debug)]
pub(super) struct Turn {
    key: Vec<u8>,
    times: Vec<Timestamp>,
    _alone: OwnedMutexGuard<()>,
}

impl Submissions {
    pub(super) fn new(context: &Context, tenant_id: &str, daily: usize) -> Submissions {
        let who = tenant_id.to_ascii_lowercase();
        let key = key(&[b"audit-submissions", who.as_bytes()]);
        let turns = context.shared.get::<Turns>();
        // Nothing that holds the lock can panic half way.
        let turns = Arc::clone(turns.0.lock().unwrap_or_else(PoisonError::into_inner).entry(who).or_default());
        Submissions { store: Arc::clone(&context.store), key, turns, daily }
    }

    /// Waits until a query may be created.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) async fn turn(&self, client: &PoliteClient) -> Result<Turn, StoreError> {
        let clock = client.clock();
        loop {
            let alone = Arc::clone(&self.turns).lock_owned().await;
            let times = self.within_a_day(clock.now())?;
            let Some(first) = times.len().checked_sub(self.daily).and_then(|index| times.get(index)) else {
                return Ok(Turn { key: self.key.clone(), times, _alone: alone });
            };
            let until = plus(*first, DAY);
            let why =
                format!("{} audit queries were created within 24 hours, which is all that a tenant may", times.len());
            client.tell_wait(Api::GraphAuditQuery, between(clock.now(), until), &why);
            // A source that may create more has its turn meanwhile.
            drop(alone);
            clock.sleep_until(until).await;
        }
    }

    /// When queries were created lately, the oldest first.
    fn within_a_day(&self, now: Timestamp) -> Result<Vec<Timestamp>, StoreError> {
        let stored = self.store.get(&self.key)?.unwrap_or_default();
        let times = stored.as_chunks::<8>().0.iter().map(|time| i64::from_be_bytes(*time));
        let times = times.filter_map(|second| Timestamp::from_second(second).ok());
        Ok(times.filter(|at| between(*at, now) < DAY).collect())
    }
}

impl Turn {
    /// The write that counts the query, created at `now`; the turn must last until it is written.
    pub(super) fn taken(&mut self, now: Timestamp) -> Write {
        self.times.push(now);
        let times: Vec<u8> = self.times.iter().flat_map(|at| at.as_second().to_be_bytes()).collect();
        Write::set(self.key.clone(), times)
    }
}
