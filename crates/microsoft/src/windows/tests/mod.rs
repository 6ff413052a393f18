//! The engine against a service on loopback, at a time that leaps.

mod service;
mod sinks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::stage::{Output, SourceBatch, checkpoint_key};
use downspout_core::store::Write;
use downspout_core::{Context, StageError};
use jiff::Timestamp;
use tokio::sync::mpsc;

use self::service::{Faults, Record, Service};
use super::*;
use crate::client::{Api, Trouble, http_client};
use crate::clock::Clock;
use crate::cloud::CloudConfig;
use crate::config::{Common, Connection, Mode};
use crate::ledger::Ledger;
use crate::testing::context;

const TENANT: &str = "0a1b2c3d-0000-1111-2222-333344445555";

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn log(name: &'static str) -> GraphFeed {
    GraphFeed {
        name: name.to_owned(),
        api: Api::GraphDirectory,
        collection: Collection {
            path: format!("/v1.0/{name}?$filter="),
            time: "t",
            bounds: Bounds::Inclusive,
            and: None,
            link: "@odata.nextLink",
        },
        pace: Pace { overlap: minutes(360), settle: minutes(1), longest: minutes(1440), keeps: minutes(30 * 1440) },
        explain: std::convert::identity,
    }
}

#[derive(Debug)]
struct Logs(Vec<&'static str>);

#[async_trait]
impl Feeds for Logs {
    async fn list(&self, _connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble> {
        Ok(self.0.iter().map(|name| Arc::new(log(name)) as Arc<dyn Feed>).collect())
    }
}

/// A pipeline's surroundings: they outlive the runs of the source.
struct Bench {
    clock: Clock,
    base: String,
    service: Service,
    context: Context,
    feeds: Arc<dyn Feeds>,
    timing: Timing,
    spool: Spool,
    /// What was delivered: shard and position, and the record.
    delivered: BTreeMap<(String, u64), String>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(feeds: impl Feeds + 'static, mode: Mode) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::leaping(at(0));
        let (base, service) = service::start(clock.clone()).await;
        let context = context("in", folder.path());
        let timing =
            Timing { start: Moment::Ago(minutes(600)), until: None, interval: minutes(5), overlap: None, mode };
        let spool = Spool { before: minutes(1440), max: 1 << 30 };
        let feeds = Arc::new(feeds);
        Bench { clock, base, service, context, feeds, timing, spool, delivered: BTreeMap::new(), _folder: folder }
    }

    /// What the feeds of a run have in common, and what they send.
    fn shared(&self) -> (Arc<source::Shared>, mpsc::Receiver<SourceBatch>) {
        let (sender, batches) = mpsc::channel(1);
        let output = Output::new("in".into(), Arc::clone(&self.context.store), sender);
        let feeds = Arc::clone(&self.feeds);
        let shared = source::Shared::new(self.context.clone(), output, self.timing, self.spool, feeds);
        (Arc::new(shared), batches)
    }

    fn connection(&self, tenant: &str) -> Connection {
        let common = Common {
            tenant_id: Some(tenant.to_owned()),
            auth: Some(serde_json::from_value(serde_json::json!({ "client_id": "a", "client_secret": "s" })).unwrap()),
            cloud: CloudConfig::simulator(&self.base),
            ..Common::default()
        };
        let http = http_client(None).unwrap();
        common.plan().unwrap().connect_at(&self.context, &http, &self.clock).unwrap().remove(0)
    }

    /// Runs the source until it ends, or `stop` says that a batch was the last to arrive before it is killed.
    async fn run(&mut self, mut stop: impl FnMut(&Bench, &SourceBatch) -> bool) -> Result<(), StageError> {
        let (shared, mut batches) = self.shared();
        let running = tokio::spawn(tenant::run(shared, self.connection(TENANT)));
        while let Some(batch) = batches.recv().await {
            for span in &batch.records.spans {
                let record = &batch.records.text[span.start..span.start + span.len];
                let place = (batch.shard.clone(), span.position);
                let record = String::from_utf8(record.to_vec()).unwrap();
                let before = self.delivered.insert(place.clone(), record.clone());
                assert!(before.is_none_or(|before| before == record), "{place:?} was another record before");
            }
            if stop(self, &batch) {
                running.abort();
                // Gone when it is gone: its books are the next run's.
                drop(running.await);
                return Ok(());
            }
            let checkpoint = Write::set(checkpoint_key("in", &batch.shard), batch.checkpoint.clone());
            self.context.store.write_all(&[checkpoint]).unwrap();
        }
        running.await.unwrap()
    }

    /// Runs the source until that minute.
    async fn run_until(&mut self, minute: i64) {
        // The last record is the sign to stop.
        let end = format!("end{minute}");
        self.service.lock().unwrap().add("/a", at(minute), Duration::ZERO, &end);
        self.run(|_, batch| String::from_utf8_lossy(&batch.records.text).contains(&end)).await.unwrap();
    }

    /// How often each record was delivered, as a different one.
    fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for record in self.delivered.values() {
            *counts.entry(record.as_str()).or_default() += 1;
        }
        counts
    }

    /// Every record of the service was delivered, and none twice.
    fn check(&self) {
        let state = self.service.lock().unwrap();
        let all: BTreeSet<&str> = state.records.iter().map(|record| record.text.as_str()).collect();
        let counts = self.counts();
        let missing: Vec<_> = all.iter().filter(|text| !counts.contains_key(**text)).collect();
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(missing.is_empty() && twice.is_empty(), "missing: {missing:?}, twice: {twice:?}");
    }

    fn gaps(&self, feed: &str) -> Vec<String> {
        let ledger = Ledger::load(&self.context.store, "in", TENANT, feed).unwrap();
        ledger.open().map(|gap| format!("{} to {}: {}", gap.start, gap.end, gap.detail)).collect()
    }

    fn fill(&self, log: &'static str, count: i64) {
        let mut state = self.service.lock().unwrap();
        for number in 0..count {
            state.add(log, at(-590 + number * 580 / count), Duration::ZERO, &format!("{log}{number}"));
        }
    }
}

#[tokio::test]
async fn a_read_that_ends_brings_everything_once() {
    let mut bench = Bench::new(Logs(vec!["a", "b"]), Mode::Once).await;
    bench.fill("/a", 50);
    bench.fill("/b", 7);
    bench.run(|_, _| false).await.unwrap();
    bench.check();
    let asked = bench.service.lock().unwrap().asked.len();
    bench.run(|_, _| false).await.unwrap();
    bench.check();
    assert!(bench.service.lock().unwrap().asked.len() <= asked + 4);
    assert_eq!(bench.gaps("a"), [""; 0]);
}

#[tokio::test]
async fn late_records_are_found_and_changed_ones_come_again() {
    let mut bench = Bench::new(Logs(vec!["a"]), Mode::Follow).await;
    {
        let mut state = bench.service.lock().unwrap();
        for number in 0..120_u64 {
            // Up to 355 minutes late.
            let late = minutes(number * 37 % 356);
            state.add("/a", at(number as i64 * 2), late, &format!("r{number}"));
        }
        let changed =
            |text: &str, visible, until| Record { log: "/a", at: at(50), visible, until, text: text.to_owned() };
        state.records.push(changed(r#"{"id":"c","risk":"none"}"#, at(52), at(130)));
        state.records.push(changed(r#"{"id":"c","risk":"high"}"#, at(130), Timestamp::MAX));
    }
    bench.run_until(1200).await;
    bench.check();
}

#[tokio::test]
async fn killed_behind_any_batch_it_goes_on_without_loss_or_doubles() {
    for kill in 0..14 {
        let mut bench = Bench::new(Logs(vec!["a"]), Mode::Once).await;
        bench.fill("/a", 30);
        let mut seen = 0;
        bench
            .run(|_, _| {
                seen += 1;
                seen > kill
            })
            .await
            .unwrap();
        bench.run(|_, _| false).await.unwrap();
        bench.check();
        let positions: Vec<u64> = bench.delivered.keys().map(|(_, position)| position >> 24).collect();
        assert_eq!(positions.first(), Some(&1), "{kill}");
    }
}

#[tokio::test]
async fn broken_paging_loses_nothing() {
    type Case = (&'static str, fn(&mut Faults));
    let cases: [Case; 7] = [
        ("repeated", |faults| faults.repeated = 2),
        ("loops", |faults| faults.loops = 9),
        ("cut", |faults| faults.cut = 6),
        ("garbled", |faults| faults.garbled = 3),
        ("foreign", |faults| faults.foreign = 3),
        ("stale", |faults| faults.stale = 2),
        ("unavailable", |faults| faults.unavailable = 20),
    ];
    for (name, set) in cases {
        let mut bench = Bench::new(Logs(vec!["a"]), Mode::Once).await;
        bench.fill("/a", 40);
        set(&mut bench.service.lock().unwrap().faults);
        bench.run(|_, _| false).await.unwrap();
        bench.check();
        assert_eq!(bench.gaps("a"), [""; 0], "{name}");
        let left = bench.service.lock().unwrap().faults.clone();
        assert_eq!(
            format!("{left:?}").matches(|c: char| c.is_ascii_digit() && c != '0').count(),
            0,
            "{name}: {left:?}"
        );
    }
}

#[tokio::test]
async fn what_stays_broken_is_a_gap_of_seconds_and_the_rest_arrives() {
    let mut bench = Bench::new(Logs(vec!["a"]), Mode::Once).await;
    bench.fill("/a", 10);
    {
        let mut state = bench.service.lock().unwrap();
        // Four in one second make two pages, and every link leads astray.
        for number in 0..4 {
            state.add("/a", at(-100), Duration::ZERO, &format!("crowd{number}"));
        }
        state.faults.foreign = u32::MAX;
    }
    bench.run(|_, _| false).await.unwrap();
    assert_eq!(bench.counts().len(), 13);
    let gaps = bench.gaps("a");
    assert!(gaps.len() == 1 && gaps[0].contains("evil.example"), "{gaps:?}");
    // It is read again some time later, without a fault.
    bench.service.lock().unwrap().faults.foreign = 0;
    bench.clock.advance(minutes(300));
    bench.run(|_, _| false).await.unwrap();
    bench.check();
    assert_eq!(bench.gaps("a"), [""; 0]);
}

#[tokio::test]
async fn a_missing_licence_stops_one_log_and_no_other() {
    for (code, message, told) in [
        ("Authentication_RequestFromNonPremiumTenantOrB2CTenant", "no licence", "no Entra ID P1 or P2 licence"),
        ("Forbidden", "Your tenant is not licensed for this feature.", "risk detections: Entra ID P2"),
    ] {
        let mut bench = Bench::new(Logs(vec!["a", "b"]), Mode::Once).await;
        bench.fill("/b", 7);
        let body = format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#);
        bench.service.lock().unwrap().refused = vec![("/a", 403, body)];
        bench.run(|_, _| false).await.unwrap();
        bench.check();
        assert!(bench.gaps("a")[0].contains(told), "{:?}", bench.gaps("a"));
    }
}

#[tokio::test]
async fn refusals_are_told_at_the_end_of_a_finite_read_and_a_refused_sign_in_at_once() {
    let body = r#"{"error":{"code":"Authorization_RequestDenied","message":"no"}}"#.to_owned();
    let mut bench = Bench::new(Logs(vec!["a", "b"]), Mode::Once).await;
    bench.fill("/b", 7);
    bench.service.lock().unwrap().refused = vec![("/a", 403, body.clone())];
    let told = bench.run(|_, _| false).await.unwrap_err().to_string();
    bench.check();
    assert!(
        told.starts_with(&format!("tenant {TENANT}, a: ")) && told.contains("Authorization_RequestDenied"),
        "{told}"
    );

    // Without an end in sight, one refused log waits for consent.
    let mut bench = Bench::new(Logs(vec!["a", "b"]), Mode::Follow).await;
    bench.service.lock().unwrap().refused = vec![("/b", 403, body)];
    bench.run_until(100).await;
    bench.check();

    let mut bench = Bench::new(Logs(vec!["a", "b"]), Mode::Follow).await;
    bench.service.lock().unwrap().locked = true;
    let told = bench.run(|_, _| false).await.unwrap_err().to_string();
    assert!(told.contains("AADSTS7000215"), "{told}");
}

#[tokio::test]
async fn feeds_that_appear_later_are_read() {
    #[derive(Debug)]
    struct Growing(Service);

    #[async_trait]
    impl Feeds for Growing {
        async fn list(&self, connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble> {
            let names: &[&'static str] = if connection.clock.now() < at(60) { &["a"] } else { &["a", "b"] };
            assert!(!self.0.lock().unwrap().asked.is_empty() || connection.clock.now() < at(60));
            Logs(names.to_vec()).list(connection).await
        }

        fn look_again(&self) -> Option<Duration> {
            Some(minutes(10))
        }
    }

    let mut bench = Bench::new(Logs(Vec::new()), Mode::Follow).await;
    bench.feeds = Arc::new(Growing(Arc::clone(&bench.service)));
    bench.fill("/a", 5);
    // As far back as the first log goes, and not as far back from when this one is found.
    bench.service.lock().unwrap().add("/b", at(-595), Duration::ZERO, "b");
    bench.run_until(400).await;
    bench.check();
}

#[tokio::test]
async fn tenants_whose_answers_trickle_keep_no_other_waiting() {
    #[derive(Debug)]
    struct OfTenant;

    #[async_trait]
    impl Feeds for OfTenant {
        async fn list(&self, connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble> {
            let names =
                if connection.tenant.id == TENANT { vec!["fine"] } else { vec!["slow1", "slow2", "slow3", "slow4"] };
            Logs(names).list(connection).await
        }
    }

    let bench = Bench::new(OfTenant, Mode::Once).await;
    bench.fill("/fine", 7);
    bench.service.lock().unwrap().trickling = Some("slow");
    let (shared, mut batches) = bench.shared();
    let others = (0..5).map(|number| bench.connection(&format!("99999999-0000-1111-2222-33334444555{number}")));
    let slow: Vec<_> = others.map(|other| tokio::spawn(tenant::run(Arc::clone(&shared), other))).collect();
    while bench.service.lock().unwrap().asked.len() < 4 * slow.len() {
        tokio::task::yield_now().await;
    }
    let fine = tokio::spawn(tenant::run(shared, bench.connection(TENANT)));
    let mut arrived = 0;
    while arrived < 7 {
        arrived += batches.recv().await.unwrap().records.spans.len();
    }
    fine.await.unwrap().unwrap();
    for slow in slow {
        assert!(!slow.is_finished());
        slow.abort();
    }
}

#[tokio::test]
async fn an_outage_beyond_what_the_service_keeps_is_a_gap() {
    let mut bench = Bench::new(Logs(vec!["a"]), Mode::Follow).await;
    bench.run_until(30).await;
    bench.clock.advance(minutes(40 * 1440));
    bench.run_until(40 * 1440 + 60).await;
    bench.check();
    let gaps = bench.gaps("a");
    assert!(gaps.len() == 1 && gaps[0].contains("keeps it for 30 days"), "{gaps:?}");
}
