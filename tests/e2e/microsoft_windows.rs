//! Sources that read windows of time: what appears later, what changes, how far back a service goes, and clocks that
//! are wrong.

use std::collections::{BTreeMap, BTreeSet};

use downspout_simulator::License;
use jiff::{SignedDuration, Timestamp};

use crate::microsoft::{Cloud, Collector, START, check, gaps, pipeline, rows, small, source};
use crate::microsoft_sources::{eventful, ids};
use crate::support::{Scratch, stderr};

#[test]
fn a_subscription_that_appears_later_is_read_from_as_far_back_as_the_others() {
    let mut config = eventful();
    config.tenants[0].last_subscription_after_hours = Some(30.0);
    let cloud = Cloud::start(config);
    let scratch = Scratch::new();
    let keys = source(&cloud, "azure_activity", "start: 3d, discover_interval: 10m");
    scratch.write("pipeline.yaml", pipeline(&[("azure", keys)]));
    let mut collector = Collector::start(&scratch);
    let now = cloud.now();
    let mut feeds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in cloud.ledger() {
        if line.feed.starts_with("azureActivity.") && line.available <= now {
            feeds.entry(line.feed).or_default().insert(line.id);
        }
    }
    let found = || rows(&scratch).remove("azure").unwrap_or_default();
    let unread = |found: &[String]| -> Vec<&String> {
        let is_read = |ids: &BTreeSet<String>| ids.iter().all(|id| found.binary_search(id).is_ok());
        feeds.iter().filter(|(_, ids)| !is_read(ids)).map(|(feed, _)| feed).collect()
    };
    assert!(feeds.len() > 1, "{:?}", feeds.keys());
    collector.until(&scratch, "all subscriptions but one", || unread(&found()).len() == 1);
    let hidden = unread(&found())[0];
    assert!(feeds[hidden].iter().all(|id| found().binary_search(id).is_err()), "{hidden} can be seen");
    cloud.leap(31.0);
    collector.until_in_lake(&scratch, "azure", &feeds[hidden]);
    collector.stop();
    let published = ids(&cloud.ledger(), &["azureActivity."], |_| true);
    let found = found();
    check("azure", &found, &found.iter().filter(|id| published.contains(*id)).cloned().collect());
    assert_eq!(gaps(&scratch), (true, Vec::new()));
}

#[test]
fn a_sign_in_that_changes_passes_dedupe_once_more_and_its_copies_do_not() {
    let mut config = eventful();
    config.publishing.changed_share = 0.5;
    config.publishing.changed_seconds = 20 * 3_600;
    let cloud = Cloud::start(config);
    let scratch = Scratch::new();
    scratch.write("pipeline.yaml", pipeline(&[("signins", source(&cloud, "entra_signins", "start: 3d"))]));
    let mut collector = Collector::start(&scratch);
    let first = cloud.now();
    let there = ids(&cloud.ledger(), &["signIns."], |line| line.available <= first);
    collector.until_in_lake(&scratch, "signins", &there);
    // What changed before it was read came as it was by then.
    let read = cloud.now();
    // Killed in between, it reads and sends again what may not have arrived.
    collector.kill();
    let mut collector = Collector::start(&scratch);
    cloud.leap(26.0);
    let last = cloud.now();
    let changed = ids(&cloud.ledger(), &["signIns."], |line| {
        line.available <= first && line.replaced.is_some_and(|when| when > read && when <= last)
    });
    assert!(changed.len() > 10, "{} sign-ins have changed", changed.len());
    let times = |id: &String, found: &[String]| found.iter().filter(|other| *other == id).count();
    collector.until(&scratch, &format!("{} changed sign-ins", changed.len()), || {
        let found = rows(&scratch).remove("signins").unwrap_or_default();
        changed.iter().all(|id| times(id, &found) == 2)
    });
    collector.stop();
    let may_change = ids(&cloud.ledger(), &["signIns."], |line| line.replaced.is_some());
    let found = &rows(&scratch)["signins"];
    for id in &there {
        let most = if may_change.contains(id) { 2 } else { 1 };
        assert!((1..=most).contains(&times(id, found)), "{id}: {}", times(id, found));
    }
    assert_eq!(gaps(&scratch), (true, Vec::new()));
}

#[test]
fn what_a_tenant_without_a_licence_keeps_for_a_week_only_is_told_as_missing() {
    let mut config = small();
    config.tenants[0].license = License::Free;
    let cloud = Cloud::start(config);
    let scratch = Scratch::new();
    let once = |until: Timestamp| {
        let keys = source(&cloud, "entra_audits", &format!("logs: [directory], start: 7d, mode: once, until: {until}"));
        scratch.run_well(&pipeline(&[("audits", keys)]))
    };
    let start: Timestamp = START.parse().unwrap();
    let output = once(start);
    assert_eq!(gaps(&scratch), (true, Vec::new()));
    assert!(stderr(&output).contains("keeps the audit logs of Entra for 7 days"), "{}", stderr(&output));
    let end = cloud.leap(10.0 * 24.0);
    once(end);
    let (_, gaps) = gaps(&scratch);
    assert_eq!((gaps.len(), &gaps[0]["reason"]), (1, &"expired".into()), "{gaps:?}");
    let time = |name: &str| gaps[0][name].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(time("start"), start);
    let oldest = end - SignedDuration::from_hours(7 * 24);
    assert!((oldest..oldest + SignedDuration::from_hours(6)).contains(&time("end")), "{gaps:?}");
    // Not a record outside of the gap is missing.
    let found = rows(&scratch).remove("audits").unwrap();
    let outside = ids(&cloud.ledger(), &["directoryAudits"], |line| {
        line.available < start || (line.time >= time("end") && line.available < end)
    });
    let missing: Vec<_> = outside.iter().filter(|id| found.binary_search(id).is_err()).collect();
    assert!(missing.is_empty() && outside.len() > 10, "{missing:?} of {}", outside.len());
}

#[test]
fn a_read_from_the_very_edge_of_what_a_service_keeps_has_no_gap() {
    let cloud = Cloud::start(small());
    let scratch = Scratch::new();
    let kinds = ["message_trace", "azure_activity", "entra_audits"];
    let keys = |kind| source(&cloud, kind, &format!("start: 90d, mode: once, until: {START}"));
    let sources: Vec<_> = kinds.iter().map(|kind| (*kind, keys(kind))).collect();
    let output = scratch.run_well(&pipeline(&sources));
    assert_eq!(gaps(&scratch), (true, Vec::new()), "{}", stderr(&output));
    assert!(stderr(&output).contains("the service goes 90 days back, so reading begins there"), "{}", stderr(&output));
}

#[test]
fn a_clock_that_is_wrong_is_told_once_and_everything_is_collected() {
    for (skew, which) in [(900, "ahead of"), (-900, "behind")] {
        let mut config = eventful();
        config.clock.rate = 1.0;
        config.clock.skew_seconds = skew;
        let cloud = Cloud::start(config);
        let scratch = Scratch::new();
        let kinds = [
            ("entra_signins", "signIns.interactive"),
            ("message_trace", "messageTraces"),
            ("azure_activity", "azureActivity."),
        ];
        let keys = |kind: &str| {
            let logs = if kind == "entra_signins" { ", logs: [interactive]" } else { "" };
            source(&cloud, kind, &format!("start: 12h, mode: once{logs}"))
        };
        let sources: Vec<_> = kinds.iter().map(|(kind, _)| (*kind, keys(kind))).collect();
        // Of a message that goes to several people one trace has one id: here each counts.
        let output = scratch.run_well(&pipeline(&sources));
        let log = stderr(&output);
        let told = format!("s {which} the service's; set this machine's clock right");
        assert_eq!(log.matches(&told).count(), 1, "once for all sources: {log}");
        assert_eq!(gaps(&scratch), (true, Vec::new()), "{log}");
        let start: Timestamp = START.parse().unwrap();
        let ledger = cloud.ledger();
        for (kind, feed) in kinds {
            let plain = |ids: BTreeSet<String>| -> BTreeSet<String> {
                ids.iter().map(|id| id.split('/').next().unwrap().to_owned()).collect()
            };
            let found: BTreeSet<String> = rows(&scratch).remove(kind).unwrap_or_default().into_iter().collect();
            let expected = plain(ids(&ledger, &[feed], |line| {
                line.available <= start && line.time > start - SignedDuration::from_hours(11)
            }));
            assert!(
                !expected.is_empty() && expected.is_subset(&found),
                "{kind}: {} of {}",
                found.len(),
                expected.len()
            );
        }
    }
}
