//! The source `entra_snapshot`: what is in the directory at this moment, as an investigation needs it.
//!
//! # What it does
//! Lists, through Microsoft Graph, applications and service principals with what they were granted, devices with their
//! owners and users, users with their authentication methods, the deleted ones too, and the organization itself. Each
//! object is a record as received, with two kinds of members added: the lists that belong to it
//! (`oauth2PermissionGrants`, `appRoleAssignments`, `registeredOwners`, `registeredUsers`, `authenticationMethods`), and
//! `snapshot`, which says what it is (`kind`), when it was taken, of which tenant, and whether it is in the bin.
//!
//! A snapshot that is interrupted goes on where it stood. What the app may not read is a gap in the ledger, and told.
//!
//! # Permissions
//! The application permissions Application.Read.All, DelegatedPermissionGrant.Read.All, Device.Read.All, User.Read.All,
//! UserAuthenticationMethod.Read.All, AuditLog.Read.All and Organization.Read.All of Microsoft Graph, as far as the
//! objects are asked for.
//!
//! # Example
//! ```yaml
//! sources:
//!   directory:
//!     type: entra_snapshot
//!     tenant_id: ${AZURE_TENANT_ID}
//!     auth: { client_id: "${AZURE_CLIENT_ID}", client_secret: "${AZURE_CLIENT_SECRET}" }
//!     objects: [apps]
//!     mode: once
//! ```
//!
//! # Metrics
//! Those of every source of Microsoft's.

mod licence;
mod lists;
mod splice;
mod take;
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
use schemars::JsonSchema;
use serde::Deserialize;

use self::licence::Registrations;
pub use self::lists::Objects;
use self::take::Snapshot;
use crate::access::{Permission, Probe, checks};
use crate::auth::AuthConfig;
use crate::client::Api;
use crate::cloud::{CloudConfig, Service};
use crate::config::{Common, Connection, Mode, Setup, TenantsConfig, run_each};

/// Lists applications, devices and users of the directory, with what belongs to them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntraSnapshotConfig {
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
    /// A budget of requests in place of Graph's own limit.
    /// Sources that ask the same API for the same tenant share it: the lowest of their numbers holds.
    pub requests_per_minute: Option<u32>,
    /// Which objects.
    #[serde(default = "all_objects")]
    pub objects: Vec<Objects>,
    /// How often a snapshot is taken.
    #[serde(default = "default_interval")]
    pub interval: HumanDuration,
    /// `follow`: take one again and again. `once`: take one, and end.
    #[serde(default)]
    pub mode: Mode,
}

fn all_objects() -> Vec<Objects> {
    vec![Objects::Apps, Objects::Devices, Objects::Users]
}

fn default_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(24 * 3600))
}

impl EntraSnapshotConfig {
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

impl Component for EntraSnapshotConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "entra_snapshot";

    const EXAMPLE: &'static str = "tenant_id: 00000000-0000-0000-0000-000000000000
auth: { client_id: 00000000-0000-0000-0000-000000000001, client_secret: secret }
objects: [apps, devices, users]
mode: once
";

    fn access(&self) -> Option<Box<dyn Access>> {
        let optional = |any, lack| Permission { optional: Some(lack), ..Permission::graph(any) };
        let mut probes: Vec<Box<dyn Probe>> = Vec::new();
        let mut permissions = vec![optional(&["Organization.Read.All", "Directory.Read.All"], "no organization")];
        for objects in &self.objects {
            match objects {
                Objects::Apps => permissions.extend([
                    Permission::graph(&["Application.Read.All", "Directory.Read.All"]),
                    optional(&["DelegatedPermissionGrant.Read.All", "Directory.Read.All"], "no delegated grants"),
                ]),
                Objects::Devices => permissions.push(Permission::graph(&["Device.Read.All", "Directory.Read.All"])),
                Objects::Users => {
                    permissions.extend([
                        Permission::graph(&["User.Read.All", "Directory.Read.All"]),
                        optional(&["UserAuthenticationMethod.Read.All"], "no authentication methods of users"),
                        optional(&["AuditLog.Read.All"], "no registration details of users"),
                    ]);
                    probes.push(Box::new(Registrations));
                }
            }
        }
        checks(self.common(), vec![(Service::Graph, Api::GraphDirectory)], permissions, probes)
    }

    fn plan(self) -> Result<Build<Box<dyn Source>>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let setup = self.common().plan().map_err(|wrong| errors.extend(wrong));
        if self.objects.is_empty() {
            errors.push(ConfigError::at("objects", "name at least one: apps, devices or users"));
        }
        if self.interval.0 < Duration::from_secs(60) {
            errors.push(ConfigError::at("interval", "it must be at least 1m"));
        }
        match setup {
            Ok(setup) if errors.is_empty() => {
                Ok(Box::new(move |context| Ok(Box::new(EntraSnapshot { config: self, setup, context }))))
            }
            _ => Err(errors),
        }
    }
}

/// The running source.
#[derive(Debug)]
struct EntraSnapshot {
    config: EntraSnapshotConfig,
    setup: Setup,
    context: Context,
}

#[async_trait]
impl Source for EntraSnapshot {
    async fn run(self: Box<Self>, output: Output, mut shutdown: Shutdown) -> Result<(), StageError> {
        let connections = tokio::select! {
            connections = self.setup.connect(&self.context) => connections?,
            () = shutdown.wait() => return Ok(()),
        };
        self.run_with(connections, output, shutdown).await
    }
}

impl EntraSnapshot {
    async fn run_with(
        self: Box<Self>,
        connections: Vec<Connection>,
        output: Output,
        shutdown: Shutdown,
    ) -> Result<(), StageError> {
        let context = self.context.clone();
        let (mode, this, output) = (self.config.mode, Arc::new(*self), Arc::new(output));
        run_each(&context, connections, mode, &shutdown, move |connection| {
            let (this, output) = (Arc::clone(&this), Arc::clone(&output));
            async move { this.take(&connection, &output).await }
        })
        .await
    }

    async fn take(&self, connection: &Connection, output: &Output) -> Result<(), StageError> {
        let EntraSnapshotConfig { objects, mode, interval, .. } = &self.config;
        let again = *mode == Mode::Follow;
        loop {
            Snapshot::open(&self.context, connection, objects, again)?.take(output).await?;
            if !again {
                return Ok(());
            }
            connection.clock.sleep(interval.0).await;
        }
    }
}
