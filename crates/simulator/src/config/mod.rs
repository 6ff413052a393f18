//! What a simulated cloud is made from. Every key has a default, so that `{}` is a working cloud with one tenant.
//!
//! All durations are simulated time, save where a key's name or description says real time.

mod limits;
mod publishing;
mod tenant;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

pub use self::limits::{LimitsConfig, TokenConfig};
pub use self::publishing::{PublishingConfig, RetentionConfig};
pub use self::tenant::{AppConfig, AttackEntry, BulkConfig, License, TenantConfig, Trouble};
use crate::cloud::faults::FaultRule;

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
