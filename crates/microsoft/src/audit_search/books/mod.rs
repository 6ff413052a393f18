//! What a search has still to do, and what it has proved: one value each in the store, written together.

mod kept;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::Store;
use downspout_core::store::{StoreError, Write};
use jiff::Timestamp;

pub(crate) use self::kept::forget;
use self::kept::{Keys, Work};
pub use self::kept::{Searched, refused, results, to_do};
use super::cut::pieces;
use super::gauges::Standing;
use crate::config::Mode;
use crate::ledger::{Ledger, Reason};
use crate::stored;
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

/// The books of one shard.
#[derive(Debug)]
pub(crate) struct Books {
    store: Arc<Store>,
    ledger: Ledger,
    work: Work,
    results: VecDeque<Searched>,
    keys: Keys,
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
        let work = match stored::read::<Work>(store, &keys.work)? {
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
        let results = stored::read(store, &keys.results)?.unwrap_or_default();
        let ledger = Ledger::begin(store, source, tenant, feed)?;
        Ok(Books { store: Arc::clone(store), ledger, work, results, keys })
    }

    /// What the operator should know if the config now begins at `start`.
    pub(crate) fn began_later(&self, start: Timestamp) -> Option<String> {
        // Windows are searched in any order: the first of them may be still to come.
        let to_come = self.work.open.iter().any(|window| window.start.as_second() <= start.as_second());
        self.ledger.state().began_later(start).filter(|_| !to_come)
    }

    /// Whether something else was asked for when the search began, which is forgotten thereby.
    pub(crate) fn asked_otherwise(&self, asked: &str) -> Result<bool, StoreError> {
        let before = self.store.get(&self.keys.asked)?;
        if before.as_deref() == Some(asked.as_bytes()) {
            return Ok(false);
        }
        self.store.write_all(&[Write::set(self.keys.asked.clone(), asked.as_bytes())])?;
        Ok(before.is_some())
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
        self.ledger.gap(Window { start, end }.gap(reason, detail));
        self.write()
    }

    /// Adds what has become due by `now`.
    pub(crate) fn plan(&mut self, range: &Range, now: Timestamp) -> Result<(), StoreError> {
        let mut changed = false;
        if let Some(lost) = self.work.cursors.forget(&range.schedule, now) {
            self.ledger.gap(lost.gap(Reason::Expired, "Microsoft does not keep it for so long"));
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
        match &result.missing {
            Some(missing) => self.ledger.gap(window.gap(result.reason.unwrap_or(Reason::Incomplete), missing)),
            None => self.ledger.read_again(window.start, window.end),
        }
        self.ledger.settle(acknowledged);
        self.results.push_back(result);
        if self.results.len() > MOST_RESULTS {
            self.results.pop_front();
        }
        if !refused.is_empty() {
            self.store.write_all(&[stored::write(self.keys.refused.clone(), &refused)])?;
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
            stored::write(self.keys.work.clone(), &self.work),
            stored::write(self.keys.results.clone(), &self.results),
        ])
    }
}
