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
use downspout_runtime::{Plan, schema};

use crate::args::{Arguments, Command, ConfigFiles};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run(files) => match load(&files) {
            Ok(plan) => run::run(plan, arguments.log_format, arguments.log_level),
            Err(code) => code,
        },
        Command::Validate(files) => match load(&files) {
            Ok(plan) => {
                if !plan.warnings.is_empty() {
                    eprintln!("{}", plan.warnings);
                }
                let counts =
                    [(plan.sources.len(), "source"), (plan.transforms.len(), "transform"), (plan.sinks.len(), "sink")];
                let counts: Vec<String> = counts
                    .iter()
                    .map(|(count, kind)| format!("{count} {kind}{}", if *count == 1 { "" } else { "s" }))
                    .collect();
                eprintln!("ok: {}", counts.join(", "));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::CheckAccess { files, json } => match load(&files) {
            Ok(plan) => check_access::run(plan, json, arguments.log_format, arguments.log_level),
            Err(code) => code,
        },
        Command::Gaps { files, json } => match load(&files) {
            Ok(plan) => gaps::run(&plan, json),
            Err(code) => code,
        },
        Command::Collect(collect) => collect::run(&collect, arguments.log_format, arguments.log_level),
        Command::Demo(demo) => demo::run(&demo, arguments.log_format, arguments.log_level),
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

fn load(files: &ConfigFiles) -> Result<Plan, ExitCode> {
    Plan::load(&files.config, &|name| std::env::var(name).ok()).map_err(|problems| {
        eprintln!("{problems}");
        let count = problems.len();
        eprintln!("{count} problem{} in the config", if count == 1 { "" } else { "s" });
        ExitCode::from(2)
    })
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
