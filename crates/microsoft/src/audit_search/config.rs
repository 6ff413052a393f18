//! The keys of `unified_audit_search`.

use std::path::PathBuf;
use std::time::Duration;

use downspout_core::access::Access;
use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::{Build, Component, ConfigError, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use super::filter::Filters;
use super::operations;
use super::shelf::Room;
use super::{AuditSearch, KEEPS_AT_LEAST};
use crate::access::{AuditingOn, AuditingSeen, Permission, Probe, checks};
use crate::auth::AuthConfig;
use crate::client::Api;
use crate::cloud::{CloudConfig, CloudName, Service};
use crate::config::{Common, Mode, TenantsConfig};
use crate::windows::{Moment, Spool, Timing, default_overlap, default_spool_before, default_spool_max, default_start};

/// Searches the unified audit log of one tenant or many: its history, whole or filtered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnifiedAuditSearchConfig {
    /// The tenant's id.
    pub tenant_id: Option<String>,
    /// Several tenants, in place of `tenant_id`: a list, or the path of a YAML or JSON file that holds one.
    pub tenants: Option<TenantsConfig>,
    /// How to sign in.
    pub auth: Option<AuthConfig>,
    /// Which cloud.
    #[serde(default)]
    pub cloud: CloudConfig,
    /// A file with certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A budget of requests in place of the API's own limit.
    /// Sources that ask the same API for the same tenant share it: the lowest of their numbers holds.
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
    /// Only these operations, spelled as records spell them (`Add member to role.` with its full stop). One that is nearly
    /// a known one is warned of, since Microsoft would find nothing and not tell.
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
    /// How many audit queries Graph may be asked to run within 24 hours; Microsoft promises 200 to each tenant. The
    /// queries of all sources and earlier runs count, since Microsoft counts them together.
    #[serde(default = "default_daily_queries")]
    pub daily_queries: usize,
    /// Ask Exchange to prefer completeness to speed.
    #[serde(default = "default_high_completeness")]
    pub high_completeness: bool,
    /// What is found while the sinks are behind waits on the disk, and the search waits when that is much; but not for
    /// what Microsoft may delete within that time: audit records are kept for 180 days, unless more is paid for.
    #[serde(default = "default_spool_before")]
    pub spool_before: HumanDuration,
    /// How much of the disk what waits may take then, compressed, of each tenant.
    #[serde(default = "default_spool_max")]
    pub spool_max: ByteSize,
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
    /// The mistake of choosing it, under a key, in a cloud that does not have it.
    pub(crate) fn check(self, key: &str, cloud: &CloudConfig) -> Option<ConfigError> {
        let has = self == Backend::Exchange || matches!(cloud.name(), CloudName::Worldwide | CloudName::Gcc);
        let message = format!("Microsoft Graph has no audit log queries in the cloud `{}`", cloud.name().as_str());
        (!has).then(|| ConfigError::at(key, message).help(format!("search with `{key}: exchange`")))
    }

    /// What the ledger and the field `downspout.provenance` call it.
    pub(crate) fn provenance(self) -> &'static str {
        match self {
            Backend::Graph => "unified_audit_search/graph",
            Backend::Exchange => "unified_audit_search/exchange",
        }
    }

    /// What an application needs to search.
    pub(crate) fn needs(self) -> Needs {
        match self {
            Backend::Graph => Needs {
                service: (Service::Graph, Api::GraphAuditQuery),
                permission: Permission::graph(&[
                    "AuditLogsQuery.Read.All",
                    "AuditLogsQuery-Entra.Read.All",
                    "AuditLogsQuery-Exchange.Read.All",
                    "AuditLogsQuery-SharePoint.Read.All",
                    "AuditLogsQuery-OneDrive.Read.All",
                    "AuditLogsQuery-Endpoint.Read.All",
                    "AuditLogsQuery-CRM.Read.All",
                ]),
                probe: Box::new(AuditingSeen),
            },
            Backend::Exchange => Needs {
                service: (Service::Exchange, Api::Exchange),
                permission: Permission::exchange(),
                probe: Box::new(AuditingOn),
            },
        }
    }
}

/// What an application needs to search the audit log.
pub(crate) struct Needs {
    /// The service that it needs a token for, and which of its APIs.
    pub(crate) service: (Service, Api),
    /// What must be in the token.
    pub(crate) permission: Permission,
    /// What only a question can tell.
    pub(crate) probe: Box<dyn Probe>,
}

impl GraphVersion {
    pub(super) fn segment(self) -> &'static str {
        match self {
            GraphVersion::Beta => "beta",
            GraphVersion::V1 => "v1.0",
        }
    }
}

fn default_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(3600))
}

fn default_settle() -> HumanDuration {
    HumanDuration(Duration::from_secs(3600))
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
        let Needs { service, permission, probe } = self.backend.needs();
        checks(common(self), vec![service], vec![permission], vec![probe])
    }

    fn warnings(&self) -> Vec<ConfigError> {
        operations::doubts(&self.operations, &operations::known())
    }

    fn plan(self) -> Result<Build<Box<dyn Source>>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let setup = common(&self).plan().map_err(|wrong| errors.extend(wrong));
        let timing = timing(&self).plan().map_err(|wrong| errors.extend(wrong));
        errors.extend(self.filters().check());
        errors.extend(self.backend.check("backend", &self.cloud));
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

pub(super) fn common(config: &UnifiedAuditSearchConfig) -> Common {
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

pub(super) fn timing(config: &UnifiedAuditSearchConfig) -> Timing {
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
    pub(super) fn everything(backend: Backend) -> UnifiedAuditSearchConfig {
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
            spool_before: default_spool_before(),
            spool_max: default_spool_max(),
        }
    }

    pub(super) fn room(&self) -> Room {
        Room { keeps: KEEPS_AT_LEAST, spool: Spool { before: self.spool_before.0, max: self.spool_max.0 } }
    }

    pub(super) fn filters(&self) -> Filters {
        Filters {
            users: self.users.clone(),
            ips: self.ips.clone(),
            operations: self.operations.clone(),
            record_types: self.record_types.clone(),
            text: self.text.clone(),
        }
    }
}
