//! What the sources of a pipeline share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::client::tests::TENANT;
use crate::client::tests::server::{Reply, Server};
use crate::client::{Request, http_client};
use crate::clock::minus;
use crate::cloud::Service;
use crate::testing::context;

/// A source of each context asks in turn, as fast as its budget allows. Gives how often the service refused because it
/// was asked more often than its limit allows, and how long it all took.
async fn refusals(contexts: [&Context; 2]) -> (usize, Duration) {
    let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
    let clock = Clock::leaping(start);
    let limit = Api::GraphReports.limit();
    let refused = Arc::new(AtomicUsize::new(0));
    let (count, time, lately) = (Arc::clone(&refused), clock.clone(), Mutex::new(Vec::new()));
    let server = Server::start(move |hit| {
        if hit.path.ends_with("/token") {
            return Reply::token("t", 86_400);
        }
        let mut lately = lately.lock().unwrap();
        lately.retain(|at| *at > minus(time.now(), limit.per));
        if lately.len() >= limit.requests as usize {
            count.fetch_add(1, Ordering::Relaxed);
            return Reply::new(429, "").header("Retry-After", "10");
        }
        lately.push(time.now());
        Reply::json(&json!({ "value": [] }))
    })
    .await;
    let sources = contexts.map(|context| {
        let common = Common {
            tenant_id: Some(TENANT.to_owned()),
            auth: Some(serde_json::from_value(json!({ "client_id": "app", "client_secret": "s" })).unwrap()),
            cloud: CloudConfig::simulator(&server.base),
            ..Common::default()
        };
        common.plan().unwrap().connect_at(context, &http_client(None).unwrap(), &clock).unwrap().remove(0).client
    });
    for _ in 0..30 {
        for source in &sources {
            let url = source.cloud().url(Service::Graph, "/v1.0/auditLogs/signIns").unwrap();
            source.get_json(Request::get(Api::GraphReports, url)).await.unwrap();
        }
    }
    (refused.load(Ordering::Relaxed), crate::clock::between(start, clock.now()))
}

#[tokio::test]
async fn sources_of_one_pipeline_stay_below_a_limit_together() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let signins = context("signins", folders[0].path());
    let audits = Context { id: "audits".into(), ..signins.clone() };
    let (refused, took) = refusals([&signins, &audits]).await;
    assert_eq!(refused, 0);
    // 60 requests, 5 in 10 seconds; little of the limit is left unused.
    assert!((120..140).contains(&took.as_secs()), "{took:?}");
    // Two pipelines know nothing of each other.
    let other = context("audits", folders[1].path());
    assert_ne!(refusals([&signins, &other]).await.0, 0);
}
