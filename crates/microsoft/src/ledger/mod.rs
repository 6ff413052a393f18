//! The ledger: per source, tenant and feed, which windows of time were listed, how far their units have arrived, and
//! what is missing and why.
//!
//! A window knows how many units were found in it and the highest number among them. Since a shard's units are fetched
//! and acknowledged in order, that one number says it all: the window is acknowledged when the shard's checkpoint has
//! reached it, and fetched when the last unit that we have has ([`Progress`]). Neighbouring acknowledged windows are
//! merged, so the ledger of a quiet year is one window. What can never be had is a [`Gap`], expired or for another
//! [`Reason`]; a gap that was filled from elsewhere is closed, and says by what.
//!
//! The ledger of a feed is one value in the store ([`Ledger::write`]), written in the same transaction as what it tells
//! about. `downspout gaps` reads all of them ([`read_all`]).

mod feed;
mod gap;
#[cfg(test)]
mod tests;
mod window;

use downspout_core::store::{Store, StoreError, Write, key};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::feed::{FeedLedger, Progress, read_all};
pub use self::gap::{Gap, Reason};
pub use self::window::Window;
use crate::stored;

/// The ledger of one feed of one tenant.
#[derive(Debug, Clone)]
pub struct Ledger {
    key: Vec<u8>,
    state: State,
}

/// What is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Listed windows, by time; they do not overlap.
    pub windows: Vec<Window>,
    /// Units of a window that is not listed to its end yet, between the times of the first and the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Window>,
    /// What is, or was, missing, by time.
    pub gaps: Vec<Gap>,
    /// The last unit up to which all were fetched. `None` where units are numbered only when they are in the journal, and
    /// so are fetched from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<u64>,
}

impl State {
    /// How many units were found.
    pub fn units(&self) -> u64 {
        self.windows.iter().chain(&self.found).map(|window| window.units).sum()
    }

    /// The earliest of the windows that have units behind that number.
    pub fn waiting(&self, acknowledged: u64) -> Option<Timestamp> {
        let waiting = self.windows.iter().chain(&self.found).filter(|window| window.last > acknowledged);
        waiting.map(|window| window.start).min()
    }

    /// From when on it was listed. `None` before the first window.
    pub fn listed_from(&self) -> Option<Timestamp> {
        self.windows.first().map(|window| window.start)
    }

    /// What the operator should know if the config now begins at `start`: what lies before the first window is never listed
    /// any more.
    pub(crate) fn began_later(&self, start: Timestamp) -> Option<String> {
        let began = self.listed_from().filter(|began| start.as_second() < began.as_second())?;
        Some(format!(
            "`start` is {start} now, but this was read from {began} on, and what lies before is not read any more: give the \
             source a new id, or another data_dir, to have it read"
        ))
    }

    /// Up to when it was listed. `None` before the first window.
    pub fn listed_until(&self) -> Option<Timestamp> {
        self.windows.last().map(|window| window.end)
    }
}

impl Ledger {
    /// The ledger as the last run left it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn load(store: &Store, source: &str, tenant: &str, feed: &str) -> Result<Ledger, StoreError> {
        let key = key(&[b"ledger", source.as_bytes(), tenant.as_bytes(), feed.as_bytes()]);
        let state = stored::read(store, &key)?.unwrap_or_default();
        Ok(Ledger { key, state })
    }

    /// As [`Ledger::load`], and leaves one in the store where there is none: so it is known that this feed is to be read,
    /// even if the service refuses it from the first day.
    ///
    /// # Errors
    /// If the store fails.
    pub fn begin(store: &Store, source: &str, tenant: &str, feed: &str) -> Result<Ledger, StoreError> {
        let ledger = Ledger::load(store, source, tenant, feed)?;
        if store.get(&ledger.key)?.is_none() {
            store.write_all(&[ledger.write()])?;
        }
        Ok(ledger)
    }

    /// The write that makes it durable.
    pub fn write(&self) -> Write {
        stored::write(self.key.clone(), &self.state)
    }

    /// The write that removes it.
    pub fn remove(&self) -> Write {
        Write::remove(self.key.clone())
    }

    /// Windows and gaps.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// All units up to that number are fetched, and for all that is known none behind it: a restart has to fetch again
    /// what was in the pipeline alone. It becomes durable with the next write.
    pub fn fetched(&mut self, sequence: u64) {
        self.state.fetched = Some(sequence);
    }
}
