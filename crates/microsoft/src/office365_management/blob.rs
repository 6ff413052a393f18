//! Fetching one blob: asked for, unpacked and framed as it comes, handed on in pieces.
//!
//! A blob is a JSON array of records. It is never held as a whole: pieces of a quarter of a megabyte wait in a short
//! queue, and blobs that are not the first in line also need room in a buffer that all share. So memory does not grow with
//! the size of blobs, and the first in line never waits for those behind it.
//!
//! A body that breaks off is asked for again, and what was handed on is not handed on twice: a blob never changes, so a
//! record is known by its index. A body that is whole and still no clean JSON is asked for again a few times; then what can
//! be read is handed on, the rest is rejected, and the gap is noted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use downspout_core::StageError;
use downspout_core::decode::{Records, Rejected, Span};
use downspout_core::framing::{End as TextEnd, Format, Framed, Framer, Limits, Place, Resume};
use serde::de::IgnoredAny;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::backlog::Entry;
use super::feed::Feed;
use super::patience::{Patience, is_of_the_blob};
use super::spool;
use crate::client::{self, Api, Backoff, Refusal, Request, Trouble, Verdict, is_html};
use crate::clock::between;
use crate::ledger::Reason;
use crate::unit;

/// How often a blob that is whole, but damaged, is fetched before its damage is believed.
const DAMAGED: u32 = 4;

/// A body that keeps breaking at the same place is believed to be broken after that many attempts and that time.
const CUT: (u32, Duration) = (10, Duration::from_secs(1800));

/// How often the client repeats a request by itself: in an outage many blobs wait, and each has pauses of its own.
const ATTEMPTS: u32 = 3;

/// Pauses between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// How much of a body that is nothing readable is kept.
const KEPT_BYTES: usize = 64 << 10;

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

/// What an attempt has found so far.
struct Reading {
    framer: Framer,
    /// The index of the next record.
    index: u64,
    /// What is handed on next: the last piece must know that it is the last.
    held: Option<(Records, Vec<Rejected>)>,
    /// Whether the first byte that says something was looked at.
    begun: bool,
    /// Whether damage is accepted.
    accept: bool,
    damage: Option<String>,
}

enum Body {
    Service(client::Body),
    Disk(spool::Copy),
}

impl Body {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        match self {
            Body::Service(body) => body.chunk().await,
            Body::Disk(copy) => copy.chunk().await,
        }
    }
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
            let _ = self.hand_on(Records::default(), Vec::new(), Some(ended)).await;
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
        let mut body = self.open().await?;
        let options = &self.feed.shared.options;
        let limits = Limits {
            batch_records: unit::BATCH.1,
            batch_bytes: unit::BATCH.0,
            read_bytes: 64 << 10,
            ..Limits::new(options.max_record_bytes)
        };
        let json = Resume { offset: 0, covered: 0, format: Format::Json(Place::Top) };
        let name: Arc<str> = format!("content {}", self.entry.id).into();
        let framer = Framer::new(name, limits, json);
        let mut reading = Reading { framer, index: 0, held: None, begun: false, accept, damage: None };
        loop {
            match body.chunk().await {
                Ok(Some(chunk)) => {
                    if !reading.begun && !self.begin(&mut reading, &chunk)? {
                        return self.finish(reading).await;
                    }
                    reading.framer.push(&chunk);
                    self.frame(&mut reading, TextEnd::More).await?;
                }
                Ok(None) => break,
                Err(trouble) if accept => {
                    self.frame(&mut reading, TextEnd::Pause).await?;
                    let problem = format!("the body breaks off here, again and again ({trouble})");
                    let framed = reading.framer.fail(&problem);
                    reading.damage.get_or_insert(problem);
                    self.take(&mut reading, framed).await?;
                    return self.finish(reading).await;
                }
                Err(trouble) => return Err(Broken::Cut(trouble)),
            }
        }
        if !reading.begun {
            self.nothing(&mut reading, &Bytes::new(), "it is empty")?;
            return self.finish(reading).await;
        }
        self.frame(&mut reading, TextEnd::Final).await?;
        self.finish(reading).await
    }

    /// The copy on our disk, or the service's.
    async fn open(&self) -> Result<Body, Broken> {
        let feed = &self.feed;
        if self.entry.spooled
            && let Some(copy) = spool::open(feed, self.entry.sequence).await
        {
            return Ok(Body::Disk(copy));
        }
        let client = &feed.client;
        let url = match client.accept(Api::Management, &self.entry.uri) {
            Ok(url) => url,
            // The token goes nowhere else; but where a blob with that id is, we know ourselves.
            Err(_) => feed.content_url(&self.entry.id).map_err(Broken::Trouble)?,
        };
        match client.stream(Request::get(Api::Management, url).attempts(ATTEMPTS)).await {
            Ok(body) => Ok(Body::Service(body)),
            Err(trouble) if self.is_lost(&trouble) => {
                // The entry was read before a copy was made.
                match spool::open(feed, self.entry.sequence).await {
                    Some(copy) => Ok(Body::Disk(copy)),
                    None => Err(Broken::Trouble(trouble)),
                }
            }
            Err(trouble) => Err(Broken::Trouble(trouble)),
        }
    }

    /// Whether the service will not give it any more, by this trouble.
    fn is_lost(&self, trouble: &Trouble) -> bool {
        let expired = self.feed.client.service_now() >= self.entry.expires;
        expired || trouble.verdict == Verdict::Skip || is_of_the_blob(trouble)
    }

    /// Looks at how the body begins: with the bracket of an array. `false`: there is nothing in it to be read.
    fn begin(&self, reading: &mut Reading, chunk: &Bytes) -> Result<bool, Broken> {
        let text = chunk.strip_prefix(b"\xef\xbb\xbf").unwrap_or(chunk).trim_ascii_start();
        match text.first() {
            None => Ok(true),
            Some(b'[') => {
                reading.begun = true;
                Ok(true)
            }
            Some(_) if is_html(text) => Err(Broken::Trouble(Refusal::read(200, text).judge(Api::Management))),
            Some(_) => self.nothing(reading, chunk, "it is no JSON array").map(|()| false),
        }
    }

    /// The body is nothing that could be read.
    fn nothing(&self, reading: &mut Reading, chunk: &Bytes, problem: &str) -> Result<(), Broken> {
        reading.begun = true;
        if !reading.accept {
            return Err(Broken::Damaged(problem.to_owned()));
        }
        reading.damage = Some(problem.to_owned());
        let raw = chunk.slice(..chunk.len().min(KEPT_BYTES));
        let position = unit::position(self.entry.sequence, reading.index);
        let reason = format!("content {}: {problem}", self.entry.id);
        reading.index += 1;
        let rejected = vec![Rejected { position, reason, raw }];
        reading.held = (self.given == 0).then(|| (Records::default(), rejected));
        Ok(())
    }

    async fn frame(&mut self, reading: &mut Reading, end: TextEnd) -> Result<(), Broken> {
        loop {
            match reading.framer.next(end) {
                Ok(None) => return Ok(()),
                Ok(Some(framed)) => self.take(reading, framed).await?,
                Err(problem) if reading.accept => {
                    reading.damage.get_or_insert(problem);
                    return Ok(());
                }
                Err(problem) => return Err(Broken::Damaged(problem)),
            }
        }
    }

    /// Gives what was framed its positions, leaves out what was handed on before, and hands on what was held.
    async fn take(&mut self, reading: &mut Reading, framed: Framed) -> Result<(), Broken> {
        let Framed { records: Records { text, spans }, rejected, .. } = framed;
        let mut kept = Vec::with_capacity(spans.len());
        let mut refused = Vec::new();
        let mut rejected = rejected.into_iter().peekable();
        let mut spans = spans.into_iter().peekable();
        loop {
            let next_rejected = rejected.peek().map(|rejected| rejected.position);
            let is_rejected = match (next_rejected, spans.peek()) {
                (None, None) => break,
                (Some(position), Some(span)) => position < span.position,
                (Some(_), None) => true,
                (None, Some(_)) => false,
            };
            let position = unit::position(self.entry.sequence, reading.index);
            let is_new = reading.index >= self.given;
            reading.index += 1;
            let wrong = if is_rejected {
                rejected.next().map(|rejected| (rejected.reason, rejected.raw))
            } else if let Some(span) = spans.next() {
                let record = &text[span.start..span.start + span.len];
                match serde_json::from_slice::<IgnoredAny>(record) {
                    Ok(_) => {
                        kept.extend(is_new.then_some(Span { position, ..span }));
                        None
                    }
                    Err(error) => {
                        let raw = text.slice(span.start..span.start + span.len.min(KEPT_BYTES));
                        Some((format!("content {}: not JSON: {error}", self.entry.id), raw))
                    }
                }
            } else {
                None
            };
            if let Some((reason, raw)) = wrong {
                if !reading.accept {
                    return Err(Broken::Damaged(reason));
                }
                reading.damage.get_or_insert_with(|| reason.clone());
                refused.extend(is_new.then_some(Rejected { position, reason, raw }));
            }
        }
        if kept.is_empty() && refused.is_empty() {
            return Ok(());
        }
        if let Some((records, rejected)) = reading.held.replace((Records { text, spans: kept }, refused)) {
            self.hand_on(records, rejected, None).await?;
        }
        Ok(())
    }

    /// Hands on the last piece.
    async fn finish(&mut self, reading: Reading) -> Result<(), Broken> {
        self.feed.read.fetch_add(1, Ordering::Relaxed);
        let ended = reading.damage.map_or(Ended::Whole, Ended::Damaged);
        let (records, rejected) = reading.held.unwrap_or_default();
        self.hand_on(records, rejected, Some(ended)).await
    }

    async fn hand_on(&mut self, records: Records, rejected: Vec<Rejected>, end: Option<Ended>) -> Result<(), Broken> {
        let bytes = records.text.len() + rejected.iter().map(|rejected| rejected.raw.len()).sum::<usize>();
        let last = records.spans.last().map(|span| span.position);
        let last = last.max(rejected.last().map(|rejected| rejected.position));
        let room = self.room(bytes).await;
        let piece = Piece { records, rejected, end, _room: room };
        self.pieces.send(piece).await.map_err(|_| Broken::Closed)?;
        if let Some(last) = last {
            self.given = (last & ((1 << unit::INDEX_BITS) - 1)) + 1;
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
