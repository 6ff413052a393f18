//! Each stage alone, on records in memory: parse, flatten, dedupe, geoip, Parquet.
//!
//! The records are the real ones where they are, else the repository's samples. Every bench reports bytes of records a
//! second, so that the stages can be compared with each other. Ratios to references are measured by `compare.py`.

#![expect(clippy::expect_used, clippy::panic, reason = "a bench that cannot start has nothing better to do")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use downspout_core::metrics::ComponentMetrics;
use downspout_core::progress::Progress;
use downspout_core::stage::Outputs;
use downspout_core::{Batch, Component, Context, FieldTable, Origin, Records, Span, Store, Transform};
use downspout_sinks::parquet;
use downspout_transforms::dedupe::DedupeConfig;
use downspout_transforms::flatten::FlattenConfig;
use downspout_transforms::geoip::GeoIpConfig;

const BATCH_BYTES: usize = 1 << 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Records in batches of about a megabyte, as a source sends them.
fn records() -> Vec<Records> {
    let real = root().join("../shared/corpora/ual/ual-2021.ndjson.zst");
    let text = match std::fs::File::open(real) {
        Ok(file) => zstd::decode_all(file).expect("the real records can be read"),
        Err(_) => std::fs::read(root().join("pipelines/samples/unified-audit.ndjson"))
            .expect("the samples can be read")
            .repeat(70),
    };
    let mut batches = Vec::new();
    let (mut block, mut spans) = (Vec::new(), Vec::new());
    for (number, line) in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        spans.push(Span { start: block.len(), len: line.len(), position: number as u64 + 1 });
        block.extend_from_slice(line);
        block.push(b'\n');
        if block.len() > BATCH_BYTES {
            batches.push(Records { text: std::mem::take(&mut block).into(), spans: std::mem::take(&mut spans) });
        }
    }
    batches.push(Records { text: block.into(), spans });
    batches
}

struct Bench {
    context: Context,
    records: Vec<Records>,
    bytes: u64,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let context = Context {
            id: "bench".into(),
            store: Arc::new(Store::open(folder.path()).expect("a store")),
            fields: Arc::new(FieldTable::default()),
            metrics: ComponentMetrics::detached("bench", "sink", "bench").expect("metrics"),
            progress: Arc::new(Progress::default()),
            threads: 1,
            shared: downspout_core::Shared::default(),
        };
        let records = records();
        let bytes = records.iter().map(|batch| batch.text.len() as u64).sum();
        Bench { context, records, bytes, folder }
    }

    fn stage<C: Component>(&self, config: serde_json::Value) -> C::Stage {
        let config: C = serde_json::from_value(config).expect("a good config");
        let Ok(build) = config.plan() else { panic!("a good config") };
        build(self.context.clone()).expect("a stage")
    }

    fn decode(&self, records: &Records) -> Batch {
        let origin = Origin { source: "bench".into(), shard: "bench".into() };
        Batch::decode(records.clone(), origin, Arc::clone(&self.context.fields)).0
    }

    fn decoded(&self) -> Vec<Batch> {
        self.records.iter().map(|records| self.decode(records)).collect()
    }

    /// Decoded and flattened at once, as where `flatten` alone reads a source.
    fn decoded_flat(&self, flatten: &mut dyn Transform) -> Vec<Batch> {
        let origin = Origin { source: "bench".into(), shard: "bench".into() };
        let decode = |records: &Records| flatten.decode(records.clone(), &origin, &self.context.fields);
        self.records.iter().map(decode).map(|decoded| decoded.expect("flatten decodes").0).collect()
    }

    fn flattened(&self) -> Vec<Batch> {
        self.decoded_flat(&mut *self.stage::<FlattenConfig>(serde_json::json!({})))
    }
}

/// The same records with other ids, at other places: `number` counts the records so far.
fn renewed(records: &Records, number: &mut u64) -> Records {
    const ID: &[u8] = b"\"Id\":\"";
    let (mut text, mut spans) = (records.text.to_vec(), records.spans.clone());
    for span in &mut spans {
        *number += 1;
        span.position = *number;
        let record = &mut text[span.start..span.start + span.len];
        if let Some(at) = record.windows(ID.len()).position(|window| window == ID) {
            record[at + ID.len()..][..8].copy_from_slice(format!("{number:08x}").as_bytes());
        }
    }
    Records { text: text.into(), spans }
}

fn stages(criterion: &mut Criterion) {
    let bench = Bench::new();
    let mut group = criterion.benchmark_group("stages");
    group.sample_size(20).throughput(Throughput::Bytes(bench.bytes));

    group.bench_function("parse", |bencher| bencher.iter_with_large_drop(|| black_box(bench.decoded())));

    let mut flatten = bench.stage::<FlattenConfig>(serde_json::json!({}));
    group.bench_function("flatten", |bencher| {
        bencher.iter_batched(
            || bench.decoded(),
            |mut batches| {
                for batch in &mut batches {
                    flatten.apply(batch, &mut Outputs::default()).expect("flatten cannot fail");
                }
                batches
            },
            BatchSize::LargeInput,
        );
    });

    group.bench_function("parse and flatten, known shapes", |bencher| {
        bencher.iter_with_large_drop(|| black_box(bench.decoded_flat(&mut *flatten)));
    });

    // As in a pipeline that runs for a while: batches come right out of flatten, the index grows, and there is a commit
    // after nearly 10,000 records. What the store takes to write that does not count.
    let mut dedupe = bench.stage::<DedupeConfig>(serde_json::json!({}));
    let state = dedupe.state().expect("dedupe has a state");
    let mut number = 0;
    group.sampling_mode(SamplingMode::Flat).bench_function("dedupe", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                for records in &bench.records {
                    let mut batch = bench.decode(&renewed(records, &mut number));
                    flatten.apply(&mut batch, &mut Outputs::default()).expect("flatten cannot fail");
                    let start = Instant::now();
                    dedupe.apply(&mut batch, &mut Outputs::default()).expect("the store can be read");
                    taken += start.elapsed();
                    assert_eq!(batch.len(), records.spans.len(), "no record is a duplicate");
                }
                let start = Instant::now();
                let changes = state.changes().expect("the store can be read");
                taken += start.elapsed();
                bench.context.store.write_all(&changes).expect("room on the disk");
                let start = Instant::now();
                state.committed();
                taken += start.elapsed();
            }
            taken
        });
    });
    group.sampling_mode(SamplingMode::Auto);

    let database = root().join("pipelines/samples/documentation.mmdb");
    let mut geoip = bench.stage::<GeoIpConfig>(serde_json::json!({ "database": database }));
    group.bench_function("geoip", |bencher| {
        bencher.iter_batched(
            || bench.flattened(),
            |mut batches| {
                for batch in &mut batches {
                    geoip.apply(batch, &mut Outputs::default()).expect("a lookup cannot fail");
                }
                batches
            },
            BatchSize::LargeInput,
        );
    });

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let batches: Vec<Arc<Batch>> = bench.flattened().into_iter().map(Arc::new).collect();
    let lake = bench.folder.path().join("lake");
    let mut sink = bench.stage::<parquet::ParquetConfig>(serde_json::json!({ "path": lake, "partition_by": [] }));
    let mut commit = 0;
    group.bench_function("parquet", |bencher| {
        bencher.iter(|| {
            commit += 1;
            runtime.block_on(async {
                for batch in &batches {
                    sink.deliver(batch).await.expect("room on the disk");
                }
                let mut sealed = sink.seal(commit).expect("rows");
                let prepared = sealed.prepare().await.expect("room on the disk");
                sealed.publish(&prepared).await.expect("a rename");
            });
        });
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
