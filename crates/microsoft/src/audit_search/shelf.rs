//! The way of found records into the pipeline: what no reading gave before is journalled and sent.

use std::sync::Arc;
use std::time::Duration;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::Output;
use downspout_core::store::StoreError;
use downspout_core::{Context, StageError, Store};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::passes::{Next, Passes};
use super::record::Found;
use super::search::{Halt, Sieve};
use crate::client::PoliteClient;
use crate::clock::{between, plus};
use crate::journal::Journal;
use crate::unit;
use crate::windows::seen::{Hash, Seen, hash};
use crate::windows::{Spool, Window};

/// With more than that in the journal, no further page is taken: the sinks are slower than Microsoft.
const MOST_WAITING: usize = 64 << 20;

/// How often it is looked whether the sinks have caught up.
const CATCH_UP: Duration = Duration::from_millis(100);

/// How much may wait in the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// How long Microsoft keeps what is searched, at least.
    pub(crate) keeps: Duration,
    /// What may be deleted soon does not wait for the sinks.
    pub(crate) spool: Spool,
}

impl Room {
    /// The bytes that may wait when records of a window are added that begins at `start`.
    fn bytes(&self, start: Timestamp, now: Timestamp) -> usize {
        let urgent = between(now, plus(start, self.keeps)) <= self.spool.before;
        let most = usize::try_from(self.spool.max).unwrap_or(usize::MAX);
        if urgent { most.max(MOST_WAITING) } else { MOST_WAITING }
    }
}

/// The way of records into the pipeline, shared by the windows under way.
#[derive(Debug)]
pub(super) struct Shelf<'o> {
    /// Locked by windows under way, and by nobody who would keep these waiting.
    journal: Mutex<Journal>,
    /// What earlier rounds sent of stretches that are read again. A search that ends reads everything once.
    pub(super) seen: Option<Mutex<Seen>>,
    output: &'o Output,
    /// Which records are wanted; all without it.
    sieve: Option<&'o dyn Sieve>,
    client: PoliteClient,
    room: Room,
    pub(super) metrics: ComponentMetrics,
    pub(super) store: Arc<Store>,
    source: Arc<str>,
    shard: String,
}

impl<'o> Shelf<'o> {
    /// Opens a shard's journal, and sends what the last run left in it. `remembers`: whether what is sent is not to be
    /// sent again when it is found again. `None` if the pipeline takes no more.
    pub(super) async fn open(
        context: &Context,
        shard: String,
        (client, room): (PoliteClient, Room),
        remembers: bool,
        (output, sieve): (&'o Output, Option<&'o dyn Sieve>),
    ) -> Result<Option<Shelf<'o>>, StageError> {
        let store = &context.store;
        let mut journal = Journal::open(Arc::clone(store), &context.id, &shard)?;
        if journal.replay(output).await?.is_err() {
            return Ok(None);
        }
        let seen = if remembers { Some(Mutex::new(Seen::load(store, &context.id, &shard)?)) } else { None };
        Ok(Some(Shelf {
            journal: Mutex::new(journal),
            seen,
            output,
            sieve,
            client,
            room,
            metrics: context.metrics.clone(),
            store: Arc::clone(store),
            source: Arc::clone(&context.id),
            shard,
        }))
    }

    /// The shard.
    pub(super) fn shard(&self) -> &str {
        &self.shard
    }

    /// The number of the last unit of which everything has arrived.
    pub(super) fn acknowledged(&self) -> Result<u64, StoreError> {
        unit::acknowledged(&self.store, &self.source, &self.shard)
    }

    /// The pages of a window that is searched by these passes.
    pub(super) fn pages(&self, passes: Passes, window: Window) -> Pages<'_> {
        Pages { shelf: self, passes, units: Vec::new(), window }
    }

    /// Journals records of a window and sends them; gives the number of their unit.
    async fn send(&self, mut records: Vec<Vec<u8>>, window: &Window) -> Result<Option<u64>, Halt> {
        let mut journal = loop {
            let mut journal = self.journal.lock().await;
            journal.forget_acknowledged()?;
            if journal.waiting_bytes() < self.room.bytes(window.start, self.client.service_now()) {
                break journal;
            }
            // Another window may be in a hurry. Sinks work in the machine's time.
            drop(journal);
            tokio::time::sleep(CATCH_UP).await;
        };
        let mut also = Vec::new();
        if let Some(seen) = &self.seen {
            let mut seen = seen.lock().await;
            records.retain(|record| !seen.contains(&hash(record)));
            let hashes: Vec<Hash> = records.iter().map(|record| hash(record)).collect();
            if !hashes.is_empty() {
                also.push(seen.remember(&hashes, window.end));
            }
        }
        let Some(unit) = journal.append(&records, also)? else { return Ok(None) };
        let sequence = unit.sequence;
        journal.send(self.output, unit).await?;
        Ok(Some(sequence))
    }
}

/// Where one window's records go.
#[derive(Debug)]
pub(crate) struct Pages<'s> {
    shelf: &'s Shelf<'s>,
    passes: Passes,
    units: Vec<u64>,
    window: Window,
}

impl Pages<'_> {
    /// Takes the records of a page: those that are wanted, and that no pass gave before, are sent.
    pub(crate) async fn take(&mut self, found: Vec<Found>) -> Result<(), Halt> {
        let (passes, sieve) = (&mut self.passes, self.shelf.sieve);
        // Passes are held against each other by all that they give.
        let fresh = found.into_iter().filter(|found| passes.note(found)).map(|found| found.text);
        let fresh = fresh.filter(|text| sieve.is_none_or(|sieve| sieve.takes(text))).collect();
        self.units.extend(self.shelf.send(fresh, &self.window).await?);
        Ok(())
    }

    /// A pass has ended well.
    pub(super) fn end(&mut self) -> Next {
        self.passes.end()
    }

    /// A pass has ended in a way that makes what it saw meaningless for comparison.
    pub(super) fn discard(&mut self, reason: &str) -> Next {
        self.passes.discard(reason)
    }

    /// How many passes were made over the window.
    pub(crate) fn passes(&self) -> u32 {
        self.passes.made()
    }

    /// How many different records all passes gave.
    pub(super) fn records(&self) -> u64 {
        self.passes.records()
    }

    /// The numbers of the units in which they were sent.
    pub(super) fn into_units(self) -> Vec<u64> {
        self.units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_deleted_soon_does_not_wait_for_the_sinks() {
        let day = Duration::from_secs(86_400);
        let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let spool = Spool { before: day, max: 10 << 30 };
        let room = Room { keeps: day * 180, spool };
        let at = |days: u32| room.bytes(start, plus(start, day * days));
        assert_eq!([at(1), at(178), at(179), at(400)], [MOST_WAITING, MOST_WAITING, 10 << 30, 10 << 30]);
        // Less than what waits anyway cannot be had.
        assert_eq!(
            Room { spool: Spool { max: 1, ..spool }, ..room }.bytes(start, plus(start, day * 180)),
            MOST_WAITING
        );
    }
}
