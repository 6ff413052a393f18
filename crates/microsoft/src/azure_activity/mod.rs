//! The source `azure_activity`: what was done to Azure's resources, through the control plane.
//!
//! # What it does
//! Reads the activity log of every subscription that the identity can see, or of those in `subscriptions`. Each
//! subscription is a feed of its own. Subscriptions that appear later are found within `discover_interval`, and read
//! from `start` on. With `tenant_level: true` the log of the tenant itself is read, too.
//!
//! Events become visible 3 to 20 minutes after they happened, as a rule, so each stretch of time is read again up to a
//! day later. What was sent already is not sent again.
//!
//! # What it needs
//! On each subscription a role with the action `Microsoft.Insights/eventtypes/*`: Reader has it, Monitoring Reader,
//! too, or a role of its own. A subscription that refuses is reported and asked again every hour; the others run on.
//! For `tenant_level`, a role with that action at the scope `/`.
//!
//! # Example
//! ```yaml
//! type: azure_activity
//! tenant_id: ${AZURE_TENANT_ID}
//! auth: { managed_identity: true }
//! ```

mod subscriptions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::access::Access;
use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::{Build, Component, ConfigError, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use self::subscriptions::Subscriptions;
use crate::access::{ReadFeeds, checks};
use crate::auth::AuthConfig;
use crate::client::Api;
use crate::cloud::{CloudConfig, Service};
use crate::config::{Common, Mode, TenantsConfig};
use crate::windows::{self, Moment, Spool, Timing};

/// Reads the activity logs of Azure subscriptions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureActivityConfig {
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
    /// The ids of the subscriptions to read; all that the identity can see, if left out.
    pub subscriptions: Option<Vec<String>>,
    /// How often to look for new subscriptions.
    #[serde(default = "default_discover_interval")]
    pub discover_interval: HumanDuration,
    /// Whether to read the log of the tenant itself, too: management groups, role elevation.
    #[serde(default)]
    pub tenant_level: bool,
    /// How far back the first read goes: a time, or how long ago. Azure keeps events for 90 days.
    #[serde(default = "windows::default_start")]
    pub start: Moment,
    /// Where reading ends, with `mode: once`; now, if left out.
    pub until: Option<Moment>,
    /// How often new events are asked for.
    #[serde(default = "windows::default_interval")]
    pub interval: HumanDuration,
    /// How late an event may appear and still be found.
    #[serde(default = "windows::default_overlap")]
    pub overlap: HumanDuration,
    /// While the sinks are behind, nothing is read that can be read later. What Azure deletes within this time is read
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
    HumanDuration(Duration::from_secs(600))
}

impl AzureActivityConfig {
    fn feeds(&self) -> Subscriptions {
        Subscriptions {
            named: self.subscriptions.clone(),
            tenant_level: self.tenant_level,
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

impl Component for AzureActivityConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "azure_activity";

    const EXAMPLE: &'static str = "\
tenant_id: 00000000-0000-0000-0000-000000000000
auth: { client_id: 11111111-1111-1111-1111-111111111111, client_secret: \"secret\" }
start: 7d
discover_interval: 10m
";

    fn access(&self) -> Option<Box<dyn Access>> {
        // Azure's rights are roles on subscriptions, of which the token says nothing.
        let services = vec![(Service::ResourceManager, Api::ResourceManager)];
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
        for (index, id) in self.subscriptions.iter().flatten().enumerate() {
            if !subscriptions::is_id(id) {
                let message = format!("`{}` is no id of a subscription, which is a GUID", id.escape_debug());
                errors.push(ConfigError::at(format!("subscriptions.{index}"), message));
            }
        }
        if self.subscriptions.as_ref().is_some_and(Vec::is_empty) && !self.tenant_level {
            let message = "there is nothing to read";
            errors.push(ConfigError::at("subscriptions", message).help("leave it out to read all subscriptions"));
        }
        if self.discover_interval.0.is_zero() {
            errors.push(ConfigError::at("discover_interval", "it must be more than nothing"));
        }
        windows::plan_source(self.common(), timing, spool, errors, Arc::new(self.feeds()))
    }
}
