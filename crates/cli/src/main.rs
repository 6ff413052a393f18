//! The `downspout` command.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or config.

mod args;
mod check_access;
mod collect;
mod demo;
mod gaps;
mod logging;
mod run;
mod simulate;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use downspout_runtime::config::Told;
use downspout_runtime::{Plan, schema};

use crate::args::{Arguments, Command, ConfigFiles, LogFormat, LogLevel};
use crate::logging::Bar;

fn main() -> ExitCode {
    let Arguments { command, log_format, log_level } = Arguments::parse();
    let load = |files: &ConfigFiles| load(files, log_format, log_level);
    match command {
        Command::Run(files) => match load(&files) {
            Ok(plan) => run::run(plan, log_format, log_level),
            Err(code) => code,
        },
        Command::Validate(files) => match load(&files) {
            Ok(plan) => {
                validated(&plan, log_format, log_level);
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::CheckAccess { files, json } => match load(&files) {
            Ok(plan) => check_access::run(plan, json, log_format, log_level),
            Err(code) => code,
        },
        Command::Gaps { files, json } => match load(&files) {
            Ok(plan) => gaps::run(&plan, json),
            Err(code) => code,
        },
        Command::Collect(collect) => collect::run(&collect, log_format, log_level),
        Command::Demo(demo) => demo::run(&demo, log_format, log_level),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&schema::config_schema()).unwrap_or_default();
            print(&format!("{schema}\n"))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "downspout", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Reads a config, and tells what is wrong with it: as text with the lines in question, or as log lines for machines.
fn load(files: &ConfigFiles, format: LogFormat, level: LogLevel) -> Result<Plan, ExitCode> {
    Plan::load(&files.config, &|name| std::env::var(name).ok()).map_err(|problems| {
        let count = problems.len();
        let counted = format!("{count} problem{} in the config", if count == 1 { "" } else { "s" });
        match format {
            LogFormat::Text => eprintln!("{problems}\n{counted}"),
            LogFormat::Json => {
                logging::start(format, level, Bar::default());
                for Told { file, line, column, message, help } in problems.told() {
                    tracing::error!(file, line, column, help, "{message}");
                }
                tracing::error!("{counted}");
            }
        }
        ExitCode::from(2)
    })
}

/// Tells what is in a good config, and what is probably a mistake in it.
fn validated(plan: &Plan, format: LogFormat, level: LogLevel) {
    let counts = [(plan.sources.len(), "source"), (plan.transforms.len(), "transform"), (plan.sinks.len(), "sink")];
    let counts = counts.map(|(count, kind)| format!("{count} {kind}{}", if count == 1 { "" } else { "s" })).join(", ");
    match format {
        LogFormat::Text => {
            if !plan.warnings.is_empty() {
                eprintln!("{}", plan.warnings);
            }
            eprintln!("ok: {counts}");
        }
        LogFormat::Json => {
            logging::start(format, level, Bar::default());
            for Told { file, line, column, message, help } in plan.warnings.told() {
                tracing::warn!(file, line, column, help, "{message}");
            }
            tracing::info!("ok: {counts}");
        }
    }
}

/// Writes to stdout. A closed pipe (`downspout schema | head`) is the reader's choice, and no failure.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
