//! Fetching in parallel, sending in order.
//!
//! Blobs are started in the order of their numbers, several at once, and sent in that order: the first in line streams
//! through, the others fill their small queues and wait. Where a restart within a run begins anew, what was sent stays
//! sent: positions only grow.

use std::collections::VecDeque;
use std::sync::Arc;

use downspout_core::StageError;
use downspout_core::stage::Closed;
use downspout_core::store::StoreError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::backlog::Entry;
use super::blob::{Ended, Fetch, Piece};
use super::feed::Feed;
use crate::ledger::{Gap, Reason};
use crate::unit;

/// Blobs of one feed that are under way at once.
const PER_FEED: usize = 16;

/// Pieces of a blob that wait.
const QUEUE: usize = 4;

/// Why fetching ended before everything was fetched.
#[derive(Debug)]
pub(super) enum Halt {
    /// The pipeline takes no more.
    Closed,
    /// It does not work.
    Failed(StageError),
}

impl From<StageError> for Halt {
    fn from(error: StageError) -> Halt {
        Halt::Failed(error)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        Halt::Failed(error.into())
    }
}

impl From<Closed> for Halt {
    fn from(_: Closed) -> Halt {
        Halt::Closed
    }
}

/// A blob that was started.
struct Flight {
    entry: Entry,
    pieces: mpsc::Receiver<Piece>,
    first: watch::Sender<bool>,
}

/// Fetches and sends, until everything that is listed was sent and nothing more will be listed.
pub(super) async fn run(feed: &Arc<Feed>) -> Result<(), Halt> {
    let (mut next, skip) = resume(feed)?;
    let mut waiting: VecDeque<Entry> = VecDeque::new();
    let mut flights: VecDeque<Flight> = VecDeque::new();
    // Dropped with everything in it when this ends.
    let mut tasks = JoinSet::new();
    loop {
        // Looked at before the backlog is: what is added later comes with a later look.
        let all_listed = feed.is_all_listed();
        while flights.len() < PER_FEED {
            if waiting.is_empty() {
                waiting = feed.backlog.from(next)?;
            }
            if waiting.is_empty() {
                break;
            }
            let places = Arc::clone(&feed.share.places);
            let place = if flights.is_empty() {
                places.acquire_owned().await.map_err(|_| Halt::Closed)?
            } else {
                // The others of this feed go on meanwhile.
                let Ok(place) = places.try_acquire_owned() else { break };
                place
            };
            let Some(entry) = waiting.pop_front() else { break };
            next = entry.sequence + 1;
            let given = if entry.sequence == skip.0 { skip.1 } else { 0 };
            let (sender, pieces) = mpsc::channel(QUEUE);
            let (first, is_first) = watch::channel(false);
            let fetch = Fetch::new(Arc::clone(feed), entry.clone(), given, sender, is_first, place);
            tasks.spawn(fetch.run());
            flights.push_back(Flight { entry, pieces, first });
        }
        while tasks.try_join_next().is_some() {}
        let Some(flight) = flights.front_mut() else {
            if all_listed {
                return Ok(());
            }
            feed.backlog.news.notified().await;
            continue;
        };
        // The task may have ended already: then nobody needs to know.
        let _ = flight.first.send(true);
        let Some(piece) = flight.pieces.recv().await else {
            let message = format!("{}: the task that fetched content {} died", feed.place(), flight.entry.id);
            return Err(StageError::retry("internal", message).into());
        };
        let sequence = flight.entry.sequence;
        let Piece { records, rejected, end, .. } = piece;
        let complete = match &end {
            None => false,
            Some(Ended::Failed(_)) => false,
            Some(_) => true,
        };
        if let Some(end) = end {
            note(feed, &flight.entry, end)?;
        }
        feed.shared.output.send(unit::batch(feed.backlog.shard(), sequence, complete, records, rejected)).await?;
        if complete {
            feed.backlog.fetched(sequence);
            flights.pop_front();
        }
    }
}

/// The first blob to fetch, and the one of which some records were sent in this run, with how many.
fn resume(feed: &Feed) -> Result<(u64, (u64, u64)), StageError> {
    let acknowledged = feed.backlog.acknowledged()?;
    let sent = feed.shared.output.sent(feed.backlog.shard());
    let sent = sent.map(unit::unit_and_index).map_or((0, 0), |(sequence, index)| (sequence, index + 1));
    Ok(((acknowledged + 1).max(sent.0), sent))
}

/// Notes what is missing of a blob, durably, before the blob counts as dealt with.
fn note(feed: &Feed, entry: &Entry, end: Ended) -> Result<(), Halt> {
    let (reason, detail) = match end {
        Ended::Whole => return Ok(()),
        Ended::Failed(error) => return Err(Halt::Failed(error)),
        Ended::Damaged(problem) => (Reason::Damaged, format!("content {}: {problem}", entry.id)),
        Ended::Missing(reason, detail) => (reason, detail),
    };
    tracing::error!(
        tenant = feed.label(),
        feed = feed.backlog.feed(),
        "{}: {detail}; `downspout gaps` shows what is missing",
        reason.as_str()
    );
    feed.shared.context.metrics.error("missing_content");
    let gap = Gap { start: entry.created, end: entry.created, reason, detail, items: 1, filled_by: None };
    feed.backlog.gap(gap)?;
    Ok(())
}
