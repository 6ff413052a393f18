//! Runs one source: gives its batches to workers, keeps their order, and advances its checkpoints behind resolved
//! acknowledgements.
//!
//! Several batches are worked on at once, and leave in the order in which they came. So inside a shard every sink sees
//! positions grow, which is what lets a collecting sink say "everything up to here" with one number.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use downspout_core::ack::{Ack, Acks, Resolved};
use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::{SourceBatch, checkpoint_key};
use downspout_core::store::Write;
use downspout_core::{ErrorKind, StageError, failpoint};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::committer::Committer;
use crate::dead_letter::DeadLetters;
use crate::queue::Queue;
use crate::sink_driver::Flight;
use crate::worker::{Worked, Worker};

pub(crate) struct SourceDriver {
    pub(crate) index: usize,
    pub(crate) id: Arc<str>,
    pub(crate) metrics: ComponentMetrics,
    pub(crate) batches: mpsc::Receiver<SourceBatch>,
    /// The pool of idle workers, shared by all sources.
    pub(crate) workers: (async_channel::Sender<Worker>, async_channel::Receiver<Worker>),
    pub(crate) threads: usize,
    pub(crate) sinks: Vec<Queue>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) committer: Arc<Committer>,
    /// How often checkpoints are written: after a crash that much is read again.
    pub(crate) checkpoint_interval: Duration,
}

/// A batch that is on its way, with what its source wants to remember once it has arrived.
struct Pending {
    sequence: u64,
    since: Instant,
    shard: Arc<str>,
    checkpoint: Vec<u8>,
    delivered: Option<bool>,
}

/// What became of a source's batches.
#[derive(Debug, Default)]
pub(crate) struct SourceOutcome {
    pub(crate) undelivered_batches: u64,
}

impl SourceDriver {
    /// Runs until the source has ended and everything it sent is resolved.
    pub(crate) async fn run(mut self) -> Result<SourceOutcome, StageError> {
        let (mut acks, mut resolved) = Acks::new();
        let mut pending: VecDeque<Pending> = VecDeque::new();
        let mut reached: BTreeMap<Arc<str>, Vec<u8>> = BTreeMap::new();
        let mut outcome = SourceOutcome::default();
        let mut working = FuturesOrdered::new();
        let mut ended = false;
        let mut tick = tokio::time::interval(self.checkpoint_interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !(ended && working.is_empty() && pending.is_empty()) {
            if ended && working.is_empty() {
                // Sinks that collect commit when nobody can send any more, and do not wait to be full.
                self.sinks.clear();
            }
            tokio::select! {
                batch = self.batches.recv(), if !ended && working.len() <= self.threads => match batch {
                    Some(batch) => working.push_back(self.start(batch)),
                    None => ended = true,
                },
                Some(worked) = working.next() => {
                    let worked: Worked = worked?;
                    let (sequence, ack) = acks.issue();
                    let since = Instant::now();
                    let shard = Arc::clone(&worked.origin.shard);
                    pending.push_back(Pending { sequence, since, shard, checkpoint: worked.checkpoint.clone(), delivered: None });
                    self.hand_over(worked, ack).await?;
                }
                Some(verdict) = resolved.recv() => {
                    settle(&mut pending, verdict, &mut reached, &mut outcome);
                }
                _ = tick.tick() => {
                    let age = pending.front().map_or(0, |oldest| oldest.since.elapsed().as_secs());
                    self.metrics.checkpoint_age_seconds.set(i64::try_from(age).unwrap_or(i64::MAX));
                    self.write_checkpoints(&mut reached).await?;
                }
            }
        }
        self.write_checkpoints(&mut reached).await?;
        self.metrics.checkpoint_age_seconds.set(0);
        Ok(outcome)
    }

    /// Sends a batch to the next idle worker. It works inside its task, without a thread of its own: a batch takes
    /// about half a millisecond, and threads that come and go leave their memory in pieces.
    fn start(&self, batch: SourceBatch) -> impl Future<Output = Result<Worked, StageError>> + use<> {
        let (give_back, idle) = self.workers.clone();
        let (index, id, metrics) = (self.index, Arc::clone(&self.id), self.metrics.clone());
        let work = tokio::spawn(async move {
            let mut worker =
                idle.recv().await.map_err(|_| StageError::stop("internal", "the pipeline has no workers"))?;
            let worked = worker.work(index, &id, &metrics, batch);
            // Nobody waits for a worker when the pipeline is gone.
            let _ = give_back.try_send(worker);
            worked
        });
        async move {
            work.await.unwrap_or_else(|error| Err(StageError::stop("internal", format!("a worker died: {error}"))))
        }
    }

    async fn hand_over(&self, worked: Worked, ack: Ack) -> Result<(), StageError> {
        let mut backoff = Backoff::default();
        while let Err(error) = self.dead_letters.write(&self.id, &worked.origin, &worked.rejected, SystemTime::now()) {
            self.metrics.error(error.error_type());
            tracing::error!(component = %self.id, "{error}; trying again");
            backoff.wait().await;
        }
        if let Some(first) = worked.rejected.first() {
            tracing::warn!(
                component = %self.id, shard = %worked.origin.shard, position = first.position, records = worked.rejected.len(),
                "records put into the dead-letter file; the first: {}", first.reason
            );
        }
        for (sink, queue) in self.sinks.iter().enumerate() {
            let batches: Vec<_> =
                worked.deliveries.iter().filter(|(to, _)| *to == sink).map(|(_, batch)| Arc::clone(batch)).collect();
            if batches.is_empty() {
                continue;
            }
            let events: usize = batches.iter().map(|batch| batch.len()).sum();
            queue.metrics.buffer_events.add(i64::try_from(events).unwrap_or(i64::MAX));
            let flight = Flight { origin: worked.origin.clone(), end: worked.end, batches, ack: ack.clone() };
            if queue.send(flight).await.is_err() {
                return Err(StageError::stop("sink_gone", "a sink has stopped, so events cannot be delivered"));
            }
        }
        ack.delivered();
        Ok(())
    }

    async fn write_checkpoints(&self, reached: &mut BTreeMap<Arc<str>, Vec<u8>>) -> Result<(), StageError> {
        if reached.is_empty() {
            return Ok(());
        }
        let writes: Vec<Write> = std::mem::take(reached)
            .into_iter()
            .map(|(shard, checkpoint)| Write::set(checkpoint_key(&self.id, &shard), checkpoint))
            .collect();
        let mut backoff = Backoff::default();
        loop {
            failpoint::hit(failpoint::Point::BeforeCheckpoint);
            match self.committer.commit(writes.clone()).await {
                Err(error) if error.kind() == ErrorKind::Retry => {
                    tracing::error!(component = %self.id, "{error}; trying again");
                    backoff.wait().await;
                }
                other => return other,
            }
        }
    }
}

/// Notes a verdict, and moves checkpoints over everything that has arrived with nothing missing before it.
fn settle(
    pending: &mut VecDeque<Pending>,
    verdict: Resolved,
    reached: &mut BTreeMap<Arc<str>, Vec<u8>>,
    outcome: &mut SourceOutcome,
) {
    if let Some(found) = pending.iter_mut().find(|waiting| waiting.sequence == verdict.sequence) {
        found.delivered = Some(verdict.delivered);
    }
    while let Some(delivered) = pending.front().and_then(|front| front.delivered) {
        let Some(front) = pending.pop_front() else { break };
        if !delivered {
            outcome.undelivered_batches += 1;
        }
        // One failure holds every later checkpoint back: what was lost is read again.
        if outcome.undelivered_batches == 0 {
            reached.insert(front.shard, front.checkpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(shards: &[&str]) -> VecDeque<Pending> {
        let entry = |(sequence, shard): (usize, &&str)| Pending {
            sequence: sequence as u64,
            since: Instant::now(),
            shard: (*shard).into(),
            checkpoint: vec![sequence as u8],
            delivered: None,
        };
        shards.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn checkpoints_advance_only_over_what_is_complete() {
        let mut pending = pending(&["a", "a", "b"]);
        let mut reached = BTreeMap::new();
        let mut outcome = SourceOutcome::default();
        let mut say = |sequence, delivered| {
            settle(&mut pending, Resolved { sequence, delivered }, &mut reached, &mut outcome);
            reached.iter().map(|(shard, at)| format!("{shard}{}", at[0])).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(say(1, true), "");
        assert_eq!(say(0, true), "a1");
        assert_eq!(say(2, true), "a1 b2");
    }

    #[test]
    fn a_failure_holds_everything_behind_it() {
        let mut pending = pending(&["a", "a", "a"]);
        let mut reached = BTreeMap::new();
        let mut outcome = SourceOutcome::default();
        for (sequence, delivered) in [(0, true), (2, true), (1, false)] {
            settle(&mut pending, Resolved { sequence, delivered }, &mut reached, &mut outcome);
        }
        assert_eq!(reached.into_values().collect::<Vec<_>>(), [vec![0]]);
        assert_eq!(outcome.undelivered_batches, 1);
        assert!(pending.is_empty());
    }
}
