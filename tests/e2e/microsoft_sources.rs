//! The other logs: sign-ins, audits, mail, Azure, Azure DevOps, and searches, each against the ledger of its feeds.

use std::collections::BTreeSet;

use downspout_simulator::{AttackEntry, Config};
use jiff::{SignedDuration, Timestamp};

use crate::microsoft::{CONTENT_TYPES, Cloud, Collector, Published, START, check, gaps, pipeline, rows, small, source};
use crate::support::{Scratch, stderr};

/// Each source, and the beginnings of its feeds' names in the ledger.
pub(crate) const SOURCES: &[(&str, &[&str])] = &[
    ("entra_signins", &["signIns."]),
    ("entra_audits", &["directoryAudits", "provisioning", "riskDetections"]),
    ("message_trace", &["messageTraces"]),
    ("azure_activity", &["azureActivity."]),
    ("azure_devops_audit", &["azureDevOps."]),
    ("mailbox_audit", &["mailboxAudit"]),
];

/// Faults that every one of these services may have. Which ones strike which service is checked below.
const FAULTS: &[(&str, &str)] = &[
    ("throttle", r#"{"kind":"throttle","every":15,"burst":2,"seconds":5,"limit":8}"#),
    ("server_error", r#"{"kind":"server_error","every":7}"#),
    ("timeout", r#"{"kind":"timeout","every":20,"limit":4}"#),
    ("reset", r#"{"kind":"reset","every":8}"#),
    ("truncate", r#"{"kind":"truncate","every":40}"#),
    ("invalid_json", r#"{"kind":"invalid_json","every":41}"#),
    ("bad_encoding", r#"{"kind":"bad_encoding","every":43}"#),
    ("html", r#"{"kind":"html","api":"graph","every":33}"#),
    ("redirect", r#"{"kind":"redirect","api":"graph","every":47}"#),
    ("slow_down", r#"{"kind":"slow_down","every":2,"seconds":5}"#),
    ("token_dies", r#"{"kind":"token_dies","every":21}"#),
    ("hostile_link", r#"{"kind":"hostile_link","every":3,"limit":4}"#),
    ("repeat_page", r#"{"kind":"repeat_page","every":3}"#),
    ("empty_page", r#"{"kind":"empty_page","every":4}"#),
];

/// The ids of the ledger's records in some feeds.
pub(crate) fn ids(ledger: &[Published], feeds: &[&str], wanted: impl Fn(&Published) -> bool) -> BTreeSet<String> {
    let lines = ledger.iter().filter(|line| feeds.iter().any(|feed| line.feed.starts_with(feed)) && wanted(line));
    lines.map(|line| line.id.clone()).collect()
}

/// By then everything up to eight hours ago has turned up, however late.
fn until() -> Timestamp {
    START.parse::<Timestamp>().unwrap() - SignedDuration::from_hours(8)
}

pub(crate) fn once(cloud: &Cloud, kind: &str, more: &str) -> String {
    let keys = source(cloud, kind, &format!("start: 7d, mode: once, until: '{}'{more}", until()));
    keys.replace("cloud: { simulator", "cloud: { timeout: 1s, simulator")
}

pub(crate) fn check_source(name: &str, scratch: &Scratch, ledger: &[Published], feeds: &[&str]) {
    let mut found = rows(scratch).remove(name).unwrap_or_default();
    if name == "message_trace" {
        // One message has a trace for each recipient, all with its id; the ledger tells them apart.
        let published = ids(ledger, feeds, |line| line.time < until());
        let message = |id: &String| id.split('/').next().unwrap_or_default().to_owned();
        let mut messages: Vec<String> = published.iter().map(message).collect();
        messages.sort();
        if found == messages {
            found = published.into_iter().collect();
        }
    }
    let mut expected = ids(ledger, feeds, |line| line.time < until());
    // Windows end at a whole second, which belongs to them.
    let edge = ids(ledger, feeds, |line| line.time >= until() && line.time < until() + SignedDuration::from_secs(1));
    expected.extend(edge.into_iter().filter(|id| found.binary_search(id).is_ok()));
    check(name, &found, &expected);
}

/// A tenant to which everything has happened: attackers leave traces in logs that stay empty otherwise.
pub(crate) fn eventful() -> Config {
    let mut config = small();
    config.tenants[0].attacks = vec![AttackEntry { after_hours: 1.0, ..AttackEntry::default() }];
    config
}

#[test]
fn every_log_is_collected_whole() {
    let cloud = Cloud::start(eventful());
    let scratch = Scratch::new();
    let sources: Vec<(&str, String)> = SOURCES.iter().map(|(name, _)| (*name, once(&cloud, name, ""))).collect();
    let output = scratch.run_well(&pipeline(&sources));
    let ledger = cloud.ledger();
    for (name, feeds) in SOURCES {
        check_source(name, &scratch, &ledger, feeds);
    }
    assert_eq!(gaps(&scratch), (true, Vec::new()), "{}", stderr(&output));
    assert!(scratch.dead_letters("data").is_empty());
    // A client that did not ask for members that came later would have been given other words for them.
    assert_eq!(cloud.happened("unknown_enum"), 0);
}

#[test]
fn every_log_is_collected_whole_whatever_goes_wrong() {
    let mut config = eventful();
    config.publishing.late_share = 0.1;
    // Many pages.
    config.tenants[0].events_per_day = 2_000;
    config.limits.azure_page = 5;
    let cloud = Cloud::start(config);
    let rules: Vec<&str> = FAULTS.iter().map(|(_, rule)| *rule).collect();
    cloud.faults(&format!("[{}]", rules.join(",")));
    let scratch = Scratch::new();
    // A search that fails is a reading that agrees with no other.
    let more = |name: &str| if name == "mailbox_audit" { ", max_passes: 12" } else { "" };
    let sources = SOURCES.iter().map(|(name, _)| (*name, once(&cloud, name, more(name))));
    let output = scratch.run_well(&pipeline(&sources.collect::<Vec<_>>()));
    let ledger = cloud.ledger();
    for (name, feeds) in SOURCES {
        check_source(name, &scratch, &ledger, feeds);
    }
    cloud.every_fault_happened();
    cloud.no_token_abroad();
    assert_eq!(gaps(&scratch), (true, Vec::new()), "{}", stderr(&output));
    assert!(scratch.dead_letters("data").is_empty());
}

/// Each log once more, with keys that make many pages, and the faults that no request for it can meet: its service has no
/// such pages or links.
const ALONE: &[(&str, &[&str], &str, &[&str])] = &[
    ("entra_signins", &["signIns."], "", &["slow_down"]),
    ("entra_audits", &["directoryAudits", "provisioning", "riskDetections"], "", &["slow_down"]),
    ("message_trace", &["messageTraces"], "", &["slow_down"]),
    ("azure_activity", &["azureActivity."], "", &["slow_down", "repeat_page", "empty_page"]),
    ("azure_devops_audit", &["azureDevOps."], ", batch_size: 1", &["hostile_link"]),
    (
        "mailbox_audit",
        &["mailboxAudit"],
        ", max_passes: 12",
        &["slow_down", "hostile_link", "repeat_page", "empty_page"],
    ),
    ("unified_audit_search", &CONTENT_TYPES, ", backend: graph, max_passes: 12", &["slow_down"]),
    (
        "unified_audit_search",
        &CONTENT_TYPES,
        ", backend: exchange, max_passes: 12",
        &["slow_down", "hostile_link", "repeat_page", "empty_page"],
    ),
];

#[test]
fn every_log_by_itself_is_collected_whole_whatever_goes_wrong() {
    for (name, feeds, more, impossible) in ALONE {
        let mut config = eventful();
        (config.limits.graph_page, config.limits.azure_page) = (3, 1);
        let cloud = Cloud::start(config);
        let kinds = FAULTS.iter().rev().map(|(kind, _)| *kind).filter(|kind| !impossible.contains(kind));
        let rule = |(every, kind)| format!(r#"{{"kind":"{kind}","every":{every},"limit":2,"seconds":2}}"#);
        cloud.faults(&format!("[{}]", (2..).zip(kinds).map(rule).collect::<Vec<_>>().join(",")));
        let scratch = Scratch::new();
        let output = scratch.run(&pipeline(&[(name, once(&cloud, name, more))]));
        assert!(output.status.success(), "{name}{more}: {}", stderr(&output));
        check_source(name, &scratch, &cloud.ledger(), feeds);
        cloud.every_fault_happened();
        cloud.no_token_abroad();
        assert_eq!(gaps(&scratch), (true, Vec::new()), "{name}{more}: {}", stderr(&output));
        assert!(scratch.dead_letters("data").is_empty(), "{name}{more}");
    }
}

#[test]
fn searches_find_everything_in_whatever_way_they_lie() {
    let cloud = Cloud::start(small());
    for (backend, rules) in [
        ("graph", ""),
        ("exchange", ""),
        (
            "graph",
            r#"[{"kind":"short_page","every":3,"limit":3},{"kind":"query_fails","limit":2},{"kind":"query_truncated","limit":2}]"#,
        ),
        ("graph", r#"[{"kind":"lossy_page","limit":1},{"kind":"wrong_count","every":3,"limit":3}]"#),
        (
            "exchange",
            r#"[{"kind":"search_index","every":5,"limit":3},{"kind":"search_short","every":7,"limit":3},{"kind":"search_empty","every":9,"limit":3}]"#,
        ),
    ] {
        if !rules.is_empty() {
            cloud.faults(rules);
        }
        let scratch = Scratch::new();
        let keys = once(&cloud, "unified_audit_search", &format!(", backend: {backend}"));
        let output = scratch.run_well(&pipeline(&[("search", keys)]));
        cloud.faults("[]");
        check_source("search", &scratch, &cloud.ledger(), &CONTENT_TYPES);
        assert_eq!(gaps(&scratch), (true, Vec::new()), "{backend}: {}", stderr(&output));
    }
    cloud.every_fault_happened();
}

#[test]
fn cmdlets_that_answer_in_small_pages_give_everything_all_the_same() {
    for links in [true, false] {
        let mut config = eventful();
        config.limits.exchange_page = 7;
        config.limits.exchange_links = links;
        let cloud = Cloud::start(config);
        let scratch = Scratch::new();
        let search = once(&cloud, "unified_audit_search", ", backend: exchange");
        scratch.run_well(&pipeline(&[("search", search)]));
        check_source("search", &scratch, &cloud.ledger(), &CONTENT_TYPES);
        assert_eq!(gaps(&scratch), (true, Vec::new()));

        // The list of mailboxes has no other way to its second page than the link.
        let scratch = Scratch::new();
        let output = scratch.run(&pipeline(&[("mailbox_audit", once(&cloud, "mailbox_audit", ""))]));
        if links {
            assert!(output.status.success(), "{}", stderr(&output));
            check_source("mailbox_audit", &scratch, &cloud.ledger(), &["mailboxAudit"]);
        } else {
            let log = stderr(&output);
            assert!(
                log.contains("Expired or Invalid pagination request") && log.contains("name them in `mailboxes`"),
                "{log}"
            );
            assert_eq!(output.status.code(), Some(1), "{log}");
        }
    }
}

#[test]
fn records_that_change_arrive_again_as_they_are_now() {
    let mut config = eventful();
    config.publishing.changed_share = 0.5;
    config.publishing.changed_seconds = 20 * 3_600;
    let cloud = Cloud::start(config);
    let scratch = Scratch::new();
    let kinds = [("entra_signins", "signIns."), ("entra_audits", "riskDetections"), ("message_trace", "messageTraces")];
    let sources: Vec<(&str, String)> =
        kinds.iter().map(|(kind, _)| (*kind, source(&cloud, kind, "start: 3d"))).collect();
    // Nothing is dropped here: what comes again must have changed.
    let config =
        pipeline(&sources).replace("type: dedupe, inputs: [flat], horizon: 400d", "type: flatten, inputs: [flat]");
    scratch.write("pipeline.yaml", config);
    let mut collector = Collector::start(&scratch);
    let first = cloud.now();
    for (kind, feed) in kinds {
        let there = ids(&cloud.ledger(), &[feed], |line| line.available <= first);
        let there = there.iter().map(|id| id.split('/').next().unwrap().to_owned()).collect();
        collector.until_in_lake(&scratch, kind, &there);
    }
    // What changed before it was read came as it was by then.
    let read = cloud.now();
    cloud.leap(26.0);
    let last = cloud.now();
    for (kind, feed) in kinds {
        let changed =
            |line: &Published| line.available <= first && line.replaced.is_some_and(|when| when > read && when <= last);
        let changed = ids(&cloud.ledger(), &[feed], changed);
        assert!(!changed.is_empty(), "nothing of {kind} has changed");
        let twice = |id: &String, found: &[String]| {
            let id = id.split('/').next().unwrap();
            found.iter().filter(|other| *other == id).count() >= 2
        };
        collector.until(&scratch, &format!("{} changed records of {kind}", changed.len()), || {
            let found = rows(&scratch).remove(kind).unwrap_or_default();
            changed.iter().all(|id| twice(id, &found))
        });
    }
    collector.stop();
    // Of the sign-ins that did not change none has come twice.
    let same = ids(&cloud.ledger(), &["signIns."], |line| line.replaced.is_none());
    let changed = ids(&cloud.ledger(), &["signIns."], |line| line.replaced.is_some());
    let found = &rows(&scratch)["entra_signins"];
    let doubled: Vec<_> = found.windows(2).filter(|two| two[0] == two[1] && !changed.contains(&two[0])).collect();
    assert!(doubled.is_empty() && same.len() > 10, "{doubled:?}");
}

#[test]
fn late_records_are_found_while_time_goes_on() {
    let mut config = small();
    config.publishing.late_share = 0.3;
    let cloud = Cloud::start(config);
    let scratch = Scratch::new();
    let kinds = ["entra_signins", "entra_audits", "azure_activity", "azure_devops_audit"];
    let sources: Vec<(&str, String)> = kinds.iter().map(|kind| (*kind, source(&cloud, kind, "start: 3d"))).collect();
    scratch.write("pipeline.yaml", pipeline(&sources));
    let mut collector = Collector::start(&scratch);
    let all = |before: Timestamp| -> Vec<(&str, BTreeSet<String>)> {
        let ledger = cloud.ledger();
        let feeds = SOURCES.iter().filter(|(name, _)| kinds.contains(name));
        feeds.map(|(name, feeds)| (*name, ids(&ledger, feeds, |line| line.time < before))).collect()
    };
    // What is there at each of these moments is collected, the late ones to come are not there yet.
    for _ in 0..4 {
        for (name, expected) in all(cloud.now()) {
            collector.until_in_lake(&scratch, name, &expected);
        }
        cloud.leap(3.0);
    }
    // A day later every stretch is read again.
    let before = cloud.now();
    cloud.leap(26.0);
    for (name, expected) in all(before) {
        assert!(expected.len() > 10, "{name}");
        collector.until_in_lake(&scratch, name, &expected);
    }
    assert!(cloud.happened("late") > 0);
    collector.stop();
    let end = all(Timestamp::MAX);
    for (name, found) in rows(&scratch) {
        let (_, published) = end.iter().find(|(other, _)| *other == name).unwrap();
        let arrived: BTreeSet<String> = found.iter().filter(|id| published.contains(*id)).cloned().collect();
        check(&name, &found, &arrived);
    }
}
