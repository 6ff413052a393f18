//! Runs one sink: delivers, tries again, dead-letters what is refused, and speaks the acknowledgements.
//!
//! A plain sink's batch is acknowledged when `deliver` has returned. A collecting sink's batches are acknowledged
//! when the commit that covers them is visible. The steps of a commit and what a crash between them means:
//!
//! | crash ... | what is there | after the restart |
//! | --- | --- | --- |
//! | before the transaction | files under temporary names | they are removed, the source reads again |
//! | after the transaction | the manifest | `publish` finishes the renames; what it covers is dropped when read again |
//! | after `publish` | visible files, the manifest | the same: `publish` finds nothing left to do |
//!
//! Commits overlap by a step: while the disk makes one durable, the files of the next are written. Transactions keep
//! their order, each behind the publishing of the commit before: the store knows the manifest of the last one only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::{Due, Prepared, Sealed};
use downspout_core::store::{Write, key};
use downspout_core::{Ack, Batch, ErrorKind, Origin, Rejected, Sink, StageError, Store, failpoint};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::committer::Committer;
use crate::dead_letter::DeadLetters;
use crate::queue::Flights;

/// One source batch's share for one sink. A commit covers all of it or nothing.
pub(crate) struct Flight {
    pub(crate) origin: Origin,
    /// The position of the source batch's last record.
    pub(crate) end: u64,
    pub(crate) batches: Vec<Arc<Batch>>,
    pub(crate) ack: Ack,
}

pub(crate) struct SinkDriver {
    pub(crate) id: Arc<str>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) metrics: ComponentMetrics,
    pub(crate) flights: Flights,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) ledger: Ledger,
}

/// What a collecting sink has committed, as the store knows it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The number of the last commit.
    commit: u64,
    /// The manifest of the last commit: it may not be visible yet after a crash.
    manifest: Option<Vec<u8>>,
    /// How far each shard is covered.
    covered: BTreeMap<(String, String), u64>,
}

impl Ledger {
    /// Reads what the sink `id` has committed.
    pub(crate) fn load(store: &Store, id: &str) -> Result<Ledger, StageError> {
        let mut ledger = Ledger::default();
        if let Some(value) = store.get(&commit_key(id))?
            && let Some((number, manifest)) = value.split_first_chunk::<8>()
        {
            ledger.commit = u64::from_be_bytes(*number);
            ledger.manifest = Some(manifest.to_vec());
        }
        for (_, value) in store.list(&key(&[b"covered", id.as_bytes()]))? {
            if let Ok((source, shard, position)) = serde_json::from_slice::<(String, String, u64)>(&value) {
                ledger.covered.insert((source, shard), position);
            }
        }
        Ok(ledger)
    }
}

fn commit_key(sink: &str) -> Vec<u8> {
    key(&[b"commit", sink.as_bytes()])
}

/// What was collected for the next commit.
#[derive(Default)]
struct Collected {
    acks: Vec<Ack>,
    events: u64,
    reached: BTreeMap<(String, String), u64>,
}

/// A commit: what it covers and acknowledges.
struct Commit {
    number: u64,
    acks: Vec<Ack>,
    events: u64,
    reached: BTreeMap<(String, String), u64>,
    begun: Instant,
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

impl SinkDriver {
    /// Finishes what a crash interrupted. To be called before the sources start.
    pub(crate) async fn recover(&mut self) -> Result<(), StageError> {
        if let Some(manifest) = self.ledger.manifest.take() {
            self.publish(&manifest).await?;
        }
        self.sink.clean().await
    }

    /// Runs until nobody sends any more, and everything is delivered.
    pub(crate) async fn run(mut self) -> Result<(), StageError> {
        if self.sink.collects() {
            return self.run_collecting().await;
        }
        while let Some((flight, _room)) = self.flights.recv().await {
            for batch in &flight.batches {
                self.deliver(batch).await?;
                self.metrics.sent_events.inc_by(batch.len() as u64);
                self.metrics.buffer_events.sub(batch.len() as i64);
            }
            flight.ack.delivered();
        }
        Ok(())
    }

    async fn run_collecting(&mut self) -> Result<(), StageError> {
        let mut collected = Collected::default();
        let mut preparing: Option<Step<Files>> = None;
        // Prepared, and the one before is not visible yet.
        let mut waiting: Option<(Commit, Files)> = None;
        let mut publishing: Option<Step<()>> = None;
        let mut ended = false;
        loop {
            if publishing.is_none()
                && let Some((commit, files)) = waiting.take()
            {
                publishing = Some(self.make_visible(commit, files)?);
            }
            let free = preparing.is_none() && waiting.is_none();
            let due = if ended && !collected.acks.is_empty() { Due::Now } else { self.sink.due() };
            if due == Due::Now && free {
                preparing = self.seal(std::mem::take(&mut collected), publishing.is_some());
                continue;
            }
            if ended && free && publishing.is_none() {
                return Ok(());
            }
            let timer = async {
                match due {
                    Due::At(time) if free => tokio::time::sleep_until(time).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                flight = self.flights.recv(), if !ended && due != Due::Now => match flight {
                    Some((flight, _room)) => self.collect(flight, &mut collected).await?,
                    None => ended = true,
                },
                () = timer => preparing = self.seal(std::mem::take(&mut collected), publishing.is_some()),
                files = Step::end(&mut preparing) => waiting = Some(files?),
                visible = Step::end(&mut publishing) => self.finish(visible?.0),
            }
        }
    }

    async fn collect(&mut self, flight: Flight, collected: &mut Collected) -> Result<(), StageError> {
        let shard = (flight.origin.source.to_string(), flight.origin.shard.to_string());
        let covered = self.ledger.covered.get(&shard).copied();
        for batch in &flight.batches {
            let held = batch.len() as i64;
            if let Some(fresh) = uncovered(batch, covered) {
                self.deliver(&fresh).await?;
                collected.events += fresh.len() as u64;
                self.metrics.buffer_events.sub(held - fresh.len() as i64);
            } else {
                self.metrics.buffer_events.sub(held);
            }
        }
        if covered.is_none_or(|covered| covered < flight.end) {
            collected.reached.insert(shard, flight.end);
        }
        collected.acks.push(flight.ack);
        Ok(())
    }

    /// Starts a commit of what was collected. `behind`: whether the one before is not visible yet.
    fn seal(&mut self, collected: Collected, behind: bool) -> Option<Step<Files>> {
        let number = self.ledger.commit + if behind { 2 } else { 1 };
        let Collected { acks, events, reached } = collected;
        let Some(sealed) = self.sink.seal(number) else {
            // Everything was covered already, or refused.
            acks.into_iter().for_each(Ack::delivered);
            return None;
        };
        let commit = Commit { number, acks, events, reached, begun: Instant::now() };
        Some(Step::start(commit, prepare(Arc::clone(&self.id), self.metrics.clone(), sealed)))
    }

    /// Writes the manifest of prepared files and what they cover in one transaction, with which the commit has
    /// happened, and makes them visible.
    fn make_visible(&self, commit: Commit, files: Files) -> Result<Step<()>, StageError> {
        let writes = self.writes(&commit, &files.prepared)?;
        let (id, metrics, committer) = (Arc::clone(&self.id), self.metrics.clone(), Arc::clone(&self.committer));
        Ok(Step::start(commit, async move {
            committer.commit(writes).await?;
            publish(&id, &metrics, files).await
        }))
    }

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

    /// Acknowledges what is visible.
    fn finish(&mut self, done: Commit) {
        self.metrics.delivery_seconds.observe(done.begun.elapsed().as_secs_f64());
        self.ledger.commit = done.number;
        self.metrics.sent_events.inc_by(done.events);
        self.metrics.buffer_events.sub(i64::try_from(done.events).unwrap_or(i64::MAX));
        done.acks.into_iter().for_each(Ack::delivered);
    }

    async fn publish(&mut self, manifest: &[u8]) -> Result<(), StageError> {
        let mut backoff = Backoff::default();
        loop {
            match self.sink.publish(manifest).await {
                Err(error) if error.kind() == ErrorKind::Retry => {
                    wait(&self.id, &self.metrics, &error, &mut backoff).await
                }
                other => return other,
            }
        }
    }

    /// Delivers a batch, however often it takes, and dead-letters what the sink refuses.
    async fn deliver(&mut self, batch: &Arc<Batch>) -> Result<(), StageError> {
        self.metrics.received_events.inc_by(batch.len() as u64);
        let mut backoff = Backoff::default();
        let timer = (!self.sink.collects()).then(|| self.metrics.delivery_seconds.start_timer());
        let delivery = loop {
            match self.sink.deliver(batch).await {
                Ok(delivery) => break delivery,
                Err(error) if error.kind() == ErrorKind::Retry => {
                    wait(&self.id, &self.metrics, &error, &mut backoff).await
                }
                Err(error) => {
                    self.metrics.error(error.error_type());
                    return Err(error);
                }
            }
        };
        drop(timer);
        let refused: Vec<Rejected> = delivery
            .rejected
            .into_iter()
            .map(|(index, reason)| {
                let event = batch.event(index);
                Rejected { position: event.position(), reason, raw: event.raw().to_owned().into() }
            })
            .collect();
        self.metrics.rejected_events.inc_by(refused.len() as u64);
        let mut backoff = Backoff::default();
        while let Err(error) = self.dead_letters.write(&self.id, batch.origin(), &refused, SystemTime::now()) {
            wait(&self.id, &self.metrics, &error, &mut backoff).await;
        }
        Ok(())
    }
}

/// The part of a batch that no commit covers yet.
fn uncovered(batch: &Arc<Batch>, covered: Option<u64>) -> Option<Arc<Batch>> {
    let Some(covered) = covered else { return Some(Arc::clone(batch)) };
    let fresh: Vec<usize> =
        batch.events().filter(|event| event.position() > covered).map(|event| event.index()).collect();
    if fresh.len() == batch.len() {
        return Some(Arc::clone(batch));
    }
    (!fresh.is_empty()).then(|| Arc::new(batch.select(&fresh)))
}

async fn prepare(id: Arc<str>, metrics: ComponentMetrics, mut sealed: Box<dyn Sealed>) -> Result<Files, StageError> {
    let mut backoff = Backoff::default();
    let prepared = loop {
        match sealed.prepare().await {
            Err(error) if error.kind() == ErrorKind::Retry => wait(&id, &metrics, &error, &mut backoff).await,
            other => break other?,
        }
    };
    failpoint::hit(failpoint::Point::AfterPrepare);
    Ok(Files { sealed, prepared })
}

async fn publish(id: &str, metrics: &ComponentMetrics, mut files: Files) -> Result<(), StageError> {
    let mut backoff = Backoff::default();
    while let Err(error) = files.sealed.publish(&files.prepared).await {
        if error.kind() != ErrorKind::Retry {
            return Err(error);
        }
        wait(id, metrics, &error, &mut backoff).await;
    }
    failpoint::hit(failpoint::Point::AfterPublish);
    Ok(())
}

/// Tells of an error that passes, and waits for it to pass.
async fn wait(id: &str, metrics: &ComponentMetrics, error: &StageError, backoff: &mut Backoff) {
    metrics.error(error.error_type());
    tracing::error!(component = %id, "{error}; nothing is lost meanwhile, and delivery goes on by itself; trying again");
    backoff.wait().await;
}

#[cfg(test)]
mod tests;
