//! `downspout collect`: everything of a window, a user, an address or a text, into files that can be shown in court.
//!
//! There is no second engine: the arguments become the config of an ordinary pipeline ([`config`]), whose state lives in
//! the output folder. So an interrupted collection goes on as every pipeline does, exactly once into its files. What is
//! added here is the order that the folder belongs to ([`order`]), the log of requests ([`requests`]), the progress
//! ([`progress`]), and at the end one file for each source and day ([`merge`]), and the manifest ([`manifest`]): what was
//! asked for, what came, what is missing and why, and the hash of every file.

mod args;
mod config;
mod files;
mod manifest;
mod merge;
mod order;
mod progress;
mod requests;
mod sign_in;

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use downspout_core::{ConfigError, Store};
use downspout_runtime::{Pipeline, Report};
use indicatif::HumanCount;
use jiff::Timestamp;
use tokio::sync::watch;

pub(crate) use self::args::CollectArguments;
use self::manifest::Manifest;
use self::merge::Merger;
use self::order::Order;
use self::requests::RequestLog;
use self::sign_in::Secrets;
use crate::args::{LogFormat, LogLevel};
use crate::logging::{self, Bar};
use crate::run::listen_for_signals;

/// What `--help` says behind the options.
pub(crate) const HELP: &str = include_str!("help.txt");

/// The log of requests, in the output folder.
const REQUESTS: &str = "requests.ndjson";

/// Runs the command.
pub(crate) fn run(arguments: &CollectArguments, format: LogFormat, level: LogLevel) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Nothing is made for a command that cannot work.
    let (order, secrets) = match runtime.block_on(prepare(arguments)) {
        Ok(prepared) => prepared,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    let opened = order.keep(&arguments.out).and_then(|()| {
        let path = arguments.out.join(REQUESTS);
        RequestLog::open(&path).map_err(|error| format!("cannot write {}: {error}", path.display()))
    });
    let requests = match opened {
        Ok(requests) => requests,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let bar = Bar::default();
    logging::start_with(format, level, Arc::clone(&bar), requests, requests::TARGET);
    match runtime.block_on(collect(arguments, &order, secrets, format, &bar)) {
        Ok(code) => code,
        Err(problem) => {
            tracing::error!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// What the arguments mean, checked: the order, and what it takes to sign in.
///
/// # Errors
/// What is wrong with the arguments, in words.
async fn prepare(arguments: &CollectArguments) -> Result<(Order, Secrets), String> {
    let secrets = Secrets::read(arguments)?;
    let now = now(arguments).await?;
    let order = Order::take_up(&arguments.out, Order::new(arguments, now))?;
    if order.since >= order.until {
        return Err(format!("there is nothing between --since {} and --until {}", order.since, order.until));
    }
    config::plan(arguments, &order, &secrets)?;
    Ok((order, secrets))
}

/// Runs the pipeline, puts the files together, and writes the manifest.
///
/// # Errors
/// If the folder cannot be used.
async fn collect(
    arguments: &CollectArguments,
    order: &Order,
    secrets: Secrets,
    format: LogFormat,
    bar: &Bar,
) -> Result<ExitCode, String> {
    for warning in config::warnings(arguments) {
        tracing::warn!("{warning}");
    }
    let (stop, stopping) = watch::channel(false);
    listen_for_signals(stop).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let plan = config::plan(arguments, order, &secrets)?;
    let started = Instant::now();
    tracing::info!("collecting from {} to {} into {}", order.since, order.until, arguments.out.display());
    let sources: Vec<(String, &'static str)> =
        plan.sources.iter().map(|planned| (planned.id.clone(), planned.component_type)).collect();
    let pipeline = Pipeline::open(plan).await.map_err(|error| error.to_string())?;
    // From here on the folder is this process's alone.
    let store = pipeline.store();
    let stopped = stopping.clone();
    let go_on = || !*stopped.borrow();
    let merger = Merger::new(&arguments.out, arguments.format, &go_on);
    merger.finish().map_err(|error| format!("cannot go on with putting files together: {error}"))?;
    let drawing = (stderr().is_terminal() && format == LogFormat::Text)
        .then(|| progress::draw(order, &sources, Arc::clone(&store), pipeline.metrics().clone(), bar));
    let mut report = pipeline.run(stopping).await;
    if let Some(drawing) = drawing {
        drawing.stop();
    }
    if go_on() {
        tracing::info!("putting the files of each source and day together");
        let problems = merger.merge().err().unwrap_or_default();
        report.errors.extend(problems.into_iter().map(|problem| format!("cannot put files together: {problem}")));
    }
    let finished = report.errors.is_empty() && go_on();
    conclude(arguments, order, &store, &report, finished, started)
}

/// Writes the manifest, and tells what came of it all.
fn conclude(
    arguments: &CollectArguments,
    order: &Order,
    store: &Store,
    report: &Report,
    finished: bool,
    started: Instant,
) -> Result<ExitCode, String> {
    tracing::info!("computing the hashes of all files");
    let manifest = Manifest::new(arguments, order, store, report, finished)?;
    manifest.write(&arguments.out)?;
    let gaps = manifest.open_gaps();
    for source in report.components.iter().filter(|component| component.kind == "source") {
        let (files, records) = manifest.collected(&source.id);
        let read = HumanCount(source.sent);
        tracing::info!("{}: {} records in {files} files; {read} read in this run", source.id, HumanCount(records));
    }
    for (source, feed, begin) in manifest.not_kept() {
        tracing::warn!("{source}: Microsoft keeps nothing of {feed} from before {begin}");
    }
    let took = started.elapsed().as_secs_f64();
    if !finished {
        tracing::warn!("not finished after {took:.0} s: the same command goes on where this one stopped");
    } else if gaps > 0 {
        tracing::warn!("collected in {took:.0} s, with {gaps} gaps: manifest.json tells which, and why");
    } else {
        tracing::info!("collected in {took:.0} s, without a gap");
    }
    Ok(if finished && gaps == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What time it is in the cloud that is collected from.
async fn now(arguments: &CollectArguments) -> Result<Timestamp, String> {
    let wrong = |errors: Vec<ConfigError>| {
        errors.into_iter().map(|error| format!("--cloud: {}", error.message)).collect::<Vec<_>>().join("; ")
    };
    let cloud = sign_in::cloud(arguments)?.plan().map_err(wrong)?;
    let http = downspout_microsoft::client::http_client(None).map_err(|error| error.to_string())?;
    let clock = downspout_microsoft::config::clock(&cloud, &http).await.map_err(|error| error.to_string())?;
    Ok(clock.now())
}
