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
mod heed;
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
    let (order, goes_on, secrets) = match runtime.block_on(prepare(arguments)) {
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
    let begin = if goes_on { "going on with the collection" } else { "collecting" };
    tracing::info!("{begin} from {} to {} into {}", order.since, order.until, arguments.out.display());
    match runtime.block_on(collect(arguments, &order, secrets, format, &bar)) {
        Ok(code) => code,
        Err(problem) => {
            tracing::error!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// What the arguments mean, checked: the order, whether it was begun before, and what it takes to sign in.
///
/// # Errors
/// What is wrong with the arguments, in words.
async fn prepare(arguments: &CollectArguments) -> Result<(Order, bool, Secrets), String> {
    heed::check(arguments)?;
    let secrets = Secrets::read(arguments)?;
    let (now, clock) = now(arguments).await?;
    let (order, goes_on) = Order::take_up(&arguments.out, Order::new(arguments, now, clock))?;
    if order.since >= order.until {
        return Err(format!("there is nothing between --since {} and --until {}", order.since, order.until));
    }
    config::plan(arguments, &order, &secrets)?;
    Ok((order, goes_on, secrets))
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
    for note in heed::notes(arguments).into_iter().chain(order.notes(arguments)).chain(order.ahead()) {
        tracing::warn!("{note}");
    }
    let (stop, stopping) = watch::channel(false);
    listen_for_signals(stop).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let plan = config::plan(arguments, order, &secrets)?;
    let started = Instant::now();
    let sources: Vec<(String, &'static str)> =
        plan.sources.iter().map(|planned| (planned.id.clone(), planned.component_type)).collect();
    // A licence that is missing for one log must not keep the others from being collected.
    let pipeline = Pipeline::open(plan).await.map_err(|error| error.to_string())?.each_on_its_own();
    // From here on the folder is this process's alone.
    let store = pipeline.store();
    let stopped = stopping.clone();
    let go_on = || !*stopped.borrow();
    let merger = Merger::new(&arguments.out, arguments.format, &go_on);
    manifest::check(&arguments.out)?;
    merger.finish().map_err(|error| format!("cannot go on with putting files together: {error}"))?;
    let drawing =
        (stderr().is_terminal() && format == LogFormat::Text).then(|| progress::draw(order, &sources, &pipeline, bar));
    let mut report = pipeline.run(stopping).await;
    if let Some(drawing) = drawing {
        drawing.stop();
    }
    if go_on() {
        tracing::info!("putting the files of each source and day together");
        let problems = merger.merge().err().unwrap_or_default();
        report.errors.extend(problems.into_iter().map(|problem| format!("cannot put files together: {problem}")));
    }
    let outcome = match report.errors.is_empty() {
        _ if !go_on() => Outcome::Stopped,
        true => Outcome::Finished,
        false => Outcome::Failed,
    };
    conclude(arguments, order, &store, &report, outcome, started)
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything that was ordered was asked for.
    Finished,
    /// Somebody stopped it.
    Stopped,
    /// Something could not be had, or not be written.
    Failed,
}

/// Writes the manifest, and tells what came of it all.
fn conclude(
    arguments: &CollectArguments,
    order: &Order,
    store: &Store,
    report: &Report,
    outcome: Outcome,
    started: Instant,
) -> Result<ExitCode, String> {
    tracing::info!("computing the hashes of all files");
    let finished = outcome == Outcome::Finished;
    let (ahead, late) = (order.ahead(), order.late());
    let notes = heed::notes(arguments).into_iter().chain(order.notes(arguments));
    let notes: Vec<String> = notes.chain(ahead.clone()).chain(late.clone()).collect();
    let manifest = Manifest::new(arguments, order, &notes, store, report, finished)?;
    manifest.write(&arguments.out)?;
    let sources = || report.components.iter().filter(|component| component.kind == "source");
    for source in sources() {
        let (files, records, gaps) = manifest.collected(&source.id);
        let (records, read) = (counted(records, "record"), HumanCount(source.sent));
        let gaps = if gaps > 0 { format!(", {}", counted(gaps as u64, "gap")) } else { String::new() };
        let files = counted(files as u64, "file");
        tracing::info!("{}: {records} in {files}{gaps}; {read} read in this run", source.id);
    }
    for (source, feed, begin) in manifest.not_kept() {
        tracing::warn!("{source}: Microsoft keeps nothing of {feed} from before {begin}");
    }
    if finished {
        for late in late {
            tracing::info!("{late}");
        }
        if let Some(ahead) = ahead {
            tracing::warn!("{ahead}");
        }
    }
    let (took, gaps) = (started.elapsed().as_secs(), manifest.open_gaps());
    let path = arguments.out.join(manifest::NAME);
    match outcome {
        Outcome::Stopped => {
            tracing::warn!("not finished after {took} s: the same command goes on where this one stopped");
        }
        Outcome::Failed => {
            let failed: Vec<&str> = sources().filter(|source| source.failed).map(|source| &*source.id).collect();
            let failed = if failed.is_empty() { "something failed".to_owned() } else { failed.join(", ") + " failed" };
            tracing::error!(
                "not finished after {took} s: {failed}, as told above and in {}; what else was ordered is collected. Mend it \
                 and repeat the command, which goes on from there",
                path.display()
            );
        }
        Outcome::Finished if gaps > 0 => {
            let gaps = counted(gaps as u64, "gap");
            tracing::warn!("collected in {took} s, with {gaps}: {} tells which, and why", path.display());
        }
        Outcome::Finished => {
            tracing::info!("collected in {took} s, without a gap: counts and hashes are in {}", path.display());
        }
    }
    Ok(if finished && gaps == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `1 record`, `2 records`.
fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

/// What time it is in the cloud that is collected from, and what is wrong with this machine's clock.
async fn now(arguments: &CollectArguments) -> Result<(Timestamp, Option<String>), String> {
    let wrong = |errors: Vec<ConfigError>| {
        errors.into_iter().map(|error| format!("--cloud: {}", error.message)).collect::<Vec<_>>().join("; ")
    };
    let cloud = sign_in::cloud(arguments)?.plan().map_err(wrong)?;
    let ca_file = arguments.ca_file.as_deref();
    let http = downspout_microsoft::client::http_client(ca_file).map_err(|error| error.to_string())?;
    let clock = downspout_microsoft::config::clock(&cloud, &http).await.map_err(|error| error.to_string())?;
    let (now, wrong) = downspout_microsoft::client::time_at(&http, &cloud, &clock).await;
    Ok((now, wrong.map(|wrong| format!("{wrong}, by which --since and --until are reckoned"))))
}
