//! The keys of a window's records in little memory: 16 bytes each.
//!
//! They stand sorted in one list. New ones wait in a small set until it is worth sorting them in.

use std::collections::HashSet;

use super::record::RecordKey;

/// How many keys wait.
const WAITING: usize = 1 << 15;

/// The lowest bit of a key is no part of it here: it says that the pass under way gave the record.
const SEEN: RecordKey = 1;

/// What is known of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// An earlier pass gave it, and this one had not yet.
    Before,
    /// This pass gave it already.
    Now,
}

/// The keys of all passes.
#[derive(Debug, Default)]
pub(super) struct Keys {
    sorted: Vec<RecordKey>,
    /// Of the pass under way.
    waiting: HashSet<RecordKey>,
}

impl Keys {
    /// Notes a record of the pass under way, and says what was known of it.
    pub(super) fn note(&mut self, key: RecordKey) -> Known {
        let key = key & !SEEN;
        if let Ok(at) = self.sorted.binary_search_by_key(&key, |known| known & !SEEN) {
            let known = if self.sorted[at] & SEEN == SEEN { Known::Now } else { Known::Before };
            self.sorted[at] |= SEEN;
            return known;
        }
        if !self.waiting.insert(key) {
            return Known::Now;
        }
        if self.waiting.len() >= WAITING {
            self.sort_in();
        }
        Known::New
    }

    /// A pass has ended, and another may begin.
    pub(super) fn end_pass(&mut self) {
        self.sort_in();
        self.sorted.iter_mut().for_each(|key| *key &= !SEEN);
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.sorted.len() + self.waiting.len()
    }

    fn sort_in(&mut self) {
        // No more room than is needed: the list is long.
        self.sorted.reserve_exact(self.waiting.len());
        self.sorted.extend(self.waiting.drain().map(|key| key | SEEN));
        // What was sorted is found so, and merged.
        self.sorted.sort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_known_however_many_there_are() {
        let mut keys = Keys::default();
        // Spread over all 128 bits, in no order.
        let key = |number: u128| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) << 1;
        let many = WAITING as u128 * 5 / 2;
        assert!((0..many).all(|number| keys.note(key(number)) == Known::New));
        assert!((0..many).all(|number| keys.note(key(number)) == Known::Now));
        assert_eq!(keys.len() as u128, many);
        for _ in 0..2 {
            keys.end_pass();
            assert!((0..many).rev().all(|number| keys.note(key(number)) == Known::Before));
            assert!((0..many).all(|number| keys.note(key(number)) == Known::Now));
        }
        assert_eq!((keys.note(key(many)), keys.len() as u128), (Known::New, many + 1));
        keys.end_pass();
        assert_eq!(keys.sorted.capacity() as u128, many + 1);
    }
}
