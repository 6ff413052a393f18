//! Entries on disk: sorted runs of blocks in the store.
//!
//! A run is written once, whole, and never changed. A block is up to 160 entries, 24 bytes each, under its run's
//! number and its first key: the block that may hold a key is the last one that does not begin above it. A run exists
//! when its head does; blocks without a head are what a crash left of a run that never came to be.

use std::ops::ControlFlow;

use downspout_core::store::{Store, StoreError, Write, key};

/// A key that is known, and the place of the record that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// In halves: as one number it would be aligned to 16 bytes, and a third of all memory would be gaps.
    key: [u64; 2],
    pub(super) place: u64,
}

impl Known {
    #[inline]
    pub(super) fn new(key: u128, place: u64) -> Known {
        Known { key: [(key >> 64) as u64, key as u64], place }
    }

    #[inline]
    pub(super) fn key(self) -> u128 {
        u128::from(self.key[0]) << 64 | u128::from(self.key[1])
    }
}

const ENTRY_BYTES: usize = 24;
/// So many that a block and its key fill a page of the store's file, 4 KiB, and not a byte of the next.
const BLOCK_ENTRIES: usize = 160;

/// A run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) number: u64,
    /// When its keys arrived.
    pub(super) generation: u32,
    /// How often its entries were merged.
    pub(super) level: u8,
    pub(super) entries: u64,
}

/// The runs of one index in the store.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) store: std::sync::Arc<Store>,
    heads: Vec<u8>,
    blocks: Vec<u8>,
}

impl Shelf {
    /// The shelf of the component `id`.
    pub(super) fn new(store: std::sync::Arc<Store>, id: &str) -> Shelf {
        let part = |name: &[u8]| key(&[b"dedupe", id.as_bytes(), name]);
        Shelf { store, heads: part(b"run"), blocks: part(b"block") }
    }

    fn head_key(&self, number: u64) -> Vec<u8> {
        let mut head = self.heads.clone();
        head.extend_from_slice(&number.to_be_bytes());
        head
    }

    fn block_prefix(&self, number: u64) -> Vec<u8> {
        let mut prefix = self.blocks.clone();
        prefix.extend_from_slice(&number.to_be_bytes());
        prefix
    }

    fn block_key(&self, number: u64, first: u128) -> Vec<u8> {
        let mut block = self.block_prefix(number);
        block.extend_from_slice(&first.to_be_bytes());
        block
    }

    /// Makes a run exist.
    pub(super) fn add_head(&self, run: Run, writes: &mut Vec<Write>) {
        let mut value = Vec::with_capacity(13);
        value.extend_from_slice(&run.generation.to_be_bytes());
        value.extend_from_slice(&run.entries.to_be_bytes());
        value.push(run.level);
        writes.push(Write::set(self.head_key(run.number), value));
    }

    /// Makes a run not exist. Its blocks are left for [`Shelf::erase`].
    pub(super) fn remove_head(&self, number: u64, writes: &mut Vec<Write>) {
        writes.push(Write::remove(self.head_key(number)));
    }

    /// Adds sorted entries to a run, above those it has.
    pub(super) fn add_blocks(&self, number: u64, entries: &[Known], writes: &mut Vec<Write>) {
        for block in entries.chunks(BLOCK_ENTRIES) {
            let Some(first) = block.first() else { continue };
            let mut value = Vec::with_capacity(block.len() * ENTRY_BYTES);
            for entry in block {
                value.extend_from_slice(&entry.key().to_be_bytes());
                value.extend_from_slice(&entry.place.to_be_bytes());
            }
            writes.push(Write::set(self.block_key(number, first.key()), value));
        }
    }

    /// All runs there are.
    pub(super) fn runs(&self) -> Result<Vec<Run>, StoreError> {
        let mut runs = Vec::new();
        self.store.scan(&self.heads, &[], |key, value| {
            runs.extend(read_head(&key[self.heads.len()..], value));
            ControlFlow::Continue(())
        })?;
        Ok(runs)
    }

    /// Shows every block: its run's number, and its keys.
    pub(super) fn each_block(
        &self,
        mut visit: impl FnMut(u64, &mut dyn Iterator<Item = u128>),
    ) -> Result<(), StoreError> {
        self.store.scan(&self.blocks, &[], |key, value| {
            if let Some(number) = key[self.blocks.len()..].first_chunk::<8>() {
                visit(u64::from_be_bytes(*number), &mut entries(value).map(Known::key));
            }
            ControlFlow::Continue(())
        })
    }

    /// The entry of a key in a run.
    pub(super) fn find(&self, number: u64, key: u128) -> Result<Option<Known>, StoreError> {
        let prefix = self.block_prefix(number);
        let Some((_, block)) = self.store.floor(&prefix, &self.block_key(number, key))? else { return Ok(None) };
        let (blocks, _) = block.as_chunks::<ENTRY_BYTES>();
        let found = blocks.binary_search_by_key(&key, |bytes| read_entry(bytes).key());
        Ok(found.ok().map(|at| read_entry(&blocks[at])))
    }

    /// Up to about `limit` entries of a run whose keys are above `after`, in order, and whether these are the last.
    pub(super) fn read(
        &self,
        number: u64,
        after: Option<u128>,
        limit: usize,
    ) -> Result<(Vec<Known>, bool), StoreError> {
        let prefix = self.block_prefix(number);
        let mut from = prefix.clone();
        if let Some(after) = after
            && let Some((block, _)) = self.store.floor(&prefix, &self.block_key(number, after))?
        {
            from = block;
        }
        let mut found = Vec::new();
        let mut last = true;
        self.store.scan(&prefix, &from, |_, value| {
            if found.len() >= limit {
                last = false;
                return ControlFlow::Break(());
            }
            found.extend(entries(value).filter(|entry| after.is_none_or(|after| entry.key() > after)));
            ControlFlow::Continue(())
        })?;
        Ok((found, last))
    }

    /// Removes up to `limit` blocks of a run, and says how many it were.
    pub(super) fn erase(&self, number: u64, limit: usize, writes: &mut Vec<Write>) -> Result<usize, StoreError> {
        let before = writes.len();
        self.store.scan(&self.block_prefix(number), &[], |key, _| {
            if writes.len() - before == limit {
                return ControlFlow::Break(());
            }
            writes.push(Write::remove(key.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(writes.len() - before)
    }
}

fn read_head(number: &[u8], value: &[u8]) -> Option<Run> {
    let (generation, rest) = value.split_first_chunk::<4>()?;
    let (entries, rest) = rest.split_first_chunk::<8>()?;
    Some(Run {
        number: u64::from_be_bytes(number.try_into().ok()?),
        generation: u32::from_be_bytes(*generation),
        entries: u64::from_be_bytes(*entries),
        level: *rest.first()?,
    })
}

fn entries(block: &[u8]) -> impl Iterator<Item = Known> {
    block.as_chunks::<ENTRY_BYTES>().0.iter().map(read_entry)
}

fn read_entry(bytes: &[u8; ENTRY_BYTES]) -> Known {
    let whole = bytes.first_chunk::<16>().map_or(0, |key| u128::from_be_bytes(*key));
    let place = bytes.last_chunk::<8>().map_or(0, |place| u64::from_be_bytes(*place));
    Known::new(whole, place)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn runs_are_found_read_and_erased() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let shelf = Shelf::new(Arc::clone(&store), "it");
        let other = Shelf::new(Arc::clone(&store), "other");
        let known = |key: u128| Known::new(key, key as u64 * 7);
        let all: Vec<Known> = (1..=1000).map(|n| known(n * 10)).collect();
        let run = Run { number: 3, generation: 5, level: 1, entries: 1000 };
        let mut writes = Vec::new();
        shelf.add_head(run, &mut writes);
        shelf.add_blocks(3, &all, &mut writes);
        other.add_blocks(3, &[known(5)], &mut writes);
        shelf.add_blocks(4, &[known(5)], &mut writes);
        store.write_all(&writes).unwrap();

        assert_eq!(shelf.runs().unwrap(), [run]);
        assert_eq!(other.runs().unwrap(), []);
        let mut counted = 0;
        shelf.each_block(|number, keys| counted += keys.count() + number as usize * 1_000_000).unwrap();
        assert_eq!(counted, 1001 + 3 * 7_000_000 + 4_000_000);
        assert!(all.iter().all(|entry| shelf.find(3, entry.key()).unwrap() == Some(*entry)));
        for key in [0, 5, 11, 9_999, 10_001, u128::MAX] {
            assert_eq!(shelf.find(3, key).unwrap(), None);
        }

        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let (part, last) = shelf.read(3, after, 300).unwrap();
            read.extend(part);
            after = read.last().map(|entry: &Known| entry.key());
            if last {
                break;
            }
        }
        assert_eq!(read, all);

        let mut writes = Vec::new();
        assert_eq!(shelf.erase(3, 3, &mut writes).unwrap(), 3);
        shelf.remove_head(3, &mut writes);
        store.write_all(&writes).unwrap();
        assert_eq!(shelf.erase(3, 9, &mut Vec::new()).unwrap(), 4);
        assert_eq!(shelf.runs().unwrap(), []);
        assert_eq!(other.find(3, 5).unwrap(), Some(known(5)));
    }
}
