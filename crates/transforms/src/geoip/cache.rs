//! A bounded memory of what was looked up: the same addresses come again and again.
//!
//! Two generations: what is asked for moves into the young one; when that is full it becomes the old one, and what
//! nobody asked for since is forgotten. That is nearly "least recently used", without lists.

use std::net::IpAddr;

use hashbrown::HashMap;

#[derive(Debug)]
pub(super) struct Cache<T> {
    young: HashMap<IpAddr, T>,
    old: HashMap<IpAddr, T>,
    limit: usize,
}

impl<T> Cache<T> {
    /// A memory for at most twice `limit` addresses.
    pub(super) fn new(limit: usize) -> Cache<T> {
        Cache { young: HashMap::new(), old: HashMap::new(), limit }
    }

    /// What was found for an address, or what `find` finds now.
    #[inline]
    pub(super) fn get(&mut self, address: IpAddr, find: impl FnOnce() -> T) -> &T {
        if self.young.len() >= self.limit && !self.young.contains_key(&address) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(address).or_insert_with(|| old.remove(&address).unwrap_or_else(find))
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
            let found = *cache.get(IpAddr::from([192, 0, 2, last]), || {
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
            cache.get(IpAddr::from(n.to_be_bytes()), || ());
            assert!(cache.young.len() <= 10 && cache.old.len() <= 10);
        }
    }
}
