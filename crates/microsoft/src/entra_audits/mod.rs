//! The source `entra_audits`: what was changed in Microsoft Entra ID, what was provisioned, and which risks were seen.
//!
//! # What it does
//! Reads three logs through Microsoft Graph, each a feed of its own:
//!
//! | log | what | read again up to an age of |
//! | --- | --- | --- |
//! | `directory` | changes of users, groups, applications, roles, policies | 24 hours |
//! | `provisioning` | accounts made and changed in other systems | 24 hours |
//! | `risk_detections` | what Identity Protection found, by the time of detection | 7 days |
//!
//! Risks are detected hours or days after the fact, and change afterwards: a detection whose record has changed is
//! sent again, and passes `dedupe`, which knows risks by `id` and `lastUpdatedDateTime`.
//!
//! # What it needs
//! The application permissions of Microsoft Graph `AuditLog.Read.All` (`directory` and `provisioning`) and
//! `IdentityRiskEvent.Read.All` (`risk_detections`, which also needs Entra ID P1 or P2). A log that is refused is
//! reported and asked for again every hour; the others run on. With `mode: once`, one that lacks a licence is a gap in
//! the ledger. Graph allows an app 5 requests in 10 seconds and
//! tenant, shared with `entra_signins`, and 1 request a second for risks, shared by all apps.
//!
//! # How long Microsoft keeps them
//! `directory` and `provisioning`: 7 days, 30 with Entra ID P1 or P2; `risk_detections`: 30 days with P1, 90 with P2.
//! Whether a tenant has a licence is found out by a question for its sign-ins, which Graph refuses where there is none.
//! P1 and P2 look alike to it: for risk detections under P1, write `retention: 30d`. What an outage lets grow older is
//! lost, and `downspout gaps` shows it. While a sink is down, what is about to grow too old is put on the disk
//! (`spool_before`, `spool_max`).
//!
//! # Example
//! ```yaml
//! type: entra_audits
//! tenant_id: ${AZURE_TENANT_ID}
//! auth: { client_id: "${AZURE_CLIENT_ID}", client_secret: "${file:/run/secrets/entra}" }
//! logs: [directory, provisioning]
//! ```

mod licence;

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

/// Reads the audit, provisioning and risk logs of Microsoft Entra ID through Microsoft Graph.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntraAuditsConfig {
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
    /// A budget of requests for each API in place of Graph's own limits.
    /// Sources that ask the same API for the same tenant share it: the lowest of their numbers holds.
    pub requests_per_minute: Option<u32>,
    /// Which logs to read.
    #[serde(default = "AuditLog::all")]
    pub logs: Vec<AuditLog>,
    /// How far back the first read goes: a time, or how long ago. Microsoft keeps these logs for 7 days, with P1 or P2
    /// for 30.
    #[serde(default = "windows::default_start")]
    pub start: Moment,
    /// How long Microsoft keeps these logs, if it should not be asked: 7 days without Entra ID P1 or P2, 30 days with P1,
    /// 90 days (of `risk_detections`; 30 of the others) with P2. What gets older than that before it is read is noted as
    /// missing.
    pub retention: Option<HumanDuration>,
    /// Where reading ends, with `mode: once`; now, if left out.
    pub until: Option<Moment>,
    /// How often new records are asked for.
    #[serde(default = "windows::default_interval")]
    pub interval: HumanDuration,
    /// How late a record may appear and still be found: 24 hours if left out, 7 days for risk detections.
    pub overlap: Option<HumanDuration>,
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

/// A log of Entra ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditLog {
    /// Changes of the directory.
    Directory,
    /// Accounts made and changed in other systems.
    Provisioning,
    /// What Identity Protection found.
    RiskDetections,
}

impl AuditLog {
    fn all() -> Vec<AuditLog> {
        vec![AuditLog::Directory, AuditLog::Provisioning, AuditLog::RiskDetections]
    }

    /// Its feed in a tenant. `keeps`: how long Microsoft keeps it there; the longest that it does, if there is none.
    fn feed(self, keeps: Option<Duration>) -> GraphFeed {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let keeps = |longest: Duration| keeps.map_or(longest, |keeps| keeps.min(longest));
        let pace = Pace {
            overlap: hours(24),
            settle: Duration::from_secs(60),
            longest: hours(24),
            keeps: keeps(hours(30 * 24)),
        };
        let feed = |name: &str, api, path: &str, time, bounds, pace| GraphFeed {
            name: name.to_owned(),
            api,
            collection: Collection { path: path.to_owned(), time, bounds, and: None, link: "@odata.nextLink" },
            pace,
            explain: std::convert::identity,
        };
        match self {
            AuditLog::Directory => feed(
                "audits.directory",
                Api::GraphReports,
                // The greatest page size is not documented; Microsoft's own module asks for no more than that.
                "/v1.0/auditLogs/directoryAudits?$top=999&$filter=",
                "activityDateTime",
                Bounds::Inclusive,
                pace,
            ),
            AuditLog::Provisioning => feed(
                "audits.provisioning",
                Api::GraphReports,
                // Without `$top` there are no links to further pages.
                "/v1.0/auditLogs/provisioning?$top=500&$filter=",
                "activityDateTime",
                // `ge` and `le` are not known to work here; `gt` and `lt` are.
                Bounds::Strict,
                pace,
            ),
            AuditLog::RiskDetections => feed(
                "risk_detections",
                Api::GraphIdentityProtection,
                // 500 is the most; 501 is refused.
                "/v1.0/identityProtection/riskDetections?$top=500&$filter=",
                "detectedDateTime",
                Bounds::Inclusive,
                Pace { overlap: hours(7 * 24), longest: hours(7 * 24), keeps: keeps(hours(90 * 24)), ..pace },
            ),
        }
    }
}

/// The same logs in every tenant, and how long Microsoft keeps them, where the config says it.
#[derive(Debug)]
struct Audits(Vec<AuditLog>, Option<Duration>);

#[async_trait]
impl Feeds for Audits {
    async fn list(&self, connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble> {
        let only_risks = self.0.iter().all(|log| *log == AuditLog::RiskDetections);
        let keeps = match self.1 {
            // Those are not given out without a licence.
            None if only_risks => None,
            None => licence::retention(connection).await,
            said => said,
        };
        Ok(self.0.iter().map(|log| Arc::new(log.feed(keeps)) as Arc<dyn Feed>).collect())
    }
}

impl EntraAuditsConfig {
    fn feeds(&self) -> Audits {
        Audits(self.logs.clone(), self.retention.map(|retention| retention.0))
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

impl Component for EntraAuditsConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "entra_audits";

    const EXAMPLE: &'static str = "\
tenant_id: 00000000-0000-0000-0000-000000000000
auth: { client_id: 11111111-1111-1111-1111-111111111111, client_secret: \"secret\" }
logs: [directory, provisioning, risk_detections]
start: 7d
";

    fn access(&self) -> Option<Box<dyn Access>> {
        let services = vec![(Service::Graph, Api::GraphReports)];
        let mut permissions = Vec::new();
        if self.logs.iter().any(|log| *log != AuditLog::RiskDetections) {
            permissions.push(Permission::graph(&["AuditLog.Read.All"]));
        }
        if self.logs.contains(&AuditLog::RiskDetections) {
            permissions.push(Permission::graph(&["IdentityRiskEvent.Read.All", "IdentityRiskEvent.ReadWrite.All"]));
        }
        checks(self.common(), services, permissions, vec![Box::new(ReadFeeds(self.feeds()))])
    }

    fn plan(self) -> Result<Build<Self::Stage>, Vec<ConfigError>> {
        let timing = Timing {
            start: self.start,
            until: self.until,
            interval: self.interval.0,
            overlap: self.overlap.map(|overlap| overlap.0),
            mode: self.mode,
        };
        let spool = Spool { before: self.spool_before.0, max: self.spool_max.0 };
        let mut errors = Vec::new();
        if self.logs.is_empty() {
            errors.push(ConfigError::at("logs", "expected at least one log"));
        }
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        if self.retention.is_some_and(|retention| !(days(1)..=days(90)).contains(&retention.0)) {
            errors.push(ConfigError::at("retention", "it must be from 1d to 90d"));
        }
        windows::plan_source(self.common(), timing, spool, errors, Arc::new(self.feeds()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::{Target, Window, encode};

    #[test]
    fn a_log_is_kept_for_as_long_as_is_said_and_no_longer_than_microsoft_keeps_any() {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        let kept = |log: AuditLog, said: Option<u64>| log.feed(said.map(days)).pace().keeps;
        for (said, directory, risks) in [(None, 30, 90), (Some(7), 7, 7), (Some(30), 30, 30), (Some(90), 30, 90)] {
            assert_eq!(kept(AuditLog::Directory, said), days(directory), "{said:?}");
            assert_eq!(kept(AuditLog::Provisioning, said), days(directory), "{said:?}");
            assert_eq!(kept(AuditLog::RiskDetections, said), days(risks), "{said:?}");
        }
        for wrong in ["23h", "91d"] {
            let config = serde_json::json!({ "retention": wrong });
            let config: EntraAuditsConfig = serde_json::from_value(config).unwrap();
            assert_eq!(config.plan().err().unwrap()[0].key, "retention", "{wrong}");
        }
    }

    #[test]
    fn each_log_has_its_own_time_and_bounds() {
        let window =
            Window { start: "2026-01-05T00:00:00Z".parse().unwrap(), end: "2026-01-05T01:00:00Z".parse().unwrap() };
        let cases = [
            (
                AuditLog::Directory,
                "/v1.0/auditLogs/directoryAudits?$top=999&$filter=",
                "activityDateTime ge 2026-01-05T00:00:00Z and activityDateTime le 2026-01-05T01:00:00Z",
            ),
            (
                AuditLog::Provisioning,
                "/v1.0/auditLogs/provisioning?$top=500&$filter=",
                "activityDateTime gt 2026-01-04T23:59:59Z and activityDateTime lt 2026-01-05T01:00:01Z",
            ),
            (
                AuditLog::RiskDetections,
                "/v1.0/identityProtection/riskDetections?$top=500&$filter=",
                "detectedDateTime ge 2026-01-05T00:00:00Z and detectedDateTime le 2026-01-05T01:00:00Z",
            ),
        ];
        for (log, path, filter) in cases {
            assert_eq!(log.feed(None).ask(&window), Target::Path(format!("{path}{}", encode(filter))));
        }
    }
}
