//! A bounded memory of what was looked up: the same addresses and pages come again and again.
//!
//! Two generations: what is asked for moves into the young one; when that is full it becomes the old one, and what
//! nobody asked for since is forgotten. That is nearly "least recently used", without lists.

use std::convert::Infallible;
use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

#[derive(Debug)]
pub(super) struct Cache<K, T> {
    young: HashMap<K, T>,
    old: HashMap<K, T>,
    limit: usize,
}

impl<K: Copy + Eq + Hash, T> Cache<K, T> {
    /// A memory for at most twice `limit` keys.
    pub(super) fn new(limit: usize) -> Cache<K, T> {
        Cache { young: HashMap::new(), old: HashMap::new(), limit }
    }

    /// What was found for a key, or what `find` finds now.
    #[inline]
    pub(super) fn get(&mut self, key: K, find: impl FnOnce() -> T) -> &T {
        let Ok(found) = self.try_get(key, || Ok::<T, Infallible>(find()));
        found
    }

    /// The same for what may not be found.
    ///
    /// # Errors
    /// That of `find`. It is not remembered.
    #[inline]
    pub(super) fn try_get<E>(&mut self, key: K, find: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if self.young.len() >= self.limit && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        Ok(match self.young.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.old.remove(&key).map_or_else(find, Ok)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_and_forgets() {
        let mut cache = Cache::new(2);
        let mut get = |last: u8| {
            let mut looked_up = false;
            let found = *cache.get(last, || {
                looked_up = true;
                last
            });
            assert_eq!(found, last);
            looked_up
        };
        assert_eq!([1, 2, 1, 2].map(&mut get), [true, true, false, false]);
        // 1 and 2 grow old; 1 is asked for and stays.
        assert_eq!([3, 1, 4, 1, 2].map(&mut get), [true, false, true, false, true]);
    }

    #[test]
    fn it_is_bounded() {
        let mut cache = Cache::new(10);
        for n in 0..1000_u32 {
            cache.get(n, || ());
            assert!(cache.young.len() <= 10 && cache.old.len() <= 10);
        }
    }
}
