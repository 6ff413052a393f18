//! A tenant that lives: people with habits, their devices, mailboxes, sites and applications, and what is done to them.
//!
//! Pure: no I/O, no clock, no chance other than the seed. The server asks for what happened until a time, and decides
//! itself when it is published where.

mod config;
mod directory;
mod feed;
mod truth;

use jiff::Timestamp;

pub use config::{AttackConfig, AttackKind, WorldConfig, all_attacks};
pub use directory::Directory;
pub use feed::{Feed, Happening};
pub use truth::Truth;

/// One tenant.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    directory: Directory,
    truth: Vec<Truth>,
    now: Timestamp,
}

impl World {
    /// The tenant at its start.
    pub fn new(config: WorldConfig) -> World {
        let now = config.start;
        World { config, directory: Directory::default(), truth: Vec::new(), now }
    }

    /// What happened from the last call (or the start) to `until`, that moment excluded, in order of time. Nothing if
    /// `until` is not later. The happenings do not depend on the steps in which they are asked for.
    pub fn advance(&mut self, until: Timestamp) -> Vec<Happening> {
        self.now = self.now.max(until);
        Vec::new()
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
