//! The filters of searches, over both services: each finds exactly the records that the cloud itself says fit.
//!
//! What fits is worked out here, from all records as the cloud holds them, and by the rules of the services'
//! documentation; the cloud's own filters have no part in it.

use std::collections::{BTreeMap, BTreeSet};

use downspout_simulator::Trouble;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::microsoft::{Cloud, START, TENANT, check, gaps, pipeline, rows};
use crate::microsoft_sources::{eventful, once};
use crate::support::{Scratch, stderr};

/// By then everything up to eight hours ago has turned up, however late.
fn until() -> Timestamp {
    START.parse::<Timestamp>().unwrap() - SignedDuration::from_hours(8)
}

fn text<'r>(record: &'r Value, name: &str) -> &'r str {
    record[name].as_str().unwrap_or_default()
}

/// The records that a search up to `until` may find.
fn records(cloud: &Cloud) -> Vec<Value> {
    let mut records = cloud.records();
    let time = |record: &Value| format!("{}Z", text(record, "CreationTime").trim_end_matches('Z')).parse::<Timestamp>();
    records.retain(|record| time(record).is_ok_and(|time| time < until()));
    records
}

/// The most frequent value among the records that `of` gives one of.
fn usual<'r>(records: &'r [Value], of: impl Fn(&'r Value) -> Option<&'r str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in records.iter().filter_map(of).filter(|value| !value.is_empty()) {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0.to_owned()
}

/// The address of a record, without port and brackets.
fn address(record: &Value) -> Option<&str> {
    let found = ["ClientIP", "ClientIPAddress", "ActorIpAddress"].map(|name| text(record, name));
    let found = found.into_iter().find(|address| !address.is_empty())?;
    match found.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None if found.matches(':').count() == 1 => found.split(':').next(),
        None => Some(found),
    }
}

/// The ids of the records that fit.
fn ids(records: &[Value], fits: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    records.iter().filter(|record| fits(record)).map(|record| text(record, "Id").to_owned()).collect()
}

#[test]
fn every_filter_finds_what_fits_and_nothing_else() {
    let cloud = Cloud::start(eventful());
    let records = records(&cloud);
    let user = usual(&records, |record| Some(text(record, "UserId")).filter(|user| user.contains('@')));
    let ip = usual(&records, address);
    let (one, other) = ("New-InboxRule", usual(&records, |record| record["Operation"].as_str()));
    let of_user = |record: &Value| text(record, "UserId").eq_ignore_ascii_case(&user);
    let of_operation = |record: &Value| [one, &*other].contains(&text(record, "Operation"));
    let of_type = |record: &Value| [1, 15].contains(&record["RecordType"].as_i64().unwrap());
    // A text that stands somewhere inside, in another case.
    let word = "externalsender@".to_owned();
    let word = if records.iter().any(|record| record.to_string().to_lowercase().contains(&word)) {
        word
    } else {
        user.to_uppercase()
    };
    let with_word = |record: &Value| record.to_string().to_lowercase().contains(&word.to_lowercase());
    let cases: [(&str, String, BTreeSet<String>); 6] = [
        ("user", format!("users: ['{}']", user.to_uppercase()), ids(&records, of_user)),
        ("address", format!("ips: ['{ip}']"), ids(&records, |record| address(record) == Some(&ip))),
        ("operations", format!("operations: ['{one}', '{other}']"), ids(&records, of_operation)),
        ("types", "record_types: [ExchangeAdmin, AzureActiveDirectoryStsLogon]".to_owned(), ids(&records, of_type)),
        ("text", format!("text: '{word}'"), ids(&records, with_word)),
        (
            "all at once",
            format!("users: ['{user}'], record_types: [ExchangeAdmin, AzureActiveDirectoryStsLogon], text: '@'"),
            ids(&records, |record| of_user(record) && of_type(record) && record.to_string().contains('@')),
        ),
    ];
    for backend in ["graph", "exchange"] {
        for (what, keys, expected) in &cases {
            assert!(expected.len() < records.len(), "{what}: everything fits, which proves nothing");
            let scratch = Scratch::new();
            let source = once(&cloud, "unified_audit_search", &format!(", backend: {backend}, {keys}"));
            let output = scratch.run_well(&pipeline(&[("search", source)]));
            check(&format!("{backend}, {what}"), &rows(&scratch)["search"], expected);
            assert_eq!(gaps(&scratch), (true, Vec::new()), "{backend}, {what}: {}", stderr(&output));
        }
    }
}

#[test]
fn what_an_attacker_did_is_found_by_his_address() {
    let cloud = Cloud::start(eventful());
    let records = records(&cloud);
    let known = ids(&records, |_| true);
    for truth in cloud.running.attacks().iter().filter(|truth| !truth.addresses.is_empty()).take(3) {
        let of_attack = |record: &Value| truth.record_ids.iter().any(|id| id == text(record, "Id"));
        let addresses: BTreeSet<&str> = truth.addresses.iter().map(String::as_str).collect();
        let seen = |record: &Value| address(record).is_some_and(|address| addresses.contains(address));
        let attack = ids(&records, |record| of_attack(record) && seen(record));
        if attack.is_empty() {
            continue;
        }
        let ips: Vec<String> = addresses.iter().map(|address| format!("'{address}'")).collect();
        for backend in ["graph", "exchange"] {
            let scratch = Scratch::new();
            let keys = format!(", backend: {backend}, ips: [{}]", ips.join(", "));
            scratch.run_well(&pipeline(&[("search", once(&cloud, "unified_audit_search", &keys))]));
            let found: BTreeSet<String> = rows(&scratch)["search"].iter().cloned().collect();
            assert!(attack.is_subset(&found) && found.is_subset(&known), "{backend}: {}", truth.description);
            assert_eq!(found, ids(&records, seen), "{backend}: {}", truth.description);
        }
    }
}

#[test]
fn a_filter_that_finds_nothing_says_whether_there_is_anything_to_find() {
    let cloud = Cloud::start(eventful());
    for backend in ["graph", "exchange"] {
        let scratch = Scratch::new();
        let keys = format!(", backend: {backend}, users: [nobody@contoso.example]");
        let output = scratch.run_well(&pipeline(&[("search", once(&cloud, "unified_audit_search", &keys))]));
        assert!(stderr(&output).contains("auditing is on"), "{backend}: {}", stderr(&output));
        assert_eq!(gaps(&scratch), (true, Vec::new()));
    }
}

#[test]
fn where_auditing_is_off_a_search_that_finds_nothing_is_a_gap() {
    let mut config = eventful();
    config.tenants[0].trouble = vec![Trouble::AuditOff];
    let cloud = Cloud::start(config);
    for backend in ["graph", "exchange"] {
        let scratch = Scratch::new();
        let keys = format!(", backend: {backend}");
        let output = scratch.run_well(&pipeline(&[("search", once(&cloud, "unified_audit_search", &keys))]));
        let log = stderr(&output);
        assert!(
            log.contains("auditing is switched off") && log.contains("Set-AdminAuditLogConfig"),
            "{backend}: {log}"
        );
        let (_, gaps) = gaps(&scratch);
        assert_eq!(gaps.len(), 1, "{backend}: {gaps:?}");
        assert_eq!(gaps[0]["reason"], "not_available", "{backend}: {gaps:?}");
    }
}

#[test]
fn record_types_that_microsoft_does_not_know_stand_in_the_manifest() {
    let cloud = Cloud::start(eventful());
    for backend in ["graph", "exchange"] {
        let scratch = Scratch::new();
        let mut command = scratch.downspout(&["collect", "--tenant-id", TENANT, "--client-id", "app"]);
        command.args(["--client-secret-env", "SECRET", "--cloud", &cloud.base, "--since", "2d", "--out", "out"]);
        command.args(["--backend", backend, "--record-types", "ExchangeAdmin,NoSuchRecordType"]).env("SECRET", "s");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let manifest = std::fs::read_to_string(scratch.path("out/manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let feed = &manifest["feeds"][0];
        assert_eq!(feed["unknown_record_types"], serde_json::json!(["NoSuchRecordType"]), "{backend}: {manifest:#}");
        // Both services count what they give, and what they give twice they count twice.
        let windows = feed["windows"].as_array().unwrap();
        let is_counted = |window: &Value| window["counted"].as_u64() >= window["records"].as_u64();
        assert!(!windows.is_empty() && windows.iter().all(is_counted), "{backend}: {windows:#?}");
    }
}

#[test]
fn a_mailbox_search_gives_only_the_operations_that_were_asked_for() {
    let cloud = Cloud::start(eventful());
    let operations = |keys: &str| {
        let scratch = Scratch::new();
        scratch.run_well(&pipeline(&[("mailbox_audit", once(&cloud, "mailbox_audit", keys))]));
        rows(&scratch).remove("mailbox_audit").unwrap_or_default()
    };
    let (all, some) = (operations(""), operations(", operations: [HardDelete, SoftDelete]"));
    let (rest, other) = (operations(", operations: [MoveToDeletedItems]"), operations(", operations: [FolderBind]"));
    assert!(!some.is_empty() && some.len() < all.len(), "{} of {}", some.len(), all.len());
    let found: BTreeSet<&String> = some.iter().chain(&rest).chain(&other).collect();
    assert_eq!(found.len(), some.len() + rest.len() + other.len(), "no record has two operations");
    assert!(found.iter().all(|id| all.contains(id)));
}
