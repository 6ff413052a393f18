//! The commits of one sink that are on their way, one behind the other.
//!
//! A commit takes the processor first and the disk then. So that neither waits for the other, commits overlap: while
//! the disk makes one durable, the files of the next are encoded, and the sink collects for the one behind it. Each
//! step has room for one commit, which stays there until the next step is free. So transactions keep their order, each
//! behind the publishing of the commit before: the store knows the manifest of the last one only.

use std::collections::BTreeMap;
use std::sync::Arc;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::{Prepared, Sealed};
use downspout_core::store::{Write, key};
use downspout_core::{Ack, ErrorKind, StageError, failpoint};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{commit_key, wait};
use crate::backoff::Backoff;
use crate::committer::Committer;

/// A commit: what it covers and acknowledges.
pub(super) struct Commit {
    pub(super) number: u64,
    pub(super) acks: Vec<Ack>,
    pub(super) events: u64,
    pub(super) reached: BTreeMap<(String, String), u64>,
    pub(super) begun: Instant,
}

/// What the steps of a commit need of its sink.
pub(super) struct Courier {
    pub(super) id: Arc<str>,
    pub(super) metrics: ComponentMetrics,
    pub(super) committer: Arc<Committer>,
}

/// A commit's files, written under names that nobody sees.
struct Files {
    sealed: Box<dyn Sealed>,
    prepared: Prepared,
}

/// A step of a commit, which runs while the sink collects on.
struct Step<T> {
    commit: Commit,
    task: JoinHandle<Result<T, StageError>>,
}

impl<T: Send + 'static> Step<T> {
    fn start(commit: Commit, step: impl Future<Output = Result<T, StageError>> + Send + 'static) -> Step<T> {
        Step { commit, task: tokio::spawn(step) }
    }

    /// Waits for the end of a step, for ever if there is none.
    async fn end(step: &mut Option<Step<T>>) -> Result<(Commit, T), StageError> {
        if let Some(running) = step {
            let outcome = (&mut running.task).await;
            let died = |error| Err(StageError::stop("internal", format!("a commit died: {error}")));
            let outcome = outcome.unwrap_or_else(died)?;
            if let Some(Step { commit, .. }) = step.take() {
                return Ok((commit, outcome));
            }
        }
        std::future::pending().await
    }
}

/// All commits that are not visible yet, from the newest to the oldest.
pub(super) struct Commits {
    courier: Arc<Courier>,
    encoding: Option<Step<Box<dyn Sealed>>>,
    encoded: Option<(Commit, Box<dyn Sealed>)>,
    preparing: Option<Step<Files>>,
    prepared: Option<(Commit, Files)>,
    publishing: Option<Step<()>>,
}

impl Commits {
    pub(super) fn new(courier: Courier) -> Commits {
        let courier = Arc::new(courier);
        Commits { courier, encoding: None, encoded: None, preparing: None, prepared: None, publishing: None }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        let there = [
            self.encoding.is_some(),
            self.encoded.is_some(),
            self.preparing.is_some(),
            self.prepared.is_some(),
            self.publishing.is_some(),
        ];
        there.into_iter().map(u64::from).sum()
    }

    /// Whether another one may be started.
    pub(super) fn has_room(&self) -> bool {
        self.encoding.is_none() && self.encoded.is_none()
    }

    /// Starts a commit. To be called while there is room.
    pub(super) fn start(&mut self, commit: Commit, mut sealed: Box<dyn Sealed>) {
        self.encoding = Some(Step::start(commit, async move {
            sealed.encode().await?;
            Ok(sealed)
        }));
    }

    /// Waits until a step has ended, for ever if none runs, and starts what may follow. Gives a commit that has become
    /// visible. Nothing is lost when the wait is broken off.
    pub(super) async fn moved(&mut self) -> Result<Option<Commit>, StageError> {
        let mut visible = None;
        tokio::select! {
            encoded = Step::end(&mut self.encoding) => self.encoded = Some(encoded?),
            prepared = Step::end(&mut self.preparing) => self.prepared = Some(prepared?),
            published = Step::end(&mut self.publishing) => visible = Some(published?.0),
        }
        if self.publishing.is_none()
            && let Some((commit, files)) = self.prepared.take()
        {
            let writes = self.courier.writes(&commit, &files.prepared)?;
            self.publishing = Some(Step::start(commit, publish(Arc::clone(&self.courier), writes, files)));
        }
        if self.preparing.is_none()
            && self.prepared.is_none()
            && let Some((commit, sealed)) = self.encoded.take()
        {
            self.preparing = Some(Step::start(commit, prepare(Arc::clone(&self.courier), sealed)));
        }
        Ok(visible)
    }
}

impl Courier {
    /// What the transaction of a commit holds: its manifest, and how far it covers each shard.
    fn writes(&self, commit: &Commit, prepared: &Prepared) -> Result<Vec<Write>, StageError> {
        let mut record = commit.number.to_be_bytes().to_vec();
        record.extend_from_slice(&prepared.manifest);
        let mut writes = vec![Write::set(commit_key(&self.id), record)];
        for ((source, shard), position) in &commit.reached {
            let value = serde_json::to_vec(&(source, shard, position))
                .map_err(|error| StageError::stop("internal", format!("cannot write positions: {error}")))?;
            let key = key(&[b"covered", self.id.as_bytes(), source.as_bytes(), shard.as_bytes()]);
            writes.push(Write::set(key, value));
        }
        Ok(writes)
    }
}

async fn prepare(courier: Arc<Courier>, mut sealed: Box<dyn Sealed>) -> Result<Files, StageError> {
    let mut backoff = Backoff::default();
    let prepared = loop {
        match sealed.prepare().await {
            Err(error) if error.kind() == ErrorKind::Retry => {
                wait(&courier.id, &courier.metrics, &error, &mut backoff).await;
            }
            other => break other?,
        }
    };
    failpoint::hit(failpoint::Point::AfterPrepare);
    Ok(Files { sealed, prepared })
}

/// Writes the transaction, with which the commit has happened, and makes its files visible.
async fn publish(courier: Arc<Courier>, writes: Vec<Write>, mut files: Files) -> Result<(), StageError> {
    courier.committer.commit(writes).await?;
    let mut backoff = Backoff::default();
    while let Err(error) = files.sealed.publish(&files.prepared).await {
        if error.kind() != ErrorKind::Retry {
            return Err(error);
        }
        wait(&courier.id, &courier.metrics, &error, &mut backoff).await;
    }
    failpoint::hit(failpoint::Point::AfterPublish);
    Ok(())
}
