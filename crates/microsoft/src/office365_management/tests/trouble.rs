//! Trouble with one blob: the others are delivered all the same, and what is missing is told with Microsoft's words.

use super::*;

/// Two blobs, of which the first has trouble; it is that old.
async fn two(ago: Duration, reply: Reply) -> Service {
    let service = service(move |hit, _| hit.path.contains("/audit/bad").then(|| reply.clone())).await;
    service.publish(EXCHANGE, "bad", 1, ago);
    service.publish(EXCHANGE, "fine", 1, HOUR);
    service
}

#[tokio::test]
async fn a_refusal_of_one_blob_is_noted_after_some_minutes_and_the_feed_goes_on() {
    let refusals = [
        (Reply::af(400, "AF20020"), "AF20020"),
        (Reply::af(400, "AF20002"), "AF20002"),
        (Reply::af(410, "AF29999"), "AF29999"),
        (Reply::new(400, "no way"), "no way"),
    ];
    for (reply, words) in refusals {
        let service = two(HOUR * 2, reply).await;
        let bench = Bench::new();
        let arrived = bench.run(&service, no_keys(), Until::End).await;
        assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE)), (None, vec!["fine-0".to_owned()]));
        let gaps = bench.gaps();
        assert!(matches!(&gaps[..], [(Reason::NotAvailable, told)] if told.contains(words)), "{gaps:?}");
        let asked = service.server.asked().iter().filter(|line| line.contains("/audit/bad")).count();
        assert!((5..40).contains(&asked), "{asked}");
        assert!(service.clock.now() >= plus(start(), Duration::from_secs(300)));
    }
}

#[tokio::test]
async fn a_refusal_that_ends_is_forgotten() {
    let mut left = 4;
    let service = service(move |hit, _| {
        let refused = hit.path.contains("/audit/bad") && left > 0;
        left -= i32::from(refused);
        refused.then(|| Reply::af(400, "AF20020"))
    })
    .await;
    service.publish(EXCHANGE, "bad", 1, HOUR);
    let bench = Bench::new();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE)), (None, vec!["bad-0".to_owned()]));
    assert_eq!(bench.gaps(), []);
}

#[tokio::test]
async fn a_refusal_of_the_tenant_ends_the_feed_and_nothing_is_missing() {
    let off = "Microsoft.Office.Compliance.Audit.DataServiceException: Tenant 1 does not exist.";
    let refusals =
        [Reply::af(401, "AF10001"), Reply::af(403, "AF20010"), Reply::new(400, off), Reply::new(403, "not allowed")];
    for reply in refusals {
        let service = two(HOUR * 2, reply).await;
        let bench = Bench::new();
        let error = bench.run(&service, no_keys(), Until::End).await.error.unwrap_or_default();
        assert!(error.contains("content bad$bad$audit") && error.contains("stands still"), "{error}");
        assert_eq!(bench.gaps(), []);
    }
}

#[tokio::test]
async fn trouble_that_does_not_pass_ends_when_the_content_expires() {
    for reply in [Reply::af(500, "AF50000"), Reply::new(503, "down")] {
        let words = String::from_utf8(reply.body.clone()).unwrap();
        // Ten minutes before its end.
        let service = two(DAY * 7 - Duration::from_secs(600), reply).await;
        let bench = Bench::new();
        let arrived = bench.run(&service, no_keys(), Until::End).await;
        assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE)), (None, vec!["fine-0".to_owned()]));
        let gaps = bench.gaps();
        let word = if words.contains("AF50000") { "AF50000" } else { "HTTP 503" };
        assert!(matches!(&gaps[..], [(Reason::Expired, told)] if told.contains(word)), "{gaps:?}");
    }
}

#[tokio::test]
async fn a_copy_that_cannot_be_read_is_fetched_from_the_service() {
    let service = service(|hit, tenant| {
        // It does not expire, however far the time leaps.
        let blob = tenant.blobs.iter().find(|blob| hit.path.ends_with(&blob.id));
        blob.map(|blob| Reply::new(200, blob.body.clone()))
    })
    .await;
    for number in 0..3 {
        service.publish(EXCHANGE, &format!("b{number}"), 50, DAY * 6 + HOUR * (10 - number));
    }
    let bench = Bench::new();
    let stalled = bench.stall(&service).await;
    let told = || ledger::read_all(&bench.context.store).unwrap().remove(0);
    let copy = bench.context.store.folder().join("spool/m365").join(TENANT).join(EXCHANGE).join("2.zst");
    while !copy.exists() || told().state.fetched != Some(3) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stalled.kill().await;
    let whole = std::fs::read(&copy).unwrap();
    std::fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE).len()), (None, 150));
    assert_eq!(bench.gaps(), []);
}

#[tokio::test]
async fn a_window_that_became_too_old_while_it_was_asked_for_is_a_gap() {
    let clock = Clock::leaping(start());
    let (time, mut listings) = (clock.clone(), 0);
    let hook = move |hit: &Hit, _: &mut service::Tenant| {
        listings += usize::from(hit.path.ends_with("/subscriptions/content"));
        if listings == 1 {
            // The first answer takes an hour.
            listings += 1;
            time.advance(HOUR);
        }
        None
    };
    let service = Service::start(clock, Box::new(hook)).await;
    service.publish(EXCHANGE, "fine", 1, HOUR);
    let bench = Bench::new();
    let arrived = bench.run(&service, no_keys(), Until::End).await;
    assert_eq!((arrived.error.as_deref(), arrived.ids(EXCHANGE)), (None, vec!["fine-0".to_owned()]));
    let gap = ledger::read_all(&bench.context.store).unwrap()[0].state.gaps[0].clone();
    assert!(gap.reason == Reason::Expired && gap.detail.contains("AF20055"), "{gap:?}");
    let length = crate::clock::between(gap.start, gap.end);
    assert!(length >= HOUR && length < HOUR + Duration::from_secs(60), "{gap:?}");
}

#[tokio::test]
async fn what_was_missed_without_a_subscription_is_a_gap_though_the_answer_to_its_start_was_lost() {
    // The next run finds the subscription; or asks for it again, and hears that it is there.
    for listed in [true, false] {
        let mut starts = 0;
        let service = service(move |hit, tenant| {
            if hit.path.ends_with("/subscriptions/start") {
                starts += 1;
                if starts == 2 {
                    tenant.subscribed.insert(EXCHANGE.to_owned(), true);
                    return Some(Reply::new(400, "lost"));
                }
                return (starts > 2).then(|| Reply::af(400, "AF20024"));
            }
            let hidden = !listed && starts == 2 && hit.path.ends_with("/subscriptions/list");
            hidden.then(|| Reply::json(&serde_json::json!([])))
        })
        .await;
        let bench = Bench::new();
        assert_eq!(bench.run(&service, no_keys(), Until::End).await.error, None);
        let until = ledger::read_all(&bench.context.store).unwrap()[0].state.listed_until().unwrap();
        service.clock.sleep(DAY).await;
        service.tenant.lock().unwrap().subscribed.clear();
        assert!(bench.run(&service, no_keys(), Until::End).await.error.is_some());
        assert_eq!(bench.gaps(), []);
        for _ in 0..2 {
            assert_eq!(bench.run(&service, no_keys(), Until::End).await.error, None);
            let gaps = ledger::read_all(&bench.context.store).unwrap().remove(0).state.gaps;
            assert_eq!((gaps.len(), gaps[0].reason, gaps[0].start), (1, Reason::NotSubscribed, until));
        }
    }
}
