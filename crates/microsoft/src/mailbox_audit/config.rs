//! The keys of `mailbox_audit`.

use std::path::PathBuf;
use std::time::Duration;

use downspout_core::access::Access;
use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::{Build, Component, ConfigError, Source};
use schemars::JsonSchema;
use serde::Deserialize;

use super::MailboxAudit;
use crate::access::{MailboxAuditingOn, Permission, checks};
use crate::audit_search::operations::doubts;
use crate::auth::AuthConfig;
use crate::client::Api;
use crate::cloud::{CloudConfig, Service};
use crate::config::{Common, Mode, TenantsConfig};
use crate::windows::{Moment, Timing, default_spool_before};

/// The operations that the cmdlet's documentation names.
const OPERATIONS: [&str; 23] = [
    "AddFolderPermissions",
    "ApplyRecord",
    "Copy",
    "Create",
    "Default",
    "FolderBind",
    "HardDelete",
    "MailItemsAccessed",
    "MailboxLogin",
    "MessageBind",
    "ModifyFolderPermissions",
    "Move",
    "MoveToDeletedItems",
    "RecordDelete",
    "RemoveFolderPermissions",
    "SendAs",
    "SendOnBehalf",
    "SoftDelete",
    "Update",
    "UpdateCalendarDelegation",
    "UpdateComplianceTag",
    "UpdateFolderPermissions",
    "UpdateInboxRules",
];

/// Searches the audit logs that mailboxes keep, one by one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailboxAuditConfig {
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
    /// A budget of requests in place of the one that is usual for Exchange.
    /// Sources that ask the same API for the same tenant share it: the lowest of their numbers holds.
    pub requests_per_minute: Option<u32>,
    /// The mailboxes, by address or user principal name; all of the tenant if left out.
    #[serde(default)]
    pub mailboxes: Vec<String>,
    /// Whose doings: owners, delegates, administrators.
    #[serde(default = "LogonType::all")]
    pub logon_types: Vec<LogonType>,
    /// Only these operations, as the cmdlet spells them (`HardDelete`, `SendAs`); all if left out.
    #[serde(default)]
    pub operations: Vec<String>,
    /// Whether mailboxes of people who left are searched too.
    #[serde(default)]
    pub inactive: bool,
    /// How far back the first search goes: a time, or how long ago. Mailboxes keep 90 days, unless set otherwise.
    #[serde(default = "default_start")]
    pub start: Moment,
    /// Where searching ends, with `mode: once`; now, if left out.
    pub until: Option<Moment>,
    /// How often the mailboxes are searched.
    #[serde(default = "default_interval")]
    pub interval: HumanDuration,
    /// How old a stretch is before it is searched for the first time.
    #[serde(default = "default_settle")]
    pub settle: HumanDuration,
    /// Up to which age a stretch is searched again, for rows that arrive late.
    #[serde(default = "default_overlap")]
    pub overlap: HumanDuration,
    /// `follow`: go on for ever. `once`: end when everything up to `until` was searched.
    #[serde(default)]
    pub mode: Mode,
    /// The longest stretch that one search asks for.
    #[serde(default = "default_window")]
    pub window: HumanDuration,
    /// How many mailboxes are searched at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// How many readings of a window in a row must see the same rows.
    #[serde(default = "default_passes")]
    pub passes: u32,
    /// After how many readings without that a window is a gap.
    #[serde(default = "default_max_passes")]
    pub max_passes: u32,
    /// What is found while the sinks are behind waits on the disk, and the search waits when that is much; but not for
    /// what Microsoft may delete within that time: mailboxes keep 90 days, unless set otherwise.
    #[serde(default = "default_spool_before")]
    pub spool_before: HumanDuration,
    /// How much of the disk what waits may take then, compressed, of each mailbox.
    #[serde(default = "default_spool_max")]
    pub spool_max: ByteSize,
}

/// Whose doings in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogonType {
    /// Administrators, and Microsoft's own searches.
    Admin,
    /// Those who were given access.
    Delegate,
    /// The mailbox's owner.
    Owner,
}

impl LogonType {
    fn all() -> Vec<LogonType> {
        vec![LogonType::Admin, LogonType::Delegate, LogonType::Owner]
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            LogonType::Admin => "Admin",
            LogonType::Delegate => "Delegate",
            LogonType::Owner => "Owner",
        }
    }
}

fn default_start() -> Moment {
    Moment::Ago(Duration::from_secs(7 * 24 * 3600))
}

fn default_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(6 * 3600))
}

fn default_settle() -> HumanDuration {
    HumanDuration(Duration::from_secs(3600))
}

fn default_overlap() -> HumanDuration {
    HumanDuration(Duration::from_secs(24 * 3600))
}

fn default_window() -> HumanDuration {
    HumanDuration(Duration::from_secs(30 * 24 * 3600))
}

fn default_concurrency() -> usize {
    4
}

fn default_passes() -> u32 {
    2
}

fn default_max_passes() -> u32 {
    6
}

fn default_spool_max() -> ByteSize {
    ByteSize(1 << 30)
}

impl MailboxAuditConfig {
    pub(super) fn common(&self) -> Common {
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

    pub(super) fn timing(&self) -> Timing {
        Timing {
            start: self.start,
            until: self.until,
            interval: self.interval.0,
            overlap: Some(self.overlap.0),
            mode: self.mode,
        }
    }
}

impl Component for MailboxAuditConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "mailbox_audit";

    const EXAMPLE: &'static str = "tenant_id: 00000000-0000-0000-0000-000000000000
auth: { client_id: 00000000-0000-0000-0000-000000000001, client_secret: secret }
mailboxes: [ceo@contoso.example]
start: 90d
mode: once
";

    fn access(&self) -> Option<Box<dyn Access>> {
        let services = vec![(Service::Exchange, Api::Exchange)];
        checks(self.common(), services, vec![Permission::exchange()], vec![Box::new(MailboxAuditingOn)])
    }

    fn warnings(&self) -> Vec<ConfigError> {
        doubts(&self.operations, &OPERATIONS.map(str::to_owned))
    }

    fn plan(self) -> Result<Build<Box<dyn Source>>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let setup = self.common().plan().map_err(|wrong| errors.extend(wrong));
        let timing = self.timing().plan().map_err(|wrong| errors.extend(wrong));
        for (index, mailbox) in self.mailboxes.iter().enumerate() {
            if mailbox.trim().is_empty() || mailbox.chars().any(char::is_control) || mailbox.len() > 320 {
                errors.push(ConfigError::at(format!("mailboxes.{index}"), "this is no mailbox's name"));
            }
        }
        for (index, operation) in self.operations.iter().enumerate() {
            if operation.trim().is_empty() || operation.chars().any(char::is_control) {
                errors.push(ConfigError::at(format!("operations.{index}"), "this is no operation's name"));
            }
        }
        for (key, wrong, message) in [
            ("logon_types", self.logon_types.is_empty(), "name at least one: admin, delegate or owner"),
            ("window", self.window.0 < Duration::from_secs(60), "it must be at least 1m"),
            ("concurrency", !(1..=16).contains(&self.concurrency), "expected 1 to 16"),
            ("passes", !(1..=10).contains(&self.passes), "expected 1 to 10"),
            ("max_passes", self.max_passes < self.passes, "it must be at least `passes`"),
        ] {
            if wrong {
                errors.push(ConfigError::at(key, message));
            }
        }
        match (setup, timing) {
            (Ok(setup), Ok(timing)) if errors.is_empty() => {
                Ok(Box::new(move |context| Ok(Box::new(MailboxAudit { config: self, setup, timing, context }))))
            }
            _ => Err(errors),
        }
    }
}
