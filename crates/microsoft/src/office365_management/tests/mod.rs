//! Tests of the source against a service on loopback, in a time that leaps: days pass in milliseconds.

mod house;
mod listing;
mod service;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::metrics::{ComponentLabels, Metrics};
use downspout_core::stage::{Output, Shutdown, SourceBatch, checkpoint_key};
use downspout_core::store::Write;
use downspout_core::{Component, Context, Source, StageError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::service::Service;
use super::*;
use crate::client::tests::TENANT;
use crate::client::tests::server::{Hit, Reply};
use crate::clock::plus;
use crate::ledger::{self, Reason};
use crate::testing::context;

const EXCHANGE: &str = "Audit.Exchange";
const GENERAL: &str = "Audit.General";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn start() -> Timestamp {
    "2026-01-20T12:00:00Z".parse().unwrap()
}

/// The pipeline around the source; outlives its runs.
struct Bench {
    context: Context,
    metrics: Metrics,
    _folder: tempfile::TempDir,
}

/// What arrived: by shard, each record with its position; what was rejected; how the run ended.
#[derive(Debug, Default)]
struct Arrived {
    records: BTreeMap<String, Vec<(u64, String)>>,
    rejected: Vec<(u64, String)>,
    error: Option<String>,
}

impl Arrived {
    fn ids(&self, feed: &str) -> Vec<String> {
        let records = self.records.get(&format!("{TENANT}/{feed}")).cloned().unwrap_or_default();
        let id =
            |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["Id"].as_str().unwrap().to_owned();
        records.iter().map(|(_, text)| id(text)).collect()
    }

    fn positions(&self, feed: &str) -> Vec<(u64, u64)> {
        let records = self.records.get(&format!("{TENANT}/{feed}")).cloned().unwrap_or_default();
        records.iter().map(|(position, _)| (position >> 24, position & 0xff_ffff)).collect()
    }
}

/// When a run is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Until {
    End,
    /// Killed behind that many batches, of which so many were acknowledged.
    Killed(usize, usize),
}

/// A source under way whose pipeline takes nothing more.
struct Stalled {
    running: JoinHandle<Result<(), StageError>>,
    _batches: mpsc::Receiver<SourceBatch>,
    _stop: watch::Sender<bool>,
}

impl Stalled {
    async fn kill(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::new().unwrap();
        let labels = ComponentLabels {
            id: "m365".to_owned(),
            kind: "source",
            component_type: Office365ManagementConfig::TYPE.to_owned(),
        };
        let context = Context { metrics: metrics.component(labels), ..context("m365", folder.path()) };
        Bench { context, metrics, _folder: folder }
    }

    fn source(&self, service: &Service, keys: serde_json::Value) -> Box<dyn Source> {
        let mut config = serde_json::json!({
            "tenant_id": TENANT,
            "auth": { "client_id": "app", "client_secret": "s" },
            "cloud": { "simulator": service.server.base },
            "content_types": [EXCHANGE],
            "mode": "once",
        });
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let config: Office365ManagementConfig = serde_json::from_value(config).unwrap();
        let setup = Common {
            tenant_id: config.tenant_id.clone(),
            auth: config.auth.clone(),
            cloud: config.cloud.clone(),
            ..Common::default()
        };
        Box::new(Office365Management {
            options: config.options().unwrap(),
            setup: setup.plan().unwrap(),
            content_types: config.content_types,
            context: self.context.clone(),
            clock: Some(service.clock.clone()),
        })
    }

    /// Runs the source in a pipeline that has taken one batch, and acknowledges nothing.
    async fn stall(&self, service: &Service) -> Stalled {
        let source = self.source(service, serde_json::json!({ "mode": "follow", "interval": "3h" }));
        let (sender, mut batches) = mpsc::channel(1);
        let output = Output::new("m365".into(), Arc::clone(&self.context.store), sender);
        let (stop, shutdown) = Shutdown::new();
        let running = tokio::spawn(source.run(output, shutdown));
        batches.recv().await.unwrap();
        Stalled { running, _batches: batches, _stop: stop }
    }

    /// Runs the source as a pipeline does that acknowledges every batch at once.
    async fn run(&self, service: &Service, keys: serde_json::Value, until: Until) -> Arrived {
        let source = self.source(service, keys);
        let (sender, mut batches) = mpsc::channel(1);
        let output = Output::new(Arc::clone(&self.context.id), Arc::clone(&self.context.store), sender);
        let (_stop, shutdown) = Shutdown::new();
        let running = tokio::spawn(source.run(output, shutdown));
        let mut arrived = Arrived::default();
        let mut count = 0;
        while let Some(batch) = batches.recv().await {
            count += 1;
            let (most, acknowledged) = match until {
                Until::End => (usize::MAX, usize::MAX),
                Until::Killed(most, acknowledged) => (most, acknowledged),
            };
            if count <= acknowledged {
                self.acknowledge(&batch);
            }
            take(batch, &mut arrived);
            if count == most {
                running.abort();
                return arrived;
            }
        }
        arrived.error = running.await.unwrap().err().map(|error: StageError| error.to_string());
        arrived
    }

    fn acknowledge(&self, batch: &SourceBatch) {
        let key = checkpoint_key("m365", &batch.shard);
        self.context.store.write_all(&[Write::set(key, batch.checkpoint.clone())]).unwrap();
    }

    fn gaps(&self) -> Vec<(Reason, String)> {
        let all = ledger::read_all(&self.context.store).unwrap();
        let gaps = all.iter().flat_map(|feed| &feed.state.gaps);
        gaps.map(|gap| (gap.reason, gap.detail.clone())).collect()
    }
}

fn take(batch: SourceBatch, arrived: &mut Arrived) {
    let records = arrived.records.entry(batch.shard).or_default();
    for span in &batch.records.spans {
        let text = &batch.records.text[span.start..span.start + span.len];
        if let Some((last, _)) = records.last() {
            assert!(*last < span.position, "positions must grow");
        }
        records.push((span.position, String::from_utf8(text.to_vec()).unwrap()));
    }
    arrived.rejected.extend(batch.rejected.into_iter().map(|rejected| (rejected.position, rejected.reason)));
}

async fn service(hook: impl FnMut(&Hit, &mut service::Tenant) -> Option<Reply> + Send + 'static) -> Service {
    Service::start(Clock::leaping(start()), Box::new(hook)).await
}

fn none(_: &Hit, _: &mut service::Tenant) -> Option<Reply> {
    None
}

fn no_keys() -> serde_json::Value {
    serde_json::json!({})
}

#[tokio::test]
async fn seven_days_of_two_feeds_arrive_in_order_and_once() {
    let service = service(none).await;
    for hours in (1..160).rev().step_by(10) {
        service.publish(EXCHANGE, &format!("e{hours}"), 3, HOUR * hours);
        service.publish(GENERAL, &format!("g{hours}"), 1, HOUR * hours);
    }
    let bench = Bench::new();
    let keys = serde_json::json!({ "content_types": [EXCHANGE, GENERAL] });
    let arrived = bench.run(&service, keys.clone(), Until::End).await;
    assert_eq!(arrived.error, None);
    let expected: Vec<String> =
        (1..160).rev().step_by(10).flat_map(|hours| (0..3).map(move |n| format!("e{hours}-{n}"))).collect();
    assert_eq!(arrived.ids(EXCHANGE), expected);
    assert_eq!(arrived.ids(GENERAL).len(), 16);
    assert_eq!(arrived.positions(EXCHANGE)[..4], [(1, 0), (1, 1), (1, 2), (2, 0)]);
    // The next run, a day later, finds only what is new, and what was listed late.
    service.clock.sleep(DAY).await;
    service.publish(EXCHANGE, "new", 1, HOUR);
    service.publish(EXCHANGE, "late", 1, DAY + HOUR * 5);
    let arrived = bench.run(&service, keys, Until::End).await;
    let mut ids = arrived.ids(EXCHANGE);
    ids.sort();
    assert_eq!(ids, ["late-0", "new-0"]);
    assert_eq!(bench.gaps(), []);
    let starts = service.server.asked().iter().filter(|line| line.contains("subscriptions/start")).count();
    assert_eq!(starts, 2);
    let windows = service.server.hits();
    let listed = windows.iter().filter(|hit| hit.path.ends_with("/content"));
    assert!(listed.clone().all(|hit| hit.parameter("PublisherIdentifier") == TENANT));
}

#[tokio::test]
async fn a_killed_run_goes_on_where_nothing_was_acknowledged() {
    for (sent, acknowledged) in [(1, 0), (1, 1), (3, 1), (5, 5), (8, 2)] {
        let service = service(none).await;
        for number in 0..10 {
            service.publish(EXCHANGE, &format!("b{number}"), 2, HOUR * (20 - number));
        }
        let bench = Bench::new();
        let first = bench.run(&service, no_keys(), Until::Killed(sent, acknowledged)).await;
        let second = bench.run(&service, no_keys(), Until::End).await;
        assert_eq!(second.error, None);
        let mut all: BTreeMap<(u64, u64), String> = BTreeMap::new();
        for arrived in [&first, &second] {
            for (position, id) in arrived.positions(EXCHANGE).into_iter().zip(arrived.ids(EXCHANGE)) {
                let known = all.insert(position, id.clone());
                assert!(known.is_none_or(|known| known == id), "{position:?} was another record before");
            }
        }
        assert_eq!(all.len(), 20);
        assert_eq!(second.positions(EXCHANGE)[0].0, acknowledged as u64 + 1);
    }
}

#[tokio::test]
async fn a_blob_that_breaks_in_the_middle_is_fetched_again_from_where_it_broke() {
    let mut left = 3;
    let service = service(move |hit, tenant| {
        if !hit.path.contains("/audit/b1") || left == 0 {
            return None;
        }
        left -= 1;
        let body = tenant.blobs[1].body.clone();
        let half = body.len() * (4 - left) / 5;
        Some(match left {
            2 => Reply::new(200, body[..half].to_vec()).cut(),
            // Whole by its length, and yet not.
            1 => Reply::new(200, body[..half].to_vec()),
            _ => Reply::new(200, "<html>proxy</html>"),
        })
    })
    .await;
    // Larger than a batch, so that some of it is sent before it breaks.
    let pad = "x".repeat(500);
    let record = |name: &str, index: usize| format!("{{\"Id\":\"{name}-{index}\",\"Pad\":\"{pad}\"}}");
    for (number, name) in ["b0", "b1", "b2"].into_iter().enumerate() {
        let records: Vec<String> = (0..3000).map(|index| record(name, index)).collect();
        let body = format!("[{}]", records.join(",\n")).into_bytes();
        service.publish_raw(EXCHANGE, name, body, HOUR * (9 - number as u32));
    }
    let bench = Bench::new();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!(arrived.error, None);
    let ids = arrived.ids(EXCHANGE);
    assert_eq!(ids.len(), 9000);
    assert_eq!((ids[2999].as_str(), ids[3000].as_str(), ids[8999].as_str()), ("b0-2999", "b1-0", "b2-2999"));
    assert_eq!((arrived.rejected.len(), bench.gaps().len()), (0, 0));
}

#[tokio::test]
async fn what_stays_damaged_is_delivered_as_far_as_it_can_be_read_and_noted() {
    let service = service(none).await;
    let bodies: [(&str, &[u8]); 5] = [
        ("cut", b"[{\"Id\":\"cut-0\"},{\"Id\":\"cut-1\"},{\"Id\":\"cu"),
        ("open", b"[{\"Id\":\"open-0\"}"),
        ("wrong", b"[{\"Id\":\"wrong-0\"},{\"Id\":tru},{\"Id\":\"wrong-2\"}]"),
        ("error", b"{\"error\":{\"code\":\"x\"}}"),
        ("empty", b""),
    ];
    for (number, (name, body)) in bodies.into_iter().enumerate() {
        service.publish_raw(EXCHANGE, name, body.to_vec(), HOUR * (9 - number as u32));
    }
    service.publish(EXCHANGE, "fine", 1, HOUR);
    let bench = Bench::new();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!(arrived.error, None);
    assert_eq!(arrived.ids(EXCHANGE), ["cut-0", "cut-1", "open-0", "wrong-0", "wrong-2", "fine-0"]);
    assert_eq!(arrived.positions(EXCHANGE)[3..], [(3, 0), (3, 2), (6, 0)]);
    // The one that is cut short lacks a record, and the end of its array.
    assert_eq!(arrived.rejected.len(), 6, "{:?}", arrived.rejected);
    let gaps = bench.gaps();
    assert_eq!(gaps.iter().filter(|(reason, _)| *reason == Reason::Damaged).count(), 5);
    let asked = service.server.asked().iter().filter(|line| line.contains("/audit/wrong")).count();
    assert_eq!(asked, 4);
}

#[tokio::test]
async fn what_is_gone_is_noted_with_its_reason_and_the_rest_goes_on() {
    let service = service(|hit, _| match () {
        () if hit.path.contains("/audit/gone") => Some(Reply::af(404, "AF20050")),
        () if hit.path.contains("/audit/old") => Some(Reply::af(400, "AF20051")),
        () if hit.path.contains("/audit/proxy") => Some(Reply::new(404, "not here")),
        () => None,
    })
    .await;
    for name in ["gone", "old", "proxy", "fine"] {
        service.publish(EXCHANGE, name, 1, HOUR);
    }
    let bench = Bench::new();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE)), (None, vec!["fine-0".to_owned()]));
    let reasons: Vec<Reason> = bench.gaps().into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::Expired).count(), 1);
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::NotAvailable).count(), 2);
}

#[tokio::test]
async fn an_outage_longer_than_seven_days_leaves_a_gap_and_nothing_else() {
    let service = service(none).await;
    service.publish(EXCHANGE, "before", 1, HOUR);
    let bench = Bench::new();
    bench.run(&service, no_keys(), Until::End).await;
    service.publish(EXCHANGE, "lost", 1, Duration::ZERO);
    service.clock.sleep(DAY * 9).await;
    service.publish(EXCHANGE, "seen", 1, DAY * 6);
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!(arrived.ids(EXCHANGE), ["seen-0"]);
    let all = ledger::read_all(&bench.context.store).unwrap();
    let gap = &all[0].state.gaps[0];
    assert_eq!((gap.reason, gap.start, all[0].state.gaps.len()), (Reason::Expired, start(), 1));
    let reach = plus(start(), DAY * 2);
    assert!(gap.end >= reach && gap.end < plus(reach, HOUR), "{}", gap.end);
}

#[tokio::test]
async fn an_outage_of_six_days_leaves_no_gap() {
    let service = service(none).await;
    service.publish(EXCHANGE, "before", 1, HOUR);
    let bench = Bench::new();
    bench.run(&service, no_keys(), Until::End).await;
    for day in 1..=6 {
        service.clock.sleep(DAY).await;
        service.publish(EXCHANGE, &format!("day{day}"), 2, HOUR);
    }
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((arrived.ids(EXCHANGE).len(), bench.gaps().len()), (12, 0));
}

#[tokio::test]
async fn foreign_addresses_get_no_token_and_the_content_comes_from_where_it_should_be() {
    let service = service(none).await;
    service.tenant.lock().unwrap().uri = Some("https://evil.example/steal".to_owned());
    service.publish(EXCHANGE, "b", 2, HOUR);
    let bench = Bench::new();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!(arrived.ids(EXCHANGE), ["b-0", "b-1"]);
    assert!(bench.metrics.render().contains("error_type=\"foreign_url\""));
}

#[tokio::test]
async fn pages_that_repeat_or_break_are_listed_again() {
    let mut left = 4;
    let service = service(move |hit, _| {
        if hit.parameter("nextPage") != "3" || left == 0 {
            return None;
        }
        left -= 1;
        Some(match left {
            3 => Reply::af(400, "AF20031"),
            2 => Reply::new(200, "[{\"contentId\":"),
            1 => Reply::af(403, "AF429"),
            // Leads to itself.
            _ => {
                let query: Vec<String> = hit.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let link = format!("http://{}{}?{}", hit.headers["host"], hit.path, query.join("&"));
                Reply::new(200, "[]").header("NextPageUri", &link)
            }
        })
    })
    .await;
    for number in 0..8 {
        service.publish(EXCHANGE, &format!("b{number}"), 1, HOUR * (9 - number));
    }
    let bench = Bench::new();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE).len()), (None, 8));
}

#[tokio::test]
async fn a_subscription_that_vanishes_is_started_again_after_a_quarter_of_an_hour() {
    let service = service(none).await;
    service.publish(EXCHANGE, "first", 1, HOUR);
    let bench = Bench::new();
    bench.run(&service, no_keys(), Until::End).await;
    service.tenant.lock().unwrap().subscribed.clear();
    let before = service.clock.now();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!(arrived.error, None);
    assert!(crate::clock::between(before, service.clock.now()) >= Duration::from_secs(800));
    assert_eq!(bench.gaps()[0].0, Reason::NotSubscribed);
}

#[tokio::test]
async fn what_needs_a_human_says_so() {
    let off = "Microsoft.Office.Compliance.Audit.DataServiceException: Tenant 1 does not exist.";
    let cases = [
        (Reply::new(400, off), "unified audit logging is switched off"),
        (Reply::af(401, "AF10001"), "ActivityFeed.Read"),
        (Reply::af(403, "AF20010"), "another tenant than `tenant_id`"),
        (Reply::af(400, "AF20020"), "no such content type"),
        (Reply::af(400, "AF20023"), "disabled by an administrator"),
        (Reply::new(403, "<html>Blocked by policy</html>"), "a proxy, firewall or sign-in page"),
    ];
    for (reply, words) in cases {
        let service = service(move |hit, _| hit.path.contains("/subscriptions/").then(|| reply.clone())).await;
        let arrived = Bench::new().run(&service, no_keys(), Until::End).await;
        let error = arrived.error.unwrap();
        assert!(error.contains(words) && error.contains(&format!("tenant {TENANT}, {EXCHANGE}")), "{error}");
    }
}

#[tokio::test]
async fn what_expires_while_the_sinks_are_down_is_kept_on_the_disk() {
    // Copies must be whole: what comes cut short is copied again.
    let mut times = 0;
    let service = service(move |hit, tenant| {
        times += usize::from(hit.path.contains("/audit/b4"));
        let body = &tenant.blobs.get(4)?.body;
        (hit.path.contains("/audit/b4") && times <= 2).then(|| Reply::new(200, &body[..body.len() / 2]))
    })
    .await;
    for number in 0..5 {
        service.publish(EXCHANGE, &format!("b{number}"), 2, DAY * 6 + HOUR * (10 - number));
    }
    let bench = Bench::new();
    // Nothing is acknowledged for a day.
    let stalled = bench.stall(&service).await;
    let spool = bench.context.store.folder().join("spool/m365").join(TENANT).join(EXCHANGE);
    let copies = || {
        std::fs::read_dir(&spool).map_or(0, |files| {
            files.flatten().filter(|file| file.path().extension().is_some_and(|kind| kind == "zst")).count()
        })
    };
    while copies() < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while service.clock.now() < plus(start(), DAY) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stalled.kill().await;
    // Microsoft has nothing left of it; we have.
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE).len()), (None, 10));
    assert_eq!(bench.gaps(), []);
    bench.run(&service, no_keys(), Until::End).await;
    assert_eq!(copies(), 0);
}

#[test]
fn mistakes_in_the_config_are_found_without_network() {
    let wrong = |keys: serde_json::Value| {
        let config: Office365ManagementConfig = serde_json::from_value(keys).unwrap();
        let errors = config.plan().err().unwrap();
        errors.iter().map(|error| error.key.clone()).collect::<Vec<_>>()
    };
    let auth = serde_json::json!({ "managed_identity": true });
    assert_eq!(
        wrong(serde_json::json!({ "tenant_id": "x", "auth": auth, "interval": "0s" })),
        ["interval", "tenant_id"]
    );
    let twice = serde_json::json!({ "tenant_id": TENANT, "auth": auth, "content_types": ["DLP.All", "DLP.All"], "start": "8d" });
    assert_eq!(wrong(twice), ["start", "content_types.1"]);
    let until = serde_json::json!({ "tenant_id": TENANT, "auth": auth, "until": "soon" });
    assert_eq!(wrong(until), ["until", "until"]);
    let unknown = serde_json::json!({ "tenant_id": TENANT, "auth": auth, "content_types": ["Audit.Nonsense"] });
    let error = serde_json::from_value::<Office365ManagementConfig>(unknown).unwrap_err().to_string();
    assert!(error.contains("Audit.SharePoint"), "{error}");
}
