//! When the records of a simulated cloud can be seen, and for how long.

use serde::Deserialize;

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
