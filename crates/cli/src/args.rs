//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Brings Microsoft's audit logs down to the SIEM, the log shipper and the data lake that you already have.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Try it:\n  downspout demo\n\nExit codes: 0 done, 1 failed, 2 wrong usage or config."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// How log lines on stderr look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    /// The least important log lines to show.
    #[arg(long, global = true, value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline until its sources end or a signal asks to stop.
    ///
    /// The first SIGINT or SIGTERM drains: what was read is delivered and checkpointed, then the command exits with
    /// 0. A second one stops at once; what was not delivered is read again by the next run. The command exits with 0
    /// only if everything was delivered, or put into the dead-letter file with a reason.
    #[command(
        after_help = "Examples:\n  downspout run pipelines/quickstart.yaml\n  downspout run sources.yaml sinks.yaml      one pipeline from two files\n  downspout run --log-format json audit.yaml  log lines for machines"
    )]
    Run(ConfigFiles),

    /// Check everything about a config that can be checked without network and data.
    ///
    /// Every mistake is told with its file, line and column. Exits with 0 if there is none, with 2 otherwise. What is
    /// allowed and probably not meant is told as a warning.
    Validate(ConfigFiles),

    /// Check that the sources of a config may read what they should.
    ///
    /// Gets each token, compares the permissions in it with the needed ones, and asks for a minute of each log, which
    /// tells what is in no token: roles, licences, whether auditing is on. Reads only. Exits with 0 if everything is
    /// there, with 1 otherwise.
    #[command(
        after_help = "Examples:\n  downspout check-access audit.yaml\n  downspout check-access --json audit.yaml | jq '.findings[] | select(.standing != \"fine\")'"
    )]
    CheckAccess {
        #[command(flatten)]
        files: ConfigFiles,

        /// Print one JSON object in place of the table.
        #[arg(long)]
        json: bool,
    },

    /// Print what is missing of the logs that a config collects, and why.
    ///
    /// For each source, tenant and feed: up to when it was listed, fetched and delivered, and what could not be had. Works
    /// beside a running pipeline if its config has `admin`. Exits with 0 if nothing is missing, with 1 otherwise.
    #[command(
        after_help = "Examples:\n  downspout gaps audit.yaml\n  downspout gaps --json audit.yaml | jq '.feeds[] | select(.complete | not)'"
    )]
    Gaps {
        #[command(flatten)]
        files: ConfigFiles,

        /// Print one JSON object in place of the table.
        #[arg(long)]
        json: bool,
    },

    /// Collect the logs of a tenant for an investigation, into files.
    ///
    /// Writes one folder: the records as received, one file for each source and day; `manifest.json` with counts,
    /// windows, gaps and the SHA-256 of every file; `requests.ndjson` with every request. After an interruption the same
    /// command goes on where it stopped. Exits with 0 only if everything was collected without a gap.
    #[command(after_help = crate::collect::HELP)]
    Collect(Box<crate::collect::CollectArguments>),

    /// See it work: a simulated company, its logs collected into Parquet, nothing to configure.
    ///
    /// Starts a simulated cloud in this process, collects five days of six of its logs over sockets, and ends with what
    /// came in and how to look at it. Takes less than a minute.
    Demo(crate::demo::DemoArgs),

    /// Serve a simulated Microsoft cloud on loopback: tokens, audit APIs, tenants that live, attacks, faults.
    ///
    /// Prints its URL on stdout, and serves until a signal asks to stop. It calls nobody: a subscription with a webhook is
    /// refused, as Microsoft refuses one whose address does not answer its validation.
    #[command(
        after_help = "Examples:\n  downspout simulate --history 7 --attacks          a week of a small company\n  downspout simulate --config cloud.yaml --rate 600  ten minutes a second\n  curl http://127.0.0.1:8600/simulator/stats         what it saw\n  curl http://127.0.0.1:8600/simulator/ledger        every record it published"
    )]
    Simulate(crate::simulate::SimulateArgs),

    /// Print the JSON Schema of configs, with which editors complete and check them.
    #[command(
        after_help = "Example:\n  downspout schema > downspout.schema.json\n  # and as the first line of a config:\n  # yaml-language-server: $schema=downspout.schema.json"
    )]
    Schema,

    /// Print a script that teaches a shell to complete this command.
    #[command(after_help = "Example:\n  downspout completions bash > /etc/bash_completion.d/downspout")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFiles {
    /// YAML files; several make one pipeline together.
    #[arg(required = true, value_name = "CONFIG")]
    pub(crate) config: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// What needs somebody to act.
    Error,
    /// What somebody should know.
    Warn,
    /// Starts, stops and summaries.
    Info,
    /// Everything.
    Debug,
}
