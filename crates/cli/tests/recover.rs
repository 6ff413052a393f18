//! `office365_management` with `recover`: an outage that is longer than the feed keeps its content, and to which feed
//! records belong.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use downspout_microsoft::office365_management::ContentType;
use downspout_simulator::world::{World, WorldConfig, all_attacks};
use downspout_simulator::{Config, start};
use serde_json::{Value, json};

const TENANT: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";

fn ask(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Each collected record's provenance, by id; nothing may be there twice.
fn collected(out: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for folder in std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            for line in std::fs::read_to_string(&path).unwrap_or_default().lines() {
                let record: Value = serde_json::from_str(line).unwrap();
                let id = record["Id"].as_str().unwrap().to_owned();
                let before = found.insert(id, record["downspout.provenance"].clone());
                assert!(before.is_none(), "twice: {record}");
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_during_an_outage_is_had_from_the_search_and_marked() {
    let config = json!({
        "history_days": 2,
        "clock": { "rate": 60 },
        "tenants": [{
            "tenant_id": TENANT, "events_per_day": 500,
            "subscribed": ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"],
        }],
    });
    let config: Config = serde_json::from_value(config).unwrap();
    let cloud = start(config).await.unwrap();
    let address = cloud.base_url.trim_start_matches("http://").to_owned();
    let folder = tempfile::tempdir().unwrap();
    let (config, out) = (folder.path().join("config.yaml"), folder.path().join("out"));
    let text = format!(
        "data_dir: {data}
sources:
  m365:
    type: office365_management
    tenant_id: {TENANT}
    auth: {{ client_id: app, client_secret: word }}
    cloud: {{ simulator: \"{base}\" }}
    start: 1d
    mode: once
    recover: exchange
transforms:
  flat: {{ type: flatten, inputs: [m365] }}
  unique: {{ type: dedupe, inputs: [flat], horizon: 90d }}
sinks:
  out: {{ type: ndjson, inputs: [unique], path: {out}, partition_by: [date] }}
",
        data = folder.path().join("data").display(),
        base = cloud.base_url,
        out = out.display(),
    );
    std::fs::write(&config, text).unwrap();
    let run = |command: &'static str| {
        let config = config.clone();
        let work = move || Command::new(env!("CARGO_BIN_EXE_downspout")).arg(command).arg(config).output().unwrap();
        tokio::task::spawn_blocking(work)
    };
    let first = run("run").await.unwrap();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let clock = address.clone();
    let turn = move || ask(&clock, "POST", "/simulator/clock", "{\"advance_seconds\": 864000}");
    tokio::task::spawn_blocking(turn).await.unwrap();
    let second = run("run").await.unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));

    let found = collected(&out);
    let marked = found.values().filter(|provenance| *provenance == "unified_audit_search/exchange").count();
    let ledger = tokio::task::spawn_blocking(move || ask(&address, "GET", "/simulator/ledger", "")).await.unwrap();
    let mut missing = BTreeMap::new();
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let entries: Vec<Value> =
        ledger.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    // The first run began a day back, and the last records may have come behind it.
    let audit = |entry: &&Value| entry["feed"].as_str().unwrap().starts_with("Audit.") || entry["feed"] == "DLP.All";
    let first = entries.iter().filter(audit).filter(|entry| found.contains_key(entry["id"].as_str().unwrap()));
    let since = first.map(|entry| time(&entry["available_from"])).min().unwrap();
    let last = entries.iter().filter(audit).filter(|entry| found.contains_key(entry["id"].as_str().unwrap()));
    let until = last.map(|entry| time(&entry["available_from"])).max().unwrap();
    let day = jiff::SignedDuration::from_hours(1);
    for entry in entries.iter().filter(audit) {
        let available = time(&entry["available_from"]);
        if available >= since + day && available <= until - day && !found.contains_key(entry["id"].as_str().unwrap()) {
            missing.insert(entry["id"].to_string(), entry);
        }
    }
    assert!(
        missing.is_empty(),
        "{} of {} are missing, such as {:?}",
        missing.len(),
        entries.len(),
        missing.first_key_value()
    );
    assert!(marked > 500 && marked < found.len(), "{marked} of {} are marked", found.len());
    let gaps = run("gaps").await.unwrap();
    assert!(
        String::from_utf8_lossy(&gaps.stdout).contains("nothing is missing"),
        "{}",
        String::from_utf8_lossy(&gaps.stdout)
    );
}

#[test]
fn every_record_is_found_to_belong_to_the_feed_that_publishes_it() {
    let start: jiff::Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
    let mut world = World::new(WorldConfig {
        seed: 11,
        tenant_id: TENANT.to_owned(),
        domain: "contoso.example".to_owned(),
        users: 60,
        events_per_day: 12_000,
        start,
        attacks: all_attacks(start),
    });
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for happening in world.advance(start + jiff::SignedDuration::from_hours(40)) {
        let Some(feed) = happening.feed.content_type() else { continue };
        let found = ContentType::of(happening.record.as_bytes());
        let of_mail_labels = happening.record.contains(r#""RecordType":43,"#);
        assert!(found.len() == 1 || of_mail_labels, "{found:?}: {}", happening.record);
        assert!(found.iter().any(|found| found.as_str() == feed), "{feed}, and not {found:?}: {}", happening.record);
        *told.entry(feed).or_default() += 1;
    }
    assert!(told.len() == 5 && told.values().all(|count| *count > 20), "{told:?}");
}
