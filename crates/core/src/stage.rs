//! The three stage traits, and what the pipeline lends to a stage.
//!
//! The traits are the minimum: what a stage alone can know. Acknowledgements, checkpoints, retries, dead letters,
//! queues and metrics of flow belong to the pipeline, so that no stage can get them wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::batch::{Batch, Origin};
use crate::decode::{Records, Rejected};
use crate::error::StageError;
use crate::field::FieldTable;
use crate::metrics::ComponentMetrics;
use crate::store::{Store, StoreError, Write, key, last_part};

/// What the pipeline lends to a component when it is built.
#[derive(Debug, Clone)]
pub struct Context {
    /// The component's id in the config.
    pub id: Arc<str>,
    /// The pipeline's store.
    pub store: Arc<Store>,
    /// The pipeline's field table.
    pub fields: Arc<crate::field::FieldTable>,
    /// The component's metrics.
    pub metrics: ComponentMetrics,
    /// How far the sources have read.
    pub progress: Arc<crate::progress::Progress>,
    /// How many workers the pipeline has.
    pub threads: usize,
    /// What the pipeline's components have in common.
    pub shared: crate::shared::Shared,
}

/// Tells stages that the pipeline wants to stop.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// A signal, and the sender that gives it by sending `true`.
    pub fn new() -> (watch::Sender<bool>, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (sender, Shutdown(receiver))
    }

    /// Whether stopping was asked for.
    pub fn requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until stopping is asked for.
    pub async fn wait(&mut self) {
        // An error means that the pipeline itself is gone, which asks for stopping too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// What a source sends: records of one shard, and how far it has then read.
#[derive(Debug, Default)]
pub struct SourceBatch {
    /// The shard that the records belong to. Positions grow inside a shard, from batch to batch.
    pub shard: String,
    /// The records, framed but not parsed.
    pub records: Records,
    /// What could not even be framed, with positions in the same order.
    pub rejected: Vec<Rejected>,
    /// What the source wants to find again after a restart, once everything up to here is acknowledged. Its own
    /// format.
    pub checkpoint: Vec<u8>,
    /// Where the records come from, if not from where the source's records usually do: it becomes the field
    /// [`PROVENANCE`] of each. [`Output::marked`] sets it.
    pub provenance: Option<Arc<str>>,
}

/// The field, segment by segment, that says where a record comes from that did not come the usual way.
pub const PROVENANCE: [&str; 2] = ["downspout", "provenance"];

/// A source's way into the pipeline.
#[derive(Debug)]
pub struct Output {
    sender: mpsc::Sender<SourceBatch>,
    source: Arc<str>,
    store: Arc<Store>,
    /// The last position that was sent, by shard.
    sent: Mutex<BTreeMap<String, u64>>,
    provenance: Option<Arc<str>>,
}

/// The pipeline takes no more: the source should return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl Output {
    /// The output of the source named `source`: what it sends arrives at `sender`'s other end.
    pub fn new(source: Arc<str>, store: Arc<Store>, sender: mpsc::Sender<SourceBatch>) -> Output {
        Output { sender, source, store, sent: Mutex::default(), provenance: None }
    }

    /// A second way into the same pipeline, for records of another provenance. Its shards must be its own.
    #[must_use]
    pub fn marked(&self, provenance: &str) -> Output {
        let (sender, source, store) = (self.sender.clone(), Arc::clone(&self.source), Arc::clone(&self.store));
        Output { sender, source, store, sent: Mutex::default(), provenance: Some(provenance.into()) }
    }

    /// Hands records over; waits while the pipeline is busy.
    ///
    /// # Errors
    /// [`Closed`] when the pipeline has stopped.
    pub async fn send(&self, mut batch: SourceBatch) -> Result<(), Closed> {
        batch.provenance.clone_from(&self.provenance);
        let last = last_position(&batch);
        self.sender.send(batch).await.map_err(|_| Closed)?;
        self.note(last);
        Ok(())
    }

    /// As [`Output::send`], for threads that block.
    ///
    /// # Errors
    /// [`Closed`] when the pipeline has stopped.
    pub fn blocking_send(&self, mut batch: SourceBatch) -> Result<(), Closed> {
        batch.provenance.clone_from(&self.provenance);
        let last = last_position(&batch);
        self.sender.blocking_send(batch).map_err(|_| Closed)?;
        self.note(last);
        Ok(())
    }

    /// The last position of a shard that was sent in this run. A source whose work begins anew while the process lives
    /// sends what lies behind it: positions grow, and nothing is sent twice.
    pub fn sent(&self, shard: &str) -> Option<u64> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).get(shard).copied()
    }

    fn note(&self, last: Option<(String, u64)>) {
        if let Some((shard, position)) = last {
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, position);
        }
    }

    /// The acknowledged checkpoints of this source, by shard.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let found = self.store.list(&key(&[b"checkpoint", self.source.as_bytes()]))?;
        let shard = |key: &[u8]| String::from_utf8_lossy(last_part(key)).into_owned();
        Ok(found.into_iter().map(|(key, value)| (shard(&key), value)).collect())
    }
}

/// A batch's shard and the last position in it.
fn last_position(batch: &SourceBatch) -> Option<(String, u64)> {
    let record = batch.records.spans.last().map(|span| span.position);
    let rejected = batch.rejected.last().map(|rejected| rejected.position);
    record.max(rejected).map(|position| (batch.shard.clone(), position))
}

/// The store's key of a source's checkpoint.
pub fn checkpoint_key(source: &str, shard: &str) -> Vec<u8> {
    key(&[b"checkpoint", source.as_bytes(), shard.as_bytes()])
}

/// Fetches records.
///
/// # Contract
/// Inside a shard, records are sent in the order of their positions, and the same record has the same position after
/// a restart: sinks that promise "exactly once" recognise by it what they already have. Waiting (for a poll, for a
/// file to grow) ends when `shutdown` asks. Sending waits while the pipeline is busy: that is the back-pressure, and
/// a source holds no more than one batch beside it.
#[async_trait]
pub trait Source: Send {
    /// Reads until there is nothing more, or until asked to stop.
    ///
    /// # Errors
    /// What keeps the source from going on.
    async fn run(self: Box<Self>, output: Output, shutdown: Shutdown) -> Result<(), StageError>;

    /// Whether another run can send again what was sent and not delivered.
    fn can_replay(&self) -> bool {
        true
    }
}

/// Changes batches: CPU only, no waiting, no I/O beyond the store.
///
/// Every worker has its own copy of a chain of transforms ([`Transform::fork`]); what they share stands behind an
/// [`Arc`].
pub trait Transform: Send {
    /// Changes the batch in place. What belongs to named outputs is pushed to `outputs`.
    ///
    /// # Errors
    /// Only what must stop the pipeline. A record that cannot be handled stays as it is.
    fn apply(&mut self, batch: &mut Batch, outputs: &mut Outputs) -> Result<(), StageError>;

    /// Parses a source's records and applies itself to them, for a transform that can do both at once faster than one
    /// after the other. It is asked only if it alone reads the source. `Err`: it cannot; here are the records.
    fn decode(
        &mut self,
        records: Records,
        _origin: &Origin,
        _fields: &Arc<FieldTable>,
    ) -> Result<(Batch, Vec<Rejected>), Records> {
        Err(records)
    }

    /// Another worker's copy.
    fn fork(&self) -> Box<dyn Transform>;

    /// State that must be durable before anything that this transform let through becomes visible.
    fn state(&self) -> Option<Arc<dyn State>> {
        None
    }
}

/// The batches for named outputs that a transform makes beside the one it changes in place.
#[derive(Debug, Default)]
pub struct Outputs {
    batches: Vec<(usize, Batch)>,
}

impl Outputs {
    /// Sends a batch to the named output of that index, in the order in which the component lists its outputs.
    pub fn push(&mut self, output: usize, batch: Batch) {
        self.batches.push((output, batch));
    }

    /// Takes what was pushed.
    pub fn take(&mut self) -> Vec<(usize, Batch)> {
        std::mem::take(&mut self.batches)
    }
}

/// State of a transform that lives in the store.
///
/// The pipeline calls `changes` before each commit of a sink or checkpoint, writes them in the same transaction and
/// then calls `committed`. So state is never behind what is visible outside.
pub trait State: Send + Sync {
    /// What changed since the last commit. Calls do not overlap.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn changes(&self) -> Result<Vec<Write>, StageError>;

    /// The last changes are durable.
    fn committed(&self);
}

/// What a sink did with a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Events that it refuses for good: index in the batch, and why. They go to the dead-letter file.
    pub rejected: Vec<(usize, String)>,
}

/// Delivers events.
///
/// # Contract
/// `deliver` returns when the batch has arrived, and the pipeline acknowledges it then. A sink that collects batches
/// into larger units (files) says so by [`Sink::collects`]: the pipeline then holds the acknowledgements back until
/// a commit. The tempting mistake, which this split makes impossible, is to acknowledge what only stands in a buffer.
///
/// # Commits of collecting sinks
/// 1. [`Sink::seal`] takes everything collected out of the sink as a job.
/// 2. [`Sealed::encode`] makes of it what will be written, and [`Sealed::prepare`] makes that durable, and invisible,
///    and gives a manifest. The sink collects on meanwhile.
/// 3. The pipeline writes the manifest, the positions that it covers and the state of transforms in one transaction.
///    This is the instant at which the commit has happened.
/// 4. [`Sealed::publish`] makes it visible. After a crash [`Sink::publish`] does the same for the last manifest, and
///    finishes what is left, if anything is.
///
/// After a restart the pipeline drops what a commit already covers before it reaches the sink. So a collecting sink
/// delivers exactly once.
#[async_trait]
pub trait Sink: Send {
    /// Takes a batch.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Retry`]: the pipeline waits and delivers the same batch again.
    async fn deliver(&mut self, batch: &Arc<Batch>) -> Result<Delivery, StageError>;

    /// Whether batches are collected, and acknowledged at commits only.
    fn collects(&self) -> bool {
        false
    }

    /// When to commit, of a sink that collects.
    fn due(&self) -> Due {
        Due::Never
    }

    /// Takes out what was collected. `commit` is a number that no earlier commit of this sink had. `None` if there
    /// is nothing.
    fn seal(&mut self, _commit: u64) -> Option<Box<dyn Sealed>> {
        None
    }

    /// Makes the manifest of the last commit before a crash visible, as far as it is not.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Retry`]: the pipeline waits and publishes the same manifest again.
    async fn publish(&mut self, _manifest: &[u8]) -> Result<(), StageError> {
        Ok(())
    }

    /// Removes what commits that never happened left behind. Called once, before anything else but `publish`.
    ///
    /// # Errors
    /// If that is impossible, the pipeline does not start.
    async fn clean(&mut self) -> Result<(), StageError> {
        Ok(())
    }
}

/// When a collecting sink wants to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It has collected nothing.
    Never,
    /// At that time, or when more comes.
    At(tokio::time::Instant),
    /// Now: it is full.
    Now,
}

/// What a sink collected, on its way to being durable.
#[async_trait]
pub trait Sealed: Send {
    /// Does the part of the work that takes the processor, so that it need not wait while the disk makes the commit
    /// before durable. [`Sealed::prepare`] does it if nobody has. Does nothing if there is no such part.
    ///
    /// # Errors
    /// All of them end the pipeline.
    async fn encode(&mut self) -> Result<(), StageError> {
        Ok(())
    }

    /// Makes it durable but not visible, and gives the manifest that [`Sink::publish`] needs. May be called again
    /// after an error.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Retry`]: the pipeline waits and prepares again.
    async fn prepare(&mut self) -> Result<Prepared, StageError>;

    /// Makes visible what was prepared, and has happened. The sink collects on meanwhile.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Retry`]: the pipeline waits and publishes again.
    async fn publish(&mut self, prepared: &Prepared) -> Result<(), StageError>;
}

/// A commit that is durable, and not visible.
#[derive(Debug, Default)]
pub struct Prepared {
    /// What [`Sink::publish`] needs, in the sink's own format.
    pub manifest: Vec<u8>,
}
