//! The collectors against the simulated cloud, over sockets: what every test of them needs.
//!
//! The cloud runs inside the test's process, the collector is the real binary in a process of its own, and they meet
//! over HTTP only. What the cloud says it published (its ledger) is held against what stands in the lake: each record
//! once, none missing, none that nobody published. Time is the cloud's: it runs a thousand times as fast as the
//! machine's and leaps where a test says so, so nothing here waits for a wall clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use downspout_simulator::{Config, Running, StartError, TenantConfig, start};
use jiff::Timestamp;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use crate::support::{Scratch, lake_files, stderr};

/// The tenant of most tests.
pub(crate) const TENANT: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";

/// When the simulated clocks start: a Wednesday.
pub(crate) const START: &str = "2026-01-07T12:00:00Z";

/// Feeds of the unified audit log, as the Management Activity API gives it out.
pub(crate) const CONTENT_TYPES: [&str; 5] =
    ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"];

/// Longer than this nothing takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// A running cloud.
pub(crate) struct Cloud {
    pub(crate) base: String,
    pub(crate) running: Running,
    address: String,
}

/// A line of the cloud's ledger.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) tenant: String,
    pub(crate) feed: String,
    pub(crate) id: String,
    pub(crate) time: Timestamp,
    pub(crate) available: Timestamp,
    pub(crate) expires: Timestamp,
    /// When a newer version took its place.
    pub(crate) replaced: Option<Timestamp>,
}

/// One small tenant that has lived for two days, and a clock a thousand times as fast as ours.
pub(crate) fn small() -> Config {
    let mut config =
        Config { history_days: 2.0, tenants: vec![tenant(TENANT, "contoso.example")], ..Config::default() };
    config.clock.start = Some(START.parse().unwrap());
    config.clock.rate = 1_000.0;
    // Small pages, so that there are several.
    config.limits.management_page = 15;
    config
}

/// A small tenant.
pub(crate) fn tenant(id: &str, domain: &str) -> TenantConfig {
    TenantConfig {
        tenant_id: id.to_owned(),
        domain: domain.to_owned(),
        users: 10,
        events_per_day: 400,
        ..TenantConfig::default()
    }
}

/// The body of a good answer; `None` if nobody listens.
fn request(address: &str, what: &str, body: &str) -> Option<String> {
    send(address, what, "", body)
}

/// As `request`, with a header line more.
fn send(address: &str, what: &str, header: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = body.len();
    // HTTP/1.0: the answer ends where the connection does.
    write!(stream, "{what} HTTP/1.0\r\nhost: {address}\r\n{header}content-length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.split(' ').nth(1) == Some("200"), "{what}: {head}\n{body}");
    Some(body.to_owned())
}

impl Cloud {
    pub(crate) fn start(config: Config) -> Cloud {
        Cloud::try_start(config).unwrap()
    }

    /// As `start`; the error is that of an address that cannot be had.
    pub(crate) fn try_start(config: Config) -> Result<Cloud, StartError> {
        let running = RUNTIME.block_on(start(config))?;
        let address = running.addresses[0].to_string();
        Ok(Cloud { base: running.base_url.clone(), address, running })
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        request(&self.address, &format!("{method} /simulator/{path}"), body).unwrap()
    }

    fn json(&self, method: &str, path: &str, body: &str) -> Value {
        serde_json::from_str(&self.request(method, path, body)).unwrap()
    }

    /// Somebody else than the collector stops a subscription.
    pub(crate) fn stop_subscription(&self, content_type: &str) {
        let form = "grant_type=client_credentials&client_id=x&client_secret=y&scope=https://manage.office.com/.default";
        let login = format!("POST /login.microsoftonline.com/{TENANT}/oauth2/v2.0/token");
        let token: Value = serde_json::from_str(&request(&self.address, &login, form).unwrap()).unwrap();
        let header = format!("authorization: Bearer {}\r\n", token["access_token"].as_str().unwrap());
        let feed = format!("/manage.office.com/api/v1.0/{TENANT}/activity/feed/subscriptions");
        send(&self.address, &format!("POST {feed}/stop?contentType={content_type}"), &header, "").unwrap();
    }

    /// What time it is there.
    pub(crate) fn now(&self) -> Timestamp {
        self.json("GET", "clock", "")["now"].as_str().unwrap().parse().unwrap()
    }

    /// Pushes the clock ahead.
    pub(crate) fn leap(&self, hours: f64) -> Timestamp {
        let answer = self.json("POST", "clock", &format!(r#"{{"advance_seconds":{}}}"#, hours * 3_600.0));
        answer["now"].as_str().unwrap().parse().unwrap()
    }

    /// Adds rules of faults.
    pub(crate) fn faults(&self, rules: &str) {
        self.request("POST", "faults", rules);
    }

    /// All services fail from now on, or work again.
    pub(crate) fn outage(&self, on: bool) {
        self.request("POST", "outage", &format!(r#"{{"on":{on}}}"#));
    }

    /// A person enters the code of a device, and agrees or not.
    pub(crate) fn sign_in(&self, code: &str, agrees: bool) {
        self.request("POST", "device", &format!(r#"{{"user_code":"{code}","agrees":{agrees}}}"#));
    }

    pub(crate) fn stats(&self) -> Value {
        self.json("GET", "stats", "")
    }

    /// How often a fault has happened.
    pub(crate) fn happened(&self, kind: &str) -> u64 {
        let stats = self.stats();
        let of_kind = stats["faults"].as_array().unwrap().iter().filter(|fault| fault["kind"] == kind);
        of_kind.filter_map(|fault| fault["happened"].as_u64()).sum()
    }

    /// Of the faults that were asked for, each rule has struck.
    pub(crate) fn every_fault_happened(&self) {
        let stats = self.stats();
        let idle: Vec<&Value> =
            stats["faults"].as_array().unwrap().iter().filter(|fault| fault["happened"] == 0).collect();
        assert!(idle.is_empty(), "configured, and never happened: {idle:#?}");
    }

    /// Everything published so far.
    pub(crate) fn ledger(&self) -> Vec<Published> {
        let text = self.request("GET", "ledger", "");
        let read = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            let time = |name: &str| text(name).parse::<Timestamp>().unwrap();
            Published {
                tenant: text("tenant"),
                feed: text("feed"),
                id: text("id"),
                time: time("time"),
                available: time("available_from"),
                expires: time("expires"),
                replaced: line["replaced"].as_str().map(|time| time.parse().unwrap()),
            }
        };
        text.lines().map(read).collect()
    }

    /// Every record of the unified audit log that is published, as the cloud holds it.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = self.request("GET", "records", "");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// No token was ever seen at the host that is not Microsoft's.
    pub(crate) fn no_token_abroad(&self) {
        let foreign = &self.stats()["foreign"];
        assert_eq!((foreign["requests"].as_u64(), foreign["tokens"].as_u64()), (Some(0), Some(0)), "{foreign}");
    }
}

/// The ids of the unified audit log's records among those of the ledger that `wanted` takes.
pub(crate) fn audit_ids(ledger: &[Published], wanted: impl Fn(&Published) -> bool) -> BTreeSet<String> {
    let lines = ledger.iter().filter(|line| CONTENT_TYPES.contains(&line.feed.as_str()) && wanted(line));
    lines.map(|line| line.id.clone()).collect()
}

/// A pipeline from sources (name and the rest of their YAML) into a lake.
pub(crate) fn pipeline(sources: &[(&str, String)]) -> String {
    let lake = "type: parquet, path: ./lake, partition_by: [], roll: { max_rows: 400, max_age: 200ms }";
    pipeline_into(sources, lake)
}

/// A pipeline from sources into a sink, both by the rest of their YAML.
pub(crate) fn pipeline_into(sources: &[(&str, String)], sink: &str) -> String {
    let names: Vec<&str> = sources.iter().map(|(name, _)| *name).collect();
    let lines: String = sources.iter().map(|(name, keys)| format!("  {name}: {{ {keys} }}\n")).collect();
    format!(
        "
data_dir: ./data
checkpoint_interval: 50ms
sources:
{lines}
transforms:
  flat: {{ type: flatten, inputs: [{}] }}
  unique: {{ type: dedupe, inputs: [flat], horizon: 400d }}
sinks:
  out: {{ inputs: [unique], {sink} }}
",
        names.join(", ")
    )
}

/// The keys of a source of `TENANT`.
pub(crate) fn source(cloud: &Cloud, kind: &str, keys: &str) -> String {
    format!(
        "type: {kind}, tenant_id: {TENANT}, auth: {{ client_id: collector, client_secret: s }}, cloud: {{ simulator: '{}' }}, {keys}",
        cloud.base
    )
}

/// The rows of a lake: the ids that each source brought, sorted, doubles and all.
pub(crate) fn rows(scratch: &Scratch) -> BTreeMap<String, Vec<String>> {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in lake_files(&scratch.path("lake")) {
        // A file that a running collector has just put aside comes with the next look.
        let Ok(file) = File::open(&file) else { continue };
        let reader = SerializedFileReader::new(file).unwrap();
        let schema = reader.metadata().file_metadata().schema().clone();
        let wanted = schema.get_fields().iter().filter(|field| ["id", "source"].contains(&field.name())).cloned();
        let projection = parquet::schema::types::Type::group_type_builder(schema.name())
            .with_fields(wanted.collect())
            .build()
            .unwrap();
        for row in reader.get_row_iter(Some(projection)).unwrap() {
            let mut texts = row.unwrap().into_columns().into_iter().map(|(name, field)| match field {
                Field::Str(text) => (name, text),
                other => panic!("{name} is no string: {other:?}"),
            });
            let (first, second) = (texts.next().unwrap(), texts.next().unwrap());
            let (id, source) = if first.0 == "id" { (first.1, second.1) } else { (second.1, first.1) };
            rows.entry(source).or_default().push(id);
        }
    }
    rows.values_mut().for_each(|ids| ids.sort());
    rows
}

/// What a source brought is exactly what was expected, each once.
pub(crate) fn check(what: &str, found: &[String], expected: &BTreeSet<String>) {
    let doubled: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    let missing: Vec<_> = expected.iter().filter(|id| found.binary_search(id).is_err()).collect();
    let strange: Vec<_> = found.iter().filter(|id| !expected.contains(*id)).collect();
    assert!(
        doubled.is_empty() && missing.is_empty() && strange.is_empty(),
        "{what}: of {} records {} are missing {:?}, {} are doubled {:?}, {} are strange {:?}",
        expected.len(),
        missing.len(),
        missing.iter().take(3).collect::<Vec<_>>(),
        doubled.len(),
        doubled.iter().take(3).collect::<Vec<_>>(),
        strange.len(),
        strange.iter().take(3).collect::<Vec<_>>(),
    );
    assert!(!expected.is_empty(), "{what}: nothing was published");
}

/// What `downspout gaps` says: whether nothing is missing, and the open gaps.
pub(crate) fn gaps(scratch: &Scratch) -> (bool, Vec<Value>) {
    let output = scratch.downspout(&["gaps", "--json", "pipeline.yaml"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let feeds = report["feeds"].as_array().unwrap();
    let gaps: Vec<Value> = feeds.iter().flat_map(|feed| feed["gaps"].as_array().unwrap().clone()).collect();
    assert_eq!(output.status.code(), Some(i32::from(!gaps.is_empty())), "{report}");
    (report["complete"] == true, gaps)
}

/// The ledgers that a running collector shows at its admin endpoint; `None` while it does not listen.
fn shown(admin: &str) -> Option<Vec<Value>> {
    request(admin, "GET /ledger", "").map(|ledger| serde_json::from_str(&ledger).unwrap())
}

fn is_listed(feed: &Value, time: Timestamp) -> bool {
    let last = feed["state"]["windows"].as_array().unwrap().last();
    last.is_some_and(|window| window["end"].as_str().unwrap().parse::<Timestamp>().unwrap() >= time)
}

/// An address for an admin endpoint: its port was free a moment ago.
pub(crate) fn admin_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A collector that runs; it is killed if the test ends before it does.
pub(crate) struct Collector(Child);

impl Collector {
    pub(crate) fn start(scratch: &Scratch) -> Collector {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(scratch.path("log")).unwrap();
        let mut command = scratch.downspout(&["run", "pipeline.yaml"]);
        Collector(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) {
        let done = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(done.success() && self.0.wait().unwrap().success());
    }

    /// Waits until it ends, well.
    pub(crate) fn until_end(mut self, scratch: &Scratch) {
        let status = self.0.wait().unwrap();
        let log = || std::fs::read_to_string(scratch.path("log")).unwrap_or_default();
        assert!(status.success(), "{}", log());
    }

    /// Waits until it ends, and tells how.
    pub(crate) fn status(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }

    /// Waits until something is true.
    pub(crate) fn until(&mut self, scratch: &Scratch, what: &str, mut is_true: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_true() {
            let log = || std::fs::read_to_string(scratch.path("log")).unwrap_or_default();
            assert!(self.is_running(), "the collector has ended: {}", log());
            assert!(begun.elapsed() < PATIENCE, "never: {what}\n{}", log());
            // Looking costs more than waiting for what is looked for.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until every one of `feeds` feeds was listed up to a time, and all that was listed is delivered: by the ledger
    /// that the collector itself shows at its admin endpoint.
    pub(crate) fn until_delivered(&mut self, scratch: &Scratch, admin: &str, feeds: usize, time: Timestamp) {
        let is_delivered = |feed: &Value| {
            let mut windows = feed["state"]["windows"].as_array().unwrap().iter();
            is_listed(feed, time) && windows.all(|window| window["last"].as_u64() <= feed["acknowledged"].as_u64())
        };
        self.until(scratch, &format!("{feeds} feeds delivered up to {time}"), || {
            shown(admin).is_some_and(|ledger| ledger.len() == feeds && ledger.iter().all(is_delivered))
        });
    }

    /// Waits until every one of `feeds` feeds was listed up to a time.
    pub(crate) fn until_listed(&mut self, scratch: &Scratch, admin: &str, feeds: usize, time: Timestamp) {
        self.until(scratch, &format!("{feeds} feeds listed up to {time}"), || {
            shown(admin).is_some_and(|ledger| ledger.len() == feeds && ledger.iter().all(|feed| is_listed(feed, time)))
        });
    }

    /// Waits until a source has brought all of these records.
    pub(crate) fn until_in_lake(&mut self, scratch: &Scratch, source: &str, expected: &BTreeSet<String>) {
        self.until(scratch, &format!("{} records of {source} in the lake", expected.len()), || {
            let mut rows = rows(scratch);
            let found = rows.remove(source).unwrap_or_default();
            found.len() >= expected.len() && expected.iter().all(|id| found.binary_search(id).is_ok())
        });
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tenant_is_collected_whole() {
    let cloud = Cloud::start(small());
    let scratch = Scratch::new();
    let keys = format!("start: 3d, mode: once, until: {START}");
    scratch.run_well(&pipeline(&[("m365", source(&cloud, "office365_management", &keys))]));
    let start: Timestamp = START.parse().unwrap();
    let expected = audit_ids(&cloud.ledger(), |line| line.available < start);
    check("m365", &rows(&scratch)["m365"], &expected);
    assert_eq!(gaps(&scratch), (true, Vec::new()));
    assert!(cloud.happened("late") > 0 && cloud.happened("shuffled") > 0);
    let stats = cloud.stats();
    assert_eq!((&stats["without_publisher"], &stats["throttled"]), (&0.into(), &0.into()), "{stats}");
    eprintln!("{} records, {}", expected.len(), stats["requests"]);
}
