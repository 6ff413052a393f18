//! The source `entra_signins`: who signed in to Microsoft Entra ID, how, and whether it worked.
//!
//! # What it does
//! Reads four logs through Microsoft Graph: interactive sign-ins of users, non-interactive ones (applications on
//! their behalf), those of service principals and of managed identities. Each is a feed of its own, with its own
//! cursor, because Graph does not let all of them be asked for together. The beta endpoint is used: the v1.0 endpoint
//! knows interactive sign-ins only.
//!
//! Sign-ins appear minutes to hours late. So each stretch of time is read again at growing ages, up to `overlap`, and
//! what was sent already is not sent again. A sign-in that Microsoft changes later (risk, mostly) is sent again as it
//! is then, and passes `dedupe`, which knows sign-ins by `id` and content.
//!
//! # What it needs
//! The application permission `AuditLog.Read.All` of Microsoft Graph, and Entra ID P1 or P2 in the tenant. Without
//! the licence Graph refuses; the source says so, asks again every hour and lets everything else run on. Graph allows
//! an app 5 requests in 10 seconds and tenant, shared with `entra_audits`.
//!
//! Microsoft keeps sign-ins for 30 days (`retention`): what an outage lets grow older is lost, and `downspout gaps`
//! shows it. While a sink is down, what is about to grow too old is put on the disk (`spool_before`, `spool_max`).
//!
//! # Example
//! ```yaml
//! type: entra_signins
//! tenant_id: ${AZURE_TENANT_ID}
//! auth: { client_id: "${AZURE_CLIENT_ID}", client_secret: "${file:/run/secrets/entra}" }
//! ```

use std::ops::RangeInclusive;
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
use crate::cloud::{CloudConfig, Service};
use crate::config::{Common, Connection, Mode, TenantsConfig};
use crate::windows::{self, Bounds, Collection, Feed, Feeds, GraphFeed, Moment, Pace, Spool, Timing};

/// Reads the sign-in logs of Microsoft Entra ID through Microsoft Graph.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntraSigninsConfig {
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
    /// A budget of requests in place of Graph's own limit of 30 a minute.
    /// Sources that ask the same API for the same tenant share it: the lowest of their numbers holds.
    pub requests_per_minute: Option<u32>,
    /// Which logs to read.
    #[serde(default = "SignInLog::all")]
    pub logs: Vec<SignInLog>,
    /// How far back the first read goes: a time, or how long ago. Microsoft keeps sign-ins for 30 days.
    #[serde(default = "windows::default_start")]
    pub start: Moment,
    /// How long Microsoft keeps sign-ins: 30 days with Entra ID P1 or P2, 7 days without, as after a licence that was
    /// bought again. What gets older than that before it is read is noted as missing.
    #[serde(default = "default_retention")]
    pub retention: HumanDuration,
    /// Where reading ends, with `mode: once`; now, if left out.
    pub until: Option<Moment>,
    /// How often new sign-ins are asked for.
    #[serde(default = "windows::default_interval")]
    pub interval: HumanDuration,
    /// How late a sign-in may appear and still be found.
    #[serde(default = "windows::default_overlap")]
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

/// A log of sign-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignInLog {
    /// Users, with a password, a second factor or the like.
    Interactive,
    /// Clients on behalf of users.
    NonInteractive,
    /// Applications with credentials of their own.
    ServicePrincipal,
    /// Azure resources.
    ManagedIdentity,
}

/// The longest that Microsoft keeps sign-ins, and the shortest that makes sense.
const KEEPS: RangeInclusive<Duration> = Duration::from_secs(24 * 3600)..=Duration::from_secs(30 * 24 * 3600);

fn default_retention() -> HumanDuration {
    HumanDuration(*KEEPS.end())
}

impl SignInLog {
    fn all() -> Vec<SignInLog> {
        vec![SignInLog::Interactive, SignInLog::NonInteractive, SignInLog::ServicePrincipal, SignInLog::ManagedIdentity]
    }

    /// The feed's name, and what Graph calls the log.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            SignInLog::Interactive => ("signins.interactive", "interactiveUser"),
            SignInLog::NonInteractive => ("signins.non_interactive", "nonInteractiveUser"),
            SignInLog::ServicePrincipal => ("signins.service_principal", "servicePrincipal"),
            SignInLog::ManagedIdentity => ("signins.managed_identity", "managedIdentity"),
        }
    }

    fn feed(self, keeps: Duration) -> GraphFeed {
        let (name, event_type) = self.names();
        GraphFeed {
            name: name.to_owned(),
            api: Api::GraphReports,
            collection: Collection {
                path: "/beta/auditLogs/signIns?$top=1000&$filter=".to_owned(),
                time: "createdDateTime",
                bounds: Bounds::Inclusive,
                // Also for interactive sign-ins, which are the default: so nothing hangs on that default.
                and: Some(format!("signInEventTypes/any(t: t eq '{event_type}')")),
                link: "@odata.nextLink",
            },
            pace: Pace {
                overlap: windows::default_overlap().0,
                settle: Duration::from_secs(60),
                longest: Duration::from_secs(24 * 3600),
                keeps,
            },
            explain: std::convert::identity,
        }
    }
}

/// The same logs in every tenant, and how long Microsoft keeps them.
#[derive(Debug)]
struct SignIns(Vec<SignInLog>, Duration);

#[async_trait]
impl Feeds for SignIns {
    async fn list(&self, _connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble> {
        Ok(self.0.iter().map(|log| Arc::new(log.feed(self.1)) as Arc<dyn Feed>).collect())
    }
}

impl EntraSigninsConfig {
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

impl Component for EntraSigninsConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "entra_signins";

    const EXAMPLE: &'static str = "\
tenant_id: 00000000-0000-0000-0000-000000000000
auth: { client_id: 11111111-1111-1111-1111-111111111111, client_secret: \"secret\" }
logs: [interactive, non_interactive, service_principal, managed_identity]
start: 7d
overlap: 24h
";

    fn access(&self) -> Option<Box<dyn Access>> {
        let services = vec![(Service::Graph, Api::GraphReports)];
        let permissions = vec![Permission::graph(&["AuditLog.Read.All"])];
        checks(
            self.common(),
            services,
            permissions,
            vec![Box::new(ReadFeeds(SignIns(self.logs.clone(), self.retention.0)))],
        )
    }

    fn plan(self) -> Result<Build<Self::Stage>, Vec<ConfigError>> {
        let timing = Timing {
            start: self.start,
            until: self.until,
            interval: self.interval.0,
            overlap: Some(self.overlap.0),
            mode: self.mode,
        };
        let spool = Spool { before: self.spool_before.0, max: self.spool_max.0 };
        let mut errors = Vec::new();
        if self.logs.is_empty() {
            errors.push(ConfigError::at("logs", "expected at least one log"));
        }
        if !KEEPS.contains(&self.retention.0) {
            errors.push(ConfigError::at("retention", "it must be from 1d to 30d"));
        }
        windows::plan_source(self.common(), timing, spool, errors, Arc::new(SignIns(self.logs, self.retention.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::{Target, Window, encode};

    #[test]
    fn each_log_is_asked_for_by_its_event_type() {
        let window =
            Window { start: "2026-01-05T00:00:00Z".parse().unwrap(), end: "2026-01-05T01:00:00Z".parse().unwrap() };
        for log in SignInLog::all() {
            let Target::Path(path) = log.feed(default_retention().0).ask(&window) else { panic!("no path") };
            let filter = format!(
                "createdDateTime ge 2026-01-05T00:00:00Z and createdDateTime le 2026-01-05T01:00:00Z and \
                 signInEventTypes/any(t: t eq '{}')",
                log.names().1
            );
            assert_eq!(path, format!("/beta/auditLogs/signIns?$top=1000&$filter={}", encode(&filter)));
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let config: EntraSigninsConfig = serde_json::from_value(
            serde_json::json!({ "logs": [], "retention": "31d", "interval": "0s", "until": "1d" }),
        )
        .unwrap();
        let keys: Vec<String> = config.plan().err().unwrap().into_iter().map(|error| error.key).collect();
        assert_eq!(keys, ["logs", "retention", "interval", "until", ""]);
    }
}
