//! The newest entries, in memory: all that the store does not have yet, and as many of the others as there is room.
//!
//! Sixteen tables, each behind its own lock, so that workers seldom meet. A table is a log of entries in the order of
//! their arrival, and an index of it that is small enough for a processor's caches. So what is new is the end of the
//! log, and a transaction that takes it costs as much as there is new, however many entries there are.
//!
//! What a transaction takes is a wave, and entries carry its number: a wave that was taken, and whose transaction is
//! not under way, is on disk. When a table is full, entries on disk make room, the oldest waves first: from then on the
//! disk answers for them.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table};

use super::run::Known;

/// How many tables.
pub(super) const TABLES: usize = 16;

/// A key that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) known: Known,
    pub(super) generation: u32,
    /// The number of its wave.
    wave: u32,
}

/// What a transaction takes, until that is durable or has failed.
#[derive(Debug)]
pub(super) struct Wave {
    number: u32,
    entries: usize,
}

/// What entries know, by their generation.
pub(super) type Lists = BTreeMap<u32, Vec<Known>>;

/// An entry with its place in the index, and the byte of control that a hash table keeps for that.
const PLACE_BYTES: usize = size_of::<Entry>() + size_of::<u32>() + 1;

#[derive(Debug)]
pub(super) struct Recent {
    tables: Vec<Mutex<Table>>,
    hasher: DefaultHashBuilder,
    /// How many entries are in no transaction yet.
    new: AtomicUsize,
    /// How many entries are in transactions under way.
    taken: AtomicUsize,
    /// The waves of these transactions: one of a commit, one of the index's own. To be locked last.
    under_way: Mutex<Vec<u32>>,
    /// Entries that a table holds before it makes room.
    limit: usize,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Entries by arrival. One that has expired stays where it is when its key comes again.
    log: Vec<Entry>,
    /// Where in the log the last entry of each key is.
    places: HashTable<u32>,
    /// Before this place in the log there is nothing new.
    old: usize,
    /// The wave that will take what is new.
    wave: u32,
}

/// The place of a key in a table.
pub(super) struct Place<'t> {
    place: hash_table::Entry<'t, u32>,
    log: &'t mut Vec<Entry>,
    wave: u32,
}

impl Recent {
    /// Tables that take about that many bytes together, and what collecting them for a commit takes for a moment.
    pub(super) fn new(bytes: usize) -> Recent {
        let per_place = PLACE_BYTES + size_of::<Known>();
        // Indices grow by doubling, so only a power of two is filled without overshooting; 7 of 8 places are used.
        let places = (bytes / TABLES / per_place).max(8);
        let places = 1_usize << places.ilog2();
        let limit = places / 8 * 7;
        // An index that grows is built anew each time.
        let table = || Mutex::new(Table { places: HashTable::with_capacity(limit), ..Table::default() });
        Recent {
            tables: std::iter::repeat_with(table).take(TABLES).collect(),
            hasher: DefaultHashBuilder::default(),
            new: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            under_way: Mutex::default(),
            limit,
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
        let (new, taken) = (self.new_entries(), self.taken.load(Ordering::Relaxed));
        let alone = new > 0 && new + more > capacity / 8 * 5;
        let together = new > capacity / 8 && new + taken + more > capacity / 8 * 7;
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

    fn under_way(&self) -> MutexGuard<'_, Vec<u32>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a table has room for `more` entries.
    #[inline]
    pub(super) fn has_room(&self, table: &Table, more: usize) -> bool {
        table.log.len() + more <= self.limit
    }

    /// Makes room in a table for `more` entries, if what is on disk can be dropped for them. Calls `dropped` with the hash
    /// and the generation of each that is.
    pub(super) fn make_room(&self, table: &mut Table, more: usize, dropped: impl FnMut(u64, u32)) {
        if !self.has_room(table, more) {
            self.drop_oldest(table, dropped);
        }
    }

    /// Drops the oldest of what is on disk, about half a table.
    #[cold]
    fn drop_oldest(&self, table: &mut Table, mut dropped: impl FnMut(u64, u32)) {
        let Table { log, places, old, wave: new } = table;
        let under_way = self.under_way();
        let on_disk = |entry: &Entry| entry.wave != *new && !under_way.contains(&entry.wave);
        let mut waves: Vec<u32> = log.iter().filter(|entry| on_disk(entry)).map(|entry| entry.wave).collect();
        let Some(last) = waves.len().checked_sub(1) else { return };
        let (_, &mut youngest, _) = waves.select_nth_unstable(last.min(self.limit / 2));
        log.retain(|entry| {
            let stays = entry.wave > youngest || !on_disk(entry);
            if !stays {
                dropped(self.hash(entry.known.key()), entry.generation);
            }
            stays
        });
        log.shrink_to(self.limit);
        *old = log.iter().position(|entry| entry.wave == *new).unwrap_or(log.len());
        *places = HashTable::with_capacity(self.limit.max(log.len()));
        for (at, entry) in log.iter().enumerate() {
            let key = entry.known.key();
            self.place_in(places, log, self.hash(key), key).insert(at as u32);
        }
    }

    /// The place of a key in a table.
    #[inline]
    pub(super) fn place<'t>(&self, table: &'t mut Table, hash: u64, key: u128) -> Place<'t> {
        let Table { log, places, wave, .. } = table;
        Place { place: self.place_in(places, log, hash, key), log, wave: *wave }
    }

    #[inline]
    fn place_in<'t>(
        &self,
        places: &'t mut HashTable<u32>,
        log: &[Entry],
        hash: u64,
        key: u128,
    ) -> hash_table::Entry<'t, u32> {
        let key_at = |at: u32| log[at as usize].known.key();
        places.entry(hash, |&at| key_at(at) == key, |&at| self.hash(key_at(at)))
    }

    /// Counts entries that were put in.
    pub(super) fn count_new(&self, count: usize) {
        self.new.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes all that is new for a transaction. One thread at a time.
    pub(super) fn take(&self) -> (Wave, Lists) {
        let mut wave = Wave { number: self.lock(0).wave, entries: 0 };
        // Before a table counts on: nothing of the wave may be dropped.
        self.under_way().push(wave.number);
        let mut lists = Lists::new();
        for table in 0..TABLES {
            let mut table = self.lock(table);
            let mut count = 0;
            for entry in table.log[table.old..].iter().filter(|entry| entry.wave == wave.number) {
                lists.entry(entry.generation).or_default().push(entry.known);
                count += 1;
            }
            table.old = table.log.len();
            table.wave = wave.number + 1;
            wave.entries += count;
            self.taken.fetch_add(count, Ordering::Relaxed);
            self.new.fetch_sub(count, Ordering::Relaxed);
        }
        (wave, lists)
    }

    /// The transaction of a wave is over: what was not put back is on disk.
    pub(super) fn finish(&self, wave: Wave) {
        self.under_way().retain(|&number| number != wave.number);
        self.taken.fetch_sub(wave.entries, Ordering::Relaxed);
    }

    /// The transaction of a wave failed: its entries are new again. As that is rare, they are looked for.
    #[cold]
    pub(super) fn put_back(&self, wave: Wave) {
        for table in 0..TABLES {
            let mut table = self.lock(table);
            let Table { log, old, wave: new, .. } = &mut *table;
            let mut count = 0;
            for (at, entry) in log.iter_mut().enumerate().filter(|(_, entry)| entry.wave == wave.number) {
                entry.wave = *new;
                *old = at.min(*old);
                count += 1;
            }
            self.count_new(count);
        }
        self.finish(wave);
    }

    /// How many entries the tables have memory for.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        let of = |table: &Table| table.log.capacity().max(table.places.num_buckets());
        (0..TABLES).map(|table| of(&self.lock(table))).sum()
    }
}

impl Table {
    #[inline]
    pub(super) fn contains(&self, hash: u64, key: u128) -> bool {
        self.places.find(hash, |&at| self.log[at as usize].known.key() == key).is_some()
    }
}

impl Place<'_> {
    /// The entry that is there.
    #[inline]
    pub(super) fn entry(&self) -> Option<&Entry> {
        match &self.place {
            hash_table::Entry::Occupied(place) => self.log.get(*place.get() as usize),
            hash_table::Entry::Vacant(_) => None,
        }
    }

    /// Puts a new entry there. The place in the log fits, for 2^32 entries would take 128 GiB.
    #[inline]
    pub(super) fn put(self, known: Known, generation: u32) {
        self.place.insert(self.log.len() as u32);
        self.log.push(Entry { known, generation, wave: self.wave });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(recent: &Recent, keys: impl IntoIterator<Item = u128>) {
        for key in keys {
            let (hash, known) = (recent.hash(key), Known::new(key, 0));
            let mut table = recent.lock(Recent::table_of(hash));
            if !table.contains(hash, key) {
                recent.make_room(&mut table, 1, |_, _| {});
                recent.place(&mut table, hash, key).put(known, 0);
                recent.count_new(1);
            }
        }
    }

    fn contains(recent: &Recent, key: u128) -> bool {
        let hash = recent.hash(key);
        recent.lock(Recent::table_of(hash)).contains(hash, key)
    }

    /// Keys made of the numbers from `first` on, as many for each table: where a key belongs is another matter in each run.
    fn even(recent: &Recent, first: u128, for_each: usize) -> Vec<u128> {
        let mut counts = [0; TABLES];
        let fits = |key: &u128| {
            let count = &mut counts[Recent::table_of(recent.hash(*key))];
            *count += 1;
            *count <= for_each
        };
        // Real keys are hashes. Numbers in a row now and then all belong to one or two tables.
        let spread = |number: u128| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        (first..).map(spread).filter(fits).take(for_each * TABLES).collect()
    }

    fn keys(lists: &Lists) -> Vec<u128> {
        let mut keys: Vec<u128> = lists.values().flatten().map(|known| known.key()).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(PLACE_BYTES, 37);
    }

    #[test]
    fn what_is_not_on_disk_stays_and_the_oldest_makes_room() {
        let recent = Recent::new(256 << 10);
        let places = recent.limit * TABLES / 7 * 8;
        let wave = |number: u128, for_each| {
            let mut keys = even(&recent, number << 64, for_each);
            keys.sort_unstable();
            keys
        };
        let quarter = recent.limit / 4;
        for number in 0..50 {
            let fresh = wave(number, quarter);
            insert(&recent, fresh.iter().copied());
            assert_eq!(recent.new_entries(), quarter * TABLES);
            assert!(fresh.iter().all(|key| contains(&recent, *key)));
            let (taken, lists) = recent.take();
            assert_eq!(keys(&lists), fresh);
            recent.finish(taken);
            assert!(recent.places() <= places);
        }
        assert!(wave(49, quarter).iter().all(|key| contains(&recent, *key)), "the newest are kept");
        assert!(!wave(0, quarter).iter().any(|key| contains(&recent, *key)));
        // Without a commit nothing is dropped, whatever that takes.
        let many = wave(50, 2 * recent.limit);
        insert(&recent, many.iter().copied());
        assert!(many.iter().all(|key| contains(&recent, *key)));
    }

    #[test]
    fn room_is_made_by_the_oldest_half() {
        let recent = Recent::new(256 << 10);
        let tenth = recent.limit / 10;
        let waves: Vec<Vec<u128>> = (0..9).map(|wave| even(&recent, wave << 64, tenth)).collect();
        for keys in &waves[..8] {
            insert(&recent, keys.iter().copied());
            let (wave, _) = recent.take();
            recent.finish(wave);
        }
        // What is under way stays; so does what failed.
        insert(&recent, waves[8].iter().copied());
        let (under_way, _) = recent.take();
        for table in 0..TABLES {
            recent.make_room(&mut recent.lock(table), recent.limit, |_, _| {});
        }
        let left = |wave: usize| waves[wave].iter().filter(|key| contains(&recent, **key)).count();
        assert_eq!([0, 1, 2, 3].map(left), [0; 4]);
        assert_eq!([6, 7, 8].map(left), [tenth * TABLES; 3]);
        recent.put_back(under_way);
        for table in 0..TABLES {
            recent.make_room(&mut recent.lock(table), recent.limit, |_, _| {});
        }
        assert_eq!([6, 7, 8].map(left), [0, 0, tenth * TABLES]);
    }

    #[test]
    fn waves_are_counted() {
        let recent = Recent::new(64 << 10);
        let count = || (recent.new_entries(), recent.taken.load(Ordering::Relaxed));
        insert(&recent, 0..10);
        let (first, _) = recent.take();
        assert_eq!(count(), (0, 10));
        insert(&recent, 5..15);
        assert_eq!(count(), (5, 10));
        let (second, lists) = recent.take();
        assert_eq!((keys(&lists), count()), ((10..15).collect(), (0, 15)));
        recent.put_back(first);
        assert_eq!(count(), (10, 5));
        recent.finish(second);
        let (first, lists) = recent.take();
        assert_eq!((keys(&lists), count()), ((0..10).collect(), (0, 10)));
        recent.finish(first);
        let (empty, lists) = recent.take();
        assert!(lists.is_empty());
        recent.put_back(empty);
        assert_eq!(count(), (0, 0));
    }
}
