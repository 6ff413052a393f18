//! Where a source's searches stand, in gauges: how far behind they are, how old what waits for a sink is, and how long
//! it is until Microsoft deletes something unread.
//!
//! A tenant has one set of gauges, for the worst of its searches: a source that searches mailbox by mailbox would make
//! thousands of series else. What changes by itself (ages, acknowledgements) is looked at once a minute, also while
//! nothing is searched.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use downspout_core::Context;
use downspout_core::metrics::FeedMetrics;
use jiff::Timestamp;

use crate::client::PoliteClient;
use crate::clock::{Clock, between, seconds};
use crate::config::Connection;
use crate::unit;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(60);

/// The clock that a source's gauges go by: all its tenants have the same.
pub(crate) fn clock(connections: &[Connection]) -> Clock {
    connections.first().map_or_else(Clock::system, |connection| connection.clock.clone())
}

/// How far one search has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Up to when everything was searched at least once.
    pub(crate) searched_until: Timestamp,
    /// Whether there is nothing more to search, now and for ever.
    pub(crate) finished: bool,
    /// What may not be delivered: when it begins, and the last number of its units.
    pub(crate) waiting: Vec<(Timestamp, u64)>,
    /// How many gaps are open.
    pub(crate) gaps: usize,
}

/// The gauges of a source.
#[derive(Debug)]
pub(crate) struct Gauges {
    context: Context,
    feed: &'static str,
    /// How long Microsoft keeps what is searched, at least.
    keeps: Duration,
    tenants: Mutex<BTreeMap<String, Tenant>>,
}

#[derive(Debug)]
struct Tenant {
    client: PoliteClient,
    metrics: FeedMetrics,
    searches: BTreeMap<String, Standing>,
}

impl Gauges {
    /// Gauges that show nothing yet. `feed` is their label.
    pub(crate) fn new(context: &Context, feed: &'static str, keeps: Duration) -> Gauges {
        Gauges { context: context.clone(), feed, keeps, tenants: Mutex::default() }
    }

    /// A search has come that far; `shard` tells it from the tenant's others.
    pub(crate) fn note(&self, connection: &Connection, shard: &str, standing: Standing) {
        let label = connection.tenant.label();
        let mut tenants = self.lock();
        let tenant = tenants.entry(label.to_owned()).or_insert_with(|| Tenant {
            client: connection.client.clone(),
            metrics: self.context.metrics.feed(label, self.feed),
            searches: BTreeMap::new(),
        });
        tenant.searches.insert(shard.to_owned(), standing);
    }

    /// Shows where the searches stand while `work` is done, and when it is done.
    pub(crate) async fn beside<T>(&self, clock: &Clock, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            self.show();
            tokio::select! {
                done = &mut work => {
                    self.show();
                    return done;
                }
                () = clock.rest(LOOK) => {}
            }
        }
    }

    fn show(&self) {
        let mut tenants = self.lock();
        let mut worst = 0;
        for tenant in tenants.values_mut() {
            let now = tenant.client.service_now();
            for (shard, standing) in &mut tenant.searches {
                if !standing.waiting.is_empty() {
                    // A store that fails is told by whoever writes into it.
                    let reached = unit::acknowledged(&self.context.store, &self.context.id, shard).unwrap_or(0);
                    standing.waiting.retain(|(_, last)| *last > reached);
                }
            }
            let all = || tenant.searches.values();
            let lag = all().map(|one| between(one.searched_until, now)).max().map_or(0, seconds);
            let oldest = all().flat_map(|one| &one.waiting).map(|(start, _)| *start).min();
            // What was found is in the journal, and safe. What was not searched for yet goes when Microsoft deletes it.
            let unread = all().filter(|one| !one.finished).map(|one| one.searched_until).min();
            let left = unread.map_or(-1, |until| seconds(self.keeps.saturating_sub(between(until, now))));
            let metrics = &tenant.metrics;
            metrics.lag_seconds.set(lag);
            metrics.oldest_unacknowledged_seconds.set(oldest.map_or(0, |start| seconds(between(start, now))));
            metrics.expires_in_seconds.set(left);
            metrics.gaps.set(i64::try_from(all().map(|one| one.gaps).sum::<usize>()).unwrap_or(i64::MAX));
            worst = worst.max(lag);
        }
        self.context.metrics.lag_seconds().set(worst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Tenant>> {
        // Nothing that holds the lock can panic half way.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use downspout_core::store::Write;
    use serde_json::json;

    use super::*;
    use crate::audit_search::UnifiedAuditSearchConfig;
    use crate::audit_search::config::common;
    use crate::client::http_client;
    use crate::testing::context;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_767_571_200 + hour * 3600).unwrap()
    }

    fn standing(until: i64, finished: bool, waiting: &[(i64, u64)], gaps: usize) -> Standing {
        let waiting = waiting.iter().map(|(start, last)| (at(*start), *last)).collect();
        Standing { searched_until: at(until), finished, waiting, gaps }
    }

    #[tokio::test]
    async fn a_tenants_gauges_show_the_worst_of_its_searches_and_go_on_by_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let context = context("in", folder.path());
        let config: UnifiedAuditSearchConfig = serde_json::from_value(json!({
            "tenant_id": "0a1b2c3d-0000-1111-2222-333344445555",
            "auth": { "client_id": "app", "client_secret": "s" },
        }))
        .unwrap();
        let clock = Clock::manual(at(100));
        let setup = common(&config).plan().unwrap();
        let connection = setup.connect_at(&context, &http_client(None).unwrap(), &clock).unwrap().remove(0);
        let gauges = Gauges::new(&context, "feed", Duration::from_secs(50 * 3600));
        let shown = || {
            gauges.show();
            let tenants = gauges.lock();
            let metrics = &tenants.values().next().unwrap().metrics;
            let hours = |seconds: i64| if seconds < 0 { seconds } else { seconds / 3600 };
            [
                hours(metrics.lag_seconds.get()),
                hours(metrics.oldest_unacknowledged_seconds.get()),
                hours(metrics.expires_in_seconds.get()),
                metrics.gaps.get(),
            ]
        };
        gauges.note(&connection, "t/a", standing(90, false, &[(80, 1), (85, 2)], 1));
        gauges.note(&connection, "t/b", standing(70, true, &[], 2));
        assert_eq!(shown(), [30, 20, 40, 3]);
        assert_eq!(context.metrics.lag_seconds().get(), 30 * 3600);
        // The first batch arrives, and an hour passes.
        let reached = downspout_core::stage::checkpoint_key("in", "t/a");
        context.store.write_all(&[Write::set(reached, 1_u64.to_be_bytes())]).unwrap();
        clock.advance(Duration::from_secs(3600));
        assert_eq!(shown(), [31, 16, 39, 3]);
        gauges.note(&connection, "t/a", standing(101, true, &[], 0));
        assert_eq!(shown(), [31, 0, -1, 2]);
    }
}
