//! Sinks that take nothing: what is read all the same, what is shown meanwhile, and where a feed begins.

use downspout_core::metrics::Metrics;
use tokio::task::JoinHandle;

use super::*;
use crate::ledger::Reason;
use crate::windows::books::Books;
use crate::windows::fetch::Fetch;

/// Waits for something that takes moments of the machine's time.
async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::task::yield_now().await;
    }
}

/// A source of ten hours of one log, whose pipeline takes nothing, and which reads no more: it has sent a page, cannot
/// send the second, and holds a third one in readiness. A window of an hour has two.
async fn stalled(bench: &mut Bench) -> (JoinHandle<Result<(), StageError>>, mpsc::Receiver<SourceBatch>) {
    bench.fill("/a", 60);
    bench.timing.until = Some(Moment::At(at(0)));
    let (shared, batches) = bench.shared();
    let running = tokio::spawn(tenant::run(shared, bench.connection(TENANT)));
    until("a third page", || bench.ledger().state().units() == 3).await;
    assert_eq!(bench.ledger().state().listed_until(), Some(at(-540)));
    (running, batches)
}

impl Bench {
    fn ledger(&self) -> Ledger {
        Ledger::load(&self.context.store, "in", TENANT, "a").unwrap()
    }

    /// The sinks take everything that comes.
    async fn take(&mut self, batches: &mut mpsc::Receiver<SourceBatch>, count: usize) {
        while self.delivered.len() < count {
            let batch = batches.recv().await.unwrap();
            for span in &batch.records.spans {
                let record = &batch.records.text[span.start..span.start + span.len];
                self.delivered
                    .insert((batch.shard.clone(), span.position), String::from_utf8(record.to_vec()).unwrap());
            }
            let checkpoint = Write::set(checkpoint_key("in", &batch.shard), batch.checkpoint.clone());
            self.context.store.write_all(&[checkpoint]).unwrap();
        }
    }
}

#[tokio::test]
async fn gauges_go_on_while_a_sink_takes_nothing() {
    let mut bench = Bench::new(Logs(vec!["a"]), Mode::Once).await;
    let (running, mut batches) = stalled(&mut bench).await;
    let feed = bench.context.metrics.feed(TENANT, "a");
    for hours in [5, 50] {
        bench.clock.advance(minutes(hours * 60));
        let behind = crate::clock::between(at(-540), bench.clock.now()).as_secs() as i64;
        until("a lag that grows", || feed.lag_seconds.get() == behind).await;
        assert_eq!(bench.context.metrics.lag_seconds().get(), behind);
        until("an expiry that comes closer", || feed.expires_in_seconds.get() == 30 * 86_400 - behind).await;
        until("an age", || feed.oldest_unacknowledged_seconds.get() == behind + 3600).await;
    }
    bench.take(&mut batches, 60).await;
    running.await.unwrap().unwrap();
    bench.check();
    assert_eq!(bench.gaps("a"), [""; 0]);
}

#[tokio::test]
async fn what_the_service_deletes_soon_is_read_although_a_sink_takes_nothing() {
    let mut bench = Bench::new(Logs(vec!["a"]), Mode::Once).await;
    let (running, mut batches) = stalled(&mut bench).await;
    // Ten hours of records, of which the last are 29.5 days old: a day before their end all of them are due.
    bench.clock.advance(minutes(29 * 1440 + 720));
    until("everything is on the disk", || bench.ledger().state().listed_until() >= Some(at(0))).await;
    // The service has deleted them, and the source was killed.
    running.abort();
    drop(running.await);
    drop(batches);
    bench.clock.advance(minutes(1440));
    let deleted = std::mem::take(&mut bench.service.lock().unwrap().records);
    let (shared, again) = bench.shared();
    batches = again;
    let running = tokio::spawn(tenant::run(shared, bench.connection(TENANT)));
    bench.take(&mut batches, 60).await;
    running.abort();
    bench.service.lock().unwrap().records = deleted;
    bench.check();
    assert_eq!(bench.gaps("a"), [""; 0]);
}

#[tokio::test]
async fn a_full_spool_is_told_and_what_expires_then_is_a_gap() {
    let mut bench = Bench::new(Logs(vec!["a"]), Mode::Once).await;
    bench.spool.max = 0;
    let metrics = Metrics::new().unwrap();
    bench.context.metrics = metrics.component(bench.context.metrics.labels().clone());
    let told = || metrics.render().lines().any(|line| line.contains("spool_full") && line.ends_with(" 1"));
    let (running, mut batches) = stalled(&mut bench).await;
    bench.clock.advance(minutes(29 * 1440 + 720));
    until("the spool is full", told).await;
    assert_eq!(bench.ledger().state().listed_until(), Some(at(-540)));
    bench.clock.advance(minutes(1440));
    bench.service.lock().unwrap().records.clear();
    while let Some(batch) = batches.recv().await {
        let checkpoint = Write::set(checkpoint_key("in", &batch.shard), batch.checkpoint.clone());
        bench.context.store.write_all(&[checkpoint]).unwrap();
    }
    running.await.unwrap().unwrap();
    let gaps: Vec<_> = bench.ledger().open().map(|gap| (gap.reason, gap.start, gap.end)).collect();
    assert_eq!(gaps, [(Reason::Expired, at(-540), at(720))]);
}

#[tokio::test]
async fn a_feed_that_begins_where_the_services_memory_does_has_no_gap_at_its_edge() {
    let mut bench = Bench::new(Logs(vec!["a"]), Mode::Once).await;
    bench.timing.start = Moment::Ago(minutes(40 * 1440));
    let (shared, _batches) = bench.shared();
    let fetch = || Fetch {
        shared: Arc::clone(&shared),
        share: Arc::new(tokio::sync::Semaphore::new(1)),
        connection: bench.connection(TENANT),
        feed: Arc::new(log("a")),
    };
    let edge = at(-30 * 1440);
    let after = |seconds| Timestamp::from_second(at(0).as_second() + seconds).unwrap();
    // A second, or an hour, until the first answer.
    for seconds in [0, 1, 3600] {
        let books = Books::open(&fetch(), at(0)).unwrap();
        assert_eq!(books.newest(), edge);
        assert_eq!(books.forget(after(seconds)).unwrap(), None, "{seconds}");
        assert_eq!(books.newest().as_second(), edge.as_second() + seconds);
    }
    // A feed that is refused for days loses what it was to read, and that is told.
    let books = Books::open(&fetch(), at(0)).unwrap();
    assert_eq!(books.forget(after(3600)).unwrap(), None);
    let lost = books.forget(after(7200)).unwrap().unwrap();
    assert_eq!((lost.start.as_second(), lost.end.as_second()), (edge.as_second() + 3600, edge.as_second() + 7200));
    // So does one that has been read, by the second.
    let window = Window { start: lost.end, end: at(-29 * 1440) };
    books.done(window, at(0), None).unwrap();
    let later = Timestamp::from_second(at(1440).as_second() + 1).unwrap();
    assert_eq!(books.forget(later).unwrap().unwrap().length(), Duration::from_secs(1));
}
