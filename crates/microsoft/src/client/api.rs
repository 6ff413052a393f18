//! The APIs: whose budget a request takes from, how many requests that allows, and whose tokens it needs.
//!
//! The limits are Microsoft's own where it documents them, and planning values where it does not. A config may set
//! another number of requests per minute; the budget itself adapts downwards when the service says so.

use std::time::Duration;

use crate::cloud::Service;

/// What has a budget of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// Office 365 Management Activity: 2,000 requests a minute and tenant.
    Management,
    /// Graph's sign-ins, directory audits and provisioning: 5 requests in 10 seconds, app and tenant.
    GraphReports,
    /// Graph's risk detections: 1 request a second and tenant, all apps together.
    GraphIdentityProtection,
    /// Graph's directory objects: at least 3,500 resource units in 10 seconds.
    GraphDirectory,
    /// Graph's audit log queries.
    GraphAuditQuery,
    /// Graph's message trace: 100 requests in 5 minutes and tenant.
    GraphMessageTrace,
    /// Exchange Online's administration over REST. Limits are not documented.
    Exchange,
    /// The Reporting Web Service.
    Reporting,
    /// Azure Resource Manager.
    ResourceManager,
    /// Azure DevOps' audit log.
    DevOps,
}

/// At most `requests` in any time of length `per`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// How many requests.
    pub requests: f64,
    /// In how much time.
    pub per: Duration,
}

impl Api {
    /// All APIs.
    pub const ALL: [Api; 10] = [
        Api::Management,
        Api::GraphReports,
        Api::GraphIdentityProtection,
        Api::GraphDirectory,
        Api::GraphAuditQuery,
        Api::GraphMessageTrace,
        Api::Exchange,
        Api::Reporting,
        Api::ResourceManager,
        Api::DevOps,
    ];

    /// The value of the `api` label of metrics, and what messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Api::Management => "office365_management",
            Api::GraphReports => "graph_reports",
            Api::GraphIdentityProtection => "graph_identity_protection",
            Api::GraphDirectory => "graph_directory",
            Api::GraphAuditQuery => "graph_audit_query",
            Api::GraphMessageTrace => "graph_message_trace",
            Api::Exchange => "exchange_admin",
            Api::Reporting => "reporting",
            Api::ResourceManager => "azure_resource_manager",
            Api::DevOps => "azure_devops",
        }
    }

    /// The service that most of its URLs belong to.
    pub fn service(self) -> Service {
        match self {
            Api::Management => Service::Management,
            Api::GraphReports
            | Api::GraphIdentityProtection
            | Api::GraphDirectory
            | Api::GraphAuditQuery
            | Api::GraphMessageTrace => Service::Graph,
            Api::Exchange => Service::Exchange,
            Api::Reporting => Service::Reporting,
            Api::ResourceManager => Service::ResourceManager,
            Api::DevOps => Service::DevOpsAudit,
        }
    }

    /// How many requests one tenant may take.
    pub fn limit(self) -> Limit {
        let (requests, seconds) = match self {
            Api::Management => (2000.0, 60),
            Api::GraphReports => (5.0, 10),
            Api::GraphIdentityProtection => (1.0, 1),
            Api::GraphDirectory => (1000.0, 10),
            Api::GraphAuditQuery => (600.0, 60),
            Api::GraphMessageTrace => (100.0, 300),
            Api::Exchange => (240.0, 60),
            Api::Reporting => (60.0, 60),
            Api::ResourceManager => (600.0, 60),
            Api::DevOps => (600.0, 60),
        };
        Limit { requests, per: Duration::from_secs(seconds) }
    }

    /// Whether the limit is each application's own in a tenant, and not that of all applications together.
    pub fn counts_apps(self) -> bool {
        matches!(self, Api::GraphReports | Api::GraphDirectory | Api::ResourceManager | Api::DevOps)
    }

    /// How many requests may be under way at once, up to the head of their answers.
    pub fn concurrency(self) -> usize {
        match self {
            Api::Management => 32,
            Api::GraphDirectory => 8,
            Api::GraphReports | Api::GraphIdentityProtection | Api::GraphMessageTrace | Api::Reporting => 2,
            Api::GraphAuditQuery | Api::Exchange | Api::ResourceManager | Api::DevOps => 4,
        }
    }
}
