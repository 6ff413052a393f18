//! A feed's ledger as those see it who do not write it: `downspout gaps`, the admin endpoint, `downspout collect`.
//!
//! It stands alone because it joins what the sources keep apart: what was listed, which is the ledger's, how far it has
//! arrived, which is the checkpoint's, and what a search has still to do.

use downspout_core::store::{Store, StoreError, key};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Gap, State, Window};
use crate::{audit_search, unit};

/// How far the units of a window have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// They are known.
    Listed,
    /// They are here: in the pipeline, in the journal, or as copies on the disk.
    Fetched,
    /// Every sink has them. So it is also where there are none.
    Acknowledged,
}

/// A feed's ledger as `downspout gaps` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedLedger {
    /// The source's id in the config.
    pub source: String,
    /// The tenant's id.
    pub tenant: String,
    /// The feed.
    pub feed: String,
    /// Windows and gaps.
    pub state: State,
    /// The last unit that was acknowledged.
    pub acknowledged: u64,
    /// Beginning and end of each window that a search has still to do.
    #[serde(default)]
    pub to_do: Vec<(Timestamp, Timestamp)>,
}

impl FeedLedger {
    /// Up to when everything that was listed has been fetched.
    pub fn fetched_until(&self) -> Option<Timestamp> {
        let fetched = self.state.windows.iter().take_while(|window| self.progress(window) != Progress::Listed);
        fetched.last().map(|window| window.end)
    }

    /// Up to when everything that was listed has been delivered.
    pub fn delivered_until(&self) -> Option<Timestamp> {
        let delivered = self.state.windows.iter().take_while(|window| self.progress(window) == Progress::Acknowledged);
        delivered.last().map(|window| window.end)
    }

    /// How far one of the windows has come.
    pub fn progress(&self, window: &Window) -> Progress {
        if window.last <= self.acknowledged {
            Progress::Acknowledged
        } else if self.state.fetched.is_none_or(|fetched| window.last <= fetched) {
            Progress::Fetched
        } else {
            Progress::Listed
        }
    }

    /// What is missing.
    pub fn open(&self) -> impl Iterator<Item = &Gap> {
        self.state.gaps.iter().filter(|gap| gap.is_open())
    }

    /// Whether nothing is known of the feed: a ledger may stand in the store before anything was listed.
    pub fn never_listed(&self) -> bool {
        self.state.windows.is_empty() && self.state.found.is_none() && self.state.gaps.is_empty()
    }

    /// Whether everything up to the end of what was listed is here, or on its way.
    pub fn complete(&self) -> bool {
        !self.never_listed() && self.to_do.is_empty() && self.open().next().is_none()
    }
}

/// Every ledger in a store, by source, tenant and feed.
///
/// # Errors
/// If the store cannot be read.
pub fn read_all(store: &Store) -> Result<Vec<FeedLedger>, StoreError> {
    let mut found = Vec::new();
    for (entry, value) in store.list(&key(&[b"ledger"]))? {
        let parts = parts(&entry);
        let [_, source, tenant, feed] = &parts[..] else { continue };
        let Ok(state) = serde_json::from_slice(&value) else { continue };
        let shard = format!("{tenant}/{feed}");
        let acknowledged = unit::acknowledged(store, source, &shard)?;
        let to_do = audit_search::to_do(store, source, &shard)?;
        let (source, tenant, feed) = (source.clone(), tenant.clone(), feed.clone());
        found.push(FeedLedger { source, tenant, feed, state, acknowledged, to_do });
    }
    found.sort_by(|a, b| (&a.source, &a.tenant, &a.feed).cmp(&(&b.source, &b.tenant, &b.feed)));
    Ok(found)
}

/// The parts of a key of the store.
fn parts(mut key: &[u8]) -> Vec<String> {
    let mut parts = Vec::new();
    while let Some((len, tail)) = key.split_first_chunk::<4>() {
        let len = (u32::from_be_bytes(*len) as usize).min(tail.len());
        parts.push(String::from_utf8_lossy(&tail[..len]).into_owned());
        key = &tail[len..];
    }
    parts
}
