//! The tests that every sink passes, whatever it writes to.
//!
//! A sink's own tests say how it looks from outside ([`Subject`]); [`passes`] then holds it to the contract of
//! [`downspout_core::Sink`].

use std::sync::Arc;

use bytes::Bytes;
use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::{Delivery, Due};
use downspout_core::{Batch, Component, Context, FieldTable, Origin, Records, Sink, Span, Store};

/// A sink under test, with a place of its own to write to.
pub(crate) trait Subject {
    /// Opens the sink, as after a restart when called again.
    fn open(&self) -> Box<dyn Sink>;

    /// The field table of its pipeline.
    fn fields(&self) -> Arc<FieldTable> {
        Arc::default()
    }

    /// The `Id` of each event that has arrived, in any order; `None` if nobody can see that.
    fn arrived(&self) -> Option<Vec<String>>;
}

/// What components are lent in tests: a store and fields of their own.
#[derive(Debug)]
pub(crate) struct Workbench {
    pub(crate) context: Context,
    pub(crate) folder: tempfile::TempDir,
}

impl Workbench {
    pub(crate) fn new() -> Workbench {
        let folder = tempfile::tempdir().unwrap();
        let context = Context {
            id: "lake".into(),
            store: Arc::new(Store::open(&folder.path().join("data")).unwrap()),
            fields: Arc::new(FieldTable::default()),
            metrics: ComponentMetrics::detached("lake", "sink", "test").unwrap(),
            progress: Arc::default(),
            threads: 2,
            shared: downspout_core::Shared::default(),
        };
        Workbench { context, folder }
    }

    pub(crate) fn open<C: Component<Stage = Box<dyn Sink>>>(&self, config: C) -> Box<dyn Sink> {
        let build = config.plan().unwrap_or_else(|errors| panic!("{errors:?}"));
        build(self.context.clone()).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn batch(&self, records: &[&str]) -> Arc<Batch> {
        Arc::new(decode(records, &self.context.fields))
    }
}

/// A batch with these records.
pub(crate) fn decode(records: &[&str], fields: &Arc<FieldTable>) -> Batch {
    let mut spans = Vec::new();
    let mut text = String::new();
    for (position, record) in records.iter().enumerate() {
        spans.push(Span { start: text.len(), len: record.len(), position: position as u64 });
        text.push_str(record);
        text.push('\n');
    }
    let origin = Origin { source: "archive".into(), shard: "test".into() };
    let (batch, rejected) = Batch::decode(Records { text: Bytes::from(text), spans }, origin, Arc::clone(fields));
    assert_eq!(rejected, []);
    batch
}

/// The `Id` members of lines of JSON.
pub(crate) fn ids_of_lines(text: &[u8]) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["Id"].as_str().unwrap().to_owned();
    String::from_utf8(text.to_vec()).unwrap().lines().map(id).collect()
}

/// Records with the `Id`s `first..end`.
fn numbered(subject: &impl Subject, ids: std::ops::Range<usize>) -> Batch {
    let record = |id| {
        format!(
            r#"{{"CreationTime":"2026-11-22T10:{:02}:00","Operation":"Send","Id":"{id}","Workload":"Exchange"}}"#,
            id % 60
        )
    };
    let records: Vec<String> = ids.map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    decode(&records, &subject.fields())
}

fn expect(subject: &impl Subject, ids: std::ops::Range<usize>, when: &str) {
    if let Some(mut arrived) = subject.arrived() {
        arrived.sort_by_key(|id| id.parse::<usize>().unwrap());
        let expected: Vec<String> = ids.map(|id| id.to_string()).collect();
        assert_eq!(arrived, expected, "{when}");
    }
}

/// Commits what the sink has collected, as the pipeline does. Gives the manifest, if there was anything.
pub(crate) async fn commit(sink: &mut dyn Sink, number: u64) -> Option<Vec<u8>> {
    let mut sealed = sink.seal(number)?;
    let prepared = sealed.prepare().await.unwrap();
    sealed.publish(&prepared).await.unwrap();
    Some(prepared.manifest)
}

/// Holds a sink to the contract. `fresh` makes it with a new place to write to.
pub(crate) async fn passes<S: Subject>(fresh: impl Fn() -> S) {
    delivers_everything(&fresh()).await;
    takes_an_empty_batch(&fresh()).await;
    a_repeated_delivery_loses_nothing(&fresh()).await;
    if fresh().open().collects() {
        nothing_is_visible_before_publish(&fresh()).await;
        publishing_twice_is_harmless(&fresh()).await;
        preparing_twice_is_harmless(&fresh()).await;
        clean_removes_what_was_never_committed(&fresh()).await;
    }
}

async fn delivers_everything(subject: &impl Subject) {
    let mut sink = subject.open();
    for start in [0, 40, 80] {
        let delivery = sink.deliver(&Arc::new(numbered(subject, start..start + 40))).await.unwrap();
        assert_eq!(delivery, Delivery::default());
    }
    commit(&mut *sink, 1).await;
    expect(subject, 0..120, "after delivery");
    drop(sink);
    let mut sink = subject.open();
    sink.clean().await.unwrap();
    sink.deliver(&Arc::new(numbered(subject, 120..121))).await.unwrap();
    commit(&mut *sink, 2).await;
    expect(subject, 0..121, "after a restart");
}

async fn takes_an_empty_batch(subject: &impl Subject) {
    let mut sink = subject.open();
    assert_eq!(sink.deliver(&Arc::new(numbered(subject, 0..0))).await.unwrap(), Delivery::default());
    assert_eq!(sink.due(), Due::Never);
    assert!(commit(&mut *sink, 1).await.is_none(), "nothing was collected, so there is nothing to seal");
    expect(subject, 0..0, "after an empty batch");
}

/// The pipeline repeats what failed or crashed: such events may arrive again, and none may be missing.
async fn a_repeated_delivery_loses_nothing(subject: &impl Subject) {
    let batch = Arc::new(numbered(subject, 0..10));
    let mut sink = subject.open();
    sink.deliver(&batch).await.unwrap();
    drop(sink);
    let mut sink = subject.open();
    sink.clean().await.unwrap();
    sink.deliver(&batch).await.unwrap();
    commit(&mut *sink, 1).await;
    if let Some(mut arrived) = subject.arrived() {
        let total = arrived.len();
        assert!(!sink.collects() || total == 10, "a collecting sink delivers exactly once");
        arrived.sort();
        arrived.dedup();
        assert_eq!(arrived.len(), 10);
    }
}

async fn nothing_is_visible_before_publish(subject: &impl Subject) {
    let mut sink = subject.open();
    sink.deliver(&Arc::new(numbered(subject, 0..10))).await.unwrap();
    assert_ne!(sink.due(), Due::Never);
    expect(subject, 0..0, "collected only");
    let mut sealed = sink.seal(1).unwrap();
    assert_eq!(sink.due(), Due::Never);
    assert!(sink.seal(2).is_none(), "seal takes everything");
    sink.deliver(&Arc::new(numbered(subject, 10..20))).await.unwrap();
    let manifest = sealed.prepare().await.unwrap().manifest;
    expect(subject, 0..0, "prepared only");
    sink.publish(&manifest).await.unwrap();
    expect(subject, 0..10, "published");
    commit(&mut *sink, 2).await;
    expect(subject, 0..20, "the next commit");
}

async fn publishing_twice_is_harmless(subject: &impl Subject) {
    let mut sink = subject.open();
    sink.deliver(&Arc::new(numbered(subject, 0..10))).await.unwrap();
    let manifest = commit(&mut *sink, 1).await.unwrap();
    sink.publish(&manifest).await.unwrap();
    drop(sink);
    let mut sink = subject.open();
    sink.publish(&manifest).await.unwrap();
    sink.clean().await.unwrap();
    expect(subject, 0..10, "published three times");
}

async fn preparing_twice_is_harmless(subject: &impl Subject) {
    let mut sink = subject.open();
    sink.deliver(&Arc::new(numbered(subject, 0..10))).await.unwrap();
    let mut sealed = sink.seal(1).unwrap();
    sealed.prepare().await.unwrap();
    let manifest = sealed.prepare().await.unwrap().manifest;
    sink.publish(&manifest).await.unwrap();
    expect(subject, 0..10, "prepared twice");
}

async fn clean_removes_what_was_never_committed(subject: &impl Subject) {
    let mut sink = subject.open();
    sink.deliver(&Arc::new(numbered(subject, 0..10))).await.unwrap();
    commit(&mut *sink, 1).await;
    sink.deliver(&Arc::new(numbered(subject, 10..20))).await.unwrap();
    sink.seal(2).unwrap().prepare().await.unwrap();
    drop(sink);
    let mut sink = subject.open();
    sink.clean().await.unwrap();
    expect(subject, 0..10, "cleaned");
    sink.deliver(&Arc::new(numbered(subject, 10..20))).await.unwrap();
    commit(&mut *sink, 2).await;
    expect(subject, 0..20, "the same commit again, after a crash");
}
