//! A tenant that lives: people with habits, their devices, mailboxes, sites and applications, and what is done to them.
//!
//! Pure: no I/O, no clock, no chance other than the seed. The server asks for what happened until a time, and decides
//! itself when it is published where.
//!
//! Records are text from templates (`operations/*.ops`), never trees of JSON: that is what makes months of simulated
//! time run in seconds. Time is worked through in whole minutes, each from the same streams of chance; so what happens
//! does not depend on the steps in which it is asked for.

mod applications;
mod attacks;
mod calendar;
mod catalog;
mod config;
mod devices;
mod directory;
mod feed;
mod life;
mod names;
mod places;
mod record;
mod rng;
mod scene;
mod template;
mod tenant;
mod truth;
mod value;

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use attacks::{Change, Outcome};
use calendar::MINUTE;
use catalog::Catalog;
pub use config::{AttackConfig, AttackKind, WorldConfig, all_attacks};
pub use directory::Directory;
pub use feed::{Feed, Happening};
use life::Life;
use record::Pending;
use tenant::Tenant;
pub use truth::Truth;

/// One tenant.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    tenant: Tenant,
    catalog: &'static Catalog,
    life: Life,
    /// Everything before this has been worked through (milliseconds since 1970); more is not known yet.
    worked: i64,
    pending: Pending,
    /// Attacks that have begun, by their index: what they are, how many of their records wait, what was handed out.
    running: BTreeMap<u32, Running>,
    changes: Vec<Change>,
    directory: Directory,
    truth: Vec<Truth>,
    now: Timestamp,
}

/// An attack whose records are being handed out.
#[derive(Debug)]
struct Running {
    outcome: Outcome,
    waiting: usize,
    handed: Vec<(Timestamp, String)>,
}

/// A time in whole milliseconds, the earlier one if it has a fraction.
fn millis(time: Timestamp) -> i64 {
    time.as_nanosecond().div_euclid(1_000_000) as i64
}

impl World {
    /// The tenant at its start.
    #[allow(clippy::expect_used, reason = "the catalogue is part of the program, and a test reads all of it")]
    pub fn new(config: WorldConfig) -> World {
        let catalog = Catalog::get().expect("the catalogue of operations is readable");
        let tenant = Tenant::new(&config);
        let start = millis(config.start);
        World {
            life: Life::new(&tenant, catalog, config.events_per_day),
            directory: directory::directory_of(&tenant, start),
            now: config.start,
            catalog,
            worked: start,
            pending: Pending::default(),
            running: BTreeMap::new(),
            changes: Vec::new(),
            truth: Vec::new(),
            tenant,
            config,
        }
    }

    /// What happened from the last call (or the start) to `until`, that moment excluded, in order of time. Nothing if
    /// `until` is not later. The happenings do not depend on the steps in which they are asked for.
    ///
    /// All of them are in memory at once: ask for hours, not for months, where there are millions.
    pub fn advance(&mut self, until: Timestamp) -> Vec<Happening> {
        if until <= self.now {
            return Vec::new();
        }
        self.now = until;
        // Happenings stand at whole milliseconds: one that is earlier than `until` by a fraction is before it.
        let end = until.as_nanosecond().div_euclid(1_000_000) as i64
            + i64::from(until.as_nanosecond().rem_euclid(1_000_000) != 0);
        while self.worked < end {
            let next = self.worked - self.worked.rem_euclid(MINUTE) + MINUTE;
            self.life.pass(&self.tenant, self.catalog, self.worked, next, &mut self.pending);
            self.attack(self.worked, next);
            self.worked = next;
        }
        let happenings = self.pending.take_before(end);
        self.settle(&happenings, end);
        happenings
    }

    /// Begins the attacks of a stretch of time.
    fn attack(&mut self, from: i64, until: i64) {
        let start = millis(self.config.start);
        for (index, attack) in self.config.attacks.iter().enumerate() {
            // What should have begun before the world did begins with it.
            let at = millis(attack.at).max(start);
            if at < from || at >= until {
                continue;
            }
            let index = index as u32;
            let before = self.pending.entries.len();
            let mut outcome = attacks::act(attack, index, at, &self.tenant, self.catalog, &mut self.pending);
            self.changes.append(&mut outcome.changes);
            let waiting = self.pending.entries.len() - before;
            self.running.insert(index, Running { outcome, waiting, handed: Vec::new() });
        }
    }

    /// Notes what was handed out of attacks, and what they changed in the directory.
    fn settle(&mut self, happenings: &[Happening], end: i64) {
        for happening in happenings {
            let Some(running) = happening.attack.and_then(|index| self.running.get_mut(&index)) else { continue };
            running.handed.push((happening.time, happening.id.clone()));
            running.waiting -= 1;
        }
        let over: Vec<u32> =
            self.running.iter().filter(|(_, running)| running.waiting == 0).map(|(&index, _)| index).collect();
        for index in over {
            if let Some(running) = self.running.remove(&index) {
                self.truth.push(truth_of(index, &self.config.attacks[index as usize], running));
            }
        }
        self.changes.sort_by_key(|change| change.at);
        let due = self.changes.partition_point(|change| change.at < end);
        for change in self.changes.drain(..due) {
            (change.apply)(&mut self.directory);
        }
    }

    /// The attacks that are over: all of their records were handed out.
    pub fn truth(&self) -> &[Truth] {
        &self.truth
    }

    /// The directory as it stands now.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What it was made from.
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// Until when it has lived.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

fn truth_of(index: u32, attack: &AttackConfig, running: Running) -> Truth {
    let time = |handed: Option<&(Timestamp, String)>| handed.map_or(attack.at, |(time, _)| *time);
    let (start, end) = (time(running.handed.first()), time(running.handed.last()));
    // What stands in several feeds, as a sign-in does, has one id in all of them.
    let mut known = HashSet::new();
    let ids = running.handed.into_iter().map(|(_, id)| id);
    Truth {
        attack: index,
        kind: attack.kind.name().to_owned(),
        start,
        end,
        actors: running.outcome.actors,
        addresses: running.outcome.addresses,
        targets: running.outcome.targets,
        description: running.outcome.description,
        record_ids: ids.filter(|id| known.insert(id.clone())).collect(),
    }
}

#[cfg(test)]
mod tests;
