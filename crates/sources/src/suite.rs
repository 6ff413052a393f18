//! What every source must hold, whatever it reads: runs a source as the pipeline does, acknowledges its batches one by
//! one, and stops or kills it at any of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use downspout_core::metrics::{ComponentLabels, Metrics};
use downspout_core::stage::{Output, Shutdown, SourceBatch, checkpoint_key};
use downspout_core::store::Write;
use downspout_core::{Context, FieldTable, Source, StageError, Store};
use serde_json::Value;
use tokio::sync::mpsc;

/// A source's surroundings: they outlive its runs.
pub(crate) struct Bench {
    pub(crate) context: Context,
    metrics: Metrics,
    _folder: tempfile::TempDir,
}

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stop {
    /// When the source ends.
    AtEnd,
    /// Killed behind that many acknowledged batches: what it sent then is lost.
    Killed(usize),
    /// Asked to stop behind that many batches.
    Asked(usize),
}

/// What a source sent.
pub(crate) struct Run {
    pub(crate) batches: Vec<SourceBatch>,
    pub(crate) result: Result<(), StageError>,
}

/// Shard, position and text.
pub(crate) type Sent = (String, u64, String);

impl Bench {
    pub(crate) fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::new().unwrap();
        let labels = ComponentLabels { id: "in".to_owned(), kind: "source", component_type: "test".to_owned() };
        let context = Context {
            id: "in".into(),
            store: Arc::new(Store::open(&folder.path().join("data")).unwrap()),
            fields: Arc::new(FieldTable::default()),
            metrics: metrics.component(labels),
            progress: Arc::default(),
            threads: 2,
            shared: downspout_core::Shared::default(),
        };
        Bench { context, metrics, _folder: folder }
    }

    /// How many errors of a type were counted.
    pub(crate) fn errors(&self, error_type: &str) -> usize {
        let text = self.metrics.render();
        let label = format!("error_type=\"{error_type}\"");
        let line = text.lines().find(|line| line.contains(&label));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
    }

    /// Runs a source, and checks what holds for every run.
    pub(crate) fn run(&self, source: Box<dyn Source>, stop: Stop) -> Run {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let run = runtime.block_on(self.drive(source, stop));
        // A thread that waits for standard input must not keep the test waiting.
        runtime.shutdown_background();
        self.check(&run.batches);
        run
    }

    async fn drive(&self, source: Box<dyn Source>, stop: Stop) -> Run {
        let (sender, mut receiver) = mpsc::channel(1);
        let (stopper, shutdown) = Shutdown::new();
        let output = Output::new(Arc::clone(&self.context.id), Arc::clone(&self.context.store), sender);
        let running = tokio::spawn(source.run(output, shutdown));
        let mut batches = Vec::new();
        loop {
            if stop == Stop::Killed(batches.len()) {
                break;
            }
            if stop == Stop::Asked(batches.len()) {
                stopper.send_replace(true);
            }
            let Some(batch) = receiver.recv().await else { break };
            let write = Write::set(checkpoint_key("in", &batch.shard), batch.checkpoint.clone());
            self.context.store.write_all(&[write]).unwrap();
            batches.push(batch);
        }
        drop(receiver);
        if let Stop::Asked(count) = stop {
            assert!(batches.len() <= count + 2, "asked to stop behind {count} batches, it sent {}", batches.len());
        }
        Run { batches, result: running.await.unwrap() }
    }

    /// Positions and checkpoints grow inside each shard.
    fn check(&self, batches: &[SourceBatch]) {
        let mut reached: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for batch in batches {
            let (position, offset) = reached.entry(&batch.shard).or_default();
            let rejected: Vec<u64> = batch.rejected.iter().map(|rejected| rejected.position).collect();
            let mut positions: Vec<u64> = batch.records.spans.iter().map(|span| span.position).collect();
            assert!(positions.is_sorted() && rejected.is_sorted());
            positions.extend(rejected);
            positions.sort_unstable();
            assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
            if let (Some(first), Some(last)) = (positions.first(), positions.last()) {
                assert!(first > position, "{}: {first} behind {position}", batch.shard);
                *position = *last;
            }
            let checkpoint: Value = serde_json::from_slice(&batch.checkpoint).unwrap();
            let now = checkpoint.pointer("/resume/offset").or(checkpoint.pointer("/offset")).unwrap().as_u64().unwrap();
            assert!(now >= *offset, "{}: checkpoint {now} behind {offset}", batch.shard);
            *offset = now;
        }
    }
}

/// The records and the rejected texts of batches, in order.
pub(crate) fn sent(batches: &[SourceBatch]) -> Vec<Sent> {
    let mut all = Vec::new();
    for batch in batches {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let record = |start: usize, len: usize| text(&batch.records.text[start..start + len]);
        let mut found: Vec<Sent> = batch
            .records
            .spans
            .iter()
            .map(|span| (batch.shard.clone(), span.position, record(span.start, span.len)))
            .collect();
        found.extend(batch.rejected.iter().map(|rejected| {
            (batch.shard.clone(), rejected.position, format!("rejected: {}: {}", rejected.reason, text(&rejected.raw)))
        }));
        found.sort_by_key(|(_, position, _)| *position);
        all.extend(found);
    }
    all
}

/// The texts alone.
pub(crate) fn texts(batches: &[SourceBatch]) -> Vec<String> {
    sent(batches).into_iter().map(|(.., text)| text).collect()
}

/// A source that is killed behind any of its batches and started again sends everything that was not acknowledged,
/// with the same positions, and nothing that was.
pub(crate) fn resumes_behind_every_batch(make: impl Fn(&Bench) -> Box<dyn Source>) {
    let whole = {
        let bench = Bench::new();
        bench.run(make(&bench), Stop::AtEnd).batches
    };
    assert!(whole.len() > 3, "too few batches to tell: {}", whole.len());
    for stop in (0..=whole.len()).flat_map(|count| [Stop::Killed(count), Stop::Asked(count)]) {
        let bench = Bench::new();
        let mut batches = bench.run(make(&bench), stop).batches;
        let again = bench.run(make(&bench), Stop::AtEnd);
        batches.extend(again.batches);
        let (found, wanted) = (sent(&batches), sent(&whole));
        let differs = found.iter().zip(&wanted).find(|(found, wanted)| found != wanted);
        assert_eq!((differs, found.len()), (None, wanted.len()), "{stop:?}");
        assert_eq!(sent(&bench.run(make(&bench), Stop::AtEnd).batches), [], "{stop:?}: read again");
    }
}
