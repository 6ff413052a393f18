//! Log lines on stderr, above the progress bar while there is one.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use indicatif::ProgressBar;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{LogFormat, LogLevel};

/// The bar that log lines must not tear apart, once there is one.
pub(crate) type Bar = Arc<OnceLock<ProgressBar>>;

/// Sends log lines to stderr.
pub(crate) fn start(format: LogFormat, level: LogLevel, bar: Bar) {
    let builder = tracing_subscriber::fmt().with_max_level(filter(level)).with_target(false).with_writer(AboveBar(bar));
    match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// The same, and everything that `target` says to `extra`, whatever `level` is.
pub(crate) fn start_with<L>(format: LogFormat, level: LogLevel, bar: Bar, extra: L, target: &'static str)
where
    L: Layer<Registry> + Send + Sync + 'static,
{
    let only = Targets::new().with_target(target, LevelFilter::DEBUG);
    let registry = tracing_subscriber::registry().with(extra.with_filter(only));
    let lines = fmt::layer().with_target(false).with_writer(AboveBar(bar));
    match format {
        LogFormat::Text => {
            registry.with(lines.with_ansi(io::stderr().is_terminal()).with_filter(filter(level))).init();
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_filter(filter(level))).init(),
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

struct AboveBar(Bar);

impl<'a> MakeWriter<'a> for AboveBar {
    type Writer = Lines<'a>;

    fn make_writer(&'a self) -> Lines<'a> {
        Lines(self.0.get())
    }
}

struct Lines<'a>(Option<&'a ProgressBar>);

impl Write for Lines<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0 {
            Some(bar) => bar.suspend(|| io::stderr().write(line)),
            None => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
