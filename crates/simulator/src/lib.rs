//! A simulated Microsoft cloud on loopback: tenants that live (`world`), served by the APIs that the collectors talk
//! to (`cloud`), with faults on request and a ledger of everything that was published.
//!
//! It knows nothing of the collectors: they meet over HTTP, so that a mistake cannot be made on both sides at once.

mod cloud;
mod config;
pub mod world;

pub use cloud::faults::{FaultKind, FaultRule};
pub use cloud::route::Api;
pub use cloud::{Running, StartError, start};
pub use config::{
    AppConfig, AttackEntry, BulkConfig, ClockConfig, Config, License, LimitsConfig, PublishingConfig, RetentionConfig,
    TenantConfig, TlsConfig, TokenConfig, Trouble,
};
