//! What the feed knows of itself: how far it has come, what expires next, and where a new one begins to look.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::clock::minus;
use crate::ledger::Progress;

/// The value of a gauge of the feed.
fn gauge(bench: &Bench, name: &str) -> i64 {
    let text = bench.metrics.render();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_expires_next_is_what_was_never_listed_when_nothing_can_be() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let service = service(move |hit, _| {
        let list = hit.path.ends_with("/subscriptions/content") && is_down.load(Ordering::Relaxed);
        list.then(|| Reply::new(503, "down"))
    })
    .await;
    service.publish(EXCHANGE, "b", 1, HOUR);
    let bench = Bench::new();
    assert_eq!(bench.run(&service, no_keys(), Until::End).await.error, None);
    down.store(true, Ordering::Relaxed);
    service.clock.sleep(DAY * 3).await;
    assert!(bench.run(&service, no_keys(), Until::End).await.error.is_some());
    // Seven days less three, and what trying took.
    let left = gauge(&bench, "downspout_feed_expires_in_seconds");
    assert!((2 * 86_400..=4 * 86_400).contains(&left), "{left}");
}

#[tokio::test]
async fn a_new_feed_that_is_restarted_after_its_first_content_still_looks_back_to_its_beginning() {
    let clock = Clock::leaping(start());
    let began = start();
    let time = clock.clone();
    // Nothing for half an hour; then something new, and while that is fetched, something older than the feed.
    let hook = move |hit: &Hit, tenant: &mut service::Tenant| {
        let blob = |name: &str, created| service::Blob {
            feed: EXCHANGE,
            id: format!("{name}$audit"),
            created,
            body: format!("[{{\"Id\":\"{name}\"}}]").into_bytes(),
        };
        if tenant.blobs.is_empty() && time.now() > plus(began, Duration::from_secs(1700)) {
            tenant.blobs.push(blob("new", minus(time.now(), Duration::from_secs(60))));
        }
        if hit.path.contains("/audit/new") && tenant.blobs.len() == 1 {
            tenant.blobs.push(blob("old", minus(began, DAY * 3)));
        }
        None
    };
    let service = Service::start(clock, Box::new(hook)).await;
    let bench = Bench::new();
    let follow = serde_json::json!({ "mode": "follow", "interval": "30m" });
    let first = bench.run(&service, follow, Until::Killed(1, 1)).await;
    assert_eq!(first.ids(EXCHANGE), ["new"]);
    let second = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((second.error.as_deref(), second.ids(EXCHANGE)), (None, vec!["old".to_owned()]));
    // From then on, a day is enough.
    let lists =
        |service: &Service| service.server.hits().into_iter().filter(|hit| hit.path.ends_with("/content")).count();
    let before = lists(&service);
    bench.run(&service, no_keys(), Until::End).await;
    assert!(lists(&service) - before <= 2);
}

#[tokio::test]
async fn copies_on_the_disk_count_as_fetched() {
    let service = service(none).await;
    for number in 0..5 {
        service.publish(EXCHANGE, &format!("b{number}"), 2, DAY * 6 + HOUR * (10 - number));
    }
    let bench = Bench::new();
    let stalled = bench.stall(&service).await;
    let told = || ledger::read_all(&bench.context.store).unwrap().remove(0);
    while told().state.fetched != Some(5) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let feed = told();
    let waiting: Vec<Progress> =
        feed.state.windows.iter().filter(|window| window.units > 0).map(|window| feed.progress(window)).collect();
    assert!(!waiting.is_empty() && waiting.iter().all(|progress| *progress == Progress::Fetched), "{feed:?}");
    assert_eq!((feed.fetched_until(), feed.acknowledged), (feed.state.listed_until(), 0));
    stalled.kill().await;
}
