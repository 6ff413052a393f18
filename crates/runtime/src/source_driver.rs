//! Runs one source: gives its batches to workers, keeps their order, and advances its checkpoints behind resolved
//! acknowledgements.
//!
//! Several batches are worked on at once, and leave in the order in which they came. So inside a shard every sink sees
//! positions grow, which is what lets a collecting sink say "everything up to here" with one number.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
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
use tokio::time::{Instant, Interval, MissedTickBehavior};

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
        let (mut acks, resolved) = Acks::new();
        let mut books = Books::new(resolved, self.checkpoint_interval);
        let mut working = FuturesOrdered::new();
        let mut ended = false;
        while !(ended && working.is_empty() && books.pending.is_empty()) {
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
                    books.open(sequence, &worked);
                    let mut handing = pin!(self.hand_over(worked, ack));
                    // A sink may be stuck for long: what the others acknowledge counts, and the age of what waits shows.
                    loop {
                        tokio::select! {
                            handed = &mut handing => break handed?,
                            news = books.news() => self.note(news, &mut books).await?,
                        }
                    }
                }
                news = books.news() => self.note(news, &mut books).await?,
            }
        }
        self.write_checkpoints(&mut books.reached).await?;
        self.metrics.checkpoint_age_seconds.set(0);
        Ok(books.outcome)
    }

    async fn note(&self, news: News, books: &mut Books) -> Result<(), StageError> {
        match news {
            News::Resolved(verdict) => books.settle(verdict),
            News::Tick => {
                let age = books.pending.front().map_or(0, |oldest| oldest.since.elapsed().as_secs());
                self.metrics.checkpoint_age_seconds.set(i64::try_from(age).unwrap_or(i64::MAX));
                self.write_checkpoints(&mut books.reached).await?;
            }
        }
        Ok(())
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

/// What is on its way, and how far everything has arrived.
struct Books {
    pending: VecDeque<Pending>,
    /// The checkpoints that hold and are not written, by shard.
    reached: BTreeMap<Arc<str>, Vec<u8>>,
    outcome: SourceOutcome,
    resolved: mpsc::UnboundedReceiver<Resolved>,
    tick: Interval,
}

/// Why the books need a look.
enum News {
    Resolved(Resolved),
    /// It is time to write checkpoints.
    Tick,
}

impl Books {
    fn new(resolved: mpsc::UnboundedReceiver<Resolved>, interval: Duration) -> Books {
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Books { pending: VecDeque::new(), reached: BTreeMap::new(), outcome: SourceOutcome::default(), resolved, tick }
    }

    /// Waits for news. Nothing is lost when the wait is broken off.
    async fn news(&mut self) -> News {
        tokio::select! {
            Some(verdict) = self.resolved.recv() => News::Resolved(verdict),
            _ = self.tick.tick() => News::Tick,
        }
    }

    /// A batch sets out.
    fn open(&mut self, sequence: u64, worked: &Worked) {
        let (shard, checkpoint) = (Arc::clone(&worked.origin.shard), worked.checkpoint.clone());
        self.pending.push_back(Pending { sequence, since: Instant::now(), shard, checkpoint, delivered: None });
    }

    /// Notes a verdict, and moves checkpoints over everything that has arrived with nothing missing before it.
    fn settle(&mut self, verdict: Resolved) {
        if let Some(found) = self.pending.iter_mut().find(|waiting| waiting.sequence == verdict.sequence) {
            found.delivered = Some(verdict.delivered);
        }
        while let Some(delivered) = self.pending.front().and_then(|front| front.delivered) {
            let Some(front) = self.pending.pop_front() else { break };
            if !delivered {
                self.outcome.undelivered_batches += 1;
            }
            // One failure holds every later checkpoint back: what was lost is read again.
            if self.outcome.undelivered_batches == 0 {
                self.reached.insert(front.shard, front.checkpoint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use downspout_core::{FieldTable, Records, Span, Store};

    use crate::graph::{Consumer, Graph};

    fn books(shards: &[&str]) -> Books {
        let mut books = Books::new(Acks::new().1, Duration::from_secs(1));
        let entry = |(sequence, shard): (usize, &&str)| Pending {
            sequence: sequence as u64,
            since: Instant::now(),
            shard: (*shard).into(),
            checkpoint: vec![sequence as u8],
            delivered: None,
        };
        books.pending = shards.iter().enumerate().map(entry).collect();
        books
    }

    #[tokio::test]
    async fn checkpoints_advance_only_over_what_is_complete() {
        let mut books = books(&["a", "a", "b"]);
        let mut say = |sequence, delivered| {
            books.settle(Resolved { sequence, delivered });
            books.reached.iter().map(|(shard, at)| format!("{shard}{}", at[0])).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(say(1, true), "");
        assert_eq!(say(0, true), "a1");
        assert_eq!(say(2, true), "a1 b2");
    }

    #[tokio::test]
    async fn a_failure_holds_everything_behind_it() {
        let mut books = books(&["a", "a", "a"]);
        for (sequence, delivered) in [(0, true), (2, true), (1, false)] {
            books.settle(Resolved { sequence, delivered });
        }
        assert_eq!(books.reached.into_values().collect::<Vec<_>>(), [vec![0]]);
        assert_eq!(books.outcome.undelivered_batches, 1);
        assert!(books.pending.is_empty());
    }

    /// A batch of one record, whose checkpoint is its number.
    fn batch(number: u8) -> SourceBatch {
        let text = format!("{{\"n\":{number}}}");
        let spans = vec![Span { start: 0, len: text.len(), position: number.into() }];
        let records = Records { text: text.into(), spans };
        SourceBatch { shard: "a".to_owned(), records, checkpoint: vec![number], ..SourceBatch::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_sink_stops_neither_the_clock_nor_what_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let metrics = ComponentMetrics::detached("in", "source", "test").unwrap();
        let graph = Graph { sources: vec![vec![Consumer::Sink(0)]], transforms: Vec::new() };
        let worker = Worker { transforms: Vec::new(), graph: Arc::new(graph), fields: Arc::new(FieldTable::default()) };
        let workers = async_channel::bounded(1);
        assert!(workers.0.try_send(worker).is_ok());
        let (source, batches) = mpsc::channel(20);
        let (queue, mut flights) = Queue::new(ComponentMetrics::detached("out", "sink", "test").unwrap());
        let driver = SourceDriver {
            index: 0,
            id: "in".into(),
            metrics: metrics.clone(),
            batches,
            workers,
            threads: 1,
            sinks: vec![queue],
            dead_letters: Arc::new(DeadLetters::new(folder.path())),
            committer: Arc::new(Committer::new(Arc::clone(&store), Vec::new())),
            checkpoint_interval: Duration::from_secs(1),
        };
        let running = tokio::spawn(driver.run());
        for number in 1..=12 {
            source.send(batch(number)).await.unwrap();
        }
        // The first is taken; others fill the queue, and one waits in front of it.
        let (first, _room) = flights.recv().await.unwrap();
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!((98..=100).contains(&metrics.checkpoint_age_seconds.get()));
        assert_eq!(store.get(&checkpoint_key("in", "a")).unwrap(), None);
        first.ack.delivered();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(store.get(&checkpoint_key("in", "a")).unwrap(), Some(vec![1]));
        drop(source);
        while let Some((flight, _room)) = flights.recv().await {
            flight.ack.delivered();
        }
        assert_eq!(running.await.unwrap().unwrap().undelivered_batches, 0);
        assert_eq!(store.get(&checkpoint_key("in", "a")).unwrap(), Some(vec![12]));
        assert_eq!(metrics.checkpoint_age_seconds.get(), 0);
    }
}
