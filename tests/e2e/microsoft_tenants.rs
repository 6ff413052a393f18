//! Many tenants in one process: what is broken in one is nothing to the others.

use std::collections::BTreeSet;

use downspout_simulator::Trouble;

use crate::microsoft::{Cloud, Collector, START, TENANT, audit_ids, check, pipeline, rows, small, tenant};
use crate::support::{Scratch, stderr};

const BROKEN: [(&str, &str, Trouble); 5] = [
    ("11111111-1111-4111-8111-111111111111", "refused.example", Trouble::AuthRefused),
    ("22222222-2222-4222-8222-222222222222", "fails.example", Trouble::AlwaysFails),
    ("33333333-3333-4333-8333-333333333333", "rejected.example", Trouble::TokensRejected),
    ("44444444-4444-4444-8444-444444444444", "off.example", Trouble::AuditOff),
    ("55555555-5555-4555-8555-555555555555", "disabled.example", Trouble::SubscriptionsDisabled),
];

fn cloud() -> Cloud {
    let mut config = small();
    // One page for each window, so that the number of requests does not depend on when a window begins.
    config.limits.management_page = 10_000;
    for (id, domain, trouble) in BROKEN {
        let mut broken = tenant(id, domain);
        broken.trouble = vec![trouble];
        config.tenants.push(broken);
    }
    Cloud::start(config)
}

fn source(cloud: &Cloud, tenants: &[&str], keys: &str) -> String {
    let tenants: Vec<String> = tenants.iter().map(|id| format!("{{ tenant_id: {id} }}")).collect();
    let keys = format!(
        "type: office365_management, tenants: [{}], auth: {{ client_id: collector, client_secret: s }}, cloud: {{ simulator: '{}' }}, {keys}",
        tenants.join(", "),
        cloud.base
    );
    pipeline(&[("m365", keys)])
}

/// Requests of the healthy tenant at the API so far.
fn requests(cloud: &Cloud, tenant: &str) -> u64 {
    cloud.stats()["requests_by_tenant"][tenant]["management"].as_u64().unwrap_or(0)
}

fn published(cloud: &Cloud) -> BTreeSet<String> {
    audit_ids(&cloud.ledger(), |line| line.tenant == TENANT && line.available < START.parse().unwrap())
}

#[test]
fn a_broken_tenant_costs_the_healthy_one_nothing() {
    let cloud = cloud();
    let once = format!("start: 7d, mode: once, until: {START}");
    let alone = Scratch::new();
    let output = alone.run(&source(&cloud, &[TENANT], &once));
    assert!(output.status.success(), "{}", stderr(&output));
    let needed = requests(&cloud, TENANT);
    // The subscriptions are there now, which saves a request each.
    let again = Scratch::new();
    again.run_well(&source(&cloud, &[TENANT], &once));
    let needed = requests(&cloud, TENANT) - needed;
    for (id, domain, _) in BROKEN {
        let before = requests(&cloud, TENANT);
        let scratch = Scratch::new();
        let output = scratch.run(&source(&cloud, &[id, TENANT], &once));
        assert_eq!(output.status.code(), Some(1), "{domain}: {}", stderr(&output));
        assert!(stderr(&output).contains(id), "{domain}: {}", stderr(&output));
        check(domain, &rows(&scratch)["m365"], &published(&cloud));
        assert_eq!(requests(&cloud, TENANT) - before, needed, "{domain}: requests of the healthy tenant");
    }
}

#[test]
fn a_healthy_tenant_is_followed_while_all_others_fail() {
    let cloud = cloud();
    let scratch = Scratch::new();
    let tenants: Vec<&str> = BROKEN.iter().map(|(id, ..)| *id).chain([TENANT]).collect();
    scratch.write("pipeline.yaml", source(&cloud, &tenants, "start: 7d, interval: 5m"));
    let mut collector = Collector::start(&scratch);
    let mut published = BTreeSet::new();
    for _ in 0..3 {
        cloud.leap(12.0);
        published = audit_ids(&cloud.ledger(), |line| line.tenant == TENANT);
        collector.until_in_lake(&scratch, "m365", &published);
    }
    collector.stop();
    let found = rows(&scratch).remove("m365").unwrap();
    let later = audit_ids(&cloud.ledger(), |line| line.tenant == TENANT);
    let arrived: BTreeSet<String> = found.iter().filter(|id| later.contains(*id)).cloned().collect();
    assert!(published.is_subset(&arrived));
    check("m365", &found, &arrived);
    for (id, domain, trouble) in BROKEN {
        let (api, stats) = (if trouble == Trouble::AuthRefused { "login" } else { "management" }, cloud.stats());
        assert!(stats["requests_by_tenant"][id][api].as_u64() > Some(0), "{domain} was never asked: {stats}");
    }
}

#[test]
fn a_refusal_in_the_middle_of_a_run_ends_nothing() {
    let cloud = Cloud::start(small());
    let keys = |kind| crate::microsoft::source(&cloud, kind, "start: 1d, interval: 5m");
    let scratch = Scratch::new();
    scratch
        .write("pipeline.yaml", pipeline(&[("m365", keys("office365_management")), ("audits", keys("entra_audits"))]));
    let mut collector = Collector::start(&scratch);
    let log = || std::fs::read_to_string(scratch.path("log")).unwrap_or_default();
    collector.until(&scratch, "records of both", || rows(&scratch).len() == 2);
    // The secret expires, and with it every token in the next hours.
    cloud.faults(r#"[{"kind":"error_code","api":"login","code":7000222}]"#);
    cloud.leap(3.0);
    for source in ["m365", "audits"] {
        collector.until(&scratch, "a refusal", || {
            log().lines().any(|line| line.contains(source) && line.contains("the client secret has expired"))
        });
    }
    // Somebody mends it, and all that was missed is collected.
    cloud.faults("[]");
    let until = cloud.leap(3.0);
    let expected = audit_ids(&cloud.ledger(), |line| {
        line.available < until && line.available > START.parse::<jiff::Timestamp>().unwrap()
    });
    assert!(expected.len() > 20);
    collector.until(&scratch, "what was published meanwhile", || {
        cloud.leap(0.2);
        let found: BTreeSet<String> = rows(&scratch).remove("m365").unwrap_or_default().into_iter().collect();
        expected.is_subset(&found)
    });
    collector.stop();
}

#[test]
fn a_source_that_is_refused_does_not_end_the_others() {
    let cloud = cloud();
    let keys = |tenant: &str, kind: &str| {
        format!(
            "type: {kind}, tenant_id: {tenant}, auth: {{ client_id: collector, client_secret: s }}, cloud: {{ simulator: '{}' }}, start: 1d, interval: 5m",
            cloud.base
        )
    };
    let scratch = Scratch::new();
    let both = pipeline(&[("bad", keys(BROKEN[0].0, "entra_audits")), ("good", keys(TENANT, "entra_audits"))]);
    scratch.write("pipeline.yaml", both);
    let mut collector = Collector::start(&scratch);
    collector.until(&scratch, "records of the other", || rows(&scratch).contains_key("good"));
    collector.until(&scratch, "the refusal", || {
        std::fs::read_to_string(scratch.path("log")).unwrap_or_default().contains("signing in failed")
    });
    collector.stop();

    // If all are refused, waiting helps nobody.
    let scratch = Scratch::new();
    let output =
        scratch.run(&pipeline(&[("a", keys(BROKEN[0].0, "entra_audits")), ("b", keys(BROKEN[0].0, "entra_signins"))]));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}
