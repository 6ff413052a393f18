//! `downspout simulate`: serves the simulated Microsoft cloud until a signal asks to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use downspout_runtime::config::{Diagnostics, load};
use downspout_simulator::{AttackEntry, Config, Running, TenantConfig, TlsConfig};
use tokio::signal::unix::{SignalKind, signal};

/// Every key, with its default and what it means.
const EXAMPLE: &str = include_str!("simulate.yaml");

/// Where it listens if nothing says otherwise.
const LISTEN: &str = "127.0.0.1:8600";

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// A YAML file with everything that can be set: tenants, clock, publishing, limits, faults. The options below come
    /// on top.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print a config with everything that can be set, and what it means.
    #[arg(long, exclusive = true)]
    example: bool,

    /// Address and port of plain HTTP, on loopback; 127.0.0.1:8600 if nothing says otherwise.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// Serve HTTPS too, with a private CA. On port 443, clients with fixed host names can be led here by a hosts file.
    #[arg(long, value_name = "ADDRESS")]
    tls_listen: Option<String>,

    /// Where the private CA's certificate is written.
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    ca_file: Option<PathBuf>,

    /// Simulated seconds per real second.
    #[arg(long, value_name = "SECONDS")]
    rate: Option<f64>,

    /// How many days the tenant has lived already.
    #[arg(long, value_name = "DAYS")]
    history: Option<f64>,

    /// Records a day, over all feeds.
    #[arg(long, value_name = "RECORDS")]
    events_per_day: Option<u64>,

    /// Milliseconds that every answer waits.
    #[arg(long, value_name = "MILLISECONDS")]
    latency: Option<u64>,

    /// Let one attack of each kind happen.
    #[arg(long)]
    attacks: bool,

    /// Where the attacks' ground truth is written at the end.
    #[arg(long, value_name = "FILE")]
    truth_file: Option<PathBuf>,
}

pub(crate) fn run(arguments: &SimulateArgs) -> ExitCode {
    if arguments.example {
        return crate::print(EXAMPLE);
    }
    let config = match config(arguments) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(serve(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn config(arguments: &SimulateArgs) -> Result<Config, Diagnostics> {
    let mut config = match &arguments.config {
        None => Config::default(),
        Some(file) => {
            let (sources, root) = load(std::slice::from_ref(file), &|name| std::env::var(name).ok())?;
            let mut problems = Diagnostics::new(&sources);
            let config = problems.collect(root.deserialize::<Config>("")).unwrap_or_default();
            problems.into_result(config)?
        }
    };
    match &arguments.listen {
        Some(listen) => config.listen.clone_from(listen),
        // The library takes any port that is free; a person wants to know it beforehand.
        None if arguments.config.is_none() => LISTEN.clone_into(&mut config.listen),
        None => {}
    }
    if let Some(listen) = &arguments.tls_listen {
        config.tls = Some(TlsConfig { listen: listen.clone(), ca_file: arguments.ca_file.clone() });
    }
    config.clock.rate = arguments.rate.unwrap_or(config.clock.rate);
    config.history_days = arguments.history.unwrap_or(config.history_days);
    config.latency_ms = arguments.latency.unwrap_or(config.latency_ms);
    config.truth_file = arguments.truth_file.clone().or(config.truth_file);
    if config.tenants.is_empty() {
        config.tenants.push(TenantConfig::default());
    }
    for tenant in &mut config.tenants {
        tenant.events_per_day = arguments.events_per_day.unwrap_or(tenant.events_per_day);
        if arguments.attacks {
            tenant.attacks.push(AttackEntry::default());
        }
    }
    Ok(config)
}

async fn serve(config: Config) -> Result<(), String> {
    let tenants: Vec<String> =
        config.tenants.iter().map(|tenant| format!("{} ({})", tenant.tenant_id, tenant.domain)).collect();
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let running = downspout_simulator::start(config).await.map_err(|error| error.to_string())?;
    introduce(&running, &tenants);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    running.stop().await.map_err(|error| format!("cannot write the truth: {error}"))
}

/// The base URL goes to stdout, for scripts; the rest is for people.
fn introduce(running: &Running, tenants: &[String]) {
    println!("{}", running.base_url);
    eprintln!("simulated cloud: {}  (services under BASE/HOST/, control under BASE/simulator/)", running.base_url);
    if let Some(url) = &running.tls_url {
        eprintln!("HTTPS:           {url}");
    }
    for tenant in tenants {
        eprintln!("tenant:          {tenant}");
    }
    eprintln!("in a source:     cloud: {{ simulator: \"{}\" }}", running.base_url);
}

#[cfg(test)]
mod tests {
    use downspout_runtime::config::load_texts;

    use super::*;

    #[test]
    fn the_example_is_a_good_config_and_says_the_defaults() {
        let (sources, root) = load_texts(&[("simulate.yaml", EXAMPLE)], &|_| None).unwrap();
        let mut problems = Diagnostics::new(&sources);
        let Some(config) = problems.collect(root.deserialize::<Config>("")) else { panic!("{problems}") };
        let default = Config::default();
        let shown = |config: &Config| {
            format!("{:?} {:?} {:?} {:?}", config.limits, config.publishing, config.retention, config.tokens)
        };
        assert_eq!(shown(&config), shown(&default));
        assert_eq!((config.history_days, config.latency_ms), (default.history_days, default.latency_ms));
        assert_eq!(config.tenants.len(), 2);
    }
}
