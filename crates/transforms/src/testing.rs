//! What the tests of all transforms share: batches from lines of JSON, and the promise that batching does not matter.

use std::sync::Arc;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::print::LineWriter;
use downspout_core::stage::Outputs;
use downspout_core::{Batch, Component, Context, FieldTable, Origin, Records, Span, StageError, Store, Transform};

/// A context whose store lives in `dir`.
pub(crate) fn context(dir: &std::path::Path, component_type: &str) -> Context {
    Context {
        id: "it".into(),
        store: Arc::new(Store::open(dir).unwrap()),
        fields: Arc::default(),
        metrics: ComponentMetrics::detached("it", "transform", component_type).unwrap(),
        progress: Arc::default(),
        threads: 1,
        shared: downspout_core::Shared::default(),
    }
}

/// Reads a config and builds its transform.
pub(crate) fn build<C>(config: serde_json::Value, context: Context) -> Result<Box<dyn Transform>, StageError>
where
    C: Component<Stage = Box<dyn Transform>>,
{
    let config: C = serde_json::from_value(config).unwrap();
    config.plan().unwrap()(context)
}

/// A batch of records, at the positions 0, 1, 2 ... of one shard.
pub(crate) fn batch(fields: &Arc<FieldTable>, lines: &[&str]) -> Batch {
    batch_at(fields, "shard", 0, lines)
}

/// A batch of records at growing positions of a shard.
pub(crate) fn batch_at(fields: &Arc<FieldTable>, shard: &str, position: u64, lines: &[&str]) -> Batch {
    let mut records = Records::default();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        records.spans.push(Span { start: text.len(), len: line.len(), position: position + index as u64 });
        text.push_str(line);
    }
    records.text = text.into();
    let origin = Origin { source: "source".into(), shard: shard.into() };
    let (batch, rejected) = Batch::decode(records, origin, Arc::clone(fields));
    assert_eq!(rejected, []);
    batch
}

/// The events of a batch as lines of JSON, additions included.
pub(crate) fn lines(batch: &Batch) -> Vec<String> {
    let mut writer = LineWriter::default();
    let names = batch.names();
    let line = |event| {
        let mut line = Vec::new();
        writer.write_raw(event, &names, &mut line);
        String::from_utf8(line).unwrap().trim_end().to_owned()
    };
    batch.events().map(line).collect()
}

/// What a transform gives: the lines of the main output, then those of each named output by index.
pub(crate) fn run(transform: &mut dyn Transform, batches: Vec<Batch>) -> Vec<Vec<String>> {
    let mut given = vec![Vec::new()];
    for mut batch in batches {
        let mut outputs = Outputs::default();
        transform.apply(&mut batch, &mut outputs).unwrap();
        given[0].extend(lines(&batch));
        for (output, batch) in outputs.take() {
            given.resize_with(given.len().max(output + 2), Vec::new);
            given[output + 1].extend(lines(&batch));
        }
    }
    given
}

/// All batchings that tests try: whole, cut in two at every border, and one event at a time.
pub(crate) fn batchings(batch: &Batch) -> Vec<Vec<Batch>> {
    let all: Vec<usize> = (0..batch.len()).collect();
    let cut = |at: usize| vec![batch.select(&all[..at]), batch.select(&all[at..])];
    let mut batchings: Vec<Vec<Batch>> = vec![vec![batch.clone()]];
    batchings.extend((0..=batch.len()).map(cut));
    batchings.push(all.iter().map(|&index| batch.select(&[index])).collect());
    batchings
}

/// Runs a new transform over every batching, checks that all give the same, and gives that.
pub(crate) fn run_batchings(mut transform: impl FnMut() -> Box<dyn Transform>, batch: &Batch) -> Vec<Vec<String>> {
    let mut given: Vec<_> = batchings(batch).into_iter().map(|batches| run(&mut *transform(), batches)).collect();
    let whole = given.remove(0);
    for other in given {
        assert_eq!(trimmed(other), trimmed(whole.clone()));
    }
    whole
}

/// Outputs that got nothing may have been named or not.
fn trimmed(mut outputs: Vec<Vec<String>>) -> Vec<Vec<String>> {
    while outputs.last().is_some_and(Vec::is_empty) {
        outputs.pop();
    }
    outputs
}
