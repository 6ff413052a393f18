//! The index: which keys are known, exactly, in bounded memory.
//!
//! # Where a key is
//! New keys enter [`super::recent`]. A commit of the pipeline takes all that are new into its transaction, as a sorted run
//! ([`super::run`]); once that is durable, they may leave memory, and enter the filter ([`super::bloom`]) as they do. So
//! a key that is known is in memory, or in the filter and in a run; a key that is in neither memory nor filter is surely
//! new, and that is known without a look at the disk. Runs are merged, and dropped when their keys expire, in small
//! steps that commits take along ([`super::upkeep`]).
//!
//! # Why a crash loses and doubles nothing
//! An entry is a key and the place of the record that was let through. After a crash sources send again what was not
//! acknowledged; a record whose key is known from its own place is that same record, and passes. So it does no harm
//! if the store knows of a record that never arrived, only the contrary would: that is why the pipeline writes the
//! index in the same transaction as everything that makes a record visible. And for the same reason the index may
//! write ahead of commits when memory is full.
//!
//! # Locks
//! A table's lock is held while the disk is asked about a key, so that only one worker decides about it. Order:
//! ledger, table, runs, generation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use downspout_core::StageError;
use downspout_core::stage::State;
use downspout_core::store::{Store, StoreError, Write};

use super::bloom::Bloom;
use super::horizon::{Horizon, epoch, is_alive};
use super::recent::{Recent, Wave};
use super::run::{Known, Run, Shelf};
use super::upkeep::{Ledger, Plan};
use crate::clock::Clock;

/// A record that asks to pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) known: Known,
    pub(super) hash: u64,
    /// Its index in the batch.
    pub(super) event: usize,
}

/// The index of one `dedupe`, shared by all workers.
#[derive(Debug)]
pub(super) struct Index {
    shelf: Shelf,
    recent: Recent,
    bloom: Bloom,
    /// The runs that exist and are durable.
    runs: RwLock<Vec<Run>>,
    ledger: Mutex<Ledger>,
    /// The newest generation so far.
    generation: Mutex<u32>,
    horizon: Horizon,
    clock: Clock,
}

impl Index {
    /// Opens the index of the component `id` in about `memory` bytes, and reads what the store has of it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) fn open(
        store: Arc<Store>,
        id: &str,
        horizon: Duration,
        memory: usize,
        clock: Clock,
    ) -> Result<Index, StoreError> {
        let shelf = Shelf::new(store, id);
        let runs = shelf.runs()?;
        let recent = Recent::new(memory / 2);
        let bloom = Bloom::new(memory / 2);
        let mut ledger = Ledger::default();
        runs.iter().for_each(|run| ledger.found(run.number, false));
        // Blocks come run by run.
        let mut at: Option<(u64, Option<u32>)> = None;
        shelf.each_block(|number, keys| {
            if at.is_none_or(|(last, _)| last != number) {
                let generation = runs.iter().find(|run| run.number == number).map(|run| run.generation);
                ledger.found(number, generation.is_none());
                at = Some((number, generation));
            }
            if let Some((_, Some(generation))) = at {
                keys.for_each(|key| bloom.insert(recent.hash(key), epoch(generation)));
            }
        })?;
        let newest = runs.iter().map(|run| run.generation).max().unwrap_or(0);
        Ok(Index {
            shelf,
            recent,
            bloom,
            runs: RwLock::new(runs),
            ledger: Mutex::new(ledger),
            generation: Mutex::new(newest),
            horizon: Horizon::new(horizon),
            clock,
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation that is now. It never goes back, even if the clock does.
    fn now(&self) -> u32 {
        let mut newest = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.horizon.generation(self.clock.now()).max(*newest);
        let passed = epoch(now) - epoch(*newest);
        if passed > 0 {
            self.bloom.clear(epoch(now));
        }
        if passed > 1 {
            self.bloom.clear(epoch(now) - 1);
        }
        *newest = now;
        now
    }

    /// The hash of a key, for [`Candidate`].
    #[inline]
    pub(super) fn hash(&self, key: u128) -> u64 {
        self.recent.hash(key)
    }

    /// Begins a batch of that many records: makes room if need be. Gives the generation in which they arrive.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) fn begin(&self, records: usize) -> Result<u32, StageError> {
        if self.recent.is_crowded(records) {
            let mut ledger = self.ledger();
            // Another worker may have been faster.
            if self.recent.is_crowded(records) {
                self.relieve(&mut ledger)?;
            }
        }
        Ok(self.now())
    }

    /// Lets the candidates of one table pass, in order; `refuse` is called for those that must not.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) fn admit(
        &self,
        table: usize,
        candidates: &[Candidate],
        now: u32,
        mut refuse: impl FnMut(&Candidate),
    ) -> Result<(), StageError> {
        let mut table = self.recent.lock(table);
        if !self.recent.has_room(&table, candidates.len()) {
            let more = candidates.iter().filter(|asked| !table.contains(asked.hash, asked.known.key())).count();
            self.recent.make_room(&mut table, more, |hash, generation| {
                if is_alive(generation, now) {
                    self.bloom.insert(hash, epoch(generation));
                }
            });
        }
        // Behind what has just left memory. Each of these questions waits for memory; asked in a row, they wait together.
        let on_disk: Vec<bool> = candidates.iter().map(|asked| self.bloom.may_contain(asked.hash)).collect();

        let mut new = 0;
        let mut failed = None;
        for (candidate, on_disk) in candidates.iter().zip(on_disk) {
            let Candidate { known, hash, .. } = *candidate;
            let place = self.recent.place(&mut table, hash, known.key());
            let first = match place.entry().filter(|entry| is_alive(entry.generation, now)) {
                Some(entry) => Some(entry.known.place),
                // One that has expired is asked about too: a younger one may have left memory before it.
                None if on_disk => match self.ask_disk(known.key(), now) {
                    Ok(first) => first,
                    Err(error) => {
                        failed = Some(error);
                        continue;
                    }
                },
                None => None,
            };
            match first {
                None => {
                    place.put(known, now);
                    new += 1;
                }
                Some(first) if first != known.place => refuse(candidate),
                Some(_) => {}
            }
        }
        self.recent.count_new(new);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The place of the record that was let through for a key, if a run knows it.
    #[cold]
    fn ask_disk(&self, key: u128, now: u32) -> Result<Option<u64>, StoreError> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        for run in runs.iter().rev().filter(|run| is_alive(run.generation, now)) {
            if let Some(known) = self.shelf.find(run.number, key)? {
                return Ok(Some(known.place));
            }
        }
        Ok(None)
    }

    /// Writes what is new without waiting for a commit.
    fn relieve(&self, ledger: &mut Ledger) -> Result<(), StageError> {
        // What the commit under way has planned must not be planned again.
        let upkeep = ledger.planned.is_none();
        let mut writes = Vec::new();
        let (plan, wave) = self.plan(ledger, upkeep, &mut writes)?;
        if let Err(error) = self.shelf.store.write_all(&writes) {
            self.recent.put_back(wave);
            return Err(error.into());
        }
        self.install(ledger, plan, wave);
        Ok(())
    }

    /// Plans a step of upkeep, and takes what is new into runs, one for each generation.
    fn plan(&self, ledger: &mut Ledger, upkeep: bool, writes: &mut Vec<Write>) -> Result<(Plan, Wave), StoreError> {
        let mut plan = Plan::default();
        if upkeep {
            let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner).clone();
            ledger.upkeep(&self.shelf, &runs, self.now(), self.recent.new_entries(), &mut plan, writes)?;
        }
        // From here on nothing can fail, so that a wave that was taken is always finished or put back.
        let (wave, lists) = self.recent.take();
        for (generation, mut known) in lists {
            known.sort_unstable_by_key(|known| known.key());
            let run = Run { number: ledger.number(), generation, level: 0, entries: known.len() as u64 };
            self.shelf.add_head(run, writes);
            self.shelf.add_blocks(run.number, &known, writes);
            plan.added.push(run);
        }
        Ok((plan, wave))
    }

    /// A plan is durable: runs are asked from now on, and then memory may forget what is in them.
    fn install(&self, ledger: &mut Ledger, plan: Plan, wave: Wave) {
        ledger.install(plan, &mut self.runs.write().unwrap_or_else(PoisonError::into_inner));
        self.recent.finish(wave);
    }
}

impl State for Index {
    fn changes(&self) -> Result<Vec<Write>, StageError> {
        let mut ledger = self.ledger();
        // If the last commit failed, what it would have written is still to be written.
        if let Some((_, wave)) = ledger.planned.take() {
            self.recent.put_back(wave);
        }
        let mut writes = Vec::new();
        ledger.planned = Some(self.plan(&mut ledger, true, &mut writes)?);
        Ok(writes)
    }

    fn committed(&self) {
        let mut ledger = self.ledger();
        if let Some((plan, wave)) = ledger.planned.take() {
            self.install(&mut ledger, plan, wave);
        }
    }
}

#[cfg(test)]
impl Index {
    /// The runs there are, and how many places memory has.
    pub(super) fn size(&self) -> (Vec<Run>, usize) {
        (self.runs.read().unwrap().clone(), self.recent.places())
    }
}
