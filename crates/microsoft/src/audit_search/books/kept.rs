//! What the store keeps of a search: three values, and whatever can be told of them without running it.
//!
//! It stands alone because others look into it, while no search runs: `downspout gaps`, `downspout collect`, and a recovery
//! that clears up behind an earlier one.

use std::collections::VecDeque;

use downspout_core::Store;
use downspout_core::store::{StoreError, Write, key};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, Reason};
use crate::stored;
use crate::windows::{Cursors, Window};

/// What is to be searched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) cursors: Cursors,
    /// Where it ends: fixed when it begins, so that "now" does not move over restarts. A later time that is named moves it.
    pub(super) until: Option<Timestamp>,
    pub(super) open: VecDeque<Window>,
}

/// What a window's search came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    /// The window's beginning.
    pub start: Timestamp,
    /// The window's end.
    pub end: Timestamp,
    /// How many different records its readings gave.
    pub records: u64,
    /// How many records the service says there are, where it counts. Exchange counts the whole window; Graph counts what
    /// its pages hold. What they give twice they count twice.
    pub counted: Option<u64>,
    /// How many readings were made.
    pub passes: u32,
    /// What is wrong, if it is not complete.
    pub missing: Option<String>,
    /// The same as a kind of gap.
    pub reason: Option<Reason>,
}

/// Where the books of a shard stand in the store.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) work: Vec<u8>,
    pub(super) results: Vec<u8>,
    pub(super) refused: Vec<u8>,
    pub(super) asked: Vec<u8>,
}

impl Keys {
    pub(super) fn new(source: &str, shard: &str) -> Keys {
        let named = |name: &str| key(&[name.as_bytes(), source.as_bytes(), shard.as_bytes()]);
        Keys {
            work: named("search-work"),
            results: named("search-results"),
            refused: named("search-refused"),
            asked: named("search-asked"),
        }
    }
}

/// What the windows of a source's shard (`TENANT/FEED`) came to, the latest ones; none if that source is no search.
///
/// # Errors
/// If the store cannot be read.
pub fn results(store: &Store, source: &str, shard: &str) -> Result<Vec<Searched>, StoreError> {
    Ok(stored::read(store, &Keys::new(source, shard).results)?.unwrap_or_default())
}

/// The record types that a source's shard was to search for and Microsoft did not know, so that nothing was searched
/// for under their names.
///
/// # Errors
/// If the store cannot be read.
pub fn refused(store: &Store, source: &str, shard: &str) -> Result<Vec<String>, StoreError> {
    Ok(stored::read(store, &Keys::new(source, shard).refused)?.unwrap_or_default())
}

/// Forgets a feed's search, so that it begins anew; what it sent stays sent.
///
/// # Errors
/// If the store cannot be written.
pub(crate) fn forget(store: &Store, source: &str, tenant: &str, feed: &str) -> Result<(), StoreError> {
    let Keys { work, results, refused, asked } = Keys::new(source, &format!("{tenant}/{feed}"));
    let ledger = Ledger::load(store, source, tenant, feed)?;
    let kept = [work, results, refused, asked].map(Write::remove);
    store.write_all(&[&kept[..], &[ledger.remove()]].concat())
}

/// Beginning and end of each window of a source's shard that is still to be searched.
///
/// # Errors
/// If the store cannot be read.
pub fn to_do(store: &Store, source: &str, shard: &str) -> Result<Vec<(Timestamp, Timestamp)>, StoreError> {
    let work: Option<Work> = stored::read(store, &Keys::new(source, shard).work)?;
    let open = work.map(|work| work.open).unwrap_or_default();
    Ok(open.into_iter().map(|window| (window.start, window.end)).collect())
}
