//! The collector is killed, again and again, while the cloud fails in every way at once. In the end every record is in
//! the lake exactly once.

use std::time::Duration;

use crate::microsoft::{CONTENT_TYPES, Cloud, Collector, START, audit_ids, check, gaps, pipeline, rows, small, source};
use crate::microsoft_sources::{SOURCES, check_source, eventful, once};
use crate::support::{Random, Scratch};

/// Often enough to be met in each run, and seldom enough that no blob is damaged four times in a row.
const FAULTS: &str = r#"[
    {"kind":"throttle","api":"management","every":90,"burst":5,"seconds":10},
    {"kind":"server_error","every":15},
    {"kind":"reset","api":"management","every":11},
    {"kind":"truncate","api":"management","every":90},
    {"kind":"invalid_json","api":"management","every":97},
    {"kind":"token_dies","api":"management","every":20},
    {"kind":"hostile_link","every":13},
    {"kind":"repeat_page","every":5}
]"#;

const KINDS: [&str; 8] =
    ["throttle", "server_error", "reset", "truncate", "invalid_json", "token_dies", "hostile_link", "repeat_page"];

#[test]
fn killed_at_random_moments_while_everything_fails() {
    let mut random = Random::seeded();
    let mut config = small();
    config.publishing.doubled_share = 0.1;
    config.latency_ms = 5;
    // A sweep takes longer than the whole test would at the usual rate.
    config.clock.rate = 400.0;
    let cloud = Cloud::start(config);
    let expected = audit_ids(&cloud.ledger(), |line| line.available < START.parse().unwrap());
    cloud.faults(FAULTS);
    let (mut kills, mut rounds) = (0, 0);
    while kills < 12 {
        rounds += 1;
        assert!(rounds < 10, "the collector ends before it can be killed");
        let scratch = Scratch::new();
        let keys = format!("start: 7d, mode: once, until: {START}");
        scratch.write("pipeline.yaml", pipeline(&[("m365", source(&cloud, "office365_management", &keys))]));
        for _ in 0..8 {
            let mut collector = Collector::start(&scratch);
            // A random moment is the very thing under test, so this one wait is by the clock.
            std::thread::sleep(Duration::from_millis(150 + random.below(450)));
            kills += usize::from(collector.is_running());
            collector.kill();
        }
        Collector::start(&scratch).until_end(&scratch);
        check("m365", &rows(&scratch)["m365"], &expected);
        assert_eq!(gaps(&scratch), (true, Vec::new()));
    }
    for kind in KINDS {
        assert!(cloud.happened(kind) > 0, "{kind} was configured, and never happened");
    }
    cloud.no_token_abroad();
    eprintln!("{kills} kills in {rounds} rounds");
}

#[test]
fn every_other_log_survives_being_killed() {
    let mut random = Random::seeded();
    let mut config = eventful();
    config.latency_ms = 5;
    config.limits.azure_page = 5;
    config.clock.rate = 300.0;
    let cloud = Cloud::start(config);
    let logs: Vec<(&str, &[&str])> =
        SOURCES.iter().copied().chain([("unified_audit_search", &CONTENT_TYPES[..])]).collect();
    let sources: Vec<(&str, String)> = logs.iter().map(|(name, _)| (*name, once(&cloud, name, ""))).collect();
    cloud.faults(r#"[{"kind":"server_error","every":23},{"kind":"reset","every":29},{"kind":"throttle","every":97}]"#);
    let (mut kills, mut rounds) = (0, 0);
    while kills < 12 {
        rounds += 1;
        assert!(rounds < 10, "the collector ends before it can be killed");
        let scratch = Scratch::new();
        scratch.write("pipeline.yaml", pipeline(&sources));
        for _ in 0..8 {
            let mut collector = Collector::start(&scratch);
            // A random moment is the very thing under test, so this one wait is by the clock.
            std::thread::sleep(Duration::from_millis(150 + random.below(450)));
            kills += usize::from(collector.is_running());
            collector.kill();
        }
        Collector::start(&scratch).until_end(&scratch);
        let ledger = cloud.ledger();
        for (name, feeds) in &logs {
            check_source(name, &scratch, &ledger, feeds);
        }
        assert_eq!(gaps(&scratch), (true, Vec::new()));
    }
    for kind in ["server_error", "reset", "throttle"] {
        assert!(cloud.happened(kind) > 0, "{kind} was configured, and never happened");
    }
    eprintln!("{kills} kills in {rounds} rounds");
}
