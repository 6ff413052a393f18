//! One task for each tenant: whoever is broken reports and backs off, and the others go on.

use std::future::Future;
use std::time::Duration;

use downspout_core::stage::Shutdown;
use downspout_core::{Context, ErrorKind, StageError};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Level;

use super::Connection;
use super::telling::Telling;
use crate::client::Backoff;
use crate::clock::{Clock, between};

/// Whether a source ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Go on for ever.
    #[default]
    Follow,
    /// End when everything up to now (or `until`) was read.
    Once,
}

/// How often [`Mode::Once`] tries again what may pass.
const ONCE_ATTEMPTS: u32 = 8;

/// What the operator is told when [`Mode::Once`] tries no more.
pub(crate) const GIVEN_UP: &str =
    "it was tried again and again, and is given up. Nothing that was read is lost: the next run goes on from there";

/// Pauses of a tenant whose trouble passes.
const PASSING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// Pauses of a tenant whose trouble a human must end: consent may come any hour.
const LASTING: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3600));

/// A job that ran for so long got somewhere, and its next failure is a first one.
const STEADY: Duration = Duration::from_secs(1200);

/// Something that runs on its own: a tenant, or one feed of it.
pub trait Job: Clone + Send + Sync + 'static {
    /// What messages call it.
    fn label(&self) -> String;
    /// The time that it lives in.
    fn clock(&self) -> &Clock;
}

impl Job for Connection {
    fn label(&self) -> String {
        self.tenant.label().to_owned()
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// Runs `work` for every job (a tenant, or a feed of one), each in a task of its own, until all have returned `Ok` or
/// the source must stop.
///
/// A job's error is logged and counted, and the job starts anew after a pause; `work` resumes from the store, and
/// behind what was sent in this run ([`downspout_core::stage::Output::sent`]). The source as a whole fails only if none
/// of its jobs ever got anywhere: all failed at their first attempt, in a way that does not pass. With [`Mode::Once`]
/// nothing is repeated that does not pass by itself, and any failure is told at the end.
///
/// # Errors
/// The first job's error, in the cases above.
pub async fn run_each<J, W, F>(
    context: &Context,
    jobs: Vec<J>,
    mode: Mode,
    shutdown: &Shutdown,
    work: W,
) -> Result<(), StageError>
where
    J: Job,
    W: Fn(J) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Result<(), StageError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let count = jobs.len();
    let (failed, mut failures) = mpsc::unbounded_channel();
    for job in jobs {
        let (context, work, failed) = (context.clone(), work.clone(), failed.clone());
        let mut shutdown = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = shutdown.wait() => Ok(()),
                result = run_one(context, job, mode, work, failed) => result,
            }
        });
    }
    drop(failed);
    let mut hopeless = 0;
    let mut first = None;
    loop {
        tokio::select! {
            Some(error) = failures.recv() => {
                hopeless += 1;
                let error = first.take().unwrap_or(error);
                if hopeless == count {
                    return Err(error);
                }
                first = Some(error);
            }
            ended = tasks.join_next() => match ended {
                // With `Mode::Follow` what failed was told when it did.
                None => return first.filter(|_| mode == Mode::Once).map_or(Ok(()), Err),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => drop(first.get_or_insert(error)),
                Some(Err(error)) => {
                    return Err(StageError::stop("internal", format!("a task of the source died: {error}")));
                }
            },
        }
    }
}

async fn run_one<J, W, F>(
    context: Context,
    job: J,
    mode: Mode,
    work: W,
    hopeless: mpsc::UnboundedSender<StageError>,
) -> Result<(), StageError>
where
    J: Job,
    W: Fn(J) -> F,
    F: Future<Output = Result<(), StageError>>,
{
    let clock = job.clock().clone();
    let mut passing = Backoff::new(PASSING.0, PASSING.1);
    let mut lasting = Backoff::new(LASTING.0, LASTING.1);
    let mut first = true;
    let mut trouble = Telling::default();
    loop {
        let started = clock.now();
        let Err(error) = work(job.clone()).await else { return Ok(()) };
        context.metrics.error(error.error_type());
        let lasts = error.kind() == ErrorKind::Stop;
        if between(started, clock.now()) > STEADY {
            passing.reset();
            lasting.reset();
            trouble.pass();
        }
        if mode == Mode::Once && lasts {
            return Err(error);
        }
        if mode == Mode::Once && passing.failures() >= ONCE_ATTEMPTS {
            return Err(StageError::retry(error.error_type(), format!("{error}; {GIVEN_UP}")));
        }
        let pause = if lasts { lasting.next() } else { passing.next() };
        // Every time is counted, but not every time is told.
        let (seconds, job) = (pause.as_secs(), job.label());
        match trouble.tell(clock.now(), lasts, mode == Mode::Once) {
            Some(Level::WARN) => tracing::warn!(component = %context.id, job, "{error}; trying again in {seconds} s"),
            Some(_) => tracing::error!(component = %context.id, job, "{error}; trying again in {seconds} s"),
            None => {}
        }
        if first && lasts {
            // Nobody listens any more when the source has ended.
            let _ = hopeless.send(error);
        }
        first = false;
        clock.sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::context;

    #[derive(Clone)]
    struct Number(usize, Clock);

    impl Job for Number {
        fn label(&self) -> String {
            self.0.to_string()
        }

        fn clock(&self) -> &Clock {
            &self.1
        }
    }

    /// Runs jobs that fail as often as `failures` says, lastingly or not; gives how often each ran, and the outcome.
    async fn run(failures: &[(usize, bool)], mode: Mode) -> (Vec<usize>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::leaping("2026-01-05T00:00:00Z".parse().unwrap());
        let runs: Arc<Vec<AtomicUsize>> = Arc::new(failures.iter().map(|_| AtomicUsize::new(0)).collect());
        let jobs = (0..failures.len()).map(|index| Number(index, clock.clone())).collect();
        let (counted, failures) = (Arc::clone(&runs), failures.to_vec());
        let work = move |job: Number| {
            let ran = counted[job.0].fetch_add(1, Ordering::Relaxed);
            let (fails, lasts) = failures[job.0];
            async move {
                if ran >= fails {
                    return Ok(());
                }
                let message = format!("{} failed", job.0);
                Err(if lasts { StageError::stop("refused", message) } else { StageError::retry("transient", message) })
            }
        };
        let (_stop, shutdown) = Shutdown::new();
        let outcome = run_each(&context("m365", folder.path()), jobs, mode, &shutdown, work).await;
        let runs = runs.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        (runs, outcome.err().map(|error| error.to_string()))
    }

    #[tokio::test]
    async fn one_broken_job_leaves_the_others_alone() {
        assert_eq!(run(&[(0, false), (3, true), (2, false)], Mode::Follow).await, (vec![1, 4, 3], None));
    }

    #[tokio::test]
    async fn a_source_none_of_whose_jobs_ever_worked_stops() {
        let (_, outcome) = run(&[(9, true), (9, true)], Mode::Follow).await;
        assert!(outcome.is_some());
    }

    #[tokio::test]
    async fn once_tells_what_failed_when_the_others_are_done() {
        let (runs, outcome) = run(&[(0, false), (1, true), (2, false)], Mode::Once).await;
        assert_eq!((runs, outcome.as_deref()), (vec![1, 1, 3], Some("1 failed")));
    }
}
