//! A worker: takes a batch from its source through all transforms to the doors of the sinks, in one go.
//!
//! There are no queues between transforms, not even behind a fan-out: a batch stays in one core's cache until it is
//! done. Each worker has its own copy of every transform, so that none waits for another.

use std::sync::Arc;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::{Outputs, PROVENANCE, SourceBatch};
use downspout_core::value::Value;
use downspout_core::{Batch, FieldTable, Origin, Records, Rejected, StageError, Transform};

use crate::graph::{Consumer, Consumers, Graph};

/// A worker's own transforms, and how they are wired.
pub(crate) struct Worker {
    pub(crate) transforms: Vec<(Box<dyn Transform>, ComponentMetrics)>,
    pub(crate) graph: Arc<Graph>,
    pub(crate) fields: Arc<FieldTable>,
}

type Decoded = (Batch, Vec<Rejected>);

/// What became of a source's batch.
pub(crate) struct Worked {
    pub(crate) origin: Origin,
    /// The position of its last record.
    pub(crate) end: u64,
    /// Batches for sinks, by the sink's index, in the order of the source.
    pub(crate) deliveries: Vec<(usize, Arc<Batch>)>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) checkpoint: Vec<u8>,
}

impl Worker {
    /// Another worker for the same pipeline.
    pub(crate) fn fork(&self) -> Worker {
        let transforms =
            self.transforms.iter().map(|(transform, metrics)| (transform.fork(), metrics.clone())).collect();
        Worker { transforms, graph: Arc::clone(&self.graph), fields: Arc::clone(&self.fields) }
    }

    /// Parses a source's records and takes them through the pipeline.
    pub(crate) fn work(
        &mut self,
        source: usize,
        source_id: &Arc<str>,
        metrics: &ComponentMetrics,
        batch: SourceBatch,
    ) -> Result<Worked, StageError> {
        let SourceBatch { shard, records, mut rejected, checkpoint, provenance } = batch;
        let origin = Origin { source: Arc::clone(source_id), shard: shard.into() };
        metrics.received_events.inc_by((records.spans.len() + rejected.len()) as u64);
        metrics.received_bytes.inc_by(records.text.len() as u64);
        let last = records.spans.last().map(|span| span.position);
        let end = last.into_iter().chain(rejected.iter().map(|record| record.position)).max().unwrap_or(0);
        let graph = Arc::clone(&self.graph);
        let consumers = &graph.sources[source];
        let (decoded, applied) = self.decode(records, &origin, consumers);
        let (mut batch, refused) = decoded;
        if let Some(provenance) = provenance {
            mark(&mut batch, &provenance);
        }
        rejected.extend(refused);
        rejected.sort_by_key(|record| record.position);
        metrics.rejected_events.inc_by(rejected.len() as u64);
        for _ in &rejected {
            metrics.error("invalid_record");
        }
        metrics.sent_events.inc_by(batch.len() as u64);
        let mut deliveries = Vec::new();
        match applied {
            None => self.fan_out(batch, consumers, &mut deliveries)?,
            Some(transform) => {
                let metrics = &self.transforms[transform].1;
                metrics.received_events.inc_by(batch.len() as u64);
                metrics.sent_events.inc_by(batch.len() as u64);
                self.fan_out(batch, &graph.transforms[transform][0], &mut deliveries)?;
            }
        }
        Ok(Worked { origin, end, deliveries, rejected, checkpoint })
    }

    /// Parses records. Gives the transform too that did it, if one did: it has been applied to them.
    fn decode(&mut self, mut records: Records, origin: &Origin, consumers: &Consumers) -> (Decoded, Option<usize>) {
        if let [Consumer::Transform(only)] = consumers[..] {
            match self.transforms[only].0.decode(records, origin, &self.fields) {
                Ok(decoded) => return (decoded, Some(only)),
                Err(back) => records = back,
            }
        }
        (Batch::decode(records, origin.clone(), Arc::clone(&self.fields)), None)
    }

    /// Hands a batch to everyone who reads it: copies for all transforms but the last, one shared batch for sinks.
    fn fan_out(
        &mut self,
        batch: Batch,
        consumers: &Consumers,
        deliveries: &mut Vec<(usize, Arc<Batch>)>,
    ) -> Result<(), StageError> {
        if batch.is_empty() || consumers.is_empty() {
            return Ok(());
        }
        let mut transforms: Vec<usize> = Vec::new();
        let mut sinks: Vec<usize> = Vec::new();
        for consumer in consumers {
            match *consumer {
                Consumer::Transform(index) => transforms.push(index),
                Consumer::Sink(index) => sinks.push(index),
            }
        }
        let Some(last) = transforms.pop() else {
            share(batch, &sinks, deliveries);
            return Ok(());
        };
        if !sinks.is_empty() {
            share(batch.clone(), &sinks, deliveries);
        }
        for index in transforms {
            self.transform(batch.clone(), index, deliveries)?;
        }
        self.transform(batch, last, deliveries)
    }

    fn transform(
        &mut self,
        mut batch: Batch,
        index: usize,
        deliveries: &mut Vec<(usize, Arc<Batch>)>,
    ) -> Result<(), StageError> {
        let mut outputs = Outputs::default();
        let (transform, metrics) = &mut self.transforms[index];
        metrics.received_events.inc_by(batch.len() as u64);
        transform.apply(&mut batch, &mut outputs).inspect_err(|error| metrics.error(error.error_type()))?;
        let named = outputs.take();
        let sent = batch.len() + named.iter().map(|(_, batch)| batch.len()).sum::<usize>();
        metrics.sent_events.inc_by(sent as u64);
        let graph = Arc::clone(&self.graph);
        for (output, batch) in named {
            self.fan_out(batch, &graph.transforms[index][output + 1], deliveries)?;
        }
        self.fan_out(batch, &graph.transforms[index][0], deliveries)
    }
}

/// Says of each event where it comes from.
fn mark(batch: &mut Batch, provenance: &str) {
    // A field table that is full has no room for the name; the events are worth more than the mark.
    let fields = Arc::clone(batch.fields());
    let Some(field) = fields.intern_path(&PROVENANCE) else { return };
    for event in 0..batch.len() {
        batch.add(event, field, Value::String(provenance));
    }
}

fn share(mut batch: Batch, sinks: &[usize], deliveries: &mut Vec<(usize, Arc<Batch>)>) {
    batch.forget_parse_tree();
    let batch = Arc::new(batch);
    deliveries.extend(sinks.iter().map(|&sink| (sink, Arc::clone(&batch))));
}
