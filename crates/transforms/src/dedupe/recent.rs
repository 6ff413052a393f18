//! The newest entries, in memory: all that the store does not have yet, and as many of the others as there is room.
//!
//! Sixteen tables, each behind its own lock, so that workers seldom meet. An entry says how far it is on its way to
//! the disk. When a table is full, entries that are on disk make room, those first that were written longest ago:
//! from then on the disk answers for them.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
            limit: places / 8 * 7,
        }
    }

    /// How many entries fit.
    pub(super) fn capacity(&self) -> usize {
        self.limit * TABLES
    }

    /// How many entries are in memory only.
    pub(super) fn new_entries(&self) -> usize {
        self.new.load(Ordering::Relaxed)
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

    /// Puts a new key in, over an entry of it that has expired.
    #[inline]
    pub(super) fn insert(&self, table: &mut Table, hash: u64, known: Known, generation: u32) {
        let entry = Entry { known, generation, stage: Stage::New };
        if let Some(old) = table.find(hash, known.key()) {
            if old.stage != Stage::New {
                self.new.fetch_add(1, Ordering::Relaxed);
            }
            *old = entry;
            return;
        }
        if table.entries.len() >= self.limit {
            table.make_room(self.limit, |key| self.hash(key));
        }
        self.new.fetch_add(1, Ordering::Relaxed);
        table.entries.insert_unique(hash, entry, |entry| self.hash(entry.known.key()));
    }

    /// Moves all entries of the stages `from` to the stage `to`, and shows them.
    pub(super) fn advance(&self, from: &[Stage], to: Stage, mut visit: impl FnMut(&Entry)) {
        let mut fewer = 0;
        let mut more = 0;
        for table in 0..TABLES {
            for entry in self.lock(table).entries.iter_mut().filter(|entry| from.contains(&entry.stage)) {
                fewer += usize::from(entry.stage == Stage::New);
                more += usize::from(to == Stage::New);
                entry.stage = to;
                visit(entry);
            }
        }
        self.new.fetch_add(more, Ordering::Relaxed);
        self.new.fetch_sub(fewer, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        (0..TABLES).map(|table| self.lock(table).entries.num_buckets()).sum()
    }
}

impl Table {
    #[inline]
    pub(super) fn find(&mut self, hash: u64, key: u128) -> Option<&mut Entry> {
        self.entries.find_mut(hash, |entry| entry.known.key() == key)
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
            recent.insert(&mut table, hash, Known::new(key, 0), 0);
        }
    }

    fn contains(recent: &Recent, key: u128) -> bool {
        let hash = recent.hash(key);
        recent.lock(Recent::table_of(hash)).find(hash, key).is_some()
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(PLACE_BYTES, 33);
    }

    #[test]
    fn what_is_not_on_disk_stays_and_the_rest_makes_room() {
        let recent = Recent::new(256 << 10);
        let capacity = recent.capacity() as u128;
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
        assert_eq!(recent.new_entries(), 10);
        let mut seen = 0;
        recent.advance(&[Stage::New, Stage::Committing], Stage::Committing, |_| seen += 1);
        assert_eq!((seen, recent.new_entries()), (15, 0));
        recent.advance(&[Stage::Committing], Stage::New, |_| ());
        assert_eq!(recent.new_entries(), 15);
    }
}
