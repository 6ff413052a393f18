//! The sources for Microsoft's audit logs.
//!
//! One module per API, on a common ground:
//!
//! - [`clock`] has all time. Sources never ask the machine.
//! - [`cloud`] has the base URLs of the services, and which URLs may be given a token.
//! - [`config`] has the keys that all sources share (`tenant_id`, `tenants`, `auth`, `cloud`, ...) and what becomes of
//!   them: one [`config::Connection`] for each tenant.
//! - [`auth`] gets tokens.
//! - [`client`] is the polite client, with budgets, retries, and a verdict for whatever is not an answer.
//! - [`journal`] writes down answers that may change when asked again, before their records are sent.
//! - [`ledger`] knows which windows were listed, what is still open, and why.
//!
//! A source holds a [`config::Common`] in its plan, connects when it runs, and starts one task for each tenant
//! ([`config::run_each`]).

mod access;
pub mod audit_search;
pub mod auth;
pub mod azure_activity;
pub mod azure_devops_audit;
pub mod client;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod entra_audits;
pub mod entra_signins;
pub mod entra_snapshot;
mod exchange;
pub mod journal;
pub mod ledger;
pub mod mailbox_audit;
pub mod message_trace;
pub mod office365_management;
mod stored;
#[cfg(test)]
mod testing;
pub mod unit;
pub mod windows;
