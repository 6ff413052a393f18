//! The collector against the simulated cloud: how much of its budget it uses, how fast it reads, what it holds.
//!
//! The cloud runs in this process, the contestant is the real binary beside this one (or `--binary FILE`).
//!
//! - `budget`: 100 ms of latency for each request and 2,000 requests a minute. The first minute is not counted; then
//!   `--seconds` (120) of it: the share of the budget that was used, and the requests that were one too many.
//! - `speed`: no limit of requests, blobs of 4 MiB that cost the cloud nothing. The cloud on core 0, the collector
//!   pinned to core 1: megabytes of records (unpacked) in a second, with nothing behind the source, and with `flatten`.
//! - `memory`: blobs of 50 MB of five feeds, and a sink that takes nothing until the memory has settled, then all.
//!
//! Without a name, all three. Linux only: memory is read from `/proc`, and `taskset` (util-linux) pins.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use downspout_simulator::{BulkConfig, Config, Running, TenantConfig, start};
use serde_json::Value;
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn Error>>;

const FEEDS: [&str; 5] =
    ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"];

/// How often states are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Memory that did not grow for that long has settled.
const SETTLED: Duration = Duration::from_secs(10);

struct Arguments {
    names: Vec<String>,
    binary: PathBuf,
    seconds: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\nusage: collector [budget|speed|memory]... [--binary FILE] [--seconds N]");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let arguments = arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let wanted = |name: &str| arguments.names.is_empty() || arguments.names.iter().any(|wanted| wanted == name);
    println!("| what | measured | wanted |\n| --- | ---: | ---: |");
    if wanted("budget") {
        budget(&runtime, &arguments)?;
    }
    if wanted("memory") {
        memory(&runtime, &arguments)?;
    }
    // The last one, because it pins this process.
    if wanted("speed") {
        speed(&arguments)?;
    }
    Ok(())
}

fn arguments() -> Outcome<Arguments> {
    let beside = std::env::current_exe()?.parent().map(|folder| folder.join("downspout")).unwrap_or_default();
    let mut arguments = Arguments { names: Vec::new(), binary: beside, seconds: 120 };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--binary" => arguments.binary = given.next().ok_or("--binary needs a file")?.into(),
            "--seconds" => arguments.seconds = given.next().ok_or("--seconds needs a number")?.parse()?,
            "budget" | "speed" | "memory" => arguments.names.push(argument),
            other => return Err(format!("unknown: {other}").into()),
        }
    }
    arguments.binary = arguments.binary.canonicalize().map_err(|_| "no downspout binary: build it first")?;
    Ok(arguments)
}

/// A tenant that is asleep, but for its blobs.
fn cloud(bulk: Vec<BulkConfig>) -> Outcome<Config> {
    let tenant = TenantConfig {
        events_per_day: 0,
        users: 2,
        subscribed: FEEDS.map(str::to_owned).to_vec(),
        bulk,
        ..TenantConfig::default()
    };
    let mut config = Config { history_days: 0.01, tenants: vec![tenant], ..Config::default() };
    config.clock.start = Some("2026-01-07T12:00:00Z".parse()?);
    Ok(config)
}

/// A control request to the cloud.
fn stats(cloud: &Running) -> Outcome<Value> {
    let mut stream = TcpStream::connect(cloud.addresses[0])?;
    write!(stream, "GET /simulator/stats HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(serde_json::from_str(answer.split_once("\r\n\r\n").ok_or("no answer")?.1)?)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Requests to the API so far, and those of them that were refused as one too many.
fn requests(cloud: &Running) -> Outcome<(u64, u64)> {
    let stats = stats(cloud)?;
    let all = stats["requests"]["management"].as_object().map_or(0, |by_status| by_status.values().map(count).sum());
    Ok((all, count(&stats["throttled"])))
}

/// A collector of the cloud's tenant in a folder of its own, killed when this is dropped.
struct Collector {
    child: Child,
    _folder: TempDir,
}

impl Collector {
    /// `keys`: more of the source's; `rest`: transforms and sinks, from a source `m365`.
    fn start(binary: &Path, cloud: &Running, (keys, rest): (&str, &str), pin: Option<&str>) -> Outcome<Collector> {
        let folder = tempfile::tempdir()?;
        let config = format!(
            "data_dir: ./data\nthreads: 1\nsources:\n  m365: {{ type: office365_management, tenant_id: {}, auth: {{ client_id: bench, \
             client_secret: s }}, cloud: {{ simulator: '{}' }}, {keys} }}\n{rest}\n",
            TenantConfig::default().tenant_id,
            cloud.base_url,
        );
        fs::write(folder.path().join("pipeline.yaml"), config)?;
        let mut command = match pin {
            Some(core) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["-c", core]).arg(binary);
                taskset
            }
            None => Command::new(binary),
        };
        command.args(["--log-level", "error", "run", "pipeline.yaml"]).current_dir(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        Ok(Collector { child, _folder: folder })
    }

    /// The peak of resident memory so far, in bytes; `None` if it has ended.
    fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    fn has_ended(&mut self) -> Outcome<bool> {
        match self.child.try_wait()? {
            Some(status) if !status.success() => Err(format!("the collector failed: {status}").into()),
            ended => Ok(ended.is_some()),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn budget(runtime: &tokio::runtime::Runtime, arguments: &Arguments) -> Outcome<()> {
    const LIMIT: u64 = 2_000;
    // Enough for twenty minutes, over six days.
    let blobs = BulkConfig { blobs: 40_000, blob_bytes: 2_600, spacing_seconds: 12.0, ..BulkConfig::default() };
    let mut config = cloud(vec![blobs])?;
    config.latency_ms = 100;
    config.limits.management_per_minute = LIMIT;
    let cloud = runtime.block_on(start(config))?;
    let pipeline = ("start: 7d, content_types: [Audit.General]", "sinks: { out: { type: blackhole, inputs: [m365] } }");
    let mut collector = Collector::start(&arguments.binary, &cloud, pipeline, None)?;
    sleep(Duration::from_secs(60));
    let (begun, before) = (Instant::now(), requests(&cloud)?);
    sleep(Duration::from_secs(arguments.seconds));
    let (after, minutes) = (requests(&cloud)?, begun.elapsed().as_secs_f64() / 60.0);
    if collector.has_ended()? {
        return Err("there was too little to collect".into());
    }
    let used = (after.0 - before.0) as f64 / minutes / LIMIT as f64;
    println!("| budget used, settled | {:.1} % | 95 % |", used * 100.0);
    println!("| requests refused as one too many, settled | {} | 0 |", after.1 - before.1);
    println!("| the same in the first minute | {} | |", before.1);
    Ok(())
}

fn speed(arguments: &Arguments) -> Outcome<()> {
    // The cloud's threads are made after this, and stay on the core too.
    let own = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-acp", "0", &own]).stdout(Stdio::null()).status()?;
    if !pinned.success() {
        return Err("taskset failed".into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for (name, rest) in [
        ("source", "sinks: { out: { type: blackhole, inputs: [m365] } }"),
        (
            "source and flatten",
            "transforms: { flat: { type: flatten, inputs: [m365] } }\nsinks: { out: { type: blackhole, inputs: [flat] } }",
        ),
    ] {
        let blobs = |feed: &str| BulkConfig {
            content_type: feed.to_owned(),
            blobs: 100,
            blob_bytes: 4 << 20,
            spacing_seconds: 600.0,
            unique: false,
        };
        let mut config = cloud(FEEDS.map(blobs).to_vec())?;
        config.limits.management_per_minute = 0;
        let cloud = runtime.block_on(start(config))?;
        let keys = "start: 7d, mode: once, requests_per_minute: 1000000";
        let begun = Instant::now();
        let mut collector = Collector::start(&arguments.binary, &cloud, (keys, rest), Some("1"))?;
        while !collector.has_ended()? {
            sleep(LOOK);
        }
        let megabytes = count(&stats(&cloud)?["blob_bytes"]) as f64 / 1e6;
        let seconds = begun.elapsed().as_secs_f64();
        println!("| blobs on one core, {name}: {megabytes:.0} MB | {:.0} MB/s | 50 MB/s |", megabytes / seconds);
    }
    Ok(())
}

fn memory(runtime: &tokio::runtime::Runtime, arguments: &Arguments) -> Outcome<()> {
    let blobs = |feed: &str| BulkConfig {
        content_type: feed.to_owned(),
        blobs: 3,
        blob_bytes: 50_000_000,
        spacing_seconds: 3_600.0,
        unique: false,
    };
    let mut config = cloud(FEEDS.map(blobs).to_vec())?;
    config.limits.management_per_minute = 0;
    let cloud = runtime.block_on(start(config))?;
    let rest = "transforms: { flat: { type: flatten, inputs: [m365] } }\nsinks: { out: { type: console, inputs: [flat], format: raw } }";
    let mut collector = Collector::start(&arguments.binary, &cloud, ("start: 7d, mode: once", rest), None)?;
    let output = collector.child.stdout.take().ok_or("no output")?;
    // Nobody reads the pipe.
    let (mut peak, mut since) = (0, Instant::now());
    while since.elapsed() < SETTLED {
        sleep(LOOK);
        let now = collector.peak().ok_or("the collector has ended before its time")?;
        if now > peak {
            (peak, since) = (now, Instant::now());
        }
    }
    println!("| peak memory, blobs of 50 MB, the sink takes nothing | {:.0} MB | 200 MB |", peak as f64 / 1e6);
    let drained = std::thread::spawn(move || drain(output));
    while !drained.is_finished() {
        sleep(LOOK);
        peak = peak.max(collector.peak().unwrap_or(0));
    }
    let records = drained.join().map_err(|_| "reading the output failed")??;
    while !collector.has_ended()? {
        sleep(LOOK);
    }
    println!("| ... and then {records} records | {:.0} MB | 200 MB |", peak as f64 / 1e6);
    Ok(())
}

/// Reads to the end; gives the number of lines.
fn drain(output: ChildStdout) -> std::io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, output);
    let mut lines = 0;
    loop {
        let read = reader.fill_buf()?;
        if read.is_empty() {
            return Ok(lines);
        }
        lines += read.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = read.len();
        reader.consume(length);
    }
}
