//! `downspout collect` against a simulated cloud: what it collects, and that it goes on where it was killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use downspout_simulator::{Config, Running, start};
use parquet::file::reader::SerializedFileReader;
use parquet::record::{Field, Row};
use serde_json::{Value, json};

const TENANT: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";

async fn cloud(latency: u64, faults: Value) -> Running {
    cloud_of(latency, faults, json!([])).await
}

/// A cloud whose tenant knows these applications; with none, it lets every one in.
async fn cloud_of(latency: u64, faults: Value, apps: Value) -> Running {
    cloud_with(latency, faults, json!({ "apps": apps })).await
}

/// A cloud whose tenant has these keys, too.
async fn cloud_with(latency: u64, faults: Value, keys: Value) -> Running {
    let mut tenant = json!({ "tenant_id": TENANT, "events_per_day": 1500 });
    tenant.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let config = json!({
        "history_days": 3,
        "latency_ms": latency,
        // A Wednesday: little happens at weekends.
        "clock": { "start": "2026-11-25T18:00:00Z", "rate": 1000 },
        "tenants": [tenant],
        "faults": faults,
    });
    let config: Config = serde_json::from_value(config).unwrap();
    start(config).await.unwrap()
}

fn command(cloud: &Running, out: &Path, more: &[&str]) -> Command {
    let mut command = command_as(cloud, out, &["--client-secret-env", "SECRET"]);
    command.args(more).env("SECRET", "hunter2-hunter2");
    command
}

/// The command with another way to sign in.
fn command_as(cloud: &Running, out: &Path, sign_in: &[&str]) -> Command {
    command_since(cloud, out, "2d", sign_in)
}

fn command_since(cloud: &Running, out: &Path, since: &str, sign_in: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_downspout"));
    command.args(["collect", "--tenant-id", TENANT, "--client-id", "app"]).args(sign_in);
    command.args(["--cloud", &cloud.base_url, "--since", since]).arg("--out").arg(out);
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
            for id in ids(&path) {
                *found.entry(id).or_insert(0) += 1;
            }
        }
    }
    found
}

/// The ids of a file's records.
fn ids(path: &Path) -> Vec<String> {
    if path.extension().unwrap() == "parquet" {
        let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
        let id = |row: Row| match row.get_column_iter().find(|(name, _)| *name == "id").unwrap().1 {
            Field::Str(id) => id.clone(),
            other => panic!("an id is {other}"),
        };
        return reader.into_iter().map(|row| id(row.unwrap())).collect();
    }
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["Id"].as_str().unwrap().to_owned();
    std::fs::read_to_string(path).unwrap().lines().map(id).collect()
}

/// How many files each folder of records holds.
fn files_by_folder(out: &Path) -> BTreeMap<PathBuf, usize> {
    let mut found = BTreeMap::new();
    for path in files(out).into_iter().filter(|path| path.to_string_lossy().contains("date=")) {
        *found.entry(path.parent().unwrap().to_owned()).or_insert(0) += 1;
    }
    found
}

fn manifest(out: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(out.join("manifest.json")).unwrap()).unwrap()
}

/// What the simulated cloud says of itself.
async fn asked(cloud: &Running, path: &'static str) -> String {
    let address = cloud.base_url.trim_start_matches("http://").to_owned();
    tokio::task::spawn_blocking(move || get(&address, path)).await.unwrap()
}

/// A fault that was configured and never struck would prove nothing.
async fn every_fault_happened(cloud: &Running) {
    let stats = asked(cloud, "/simulator/stats").await;
    let body = stats.lines().find(|line| line.starts_with('{')).unwrap();
    let stats: Value = serde_json::from_str(body).unwrap();
    let faults = stats["faults"].as_array().unwrap();
    assert!(!faults.is_empty() && faults.iter().all(|fault| fault["happened"] != 0), "{faults:#?}");
}

/// What the simulator published of the unified audit log in the collected time.
async fn published(cloud: &Running, manifest: &Value) -> Vec<String> {
    let ledger = asked(cloud, "/simulator/ledger").await;
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
    assert!(files_by_folder(out).values().all(|files| *files == 1), "{listed:?}");
    let unified = |file: &&Value| file["path"].as_str().unwrap().starts_with("source=unified_audit");
    let records = manifest["files"].as_array().unwrap().iter().filter(unified);
    assert_eq!(records.map(|file| file["records"].as_u64().unwrap()).sum::<u64>(), collected.len() as u64);
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
    let before = collected(&out);
    assert!(run(command(&cloud, &out, &["--profile", "all"])).await.status.success());
    assert_eq!(collected(&out), before);
    assert!(files_by_folder(&out).values().all(|files| *files == 1));
    let other = run(command(&cloud, &out, &["--profile", "light"])).await;
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("(--profile differ)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again_nothing_is_missing_and_nothing_twice() {
    for (backend, faults) in [
        ("graph", json!([{ "kind": "short_page", "every": 3 }, { "kind": "truncate", "every": 11 }])),
        ("exchange", json!([{ "kind": "search_index", "every": 5 }, { "kind": "search_empty", "every": 7 }])),
    ] {
        let cloud = cloud(20, faults).await;
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
        every_fault_happened(&cloud).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_and_resumed_each_source_and_day_is_one_file() {
    for format in ["ndjson", "parquet"] {
        let cloud = cloud(20, json!([])).await;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("case");
        let more = ["--profile", "full", "--format", format];
        let mut child = command(&cloud, &out, &more).stderr(std::process::Stdio::null()).spawn().unwrap();
        // Once some pages of records were read, there is something to deliver before it stops.
        let read =
            || std::fs::read_to_string(out.join("requests.ndjson")).unwrap_or_default().matches("/records").count();
        while read() < 4 && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let first = manifest(&out);
        assert_eq!(first["finished"], false);
        assert!(!files_by_folder(&out).is_empty());
        let last = run(command(&cloud, &out, &more)).await;
        assert!(last.status.success(), "{format}: {}", String::from_utf8_lossy(&last.stderr));
        check(&cloud, &out).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_had_keeps_nothing_else_and_waits_are_told() {
    let faults = json!([{ "kind": "throttle", "api": "graph", "path": "auditLog/queries", "every": 4, "limit": 2, "seconds": 600 }]);
    let cloud = cloud_with(0, faults, json!({ "license": "free" })).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("case");
    let output = run(command(&cloud, &out, &["--profile", "full,entra"])).await;
    let told = String::from_utf8_lossy(&output.stderr);
    // What a tenant has no licence for is a gap, and no failure: no repeat of the command would bring it.
    assert_eq!(output.status.code(), Some(1), "{told}");
    for words in ["waiting 10 min, until 2026-11-25T", "graph_audit_query: HTTP 429", "with 5 gaps:"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let manifest = manifest(&out);
    let risks = manifest["feeds"].as_array().unwrap().iter().find(|feed| feed["feed"] == "risk_detections").unwrap();
    assert_eq!(risks["gaps"][0]["reason"], "not_available", "{risks:#}");
    let found = collected(&out);
    let wanted = published(&cloud, &manifest).await;
    assert!(wanted.iter().all(|id| found.contains_key(id)), "{} of {}", found.len(), wanted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_microsoft_does_not_keep_is_told_although_another_source_fails() {
    let roles = ["AuditLog.Read.All", "IdentityRiskEvent.Read.All"];
    let app = json!({ "client_id": "app", "client_secret": "hunter2-hunter2", "roles": roles });
    let cloud = cloud_with(0, json!([]), json!({ "license": "free", "apps": [app] })).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("case");
    let mut command = command_since(&cloud, &out, "12d", &["--client-secret-env", "SECRET"]);
    command.args(["--profile", "full,entra"]).env("SECRET", "hunter2-hunter2");
    let output = run(command).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for words in
        ["unified_audit failed, as told above", "entra_audits: Microsoft keeps nothing of audits.directory from"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    let manifest = manifest(&out);
    let not_kept = |name: &str| {
        let feed = manifest["feeds"].as_array().unwrap().iter().find(|feed| feed["feed"] == name);
        feed.unwrap_or_else(|| panic!("no {name} in {manifest:#}"))["not_kept_before"].is_string()
    };
    assert_eq!(["audits.directory", "audits.provisioning", "risk_detections"].map(not_kept), [true, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_lies_ahead_is_told_and_a_repeat_brings_what_came_since() {
    let cloud = cloud(0, json!([])).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("case");
    let more = ["--profile", "full,entra,users", "--until", "2027-11-25"];
    let until = |manifest: &Value| manifest["until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let mut ends = Vec::new();
    for _ in 0..2 {
        // The simulated clock goes on by minutes at the least while a collection runs.
        let output = run(command(&cloud, &out, &more)).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let manifest = manifest(&out);
        let end = until(&manifest);
        let words = format!("--until 2027-11-26T00:00:00Z lies ahead: collected up to {end}; repeat");
        assert!(told.contains(&words), "{told}");
        let notes = manifest["notes"].as_array().unwrap();
        assert!(notes.iter().any(|note| note.as_str().unwrap().starts_with(&words)), "{notes:?}");
        assert_eq!(manifest["finished"], false);
        assert!(manifest["feeds"].as_array().unwrap().iter().all(|feed| feed["not_kept_before"].is_null()));
        ends.push(end);
    }
    assert!(ends[0] < ends[1], "{ends:?}");
    let mut manifest = manifest(&out);
    assert!(manifest["notes"].to_string().contains(&format!("collected in parts, first up to {}:", ends[0])));
    let found = collected(&out);
    assert!(found.values().all(|times| *times == 1));
    assert!(files_by_folder(&out).values().all(|files| *files == 1));
    manifest["since"] = ends[0].to_string().into();
    let since = published(&cloud, &manifest).await;
    assert!(!since.is_empty() && since.iter().all(|id| found.contains_key(id)), "{since:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_sorted_by_time() {
    let cloud = cloud(0, json!([])).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("case");
    assert!(run(command(&cloud, &out, &["--profile", "full"])).await.status.success());
    for path in files(&out).into_iter().filter(|path| path.to_string_lossy().contains("source=unified_audit")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let place = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            [&record["CreationTime"], &record["Id"]].map(|value| value.as_str().unwrap().to_owned())
        };
        let places: Vec<_> = text.lines().map(place).collect();
        assert!(places.is_sorted(), "{}", path.display());
    }
    assert_eq!(manifest(&out)["order"], "by time, then by id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_signs_in() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../microsoft/src/auth/testdata");
    let (pem, pfx) = (format!("{data}/app.pem"), format!("{data}/app.pfx"));
    let cloud = cloud_of(0, json!([]), json!([{ "client_id": "app", "certificate": pem }])).await;
    let folder = tempfile::tempdir().unwrap();
    let with_password = ["--certificate", &pfx, "--certificate-password-env", "PASSWORD", "--profile", "full"];
    for (name, sign_in) in [("pem", &["--certificate", &pem, "--profile", "full"][..]), ("pfx", &with_password)] {
        let out = folder.path().join(name);
        let mut command = command_as(&cloud, &out, sign_in);
        command.env("PASSWORD", "test");
        let output = run(command).await;
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        check(&cloud, &out).await;
    }
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../simulator/tests/data/app.pem");
    for (sign_in, words) in [
        (&["--certificate", other][..], "AADSTS700027"),
        (&["--certificate", &pfx], "password"),
        (&["--certificate", env!("CARGO_MANIFEST_PATH")], "certificate and its RSA key"),
    ] {
        let refused = run(command_as(&cloud, &folder.path().join(words), sign_in)).await;
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_with_a_code() {
    let cloud = cloud(0, json!([])).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("case");
    let output = run(command_as(&cloud, &out, &["--device-code", "--profile", "full,entra"])).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(told.matches("https://microsoft.com/devicelogin and enter the code").count(), 1, "{told}");
    // The log of requests holds the sign-ins, too, and no token.
    assert!(std::fs::read_to_string(out.join("requests.ndjson")).unwrap().contains("\"api\":\"login\""));
    check(&cloud, &out).await;
}

#[test]
fn a_command_that_cannot_work_says_why_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").display().to_string();
    let empty = folder.path().join("empty").display().to_string();
    std::fs::write(&empty, "\n").unwrap();
    let cases: [(&str, &[&str], &str); 12] = [
        (TENANT, &["--client-secret-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE is not set"),
        (TENANT, &["--client-secret-file", &missing], "cannot read"),
        (TENANT, &["--client-secret-file", &empty], "is empty"),
        (TENANT, &["--certificate", &missing], "cannot read"),
        (TENANT, &[], "say how to sign in"),
        ("contoso", &["--device-code"], "tenant"),
        (TENANT, &["--device-code", "--cloud", "mars"], "cloud"),
        (TENANT, &["--device-code", "--since", "2026-02-01", "--until", "2026-01-01"], "nothing between"),
        (TENANT, &["--device-code", "--since", "2126-02-01"], "nothing between"),
        (TENANT, &["--device-code", "--profile", "entra", "--operations", "Send"], "--operations does nothing"),
        (TENANT, &["--device-code", "--text", ""], "--text"),
        (TENANT, &["--device-code", "--ca-file", &missing], "ca_file"),
    ];
    for (tenant, arguments, words) in cases {
        let out = folder.path().join("case");
        let mut command = Command::new(env!("CARGO_BIN_EXE_downspout"));
        command.args(["collect", "--tenant-id", tenant, "--client-id", "app"]).args(arguments);
        let output = command.arg("--out").arg(&out).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.starts_with("error: ") && told.contains(words), "{arguments:?}: {told}");
        assert!(!out.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_of_a_finished_collection_is_not_covered_up() {
    let cloud = cloud(0, json!([])).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("case");
    let more = ["--profile", "azure"];
    assert!(run(command(&cloud, &out, &more)).await.status.success());
    assert!(run(command(&cloud, &out, &more)).await.status.success());
    let before = std::fs::read(out.join("manifest.json")).unwrap();
    std::fs::remove_dir_all(out.join("source=azure_activity")).unwrap();
    let again = run(command(&cloud, &out, &more)).await;
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && told.contains("is gone or has changed since"), "{told}");
    assert_eq!(std::fs::read(out.join("manifest.json")).unwrap(), before);
}

/// Whose sign-ins were collected.
fn users_of_sign_ins(out: &Path) -> Vec<String> {
    let of_sign_ins = |path: &PathBuf| path.to_string_lossy().contains("source=entra_signins");
    let mut users = Vec::new();
    for path in files(out).into_iter().filter(of_sign_ins) {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            users.extend(record["userPrincipalName"].as_str().filter(|name| name.contains('@')).map(str::to_lowercase));
        }
    }
    users.sort();
    users.dedup();
    users
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_users_are_several_and_what_is_no_user_name_is_told() {
    let cloud = cloud(0, json!([])).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("all");
    assert!(run(command(&cloud, &out, &["--profile", "entra"])).await.status.success());
    let users = users_of_sign_ins(&out);
    let asked = users[..2].join(",");
    let out = folder.path().join("two");
    let told = run(command(&cloud, &out, &["--profile", "entra", "--user", &format!("{asked},nobody")])).await;
    assert!(told.status.success());
    let log = String::from_utf8_lossy(&told.stderr);
    assert!(log.contains("--user nobody: there is no `@` in it"), "{log}");
    assert_eq!(users_of_sign_ins(&out), users[..2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_whose_clock_is_wrong_collects_up_to_the_services_now() {
    for skew in [-7200, 7200] {
        let config = json!({
            "history_days": 3,
            "clock": { "skew_seconds": skew },
            "tenants": [{ "tenant_id": TENANT, "events_per_day": 300 }],
        });
        let cloud = start(serde_json::from_value(config).unwrap()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("case");
        let mut command = command_since(&cloud, &out, "1d", &["--client-secret-env", "SECRET"]);
        command.args(["--profile", "azure"]).env("SECRET", "hunter2-hunter2");
        let output = run(command).await;
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && log.contains("by which --since and --until are reckoned"), "{log}");
        let manifest = manifest(&out);
        assert!(manifest["notes"][0].as_str().unwrap().starts_with("this machine's clock is 7"), "{manifest:#}");
        // The services live in the time of this test.
        let until: jiff::Timestamp = manifest["until"].as_str().unwrap().parse().unwrap();
        assert!(until.duration_since(jiff::Timestamp::now()).abs().as_mins() < 10, "{until}");
    }
}
