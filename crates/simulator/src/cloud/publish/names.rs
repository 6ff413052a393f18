//! What feeds are called, and which of them belong together.

use crate::world::Feed;

/// Feeds that are kept for the same time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Audit,
    Entra,
    Other,
}

/// How long a feed is kept.
pub(super) fn kind(feed: &Feed) -> Kind {
    match feed {
        Feed::AzureActiveDirectory | Feed::Exchange | Feed::SharePoint | Feed::General | Feed::Dlp => Kind::Audit,
        Feed::SignInInteractive
        | Feed::SignInNonInteractive
        | Feed::SignInServicePrincipal
        | Feed::SignInManagedIdentity
        | Feed::DirectoryAudit
        | Feed::Provisioning
        | Feed::RiskDetection => Kind::Entra,
        Feed::MessageTrace | Feed::MailboxAudit | Feed::AzureActivity { .. } | Feed::AzureDevOps { .. } => Kind::Other,
    }
}

/// A feed's name in the ledger: the content type, or the last part of the API's path with what selects the feed.
pub(crate) fn feed_name(feed: &Feed) -> String {
    if let Some(name) = feed.content_type() {
        return name.to_owned();
    }
    if let Some(kind) = feed.sign_in_type() {
        return format!("signIns.{kind}");
    }
    match feed {
        Feed::DirectoryAudit => "directoryAudits".to_owned(),
        Feed::Provisioning => "provisioning".to_owned(),
        Feed::RiskDetection => "riskDetections".to_owned(),
        Feed::MessageTrace => "messageTraces".to_owned(),
        Feed::MailboxAudit => "mailboxAudit".to_owned(),
        Feed::AzureActivity { subscription } => format!("azureActivity.{subscription}"),
        Feed::AzureDevOps { organization } => format!("azureDevOps.{organization}"),
        // The others have a content type or a sign-in type.
        _ => String::new(),
    }
}

/// The feed of a content type, in any case.
pub(crate) fn content_feed(name: &str) -> Option<Feed> {
    UNIFIED.into_iter().find(|feed| feed.content_type().is_some_and(|known| known.eq_ignore_ascii_case(name)))
}

/// The feeds whose union is the unified audit log.
pub(crate) const UNIFIED: [Feed; 5] =
    [Feed::AzureActiveDirectory, Feed::Exchange, Feed::SharePoint, Feed::General, Feed::Dlp];
