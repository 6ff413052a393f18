//! One task for each tenant: whoever is broken reports and backs off, and the others go on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::refused::Refused;
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
    /// Whether the service has answered it, since the source began.
    fn was_answered(&self) -> bool;
}

impl Job for Connection {
    fn label(&self) -> String {
        self.tenant.label().to_owned()
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn was_answered(&self) -> bool {
        self.client.was_answered()
    }
}

/// Runs `work` for every job (a tenant, or a feed of one), each in a task of its own, until all have returned `Ok` or
/// the source must stop.
///
/// A job's error is logged and counted, and the job starts anew after a pause; `work` resumes from the store, and
/// behind what was sent in this run ([`downspout_core::stage::Output::sent`]). The source as a whole fails only if none
/// of its jobs was ever answered, and nothing else in the pipeline either: all were refused ([`Refused`]). With
/// [`Mode::Once`] nothing is repeated that does not pass by itself, and any failure is told at the end.
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
    let (failed, mut failures) = mpsc::unbounded_channel();
    for job in jobs.clone() {
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
    let all_refused = context.shared.get::<Refused>();
    let mut refused = 0;
    let mut first = None;
    loop {
        tokio::select! {
            Some(error) = failures.recv() => {
                refused += 1;
                first.get_or_insert(error);
                if refused == jobs.len() {
                    let jobs = jobs.clone();
                    all_refused.add(Arc::clone(&context.id), move || !jobs.iter().any(Job::was_answered));
                }
            }
            () = all_refused.all(), if refused == jobs.len() => return first.map_or(Ok(()), Err),
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
    refused: mpsc::UnboundedSender<StageError>,
) -> Result<(), StageError>
where
    J: Job,
    W: Fn(J) -> F,
    F: Future<Output = Result<(), StageError>>,
{
    let clock = job.clock().clone();
    let mut passing = Backoff::new(PASSING.0, PASSING.1);
    let mut lasting = Backoff::new(LASTING.0, LASTING.1);
    let mut refused = Some(refused);
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
        let (seconds, label) = (pause.as_secs(), job.label());
        match trouble.tell(clock.now(), lasts, mode == Mode::Once) {
            Some(Level::WARN) => {
                tracing::warn!(component = %context.id, job = label, "{error}; trying again in {seconds} s")
            }
            Some(_) => tracing::error!(component = %context.id, job = label, "{error}; trying again in {seconds} s"),
            None => {}
        }
        if lasts
            && !job.was_answered()
            && let Some(refused) = refused.take()
        {
            // Nobody listens any more when the source has ended.
            let _ = refused.send(error);
        }
        clock.sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::testing::context;

    #[derive(Clone)]
    struct Number {
        number: usize,
        clock: Clock,
        answered: Arc<AtomicBool>,
    }

    impl Job for Number {
        fn label(&self) -> String {
            self.number.to_string()
        }

        fn clock(&self) -> &Clock {
            &self.clock
        }

        fn was_answered(&self) -> bool {
            self.answered.load(Ordering::Relaxed)
        }
    }

    /// How often a job fails, whether lastingly, and whether it was answered before.
    type Fails = (usize, bool, bool);

    /// Runs jobs in a pipeline of so many sources; gives how often each ran, and the outcome.
    async fn run_among(sources: usize, fails: &[Fails], mode: Mode) -> (Vec<usize>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::leaping("2026-01-05T00:00:00Z".parse().unwrap());
        let runs: Arc<Vec<AtomicUsize>> = Arc::new(fails.iter().map(|_| AtomicUsize::new(0)).collect());
        let job = |number| Number { number, clock: clock.clone(), answered: Arc::default() };
        let jobs = (0..fails.len()).map(job).collect();
        let (counted, fails) = (Arc::clone(&runs), fails.to_vec());
        let work = move |job: Number| {
            let ran = counted[job.number].fetch_add(1, Ordering::Relaxed);
            let (times, lasts, answered) = fails[job.number];
            job.answered.fetch_or(answered || ran >= times, Ordering::Relaxed);
            async move {
                if ran >= times {
                    return Ok(());
                }
                let message = format!("{} failed", job.number);
                Err(if lasts { StageError::stop("refused", message) } else { StageError::retry("transient", message) })
            }
        };
        let (_stop, shutdown) = Shutdown::new();
        let context = context("m365", folder.path());
        context.shared.get::<Refused>().expect(sources);
        let outcome = run_each(&context, jobs, mode, &shutdown, work).await;
        let runs = runs.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        (runs, outcome.err().map(|error| error.to_string()))
    }

    async fn run(fails: &[Fails], mode: Mode) -> (Vec<usize>, Option<String>) {
        run_among(1, fails, mode).await
    }

    #[tokio::test]
    async fn one_broken_job_leaves_the_others_alone() {
        let fails = [(0, false, false), (3, true, false), (2, false, false)];
        assert_eq!(run(&fails, Mode::Follow).await, (vec![1, 4, 3], None));
    }

    #[tokio::test]
    async fn a_source_none_of_whose_jobs_was_ever_answered_stops() {
        let (_, outcome) = run(&[(9, true, false), (9, true, false)], Mode::Follow).await;
        assert!(outcome.is_some());
    }

    #[tokio::test]
    async fn jobs_that_were_answered_once_are_never_given_up() {
        let fails = [(9, true, true), (9, true, true)];
        assert_eq!(run(&fails, Mode::Follow).await, (vec![10, 10], None));
    }

    #[tokio::test]
    async fn a_refused_source_asks_again_while_another_is_not_refused() {
        assert_eq!(run_among(2, &[(9, true, false)], Mode::Follow).await, (vec![10], None));
    }

    #[tokio::test]
    async fn once_tells_what_failed_when_the_others_are_done() {
        let fails = [(0, false, false), (1, true, false), (2, false, false)];
        let (runs, outcome) = run(&fails, Mode::Once).await;
        assert_eq!((runs, outcome.as_deref()), (vec![1, 1, 3], Some("1 failed")));
    }
}
