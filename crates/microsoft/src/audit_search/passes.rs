//! When a window is complete: passes over it, until enough in a row saw the same records.
//!
//! A search that answers is no proof: the same query, read twice, has been seen to give different sets. Nobody can
//! tell from one answer, so a window is asked again until passes agree, and whatever any pass saw is sent once.

use super::keys::{Keys, Known};
use super::record::Found;

/// The passes over one window.
#[derive(Debug)]
pub(crate) struct Passes {
    wanted: u32,
    limit: u32,
    made: u32,
    agreed: u32,
    /// What any pass gave.
    keys: Keys,
    now: Summary,
    last: Option<Summary>,
}

/// A set of records, told by its size and the sum of its keys: any order gives the same.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Summary {
    records: u64,
    sum: u128,
}

/// What to do when a pass has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Enough passes agreed.
    Complete,
    /// Ask again.
    Again,
    /// Too many passes were made without agreement; what they gave, in words.
    Disagree(String),
}

impl Passes {
    /// `wanted` passes in a row have to agree; after `limit` passes it is given up.
    pub(crate) fn new(wanted: u32, limit: u32) -> Passes {
        Passes { wanted, limit, made: 0, agreed: 0, keys: Keys::default(), now: Summary::default(), last: None }
    }

    /// Notes a record of the pass under way. True if no pass gave it before: it is to be sent.
    pub(crate) fn note(&mut self, found: &Found) -> bool {
        let known = self.keys.note(found.key);
        if known != Known::Now {
            self.now.records += 1;
            self.now.sum = self.now.sum.wrapping_add(found.key);
        }
        known == Known::New
    }

    /// The pass under way went wrong in a way that makes what it saw meaningless for comparison.
    pub(crate) fn discard(&mut self, reason: &str) -> Next {
        self.keys.end_pass();
        self.now = Summary::default();
        self.agreed = 0;
        self.last = None;
        self.made += 1;
        if self.made >= self.limit {
            return Next::Disagree(format!("none of {} passes was whole; the last one: {reason}", self.made));
        }
        Next::Again
    }

    /// The pass under way has ended well.
    pub(crate) fn end(&mut self) -> Next {
        self.keys.end_pass();
        let now = std::mem::take(&mut self.now);
        self.made += 1;
        let before = self.last.replace(now);
        self.agreed = if before == Some(now) { self.agreed + 1 } else { 1 };
        if self.agreed >= self.wanted {
            return Next::Complete;
        }
        if self.made >= self.limit {
            let before = before.map_or(0, |before| before.records);
            return Next::Disagree(format!(
                "{} passes did not agree: the last two gave {before} and {} records, all together {}",
                self.made,
                now.records,
                self.keys.len()
            ));
        }
        Next::Again
    }

    /// How many different records all passes gave.
    pub(crate) fn records(&self) -> u64 {
        self.keys.len() as u64
    }

    /// How many passes were made.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(passes: &mut Passes, keys: &[u128]) -> (usize, Next) {
        let fresh = keys.iter().filter(|key| passes.note(&Found { text: Vec::new(), key: **key << 1 })).count();
        (fresh, passes.end())
    }

    #[test]
    fn two_passes_have_to_agree() {
        let mut passes = Passes::new(2, 5);
        assert_eq!(pass(&mut passes, &[1, 2, 3, 3]), (3, Next::Again));
        assert_eq!(pass(&mut passes, &[1, 2]), (0, Next::Again));
        assert_eq!(pass(&mut passes, &[4, 2, 1, 3]), (1, Next::Again));
        assert_eq!(pass(&mut passes, &[1, 2, 3, 4]), (0, Next::Complete));
        assert_eq!((passes.records(), passes.made()), (4, 4));
    }

    #[test]
    fn an_empty_window_is_asked_twice() {
        let mut passes = Passes::new(2, 3);
        assert_eq!(pass(&mut passes, &[]), (0, Next::Again));
        assert_eq!(pass(&mut passes, &[]), (0, Next::Complete));
        assert_eq!(pass(&mut Passes::new(1, 3), &[7]), (1, Next::Complete));
    }

    #[test]
    fn it_is_given_up_after_the_limit() {
        let mut passes = Passes::new(2, 3);
        assert_eq!(pass(&mut passes, &[1]).1, Next::Again);
        assert_eq!(passes.discard("time-out"), Next::Again);
        let (_, Next::Disagree(reason)) = pass(&mut passes, &[1, 2]) else { panic!() };
        assert!(reason.contains("3 passes did not agree"), "{reason}");
        let Next::Disagree(reason) = Passes::new(2, 1).discard("-1") else { panic!() };
        assert!(reason.contains("the last one: -1"), "{reason}");
    }
}
