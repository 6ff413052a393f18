//! Listings whose pages come damaged.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Blobs of one hour, which are more than a page.
fn publish(service: &Service, count: u32) {
    for number in 0..count {
        service.publish(EXCHANGE, &format!("b{number:02}"), 1, HOUR * 2 - Duration::from_secs(number.into()));
    }
}

fn is_list(hit: &Hit) -> bool {
    hit.path.ends_with("/subscriptions/content")
}

#[tokio::test]
async fn a_long_list_is_read_though_every_page_comes_damaged_again_and_again() {
    let (asked, mut tries) = (Arc::new(AtomicUsize::new(0)), BTreeMap::new());
    let count = Arc::clone(&asked);
    let service = service(move |hit, _| {
        if !is_list(hit) {
            return None;
        }
        count.fetch_add(1, Ordering::Relaxed);
        let page = (hit.parameter("startTime").to_owned(), hit.parameter("nextPage").to_owned());
        let tries = tries.entry(page).or_insert(0);
        *tries += 1;
        (*tries % 4 != 0).then(|| Reply::new(200, "[{\"contentId\":\"b0"))
    })
    .await;
    publish(&service, 60);
    let bench = Bench::new();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE).len()), (None, 60));
    // 20 pages and the empty ones of other days, each four times, and those that are read again as the last ones.
    assert!(asked.load(Ordering::Relaxed) < 4 * 2 * 30, "{asked:?}");
}

#[tokio::test]
async fn a_page_that_stays_damaged_ends_the_read_and_the_next_run_goes_on_from_there() {
    let healed = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&healed);
    let service = service(move |hit, _| {
        let damaged = is_list(hit) && hit.parameter("nextPage") == "30" && !broken.load(Ordering::Relaxed);
        damaged.then(|| Reply::new(200, "[{\"contentId\":\"b0"))
    })
    .await;
    publish(&service, 60);
    let bench = Bench::new();
    let first = bench.run(&service, no_keys(), Until::End).await;
    let told = first.error.clone().unwrap_or_default();
    assert!(told.contains("Audit.Exchange: office365_management: invalid_json"), "{told}");
    assert!(told.contains("the next run goes on from there"), "{told}");
    assert_eq!(first.ids(EXCHANGE).len(), 30);
    healed.store(true, Ordering::Relaxed);
    let second = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!(second.error, None);
    let mut all = [first.ids(EXCHANGE), second.ids(EXCHANGE)].concat();
    all.sort();
    assert_eq!(all, (0..60).map(|number| format!("b{number:02}-0")).collect::<Vec<_>>());
    assert_eq!(bench.gaps(), []);
}
