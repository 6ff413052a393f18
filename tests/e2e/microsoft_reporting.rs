//! Message traces of the Reporting Web Service: while it answers, and in every way in which it may be switched off.

use std::collections::BTreeSet;
use std::fs;

use downspout_simulator::Config;
use jiff::Timestamp;

use crate::microsoft::{Cloud, Collector, gaps, pipeline, small, source};
use crate::microsoft_sources::{check_source, ids, once};
use crate::support::{Scratch, stderr};

/// A cloud whose service still answers.
fn alive() -> Config {
    Config { reporting_service: true, ..small() }
}

/// A read that ends.
fn config(cloud: &Cloud) -> String {
    pipeline(&[("message_trace", once(cloud, "message_trace", ", endpoint: reporting"))])
}

/// What the operator must be told: what it means, and what to do.
fn is_told(log: &str) -> bool {
    log.contains("switches the Reporting Web Service off") && log.contains("endpoint: graph")
}

#[test]
fn while_it_answers_it_is_collected_whole() {
    let cloud = Cloud::start(alive());
    for rules in [
        "[]",
        r#"[{"kind":"server_error","api":"reporting","every":3},{"kind":"truncate","api":"reporting","every":4},{"kind":"reset","api":"reporting","every":5}]"#,
    ] {
        cloud.faults(rules);
        let scratch = Scratch::new();
        let output = scratch.run_well(&config(&cloud));
        check_source("message_trace", &scratch, &cloud.ledger(), &["messageTraces"]);
        assert_eq!(gaps(&scratch), (true, Vec::new()), "{}", stderr(&output));
        assert!(!is_told(&stderr(&output)), "{}", stderr(&output));
    }
    for kind in ["server_error", "truncate", "reset"] {
        assert!(cloud.happened(kind) > 0, "{kind} was configured, and never happened");
    }
}

#[test]
fn a_service_that_was_switched_off_is_told_in_whatever_way_it_shows() {
    let ways = [
        ("a refusal", r#"[]"#, "HTTP 410 Gone: \"The MessageTrace report has been retired. Use Microsoft Graph.\""),
        ("a web page", r#"[{"kind":"html","api":"reporting","status":200}]"#, "HTTP 200 html: \"a web page\""),
        ("a redirect", r#"[{"kind":"redirect","api":"reporting"}]"#, "HTTP 302"),
        ("failures", r#"[{"kind":"server_error","api":"reporting","status":503}]"#, "HTTP 503"),
        ("no host", r#"[]"#, "cannot be reached"),
    ];
    for (way, rules, answer) in ways {
        let refuses = way == "a refusal";
        let cloud = Cloud::start(if refuses { small() } else { alive() });
        cloud.faults(rules);
        let mut config = config(&cloud);
        if way == "no host" {
            // The discard port: nobody listens there.
            config = config.replace("cloud: {", "cloud: { reporting: 'http://127.0.0.1:9',");
        }
        let scratch = Scratch::new();
        let output = scratch.run(&config);
        let log = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{way}: {log}");
        assert!(is_told(&log) && log.contains(answer), "{way}: {log}");
    }
}

#[test]
fn a_service_that_vanishes_and_comes_back_is_read_on() {
    let cloud = Cloud::start(alive());
    let scratch = Scratch::new();
    let keys = source(&cloud, "message_trace", "start: 1d, endpoint: reporting");
    scratch.write("pipeline.yaml", pipeline(&[("trace", keys)]));
    let mut collector = Collector::start(&scratch);
    let there = |now: Timestamp| -> BTreeSet<String> {
        let lines = ids(&cloud.ledger(), &["messageTraces"], |line| {
            line.available <= now && line.time > now - jiff::SignedDuration::from_hours(12)
        });
        lines.iter().map(|id| id.split('/').next().unwrap().to_owned()).collect()
    };
    let expected = there(cloud.now());
    assert!(expected.len() > 5);
    collector.until_in_lake(&scratch, "trace", &expected);
    cloud.faults(r#"[{"kind":"html","api":"reporting","status":200}]"#);
    cloud.leap(6.0);
    let log = || fs::read_to_string(scratch.path("log")).unwrap();
    collector.until(&scratch, "a word of the retirement", || is_told(&log()));
    assert!(log().contains("The other feeds run on"), "{}", log());
    cloud.faults("[]");
    let expected = there(cloud.leap(2.0));
    collector.until_in_lake(&scratch, "trace", &expected);
    collector.stop();
    assert_eq!(gaps(&scratch), (true, Vec::new()));
}
