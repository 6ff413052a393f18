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
//! How commits overlap is the business of `commits`.

mod commits;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::Due;
use downspout_core::store::key;
use downspout_core::{Ack, Batch, ErrorKind, Origin, Rejected, Sink, StageError, Store};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::committer::Committer;
use crate::dead_letter::DeadLetters;
use crate::queue::Flights;
use commits::{Commit, Commits, Courier};

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
        let (id, metrics, committer) = (Arc::clone(&self.id), self.metrics.clone(), Arc::clone(&self.committer));
        let mut commits = Commits::new(Courier { id, metrics, committer });
        let mut ended = false;
        loop {
            let due = if ended && !collected.acks.is_empty() { Due::Now } else { self.sink.due() };
            let room = commits.has_room();
            if due == Due::Now && room {
                self.seal(std::mem::take(&mut collected), &mut commits);
                continue;
            }
            if ended && commits.len() == 0 {
                // The sources hear of it before the memory of the sink is given back.
                tokio::task::yield_now().await;
                return Ok(());
            }
            let timer = async {
                match due {
                    Due::At(time) if room => tokio::time::sleep_until(time).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                flight = self.flights.recv(), if !ended && due != Due::Now => match flight {
                    Some((flight, _room)) => self.collect(flight, &mut collected).await?,
                    None => ended = true,
                },
                () = timer => self.seal(std::mem::take(&mut collected), &mut commits),
                visible = commits.moved() => if let Some(commit) = visible? {
                    self.finish(commit);
                },
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

    /// Starts a commit of what was collected.
    fn seal(&mut self, collected: Collected, commits: &mut Commits) {
        let number = self.ledger.commit + 1 + commits.len();
        let Collected { acks, events, reached } = collected;
        match self.sink.seal(number) {
            // Everything was covered already, or refused.
            None => acks.into_iter().for_each(Ack::delivered),
            Some(sealed) => commits.start(Commit { number, acks, events, reached, begun: Instant::now() }, sealed),
        }
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

/// Tells of an error that passes, and waits for it to pass.
async fn wait(id: &str, metrics: &ComponentMetrics, error: &StageError, backoff: &mut Backoff) {
    metrics.error(error.error_type());
    tracing::error!(component = %id, "{error}; nothing is lost meanwhile, and delivery goes on by itself; trying again");
    backoff.wait().await;
}

#[cfg(test)]
mod tests;
