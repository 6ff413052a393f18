//! What a simulated cloud is made from. Every key has a default, so that `{}` is a working cloud with one tenant.
//!
//! All durations are simulated time, save where a key's name or description says real time.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

use crate::cloud::faults::FaultRule;

/// The tenant of a cloud that configures none.
const DEFAULT_TENANT: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";

/// A whole cloud.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of plain HTTP; port 0 takes any free one. Loopback only.
    pub listen: String,
    /// HTTPS as well, with a private CA.
    pub tls: Option<TlsConfig>,
    /// What time it is, and how fast it goes.
    pub clock: ClockConfig,
    /// How many days the tenants have lived before the clock starts.
    pub history_days: f64,
    /// Real milliseconds that every answer of an API waits.
    pub latency_ms: u64,
    /// The tenants; one with default values if there are none.
    pub tenants: Vec<TenantConfig>,
    /// When records become visible, and in which portions.
    pub publishing: PublishingConfig,
    /// How long the services keep what they published.
    pub retention: RetentionConfig,
    /// How often a client may ask.
    pub limits: LimitsConfig,
    /// How long tokens live.
    pub tokens: TokenConfig,
    /// Whether the retired reporting web service still answers.
    pub reporting_service: bool,
    /// What goes wrong.
    pub faults: Vec<FaultRule>,
    /// Seeds the dice of faults.
    pub seed: u64,
    /// Where the attacks' ground truth is written (NDJSON) when the cloud stops, and each time `/simulator/truth` is
    /// asked for.
    pub truth_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: "127.0.0.1:0".to_owned(),
            tls: None,
            clock: ClockConfig::default(),
            history_days: 1.0,
            latency_ms: 0,
            tenants: Vec::new(),
            publishing: PublishingConfig::default(),
            retention: RetentionConfig::default(),
            limits: LimitsConfig::default(),
            tokens: TokenConfig::default(),
            reporting_service: false,
            faults: Vec::new(),
            seed: 1,
            truth_file: None,
        }
    }
}

/// HTTPS with a certificate for every true host name, localhost and 127.0.0.1.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Address and port; 443 lets clients with fixed host names in, through a hosts file.
    pub listen: String,
    /// Where the CA's certificate is written (PEM).
    pub ca_file: Option<PathBuf>,
}

impl Default for TlsConfig {
    fn default() -> TlsConfig {
        TlsConfig { listen: "127.0.0.1:0".to_owned(), ca_file: None }
    }
}

/// The cloud's clock.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockConfig {
    /// What time it is when the cloud starts; the real time if left out.
    pub start: Option<Timestamp>,
    /// How many simulated seconds go by in a real one.
    pub rate: f64,
    /// How far the clock that `/simulator/clock` hands to clients goes ahead of the services'.
    pub skew_seconds: i64,
}

impl Default for ClockConfig {
    fn default() -> ClockConfig {
        ClockConfig { start: None, rate: 1.0, skew_seconds: 0 }
    }
}

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

/// When and how records are published.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishingConfig {
    /// Records become visible together at multiples of this.
    pub interval_seconds: u64,
    /// The shortest delay between event and visibility.
    pub delay_seconds: u64,
    /// By how much the delay varies above that.
    pub spread_seconds: u64,
    /// Which part of the records (0 to 1) comes late.
    pub late_share: f64,
    /// How late these come at most.
    pub late_seconds: u64,
    /// Which part of the records stands in two blobs.
    pub doubled_share: f64,
    /// Which part of the sign-ins, risk detections and message traces changes later, under the same id.
    pub changed_share: f64,
    /// How much later.
    pub changed_seconds: u64,
    /// Whether records are shuffled inside their blob.
    pub shuffled: bool,
    /// The most records in a blob.
    pub records_per_blob: usize,
    /// How long a new subscription has nothing to list (up to 12 hours at the true service).
    pub first_content_seconds: u64,
    /// Which part of the blobs expires early, and how long those live. Listings still promise the usual life.
    pub early_expiry_share: f64,
    /// How long blobs live that expire early.
    pub early_expiry_seconds: u64,
}

impl Default for PublishingConfig {
    fn default() -> PublishingConfig {
        PublishingConfig {
            interval_seconds: 300,
            delay_seconds: 120,
            spread_seconds: 1_800,
            late_share: 0.01,
            late_seconds: 6 * 3_600,
            doubled_share: 0.002,
            changed_share: 0.0,
            changed_seconds: 3_600,
            shuffled: true,
            records_per_blob: 500,
            first_content_seconds: 0,
            early_expiry_share: 0.0,
            early_expiry_seconds: 3_600,
        }
    }
}

/// How long records can be read after they became visible.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Content blobs.
    pub content_hours: u64,
    /// How far before its start a new subscription reaches back (about 22 hours were seen at the true service).
    pub backfill_hours: u64,
    /// The unified audit log by search.
    pub audit_days: u64,
    /// Sign-ins, directory audits, provisioning and risks.
    pub entra_days: u64,
    /// Message traces, mailbox audit, Azure activity and Azure DevOps audit.
    pub other_days: u64,
}

impl Default for RetentionConfig {
    fn default() -> RetentionConfig {
        RetentionConfig { content_hours: 168, backfill_hours: 168, audit_days: 180, entra_days: 30, other_days: 90 }
    }
}

/// Rate limits and page sizes; 0 switches a limit off.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Management Activity API: requests a minute and tenant, for each publisher.
    pub management_per_minute: u64,
    /// The HTTP status that carries AF429: 403 as Microsoft's sample has it, or 429.
    pub management_throttle_status: u16,
    /// Entries of a content listing's page.
    pub management_page: usize,
    /// How long after a start of a subscription another one of it is refused.
    pub management_start_seconds: u64,
    /// Whether a window over 24 hours gets part of the content instead of an error.
    pub management_partial_windows: bool,
    /// Graph reports (sign-ins, audits, provisioning): requests in 10 seconds, app and tenant.
    pub reports_per_10_seconds: u64,
    /// Identity protection: requests a second and tenant.
    pub protection_per_second: u64,
    /// Message trace: requests in 5 minutes and tenant.
    pub trace_per_5_minutes: u64,
    /// Directory objects: requests in 10 seconds, app and tenant.
    pub directory_per_10_seconds: u64,
    /// Audit queries: submissions in 24 hours and tenant.
    pub queries_per_day: u64,
    /// Audit queries that may run at once.
    pub queries_running: usize,
    /// The most records of one audit query.
    pub query_records: usize,
    /// How long an audit query takes.
    pub query_seconds: u64,
    /// Whether Graph v1.0 has audit queries; else beta alone has them, as one tenant has seen it.
    pub queries_v1: bool,
    /// Exchange cmdlets: requests a minute and tenant.
    pub exchange_per_minute: u64,
    /// The most rows of one answer of a cmdlet; 0 gives as many as the cmdlet was asked for.
    pub exchange_page: usize,
    /// Whether the link to the rows that an answer left out can be followed, by the same request once more. Else it has
    /// expired, as one client has always seen it.
    pub exchange_links: bool,
    /// Azure Resource Manager: requests a minute and app.
    pub azure_per_minute: u64,
    /// Entries of a page of Azure's activity log.
    pub azure_page: usize,
    /// Azure DevOps: requests in 5 minutes and identity.
    pub devops_per_5_minutes: u64,
    /// Entries of a page of directory objects.
    pub directory_page: usize,
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        LimitsConfig {
            management_per_minute: 2_000,
            management_throttle_status: 403,
            management_page: 200,
            management_start_seconds: 900,
            management_partial_windows: false,
            reports_per_10_seconds: 5,
            protection_per_second: 1,
            trace_per_5_minutes: 100,
            directory_per_10_seconds: 3_500,
            queries_per_day: 200,
            queries_running: 50,
            query_records: 1_000_000,
            query_seconds: 120,
            queries_v1: true,
            exchange_per_minute: 600,
            exchange_page: 0,
            exchange_links: false,
            azure_per_minute: 1_500,
            azure_page: 200,
            devops_per_5_minutes: 1_000,
            directory_page: 100,
        }
    }
}

/// Tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// The shortest life of a token.
    pub lifetime_seconds: u64,
    /// By how much it varies above that.
    pub spread_seconds: u64,
    /// The device flow: how often a client polls before the user has signed in.
    pub device_polls: u32,
    /// The device flow's outcome then: `approved`, `declined` or `expired`; or `waits`, until somebody decides with
    /// `POST /simulator/device`.
    pub device_outcome: String,
}

impl Default for TokenConfig {
    fn default() -> TokenConfig {
        TokenConfig {
            lifetime_seconds: 3_600,
            spread_seconds: 1_800,
            device_polls: 2,
            device_outcome: "approved".to_owned(),
        }
    }
}
