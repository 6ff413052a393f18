//! `downspout demo`: the whole pipeline against a simulated tenant, with nothing to configure.
//!
//! What it does is what `run` does with the config that it leaves behind: the simulated cloud is reached over sockets,
//! as Microsoft's would be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use downspout_core::metrics::Metrics;
use downspout_runtime::{Pipeline, Plan, Report};
use downspout_simulator::world::Truth;
use downspout_simulator::{AttackEntry, Config, Running, TenantConfig};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use parquet::file::reader::{FileReader, SerializedFileReader};
use tokio::sync::watch;

use crate::args::{LogFormat, LogLevel};
use crate::logging::{self, Bar};
use crate::run::listen_for_signals;

/// Where addresses of documentation ranges and of the simulated world stand on the map.
const GEO: &[u8] = include_bytes!("../../../pipelines/samples/documentation.mmdb");

/// The pipeline, as it could stand in a file of the reader's own.
const PIPELINE: &str = include_str!("demo.yaml");

/// How many days the tenant has lived.
const DAYS: f64 = 5.0;

/// Simulated seconds per second: limits of "5 requests in 10 seconds" should not be what the demo waits for.
const RATE: f64 = 300.0;

/// The folder of records that name no workload.
const NO_WORKLOAD: &str = "__HIVE_DEFAULT_PARTITION__";

/// How many workloads the summary names.
const SHOWN: usize = 12;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The folder for the config, the state and the lake; a new temporary one if left out.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// How many records a day the simulated tenant leaves behind.
    #[arg(long, value_name = "RECORDS", default_value_t = 8_000)]
    events_per_day: u64,
}

pub(crate) fn run(arguments: &DemoArgs, format: LogFormat, level: LogLevel) -> ExitCode {
    let bar = Bar::default();
    // The demo tells its own story; only trouble interrupts it, unless details are asked for.
    let level = if matches!(level, LogLevel::Info) { LogLevel::Warn } else { level };
    logging::start(format, level, Arc::clone(&bar));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(demo(arguments, &bar)),
        Err(error) => Err(format!("cannot start threads: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(arguments: &DemoArgs, bar: &Bar) -> Result<(), String> {
    let started = Instant::now();
    let folder = folder(arguments.dir.as_deref())?;
    let cloud = downspout_simulator::start(cloud(arguments)).await.map_err(|error| error.to_string())?;
    say(&format!("A simulated Microsoft cloud lives at {}: one company, {DAYS} days, 14 attacks.", cloud.base_url));
    let published = tokio::task::block_in_place(|| cloud.published());
    // The mailboxes' own audit log says again what the unified log says.
    let published: u64 = published.iter().filter(|(feed, _)| *feed != "mailboxAudit").map(|(_, count)| count).sum();
    let config = write_config(&folder, &cloud)?;
    say(&format!(
        "Collecting its logs, as {} says: {} records by now, and more while it lives on",
        config.display(),
        HumanCount(published)
    ));

    let plan = Plan::load(&[config], &|_| None).map_err(|problems| problems.to_string())?;
    let pipeline = Pipeline::open(plan).await.map_err(|error| error.to_string())?;
    let (stop, stopping) = watch::channel(false);
    listen_for_signals(stop).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let drawing = stderr().is_terminal().then(|| draw(pipeline.metrics().clone(), published, bar));
    let report = pipeline.run(stopping).await;
    if let Some(drawing) = drawing {
        drawing.abort();
        if let Some(bar) = bar.get() {
            bar.finish_and_clear();
        }
    }
    let attacks = tokio::task::block_in_place(|| cloud.attacks());
    print!("{}", summary(&folder, &report, published, &attacks, started.elapsed()));
    cloud.stop().await.map_err(|error| error.to_string())?;
    if report.errors.is_empty() { Ok(()) } else { Err(report.errors.join("\n")) }
}

fn say(line: &str) {
    eprintln!("{line}");
}

/// The folder that everything goes to: the one that was asked for, or a new one.
fn folder(asked: Option<&Path>) -> Result<PathBuf, String> {
    let folder = match asked {
        Some(folder) => folder.to_owned(),
        None => std::env::temp_dir().join(format!("downspout-demo-{}", std::process::id())),
    };
    let failed = |error| format!("cannot create {}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    // Another tenant's records, or those of an earlier demo, would mix with these.
    if folder.join("state").exists() || folder.join("lake").exists() {
        return Err(format!("{} holds an earlier demo: remove it, or choose another folder", folder.display()));
    }
    folder.canonicalize().map_err(failed)
}

fn cloud(arguments: &DemoArgs) -> Config {
    let tenant = TenantConfig {
        users: 80,
        events_per_day: arguments.events_per_day,
        attacks: vec![AttackEntry { after_hours: 24.0, ..AttackEntry::default() }],
        ..TenantConfig::default()
    };
    let mut config = Config { history_days: DAYS, latency_ms: 20, tenants: vec![tenant], ..Config::default() };
    config.clock.rate = RATE;
    config
}

fn write_config(folder: &Path, cloud: &Running) -> Result<PathBuf, String> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok::<_, String>(path)
    };
    write("geo.mmdb", GEO)?;
    let tenant = TenantConfig::default().tenant_id;
    // JSON strings are YAML strings: a folder's name cannot change what the config means.
    let quoted = |path: PathBuf| serde_json::Value::from(path.to_string_lossy().into_owned()).to_string();
    let text = PIPELINE
        .replace("SIMULATOR", &cloud.base_url)
        .replace("TENANT", &tenant)
        .replace("STATE", &quoted(folder.join("state")))
        .replace("LAKE", &quoted(folder.join("lake")))
        .replace("GEO", &quoted(folder.join("geo.mmdb")));
    write("demo.yaml", text.as_bytes())
}

/// Draws ten times a second how many records have come in.
fn draw(metrics: Metrics, published: u64, shared: &Bar) -> tokio::task::JoinHandle<()> {
    let bar = shared.get_or_init(|| ProgressBar::new(published)).clone();
    let style =
        ProgressStyle::with_template("{spinner} [{bar:32}] {human_pos} of {human_len} records, {elapsed}  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let counts = by_source(&metrics.render());
            bar.set_position(counts.values().sum());
            let busiest = counts.iter().max_by_key(|(_, count)| **count);
            bar.set_message(busiest.map(|(name, _)| name.clone()).unwrap_or_default());
            bar.tick();
        }
    })
}

/// How many records each source has handed over, from the metrics as Prometheus would see them.
fn by_source(text: &str) -> BTreeMap<String, u64> {
    let sent = text.lines().filter(|line| {
        line.starts_with("downspout_component_sent_events_total{") && line.contains("component_kind=\"source\"")
    });
    sent.filter_map(|line| {
        let name = line.split_once("component_id=\"")?.1.split('"').next()?;
        let count = line.rsplit(' ').next()?.parse::<f64>().ok()?;
        Some((name.to_owned(), count as u64))
    })
    .collect()
}

/// `published`: how many records there were at the start.
fn summary(folder: &Path, report: &Report, published: u64, attacks: &[Truth], took: Duration) -> String {
    let lake = folder.join("lake");
    let workloads = workloads(&lake);
    let rows: u64 = workloads.values().map(|(rows, _)| rows).sum();
    let bytes: u64 = workloads.values().map(|(_, bytes)| bytes).sum();
    let mut text = String::new();
    let mut line = |parts: std::fmt::Arguments<'_>| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{parts}");
    };
    line(format_args!("Read, by source"));
    let mut read = 0;
    for component in report.components.iter().filter(|component| component.kind == "source") {
        line(format_args!("  {:<32}{:>10}", component.id, HumanCount(component.sent).to_string()));
        read += component.sent;
    }
    let again: u64 = report.components.iter().map(|component| component.discarded).sum();
    line(format_args!("  {:<32}{:>10}", "in all", HumanCount(read).to_string()));
    line(format_args!("  {:<32}{:>10}", "of these given twice, dropped", HumanCount(again).to_string()));
    line(format_args!("  {:<32}{:>10}", "in the lake, each once", HumanCount(rows).to_string()));
    let new = rows.saturating_sub(published);
    if new > 0 {
        line(format_args!("  {:<32}{:>10}", "of these new since the start", HumanCount(new).to_string()));
    }
    line(format_args!("\nIn the lake, by workload"));
    let mut largest: Vec<_> = workloads.iter().collect();
    largest.sort_by_key(|(_, (rows, _))| std::cmp::Reverse(*rows));
    for (workload, (rows, bytes)) in largest.iter().take(SHOWN) {
        let (rows, bytes) = (HumanCount(*rows).to_string(), HumanBytes(*bytes).to_string());
        let workload = if *workload == NO_WORKLOAD { "(none)" } else { workload.as_str() };
        line(format_args!("  {workload:<32}{rows:>10} rows {bytes:>12}"));
    }
    if largest.len() > SHOWN {
        let rest: u64 = largest[SHOWN..].iter().map(|(_, (rows, _))| rows).sum();
        let name = format!("{} more", largest.len() - SHOWN);
        line(format_args!("  {name:<32}{:>10} rows", HumanCount(rest).to_string()));
    }
    line(format_args!("\nWhat was done to the company meanwhile"));
    for attack in attacks {
        let start = attack.start.strftime("%a %H:%M");
        line(format_args!(
            "  {start}  {:<26}{:>5} records  {}",
            attack.kind,
            attack.record_ids.len(),
            attack.description
        ));
    }
    let seconds = took.as_secs_f64();
    line(format_args!(
        "\n{} records in {} of Parquet, {seconds:.0} s after the start. Who tried whose password?\n",
        HumanCount(rows),
        HumanBytes(bytes)
    ));
    let files = lake.join("**").join("*.parquet");
    line(format_args!(
        "  duckdb -c \"SELECT client_ip, count(*) AS failures, count(DISTINCT user_id) AS users, min(time) AS first FROM read_parquet('{}', hive_partitioning=true) WHERE operation = 'UserLoginFailed' GROUP BY client_ip ORDER BY users DESC LIMIT 10\"\n",
        files.display()
    ));
    line(format_args!("The config, to be made your own tenant's: {}", folder.join("demo.yaml").display()));
    text
}

/// Rows and bytes of each `workload=...` folder of the lake.
fn workloads(lake: &Path) -> BTreeMap<String, (u64, u64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(lake.to_owned(), String::new())];
    while let Some((folder, workload)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                let workload = name.strip_prefix("workload=").map_or_else(|| workload.clone(), str::to_owned);
                folders.push((path, workload));
            } else if name.ends_with(".parquet")
                && let Ok(reader) =
                    File::open(&path).map_err(drop).and_then(|f| SerializedFileReader::new(f).map_err(drop))
            {
                let rows = reader.metadata().file_metadata().num_rows().unsigned_abs();
                let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                let sum: &mut (u64, u64) = found.entry(workload.clone()).or_default();
                *sum = (sum.0 + rows, sum.1 + bytes);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipeline_is_a_good_config() {
        let text = PIPELINE
            .replace("SIMULATOR", "http://127.0.0.1:1")
            .replace("TENANT", &TenantConfig::default().tenant_id)
            .replace("STATE", "s")
            .replace("LAKE", "l")
            .replace("GEO", "g");
        if let Err(problems) = Plan::from_text("demo.yaml", &text, &|_| None) {
            panic!("{problems}");
        }
    }

    #[test]
    fn counts_come_from_the_metrics() {
        let text = "# HELP x\ndownspout_component_sent_events_total{component_id=\"a\",component_kind=\"source\",component_type=\"t\"} 12\n\
                    downspout_component_sent_events_total{component_id=\"b\",component_kind=\"sink\",component_type=\"t\"} 5\n";
        assert_eq!(by_source(text), BTreeMap::from([("a".to_owned(), 12)]));
    }
}
