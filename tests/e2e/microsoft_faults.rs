//! Each way in which the cloud can fail: it happens, and every record arrives once all the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::microsoft::{Cloud, START, audit_ids, check, gaps, pipeline, rows, small, source};
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
        r#"[{"kind":"html","api":"management","every":20},{"kind":"html","api":"management","every":40,"status":200}]"#,
    ),
    ("token_dies", r#"[{"kind":"token_dies","api":"management","every":12}]"#),
    ("redirect", r#"[{"kind":"redirect","api":"management","every":20}]"#),
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
