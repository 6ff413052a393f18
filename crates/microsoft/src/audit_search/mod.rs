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

mod exchange;
mod filter;
mod graph;
mod passes;
mod record;
mod search;
mod session;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::config_values::HumanDuration;
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Build, Component, ConfigError, Context, Source, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::AuthConfig;
use crate::cloud::CloudConfig;
use crate::config::{Common, Mode, Setup, Start, TenantsConfig};

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
    /// Where to begin at the first start: a time, or how long ago.
    #[serde(default = "default_start")]
    pub start: Start,
    /// Where to end: a time. Without it the source goes on, or up to now with `mode: once`.
    pub until: Option<Start>,
    /// Whether to go on for ever, or to end.
    #[serde(default)]
    pub mode: Mode,
    /// How often the newest stretch is searched.
    #[serde(default = "default_interval")]
    pub interval: HumanDuration,
    /// How old a stretch is before it is searched for the first time.
    #[serde(default = "default_settle")]
    pub settle: HumanDuration,
    /// Up to which age a stretch is searched again, for records that arrive late.
    #[serde(default = "default_overlap")]
    pub overlap: HumanDuration,
    /// The longest stretch that one search asks for. Longer ones cost fewer queries, and are split where they hold too
    /// much.
    #[serde(default = "default_window")]
    pub window: HumanDuration,
    /// How many windows are searched at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
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

impl GraphVersion {
    fn segment(self) -> &'static str {
        match self {
            GraphVersion::Beta => "beta",
            GraphVersion::V1 => "v1.0",
        }
    }
}
