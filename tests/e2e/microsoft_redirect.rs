//! Exchange's redirects: to the host of the region where a tenant lives they are followed, and nowhere else.

use crate::microsoft::{CONTENT_TYPES, Cloud, gaps, pipeline, small};
use crate::microsoft_sources::{check_source, eventful, once};
use crate::support::{Scratch, stderr};

/// Where Exchange's regional host for Europe is.
const REGION: &str = r#"[{"kind":"redirect","api":"exchange","host":"eurprd05.prod.outlook.com"}]"#;

/// How Exchange answered so far.
fn answers(cloud: &Cloud, status: &str) -> u64 {
    cloud.stats()["requests"]["exchange"][status].as_u64().unwrap_or(0)
}

#[test]
fn a_tenant_is_collected_where_it_lives() {
    let cloud = Cloud::start(eventful());
    cloud.faults(REGION);
    let scratch = Scratch::new();
    let sources = [
        ("mailbox_audit", once(&cloud, "mailbox_audit", "")),
        ("search", once(&cloud, "unified_audit_search", ", backend: exchange")),
    ];
    let output = scratch.run_well(&pipeline(&sources));
    let ledger = cloud.ledger();
    check_source("mailbox_audit", &scratch, &ledger, &["mailboxAudit"]);
    check_source("search", &scratch, &ledger, &CONTENT_TYPES);
    assert_eq!(gaps(&scratch), (true, Vec::new()), "{}", stderr(&output));
    // Each source remembers where the tenant lives, and asks there.
    let redirects = cloud.happened("redirect");
    assert!(redirects > 0, "it was configured, and never happened");
    assert_eq!(answers(&cloud, "302"), redirects);
    assert!(answers(&cloud, "200") > redirects, "{}", cloud.stats());
    cloud.no_token_abroad();
}

#[test]
fn a_tenant_that_moves_on_is_found_again() {
    let cloud = Cloud::start(eventful());
    cloud.faults(REGION);
    cloud.faults(r#"[{"kind":"server_error","api":"exchange","every":5}]"#);
    let scratch = Scratch::new();
    scratch.run_well(&pipeline(&[("mailbox_audit", once(&cloud, "mailbox_audit", ""))]));
    check_source("mailbox_audit", &scratch, &cloud.ledger(), &["mailboxAudit"]);
    assert!(cloud.happened("server_error") > 0 && cloud.happened("redirect") > 1, "{}", cloud.stats());
}

#[test]
fn no_token_goes_to_another_service_or_cloud() {
    for host in [
        // A service of this cloud, Exchange of another one, and nobody's.
        r#","host":"manage.office.com""#,
        r#","host":"outlook.office365.us""#,
        "",
    ] {
        let cloud = Cloud::start(small());
        cloud.faults(&format!(r#"[{{"kind":"redirect","api":"exchange"{host}}}]"#));
        let scratch = Scratch::new();
        let output = scratch.run(&pipeline(&[("mailbox_audit", once(&cloud, "mailbox_audit", ""))]));
        let log = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{host}: {log}");
        assert!(log.contains("a redirect that is not followed"), "{host}: {log}");
        let stats = cloud.stats();
        // All that Exchange ever answered were redirects, and nobody else was asked but the sign-in.
        assert_eq!(answers(&cloud, "302"), cloud.happened("redirect"), "{host}: {stats}");
        let asked: Vec<_> = stats["requests"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(asked, ["exchange", "login"], "{host}: {stats}");
        assert_eq!(stats["requests"]["exchange"].as_object().unwrap().len(), 1, "{host}: {stats}");
        cloud.no_token_abroad();
    }
}
