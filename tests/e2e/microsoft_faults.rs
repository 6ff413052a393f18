//! Each way in which the cloud can fail: it happens, and every record arrives once all the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::microsoft::{Cloud, Collector, Published, START, audit_ids, check, gaps, pipeline, rows, small, source};
use crate::support::{Scratch, stderr};

/// Name, and rules; most end by themselves, so that no blob is damaged more often than the collector puts up with.
const FAULTS: &[(&str, &str)] = &[
    ("throttle", r#"[{"kind":"throttle","api":"management","every":40,"burst":12,"seconds":20,"limit":6}]"#),
    ("throttle", r#"[{"kind":"throttle","api":"management","every":60,"burst":3,"limit":3,"status":429}]"#),
    ("server_error", r#"[{"kind":"server_error","every":4}]"#),
    ("timeout", r#"[{"kind":"timeout","api":"management","every":50,"limit":4}]"#),
    ("reset", r#"[{"kind":"reset","api":"management","every":4}]"#),
    ("truncate", r#"[{"kind":"truncate","api":"management","every":40}]"#),
    ("invalid_json", r#"[{"kind":"invalid_json","api":"management","every":40}]"#),
    ("bad_encoding", r#"[{"kind":"bad_encoding","api":"management","every":40}]"#),
    (
        "html",
        r#"[{"kind":"html","api":"management","every":20},{"kind":"html","api":"management","every":40,"status":200},{"kind":"html","api":"login","limit":2,"status":200}]"#,
    ),
    ("token_dies", r#"[{"kind":"token_dies","api":"management","every":12}]"#),
    (
        "error_code",
        r#"[{"kind":"error_code","api":"management","every":9,"code":50005},{"kind":"error_code","api":"management","every":10,"code":50006}]"#,
    ),
    ("redirect", r#"[{"kind":"redirect","api":"management","every":20},{"kind":"redirect","api":"login","limit":1}]"#),
    ("hostile_link", r#"[{"kind":"hostile_link","every":12}]"#),
    ("repeat_page", r#"[{"kind":"repeat_page","every":3}]"#),
    ("empty_page", r#"[{"kind":"empty_page","every":3}]"#),
];

/// The sources of a run: what was published up to the start, asked for with little patience.
fn config(cloud: &Cloud) -> String {
    let keys = source(cloud, "office365_management", &format!("start: 7d, mode: once, until: {START}"));
    let keys = keys.replace("cloud: { simulator", "cloud: { timeout: 1s, simulator");
    pipeline(&[("m365", keys)])
}

fn published(cloud: &Cloud) -> BTreeSet<String> {
    audit_ids(&cloud.ledger(), |line| line.available < START.parse().unwrap())
}

fn cloud() -> Cloud {
    let mut config = small();
    config.publishing.late_share = 0.1;
    config.publishing.doubled_share = 0.1;
    Cloud::start(config)
}

#[test]
fn every_record_arrives_once_whatever_goes_wrong() {
    let cloud = cloud();
    let expected = published(&cloud);
    for kind in ["late", "doubled", "shuffled"] {
        assert!(cloud.happened(kind) > 0, "{kind} was configured, and never happened");
    }
    for (kind, rules) in FAULTS {
        let before = cloud.happened(kind);
        cloud.faults(rules);
        let scratch = Scratch::new();
        let output = scratch.run(&config(&cloud));
        let happened = cloud.happened(kind) - before;
        cloud.faults("[]");
        assert!(output.status.success(), "{kind}: {}", stderr(&output));
        assert!(happened > 0, "{kind} was configured, and never happened");
        check(rules, &rows(&scratch)["m365"], &expected);
        assert_eq!(gaps(&scratch), (true, Vec::new()), "{kind}: {}", stderr(&output));
        assert!(scratch.dead_letters("data").is_empty(), "{kind}");
        cloud.no_token_abroad();
        eprintln!("{kind}: {happened} times");
    }
    cloud.every_fault_happened();
}

#[test]
fn a_hostile_address_gets_no_token_and_is_told() {
    let cloud = cloud();
    let expected = published(&cloud);
    cloud.faults(r#"[{"kind":"hostile_uri","every":4}]"#);
    let scratch = Scratch::new();
    scratch.run_well(&config(&cloud));
    let happened = cloud.happened("hostile_uri");
    assert!(happened > 0, "it was configured, and never happened");
    cloud.no_token_abroad();
    check("m365", &rows(&scratch)["m365"], &expected);
    let (complete, gaps) = gaps(&scratch);
    assert!(!complete);
    let items: u64 = gaps.iter().map(|gap| gap["items"].as_u64().unwrap()).sum();
    assert!(gaps.iter().all(|gap| gap["reason"] == "foreign_address"), "{gaps:?}");
    // The same lure may be listed again.
    assert!((1..=happened).contains(&items), "{items} of {happened}: {gaps:?}");
}

#[test]
fn content_that_expired_unread_is_told_and_nothing_else_is_missing() {
    let mut config_of_cloud = small();
    config_of_cloud.publishing.early_expiry_share = 0.2;
    // A record in two blobs would survive the end of one.
    config_of_cloud.publishing.doubled_share = 0.0;
    let cloud = Cloud::start(config_of_cloud);
    let scratch = Scratch::new();
    scratch.run_well(&config(&cloud));
    assert!(cloud.happened("early_expiry") > 0, "it was configured, and never happened");
    let (start, end) = (START.parse().unwrap(), cloud.now());
    let ledger: Vec<_> = cloud.ledger().into_iter().filter(|line| line.available < start).collect();
    let found: BTreeSet<String> = rows(&scratch).remove("m365").unwrap().into_iter().collect();
    let (gone, left) =
        (audit_ids(&ledger, |line| line.expires <= start), audit_ids(&ledger, |line| line.expires > end));
    assert!(gone.len() > 20 && gone.is_disjoint(&found), "{} expired", gone.len());
    assert!(left.is_subset(&found), "{:?} are missing", left.difference(&found).take(3).collect::<Vec<_>>());

    // What is missing is what the gaps say.
    let (complete, gaps) = gaps(&scratch);
    assert!(!complete && gaps.iter().all(|gap| gap["reason"] == "expired"), "{gaps:?}");
    let time = |gap: &Value, end: &str| gap[end].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let told = |at| gaps.iter().any(|gap| time(gap, "start") <= at && at <= time(gap, "end"));
    let untold: Vec<_> = ledger.iter().filter(|line| gone.contains(&line.id) && !told(line.available)).collect();
    assert!(untold.is_empty(), "{untold:?}");
}

#[test]
fn content_that_is_gone_is_told_and_nothing_else_is_missing() {
    let mut config_of_cloud = small();
    config_of_cloud.publishing.doubled_share = 0.0;
    let cloud = Cloud::start(config_of_cloud);
    cloud.faults(r#"[{"kind":"content_gone","every":9}]"#);
    let scratch = Scratch::new();
    scratch.run_well(&config(&cloud));
    let happened = cloud.happened("content_gone");
    assert!(happened > 10, "it was configured, and happened {happened} times");
    let (complete, gaps) = gaps(&scratch);
    assert!(!complete && gaps.iter().all(|gap| gap["reason"] == "expired"), "{gaps:?}");
    assert_eq!(gaps.iter().map(|gap| gap["items"].as_u64().unwrap()).sum::<u64>(), happened);
    let told: BTreeSet<jiff::Timestamp> =
        gaps.iter().map(|gap| gap["start"].as_str().unwrap().parse().unwrap()).collect();
    let ledger = cloud.ledger();
    let expected = published(&cloud);
    let found = rows(&scratch).remove("m365").unwrap();
    let untold = |line: &&Published| {
        expected.contains(&line.id) && found.binary_search(&line.id).is_err() && !told.contains(&line.available)
    };
    assert_eq!(audit_ids(&ledger, |line| untold(&line)), BTreeSet::new());
}

#[test]
fn a_blob_of_which_a_listing_shows_a_part_is_collected_whole() {
    let mut config_of_cloud = small();
    // The third window begins two seconds before the first, counted by the clock: as a blob becomes available, which the
    // second one has shown whole. Time goes slowly, so that it does not matter how long the collector takes to start.
    config_of_cloud.clock.start = Some("2026-01-07T12:00:03Z".parse().unwrap());
    config_of_cloud.clock.rate = 0.02;
    config_of_cloud.limits.management_per_minute = 0;
    config_of_cloud.publishing.interval_seconds = 3_600;
    let cloud = Cloud::start(config_of_cloud);
    cloud.faults(r#"[{"kind":"partial_blob"}]"#);
    let keys = format!("start: 3d, mode: once, until: {START}, requests_per_minute: 100000");
    let keys = source(&cloud, "office365_management", &keys);
    let scratch = Scratch::new();
    scratch.run_well(&pipeline(&[("m365", keys)]));
    assert!(cloud.happened("partial_blob") > 0, "it was configured, and never happened");
    check("m365", &rows(&scratch)["m365"], &published(&cloud));
    assert_eq!(gaps(&scratch), (true, Vec::new()));
}

#[test]
fn a_subscription_that_has_nothing_to_list_for_half_a_day_loses_nothing() {
    let mut config_of_cloud = small();
    config_of_cloud.publishing.first_content_seconds = 12 * 3_600;
    let cloud = Cloud::start(config_of_cloud);
    let scratch = Scratch::new();
    scratch.write(
        "pipeline.yaml",
        pipeline(&[("m365", source(&cloud, "office365_management", "start: 3d, interval: 5m"))]),
    );
    let mut collector = Collector::start(&scratch);
    let asked = || cloud.stats()["requests"]["management"]["200"].as_u64().unwrap_or(0);
    collector.until(&scratch, "listings that are empty", || asked() > 30);
    assert!(rows(&scratch).is_empty());
    cloud.leap(13.0);
    let expected = audit_ids(&cloud.ledger(), |_| true);
    collector.until_in_lake(&scratch, "m365", &expected);
    collector.stop();
    assert_eq!(gaps(&scratch), (true, Vec::new()));
}
