//! When the next page may be asked for.
//!
//! Microsoft is the first buffer: while the sinks are behind, nothing is read that can be read later. But what Microsoft
//! deletes soon is read all the same, and waits in the journal, which is on the disk, as much of it as `spool_max` allows.

use std::time::Duration;

use downspout_core::config_values::{ByteSize, HumanDuration};
use jiff::Timestamp;

use super::books::Books;
use super::fetch::Fetch;
use super::keeper::LOOK;
use crate::clock::between;

/// How many pages of a feed may wait to be sent: one, so that there is something to send while the next is asked for.
const UNSENT: u64 = 1;

/// With more than that in a feed's journal, reading waits for acknowledgements. Packed, it is some gigabytes of records:
/// a sink that commits rarely must not have to wait for itself.
const MOST_WAITING: usize = 256 << 20;

/// The sinks are behind when they took nothing for that long.
const STUCK: Duration = Duration::from_secs(900);

/// What is done for records that would expire while the sinks are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spool {
    /// How long before the service deletes a record it is read in any case.
    pub(crate) before: Duration,
    /// With so many bytes in the journals of a source, nothing is.
    pub(crate) max: u64,
}

/// `spool_before`, if it is left out.
pub(crate) fn default_spool_before() -> HumanDuration {
    HumanDuration(Duration::from_secs(86_400))
}

/// `spool_max`, if it is left out.
pub(crate) fn default_spool_max() -> ByteSize {
    ByteSize(10 << 30)
}

/// The same is told again after that long.
const AGAIN: Duration = Duration::from_secs(3600);

/// The door in front of one feed's journal.
pub(super) struct Room<'a> {
    fetch: &'a Fetch,
    books: &'a Books,
    /// The last page that was seen to be sent.
    sent: u64,
    /// Since when the door has been closed, and nothing sent.
    closed: Option<Timestamp>,
    /// When the operator was told that the disk is used, and that it is full.
    told_kept: Option<Timestamp>,
    told_full: Option<Timestamp>,
}

impl<'a> Room<'a> {
    pub(super) fn new(fetch: &'a Fetch, books: &'a Books) -> Room<'a> {
        Room { fetch, books, sent: 0, closed: None, told_kept: None, told_full: None }
    }

    /// Waits until a page may be read whose records are as old as `start`.
    pub(super) async fn wait(&mut self, start: Timestamp) {
        let mut sent = self.books.sent();
        loop {
            let now = self.fetch.connection.client.service_now();
            let last = *sent.borrow_and_update();
            let open = self.books.unsent() <= UNSENT && self.books.waiting_bytes() <= MOST_WAITING;
            if open || last != self.sent {
                (self.sent, self.closed) = (last, None);
            }
            if open {
                return;
            }
            let stuck = between(*self.closed.get_or_insert(now), now) >= STUCK;
            let spool = self.fetch.shared.spool;
            if between(start, now).saturating_add(spool.before) >= self.fetch.feed.pace().keeps {
                if self.fetch.shared.journalled() < spool.max {
                    if stuck {
                        self.tell_kept(now);
                    }
                    return;
                }
                self.tell_full(now);
            }
            tokio::select! {
                // The other end lives as long as the books.
                _ = sent.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn tell_kept(&mut self, now: Timestamp) {
        if is_news(&mut self.told_kept, now) {
            tracing::warn!(
                component = %self.fetch.shared.context.id,
                "{}: the sinks are behind: records that Microsoft deletes soon are read, and kept on the disk until they \
                 are delivered",
                self.fetch
            );
        }
    }

    fn tell_full(&mut self, now: Timestamp) {
        if is_news(&mut self.told_full, now) {
            self.fetch.shared.context.metrics.error("spool_full");
            tracing::error!(
                component = %self.fetch.shared.context.id,
                "{}: the spool is full: records will expire unread; let the sink go on, or raise `spool_max`",
                self.fetch
            );
        }
    }
}

/// Whether something is to be told at `now` that was told last at `told`.
fn is_news(told: &mut Option<Timestamp>, now: Timestamp) -> bool {
    let is = told.is_none_or(|told| between(told, now) >= AGAIN);
    if is {
        *told = Some(now);
    }
    is
}
