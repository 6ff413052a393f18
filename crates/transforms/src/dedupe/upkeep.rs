//! Keeping the runs few: small ones are merged, expired ones dropped, what is left of them erased.
//!
//! All of that is done in small steps, each part of a transaction that is written anyway; a step that is not durable
//! has not happened and is planned again. So a merge takes many commits, and until its last one nobody sees its run.

use std::collections::VecDeque;

use downspout_core::store::{StoreError, Write};

use super::horizon::is_alive;
use super::recent::Wave;
use super::run::{Run, Shelf};

/// So many runs of one level and generation become one of the next level.
const FAN_IN: usize = 8;
/// How many entries a merge reads at once.
const STEP: usize = 32_768;
/// How many entries a plan merges: three for each new one, for a key is merged about that often, within these limits.
const MERGED: std::ops::RangeInclusive<usize> = 65_536..=262_144;
/// How many blocks a plan erases.
const ERASED: usize = 2_048;

/// What is done, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    next_run: u64,
    merge: Option<Merge>,
    /// Runs that do not exist any more, but whose blocks do.
    retired: VecDeque<u64>,
    /// What the commit that is under way will have done.
    pub(super) planned: Option<(Plan, Wave)>,
}

/// A merge under way.
#[derive(Debug, Clone)]
struct Merge {
    output: Run,
    inputs: Vec<Run>,
    /// Everything up to this key is in the output's blocks.
    after: Option<u128>,
}

/// What a transaction does to the runs.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Runs that begin to exist.
    pub(super) added: Vec<Run>,
    upkeep: Option<Upkeep>,
}

#[derive(Debug, Default)]
struct Upkeep {
    /// Runs that cease to exist.
    removed: Vec<u64>,
    /// A merge that is given up.
    abandoned: Option<u64>,
    merge: Option<Merge>,
    /// Whether the first of the retired runs is gone for good.
    erased: bool,
}

impl Ledger {
    /// Takes note of a run, or of the blocks of what never became one.
    pub(super) fn found(&mut self, number: u64, orphan: bool) {
        self.next_run = self.next_run.max(number + 1);
        if orphan {
            self.retired.push_back(number);
        }
    }

    /// A number that no run ever had.
    pub(super) fn number(&mut self) -> u64 {
        self.next_run += 1;
        self.next_run - 1
    }

    /// Plans a step of upkeep beside `new` new entries.
    pub(super) fn upkeep(
        &mut self,
        shelf: &Shelf,
        runs: &[Run],
        now: u32,
        new: usize,
        plan: &mut Plan,
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        let mut upkeep = Upkeep::default();
        let (alive, expired): (Vec<Run>, Vec<Run>) = runs.iter().partition(|run| is_alive(run.generation, now));
        upkeep.removed.extend(expired.iter().map(|run| run.number));

        let mut merge = self.merge.clone();
        if let Some(expired) = merge.take_if(|merge| !is_alive(merge.output.generation, now)) {
            upkeep.abandoned = Some(expired.output.number);
        }
        if merge.is_none() {
            merge = choose(&alive, now).map(|inputs| Merge::new(self.number(), inputs));
        }
        if let Some(mut merge) = merge {
            let mut left = (3 * new).clamp(*MERGED.start(), *MERGED.end());
            let done = loop {
                let (merged, done) = merge.step(shelf, writes)?;
                left = left.saturating_sub(merged);
                if done || left == 0 {
                    break done;
                }
            };
            if done {
                shelf.add_head(merge.output, writes);
                plan.added.push(merge.output);
                upkeep.removed.extend(merge.inputs.iter().map(|run| run.number));
            } else {
                upkeep.merge = Some(merge);
            }
        }

        upkeep.removed.iter().for_each(|&number| shelf.remove_head(number, writes));
        if let Some(&retired) = self.retired.front() {
            upkeep.erased = shelf.erase(retired, ERASED, writes)? < ERASED;
        }
        plan.upkeep = Some(upkeep);
        Ok(())
    }

    /// A plan is durable.
    pub(super) fn install(&mut self, plan: Plan, runs: &mut Vec<Run>) {
        runs.extend(plan.added);
        if let Some(upkeep) = plan.upkeep {
            runs.retain(|run| !upkeep.removed.contains(&run.number));
            if upkeep.erased {
                self.retired.pop_front();
            }
            // From now on nobody asks them, so their blocks may go.
            self.retired.extend(upkeep.removed.into_iter().chain(upkeep.abandoned));
            self.merge = upkeep.merge;
        }
    }
}

/// The runs to merge next: the oldest of a level that has enough of them, or those of a generation that is over.
fn choose(runs: &[Run], now: u32) -> Option<Vec<Run>> {
    for run in runs {
        let same = |other: &&Run| other.generation == run.generation && other.level == run.level;
        let alike: Vec<Run> = runs.iter().filter(same).take(FAN_IN).copied().collect();
        if alike.len() == FAN_IN {
            return Some(alike);
        }
    }
    for run in runs.iter().filter(|run| run.generation < now) {
        let mut all: Vec<Run> = runs.iter().filter(|other| other.generation == run.generation).copied().collect();
        if all.len() > 1 {
            all.sort_unstable_by_key(|run| run.entries);
            all.truncate(FAN_IN);
            return Some(all);
        }
    }
    None
}

impl Merge {
    fn new(number: u64, inputs: Vec<Run>) -> Merge {
        let level = inputs.iter().map(|run| run.level).max().unwrap_or(0).saturating_add(1);
        let generation = inputs.first().map_or(0, |run| run.generation);
        Merge { output: Run { number, generation, level, entries: 0 }, inputs, after: None }
    }

    /// Merges about `STEP` entries. Says how many it were and whether these were the last.
    ///
    /// From each input a piece is read, in proportion to its size. What lies below the end of all pieces is complete,
    /// and only needs sorting.
    fn step(&mut self, shelf: &Shelf, writes: &mut Vec<Write>) -> Result<(usize, bool), StoreError> {
        let total: u64 = self.inputs.iter().map(|run| run.entries.max(1)).sum();
        let mut merged = Vec::with_capacity(STEP + STEP / 4);
        let mut bound: Option<u128> = None;
        for run in &self.inputs {
            let share = STEP as u64 * run.entries / total.max(1) + 1;
            let (piece, last) = shelf.read(run.number, self.after, share as usize)?;
            if !last && let Some(end) = piece.last() {
                bound = Some(bound.map_or(end.key(), |bound| bound.min(end.key())));
            }
            merged.extend(piece);
        }
        if let Some(bound) = bound {
            merged.retain(|entry| entry.key() <= bound);
        }
        // The stable sort finds that the pieces are sorted, and merges them.
        merged.sort_by_key(|entry| entry.key());
        // A key is let through once in a generation, so this finds nothing; a lookup must never depend on that.
        merged.dedup_by_key(|entry| entry.key());
        shelf.add_blocks(self.output.number, &merged, writes);
        self.output.entries += merged.len() as u64;
        self.after = bound;
        Ok((merged.len(), bound.is_none()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u64, generation: u32, level: u8) -> Run {
        Run { number, generation, level, entries: 100 - number }
    }

    #[test]
    fn what_is_merged_next() {
        let numbers =
            |runs: &[Run], now| choose(runs, now).map(|runs| runs.iter().map(|run| run.number).collect::<Vec<_>>());
        let mut runs: Vec<Run> = (0..7).map(|number| run(number, 5, 0)).collect();
        assert_eq!(numbers(&runs, 5), None);
        runs.push(run(7, 5, 1));
        runs.push(run(8, 4, 0));
        assert_eq!(numbers(&runs, 5), None);
        runs.push(run(9, 5, 0));
        runs.push(run(10, 5, 0));
        assert_eq!(numbers(&runs, 5), Some(vec![0, 1, 2, 3, 4, 5, 6, 9]));
        runs.truncate(3);
        assert_eq!(numbers(&runs, 5), None);
        assert_eq!(numbers(&runs, 6), Some(vec![2, 1, 0]));
    }
}
