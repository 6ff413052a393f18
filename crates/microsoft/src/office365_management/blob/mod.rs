//! Fetching one blob: asked for, unpacked and framed as it comes, handed on in pieces.
//!
//! A blob is a JSON array of records. It is never held as a whole: pieces of a quarter of a megabyte wait in a short
//! queue, and blobs that are not the first in line also need room in a buffer that all share. So memory does not grow with
//! the size of blobs, and the first in line never waits for those behind it.
//!
//! A body that breaks off is asked for again, and what was handed on is not handed on twice: a blob never changes, so a
//! record is known by its index. A body that is whole and still no clean JSON is asked for again a few times; then what can
//! be read is handed on, the rest is rejected, and the gap is noted.

mod body;
mod reading;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use downspout_core::StageError;
use downspout_core::decode::{Records, Rejected};
use downspout_core::framing::End;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use self::body::Body;
use self::reading::{Portion, Reading};
use super::backlog::Entry;
use super::feed::Feed;
use super::patience::Patience;
use super::spool;
use crate::client::{Backoff, Trouble};
use crate::clock::between;
use crate::ledger::Reason;
use crate::unit;

/// How often a blob that is whole, but damaged, is fetched before its damage is believed.
const DAMAGED: u32 = 4;

/// A body that keeps breaking at the same place is believed to be broken after that many attempts and that time.
const CUT: (u32, Duration) = (10, Duration::from_secs(1800));

/// Pauses between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// A part of a blob.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) records: Records,
    pub(super) rejected: Vec<Rejected>,
    /// With the last one: how the blob ended.
    pub(super) end: Option<Ended>,
    /// Room in the buffer, given back when the piece is gone.
    _room: Option<OwnedSemaphorePermit>,
}

/// How a blob ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// All of it was handed on.
    Whole,
    /// What was readable was handed on; and what is wrong with it.
    Damaged(String),
    /// It can never be had.
    Missing(Reason, String),
    /// It cannot be had now, and a human must help.
    Failed(StageError),
}

/// Why an attempt came to nothing.
#[derive(Debug)]
enum Broken {
    /// There was no body.
    Trouble(Trouble),
    /// The body broke off.
    Cut(Trouble),
    /// The body is whole, and not what it should be.
    Damaged(String),
    /// Nobody takes it any more.
    Closed,
}

/// A blob on its way.
pub(super) struct Fetch {
    feed: Arc<Feed>,
    entry: Entry,
    pieces: mpsc::Sender<Piece>,
    /// Becomes true when the blob is the first in line.
    first: watch::Receiver<bool>,
    /// The index of the first record that was not handed on.
    given: u64,
    /// The place among those that are under way.
    place: Option<OwnedSemaphorePermit>,
}

impl Fetch {
    pub(super) fn new(
        feed: Arc<Feed>,
        entry: Entry,
        given: u64,
        pieces: mpsc::Sender<Piece>,
        first: watch::Receiver<bool>,
        place: OwnedSemaphorePermit,
    ) -> Fetch {
        Fetch { feed, entry, pieces, first, given, place: Some(place) }
    }

    /// Fetches until the blob has ended in one way or another.
    pub(super) async fn run(mut self) {
        let ended = self.fetch().await;
        self.feed.set_trouble(self.entry.sequence, None);
        if let Some(ended) = ended {
            // Nobody listens any more when the source has ended.
            let _ = self.hand_on(Portion::default(), Some(ended)).await;
        }
    }

    /// `None`: the last piece has told everything, or nobody takes it.
    async fn fetch(&mut self) -> Option<Ended> {
        let clock = self.feed.clock.clone();
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let (mut damaged, mut patience) = (0, Patience::default());
        let mut cuts: Option<(u32, jiff::Timestamp, u64)> = None;
        let mut accept = false;
        loop {
            let broken = match self.attempt(accept).await {
                Ok(()) => return None,
                Err(broken) => broken,
            };
            let metrics = &self.feed.shared.context.metrics;
            match broken {
                Broken::Closed => return None,
                Broken::Damaged(problem) => {
                    damaged += 1;
                    // If that was our own copy, the service's may be better.
                    self.entry.spooled = false;
                    metrics.error("damaged_content");
                    tracing::debug!(content = self.entry.id, attempt = damaged, "{problem}; fetching it again");
                    accept = damaged + 1 >= DAMAGED;
                }
                Broken::Cut(trouble) => {
                    metrics.error("broken_content");
                    if trouble.code == spool::UNREADABLE {
                        // The service may have it still.
                        self.entry.spooled = false;
                    }
                    let (count, since) = match cuts {
                        // It went further than the last time.
                        Some((_, _, given)) if given < self.given => (1, clock.now()),
                        Some((count, since, _)) => (count + 1, since),
                        None => (1, clock.now()),
                    };
                    cuts = Some((count, since, self.given));
                    tracing::debug!(content = self.entry.id, attempt = count, "{trouble}; fetching it again");
                    accept = count >= CUT.0 && between(since, clock.now()) >= CUT.1;
                }
                Broken::Trouble(trouble) => {
                    self.feed.set_trouble(self.entry.sequence, Some(format!("content {}: {trouble}", self.entry.id)));
                    let is_first = *self.first.borrow();
                    if let Some(ended) = patience.judge(&self.feed, &self.entry, trouble, is_first) {
                        return Some(ended);
                    }
                }
            }
            self.pause(backoff.next()).await;
        }
    }

    /// Waits before the next attempt. Others use the place meanwhile; who is the first in line needs none, so that those
    /// behind it, which have places and wait for their turn, do not keep it from going on.
    async fn pause(&mut self, pause: Duration) {
        self.place = None;
        self.feed.clock.sleep(pause).await;
        let places = Arc::clone(&self.feed.share.places);
        self.place = tokio::select! {
            biased;
            // An error means that nobody takes the pieces; sending one tells that.
            _ = self.first.wait_for(|first| *first) => None,
            place = places.acquire_owned() => place.ok(),
        };
    }

    /// Reads the blob once. `accept`: what is damaged now stays so.
    async fn attempt(&mut self, accept: bool) -> Result<(), Broken> {
        let mut body = Body::open(&self.feed, &self.entry).await.map_err(Broken::Trouble)?;
        let max_record_bytes = self.feed.shared.options.max_record_bytes;
        let mut reading = Reading::new(&self.entry, self.given, accept, max_record_bytes);
        loop {
            match body.chunk().await {
                Ok(Some(chunk)) => {
                    if !reading.push(&chunk)? {
                        break;
                    }
                    self.pass_on(&mut reading, End::More).await?;
                }
                Ok(None) => {
                    if reading.close()? {
                        self.pass_on(&mut reading, End::Final).await?;
                    }
                    break;
                }
                Err(trouble) if accept => {
                    self.pass_on(&mut reading, End::Pause).await?;
                    if let Some(portion) = reading.cut(&trouble)? {
                        self.hand_on(portion, None).await?;
                    }
                    break;
                }
                Err(trouble) => return Err(Broken::Cut(trouble)),
            }
        }
        self.feed.read.fetch_add(1, Ordering::Relaxed);
        let (portion, ended) = reading.end();
        self.hand_on(portion, Some(ended)).await
    }

    /// Hands on what a reading gives by now.
    async fn pass_on(&mut self, reading: &mut Reading, end: End) -> Result<(), Broken> {
        while let Some(portion) = reading.next(end)? {
            self.hand_on(portion, None).await?;
        }
        Ok(())
    }

    async fn hand_on(&mut self, (records, rejected): Portion, end: Option<Ended>) -> Result<(), Broken> {
        let bytes = records.text.len() + rejected.iter().map(|rejected| rejected.raw.len()).sum::<usize>();
        let last = records.spans.last().map(|span| span.position);
        let last = last.max(rejected.last().map(|rejected| rejected.position));
        let room = self.room(bytes).await;
        let piece = Piece { records, rejected, end, _room: room };
        self.pieces.send(piece).await.map_err(|_| Broken::Closed)?;
        if let Some(last) = last {
            self.given = unit::unit_and_index(last).1 + 1;
        }
        Ok(())
    }

    /// Waits for room in the buffer, or until the blob is the first in line, which needs none.
    async fn room(&mut self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let share = &self.feed.share;
        let wanted = u32::try_from(bytes.clamp(1, share.buffer_bytes)).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            // An error means that nobody takes the piece; sending it tells that.
            _ = self.first.wait_for(|first| *first) => None,
            room = Arc::clone(&share.buffer).acquire_many_owned(wanted) => room.ok(),
        }
    }
}
