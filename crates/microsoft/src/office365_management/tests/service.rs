//! A Management Activity API for tests: blobs that the test puts there, and a hook for whatever shall go wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::json;

use crate::client::tests::TENANT;
use crate::client::tests::server::{Hit, Reply, Server};
use crate::clock::{Clock, between, plus};
use std::time::Duration;

/// How many entries a page has.
const PAGE: usize = 3;

/// A blob.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) feed: &'static str,
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) body: Vec<u8>,
}

/// What the service knows.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    pub(super) blobs: Vec<Blob>,
    /// Content types with a subscription.
    pub(super) subscribed: BTreeMap<String, bool>,
    /// Replaces `contentUri`.
    pub(super) uri: Option<String>,
}

/// What the test does in place of an answer; counts what it wants.
type Hook = Box<dyn FnMut(&Hit, &mut Tenant) -> Option<Reply> + Send>;

pub(super) struct Service {
    pub(super) server: Server,
    pub(super) tenant: Arc<Mutex<Tenant>>,
    pub(super) clock: Clock,
}

impl Service {
    pub(super) async fn start(clock: Clock, mut hook: Hook) -> Service {
        let tenant = Arc::new(Mutex::new(Tenant::default()));
        let (shared, time) = (Arc::clone(&tenant), clock.clone());
        let server = Server::start(move |hit| {
            let tenant = &mut *shared.lock().unwrap();
            if let Some(reply) = hook(hit, tenant) {
                return reply;
            }
            answer(hit, tenant, time.now())
        })
        .await;
        Service { server, tenant, clock }
    }

    /// Puts a blob with records `{"Id":"NAME-0"}`, ... there, which became available that long ago.
    pub(super) fn publish(&self, feed: &'static str, name: &str, records: usize, ago: Duration) {
        let ids: Vec<String> = (0..records).map(|index| format!("{{\"Id\":\"{name}-{index}\"}}")).collect();
        self.publish_raw(feed, name, format!("[{}]", ids.join(",")).into_bytes(), ago);
    }

    pub(super) fn publish_raw(&self, feed: &'static str, name: &str, body: Vec<u8>, ago: Duration) {
        let created = crate::clock::minus(self.clock.now(), ago);
        let id = format!("{name}${name}$audit");
        self.tenant.lock().unwrap().blobs.push(Blob { feed, id, created, body });
    }
}

fn answer(hit: &Hit, tenant: &mut Tenant, now: Timestamp) -> Reply {
    let root = format!("/manage.office.com/api/v1.0/{TENANT}/activity/feed/");
    if hit.path.ends_with("/oauth2/v2.0/token") {
        return Reply::token("t", 3600);
    }
    // The links that the service itself gives have another version in their path.
    let path = hit.path.replace("/api/v1/", "/api/v1.0/");
    let Some(operation) = path.strip_prefix(&root) else { return Reply::new(404, "") };
    let feed = hit.parameter("contentType").to_owned();
    let host = &hit.headers["host"];
    match operation {
        "subscriptions/list" => {
            let entry = |(feed, on): (&String, &bool)| json!({ "contentType": feed, "status": if *on { "enabled" } else { "disabled" }, "webhook": null });
            Reply::json(&tenant.subscribed.iter().map(entry).collect())
        }
        "subscriptions/start" => {
            tenant.subscribed.insert(feed.clone(), true);
            Reply::json(&json!({ "contentType": feed, "status": "enabled" }))
        }
        "subscriptions/content" => {
            if tenant.subscribed.get(&feed) != Some(&true) {
                return Reply::af(400, "AF20022");
            }
            let time = |name| format!("{}Z", hit.parameter(name)).parse::<Timestamp>().unwrap();
            let (start, end) = (time("startTime"), time("endTime"));
            if between(start, now) > Duration::from_secs(7 * 86_400)
                || between(start, end) > Duration::from_secs(86_400)
            {
                return Reply::af(400, "AF20055");
            }
            let offset: usize = hit.parameter("nextPage").parse().unwrap_or(0);
            let mut found: Vec<&Blob> = tenant.blobs.iter().filter(|blob| blob.feed == feed).collect();
            found.retain(|blob| start <= blob.created && blob.created < end);
            found.sort_by_key(|blob| blob.created);
            let entry = |blob: &&Blob| {
                let own = format!("http://{host}{root}audit/{}", blob.id);
                json!({
                    "contentType": feed, "contentId": blob.id, "contentUri": tenant.uri.as_ref().unwrap_or(&own),
                    "contentCreated": blob.created.to_string(),
                    "contentExpiration": plus(blob.created, Duration::from_secs(7 * 86_400)).to_string(),
                })
            };
            let page: serde_json::Value = found.iter().skip(offset).take(PAGE).map(entry).collect();
            let reply = Reply::json(&page);
            if offset + PAGE >= found.len() {
                return reply;
            }
            let (path, from, to) = (root.replace("v1.0", "v1"), hit.parameter("startTime"), hit.parameter("endTime"));
            let query = format!("contentType={feed}&startTime={from}&endTime={to}&nextPage={}", offset + PAGE);
            reply.header("NextPageUri", &format!("http://{host}{path}subscriptions/content?{query}"))
        }
        other => match tenant.blobs.iter().find(|blob| other.strip_prefix("audit/") == Some(&blob.id)) {
            None => Reply::af(404, "AF20050"),
            Some(blob) if between(blob.created, now) > Duration::from_secs(7 * 86_400) => Reply::af(400, "AF20051"),
            Some(blob) => Reply::new(200, blob.body.clone()),
        },
    }
}
