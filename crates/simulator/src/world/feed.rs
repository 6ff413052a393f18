//! Feeds and what happens in them: the world's only output, so the server needs to know nothing else of it.

use jiff::Timestamp;

/// Where a record shows up. The first five together are the unified audit log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feed {
    /// Unified audit log, content type `Audit.AzureActiveDirectory`.
    AzureActiveDirectory,
    /// Unified audit log, content type `Audit.Exchange`.
    Exchange,
    /// Unified audit log, content type `Audit.SharePoint` (OneDrive too).
    SharePoint,
    /// Unified audit log, content type `Audit.General`: all other workloads.
    General,
    /// Unified audit log, content type `DLP.All`.
    Dlp,
    /// Graph `auditLogs/signIns`, `interactiveUser`.
    SignInInteractive,
    /// Graph `auditLogs/signIns`, `nonInteractiveUser`.
    SignInNonInteractive,
    /// Graph `auditLogs/signIns`, `servicePrincipal`.
    SignInServicePrincipal,
    /// Graph `auditLogs/signIns`, `managedIdentity`.
    SignInManagedIdentity,
    /// Graph `auditLogs/directoryAudits`.
    DirectoryAudit,
    /// Graph `auditLogs/provisioning`.
    Provisioning,
    /// Graph `identityProtection/riskDetections`.
    RiskDetection,
    /// Graph `admin/exchange/tracing/messageTraces`: one record for each recipient.
    MessageTrace,
    /// Rows of `Search-MailboxAuditLog -ShowDetails`.
    MailboxAudit,
    /// The activity log of one Azure subscription.
    AzureActivity {
        /// The subscription's id (a GUID).
        subscription: String,
    },
    /// The audit log of one Azure DevOps organisation.
    AzureDevOps {
        /// The organisation's name, as in its URL.
        organization: String,
    },
}

impl Feed {
    /// The Management Activity API's content type, for the feeds of the unified audit log.
    pub fn content_type(&self) -> Option<&'static str> {
        match self {
            Feed::AzureActiveDirectory => Some("Audit.AzureActiveDirectory"),
            Feed::Exchange => Some("Audit.Exchange"),
            Feed::SharePoint => Some("Audit.SharePoint"),
            Feed::General => Some("Audit.General"),
            Feed::Dlp => Some("DLP.All"),
            _ => None,
        }
    }

    /// The `signInEventTypes` value of Graph, for the feeds of sign-ins.
    pub fn sign_in_type(&self) -> Option<&'static str> {
        match self {
            Feed::SignInInteractive => Some("interactiveUser"),
            Feed::SignInNonInteractive => Some("nonInteractiveUser"),
            Feed::SignInServicePrincipal => Some("servicePrincipal"),
            Feed::SignInManagedIdentity => Some("managedIdentity"),
            _ => None,
        }
    }
}

/// One record, at the moment when what it tells took place (publishing is the server's affair).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When it happened: the time that stands in the record, which may be coarser (whole seconds).
    pub time: Timestamp,
    /// Where it shows up.
    pub feed: Feed,
    /// The record's id, unique inside its feed. (A sign-in has one id in the unified audit log and in Graph, as it has
    /// at Microsoft.) Message traces share their `id` between the recipients of a message, so for them this is `id` and
    /// `recipientAddress`, joined by `/`.
    pub id: String,
    /// The record in the true shape of that feed: a JSON object on one line.
    pub record: String,
    /// The attack that it belongs to: an index into [`super::WorldConfig::attacks`].
    pub attack: Option<u32>,
}
