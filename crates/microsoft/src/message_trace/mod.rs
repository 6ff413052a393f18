//! The source `message_trace`: which mail went from whom to whom, and what became of it.
//!
//! # What it does
//! Reads message traces of Exchange Online, one record for each recipient of a message. A trace changes while its
//! message is under way (pending, delivered, quarantined), so each stretch of time is read again up to two days
//! later, and a trace that has changed is sent again; `dedupe` knows traces by id, recipient and status.
//!
//! `endpoint` says where from:
//!
//! - `graph`, for worldwide and GCC tenants: 90 days back, 100 requests in 5 minutes. Besides its permission it needs,
//!   once in each tenant, the service principal of Microsoft's application `8bd644d1-64a1-4d4b-ae52-2e0cbf64e373`;
//!   until it is there, and for some hours after, Graph answers 401.
//! - `reporting`, the Reporting Web Service: ten days back, where it still answers. Microsoft began to switch it off on
//!   6 April 2026, and newer tenants never had it. When it says no, or nothing any more, the source says what that means
//!   and what to do. It does not go over to Graph by itself: that needs another permission, and its records have other
//!   fields.
//!
//! # What it needs
//! `graph`: the application permission `ExchangeMessageTrace.Read.All` of Microsoft Graph, and that service principal.
//! `reporting`: the application permission `ReportingWebService.Read.All` of Office 365 Exchange Online, and the Entra
//! role Global Reader (or a like one) for the app.
//!
//! # Example
//! ```yaml
//! type: message_trace
//! tenant_id: ${AZURE_TENANT_ID}
//! auth: { client_id: "${AZURE_CLIENT_ID}", client_secret: "${file:/run/secrets/entra}" }
//! start: 10d
//! ```

mod graph;
mod reporting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::access::Access;
use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::{Build, Component, ConfigError, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::{Permission, ReadFeeds, checks};
use crate::auth::AuthConfig;
use crate::client::{Api, Trouble};
use crate::cloud::{CloudConfig, CloudName, Service};
use crate::config::{Common, Connection, Mode, TenantsConfig};
use crate::windows::{self, Feed, Feeds, Moment, Spool, Timing};

/// Reads message traces of Exchange Online.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageTraceConfig {
    /// The tenant's id, a GUID.
    pub tenant_id: Option<String>,
    /// Several tenants, in place of `tenant_id`: a list, or the path of a YAML or JSON file that holds one.
    pub tenants: Option<TenantsConfig>,
    /// How to sign in.
    pub auth: Option<AuthConfig>,
    /// Which of Microsoft's clouds.
    #[serde(default)]
    pub cloud: CloudConfig,
    /// A PEM file of certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A budget of requests in place of the service's own limit.
    /// Sources that ask the same API for the same tenant share it: the lowest of their numbers holds.
    pub requests_per_minute: Option<u32>,
    /// Where to read from: `graph`, or the retired `reporting` service. Left out, it is `graph` in the clouds that
    /// have message traces there (worldwide and GCC), and `reporting` in the others.
    pub endpoint: Option<Endpoint>,
    /// How far back the first read goes: a time, or how long ago. Graph keeps traces for 90 days, the reporting
    /// service for 10.
    #[serde(default = "default_start")]
    pub start: Moment,
    /// Where reading ends, with `mode: once`; now, if left out.
    pub until: Option<Moment>,
    /// How often new traces are asked for.
    #[serde(default = "windows::default_interval")]
    pub interval: HumanDuration,
    /// How late a trace may appear, or change, and still be found.
    #[serde(default = "default_overlap")]
    pub overlap: HumanDuration,
    /// While the sinks are behind, nothing is read that can be read later. What Microsoft deletes within this time is read
    /// all the same, and kept on the disk until it is delivered.
    #[serde(default = "windows::default_spool_before")]
    pub spool_before: HumanDuration,
    /// How much of the disk that may take.
    #[serde(default = "windows::default_spool_max")]
    pub spool_max: ByteSize,
    /// `follow`: go on for ever. `once`: end when everything up to `until` was read.
    #[serde(default)]
    pub mode: Mode,
}

/// A service that has message traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Microsoft Graph.
    Graph,
    /// The Reporting Web Service.
    Reporting,
}

fn default_start() -> Moment {
    Moment::Ago(Duration::from_secs(2 * 24 * 3600))
}

fn default_overlap() -> HumanDuration {
    HumanDuration(Duration::from_secs(48 * 3600))
}

/// One feed in every tenant.
#[derive(Debug)]
struct Traces(Endpoint);

#[async_trait]
impl Feeds for Traces {
    async fn list(&self, _connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble> {
        Ok(vec![match self.0 {
            Endpoint::Graph => Arc::new(graph::feed()),
            Endpoint::Reporting => Arc::new(reporting::MessageTraces::default()),
        }])
    }
}

impl MessageTraceConfig {
    /// Whether Graph has message traces in the cloud.
    fn on_graph(&self) -> bool {
        matches!(self.cloud.name(), CloudName::Worldwide | CloudName::Gcc)
    }

    fn endpoint(&self) -> Endpoint {
        self.endpoint.unwrap_or(if self.on_graph() { Endpoint::Graph } else { Endpoint::Reporting })
    }

    fn common(&self) -> Common {
        Common {
            tenant_id: self.tenant_id.clone(),
            tenants: self.tenants.clone(),
            auth: self.auth.clone(),
            cloud: self.cloud.clone(),
            publisher_id: None,
            ca_file: self.ca_file.clone(),
            requests_per_minute: self.requests_per_minute,
        }
    }
}

impl Component for MessageTraceConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "message_trace";

    const EXAMPLE: &'static str = "\
tenant_id: 00000000-0000-0000-0000-000000000000
auth: { client_id: 11111111-1111-1111-1111-111111111111, client_secret: \"secret\" }
start: 2d
overlap: 48h
";

    fn access(&self) -> Option<Box<dyn Access>> {
        let (service, permission) = match self.endpoint() {
            Endpoint::Graph => {
                ((Service::Graph, Api::GraphMessageTrace), Permission::graph(&["ExchangeMessageTrace.Read.All"]))
            }
            Endpoint::Reporting => {
                let permissions = &["ReportingWebService.Read.All"];
                let permission = Permission::needed(Service::Reporting, "Office 365 Exchange Online", permissions);
                ((Service::Reporting, Api::Reporting), permission)
            }
        };
        checks(self.common(), vec![service], vec![permission], vec![Box::new(ReadFeeds(Traces(self.endpoint())))])
    }

    fn plan(self) -> Result<Build<Self::Stage>, Vec<ConfigError>> {
        let timing = Timing {
            start: self.start,
            until: self.until,
            interval: self.interval.0,
            overlap: Some(self.overlap.0),
            mode: self.mode,
        };
        let endpoint = self.endpoint();
        let spool = Spool { before: self.spool_before.0, max: self.spool_max.0 };
        let mut errors = Vec::new();
        if endpoint == Endpoint::Graph && !self.on_graph() {
            let message =
                format!("Microsoft Graph has no message traces in the cloud `{}`", self.cloud.name().as_str());
            errors.push(ConfigError::at("endpoint", message).help("read them with `endpoint: reporting`"));
        }
        windows::plan_source(self.common(), timing, spool, errors, Arc::new(Traces(endpoint)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cloud_decides_where_traces_come_from() {
        let read = |cloud: serde_json::Value, endpoint: Option<&str>| {
            let mut config = serde_json::json!({
                "tenant_id": "0a1b2c3d-0000-1111-2222-333344445555",
                "auth": { "client_id": "a", "client_secret": "b" },
                "cloud": cloud,
            });
            if let Some(endpoint) = endpoint {
                config["endpoint"] = endpoint.into();
            }
            serde_json::from_value::<MessageTraceConfig>(config).unwrap()
        };
        assert_eq!(read("worldwide".into(), None).endpoint(), Endpoint::Graph);
        assert_eq!(read("gcc_high".into(), None).endpoint(), Endpoint::Reporting);
        assert!(read("gcc_high".into(), None).plan().is_ok());
        let errors = read("gcc_high".into(), Some("graph")).plan().err().unwrap();
        assert_eq!(errors[0].key, "endpoint");
    }
}
