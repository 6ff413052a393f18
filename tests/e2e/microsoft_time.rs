//! Long stretches of time: an outage of six days, one that was too long, and months.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::microsoft::{
    CONTENT_TYPES, Cloud, Collector, START, admin_address, audit_ids, check, gaps, pipeline, rows, small, source,
};
use crate::support::Scratch;

/// A folder with a pipeline that goes on, and the address of its admin endpoint.
fn follow(cloud: &Cloud) -> (Scratch, String) {
    let admin = admin_address();
    let keys = "start: 7d, interval: 5m, relist: 2d";
    let config = pipeline(&[("m365", source(cloud, "office365_management", keys))]);
    let scratch = Scratch::new();
    scratch.write("pipeline.yaml", format!("{config}\nadmin: {{ listen: '{admin}' }}\n"));
    (scratch, admin)
}

/// Everything that is there now arrives, while the clock goes on.
fn catch_up(cloud: &Cloud, (scratch, admin): (&Scratch, &str), collector: &mut Collector) -> BTreeSet<String> {
    let now = cloud.now();
    let published = audit_ids(&cloud.ledger(), |_| true);
    // Also what holds nothing new: it would expire in the next leaps.
    collector.until_delivered(scratch, admin, CONTENT_TYPES.len(), now);
    collector.until_in_lake(scratch, "m365", &published);
    published
}

/// What is in the lake after the collector was stopped: all that was waited for, perhaps more, nothing twice.
fn check_stopped(cloud: &Cloud, scratch: &Scratch, waited_for: &BTreeSet<String>) {
    let found = rows(scratch).remove("m365").unwrap();
    let published = audit_ids(&cloud.ledger(), |_| true);
    let arrived: BTreeSet<String> = found.iter().filter(|id| published.contains(*id)).cloned().collect();
    assert!(waited_for.is_subset(&arrived));
    check("m365", &found, &arrived);
    assert_eq!(gaps(scratch), (true, Vec::new()));
}

#[test]
fn an_outage_of_six_days() {
    let cloud = Cloud::start(small());
    let (scratch, admin) = follow(&cloud);
    let mut collector = Collector::start(&scratch);
    catch_up(&cloud, (&scratch, &admin), &mut collector);
    let refused = || -> u64 {
        let stats = cloud.stats();
        // When its token has died, a collector gets no further than the sign-in.
        ["login", "management"].iter().filter_map(|api| stats["requests"][api]["503"].as_u64()).sum()
    };
    cloud.outage(true);
    for _ in 0..6 {
        let before = refused();
        cloud.leap(24.0);
        collector.until(&scratch, "a request in the outage", || refused() > before);
    }
    cloud.outage(false);
    assert!(refused() >= 6);
    let published = catch_up(&cloud, (&scratch, &admin), &mut collector);
    collector.stop();
    check_stopped(&cloud, &scratch, &published);
}

#[test]
fn a_collector_that_was_off_for_nine_days_tells_what_it_missed() {
    let mut config = small();
    config.publishing.doubled_share = 0.0;
    let cloud = Cloud::start(config);
    let scratch = Scratch::new();
    let start: Timestamp = START.parse().unwrap();
    let end = start + SignedDuration::from_hours(9 * 24);
    let once = |until: Timestamp| {
        let keys = format!("start: 7d, mode: once, until: {until}");
        scratch.run_well(&pipeline(&[("m365", source(&cloud, "office365_management", &keys))]));
    };
    once(start);
    assert_eq!(gaps(&scratch), (true, Vec::new()));
    cloud.leap(9.0 * 24.0);
    once(end);
    // What was listed at the very edge may have expired before it was fetched: that is told, too, item by item.
    let (_, gaps) = gaps(&scratch);
    let (gaps, items): (Vec<_>, Vec<_>) = gaps.into_iter().partition(|gap| gap["items"] == 0);
    assert_eq!(gaps.len(), 5, "one for each content type: {gaps:?}");
    assert!(items.iter().all(|gap| gap["reason"] == "expired"), "{items:?}");
    let edge = items.iter().map(|gap| gap["end"].as_str().unwrap().parse::<Timestamp>().unwrap()).max();
    let time = |name: &str| -> BTreeSet<Timestamp> {
        gaps.iter().map(|gap| gap[name].as_str().unwrap().parse().unwrap()).collect()
    };
    let (from, to) = (time("start"), time("end"));
    assert_eq!(from, BTreeSet::from([start]));
    let oldest = end - SignedDuration::from_hours(7 * 24);
    assert!(to.iter().all(|to| (oldest..oldest + SignedDuration::from_hours(6)).contains(to)), "{to:?}");
    // Not a record outside of the gaps is missing.
    let (first, last) = (*to.first().unwrap(), *to.last().unwrap());
    // The last item is one of those that may be missing.
    let last = edge.map_or(last, |edge| last.max(edge + SignedDuration::from_secs(1)));
    assert!(last < oldest + SignedDuration::from_hours(6), "{items:?}");
    let ledger = cloud.ledger();
    let found = rows(&scratch).remove("m365").unwrap();
    let outside = audit_ids(&ledger, |line| line.available < start || (line.available >= last && line.available < end));
    assert!(outside.iter().all(|id| found.binary_search(id).is_ok()));
    let perhaps = audit_ids(&ledger, |line| line.available >= first && line.available < last);
    let expected = outside.into_iter().chain(perhaps.into_iter().filter(|id| found.binary_search(id).is_ok()));
    check("m365", &found, &expected.collect());
}

#[test]
fn a_subscription_that_somebody_stops_is_started_again_and_what_is_missing_is_told() {
    let mut config = small();
    config.publishing.doubled_share = 0.0;
    let cloud = Cloud::start(config);
    let (scratch, admin) = follow(&cloud);
    let mut collector = Collector::start(&scratch);
    catch_up(&cloud, (&scratch, &admin), &mut collector);
    cloud.stop_subscription("Audit.Exchange");
    let stopped = cloud.now();
    cloud.leap(6.0);
    let now = cloud.now();
    collector.until_delivered(&scratch, &admin, CONTENT_TYPES.len(), now);
    collector.stop();
    // Microsoft asks for a quarter of an hour between two starts, and would have refused an earlier one.
    assert_eq!(cloud.stats()["throttled"], 0);
    let found = rows(&scratch).remove("m365").unwrap();
    let (_, gaps) = gaps(&scratch);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["reason"], "not_subscribed");
    let time = |name: &str| gaps[0][name].as_str().unwrap().parse::<Timestamp>().unwrap();
    let gap = time("start")..time("end");
    assert!(gap.contains(&stopped) && gap.end.duration_since(stopped) > SignedDuration::from_hours(5), "{gap:?}");
    let ledger = cloud.ledger();
    let missing: Vec<_> = ledger
        .iter()
        .filter(|line| CONTENT_TYPES.contains(&line.feed.as_str()) && line.available < now)
        .filter(|line| found.binary_search(&line.id).is_err())
        .collect();
    assert!(missing.len() > 10, "{} are missing", missing.len());
    assert!(missing.iter().all(|line| line.feed == "Audit.Exchange" && gap.contains(&line.available)), "{missing:?}");
}

#[test]
fn three_months() {
    let mut config = small();
    config.tenants[0].events_per_day = 60;
    config.publishing.late_share = 0.1;
    config.publishing.doubled_share = 0.1;
    let cloud = Cloud::start(config);
    let (scratch, admin) = follow(&cloud);
    let start = cloud.now();
    let mut collector = Collector::start(&scratch);
    let mut published = catch_up(&cloud, (&scratch, &admin), &mut collector);
    for leap in 1..=18 {
        cloud.leap(5.0 * 24.0);
        published = catch_up(&cloud, (&scratch, &admin), &mut collector);
        // A restart now and then, in good order or not.
        match leap % 6 {
            2 => collector.stop(),
            5 => collector.kill(),
            _ => continue,
        }
        collector = Collector::start(&scratch);
    }
    collector.stop();
    assert!(cloud.now().duration_since(start) > SignedDuration::from_hours(90 * 24));
    assert!(cloud.happened("late") > 0 && cloud.happened("doubled") > 0);
    check_stopped(&cloud, &scratch, &published);
    eprintln!("{} records in three months", published.len());
}

#[test]
fn a_service_that_cuts_wide_windows_in_silence_loses_nothing() {
    let mut config = small();
    config.limits.management_partial_windows = true;
    let cloud = Cloud::start(config);
    let scratch = Scratch::new();
    let once = |until: Timestamp| {
        let keys = format!("start: 7d, mode: once, until: {until}");
        scratch.run_well(&pipeline(&[("m365", source(&cloud, "office365_management", &keys))]));
        let published = audit_ids(&cloud.ledger(), |line| line.available < until);
        check("m365", &rows(&scratch)["m365"], &published);
        assert_eq!(gaps(&scratch), (true, Vec::new()));
    };
    let start: Timestamp = START.parse().unwrap();
    once(start);
    // Three days without a collector: what is to be listed is wider than a window may be.
    cloud.leap(72.0);
    once(start + SignedDuration::from_hours(72));
}
