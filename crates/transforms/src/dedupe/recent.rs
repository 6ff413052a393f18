//! The newest entries, in memory: all that the store does not have yet, and as many of the others as there is room.
//!
//! Sixteen tables, each behind its own lock, so that workers seldom meet. An entry says how far it is on its way to
//! the disk. When a table is full, entries that are on disk make room, those first that were written longest ago:
//! from then on the disk answers for them.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) use hashbrown::hash_table::Entry as Place;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::run::Known;

/// How many tables.
pub(super) const TABLES: usize = 16;

/// How far an entry is on its way to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// In memory only.
    New,
    /// In the transaction of a commit that is under way.
    Committing,
    /// In a transaction of the index's own that is under way.
    Spilling,
    /// On disk.
    Written,
    /// On disk for longer: the first to go.
    Old,
}

/// A key that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) known: Known,
    pub(super) generation: u32,
    pub(super) stage: Stage,
}

/// A place in a table, with the byte of control that a hash table keeps for it.
const PLACE_BYTES: usize = size_of::<Entry>() + 1;

#[derive(Debug)]
pub(super) struct Recent {
    tables: Vec<Mutex<Table>>,
    hasher: DefaultHashBuilder,
    /// Entries in stage `New`.
    new: AtomicUsize,
    /// Entries in stage `Committing`.
    committing: AtomicUsize,
    /// Entries that a table holds before it makes room.
    limit: usize,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashTable<Entry>,
}

impl Recent {
    /// Tables that take about that many bytes together, and what collecting them for a commit takes for a moment.
    pub(super) fn new(bytes: usize) -> Recent {
        let per_place = PLACE_BYTES + size_of::<Known>();
        // Tables grow by doubling, so only a power of two is filled without overshooting; 7 of 8 places are used.
        let places = (bytes / TABLES / per_place).max(8);
        let places = 1_usize << places.ilog2();
        Recent {
            tables: std::iter::repeat_with(Mutex::default).take(TABLES).collect(),
            hasher: DefaultHashBuilder::default(),
            new: AtomicUsize::new(0),
            committing: AtomicUsize::new(0),
            limit: places / 8 * 7,
        }
    }

    /// How many entries are in memory only, and in no transaction.
    pub(super) fn new_entries(&self) -> usize {
        self.new.load(Ordering::Relaxed)
    }

    /// Whether entries that are not on disk would leave too little room if there were `more`. A commit under way will
    /// make room by itself: beside it, it takes some more of them to be worth a transaction.
    pub(super) fn is_crowded(&self, more: usize) -> bool {
        let capacity = self.limit * TABLES;
        let (new, committing) = (self.new_entries(), self.committing.load(Ordering::Relaxed));
        let alone = new > 0 && new + more > capacity / 8 * 5;
        let together = new > capacity / 8 && new + committing + more > capacity / 8 * 7;
        alone || together
    }

    #[inline]
    pub(super) fn hash(&self, key: u128) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The table of a hash: bits that neither the table nor the filter leans on.
    #[inline]
    pub(super) fn table_of(hash: u64) -> usize {
        (hash >> 28) as usize % TABLES
    }

    pub(super) fn lock(&self, table: usize) -> MutexGuard<'_, Table> {
        self.tables[table].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room in a table for `more` entries, if what is on disk can be dropped for them.
    #[inline]
    pub(super) fn make_room(&self, table: &mut Table, more: usize) {
        if table.entries.len() + more > self.limit {
            table.make_room(self.limit, |key| self.hash(key));
        }
    }

    /// The place of a key in a table.
    #[inline]
    pub(super) fn place<'t>(&self, table: &'t mut Table, hash: u64, key: u128) -> Place<'t, Entry> {
        table.entries.entry(hash, |entry| entry.known.key() == key, |entry| self.hash(entry.known.key()))
    }

    /// Counts entries that were put in as new.
    pub(super) fn count_new(&self, count: usize) {
        self.new.fetch_add(count, Ordering::Relaxed);
    }

    /// Moves all entries of the stages `from` to the stage `to`, and shows them.
    pub(super) fn advance(&self, from: &[Stage], to: Stage, mut visit: impl FnMut(&Entry)) {
        let (mut all, mut were_new) = (0, 0);
        for table in 0..TABLES {
            for entry in self.lock(table).entries.iter_mut().filter(|entry| from.contains(&entry.stage)) {
                all += 1;
                were_new += usize::from(entry.stage == Stage::New);
                entry.stage = to;
                visit(entry);
            }
        }
        if to == Stage::New {
            self.new.fetch_add(all, Ordering::Relaxed);
        }
        self.new.fetch_sub(were_new, Ordering::Relaxed);
        if to == Stage::Committing {
            self.committing.store(all, Ordering::Relaxed);
        } else if from.contains(&Stage::Committing) {
            self.committing.store(0, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        (0..TABLES).map(|table| self.lock(table).entries.num_buckets()).sum()
    }
}

impl Table {
    #[inline]
    pub(super) fn contains(&self, hash: u64, key: u128) -> bool {
        self.entries.find(hash, |entry| entry.known.key() == key).is_some()
    }

    /// Drops old entries; if that is not a quarter of the table, all that are on disk. Those kept move to a new table:
    /// removing would leave marks behind that make a table grow.
    #[cold]
    fn make_room(&mut self, limit: usize, hash: impl Fn(u128) -> u64) {
        let count = |stages: &[Stage]| self.entries.iter().filter(|entry| stages.contains(&entry.stage)).count();
        let gone: &[Stage] = match count(&[Stage::Old]) {
            old if old >= limit / 4 => &[Stage::Old],
            _ => &[Stage::Old, Stage::Written],
        };
        if count(gone) == 0 {
            return;
        }
        let mut kept = HashTable::with_capacity(limit);
        for mut entry in self.entries.drain().filter(|entry| !gone.contains(&entry.stage)) {
            if entry.stage == Stage::Written {
                entry.stage = Stage::Old;
            }
            kept.insert_unique(hash(entry.known.key()), entry, |entry| hash(entry.known.key()));
        }
        self.entries = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(recent: &Recent, keys: std::ops::Range<u128>) {
        for key in keys {
            let hash = recent.hash(key);
            let mut table = recent.lock(Recent::table_of(hash));
            if !table.contains(hash, key) {
                recent.make_room(&mut table, 1);
                recent.count_new(1);
            }
            let entry = Entry { known: Known::new(key, 0), generation: 0, stage: Stage::New };
            recent.place(&mut table, hash, key).or_insert(entry);
        }
    }

    fn contains(recent: &Recent, key: u128) -> bool {
        let hash = recent.hash(key);
        recent.lock(Recent::table_of(hash)).contains(hash, key)
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(PLACE_BYTES, 33);
    }

    #[test]
    fn what_is_not_on_disk_stays_and_the_rest_makes_room() {
        let recent = Recent::new(256 << 10);
        let capacity = (recent.limit * TABLES) as u128;
        let places = capacity as usize / 7 * 8;
        let mut first = 0;
        for _ in 0..50 {
            insert(&recent, first..first + capacity / 4);
            assert_eq!(recent.new_entries(), capacity as usize / 4);
            assert!((first..first + capacity / 4).all(|key| contains(&recent, key)));
            recent.advance(&[Stage::New], Stage::Written, |_| ());
            first += capacity / 4;
            assert!(recent.places() <= places);
        }
        assert!((first - capacity / 8..first).all(|key| contains(&recent, key)), "the newest are kept");
        assert!(!contains(&recent, 0));
        // Without a commit nothing is dropped, whatever that takes.
        insert(&recent, first..first + 2 * capacity);
        assert!((first..first + 2 * capacity).all(|key| contains(&recent, key)));
    }

    #[test]
    fn stages_are_counted() {
        let recent = Recent::new(64 << 10);
        insert(&recent, 0..10);
        recent.advance(&[Stage::New], Stage::Committing, |_| ());
        insert(&recent, 5..15);
        assert_eq!(recent.new_entries(), 5);
        let mut seen = 0;
        recent.advance(&[Stage::New, Stage::Committing], Stage::Committing, |_| seen += 1);
        assert_eq!((seen, recent.new_entries()), (15, 0));
        recent.advance(&[Stage::Committing], Stage::New, |_| ());
        assert_eq!(recent.new_entries(), 15);
    }
}
