//! The services: tokens, the APIs, their limits and faults, over sockets.
//!
//! A request is routed (`route`), meets the faults that strike before any service looks at it (`server`), is answered
//! by its service in a thread that may block, and meets the faults that spoil good answers. What is published when is
//! `publish`'s affair; each service only shows it in its own way.

mod assertion;
mod audit;
mod azure;
mod clock;
mod control;
mod devops;
mod exchange;
pub(crate) mod faults;
mod graph;
mod http;
mod limit;
mod login;
mod management;
mod publish;
mod random;
mod reporting;
pub(crate) mod route;
mod server;
mod services;
mod stats;
mod tenant;
mod time;
mod tls;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use server::{Running, StartError, start};

use crate::config::Config;
use clock::Clock;
use faults::Faults;
use route::Api;
use stats::Stats;
use tenant::Tenant;
use token::Tokens;

/// Everything that the services share.
#[derive(Debug)]
pub(crate) struct Cloud {
    config: Config,
    clock: Clock,
    tenants: Vec<Arc<Tenant>>,
    faults: Arc<Faults>,
    stats: Stats,
    tokens: Tokens,
    outages: Mutex<Vec<Outage>>,
    /// Device codes, with how often each was asked for.
    devices: Mutex<HashMap<String, login::Device>>,
    /// The URL of the host that no token may ever reach.
    foreign: String,
}

/// A service that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outage {
    pub(crate) api: Option<Api>,
    pub(crate) tenant: Option<String>,
}

impl Cloud {
    /// The tenant of that id, or of one of its domains.
    pub(crate) fn tenant(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.tenants.iter().find(|tenant| tenant.is_called(name))
    }

    fn is_out(&self, api: Api, tenant: Option<&str>) -> bool {
        lock(&self.outages).iter().any(|outage| {
            outage.api.is_none_or(|out| out == api)
                && outage.tenant.as_deref().is_none_or(|out| tenant.is_some_and(|name| name.eq_ignore_ascii_case(out)))
        })
    }
}

/// Locks; a thread that panicked while it held the lock has left counters and maps that are still good to read.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a text is a GUID.
pub(crate) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
