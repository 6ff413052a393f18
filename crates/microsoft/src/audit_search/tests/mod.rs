//! Searches against a service that errs as the real ones do.

mod recovery;
mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use downspout_core::Component;
use downspout_core::stage::checkpoint_key;
use downspout_core::store::Write;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::service::{Faults, State, serve};
use super::config::{common, timing};
use super::*;
use crate::client::http_client;
use crate::clock::Clock;
use crate::ledger;
use crate::testing::context;

const TENANT: &str = "0a1b2c3d-0000-1111-2222-333344445555";

/// A source's surroundings: they outlive its runs.
struct Bench {
    context: Context,
    state: Arc<Mutex<State>>,
    clock: Clock,
    _folder: tempfile::TempDir,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_571_200 + second).unwrap()
}

impl Bench {
    /// A log with a record every so many seconds of a day.
    fn new(every: i64, faults: Faults) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let context = context("history", folder.path());
        let records = (0..86_400 / every).map(|index| (at(index * every + every / 2), format!("id-{index}"))).collect();
        let state = State { records, faults, most: 50_000, page: 5_000, ..State::default() };
        let clock = Clock::leaping(at(10 * 86_400));
        Bench { context, state: Arc::new(Mutex::new(state)), clock, _folder: folder }
    }

    /// Runs the source until it ends, or until that many batches were taken, the last of which is lost. Gives how
    /// often each record came.
    async fn run(&self, keys: Value, stop: Option<usize>) -> BTreeMap<String, usize> {
        let base = serve(Arc::clone(&self.state)).await;
        let mut config = json!({
            "tenant_id": TENANT,
            "auth": { "client_id": "app", "client_secret": "s" },
            "cloud": { "simulator": base },
            "start": at(0).to_string(),
            "until": at(86_400).to_string(),
            "mode": "once",
        });
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let config: UnifiedAuditSearchConfig = serde_json::from_value(config).unwrap();
        let (setup, timing) = (common(&config).plan().unwrap(), timing(&config).plan().unwrap());
        let connections = self.connect(&setup);
        let source = Box::new(AuditSearch { config, setup, timing, context: self.context.clone() });
        let (sender, mut batches) = mpsc::channel(1);
        let output = Output::new(Arc::clone(&self.context.id), Arc::clone(&self.context.store), sender);
        let (_stop, shutdown) = Shutdown::new();
        let running = tokio::spawn(source.run_with(connections, output, shutdown));
        let mut came = BTreeMap::new();
        let mut taken = 0;
        while let Some(batch) = batches.recv().await {
            // A pipeline takes its time, and the source must bear that.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            taken += 1;
            if stop == Some(taken) {
                running.abort();
                // The store is let go of when the task is.
                let _ = running.await;
                return came;
            }
            for span in &batch.records.spans {
                let record: Value =
                    serde_json::from_slice(&batch.records.text[span.start..span.start + span.len]).unwrap();
                *came.entry(record["Id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
            let write = Write::set(checkpoint_key(&self.context.id, &batch.shard), batch.checkpoint);
            self.context.store.write_all(&[write]).unwrap();
        }
        running.await.unwrap().unwrap();
        came
    }

    fn connect(&self, setup: &Setup) -> Vec<Connection> {
        setup.connect_at(&self.context, &http_client(None).unwrap(), &self.clock).unwrap()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn results(&self) -> Vec<Searched> {
        results(&self.context.store, &self.context.id, &format!("{TENANT}/{FEED}")).unwrap()
    }

    fn gaps(&self) -> Vec<String> {
        let all = ledger::read_all(&self.context.store).unwrap();
        all.iter().flat_map(|feed| &feed.state.gaps).map(|gap| gap.detail.clone()).collect()
    }

    /// Every record came, and exactly once.
    fn check(&self, came: &BTreeMap<String, usize>) {
        assert_eq!(came.len(), self.state().records.len());
        assert!(came.values().all(|times| *times == 1));
        assert_eq!(self.gaps(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn both_backends_give_every_record_once() {
    for backend in ["graph", "exchange"] {
        let bench = Bench::new(60, Faults::default());
        let came = bench.run(json!({ "backend": backend }), None).await;
        bench.check(&came);
        let results = bench.results();
        assert!(results.iter().all(|result| result.passes == 2 && result.missing.is_none()), "{results:?}");
        assert_eq!(results.iter().map(|result| result.records).sum::<u64>(), 1440);
    }
}

#[tokio::test]
async fn windows_are_split_until_they_fit() {
    for (backend, faults) in [("graph", Faults::default()), ("exchange", Faults { too_many: 3, ..Faults::default() })] {
        let bench = Bench::new(60, faults);
        bench.state().most = 400;
        let came = bench.run(json!({ "backend": backend, "window": "1d" }), None).await;
        bench.check(&came);
        let lengths: Vec<i64> =
            bench.results().iter().map(|result| result.end.as_second() - result.start.as_second()).collect();
        assert_eq!(lengths.len(), 4, "{lengths:?}");
        assert_eq!(lengths.iter().sum::<i64>(), 86_400);
    }
}

#[tokio::test]
async fn what_exchange_loses_is_asked_for_again() {
    let bench = Bench::new(10, Faults { minus_one: 2, empty: 1, ..Faults::default() });
    bench.state().page = 1_000;
    let came = bench.run(json!({ "backend": "exchange", "window": "1d" }), None).await;
    bench.check(&came);
    assert!(bench.results()[0].passes > 3, "{:?}", bench.results());
}

#[tokio::test]
async fn a_session_whose_answer_was_lost_is_not_gone_on_with() {
    // Both passes would find the rest of a session that was given already: nothing, and agree.
    let bench = Bench::new(20, Faults { lost: 2, ..Faults::default() });
    let came = bench.run(json!({ "backend": "exchange", "window": "1d" }), None).await;
    bench.check(&came);
}

#[tokio::test]
async fn small_blocks_are_asked_for_where_the_service_gives_no_larger_ones() {
    let bench = Bench::new(60, Faults { short: Some(100), ..Faults::default() });
    let came = bench.run(json!({ "backend": "exchange" }), None).await;
    bench.check(&came);
    let state = bench.state();
    let sizes: Vec<u64> = state
        .asked
        .iter()
        .filter_map(|(_, _, body)| body.pointer("/CmdletInput/Parameters/ResultSize").and_then(Value::as_u64))
        .collect();
    assert_eq!((sizes[0], sizes[sizes.len() - 1]), (5_000, 100));
}

#[tokio::test]
async fn what_graph_loses_is_read_again() {
    let faults = Faults { missing: 3, cut: 1, miscounted: 2, bad_gateway: 3, failed: 1, ..Faults::default() };
    let bench = Bench::new(60, faults);
    bench.state().page = 400;
    let came = bench.run(json!({ "backend": "graph" }), None).await;
    bench.check(&came);
    assert_eq!(bench.results()[0].passes, 3);
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_not_followed() {
    let bench = Bench::new(60, Faults { hostile: 2, ..Faults::default() });
    bench.state().page = 400;
    let came = bench.run(json!({ "backend": "graph" }), None).await;
    bench.check(&came);
    assert!(bench.state().asked.iter().all(|(_, path, _)| !path.contains("evil")));
    assert_eq!(bench.results()[0].passes, 4);
}

#[tokio::test]
async fn what_never_agrees_is_a_gap_with_a_reason() {
    let bench = Bench::new(60, Faults { minus_one: 1_000, ..Faults::default() });
    bench.state().page = 100;
    let came = bench.run(json!({ "backend": "exchange", "window": "1d", "max_passes": 3 }), None).await;
    // What a broken session gave is sent all the same.
    assert!(came.len() >= 100);
    let gaps = bench.gaps();
    assert!(gaps[0].contains("none of 3 passes was whole; the last one: a ResultIndex of -1"), "{gaps:?}");
}

#[tokio::test]
async fn a_restart_adopts_the_query_that_runs() {
    let bench = Bench::new(60, Faults::default());
    bench.state().page = 400;
    let mut came = bench.run(json!({ "backend": "graph" }), Some(2)).await;
    for (id, times) in bench.run(json!({ "backend": "graph" }), None).await {
        *came.entry(id).or_insert(0) += times;
    }
    assert_eq!(came.len(), 1440);
    let created = bench.state().asked.iter().filter(|(method, ..)| method == "POST").count();
    assert_eq!(created, 1);
    // A third run has nothing to do.
    assert_eq!(bench.run(json!({ "backend": "graph" }), None).await.len(), 0);
    assert_eq!(bench.state().asked.iter().filter(|(method, ..)| method == "POST").count(), 1);
}

#[tokio::test]
async fn what_is_read_again_for_late_records_is_not_sent_again() {
    let bench = Bench::new(3600, Faults::default());
    let day = 86_400;
    let mut records: Vec<_> = (0..24).map(|hour| (at(9 * day + hour * 3600 + 1800), format!("id-{hour}"))).collect();
    // Two that happen while the source runs; the second one ends the test.
    records.extend([(at(10 * day + 9000), "new".to_owned()), (at(11 * day), "last".to_owned())]);
    bench.state().records = records;
    let keys = json!({ "mode": "follow", "start": at(9 * day).to_string(), "until": null, "backend": "exchange" });
    let came = bench.run(keys, Some(7)).await;
    assert_eq!(came.len(), 25, "{came:?}");
    assert!(came.values().all(|times| *times == 1), "{came:?}");
}

#[tokio::test]
async fn no_more_queries_are_created_than_a_day_allows() {
    let bench = Bench::new(600, Faults::default());
    let came =
        bench.run(json!({ "backend": "graph", "window": "6h", "daily_queries": 2, "concurrency": 1 }), None).await;
    bench.check(&came);
    assert_eq!(bench.state().asked_for("/records"), 8);
}

#[tokio::test]
async fn the_queries_of_all_sources_of_a_tenant_count_together() {
    let mut bench = Bench::new(600, Faults::default());
    let keys = || json!({ "backend": "graph", "window": "12h", "daily_queries": 2 });
    bench.check(&bench.run(keys(), None).await);
    assert!(bench.clock.now() < at(11 * 86_400));
    // Another source, after a restart.
    bench.context = Context { id: "other".into(), shared: downspout_core::Shared::default(), ..bench.context };
    bench.check(&bench.run(keys(), None).await);
    assert!(bench.clock.now() >= at(11 * 86_400), "{}", bench.clock.now());
    // A source that may create more does not wait for that.
    bench.context.id = "third".into();
    let before = bench.clock.now();
    let mut keys = keys();
    keys["daily_queries"] = 5.into();
    bench.check(&bench.run(keys, None).await);
    assert!(bench.clock.now() < before + jiff::SignedDuration::from_hours(1));
}

#[tokio::test]
async fn a_search_that_finds_nothing_asks_whether_anything_is_recorded() {
    for backend in ["graph", "exchange"] {
        for (auditing, gaps) in [(Some(true), 0), (Some(false), 1), (None, 0)] {
            let bench = Bench::new(86_400, Faults::default());
            bench.state().records.clear();
            bench.state().auditing = auditing;
            assert_eq!(bench.run(json!({ "backend": backend }), None).await.len(), 0);
            let told = bench.gaps();
            assert_eq!(told.len(), gaps, "{backend}, {auditing:?}: {told:?}");
            assert!(told.iter().all(|gap| gap.contains("auditing is switched off")), "{told:?}");
        }
    }
}

#[tokio::test]
async fn it_is_shown_how_far_a_search_has_come() {
    let bench = Bench::new(600, Faults::default());
    bench.check(&bench.run(json!({ "backend": "exchange" }), None).await);
    let lag = bench.context.metrics.lag_seconds().get();
    assert!((9 * 86_400..9 * 86_400 + 3_600).contains(&lag), "{lag}");
    let metrics = bench.context.metrics.feed(TENANT, FEED);
    assert_eq!((metrics.lag_seconds.get(), metrics.gaps.get()), (lag, 0));
}

#[test]
fn mistakes_are_told_at_their_keys() {
    let config = json!({
        "tenant_id": TENANT, "auth": { "client_id": "app", "client_secret": "s" },
        "window": "1s", "passes": 0, "ips": ["x"], "concurrency": 51, "interval": "0s",
    });
    let config: UnifiedAuditSearchConfig = serde_json::from_value(config).unwrap();
    let Err(errors) = config.plan() else { panic!("accepted") };
    let mut keys: Vec<String> = errors.into_iter().map(|error| error.key).collect();
    keys.sort();
    assert_eq!(keys, ["concurrency", "interval", "ips.0", "passes", "window"]);
}
