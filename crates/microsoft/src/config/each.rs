//! One task for each tenant: whoever is broken reports and backs off, and the others go on.

use std::future::Future;
use std::time::Duration;

use downspout_core::stage::Shutdown;
use downspout_core::{Context, ErrorKind, StageError};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::Connection;
use crate::client::Backoff;

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

/// Pauses of a tenant whose trouble passes.
const PASSING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// Pauses of a tenant whose trouble a human must end: consent may come any hour.
const LASTING: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3600));

/// Runs `work` for every tenant, each in a task of its own, until all have returned `Ok` or the source must stop.
///
/// A tenant's error is logged and counted, and the tenant starts anew after a pause; `work` resumes from the store.
/// The source as a whole fails only if none of its tenants ever got anywhere: all failed at their first attempt, in a way
/// that does not pass. With [`Mode::Once`] nothing is repeated that does not pass by itself, and any failure is told at
/// the end.
///
/// # Errors
/// The first tenant's error, in the cases above.
pub async fn run_each<W, F>(
    context: &Context,
    connections: Vec<Connection>,
    mode: Mode,
    shutdown: &Shutdown,
    work: W,
) -> Result<(), StageError>
where
    W: Fn(Connection) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Result<(), StageError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let count = connections.len();
    let (failed, mut failures) = tokio::sync::mpsc::unbounded_channel();
    for connection in connections {
        let (context, shutdown, work, failed) = (context.clone(), shutdown.clone(), work.clone(), failed.clone());
        tasks.spawn(async move {
            tokio::select! {
                biased;
                result = run_one(context, connection, mode, work, failed) => result,
                () = async { shutdown.clone().wait().await } => Ok(()),
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
                first.get_or_insert(error);
                if hopeless == count && mode == Mode::Follow {
                    tasks.abort_all();
                    return first.map_or(Ok(()), Err);
                }
            }
            ended = tasks.join_next() => match ended {
                None => return first.map_or(Ok(()), Err),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => { first.get_or_insert(error); }
                Some(Err(error)) => {
                    first.get_or_insert(StageError::stop("internal", format!("a tenant's task died: {error}")));
                }
            },
        }
    }
}

async fn run_one<W, F>(
    context: Context,
    connection: Connection,
    mode: Mode,
    work: W,
    hopeless: tokio::sync::mpsc::UnboundedSender<StageError>,
) -> Result<(), StageError>
where
    W: Fn(Connection) -> F,
    F: Future<Output = Result<(), StageError>>,
{
    let clock = connection.clock.clone();
    let mut passing = Backoff::new(PASSING.0, PASSING.1);
    let mut lasting = Backoff::new(LASTING.0, LASTING.1);
    let mut first = true;
    loop {
        let started = clock.now();
        let Err(error) = work(connection.clone()).await else { return Ok(()) };
        context.metrics.error(error.error_type());
        let lasts = error.kind() == ErrorKind::Stop;
        if mode == Mode::Once && (lasts || passing.failures() >= 5) {
            return Err(error);
        }
        tracing::error!(component = %context.id, tenant = connection.tenant.label(), "{error}");
        if first && lasts {
            // Nobody listens any more when the source has ended.
            let _ = hopeless.send(error);
        }
        first = false;
        if crate::clock::between(started, clock.now()) > LASTING.1 {
            (passing.reset(), lasting.reset());
        }
        let pause = if lasts { lasting.next() } else { passing.next() };
        clock.sleep(pause).await;
    }
}
