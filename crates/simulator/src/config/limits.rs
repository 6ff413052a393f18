//! What the services of a simulated cloud allow their clients.

use serde::Deserialize;

/// Rate limits and page sizes; 0 switches a limit off.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Management Activity API: requests a minute and tenant, for each publisher.
    pub management_per_minute: u64,
    /// The HTTP status that carries AF429: 403 as Microsoft's sample has it, or 429.
    pub management_throttle_status: u16,
    /// Entries of a content listing's page.
    pub management_page: usize,
    /// How long after a start of a subscription another one of it is refused.
    pub management_start_seconds: u64,
    /// Whether a window over 24 hours gets part of the content instead of an error.
    pub management_partial_windows: bool,
    /// Graph reports (sign-ins, audits, provisioning): requests in 10 seconds, app and tenant.
    pub reports_per_10_seconds: u64,
    /// Identity protection: requests a second and tenant.
    pub protection_per_second: u64,
    /// Message trace: requests in 5 minutes and tenant.
    pub trace_per_5_minutes: u64,
    /// Records of a page of Graph's logs, however many were asked for; 0: as many.
    pub graph_page: usize,
    /// Directory objects: requests in 10 seconds, app and tenant.
    pub directory_per_10_seconds: u64,
    /// Audit queries: submissions in 24 hours and tenant.
    pub queries_per_day: u64,
    /// Audit queries that may run at once.
    pub queries_running: usize,
    /// The most records of one audit query.
    pub query_records: usize,
    /// How long an audit query takes.
    pub query_seconds: u64,
    /// Whether Graph v1.0 has audit queries; else beta alone has them, as one tenant has seen it.
    pub queries_v1: bool,
    /// Exchange cmdlets: requests a minute and tenant.
    pub exchange_per_minute: u64,
    /// The most rows of one answer of a cmdlet; 0 gives as many as the cmdlet was asked for.
    pub exchange_page: usize,
    /// Whether the link to the rows that an answer left out can be followed, by the same request once more. Else it has
    /// expired, as one client has always seen it.
    pub exchange_links: bool,
    /// Azure Resource Manager: requests a minute and app.
    pub azure_per_minute: u64,
    /// Entries of a page of Azure's activity log.
    pub azure_page: usize,
    /// Azure DevOps: requests in 5 minutes and identity.
    pub devops_per_5_minutes: u64,
    /// Entries of a page of directory objects.
    pub directory_page: usize,
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        LimitsConfig {
            management_per_minute: 2_000,
            management_throttle_status: 403,
            management_page: 200,
            management_start_seconds: 900,
            management_partial_windows: false,
            reports_per_10_seconds: 5,
            protection_per_second: 1,
            trace_per_5_minutes: 100,
            graph_page: 0,
            directory_per_10_seconds: 3_500,
            queries_per_day: 200,
            queries_running: 50,
            query_records: 1_000_000,
            query_seconds: 120,
            queries_v1: true,
            exchange_per_minute: 600,
            exchange_page: 0,
            exchange_links: false,
            azure_per_minute: 1_500,
            azure_page: 200,
            devops_per_5_minutes: 1_000,
            directory_page: 100,
        }
    }
}

/// Tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// The shortest life of a token.
    pub lifetime_seconds: u64,
    /// By how much it varies above that.
    pub spread_seconds: u64,
    /// The device flow: how often a client polls before the user has signed in.
    pub device_polls: u32,
    /// The device flow's outcome then: `approved`, `declined` or `expired`; or `waits`, until somebody decides with
    /// `POST /simulator/device`.
    pub device_outcome: String,
}

impl Default for TokenConfig {
    fn default() -> TokenConfig {
        TokenConfig {
            lifetime_seconds: 3_600,
            spread_seconds: 1_800,
            device_polls: 2,
            device_outcome: "approved".to_owned(),
        }
    }
}
