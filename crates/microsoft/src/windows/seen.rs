//! Which records of the overlap were sent already.
//!
//! A stretch of time is read several times, and nearly everything that comes back is known. It is not sent again:
//! each record that was sent is remembered by the hash of its bytes until its stretch has been read for the last
//! time. A record that changed has other bytes, and is sent again. Byte for byte the same, with an id in it, is the
//! same record; without an id nothing says so, and such a record is always sent.
//!
//! The memory is written in the transaction that journals the records, so it never holds one that is not sure to
//! arrive. It is bounded: past [`MOST`] the oldest are forgotten, and would be sent again, which `dedupe` catches.

use std::collections::{HashSet, VecDeque};

use downspout_core::Store;
use downspout_core::store::{StoreError, Write, key, last_part};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};

/// How many records one feed remembers: 8 MB on disk, about twice that in memory.
const MOST: usize = 400_000;

/// 128 bits of SHA-256. Attackers write parts of records, so a hash that can be made to collide would hide theirs.
pub(crate) type Hash = [u8; 16];

/// The hash of a record.
pub(crate) fn hash(record: &[u8]) -> Hash {
    digest(&SHA256, record).as_ref().first_chunk().copied().unwrap_or_default()
}

/// The memory of one feed.
#[derive(Debug)]
pub(crate) struct Seen {
    prefix: [Vec<u8>; 3],
    units: VecDeque<Unit>,
    hashes: HashSet<Hash>,
    most: usize,
}

/// What one page brought.
#[derive(Debug)]
struct Unit {
    number: u64,
    /// The end of the window that it was read in: no record of it is younger.
    until: Timestamp,
}

impl Seen {
    /// What the store remembers of a feed.
    pub(crate) fn load(store: &Store, source: &str, shard: &str) -> Result<Seen, StoreError> {
        let prefix = [b"seen".to_vec(), source.as_bytes().to_vec(), shard.as_bytes().to_vec()];
        let mut seen = Seen { prefix, units: VecDeque::new(), hashes: HashSet::new(), most: MOST };
        for (key, value) in store.list(&seen.key(None))? {
            let number = last_part(&key).try_into().map_or(0, u64::from_be_bytes);
            let Some((until, hashes)) = value.split_first_chunk::<8>() else { continue };
            let until = Timestamp::from_second(i64::from_be_bytes(*until)).unwrap_or_default();
            seen.hashes.extend(hashes.as_chunks::<16>().0);
            seen.units.push_back(Unit { number, until });
        }
        Ok(seen)
    }

    /// Whether a record with that hash was sent.
    pub(crate) fn contains(&self, hash: &Hash) -> bool {
        self.hashes.contains(hash)
    }

    /// Remembers what a page brought that was read in a window up to `until`. Gives the write that belongs into the
    /// transaction with the records.
    pub(crate) fn remember(&mut self, hashes: &[Hash], until: Timestamp) -> Write {
        let number = self.units.back().map_or(0, |unit| unit.number + 1);
        let mut value = until.as_second().to_be_bytes().to_vec();
        value.extend(hashes.iter().flatten());
        self.hashes.extend(hashes);
        self.units.push_back(Unit { number, until });
        Write::set(self.key(Some(number)), value)
    }

    /// Forgets what is not read again: nothing before `oldest` is. Gives the writes for the next transaction.
    pub(crate) fn forget(&mut self, store: &Store, oldest: Timestamp) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        let mut kept = VecDeque::with_capacity(self.units.len());
        for unit in std::mem::take(&mut self.units) {
            // The number of the last one goes on counting, so it stays.
            if unit.until < oldest || self.hashes.len() > self.most {
                writes.push(self.drop_unit(store, &unit)?);
            } else {
                kept.push_back(unit);
            }
        }
        self.units = kept;
        Ok(writes)
    }

    fn drop_unit(&mut self, store: &Store, unit: &Unit) -> Result<Write, StoreError> {
        let key = self.key(Some(unit.number));
        if let Some(value) = store.get(&key)? {
            for hash in value.get(8..).unwrap_or_default().as_chunks::<16>().0 {
                self.hashes.remove(hash);
            }
        }
        Ok(Write::remove(key))
    }

    fn key(&self, number: Option<u64>) -> Vec<u8> {
        let number = number.map(u64::to_be_bytes);
        let mut parts: Vec<&[u8]> = self.prefix.iter().map(Vec::as_slice).collect();
        parts.extend(number.as_ref().map(<[u8; 8]>::as_slice));
        key(&parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_was_sent_is_known_after_a_restart_until_its_stretch_is_past() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let load = || Seen::load(&store, "in", "t/f").unwrap();
        let mut seen = load();
        let known = |seen: &Seen| ["a", "b", "c"].map(|text| seen.contains(&hash(text.as_bytes())));
        let old = seen.remember(&[hash(b"a"), hash(b"b")], at(100));
        let new = seen.remember(&[hash(b"c")], at(200));
        store.write_all(&[old, new]).unwrap();
        let mut seen = load();
        assert_eq!(known(&seen), [true, true, true]);
        assert_eq!(seen.forget(&store, at(100)).unwrap(), []);
        let writes = seen.forget(&store, at(101)).unwrap();
        assert_eq!(writes.len(), 1);
        assert_eq!(known(&seen), [false, false, true]);
        store.write_all(&writes).unwrap();
        assert_eq!(known(&load()), [false, false, true]);
        assert_eq!(known(&Seen::load(&store, "in", "t/g").unwrap()), [false; 3]);
    }

    #[test]
    fn what_is_too_much_is_forgotten_from_the_oldest_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut seen = Seen { most: 2, ..Seen::load(&store, "in", "t/f").unwrap() };
        for text in ["a", "b", "c", "d"] {
            let write = seen.remember(&[hash(text.as_bytes())], at(100));
            store.write_all(&[write]).unwrap();
        }
        store.write_all(&seen.forget(&store, at(0)).unwrap()).unwrap();
        let known = ["a", "b", "c", "d"].map(|text| seen.contains(&hash(text.as_bytes())));
        assert_eq!(known, [false, false, true, true]);
    }
}
