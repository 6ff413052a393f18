//! What a world is made from: everything in it follows from these values.

use jiff::{SignedDuration, Timestamp};

/// The making of one tenant. Equal configs make equal worlds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldConfig {
    /// All names, ids, habits and events follow from it.
    pub seed: u64,
    /// The tenant's id (a GUID).
    pub tenant_id: String,
    /// The tenant's first domain, such as `contoso.example`.
    pub domain: String,
    /// How many people work there; at least 5 (fewer are raised to that).
    pub users: usize,
    /// How many records a day, over all feeds, on the average of a week; the records of attacks come on top.
    pub events_per_day: u64,
    /// When life begins.
    pub start: Timestamp,
    /// What will be done to the tenant.
    pub attacks: Vec<AttackConfig>,
}

/// One attack on the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttackConfig {
    /// What is done.
    pub kind: AttackKind,
    /// When it begins.
    pub at: Timestamp,
    /// Chooses attacker, victims and details, together with the world's seed.
    pub seed: u64,
}

/// The kinds of attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttackKind {
    /// One password against many accounts, with lockouts.
    PasswordSpray,
    /// Many passwords against one account, until one fits.
    BruteForce,
    /// A known password and prompts until the victim gives in.
    MfaFatigue,
    /// A user consents to a hostile application.
    ConsentPhishing,
    /// An inbox rule that forwards to the outside.
    InboxRuleForwarding,
    /// A transport rule that blind-copies to the outside.
    TransportRuleForwarding,
    /// Full access to another mailbox, then reading all of it.
    MailboxDelegation,
    /// A delegate destroys the mails of another mailbox.
    DelegateDeletion,
    /// OneDrive files shared with strangers.
    OneDriveSharing,
    /// A content search, exported, then purged.
    EdiscoveryAbuse,
    /// A new eDiscovery administrator.
    EdiscoveryAdmin,
    /// Mails to many outside recipients.
    BulkMail,
    /// Credentials added to an application that has rights, then used.
    ApplicationCredentials,
    /// A user becomes Global Administrator.
    RoleEscalation,
}

impl AttackKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [AttackKind; 14] = [
        AttackKind::PasswordSpray,
        AttackKind::BruteForce,
        AttackKind::MfaFatigue,
        AttackKind::ConsentPhishing,
        AttackKind::InboxRuleForwarding,
        AttackKind::TransportRuleForwarding,
        AttackKind::MailboxDelegation,
        AttackKind::DelegateDeletion,
        AttackKind::OneDriveSharing,
        AttackKind::EdiscoveryAbuse,
        AttackKind::EdiscoveryAdmin,
        AttackKind::BulkMail,
        AttackKind::ApplicationCredentials,
        AttackKind::RoleEscalation,
    ];

    /// Its name in configs and in the truth, such as `password_spray`.
    pub fn name(self) -> &'static str {
        match self {
            AttackKind::PasswordSpray => "password_spray",
            AttackKind::BruteForce => "brute_force",
            AttackKind::MfaFatigue => "mfa_fatigue",
            AttackKind::ConsentPhishing => "consent_phishing",
            AttackKind::InboxRuleForwarding => "inbox_rule_forwarding",
            AttackKind::TransportRuleForwarding => "transport_rule_forwarding",
            AttackKind::MailboxDelegation => "mailbox_delegation",
            AttackKind::DelegateDeletion => "delegate_deletion",
            AttackKind::OneDriveSharing => "onedrive_sharing",
            AttackKind::EdiscoveryAbuse => "ediscovery_abuse",
            AttackKind::EdiscoveryAdmin => "ediscovery_admin",
            AttackKind::BulkMail => "bulk_mail",
            AttackKind::ApplicationCredentials => "application_credentials",
            AttackKind::RoleEscalation => "role_escalation",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<AttackKind> {
        AttackKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One attack of each kind, spread over the 28 hours after `start`: the first two hours later, then one every two.
pub fn all_attacks(start: Timestamp) -> Vec<AttackConfig> {
    let mut at = start;
    AttackKind::ALL
        .into_iter()
        .map(|kind| {
            at = at.saturating_add(SignedDuration::from_hours(2)).unwrap_or(at);
            AttackConfig { kind, at, seed: 0 }
        })
        .collect()
}
