//! What a search has still to do, and what it has proved: one value each in the store, written together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::Store;
use downspout_core::store::{StoreError, Write, key};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::gauges::Standing;
use crate::clock::plus;
use crate::config::Mode;
use crate::ledger::{Gap, Ledger, Reason};
use crate::windows::{Cursors, Moment, Schedule, Timing, Window};

/// How many results of windows are remembered for those who want proof.
const MOST_RESULTS: usize = 5_000;

/// From when to when a search goes.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) schedule: Schedule,
    pub(crate) timing: Timing,
    /// The longest window.
    pub(crate) window: Duration,
}

/// The shortest window: the services know whole seconds.
const SHORTEST: u64 = 1;

/// The halves of a window; `None` if it is too short to be halved.
pub(crate) fn halves(window: &Window) -> Option<(Window, Window)> {
    let half = window.length().as_secs() / 2;
    let middle = plus(window.start, Duration::from_secs(half));
    (half >= SHORTEST).then_some((Window { end: middle, ..*window }, Window { start: middle, ..*window }))
}

/// What is to be searched.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {
    cursors: Cursors,
    /// Where it ends: fixed when it begins, so that "now" does not move over restarts. A later time that is named moves it.
    until: Option<Timestamp>,
    open: VecDeque<Window>,
}

/// What a window's search came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    /// The window's beginning.
    pub start: Timestamp,
    /// The window's end.
    pub end: Timestamp,
    /// How many different records its readings gave.
    pub records: u64,
    /// How many records the service says there are, where it counts. Exchange counts the whole window; Graph counts what
    /// its pages hold. What they give twice they count twice.
    pub counted: Option<u64>,
    /// How many readings were made.
    pub passes: u32,
    /// What is wrong, if it is not complete.
    pub missing: Option<String>,
    /// The same as a kind of gap.
    pub reason: Option<Reason>,
}

/// The books of one shard.
#[derive(Debug)]
pub(crate) struct Books {
    store: Arc<Store>,
    ledger: Ledger,
    work: Work,
    results: VecDeque<Searched>,
    keys: Keys,
}

/// Where the books of a shard stand in the store.
#[derive(Debug)]
struct Keys {
    work: Vec<u8>,
    results: Vec<u8>,
    refused: Vec<u8>,
}

impl Keys {
    fn new(source: &str, shard: &str) -> Keys {
        let named = |name: &str| key(&[name.as_bytes(), source.as_bytes(), shard.as_bytes()]);
        Keys { work: named("search-work"), results: named("search-results"), refused: named("search-refused") }
    }
}

impl Books {
    /// The books as the last run left them.
    pub(crate) fn open(
        store: &Arc<Store>,
        source: &str,
        tenant: &str,
        feed: &str,
        range: &Range,
        now: Timestamp,
    ) -> Result<Books, StoreError> {
        let shard = format!("{tenant}/{feed}");
        let keys = Keys::new(source, &shard);
        let work = match store.get(&keys.work)?.and_then(|value| serde_json::from_slice::<Work>(&value).ok()) {
            Some(work) => {
                let until = work.until.map(|known| match range.timing.until {
                    Some(Moment::At(named)) => known.max(named),
                    _ => known,
                });
                Work { cursors: work.cursors.adapt(&range.schedule), until, ..work }
            }
            None => {
                let timing = &range.timing;
                let start = timing.start.from(now);
                let until = (timing.mode == Mode::Once).then(|| timing.until.map_or(now, |until| until.from(now)));
                Work { cursors: Cursors::new(&range.schedule, start), until, open: VecDeque::new() }
            }
        };
        let results =
            store.get(&keys.results)?.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default();
        let ledger = Ledger::load(store, source, tenant, feed)?;
        Ok(Books { store: Arc::clone(store), ledger, work, results, keys })
    }

    /// The windows that are to be searched, in order.
    pub(crate) fn to_do(&self) -> VecDeque<Window> {
        self.work.open.clone()
    }

    /// Nothing before is ever read again.
    pub(crate) fn oldest(&self) -> Timestamp {
        let open = self.work.open.iter().map(|window| window.start).min();
        open.map_or(self.work.cursors.oldest(), |open| open.min(self.work.cursors.oldest()))
    }

    /// Whether there is nothing more to do, now and for ever.
    pub(crate) fn finished(&self) -> bool {
        // Windows end with whole seconds.
        let ends = |until: Timestamp| self.work.cursors.newest().as_second() >= until.as_second();
        self.work.open.is_empty() && self.work.until.is_some_and(ends)
    }

    /// Whether windows were searched, and nothing was found in any.
    pub(crate) fn found_nothing(&self) -> bool {
        !self.results.is_empty() && self.results.iter().all(|result| result.records == 0)
    }

    /// How far it has come; units up to `acknowledged` have arrived.
    pub(crate) fn standing(&self, acknowledged: u64) -> Standing {
        let windows = &self.ledger.state().windows;
        // What is searched again was searched before.
        let is_new = |open: &&Window| !windows.iter().any(|known| known.start <= open.start && open.end <= known.end);
        let unread = self.work.open.iter().filter(is_new).map(|open| open.start).min();
        let waiting = windows.iter().filter(|window| window.last > acknowledged);
        Standing {
            searched_until: unread.unwrap_or_else(|| self.work.cursors.newest()),
            finished: self.finished(),
            waiting: waiting.map(|window| (window.start, window.last)).collect(),
            gaps: self.ledger.open().count(),
        }
    }

    /// Notes for ever that the search was asked for what cannot be found at all.
    pub(crate) fn gap(&mut self, reason: Reason, detail: &str) -> Result<(), StoreError> {
        let stretch = self.results.iter().map(|result| result.start).min();
        let stretch = stretch.zip(self.results.iter().map(|result| result.end).max());
        let Some((start, end)) = stretch else { return Ok(()) };
        self.ledger.gap(gap(&Window { start, end }, reason, detail.to_owned()));
        self.write()
    }

    /// Adds what has become due by `now`.
    pub(crate) fn plan(&mut self, range: &Range, now: Timestamp) -> Result<(), StoreError> {
        let mut changed = false;
        if let Some(lost) = self.work.cursors.forget(&range.schedule, now) {
            self.ledger.gap(gap(&lost, Reason::Expired, "Microsoft does not keep it for so long".to_owned()));
            changed = true;
        }
        let until = self.work.until;
        for stretch in self.work.cursors.due(&range.schedule, now, until, until.is_some()) {
            self.work.open.extend(pieces(&stretch, range.window));
            self.work.cursors.advance(&range.schedule, stretch, now);
            changed = true;
        }
        if changed { self.write() } else { Ok(()) }
    }

    /// A window holds too much: its halves stand in its place.
    pub(crate) fn split(&mut self, window: &Window, halves: (Window, Window)) -> Result<(), StoreError> {
        let at = self.work.open.iter().position(|open| open == window).unwrap_or(0);
        self.work.open.remove(at);
        self.work.open.insert(at, halves.1);
        self.work.open.insert(at, halves.0);
        self.write()
    }

    /// A window was searched; its records are the units of these numbers. `refused` are the record types that the
    /// service turned out not to know.
    pub(crate) fn enter(
        &mut self,
        result: Searched,
        units: &[u64],
        acknowledged: u64,
        refused: Vec<String>,
    ) -> Result<(), StoreError> {
        let window = Window { start: result.start, end: result.end };
        if let Some(at) = self.work.open.iter().position(|open| *open == window) {
            self.work.open.remove(at);
        }
        self.ledger.listed(window.start, window.end);
        for unit in units {
            self.ledger.unit(window.start, *unit);
        }
        if let Some(missing) = &result.missing {
            self.ledger.gap(gap(&window, result.reason.unwrap_or(Reason::Incomplete), missing.clone()));
        }
        self.ledger.settle(acknowledged);
        self.results.push_back(result);
        if self.results.len() > MOST_RESULTS {
            self.results.pop_front();
        }
        if !refused.is_empty() {
            let refused = serde_json::to_vec(&refused).unwrap_or_default();
            self.store.write_all(&[Write::set(self.keys.refused.clone(), refused)])?;
        }
        self.write()
    }

    /// Notes what was acknowledged meanwhile.
    pub(crate) fn settle(&mut self, acknowledged: u64) -> Result<(), StoreError> {
        if self.ledger.settle(acknowledged) { self.write() } else { Ok(()) }
    }

    fn write(&self) -> Result<(), StoreError> {
        self.store.write_all(&[
            self.ledger.write(),
            Write::set(self.keys.work.clone(), serde_json::to_vec(&self.work).unwrap_or_default()),
            Write::set(self.keys.results.clone(), serde_json::to_vec(&self.results).unwrap_or_default()),
        ])
    }
}

/// What the windows of a source's shard (`TENANT/FEED`) came to, the latest ones; none if that source is no search.
///
/// # Errors
/// If the store cannot be read.
pub fn results(store: &Store, source: &str, shard: &str) -> Result<Vec<Searched>, StoreError> {
    let value = store.get(&Keys::new(source, shard).results)?;
    Ok(value.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default())
}

/// The record types that a source's shard was to search for and Microsoft did not know, so that nothing was searched
/// for under their names.
///
/// # Errors
/// If the store cannot be read.
pub fn refused(store: &Store, source: &str, shard: &str) -> Result<Vec<String>, StoreError> {
    let value = store.get(&Keys::new(source, shard).refused)?;
    Ok(value.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default())
}

/// Forgets a feed's search, so that it begins anew; what it sent stays sent.
///
/// # Errors
/// If the store cannot be written.
pub(crate) fn forget(store: &Store, source: &str, tenant: &str, feed: &str) -> Result<(), StoreError> {
    let Keys { work, results, refused } = Keys::new(source, &format!("{tenant}/{feed}"));
    let ledger = Ledger::load(store, source, tenant, feed)?;
    store.write_all(&[Write::remove(work), Write::remove(results), Write::remove(refused), ledger.remove()])
}

/// Beginning and end of each window of a source's shard that is still to be searched.
///
/// # Errors
/// If the store cannot be read.
pub fn to_do(store: &Store, source: &str, shard: &str) -> Result<Vec<(Timestamp, Timestamp)>, StoreError> {
    let value = store.get(&Keys::new(source, shard).work)?;
    let work = value.and_then(|value| serde_json::from_slice::<Work>(&value).ok());
    let open = work.map(|work| work.open).unwrap_or_default();
    Ok(open.into_iter().map(|window| (window.start, window.end)).collect())
}

fn gap(window: &Window, reason: Reason, detail: String) -> Gap {
    Gap { start: window.start, end: window.end, reason, detail, items: 0, filled_by: None }
}

/// A stretch in windows of at most that length, which begin at multiples of it: so that they are whole days where
/// they have that length.
fn pieces(stretch: &Window, longest: Duration) -> Vec<Window> {
    let length = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX).max(1);
    let mut pieces = Vec::new();
    let mut start = stretch.start;
    while start < stretch.end {
        let into = start.as_second().rem_euclid(length);
        let end = plus(start, Duration::from_secs((length - into).unsigned_abs())).min(stretch.end);
        pieces.push(Window { start, end });
        start = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_767_571_200 + hour * 3600).unwrap()
    }

    fn range(until: Option<i64>) -> Range {
        let hour = Duration::from_secs(3600);
        let schedule = Schedule::new(hour, Duration::ZERO, Duration::ZERO, hour * 24 * 180);
        let mode = if until.is_some() { Mode::Once } else { Mode::Follow };
        let until = until.map(|until| Moment::At(at(until)));
        let timing = Timing { start: Moment::At(at(6)), until, interval: hour, overlap: None, mode };
        Range { schedule, timing, window: hour * 24 }
    }

    fn searched(window: Window, missing: Option<&str>) -> Searched {
        Searched {
            start: window.start,
            end: window.end,
            records: 5,
            counted: Some(5),
            passes: 2,
            missing: missing.map(str::to_owned),
            reason: None,
        }
    }

    #[test]
    fn a_restart_goes_on_with_what_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let range = range(Some(60));
        let open = || Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
        let mut books = open();
        books.plan(&range, at(100)).unwrap();
        let days = [(6, 24), (24, 48), (48, 60)].map(|(start, end)| Window { start: at(start), end: at(end) });
        assert_eq!(books.to_do(), days);
        books.enter(searched(days[1], None), &[1, 2], 0, vec!["Nonsense".to_owned()]).unwrap();
        // The first day is not searched, and the units of the second have not arrived.
        let standing = |until, waiting: &[(Timestamp, u64)], gaps| Standing {
            searched_until: until,
            finished: false,
            waiting: waiting.to_vec(),
            gaps,
        };
        assert_eq!(books.standing(1), standing(at(6), &[(at(24), 2)], 0));
        assert_eq!(books.standing(2), standing(at(6), &[], 0));
        books.split(&days[0], halves(&days[0]).unwrap()).unwrap();
        let mut books = open();
        books.plan(&range, at(200)).unwrap();
        let left: Vec<Window> = books.to_do().into();
        assert_eq!(left.iter().map(|window| window.length().as_secs() / 3600).collect::<Vec<_>>(), [9, 9, 12]);
        assert!(!books.finished());
        for window in left {
            books.enter(searched(window, (window == days[2]).then_some("lost")), &[], 2, Vec::new()).unwrap();
        }
        assert_eq!(books.standing(2), Standing { finished: true, ..standing(at(60), &[], 1) });
        assert_eq!(refused(&store, "in", "t/f").unwrap(), ["Nonsense"]);
        assert!(open().finished());
        let results = results(&store, "in", "t/f").unwrap();
        assert_eq!((results.len(), results[0].start, results[0].end), (4, at(24), at(48)));
        let ledger = Ledger::load(&store, "in", "t", "f").unwrap();
        assert_eq!(ledger.open().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>(), [(at(48), at(60))]);
        assert_eq!(ledger.state().windows.len(), 1);
    }

    #[test]
    fn a_later_end_is_searched_for_and_an_earlier_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let planned = |until: i64| {
            let range = range(Some(until));
            let mut books = Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
            books.plan(&range, at(100)).unwrap();
            books
        };
        let mut books = planned(12);
        books.enter(searched(books.to_do()[0], None), &[], 0, Vec::new()).unwrap();
        assert!(books.finished());
        assert_eq!(planned(20).to_do(), [Window { start: at(12), end: at(20) }]);
        assert_eq!(planned(10).to_do(), [Window { start: at(12), end: at(20) }]);
    }

    #[test]
    fn a_search_that_is_forgotten_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let range = range(Some(24));
        let open = || Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
        let mut books = open();
        books.plan(&range, at(100)).unwrap();
        let day = books.to_do()[0];
        books.enter(searched(day, Some("lost")), &[], 0, Vec::new()).unwrap();
        assert!(open().finished());
        forget(&store, "in", "t", "f").unwrap();
        let mut books = open();
        books.plan(&range, at(100)).unwrap();
        assert_eq!(books.to_do(), [day]);
        assert_eq!(results(&store, "in", "t/f").unwrap(), []);
        assert_eq!(Ledger::load(&store, "in", "t", "f").unwrap().open().count(), 0);
    }

    #[test]
    fn what_was_forgotten_unread_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let range = range(None);
        let mut books = Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
        books.plan(&range, at(24 * 181)).unwrap();
        let ledger = Ledger::load(&store, "in", "t", "f").unwrap();
        assert_eq!(ledger.open().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>(), [(at(6), at(24))]);
        assert_eq!(books.to_do()[0].start, at(24));
    }
}
