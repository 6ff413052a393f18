//! Keeping house: forgets what is acknowledged, measures what waits, and puts on our disk what would expire.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use downspout_core::StageError;
use futures::StreamExt;
use jiff::Timestamp;

use super::backlog::Entry;
use super::feed::Feed;
use super::spool;
use crate::clock::{between, minus};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(60);

/// Copies are made when nothing was acknowledged for that long.
const STUCK: Duration = Duration::from_secs(900);

/// ... or, whatever else is known, that long before the end.
const LAST_CALL: Duration = Duration::from_secs(2 * 3600);

/// Blobs that are looked at in one go, and copies made at once.
const MOST: (usize, usize) = (5000, 4);

/// Ids are remembered a little longer than listings show them.
const SPARE: Duration = Duration::from_secs(3600);

/// Runs until the store fails.
pub(super) async fn run(feed: &Feed) -> Result<(), StageError> {
    let mut reached = (feed.backlog.acknowledged()?, feed.clock.now());
    loop {
        let listed = feed.backlog.listed_until();
        let oldest = listed.map_or(Timestamp::MIN, |until| minus(until, feed.shared.options.relist + SPARE));
        for sequence in feed.backlog.settle(oldest)? {
            spool::remove(feed, sequence);
        }
        let acknowledged = feed.backlog.acknowledged()?;
        let now = feed.clock.now();
        if acknowledged != reached.0 || acknowledged + 1 == feed.backlog.next_sequence() {
            reached = (acknowledged, now);
        }
        let waiting = look(feed, acknowledged)?;
        measure(feed, &waiting);
        let stuck = between(reached.1, now) >= STUCK;
        let due =
            if stuck { feed.shared.options.spool_before } else { LAST_CALL.min(feed.shared.options.spool_before) };
        copy(feed, waiting, due, stuck).await;
        feed.clock.rest(LOOK).await;
    }
}

/// The oldest of what waits.
fn look(feed: &Feed, acknowledged: u64) -> Result<Vec<Entry>, StageError> {
    let mut waiting = Vec::new();
    feed.backlog.scan(acknowledged + 1, |entry| {
        waiting.push(entry);
        if waiting.len() < MOST.0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(waiting)
}

fn measure(feed: &Feed, waiting: &[Entry]) {
    let now = feed.client.service_now();
    feed.measure_lag(now);
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let oldest = waiting.iter().map(|entry| entry.created).min();
    let first = waiting.iter().filter(|entry| !entry.spooled).map(|entry| entry.expires).min();
    feed.metrics.oldest_unacknowledged_seconds.set(oldest.map_or(0, |oldest| seconds(between(oldest, now))));
    feed.metrics.expires_in_seconds.set(first.map_or(-1, |expires| seconds(between(now, expires))));
    feed.metrics.gaps.set(i64::try_from(feed.backlog.open_gaps()).unwrap_or(i64::MAX));
}

/// Makes copies of what expires soon.
async fn copy(feed: &Feed, waiting: Vec<Entry>, due: Duration, stuck: bool) {
    let now = feed.client.service_now();
    let is_due = |entry: &Entry| !entry.spooled && entry.expires > now && between(now, entry.expires) <= due;
    let copies = futures::stream::iter(waiting.into_iter().filter(is_due)).map(|entry| async move {
        if feed.shared.spooled.load(Ordering::Relaxed) >= feed.shared.options.spool_max {
            let problem = "the spool is full: content will expire unread; let the sink go on, or raise `spool_max`";
            return Err(StageError::retry("spool_full", problem));
        }
        spool::keep(feed, &entry).await
    });
    let mut copies = copies.buffer_unordered(MOST.1);
    let (mut made, mut failed) = (0_u64, None);
    while let Some(copied) = copies.next().await {
        match copied {
            Ok(()) => made += 1,
            Err(error) => {
                feed.shared.context.metrics.error(error.error_type());
                failed = Some(error);
            }
        }
    }
    if made > 0 && stuck {
        tracing::warn!(
            tenant = feed.label(),
            feed = feed.backlog.feed(),
            blobs = made,
            "the sinks are behind: content that Microsoft deletes soon was copied to the disk"
        );
    }
    if let Some(error) = failed {
        tracing::error!(
            tenant = feed.label(),
            feed = feed.backlog.feed(),
            "content could not be copied to the disk: {error}"
        );
    }
}
