//! A tenant of a simulated cloud: its people and applications, what it pays for, and what is wrong with it.

use jiff::Timestamp;
use serde::Deserialize;

/// The tenant of a cloud that configures none.
const DEFAULT_TENANT: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";

/// One tenant.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// Its id (a GUID).
    pub tenant_id: String,
    /// Its first domain.
    pub domain: String,
    /// How many people work there.
    pub users: usize,
    /// Records a day over all feeds; 0 is a tenant that is asleep.
    pub events_per_day: u64,
    /// Its people, habits and events follow from it.
    pub seed: u64,
    /// What is done to it.
    pub attacks: Vec<AttackEntry>,
    /// Its registered applications. Without any, every client id and every credential is let in, with all permissions.
    pub apps: Vec<AppConfig>,
    /// Its licence.
    pub license: License,
    /// What is wrong with it.
    pub trouble: Vec<Trouble>,
    /// Content types whose subscription is on from the start, such as `Audit.Exchange`.
    pub subscribed: Vec<String>,
    /// Cheap blobs for benches.
    pub bulk: Vec<BulkConfig>,
    /// After how many hours of the clock the last of the Azure subscriptions can be seen; at once if left out.
    pub last_subscription_after_hours: Option<f64>,
    /// Whether the service principal of Graph's message trace stands in the tenant.
    pub message_trace_principal: bool,
}

impl Default for TenantConfig {
    fn default() -> TenantConfig {
        TenantConfig {
            tenant_id: DEFAULT_TENANT.to_owned(),
            domain: "contoso.example".to_owned(),
            users: 50,
            events_per_day: 2_000,
            seed: 1,
            attacks: Vec::new(),
            apps: Vec::new(),
            license: License::P2,
            trouble: Vec::new(),
            subscribed: Vec::new(),
            bulk: Vec::new(),
            last_subscription_after_hours: None,
            message_trace_principal: true,
        }
    }
}

/// One attack, or one of each kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttackEntry {
    /// A kind such as `password_spray`, or `all`: one of each kind, two hours apart.
    pub kind: String,
    /// When it begins, in hours after the tenant's life began.
    pub after_hours: f64,
    /// Chooses attacker and victims.
    pub seed: u64,
}

impl Default for AttackEntry {
    fn default() -> AttackEntry {
        AttackEntry { kind: "all".to_owned(), after_hours: 1.0, seed: 0 }
    }
}

/// A registered application.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppConfig {
    /// Its client id.
    pub client_id: String,
    /// Its secret; without one, no secret is right.
    pub client_secret: Option<String>,
    /// From when on the secret is refused.
    pub secret_expires: Option<Timestamp>,
    /// Its certificate (PEM text, or the path of a PEM file): assertions must be signed with its key.
    pub certificate: Option<String>,
    /// Whether a federated token is accepted, and its `sub`.
    pub federated_subject: Option<String>,
    /// The application permissions granted, such as `ActivityFeed.Read`; all if left out.
    pub roles: Option<Vec<String>>,
    /// Whether it has the Exchange and Entra roles that mailbox and audit cmdlets need.
    pub exchange_role: bool,
    /// The Azure subscriptions that it may read; all if left out.
    pub azure_subscriptions: Option<Vec<String>>,
    /// Whether it may view the audit log of the Azure DevOps organisations.
    pub devops: bool,
}

impl Default for AppConfig {
    fn default() -> AppConfig {
        AppConfig {
            client_id: String::new(),
            client_secret: None,
            secret_expires: None,
            certificate: None,
            federated_subject: None,
            roles: None,
            exchange_role: true,
            azure_subscriptions: None,
            devops: true,
        }
    }
}

/// What the tenant pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum License {
    /// No sign-in logs; directory audits of 7 days.
    Free,
    /// Sign-in logs; risk details hidden.
    P1,
    /// Everything.
    P2,
}

/// What can be wrong with a tenant as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The token endpoint refuses every client.
    AuthRefused,
    /// Every API answers 503.
    AlwaysFails,
    /// Unified auditing is switched off.
    AuditOff,
    /// Tokens are issued, and every API refuses them with 401.
    TokensRejected,
    /// The Azure DevOps service answers with its sign-in page.
    DevopsSignIn,
    /// An administrator has disabled all subscriptions.
    SubscriptionsDisabled,
}

/// Blobs that cost the simulator little: for measuring speed and memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BulkConfig {
    /// The feed that they belong to.
    pub content_type: String,
    /// How many there are.
    pub blobs: u64,
    /// Size of each, uncompressed; about 1,300 bytes are one record.
    pub blob_bytes: u64,
    /// How far apart they became available. The last one did when the clock started.
    pub spacing_seconds: f64,
    /// Whether every record of every blob has its own id. `false` serves the same bytes again and again, compressed
    /// once; `true` compresses each time it is asked for.
    pub unique: bool,
}

impl Default for BulkConfig {
    fn default() -> BulkConfig {
        BulkConfig {
            content_type: "Audit.General".to_owned(),
            blobs: 100,
            blob_bytes: 1 << 20,
            spacing_seconds: 60.0,
            unique: true,
        }
    }
}
