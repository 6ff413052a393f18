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
//! Up to `until`, or to now with `mode: once`, it ends; else it goes on, and reads each stretch again up to `overlap`
//! later, since records arrive late.
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
//! Those of every source of Microsoft's.

pub(crate) mod books;
mod exchange;
mod filter;
mod graph;
mod passes;
pub(crate) mod record;
pub(crate) mod search;
mod session;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::access::Access;
use downspout_core::config_values::HumanDuration;
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Build, Component, ConfigError, Context, Source, StageError};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use self::books::Range;
pub use self::books::{Searched, results, to_do};
use self::exchange::ExchangeSearch;
use self::filter::Filters;
use self::graph::{GraphSearch, QueryStore};
use self::search::{Effort, Search, Searcher};
use crate::access::{AuditingOn, Permission, checks};
use crate::auth::AuthConfig;
use crate::client::Api;
use crate::cloud::{CloudConfig, Service};
use crate::config::{Common, Connection, Mode, Setup, TenantsConfig, run_each};
use crate::windows::{Moment, Schedule, Timing};

/// The feed's name in shards and ledgers.
const FEED: &str = "audit_search";

/// How long Microsoft keeps audit records at most: ten years, with the licence for it. Where it keeps them for less, a
/// search gives nothing, and that is the truth.
const KEEPS: Duration = Duration::from_secs(10 * 366 * DAY);

/// The seconds of a day.
const DAY: u64 = 24 * 3600;

/// Searches the unified audit log of one tenant or many: its history, whole or filtered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnifiedAuditSearchConfig {
    /// The tenant's id.
    pub tenant_id: Option<String>,
    /// Many tenants in place of one.
    pub tenants: Option<TenantsConfig>,
    /// How to sign in.
    pub auth: Option<AuthConfig>,
    /// Which cloud.
    #[serde(default)]
    pub cloud: CloudConfig,
    /// A file with certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A budget of requests in place of the API's own limit.
    pub requests_per_minute: Option<u32>,
    /// Which API searches.
    #[serde(default)]
    pub backend: Backend,
    /// Under which version Graph serves audit queries.
    #[serde(default)]
    pub graph_version: GraphVersion,
    /// Only what these users did (user principal names).
    #[serde(default)]
    pub users: Vec<String>,
    /// Only what came from these addresses.
    #[serde(default)]
    pub ips: Vec<String>,
    /// Only these operations, spelled as records spell them (`Add member to role.` with its full stop).
    #[serde(default)]
    pub operations: Vec<String>,
    /// Only these record types, by name (`ExchangeAdmin`).
    #[serde(default)]
    pub record_types: Vec<String>,
    /// Only records that hold this text.
    #[serde(default)]
    pub text: String,
    /// How far back the first search goes: a time, or how long ago.
    #[serde(default = "default_start")]
    pub start: Moment,
    /// Where searching ends, with `mode: once`; now, if left out.
    pub until: Option<Moment>,
    /// How often new records are searched for.
    #[serde(default = "default_interval")]
    pub interval: HumanDuration,
    /// How old a stretch is before it is searched for the first time.
    #[serde(default = "default_settle")]
    pub settle: HumanDuration,
    /// Up to which age a stretch is searched again, for records that arrive late.
    #[serde(default = "default_overlap")]
    pub overlap: HumanDuration,
    /// `follow`: go on for ever. `once`: end when everything up to `until` was searched.
    #[serde(default)]
    pub mode: Mode,
    /// The longest stretch that one search asks for: a day, or six hours with `exchange`, unless said. Longer ones cost
    /// fewer queries; what holds too much is split.
    pub window: Option<HumanDuration>,
    /// How many windows are searched at once: 8, or 2 with `exchange`, unless said. Microsoft lets a tenant have 50
    /// audit queries at once.
    pub concurrency: Option<usize>,
    /// How many readings of a window in a row must see the same records.
    #[serde(default = "default_passes")]
    pub passes: u32,
    /// After how many readings without that a window is a gap.
    #[serde(default = "default_max_passes")]
    pub max_passes: u32,
    /// How many audit queries Graph may be asked to run within 24 hours; Microsoft promises 200 to each tenant.
    #[serde(default = "default_daily_queries")]
    pub daily_queries: usize,
    /// Ask Exchange to prefer completeness to speed.
    #[serde(default = "default_high_completeness")]
    pub high_completeness: bool,
}

/// An API that searches the unified audit log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Microsoft Graph's audit log query: worldwide cloud only.
    #[default]
    Graph,
    /// Exchange Online's Search-UnifiedAuditLog.
    Exchange,
}

/// The versions of Graph under which audit queries were seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum GraphVersion {
    /// Where every tenant seen so far has them.
    #[default]
    #[serde(rename = "beta")]
    Beta,
    /// Where they are documented, and not served to everybody.
    #[serde(rename = "v1.0")]
    V1,
}

impl Backend {
    /// What the ledger and the field `downspout.provenance` call it.
    pub(crate) fn provenance(self) -> &'static str {
        match self {
            Backend::Graph => "unified_audit_search/graph",
            Backend::Exchange => "unified_audit_search/exchange",
        }
    }
}

impl GraphVersion {
    fn segment(self) -> &'static str {
        match self {
            GraphVersion::Beta => "beta",
            GraphVersion::V1 => "v1.0",
        }
    }
}

fn default_start() -> Moment {
    Moment::Ago(Duration::from_secs(7 * DAY))
}

fn default_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(3600))
}

fn default_settle() -> HumanDuration {
    HumanDuration(Duration::from_secs(3600))
}

fn default_overlap() -> HumanDuration {
    HumanDuration(Duration::from_secs(DAY))
}

fn default_passes() -> u32 {
    2
}

fn default_max_passes() -> u32 {
    12
}

fn default_daily_queries() -> usize {
    200
}

fn default_high_completeness() -> bool {
    true
}

impl Component for UnifiedAuditSearchConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "unified_audit_search";

    const EXAMPLE: &'static str = "tenant_id: 00000000-0000-0000-0000-000000000000
auth: { client_id: 00000000-0000-0000-0000-000000000001, client_secret: secret }
start: 90d
mode: once
operations: [New-InboxRule, Set-InboxRule]
";

    fn access(&self) -> Option<Box<dyn Access>> {
        match self.backend {
            Backend::Graph => {
                let permission = Permission::graph(&[
                    "AuditLogsQuery.Read.All",
                    "AuditLogsQuery-Entra.Read.All",
                    "AuditLogsQuery-Exchange.Read.All",
                    "AuditLogsQuery-SharePoint.Read.All",
                    "AuditLogsQuery-OneDrive.Read.All",
                    "AuditLogsQuery-Endpoint.Read.All",
                    "AuditLogsQuery-CRM.Read.All",
                ]);
                checks(common(self), vec![(Service::Graph, Api::GraphAuditQuery)], vec![permission], Vec::new())
            }
            Backend::Exchange => {
                let services = vec![(Service::Exchange, Api::Exchange)];
                checks(common(self), services, vec![Permission::exchange()], vec![Box::new(AuditingOn)])
            }
        }
    }

    fn plan(self) -> Result<Build<Box<dyn Source>>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let setup = common(&self).plan().map_err(|wrong| errors.extend(wrong));
        let timing = timing(&self).plan().map_err(|wrong| errors.extend(wrong));
        errors.extend(self.filters().check());
        for (key, wrong, message) in [
            ("window", self.window.is_some_and(|window| window.0 < Duration::from_secs(60)), "it must be at least 1m"),
            ("concurrency", self.concurrency.is_some_and(|count| !(1..=50).contains(&count)), "expected 1 to 50"),
            ("passes", !(1..=10).contains(&self.passes), "expected 1 to 10"),
            ("max_passes", self.max_passes < self.passes, "it must be at least `passes`"),
            ("daily_queries", self.daily_queries == 0, "it must be at least 1"),
        ] {
            if wrong {
                errors.push(ConfigError::at(key, message));
            }
        }
        match (setup, timing) {
            (Ok(setup), Ok(timing)) if errors.is_empty() => {
                Ok(Box::new(move |context| Ok(Box::new(AuditSearch { config: self, setup, timing, context }))))
            }
            _ => Err(errors),
        }
    }
}

fn common(config: &UnifiedAuditSearchConfig) -> Common {
    Common {
        tenant_id: config.tenant_id.clone(),
        tenants: config.tenants.clone(),
        auth: config.auth.clone(),
        cloud: config.cloud.clone(),
        publisher_id: None,
        ca_file: config.ca_file.clone(),
        requests_per_minute: config.requests_per_minute,
    }
}

fn timing(config: &UnifiedAuditSearchConfig) -> Timing {
    Timing {
        start: config.start,
        until: config.until,
        interval: config.interval.0,
        overlap: Some(config.overlap.0),
        mode: config.mode,
    }
}

impl UnifiedAuditSearchConfig {
    /// Everything, with default values.
    fn everything(backend: Backend) -> UnifiedAuditSearchConfig {
        UnifiedAuditSearchConfig {
            tenant_id: None,
            tenants: None,
            auth: None,
            cloud: CloudConfig::default(),
            ca_file: None,
            requests_per_minute: None,
            backend,
            graph_version: GraphVersion::default(),
            users: Vec::new(),
            ips: Vec::new(),
            operations: Vec::new(),
            record_types: Vec::new(),
            text: String::new(),
            start: default_start(),
            until: None,
            interval: default_interval(),
            settle: default_settle(),
            overlap: default_overlap(),
            mode: Mode::Once,
            window: None,
            concurrency: None,
            passes: default_passes(),
            max_passes: default_max_passes(),
            daily_queries: default_daily_queries(),
            high_completeness: default_high_completeness(),
        }
    }

    fn filters(&self) -> Filters {
        Filters {
            users: self.users.clone(),
            ips: self.ips.clone(),
            operations: self.operations.clone(),
            record_types: self.record_types.clone(),
            text: self.text.clone(),
        }
    }
}

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
        run_each(&context, connections, mode, &shutdown, move |connection| {
            let (this, output) = (Arc::clone(&this), Arc::clone(&output));
            async move { this.search(connection, &output).run(&this.context).await }
        })
        .await
    }

    fn search<'o>(&self, connection: Connection, output: &'o Output) -> Search<'o> {
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
            connection,
            output,
        }
    }
}

/// The search for everything in a stretch of time, once: what another source missed. `feed` names its shard.
pub(crate) fn search_stretch<'o>(
    context: &Context,
    connection: Connection,
    backend: Backend,
    (feed, start, end): (String, Timestamp, Timestamp),
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
        connection,
        output,
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
            let search = GraphSearch::new(client, version, filters, queries, config.daily_queries);
            (Searcher::Graph(search), Duration::from_secs(DAY), 8)
        }
        Backend::Exchange => {
            let search = ExchangeSearch::new(client, &connection.tenant.id, filters, config.high_completeness);
            (Searcher::Exchange(search), Duration::from_secs(DAY / 4), 2)
        }
    }
}
