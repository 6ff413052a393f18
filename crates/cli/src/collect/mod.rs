//! `downspout collect`: everything of a window, a user, an address or a text, into files that can be shown in court.
//!
//! There is no second engine: the arguments become the config of an ordinary pipeline ([`config`]), whose state lives in
//! the output folder. So an interrupted collection goes on as every pipeline does, exactly once into its files. What is
//! added here is the order that the folder belongs to ([`order`]), the log of requests ([`requests`]), the progress
//! ([`progress`]), and at the end the manifest ([`manifest`]): what was asked for, what came, what is missing and why, and
//! the hash of every file.

mod args;
mod config;
mod files;
mod manifest;
mod order;
mod progress;
mod requests;

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use downspout_core::Store;
use downspout_runtime::{Pipeline, Plan, Report};
use indicatif::HumanCount;
use jiff::Timestamp;
use tokio::sync::watch;

pub(crate) use self::args::CollectArguments;
use self::manifest::Manifest;
use self::order::Order;
use self::requests::RequestLog;
use crate::args::{LogFormat, LogLevel};
use crate::logging::{self, Bar};
use crate::run::listen_for_signals;

/// The log of requests, in the output folder.
const REQUESTS: &str = "requests.ndjson";

/// Runs the command.
pub(crate) fn run(arguments: &CollectArguments, format: LogFormat, level: LogLevel) -> ExitCode {
    let bar = Bar::default();
    // Nothing is made for a command that cannot work.
    let secrets = match secrets(arguments) {
        Ok(secrets) => secrets,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    let opened = std::fs::create_dir_all(&arguments.out).and_then(|()| RequestLog::open(&arguments.out.join(REQUESTS)));
    let requests = match opened {
        Ok(requests) => requests,
        Err(error) => {
            eprintln!("error: cannot write into {}: {error}", arguments.out.display());
            return ExitCode::FAILURE;
        }
    };
    logging::start_with(format, level, Arc::clone(&bar), requests, requests::TARGET);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(collect(arguments, &secrets, format, &bar)) {
        Ok(code) => code,
        Err(problem) => {
            tracing::error!("{problem}");
            ExitCode::from(2)
        }
    }
}

/// # Errors
/// What is wrong with the arguments, in words.
async fn collect(
    arguments: &CollectArguments,
    env: &downspout_runtime::config::Env<'_>,
    format: LogFormat,
    bar: &Bar,
) -> Result<ExitCode, String> {
    if arguments.text.is_some() && order::profiles(arguments).iter().any(|profile| !profile.searches()) {
        tracing::warn!("--text searches the unified audit log alone; other sources are collected whole");
    }
    let started = Instant::now();
    let now = now(arguments).await?;
    let order = Order::take_up(&arguments.out, Order::new(arguments, now))?;
    if order.since >= order.until {
        return Err(format!("there is nothing between --since {} and --until {}", order.since, order.until));
    }
    let text = config::config(arguments, &order).to_string();
    let plan = Plan::from_text("collect", &text, env).map_err(|problems| problems.to_string())?;
    tracing::info!("collecting from {} to {} into {}", order.since, order.until, arguments.out.display());
    let (stop, stopping) = watch::channel(false);
    listen_for_signals(stop).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let sources: Vec<(String, &'static str)> =
        plan.sources.iter().map(|planned| (planned.id.clone(), planned.component_type)).collect();
    let pipeline = match Pipeline::open(plan).await {
        Ok(pipeline) => pipeline,
        Err(error) => {
            tracing::error!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let store = pipeline.store();
    let drawing = (stderr().is_terminal() && format == LogFormat::Text)
        .then(|| progress::draw(&order, &sources, Arc::clone(&store), pipeline.metrics().clone(), bar));
    let interrupted = stopping.clone();
    let report = pipeline.run(stopping).await;
    if let Some(drawing) = drawing {
        drawing.stop();
    }
    let finished = report.errors.is_empty() && !*interrupted.borrow();
    conclude(arguments, &order, &store, &report, finished, started)
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
    for source in &report.components {
        if source.kind == "source" {
            tracing::info!("{}: {} records in this run", source.id, HumanCount(source.sent));
        }
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

/// The names that the config may look up, and what they stand for.
fn secrets(arguments: &CollectArguments) -> Result<impl Fn(&str) -> Option<String> + use<>, String> {
    let variable =
        |name: &String| std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"));
    let mut secret = None;
    if let Some(name) = &arguments.client_secret_env {
        secret = Some(variable(name)?);
    } else if let Some(path) = &arguments.client_secret_file {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        secret = Some(text.trim_end_matches(['\r', '\n']).to_owned());
    } else if arguments.certificate.is_none() && !arguments.device_code {
        return Err(
            "say how to sign in: --client-secret-env, --client-secret-file, --certificate or --device-code".to_owned()
        );
    }
    let password = arguments.certificate_password_env.as_ref().map(variable).transpose()?;
    Ok(move |name: &str| match name {
        config::SECRET => secret.clone(),
        config::PASSWORD => password.clone(),
        _ => None,
    })
}

/// What time it is in the cloud that is collected from.
async fn now(arguments: &CollectArguments) -> Result<Timestamp, String> {
    if !arguments.cloud.contains("://") {
        return Ok(Timestamp::now());
    }
    let keys = serde_json::json!({ "simulator": arguments.cloud });
    let cloud: downspout_microsoft::cloud::CloudConfig =
        serde_json::from_value(keys).map_err(|error| format!("--cloud: {error}"))?;
    let told = |errors: Vec<downspout_core::ConfigError>| {
        errors.into_iter().map(|error| format!("--cloud: {}", error.message)).collect::<Vec<_>>().join("; ")
    };
    let cloud = cloud.plan().map_err(told)?;
    let http = downspout_microsoft::client::http_client(None).map_err(|error| error.to_string())?;
    let clock = downspout_microsoft::config::clock(&cloud, &http).await.map_err(|error| error.to_string())?;
    Ok(clock.now())
}
