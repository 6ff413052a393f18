//! The source `azure_devops_audit`: what was done in the organisations of Azure DevOps.
//!
//! # What it does
//! Reads the audit log of every organisation of the tenant, or of those in `organizations`. Each organisation is a feed
//! of its own. Organisations that appear later are found within `discover_interval`, and read from `start` on.
//!
//! Records are read singly (`skipAggregation`): what Azure DevOps sums up changes from one read to the next. Reading
//! the log is itself logged there, as `AuditLog.AccessLog`.
//!
//! # What it needs
//! Auditing switched on in each organisation (Organization settings, Policies), and for the identity a place in the
//! organisation with the permission "View audit log". An organisation that refuses is reported and asked again every
//! hour; the others run on. The list of organisations is not open to every service principal: where Azure DevOps shows
//! its sign-in page instead, name them in `organizations`.
//!
//! # Example
//! ```yaml
//! type: azure_devops_audit
//! tenant_id: ${AZURE_TENANT_ID}
//! auth: { client_id: "${AZURE_CLIENT_ID}", client_secret: "${file:/run/secrets/devops}" }
//! organizations: [contoso, fabrikam]
//! ```

mod feed;
mod organizations;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::access::Access;
use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::{Build, Component, ConfigError, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use self::organizations::Organizations;
use crate::access::{ReadFeeds, checks};
use crate::auth::AuthConfig;
use crate::client::Api;
use crate::cloud::{CloudConfig, Service};
use crate::config::{Common, Mode, TenantsConfig};
use crate::windows::{self, Moment, Spool, Timing};

/// Reads the audit logs of Azure DevOps organisations.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureDevopsAuditConfig {
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
    /// A budget of requests in place of 600 a minute.
    /// Sources that ask the same API for the same tenant share it: the lowest of their numbers holds.
    pub requests_per_minute: Option<u32>,
    /// The names of the organisations to read; all of the tenant, if left out.
    pub organizations: Option<Vec<String>>,
    /// How often to look for new organisations.
    #[serde(default = "default_discover_interval")]
    pub discover_interval: HumanDuration,
    /// How many records to ask for at once. Azure DevOps does not document its most.
    #[serde(default = "default_batch_size")]
    pub batch_size: u32,
    /// How far back the first read goes: a time, or how long ago. Azure DevOps keeps records for 90 days.
    #[serde(default = "windows::default_start")]
    pub start: Moment,
    /// Where reading ends, with `mode: once`; now, if left out.
    pub until: Option<Moment>,
    /// How often new records are asked for.
    #[serde(default = "windows::default_interval")]
    pub interval: HumanDuration,
    /// How late a record may appear and still be found.
    #[serde(default = "windows::default_overlap")]
    pub overlap: HumanDuration,
    /// While the sinks are behind, nothing is read that can be read later. What Azure DevOps deletes within this time is read
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

fn default_discover_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(3600))
}

/// What Azure DevOps' own pages ask for.
fn default_batch_size() -> u32 {
    200
}

impl AzureDevopsAuditConfig {
    fn feeds(&self) -> Organizations {
        Organizations {
            named: self.organizations.clone(),
            batch_size: self.batch_size,
            look_again: self.discover_interval.0,
        }
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

impl Component for AzureDevopsAuditConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "azure_devops_audit";

    const EXAMPLE: &'static str = "\
tenant_id: 00000000-0000-0000-0000-000000000000
auth: { client_id: 11111111-1111-1111-1111-111111111111, client_secret: \"secret\" }
organizations: [contoso]
start: 7d
";

    fn access(&self) -> Option<Box<dyn Access>> {
        // The rights are each organisation's, and the token says nothing of them.
        let services = vec![(Service::DevOpsAudit, Api::DevOps)];
        checks(self.common(), services, Vec::new(), vec![Box::new(ReadFeeds(self.feeds()))])
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
        for (index, name) in self.organizations.iter().flatten().enumerate() {
            if !organizations::is_name(name) {
                let message =
                    format!("`{}` is no name of an organisation, as in dev.azure.com/NAME", name.escape_debug());
                errors.push(ConfigError::at(format!("organizations.{index}"), message));
            }
        }
        if self.organizations.as_ref().is_some_and(Vec::is_empty) {
            let message = "there is nothing to read";
            errors.push(ConfigError::at("organizations", message).help("leave it out to read all organisations"));
        }
        if !(1..=10_000).contains(&self.batch_size) {
            errors.push(ConfigError::at("batch_size", "expected a number from 1 to 10000"));
        }
        if self.discover_interval.0.is_zero() {
            errors.push(ConfigError::at("discover_interval", "it must be more than nothing"));
        }
        windows::plan_source(self.common(), timing, spool, errors, Arc::new(self.feeds()))
    }
}
