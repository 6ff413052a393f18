//! `downspout collect` against a simulated cloud: what it collects, and that it goes on where it was killed.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use downspout_simulator::{Config, Running, start};
use serde_json::{Value, json};

const TENANT: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";

async fn cloud(latency: u64, faults: Value) -> Running {
    let config = json!({
        "history_days": 3,
        "latency_ms": latency,
        "clock": { "rate": 1000 },
        "tenants": [{ "tenant_id": TENANT, "events_per_day": 1500 }],
        "faults": faults,
    });
    let config: Config = serde_json::from_value(config).unwrap();
    start(config).await.unwrap()
}

fn command(cloud: &Running, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_downspout"));
    command.args(["collect", "--tenant-id", TENANT, "--client-id", "app", "--client-secret-env", "SECRET"]);
    command.args(["--cloud", &cloud.base_url, "--since", "2d"]).arg("--out").arg(out).args(more);
    command.env("SECRET", "hunter2-hunter2");
    command
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Every file below a folder that is no state.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// How often each record of the unified audit log was collected.
fn collected(out: &Path) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for path in files(out) {
        if path.parent().unwrap().to_string_lossy().contains("source=unified_audit") {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let record: Value = serde_json::from_str(line).unwrap();
                *found.entry(record["Id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
        }
    }
    found
}

fn manifest(out: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(out.join("manifest.json")).unwrap()).unwrap()
}

/// What the simulator published of the unified audit log in the collected time.
async fn published(cloud: &Running, manifest: &Value) -> Vec<String> {
    let address = cloud.base_url.trim_start_matches("http://").to_owned();
    let ledger = tokio::task::spawn_blocking(move || get(&address, "/simulator/ledger")).await.unwrap();
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (since, until) = (time(&manifest["since"]), time(&manifest["until"]));
    let mut ids = Vec::new();
    for line in ledger.lines().filter(|line| line.starts_with('{')) {
        let entry: Value = serde_json::from_str(line).unwrap();
        let feed = entry["feed"].as_str().unwrap();
        let audit = feed.starts_with("Audit.") || feed == "DLP.All";
        if audit && (since..=until).contains(&time(&entry["time"])) && time(&entry["available_from"]) <= until {
            ids.push(entry["id"].as_str().unwrap().to_owned());
        }
    }
    ids
}

/// A plain GET over HTTP/1.0.
fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

async fn check(cloud: &Running, out: &Path) {
    let manifest = manifest(out);
    assert_eq!(manifest["finished"], true, "{manifest:#}");
    let collected = collected(out);
    let wanted = published(cloud, &manifest).await;
    assert!(wanted.len() > 1000, "{} records are too few to tell", wanted.len());
    let missing: Vec<&String> = wanted.iter().filter(|id| !collected.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} of {} are missing", missing.len(), wanted.len());
    assert!(collected.values().all(|times| *times == 1));
    let listed: Vec<&str> =
        manifest["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(listed.len() + 1, files(out).len(), "{listed:?}");
    assert!(!std::fs::read_to_string(out.join("requests.ndjson")).unwrap().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_collected_and_the_folder_belongs_to_its_command() {
    let cloud = cloud(0, json!([])).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("case");
    let first = run(command(&cloud, &out, &["--profile", "all"])).await;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    check(&cloud, &out).await;
    let sources: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix("source=").map(str::to_owned))
        .collect();
    assert_eq!(sources.len(), 8, "{sources:?}");
    // Late records of other sources may be found by a second run; a search is finished when it is.
    let audit =
        |out: &Path| files(out).into_iter().filter(|path| path.to_string_lossy().contains("unified_audit")).count();
    let before = audit(&out);
    assert!(run(command(&cloud, &out, &["--profile", "all"])).await.status.success());
    assert_eq!(audit(&out), before);
    let other = run(command(&cloud, &out, &["--profile", "light"])).await;
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("(--profile differ)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again_nothing_is_missing_and_nothing_twice() {
    let faults = json!([
        { "kind": "search_index", "every": 5 }, { "kind": "search_empty", "every": 7 },
        { "kind": "short_page", "every": 3 }, { "kind": "truncate", "every": 11 },
    ]);
    for backend in ["graph", "exchange"] {
        let cloud = cloud(20, faults.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("case");
        let more = ["--profile", "full", "--backend", backend];
        for kill_after in [300, 600, 900] {
            let mut child = command(&cloud, &out, &more).stderr(std::process::Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(kill_after)).await;
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let last = run(command(&cloud, &out, &more)).await;
        assert!(last.status.success(), "{backend}: {}", String::from_utf8_lossy(&last.stderr));
        check(&cloud, &out).await;
    }
}

#[test]
fn a_command_that_cannot_work_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("case");
    let mut command = Command::new(env!("CARGO_BIN_EXE_downspout"));
    command.args(["collect", "--tenant-id", TENANT, "--client-id", "app", "--client-secret-env", "NO_SUCH_VARIABLE"]);
    let output = command.arg("--out").arg(&out).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("NO_SUCH_VARIABLE is not set"));
    assert!(!out.exists());
}
