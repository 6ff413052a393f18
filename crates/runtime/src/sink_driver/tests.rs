//! Drivers with sinks whose answers the test decides, and a store that is opened again as after a crash.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use downspout_core::ack::{Acks, Resolved};
use downspout_core::stage::{Delivery, Prepared, Sealed};
use downspout_core::{FieldTable, Records, Span};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::queue::Queue;

/// What a sink was asked, in order.
type Log = Arc<Mutex<Vec<String>>>;

struct Fake {
    log: Log,
    collects: bool,
    full_at: usize,
    collected: Vec<u64>,
    /// Deliveries and prepares that fail before one succeeds.
    failures: usize,
    refuses: Option<u64>,
    disk: Arc<Disk>,
}

/// Lets commits become visible one by one.
struct Disk {
    /// The last commits that were encoded and prepared.
    encoded: AtomicU64,
    prepared: AtomicU64,
    permits: Semaphore,
}

impl Disk {
    fn new(permits: usize) -> Arc<Disk> {
        let nothing = || AtomicU64::new(0);
        Arc::new(Disk { encoded: nothing(), prepared: nothing(), permits: Semaphore::new(permits) })
    }
}

impl Fake {
    fn new(log: &Log, collects: bool) -> Fake {
        let disk = Disk::new(Semaphore::MAX_PERMITS);
        Fake { log: Arc::clone(log), collects, full_at: 2, collected: Vec::new(), failures: 0, refuses: None, disk }
    }

    fn say(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    fn fails(&mut self) -> bool {
        let fails = self.failures > 0;
        self.failures = self.failures.saturating_sub(1);
        fails
    }
}

struct FakeSealed(Vec<u64>, u64, Log, Arc<Disk>);

#[async_trait]
impl Sealed for FakeSealed {
    async fn encode(&mut self) -> Result<(), StageError> {
        self.3.encoded.fetch_max(self.1, Ordering::Relaxed);
        Ok(())
    }

    async fn prepare(&mut self) -> Result<Prepared, StageError> {
        self.3.prepared.fetch_max(self.1, Ordering::Relaxed);
        Ok(Prepared { manifest: format!("{}:{:?}", self.1, self.0).into_bytes() })
    }

    async fn publish(&mut self, prepared: &Prepared) -> Result<(), StageError> {
        self.3.permits.acquire().await.unwrap().forget();
        self.2.lock().unwrap().push(format!("publish {}", String::from_utf8_lossy(&prepared.manifest)));
        Ok(())
    }
}

#[async_trait]
impl Sink for Fake {
    async fn deliver(&mut self, batch: &Arc<Batch>) -> Result<Delivery, StageError> {
        if self.fails() {
            return Err(StageError::retry("test", "the peer is away"));
        }
        let positions: Vec<u64> = batch.events().map(|event| event.position()).collect();
        self.say(format!("deliver {positions:?}"));
        self.collected.extend(&positions);
        let refused = positions.iter().position(|position| Some(*position) == self.refuses);
        Ok(Delivery { rejected: refused.map(|index| (index, "not today".to_owned())).into_iter().collect() })
    }

    fn collects(&self) -> bool {
        self.collects
    }

    fn due(&self) -> Due {
        match self.collected.len() {
            0 => Due::Never,
            some if some >= self.full_at => Due::Now,
            _ => Due::At(tokio::time::Instant::now() + std::time::Duration::from_secs(60)),
        }
    }

    fn seal(&mut self, commit: u64) -> Option<Box<dyn Sealed>> {
        let collected = std::mem::take(&mut self.collected);
        (!collected.is_empty())
            .then(|| Box::new(FakeSealed(collected, commit, self.log.clone(), self.disk.clone())) as Box<dyn Sealed>)
    }

    async fn publish(&mut self, manifest: &[u8]) -> Result<(), StageError> {
        self.say(format!("publish {}", String::from_utf8_lossy(manifest)));
        Ok(())
    }

    async fn clean(&mut self) -> Result<(), StageError> {
        self.say("clean".to_owned());
        Ok(())
    }
}

struct Bench {
    queue: Queue,
    acks: Acks,
    resolved: UnboundedReceiver<Resolved>,
    driver: SinkDriver,
    store: Arc<Store>,
    log: Log,
}

fn bench(data_dir: &Path, change: impl FnOnce(&mut Fake), collects: bool) -> Bench {
    let log = Log::default();
    let mut sink = Fake::new(&log, collects);
    change(&mut sink);
    let store = Arc::new(Store::open(data_dir).unwrap());
    let metrics = ComponentMetrics::detached("lake", "sink", "fake").unwrap();
    let (queue, flights) = Queue::new(metrics.clone());
    let (acks, resolved) = Acks::new();
    let driver = SinkDriver {
        id: "lake".into(),
        sink: Box::new(sink),
        metrics,
        flights,
        dead_letters: Arc::new(DeadLetters::new(data_dir)),
        ledger: Ledger::load(&store, "lake").unwrap(),
        committer: Arc::new(Committer::new(Arc::clone(&store), Vec::new())),
    };
    Bench { queue, acks, resolved, driver, store, log }
}

/// A batch with events at the given positions, which is all that a source's batch held.
fn flight(acks: &mut Acks, positions: &[u64]) -> Flight {
    let origin = Origin { source: "files".into(), shard: "a".into() };
    let text = "{}".repeat(positions.len());
    let span = |(index, position): (usize, &u64)| Span { start: index * 2, len: 2, position: *position };
    let spans = positions.iter().enumerate().map(span).collect();
    let records = Records { text: text.into(), spans };
    let (batch, _) = Batch::decode(records, origin.clone(), Arc::new(FieldTable::default()));
    Flight { origin, end: *positions.last().unwrap(), batches: vec![Arc::new(batch)], ack: acks.issue().1 }
}

/// Delivers batches to a fresh sink over the store in `data_dir`. Gives what the sink was asked, and the verdicts.
async fn run(
    data_dir: &Path,
    collects: bool,
    change: impl FnOnce(&mut Fake),
    batches: &[&[u64]],
) -> (Vec<String>, Vec<bool>) {
    let Bench { queue, mut acks, mut resolved, mut driver, log, .. } = bench(data_dir, change, collects);
    driver.recover().await.unwrap();
    for positions in batches {
        queue.send(flight(&mut acks, positions)).await.unwrap();
    }
    drop(queue);
    driver.run().await.unwrap();
    let mut verdicts = Vec::new();
    while let Ok(verdict) = resolved.try_recv() {
        verdicts.push(verdict.delivered);
    }
    (std::mem::take(&mut log.lock().unwrap()), verdicts)
}

#[tokio::test(start_paused = true)]
async fn a_plain_sink_is_acknowledged_batch_by_batch_however_often_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let (log, verdicts) = run(dir.path(), false, |sink| sink.failures = 3, &[&[1, 2], &[3]]).await;
    assert_eq!(log, ["clean", "deliver [1, 2]", "deliver [3]"]);
    assert_eq!(verdicts, [true, true]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_goes_to_the_dead_letters_and_counts_as_dealt_with() {
    let dir = tempfile::tempdir().unwrap();
    let (_, verdicts) = run(dir.path(), false, |sink| sink.refuses = Some(2), &[&[1, 2, 3]]).await;
    assert_eq!(verdicts, [true]);
    let file = std::fs::read_dir(dir.path().join("dead-letter")).unwrap().next().unwrap().unwrap().path();
    let letter: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(
        (&letter["position"], &letter["reason"], &letter["raw"]),
        (&2.into(), &"not today".into(), &"{}".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_collecting_sink_commits_when_full_and_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (log, verdicts) = run(dir.path(), true, |_| (), &[&[1], &[2], &[3]]).await;
    assert_eq!(log, ["clean", "deliver [1]", "deliver [2]", "deliver [3]", "publish 1:[1, 2]", "publish 2:[3]"]);
    assert_eq!(verdicts, [true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_last_commit_is_published_again_and_what_it_covers_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), true, |_| (), &[&[1, 2], &[3, 4]]).await;
    // The source reads again from the start, cut into other batches.
    let (log, verdicts) = run(dir.path(), true, |_| (), &[&[1, 2, 3], &[4, 5], &[6]]).await;
    assert_eq!(log, ["publish 2:[3, 4]", "clean", "deliver [5]", "deliver [6]", "publish 3:[5, 6]"]);
    assert_eq!(verdicts, [true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn each_step_is_ahead_of_the_next_by_one_commit_and_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(0);
    let Bench { queue, mut acks, mut resolved, driver, store, .. } =
        bench(dir.path(), |sink| sink.disk = Arc::clone(&disk), true);
    for positions in [[1, 2], [3, 4], [5, 6], [7, 8]] {
        queue.send(flight(&mut acks, &positions)).await.unwrap();
    }
    drop(queue);
    let running = tokio::spawn(driver.run());
    let reached = || (disk.encoded.load(Ordering::Relaxed), disk.prepared.load(Ordering::Relaxed));
    for visible in 0..4 {
        let next = ((visible + 3).min(4), (visible + 2).min(4));
        while reached() < next || Ledger::load(&store, "lake").unwrap().commit <= visible {
            tokio::task::yield_now().await;
        }
        // What else could go on now has the time to.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(reached(), next);
        assert_eq!(Ledger::load(&store, "lake").unwrap().commit, visible + 1);
        assert!(resolved.try_recv().is_err());
        disk.permits.add_permits(1);
        assert!(resolved.recv().await.unwrap().delivered);
    }
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_its_commit() {
    let dir = tempfile::tempdir().unwrap();
    let Bench { queue, mut acks, mut resolved, mut driver, log, .. } =
        bench(dir.path(), |sink| sink.full_at = 100, true);
    driver.recover().await.unwrap();
    let running = tokio::spawn(driver.run());
    queue.send(flight(&mut acks, &[1])).await.unwrap();
    while log.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(resolved.try_recv().is_err());
    // Age alone makes it due: the paused clock jumps to the sink's time.
    assert!(resolved.recv().await.unwrap().delivered);
    assert_eq!(log.lock().unwrap().last().unwrap(), "publish 1:[1]");
    drop(queue);
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_dies_acknowledges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Bench { queue, mut acks, mut resolved, driver, .. } = bench(dir.path(), |sink| sink.full_at = 100, true);
    queue.send(flight(&mut acks, &[1])).await.unwrap();
    let running = tokio::spawn(driver.run());
    tokio::task::yield_now().await;
    running.abort();
    drop(queue);
    assert!(!resolved.recv().await.unwrap().delivered);
}
