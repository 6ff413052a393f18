//! What the cloud saw: requests by service and status, throttling, tokens where they should never be.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::lock;
use super::route::Api;

/// Counters; all only grow.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    requests: Mutex<BTreeMap<(Api, u16), u64>>,
    /// Requests by tenant and service.
    tenants: Mutex<BTreeMap<(String, Api), u64>>,
    /// Requests by service that carried no `PublisherIdentifier` although the service wants one.
    pub(crate) without_publisher: AtomicU64,
    /// Answers that told a client to slow down because it was over a limit.
    pub(crate) throttled: AtomicU64,
    /// Answers of a throttling fault.
    pub(crate) storms: AtomicU64,
    /// Tokens that were issued.
    pub(crate) tokens: AtomicU64,
    /// Bytes of blobs, uncompressed, that were sent.
    pub(crate) blob_bytes: AtomicU64,
    /// Requests at the foreign host.
    pub(crate) foreign_requests: AtomicU64,
    /// Requests at the foreign host that carried a token.
    pub(crate) foreign_tokens: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Stats {
    pub(crate) fn request(&self, api: Api, tenant: Option<&str>, status: u16) {
        *lock(&self.requests).entry((api, status)).or_default() += 1;
        if let Some(tenant) = tenant {
            *lock(&self.tenants).entry((tenant.to_owned(), api)).or_default() += 1;
        }
    }

    /// The counters as JSON; `faults` is put beside them.
    pub(crate) fn json(&self, faults: Value) -> Value {
        let mut requests: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
        for ((api, status), count) in lock(&self.requests).iter() {
            requests.entry(api.name()).or_default().insert(status.to_string(), *count);
        }
        let mut tenants: BTreeMap<String, BTreeMap<&str, u64>> = BTreeMap::new();
        for ((tenant, api), count) in lock(&self.tenants).iter() {
            tenants.entry(tenant.clone()).or_default().insert(api.name(), *count);
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "requests": requests,
            "requests_by_tenant": tenants,
            "throttled": read(&self.throttled),
            "throttled_by_fault": read(&self.storms),
            "tokens": read(&self.tokens),
            "without_publisher": read(&self.without_publisher),
            "blob_bytes": read(&self.blob_bytes),
            "foreign": { "requests": read(&self.foreign_requests), "tokens": read(&self.foreign_tokens) },
            "faults": faults,
        })
    }
}
