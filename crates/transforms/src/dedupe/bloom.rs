//! A Bloom filter over everything that is on disk and not in memory: it answers "surely not there" without a look at the
//! disk. While memory holds all keys there is no filter, for asking it takes longer than everything else about a key.
//!
//! Keys live for a horizon, and bits cannot be taken back. So there are two filters, for the horizon that runs and
//! for the one before; when a new one begins, the older is cleared. What it held has left the index by then. The two
//! lie side by side in one cache line, so that a question costs one trip to memory. Each key has eight bits in 32
//! bytes: about one false answer in a hundred at ten bits a key, one in a thousand at sixteen.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::recent::{Recent, TABLES};

/// Half a cache line for each of the two filters.
const WORDS: usize = 4;

#[derive(Debug, Default)]
struct Line([AtomicU64; 2 * WORDS]);

/// The size of a line.
pub(super) const LINE_BYTES: usize = size_of::<Line>();

#[derive(Debug)]
pub(super) struct Bloom {
    /// Made for the first key.
    lines: OnceLock<Vec<Line>>,
    /// How many lines the keys of a table have.
    part: usize,
}

impl Bloom {
    /// A filter of about that many bytes.
    pub(super) fn new(bytes: usize) -> Bloom {
        let part = (bytes / LINE_BYTES / TABLES).clamp(1, 1 << 31);
        Bloom { lines: OnceLock::new(), part }
    }

    /// The line of a hash, from its upper half, in the part of its table.
    #[inline]
    fn line<'l>(&self, lines: &'l [Line], hash: u64) -> &'l Line {
        let index = ((hash >> 32) * self.part as u64) >> 32;
        &lines[Recent::table_of(hash) * self.part + index as usize]
    }

    /// The bits of a hash, two in each word.
    #[inline]
    fn bits(hash: u64) -> [u64; WORDS] {
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [16, 28, 40, 52].map(|shift| 1 << ((mixed >> shift) & 63) | 1 << ((mixed >> (shift + 6)) & 63))
    }

    /// Notes a key, by its hash, in the filter of an epoch. One thread at a time for each of [`super::recent`]'s tables,
    /// whose keys share no lines: two could undo each other's bits, and operations that cannot are several times as slow.
    #[inline]
    pub(super) fn insert(&self, hash: u64, epoch: u32) {
        let lines = self.lines.get_or_init(|| std::iter::repeat_with(Line::default).take(self.part * TABLES).collect());
        let half = half(epoch);
        for (word, bits) in self.line(lines, hash).0[half..half + WORDS].iter().zip(Bloom::bits(hash)) {
            word.store(word.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
        }
    }

    /// Whether a key may have been noted in either epoch.
    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let Some(lines) = self.lines.get() else { return false };
        let line = self.line(lines, hash);
        let bits = Bloom::bits(hash);
        let missing = |half: usize| {
            let words = line.0[half..half + WORDS].iter().zip(bits);
            words.fold(0, |missing, (word, bits)| missing | (bits & !word.load(Ordering::Relaxed)))
        };
        missing(0) == 0 || missing(WORDS) == 0
    }

    /// Clears the filter that an epoch will use.
    pub(super) fn clear(&self, epoch: u32) {
        let half = half(epoch);
        for line in self.lines.get().into_iter().flatten() {
            line.0[half..half + WORDS].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }
}

fn half(epoch: u32) -> usize {
    if epoch.is_multiple_of(2) { 0 } else { WORDS }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn it_never_forgets_and_seldom_errs() {
        let hasher = hashbrown::DefaultHashBuilder::default();
        let hash = |key: u128| hasher.hash_one(key);
        // Ten bits a key in each half.
        let bloom = Bloom::new(2 * 100_000 * 10 / 8);
        (0..100_000).for_each(|key| bloom.insert(hash(key), 4));
        (100_000..200_000).for_each(|key| bloom.insert(hash(key), 5));
        assert!((0..200_000).all(|key| bloom.may_contain(hash(key))));
        let errors = (200_000..300_000).filter(|&key| bloom.may_contain(hash(key))).count();
        assert!(errors < 5_000, "{errors} of 100000");
        bloom.clear(6);
        let left = (0..100_000).filter(|&key| bloom.may_contain(hash(key))).count();
        assert!(left < 2_500, "{left} of 100000");
        assert!((100_000..200_000).all(|key| bloom.may_contain(hash(key))));
    }
}
