//! The index against an exact model: restarts, crashes, expiry and tiny memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use downspout_core::{FieldTable, Store};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// So little that nearly everything is on disk.
const TINY: usize = 4 << 10;

fn open(dir: &Path, memory: usize, hand: &Arc<AtomicU64>) -> (Arc<Store>, Arc<Index>) {
    let store = Arc::new(Store::open(dir).unwrap());
    let index = Index::open(Arc::clone(&store), "it", WEEK, memory, Clock::turned_by(Arc::clone(hand))).unwrap();
    (store, Arc::new(index))
}

fn commit(store: &Store, state: &dyn State) {
    store.write_all(&state.changes().unwrap()).unwrap();
    state.committed();
}

/// Asks the index about keys, each from a place; says which pass.
fn offer(index: &Index, offers: &[(u128, u64)]) -> Vec<bool> {
    let now = index.begin(offers.len()).unwrap();
    let mut passes = vec![true; offers.len()];
    for (event, &(key, place)) in offers.iter().enumerate() {
        let hash = index.hash(key);
        let candidate = Candidate { known: Known::new(key, place), hash, event };
        index.admit(Recent::table_of(hash), &[candidate], now, |refused| passes[refused.event] = false).unwrap();
    }
    passes
}

/// A key that looks random, as GUIDs do.
fn key(number: u64) -> u128 {
    u128::from(place(1, number)) << 64 | u128::from(place(2, number))
}

/// How many entries of the store belong to an index.
fn stored(store: &Store) -> usize {
    let mut count = 0;
    store
        .scan(&downspout_core::store::key(&[b"dedupe"]), &[], |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    count
}

#[test]
fn duplicates_are_dropped_whatever_the_batching() {
    let lines = [
        r#"{"CreationTime":"t","Id":"12345678-9abc-def0-1234-56789abcdef0","Operation":"a"}"#,
        r#"{"no":"id"}"#,
        r#"{"CreationTime":"t","Id":"12345678-9ABC-DEF0-1234-56789ABCDEF0","Operation":"b"}"#,
        r#"{"no":"id"}"#,
        r#"{"CreationTime":"t","Id":"other","Operation":"c"}"#,
        r#"{"CreationTime":"t","Id":"other","Operation":"d"}"#,
        r#"{"CreationTime":"t","Id":"other","Operation":"e"}"#,
    ];
    let fields = Arc::new(FieldTable::default());
    let batch = testing::batch(&fields, &lines);
    let mut dirs = Vec::new();
    let build = || {
        let dir = tempfile::tempdir().unwrap();
        let mut context = testing::context(dir.path(), "dedupe");
        context.fields = Arc::clone(&fields);
        dirs.push((dir, context.metrics.clone()));
        testing::build::<DedupeConfig>(json!({}), context).unwrap()
    };
    let given = testing::run_batchings(build, &batch);
    assert_eq!(given, [[lines[0], lines[1], lines[3], lines[4]]]);
    assert!(dirs.iter().all(|(_, metrics)| metrics.discarded_events.get() == 3));
}

#[test]
fn configs_are_checked() {
    let keys = |config: serde_json::Value| {
        let errors = serde_json::from_value::<DedupeConfig>(config).unwrap().plan().err().unwrap_or_default();
        errors.into_iter().map(|error| error.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(json!({})), [""; 0]);
    assert_eq!(keys(json!({ "keys": [], "memory": 1, "horizon": "1s" })), ["keys", "memory", "horizon"]);
    let bad = json!([{ "fields": [], "with": ["a"] }, { "fields": ["a", "b."], "with": [""] }]);
    assert_eq!(keys(json!({ "keys": bad })), ["keys.0.fields", "keys.1.fields.1", "keys.1.with.0"]);
    let many: Vec<String> = (0..65).map(|n| format!("f{n}")).collect();
    assert_eq!(keys(json!({ "keys": [{ "fields": many }] })), ["keys"]);
}

/// Against a set that never forgets, with hardly any memory, over restarts.
#[test]
fn it_is_exact_with_hardly_any_memory() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(AtomicU64::new(1_000_000_000));
    let (mut store, mut index) = open(dir.path(), TINY, &hand);
    let mut known: HashMap<u64, u64> = HashMap::new();
    let mut most_runs = 0;
    for round in 0..150_u64 {
        // New numbers, numbers from long ago, and the same record from the same place again.
        let offers: Vec<(u64, u64)> = (0..200)
            .map(|n| {
                let number = if n % 4 == 3 { place(round, n) % (round * 150 + 1) } else { round * 150 + n * 3 / 4 };
                let origin = if n % 8 == 7 { known.get(&number).copied() } else { None };
                (number, origin.unwrap_or(round * 1_000 + n + 1))
            })
            .collect();
        let keyed: Vec<(u128, u64)> = offers.iter().map(|&(number, origin)| (key(number), origin)).collect();
        let passes = offer(&index, &keyed);
        for (&(number, origin), pass) in offers.iter().zip(passes) {
            assert_eq!(pass, *known.entry(number).or_insert(origin) == origin, "round {round}, number {number}");
        }
        if round % 3 != 2 {
            commit(&store, &*index);
        }
        if round % 40 == 39 {
            commit(&store, &*index);
            drop((index, store));
            (store, index) = open(dir.path(), TINY, &hand);
        }
        let (runs, places) = index.size();
        most_runs = most_runs.max(runs.len());
        assert!(places <= 16 * 32, "{places} places");
    }
    assert!(most_runs < 40, "{most_runs} runs");
    // What merges left behind is erased.
    for _ in 0..30 {
        commit(&store, &*index);
    }
    let blocks = known.len().div_ceil(160);
    assert!(stored(&store) < blocks + 80, "{} keys of the store for {blocks} blocks", stored(&store));
}

#[test]
fn keys_are_forgotten_after_the_horizon_and_leave_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(AtomicU64::new(1_000_000_000));
    let start = hand.load(Ordering::Relaxed);
    for memory in [TINY, 1 << 20] {
        let (store, index) = open(&dir.path().join(memory.to_string()), memory, &hand);
        hand.store(start, Ordering::Relaxed);
        let offers = |origin: u64| (0..500).map(|number| (key(number), origin + number)).collect::<Vec<_>>();
        let all = |origin| offer(&index, &offers(origin)).into_iter().collect::<HashSet<_>>();
        assert_eq!(all(1_000), [true].into());
        commit(&store, &*index);
        hand.fetch_add(WEEK.as_secs(), Ordering::Relaxed);
        assert_eq!(all(2_000), [false].into());
        // A clock that goes back changes nothing.
        hand.store(start - 100_000, Ordering::Relaxed);
        assert_eq!(all(2_000), [false].into());
        hand.store(start + WEEK.as_secs() * 9 / 8 + 1, Ordering::Relaxed);
        assert_eq!(all(3_000), [true].into());
        assert_eq!(all(4_000), [false].into());
        for _ in 0..5 {
            commit(&store, &*index);
        }
        hand.fetch_add(WEEK.as_secs() * 3, Ordering::Relaxed);
        for _ in 0..10 {
            commit(&store, &*index);
        }
        assert_eq!(stored(&store), 0);
        assert_eq!(index.size().0, []);
    }
}

/// A process dies while runs are merged: nothing is forgotten, and what was half written is erased.
#[test]
fn an_interrupted_merge_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(AtomicU64::new(1_000_000_000));
    let mut next = 0;
    for _ in 0..4 {
        let (store, index) = open(dir.path(), 8 << 20, &hand);
        for _ in 0..3 {
            // More than one step merges.
            let offers: Vec<(u128, u64)> = (next..next + 12_000).map(|number| (key(number), number)).collect();
            assert!(offer(&index, &offers).into_iter().all(|pass| pass));
            next += 12_000;
            commit(&store, &*index);
        }
        let old: Vec<(u128, u64)> = (0..next).step_by(17).map(|number| (key(number), number + 1)).collect();
        assert!(offer(&index, &old).into_iter().all(|pass| !pass));
    }
    let (store, index) = open(dir.path(), 8 << 20, &hand);
    for _ in 0..20 {
        commit(&store, &*index);
    }
    assert!(index.size().0.len() <= 5);
    let blocks = (next as usize).div_ceil(160);
    assert!(stored(&store) <= blocks + 60, "{} of {blocks}", stored(&store));
}

#[test]
fn a_failed_commit_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(AtomicU64::new(1_000_000_000));
    let (store, index) = open(dir.path(), 1 << 20, &hand);
    assert_eq!(offer(&index, &[(key(1), 1)]), [true]);
    // Planned, never written.
    index.changes().unwrap();
    assert_eq!(offer(&index, &[(key(2), 2), (key(1), 3)]), [true, false]);
    commit(&store, &*index);
    drop((index, store));
    let (_store, index) = open(dir.path(), 1 << 20, &hand);
    assert_eq!(
        offer(&index, &[(key(1), 1), (key(2), 2), (key(1), 3), (key(2), 3), (key(3), 3)]),
        [true, true, false, false, true]
    );
}

/// Memory fills up while a commit is under way: the index writes on its own, and the two do not disturb each other.
#[test]
fn commits_and_the_index_write_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(AtomicU64::new(1_000_000_000));
    let (store, index) = open(dir.path(), TINY, &hand);
    let mut next = 0;
    let mut pass = |count: u64| {
        for _ in 0..count {
            assert_eq!(offer(&index, &[(key(next), next)]), [true]);
            next += 1;
        }
        next
    };
    for round in 0..40 {
        pass(30);
        let writes = index.changes().unwrap();
        let known = pass(if round % 2 == 0 { 200 } else { 5 });
        store.write_all(&writes).unwrap();
        index.committed();
        let written: u64 = index.size().0.iter().map(|run| run.entries).sum();
        assert!(written <= known, "{written} entries of {known} keys");
        assert!((0..known).step_by(13).all(|number| offer(&index, &[(key(number), u64::MAX)]) == [false]));
    }
    let runs = index.size().0;
    drop((store, index));
    let (_store, index) = open(dir.path(), TINY, &hand);
    assert_eq!(index.size().0.len(), runs.len());
}

/// A key comes again after the horizon, when its first entry still waits for a commit that was planned before.
#[test]
fn an_expired_entry_does_not_hide_what_is_on_disk() {
    for fails in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let hand = Arc::new(AtomicU64::new(1_000_000_000));
        let (_store, index) = open(dir.path(), TINY, &hand);
        assert_eq!(offer(&index, &[(key(0), 1)]), [true]);
        index.changes().unwrap();
        hand.fetch_add(WEEK.as_secs() * 9 / 8 + 1, Ordering::Relaxed);
        assert_eq!(offer(&index, &[(key(0), 2)]), [true]);
        for number in 1..1_000 {
            assert_eq!(offer(&index, &[(key(number), number)]), [true]);
            if fails && number % 100 == 50 {
                index.changes().unwrap();
            }
        }
        assert_eq!(offer(&index, &[(key(0), 3)]), [false]);
    }
}

#[test]
fn workers_agree_on_who_passes() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(AtomicU64::new(1_000_000_000));
    let (store, index) = open(dir.path(), TINY, &hand);
    let left = AtomicU64::new(4);
    let passed: Vec<HashSet<u64>> = std::thread::scope(|scope| {
        let (index, left, store) = (&index, &left, &store);
        let worker = |worker: u64| {
            move || {
                let mut passed = HashSet::new();
                for round in 0..60 {
                    let numbers: Vec<u64> =
                        (0..50).map(|n| (round * 40 + place(worker, round * 50 + n) % 100) % 2_500).collect();
                    let offers: Vec<(u128, u64)> = numbers
                        .iter()
                        .enumerate()
                        .map(|(n, &number)| (key(number), (worker << 32) + round * 50 + n as u64))
                        .collect();
                    let passes = offer(index, &offers);
                    let fresh = numbers.iter().zip(passes).filter(|(_, pass)| *pass).map(|(number, _)| *number);
                    fresh.for_each(|number| assert!(passed.insert(number)));
                }
                left.fetch_sub(1, Ordering::Relaxed);
                passed
            }
        };
        let workers: Vec<_> = (0..4).map(|number| scope.spawn(worker(number))).collect();
        while left.load(Ordering::Relaxed) > 0 && !workers.iter().all(|worker| worker.is_finished()) {
            commit(store, &**index);
            // This one fails.
            index.changes().unwrap();
        }
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let all: HashSet<u64> = passed.iter().flatten().copied().collect();
    assert_eq!(all.len(), passed.iter().map(HashSet::len).sum::<usize>(), "no key passed twice");
    commit(&store, &*index);
    drop((index, store));
    let (_store, index) = open(dir.path(), TINY, &hand);
    assert!(all.iter().all(|&number| offer(&index, &[(key(number), u64::MAX)]) == [false]), "every key is on disk");
}

/// A pipeline with one sink that shows what it has at commits, and sources that send again what no commit covers.
struct Pipeline {
    dir: tempfile::TempDir,
    fields: Arc<FieldTable>,
    shards: Vec<Vec<Option<u8>>>,
    /// For each shard how far it was sent, and how far the sink's commits cover it.
    sent: Vec<usize>,
    covered: Vec<usize>,
    pending: Vec<(usize, usize)>,
    visible: Vec<(usize, usize)>,
    running: Option<(Arc<Store>, Dedupe)>,
}

#[derive(Debug, Clone)]
enum Step {
    /// Some shard's next records are sent.
    Send(usize, usize),
    /// The sink commits.
    Commit,
    /// Someone else commits: the index gets ahead of the sink.
    CommitOther,
    /// A commit fails before it is written.
    CommitFails,
    /// The process dies; sources go back behind what is covered, some further than needed.
    Crash(usize),
    /// The process dies right after a commit is durable.
    CrashInCommit(usize),
}

impl Pipeline {
    fn new(shards: Vec<Vec<Option<u8>>>) -> Pipeline {
        let mut pipeline = Pipeline {
            dir: tempfile::tempdir().unwrap(),
            fields: Arc::default(),
            sent: vec![0; shards.len()],
            covered: vec![0; shards.len()],
            shards,
            pending: Vec::new(),
            visible: Vec::new(),
            running: None,
        };
        pipeline.start(0);
        pipeline
    }

    fn start(&mut self, back: usize) {
        self.running = None;
        self.pending.clear();
        self.sent = self.covered.iter().map(|covered| covered.saturating_sub(back)).collect();
        let (store, index) = open(self.dir.path(), 0, &Arc::new(AtomicU64::new(1_000_000_000)));
        let keys =
            Keys::new(&[KeyConfig { fields: vec!["Id".to_owned()], with: vec![], content: false }], &self.fields)
                .unwrap();
        let metrics = ComponentMetrics::detached("it", "transform", "dedupe").unwrap();
        self.running = Some((store, Dedupe::over(index, keys, metrics)));
    }

    fn step(&mut self, step: &Step) {
        let (store, dedupe) = self.running.as_mut().unwrap();
        let state = dedupe.state().unwrap();
        match *step {
            Step::Send(shard, count) => {
                let shard = shard % self.shards.len();
                let from = self.sent[shard];
                let to = (from + count).min(self.shards[shard].len());
                let line =
                    |id: &Option<u8>| id.map_or("{}".to_owned(), |id| json!({ "Id": format!("id {id}") }).to_string());
                let lines: Vec<String> = self.shards[shard][from..to].iter().map(line).collect();
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                let mut batch = testing::batch_at(&self.fields, &format!("shard {shard}"), from as u64, &lines);
                dedupe.apply(&mut batch, &mut Outputs::default()).unwrap();
                let passed = batch.events().map(|event| event.position() as usize);
                self.pending.extend(passed.filter(|&at| at >= self.covered[shard]).map(|at| (shard, at)));
                self.sent[shard] = to;
            }
            Step::Commit | Step::CrashInCommit(_) => {
                store.write_all(&state.changes().unwrap()).unwrap();
                self.visible.append(&mut self.pending);
                self.covered = self.covered.iter().zip(&self.sent).map(|(covered, sent)| *covered.max(sent)).collect();
                if let Step::CrashInCommit(back) = *step {
                    drop(state);
                    self.start(back);
                } else {
                    state.committed();
                }
            }
            Step::CommitOther => commit(store, &*state),
            Step::CommitFails => drop(state.changes().unwrap()),
            Step::Crash(back) => {
                drop(state);
                self.start(back);
            }
        }
    }

    /// Sends what is left, commits, and counts how often each id, and each record without one, is visible.
    fn finish(mut self) {
        for shard in 0..self.shards.len() {
            self.step(&Step::Send(shard, usize::MAX / 2));
        }
        self.step(&Step::Commit);
        let mut counts: BTreeMap<(u8, usize, usize), usize> = BTreeMap::new();
        let name = |shard: usize, at: usize| match self.shards[shard][at] {
            Some(id) => (id, 0, 0),
            None => (0, shard, at + 1),
        };
        for (shard, records) in self.shards.iter().enumerate() {
            (0..records.len()).for_each(|at| *counts.entry(name(shard, at)).or_default() = 0);
        }
        self.visible.iter().for_each(|&(shard, at)| *counts.get_mut(&name(shard, at)).unwrap() += 1);
        assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 1..60_usize).prop_map(|(shard, count)| Step::Send(shard, count)),
        2 => Just(Step::Commit),
        1 => Just(Step::CommitOther),
        1 => Just(Step::CommitFails),
        1 => (0..40_usize).prop_map(Step::Crash),
        1 => (0..40_usize).prop_map(Step::CrashInCommit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_record_arrives_exactly_once_whatever_happens(
        shards in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, 1..=255_u8), 0..300), 1..4),
        steps in prop::collection::vec(step(), 0..25),
    ) {
        let mut pipeline = Pipeline::new(shards);
        steps.iter().for_each(|step| pipeline.step(step));
        pipeline.finish();
    }
}
