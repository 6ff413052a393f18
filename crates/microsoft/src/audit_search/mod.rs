//! The source `unified_audit_search`: the history of the unified audit log, by search.
//!
//! # What it does
//! Searches the unified audit log of each tenant, window by window, and gives the audit records as they are: the same
//! ones that `office365_management` brings, for as far back as Microsoft keeps them (180 days and more), and filtered
//! by user, address, operation, record type or text, if wanted. Two APIs can search; `backend` says which one does.
//!
//! A search is not to be trusted at its first answer: results come cut off, time-outs inside the service look like
//! empty results, and the same search gives different sets. So a window is split until it fits the service's limits,
//! every count that the service gives is held against what came, and a window is complete only when `passes` readings
//! in a row saw the same records. Every record that any reading saw is sent, once. What does not become complete within
//! `max_passes` readings is a gap in the ledger, with its reason (`downspout gaps`).
//!
//! While a window is searched, the ids of its records are in memory, 16 bytes each: 16 MB for a window of Graph's that
//! holds the million that a query gives, 1 MB for one of Exchange's; `concurrency` windows at once.
//!
//! Up to `until`, or to now with `mode: once`, it ends; else it goes on, and reads each stretch again up to `overlap`
//! later, since records arrive late.
//!
//! Where unified audit logging is switched off, searches find nothing and succeed. So a search that has found nothing at
//! all asks whether it is on, by whatever API the application may use; where it is off, what was searched is a gap.
//!
//! # Permissions
//! `graph`: the application permission AuditLogsQuery.Read.All of Microsoft Graph. `exchange`: Exchange.ManageAsApp of
//! Office 365 Exchange Online, and the Exchange role View-Only Audit Logs for the application.
//!
//! # Example
//! ```yaml
//! sources:
//!   history:
//!     type: unified_audit_search
//!     tenant_id: ${AZURE_TENANT_ID}
//!     auth: { client_id: "${AZURE_CLIENT_ID}", client_secret: "${AZURE_CLIENT_SECRET}" }
//!     start: 90d
//!     mode: once
//!     operations: [New-InboxRule, Set-InboxRule]
//! ```
//!
//! # Metrics
//! Those of every source of Microsoft's. By tenant, with the feed `audit_search`: `downspout_feed_lag_seconds` (up to
//! when everything was searched), `downspout_feed_oldest_unacknowledged_seconds`, `downspout_feed_expires_in_seconds` (180
//! days less the lag: that long Microsoft keeps audit records without being paid for more) and `downspout_feed_gaps`.

pub(crate) mod books;
mod config;
mod cut;
mod exchange;
mod filter;
pub(crate) mod gauges;
mod graph;
mod keys;
pub(crate) mod operations;
mod passes;
pub(crate) mod record;
pub(crate) mod search;
mod session;
pub(crate) mod shelf;
mod submissions;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Context, Source, StageError};
use jiff::Timestamp;

use self::books::Range;
pub(crate) use self::books::forget;
pub use self::books::{Searched, refused, results, to_do};
pub use self::config::{Backend, GraphVersion, UnifiedAuditSearchConfig};
use self::exchange::ExchangeSearch;
use self::gauges::Gauges;
use self::graph::{GraphSearch, QueryStore};
use self::search::{Effort, Search, Searcher, Sieve};
use self::submissions::Submissions;
use crate::config::{Connection, Mode, Setup, run_each};
use crate::windows::{Moment, Schedule, Timing};

/// The feed's name in shards and ledgers.
const FEED: &str = "audit_search";

/// How long Microsoft keeps audit records at most: ten years, with the licence for it. Where it keeps them for less, a
/// search gives nothing, and that is the truth.
const KEEPS: Duration = Duration::from_secs(10 * 366 * DAY);

/// How long it keeps them at least: what Audit (Standard) promises.
const KEEPS_AT_LEAST: Duration = Duration::from_secs(180 * DAY);

/// The seconds of a day.
const DAY: u64 = 24 * 3600;

/// The running source.
#[derive(Debug)]
struct AuditSearch {
    config: UnifiedAuditSearchConfig,
    setup: Setup,
    timing: Timing,
    context: Context,
}

#[async_trait]
impl Source for AuditSearch {
    async fn run(self: Box<Self>, output: Output, mut shutdown: Shutdown) -> Result<(), StageError> {
        let connections = tokio::select! {
            connections = self.setup.connect(&self.context) => connections?,
            () = shutdown.wait() => return Ok(()),
        };
        self.run_with(connections, output, shutdown).await
    }
}

impl AuditSearch {
    async fn run_with(
        self: Box<Self>,
        connections: Vec<Connection>,
        output: Output,
        shutdown: Shutdown,
    ) -> Result<(), StageError> {
        let context = self.context.clone();
        let (mode, this, output) = (self.timing.mode, Arc::new(*self), Arc::new(output));
        let gauges = Arc::new(Gauges::new(&context, FEED, KEEPS_AT_LEAST));
        let (shown, clock) = (Arc::clone(&gauges), self::gauges::clock(&connections));
        let searching = run_each(&context, connections, mode, &shutdown, move |connection| {
            let (this, output, gauges) = (Arc::clone(&this), Arc::clone(&output), Arc::clone(&shown));
            async move { this.search(connection, gauges, &output).run(&this.context).await.map(drop) }
        });
        gauges.beside(&clock, searching).await
    }

    fn search<'o>(&self, connection: Connection, gauges: Arc<Gauges>, output: &'o Output) -> Search<'o> {
        let AuditSearch { config, timing, context, .. } = self;
        let shard = connection.tenant.shard(FEED);
        let (searcher, window, concurrency) = searcher(config, context, &connection, shard);
        // What is asked for once is asked for up to its end, however young that is, and not again by a later run.
        let (settle, overlap) = match timing.mode {
            Mode::Once => (Duration::ZERO, Duration::ZERO),
            Mode::Follow => (config.settle.0, config.overlap.0),
        };
        Search {
            feed: FEED.to_owned(),
            searcher,
            effort: Effort {
                passes: config.passes,
                max_passes: config.max_passes,
                concurrency: config.concurrency.unwrap_or(concurrency),
                interval: timing.interval,
            },
            range: Range {
                schedule: Schedule::new(timing.interval, overlap, settle, KEEPS),
                timing: *timing,
                window: config.window.map_or(window, |window| window.0),
            },
            room: config.room(),
            gauges: Some(gauges),
            connection,
            output,
            recovers: None,
        }
    }
}

/// The search of a stretch of time, once, for what another source missed: `sieve` takes it. `feed` names its shard.
pub(crate) fn search_stretch<'o>(
    context: &Context,
    connection: Connection,
    backend: Backend,
    (feed, start, end): (String, Timestamp, Timestamp),
    sieve: &'o dyn Sieve,
    output: &'o Output,
) -> Search<'o> {
    let config = UnifiedAuditSearchConfig::everything(backend);
    let shard = connection.tenant.shard(&feed);
    let (searcher, window, concurrency) = searcher(&config, context, &connection, shard);
    let timing = Timing {
        start: Moment::At(start),
        until: Some(Moment::At(end)),
        interval: config.interval.0,
        overlap: None,
        mode: Mode::Once,
    };
    Search {
        feed,
        searcher,
        effort: Effort { passes: config.passes, max_passes: config.max_passes, concurrency, interval: timing.interval },
        range: Range {
            schedule: Schedule::new(timing.interval, Duration::ZERO, Duration::ZERO, KEEPS),
            timing,
            window,
        },
        room: config.room(),
        gauges: None,
        connection,
        output,
        recovers: Some(sieve),
    }
}

/// The backend of a config, its longest window, and how many of these it searches at once.
fn searcher(
    config: &UnifiedAuditSearchConfig,
    context: &Context,
    connection: &Connection,
    shard: String,
) -> (Searcher, Duration, usize) {
    let (client, filters) = (connection.client.clone(), config.filters());
    match config.backend {
        Backend::Graph => {
            let (store, source) = (Arc::clone(&context.store), Arc::clone(&context.id));
            let (queries, version) = (QueryStore { store, source, shard }, config.graph_version.segment());
            let submissions = Submissions::new(context, &connection.tenant.id, config.daily_queries);
            let search = GraphSearch::new(client, version, filters, queries, submissions);
            (Searcher::Graph(search), Duration::from_secs(DAY), 8)
        }
        Backend::Exchange => {
            let search = ExchangeSearch::new(client, &connection.tenant.id, filters, config.high_completeness);
            (Searcher::Exchange(search), Duration::from_secs(DAY / 4), 2)
        }
    }
}
