//! What expired in an outage, and is had from a search of the audit log: exactly that, and also when the search fails.

use std::collections::BTreeSet;
use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::microsoft::{Cloud, Collector, START, audit_ids, check, pipeline, rows, small, source};
use crate::support::{Scratch, stderr};

/// An outage that is longer than the feed keeps its content.
const OUTAGE_HOURS: i64 = 9 * 24;

fn start() -> Timestamp {
    START.parse().unwrap()
}

/// A pipeline with the source `m365`.
fn config(cloud: &Cloud, keys: &str) -> String {
    pipeline(&[("m365", source(cloud, "office365_management", &format!("start: 7d, {keys}")))])
}

/// What `downspout gaps` says: whether nothing is missing, and by what each gap was filled.
fn filled_by(scratch: &Scratch) -> (bool, BTreeSet<String>) {
    let output = scratch.downspout(&["gaps", "--json", "pipeline.yaml"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let feeds = report["feeds"].as_array().unwrap();
    let gaps = feeds.iter().flat_map(|feed| feed["gaps"].as_array().unwrap());
    (report["complete"] == true, gaps.map(|gap| gap["filled_by"].as_str().unwrap_or("nothing").to_owned()).collect())
}

#[test]
fn graph_gives_what_expired_of_the_configured_feeds_and_nothing_else() {
    let cloud = Cloud::start(small());
    let scratch = Scratch::new();
    let feeds = ["Audit.AzureActiveDirectory", "Audit.SharePoint"];
    let end = start() + SignedDuration::from_hours(OUTAGE_HOURS);
    let keys =
        |until: Timestamp| format!("content_types: [{}], recover: graph, mode: once, until: {until}", feeds.join(", "));
    scratch.run_well(&config(&cloud, &keys(start())));
    assert_eq!(filled_by(&scratch), (true, BTreeSet::new()));
    cloud.leap(OUTAGE_HOURS as f64);
    let output = scratch.run_well(&config(&cloud, &keys(end)));
    let expected = audit_ids(&cloud.ledger(), |line| feeds.contains(&line.feed.as_str()) && line.available < end);
    check("m365", &rows(&scratch)["m365"], &expected);
    assert_eq!(filled_by(&scratch), (true, BTreeSet::from(["unified_audit_search/graph".to_owned()])));
    let log = stderr(&output);
    let left_out = log.split("of other feeds were left out").next().unwrap().rsplit(' ').nth(1).unwrap();
    assert!(left_out.parse::<u64>().is_ok_and(|count| count > 100), "{log}");
}

#[test]
fn a_recovery_that_fails_does_so_soon_and_succeeds_at_a_later_look() {
    let cloud = Cloud::start(small());
    let scratch = Scratch::new();
    let once = config(&cloud, &format!("recover: exchange, mode: once, until: {START}"));
    scratch.run_well(&once);
    cloud.leap(OUTAGE_HOURS as f64);
    let published = audit_ids(&cloud.ledger(), |_| true);
    scratch.write("pipeline.yaml", config(&cloud, "recover: exchange, interval: 5m"));
    // A service that is down, and one that answers and gives nothing whole.
    cloud.faults(r#"[{"kind":"server_error","api":"exchange"}]"#);
    let mut collector = Collector::start(&scratch);
    let log = || fs::read_to_string(scratch.path("log")).unwrap_or_default();
    let failures = || log().matches("what is missing could not be had").count();
    collector.until(&scratch, "a recovery that fails", || failures() > 0);
    cloud.faults("[]");
    cloud.faults(r#"[{"kind":"search_index","api":"exchange"}]"#);
    collector.until(&scratch, "a recovery that is not believed", || log().contains("3 readings in a row were broken"));
    cloud.faults("[]");
    collector.until(&scratch, "a recovery", || log().contains("was recovered"));
    collector.until_in_lake(&scratch, "m365", &published);
    collector.stop();
    assert!(cloud.happened("search_index") > 0);
    let found = rows(&scratch).remove("m365").unwrap();
    let everything = audit_ids(&cloud.ledger(), |_| true);
    let arrived: BTreeSet<String> = found.iter().filter(|id| everything.contains(*id)).cloned().collect();
    assert!(published.is_subset(&arrived));
    check("m365", &found, &arrived);
    assert_eq!(filled_by(&scratch), (true, BTreeSet::from(["unified_audit_search/exchange".to_owned()])));
}
