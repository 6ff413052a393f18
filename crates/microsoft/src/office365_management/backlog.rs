//! What of a feed is known and not delivered: numbered blobs in the store, the ids that were seen, and the ledger.
//!
//! A blob gets its number in the transaction that notes that it was seen, before anything of it is fetched. So a crash
//! at any instruction neither forgets a blob nor numbers it twice, and a restart finds the same numbers. The backlog of
//! a long outage can be long: it is read from the store in pieces, never as a whole.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use downspout_core::Store;
use downspout_core::store::{StoreError, Write, key, last_part};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::listing::Content;
use crate::ledger::{Gap, Ledger};
use crate::{stored, unit};

/// How many entries are read from the store at once.
const PIECE: usize = 256;

/// A numbered blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(skip)]
    pub(super) sequence: u64,
    pub(super) id: String,
    pub(super) uri: String,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    /// A copy is on our disk.
    #[serde(default)]
    pub(super) spooled: bool,
}

/// The backlog of one feed.
#[derive(Debug)]
pub(super) struct Backlog {
    store: Arc<Store>,
    source: String,
    tenant: String,
    feed: String,
    shard: String,
    state: Mutex<State>,
    /// Something was added, or the listing has ended.
    pub(super) news: Notify,
}

#[derive(Debug)]
struct State {
    next: u64,
    ledger: Ledger,
}

impl Backlog {
    pub(super) fn open(store: Arc<Store>, source: &str, tenant: &str, feed: &str) -> Result<Backlog, StoreError> {
        let shard = format!("{tenant}/{feed}");
        let next = unit::number(store.get(&key(&[b"office365-next", source.as_bytes(), shard.as_bytes()]))?);
        let acknowledged = unit::acknowledged(&store, source, &shard)?;
        let next = next.max(1).max(acknowledged + 1);
        let mut ledger = Ledger::begin(&store, source, tenant, feed)?;
        // What was in the last run's pipeline is fetched again.
        ledger.fetched(acknowledged);
        Ok(Backlog {
            store,
            source: source.to_owned(),
            tenant: tenant.to_owned(),
            feed: feed.to_owned(),
            shard,
            state: Mutex::new(State { next, ledger }),
            news: Notify::new(),
        })
    }

    pub(super) fn shard(&self) -> &str {
        &self.shard
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn feed(&self) -> &str {
        &self.feed
    }

    /// The number that the next blob gets.
    pub(super) fn next_sequence(&self) -> u64 {
        self.lock().next
    }

    pub(super) fn acknowledged(&self) -> Result<u64, StoreError> {
        unit::acknowledged(&self.store, &self.source, &self.shard)
    }

    /// Whether it has to be listed from its beginning on: that was not done yet with anything to be found.
    pub(super) fn is_new(&self) -> Result<bool, StoreError> {
        Ok(self.store.get(&self.looked_key())?.is_none())
    }

    /// It was listed from its beginning. If there was anything, the beginning is known from now on.
    pub(super) fn looked(&self) -> Result<(), StoreError> {
        let found = self.next_sequence() > 1;
        if found { self.store.write_all(&[Write::set(self.looked_key(), [])]) } else { Ok(()) }
    }

    /// From when on everything was listed.
    pub(super) fn first_listed(&self) -> Option<Timestamp> {
        self.lock().ledger.state().listed_from()
    }

    /// What the operator should know if the config now begins at `start`.
    pub(super) fn began_later(&self, start: Timestamp) -> Option<String> {
        self.lock().ledger.state().began_later(start)
    }

    pub(super) fn listed_until(&self) -> Option<Timestamp> {
        self.lock().ledger.state().listed_until()
    }

    pub(super) fn open_gaps(&self) -> usize {
        self.lock().ledger.open().count()
    }

    /// Numbers what of a page is new. Gives how many that were.
    pub(super) fn add(&self, page: Vec<Content>) -> Result<usize, StoreError> {
        let mut state = self.lock();
        let mut writes = Vec::new();
        let mut here = HashSet::new();
        let first = state.next;
        let mut next = first;
        let mut ledger = state.ledger.clone();
        for content in page {
            let seen = self.seen_key(content.created, &content.id);
            if !here.insert(seen.clone()) || self.store.get(&seen)?.is_some() {
                continue;
            }
            let Content { id, uri, created, expires } = content;
            let entry = Entry { sequence: next, id, uri, created, expires, spooled: false };
            writes.push(Write::set(seen, next.to_be_bytes()));
            writes.push(self.entry_write(&entry));
            ledger.unit(created, next);
            next += 1;
        }
        if next == first {
            return Ok(0);
        }
        let number = key(&[b"office365-next", self.source.as_bytes(), self.shard.as_bytes()]);
        writes.push(Write::set(number, next.to_be_bytes()));
        writes.push(ledger.write());
        self.store.write_all(&writes)?;
        state.next = next;
        state.ledger = ledger;
        drop(state);
        self.news.notify_one();
        Ok(usize::try_from(next - first).unwrap_or(usize::MAX))
    }

    /// A window was listed to its end.
    pub(super) fn listed(&self, start: Timestamp, end: Timestamp) -> Result<(), StoreError> {
        self.change(|ledger| ledger.listed(start, end))
    }

    /// Every blob up to that number is in the pipeline or on the disk.
    pub(super) fn fetched(&self, sequence: u64) {
        let mut state = self.lock();
        let known = state.ledger.state().fetched.unwrap_or(0);
        state.ledger.fetched(known.max(sequence));
    }

    /// The last blob up to which every one was fetched.
    pub(super) fn last_fetched(&self) -> u64 {
        self.lock().ledger.state().fetched.unwrap_or(0)
    }

    /// Something can never be had.
    pub(super) fn gap(&self, gap: Gap) -> Result<(), StoreError> {
        self.change(|ledger| ledger.gap(gap))
    }

    /// From when to when something is missing, for each open gap.
    pub(super) fn missing(&self) -> Vec<(Timestamp, Timestamp)> {
        self.lock().ledger.open().map(|gap| (gap.start, gap.end)).collect()
    }

    /// A stretch of time was had from elsewhere.
    pub(super) fn fill(&self, start: Timestamp, end: Timestamp, by: &str) -> Result<(), StoreError> {
        self.change(|ledger| ledger.fill(start, end, by))
    }

    fn change(&self, change: impl FnOnce(&mut Ledger)) -> Result<(), StoreError> {
        let mut state = self.lock();
        let mut ledger = state.ledger.clone();
        change(&mut ledger);
        self.store.write_all(&[ledger.write()])?;
        state.ledger = ledger;
        Ok(())
    }

    /// The next entries from a number on.
    pub(super) fn from(&self, sequence: u64) -> Result<VecDeque<Entry>, StoreError> {
        let mut found = VecDeque::new();
        self.scan(sequence, |entry| {
            found.push_back(entry);
            if found.len() < PIECE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    }

    /// Shows the entries from a number on.
    pub(super) fn scan(
        &self,
        sequence: u64,
        mut visit: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let prefix = key(&[b"office365-blob", self.source.as_bytes(), self.shard.as_bytes()]);
        self.store.scan(&prefix, &self.entry_key(sequence), |key, value| {
            let sequence = unit::number(Some(last_part(key).to_vec()));
            match serde_json::from_slice::<Entry>(value) {
                Ok(entry) => visit(Entry { sequence, ..entry }),
                // Written by this program into a store that checks itself: a version to come.
                Err(_) => ControlFlow::Continue(()),
            }
        })
    }

    /// A copy of a blob is on our disk.
    pub(super) fn spooled(&self, entry: &Entry) -> Result<(), StoreError> {
        self.store.write_all(&[self.entry_write(&Entry { spooled: true, ..entry.clone() })])
    }

    /// Forgets what is acknowledged, and ids that no listing shows any more: those of content older than `oldest`. Gives
    /// the numbers of entries that had a copy on the disk.
    pub(super) fn settle(&self, oldest: Timestamp) -> Result<Vec<u64>, StoreError> {
        let reached = self.acknowledged()?;
        let mut writes = Vec::new();
        let mut copies = Vec::new();
        self.scan(0, |entry| {
            if entry.sequence > reached || writes.len() >= 20_000 {
                return ControlFlow::Break(());
            }
            writes.push(Write::remove(self.entry_key(entry.sequence)));
            copies.extend(entry.spooled.then_some(entry.sequence));
            ControlFlow::Continue(())
        })?;
        let prefix = key(&[b"office365-seen", self.source.as_bytes(), self.shard.as_bytes()]);
        let end = [&*prefix, &time_bytes(oldest)].concat();
        self.store.scan(&prefix, &[], |key, _| {
            if key >= &*end || writes.len() >= 40_000 {
                return ControlFlow::Break(());
            }
            writes.push(Write::remove(key.to_vec()));
            ControlFlow::Continue(())
        })?;
        let mut state = self.lock();
        let mut ledger = state.ledger.clone();
        if ledger.settle(reached) {
            writes.push(ledger.write());
        }
        if !writes.is_empty() {
            self.store.write_all(&writes)?;
        }
        state.ledger = ledger;
        Ok(copies)
    }

    fn looked_key(&self) -> Vec<u8> {
        key(&[b"office365-looked", self.source.as_bytes(), self.shard.as_bytes()])
    }

    fn entry_key(&self, sequence: u64) -> Vec<u8> {
        key(&[b"office365-blob", self.source.as_bytes(), self.shard.as_bytes(), &sequence.to_be_bytes()])
    }

    fn entry_write(&self, entry: &Entry) -> Write {
        stored::write(self.entry_key(entry.sequence), entry)
    }

    /// Ordered by time, so that old ones are found without looking at the others.
    fn seen_key(&self, created: Timestamp, id: &str) -> Vec<u8> {
        let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
        let mut seen = key(&[b"office365-seen", self.source.as_bytes(), self.shard.as_bytes()]);
        seen.extend_from_slice(&time_bytes(created));
        seen.extend_from_slice(&digest.as_ref()[..16]);
        seen
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that sort as times do.
fn time_bytes(time: Timestamp) -> [u8; 8] {
    (time.as_second().wrapping_sub(i64::MIN) as u64).to_be_bytes()
}
