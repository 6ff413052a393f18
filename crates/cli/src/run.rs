//! `downspout run`: the pipeline, the signals, the progress and the summary.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use downspout_core::progress::Progress;
use downspout_runtime::{Pipeline, Plan, Report};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::{LogFormat, LogLevel};
use crate::logging::{self, Bar};

pub(crate) fn run(plan: Plan, format: LogFormat, level: LogLevel) -> ExitCode {
    let bar = Bar::default();
    logging::start(format, level, Arc::clone(&bar));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(plan.threads.min(8)).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run_plan(plan, format, &bar));
            // Nothing is left to be done, and the system takes the memory back faster than the threads would.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            tracing::error!("cannot start threads: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_plan(plan: Plan, format: LogFormat, bar: &Bar) -> ExitCode {
    let started = Instant::now();
    let (stop, stopping) = watch::channel(false);
    if let Err(error) = listen_for_signals(stop) {
        tracing::error!("cannot listen for signals: {error}");
        return ExitCode::FAILURE;
    }
    let pipeline = match Pipeline::open(plan).await {
        Ok(pipeline) => pipeline,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let progress = pipeline.progress();
    let dead_letters = pipeline.dead_letter_folder().to_owned();
    let drawing = (stderr().is_terminal() && format == LogFormat::Text).then(|| draw(Arc::clone(&progress), bar));
    let report = pipeline.run(stopping).await;
    if let Some(drawing) = drawing {
        drawing.abort();
        if let Some(bar) = bar.get() {
            bar.finish_and_clear();
        }
    }
    summarise(&report, &progress, started.elapsed(), &dead_letters);
    if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first signal asks to drain; the second stops the process where it is.
pub(crate) fn listen_for_signals(stop: watch::Sender<bool>) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked {
                tracing::warn!("stopped at once; the next run reads again what was not delivered");
                std::process::exit(1);
            }
            asked = true;
            tracing::info!("stopping: delivering what was read; a second signal stops at once");
            // The pipeline may have ended by itself already.
            let _ = stop.send(true);
        }
    });
    Ok(())
}

/// Draws ten times a second how far the sources have read: a bar where they know how much there is, else a count.
fn draw(progress: Arc<Progress>, shared: &Bar) -> tokio::task::JoinHandle<()> {
    let bar = shared.get_or_init(|| ProgressBar::new(0)).clone();
    let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let counting = style("{spinner} {bytes} read, {bytes_per_sec}");
    let measuring = style("{spinner} {bytes} of {total_bytes} [{bar:30}] {bytes_per_sec}, {eta} left");
    bar.set_style(counting);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let mut measuring = Some(measuring);
        loop {
            tick.tick().await;
            let total = progress.total.load(Ordering::Relaxed);
            if total > 0
                && let Some(style) = measuring.take()
            {
                bar.set_style(style);
            }
            bar.set_length(total);
            bar.set_position(progress.read.load(Ordering::Relaxed) + progress.skipped.load(Ordering::Relaxed));
            bar.tick();
        }
    })
}

fn summarise(report: &Report, progress: &Progress, took: Duration, dead_letters: &std::path::Path) {
    let rejected: u64 = report.components.iter().map(|component| component.rejected).sum();
    for component in &report.components {
        let mut line = format!(
            "{} {}: {} in, {} out",
            component.kind,
            component.id,
            HumanCount(component.received),
            HumanCount(component.sent)
        );
        for (count, what) in [(component.discarded, "dropped"), (component.rejected, "refused")] {
            if count > 0 {
                line += &format!(", {} {what}", HumanCount(count));
            }
        }
        tracing::info!("{line}");
    }
    if rejected > 0 {
        tracing::warn!(
            "{} in the dead-letter file, each with its reason: {}",
            if rejected == 1 { "1 record is".to_owned() } else { format!("{} records are", HumanCount(rejected)) },
            dead_letters.display()
        );
    }
    let (read, skipped) = (progress.read.load(Ordering::Relaxed), progress.skipped.load(Ordering::Relaxed));
    let verdict = if report.errors.is_empty() { "done" } else { "failed" };
    // Only files and streams say how many bytes they are.
    let read = match (read, skipped) {
        (0, 0) => String::new(),
        (read, 0) => format!(": {} read", HumanBytes(read)),
        (read, skipped) => format!(": {} read and {} skipped", HumanBytes(read), HumanBytes(skipped)),
    };
    tracing::info!("{verdict}{read} in {:.1} s", took.as_secs_f64());
}
