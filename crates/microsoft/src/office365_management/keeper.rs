//! Keeping house: forgets what is acknowledged, measures what waits, and puts on our disk what would expire.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use downspout_core::StageError;
use futures::StreamExt;
use jiff::Timestamp;

use super::backlog::Entry;
use super::feed::Feed;
use super::listing::LIFE;
use super::spool;
use crate::clock::{between, minus, plus, seconds};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(60);

/// Copies are made when nothing was acknowledged for that long.
const STUCK: Duration = Duration::from_secs(900);

/// ... or, whatever else is known, that long before the end.
const LAST_CALL: Duration = Duration::from_secs(2 * 3600);

/// Blobs that are copied in one go, and copies made at once. In tests so few that more than one go is needed.
const MOST: (usize, usize) = if cfg!(test) { (3, 4) } else { (5000, 4) };

/// Ids are remembered a little longer than listings show them.
const SPARE: Duration = Duration::from_secs(3600);

/// Runs until the store fails.
pub(super) async fn run(feed: &Feed) -> Result<(), StageError> {
    let mut reached = (feed.backlog.acknowledged()?, feed.clock.now());
    loop {
        let listed = feed.backlog.listed_until();
        let oldest = listed.map_or(Timestamp::MIN, |until| minus(until, feed.shared.options.relist + SPARE));
        spool::remove(feed, feed.backlog.settle(oldest)?).await;
        let acknowledged = feed.backlog.acknowledged()?;
        let now = feed.clock.now();
        if acknowledged != reached.0 || acknowledged + 1 == feed.backlog.next_sequence() {
            reached = (acknowledged, now);
        }
        let stuck = between(reached.1, now) >= STUCK;
        let due =
            if stuck { feed.shared.options.spool_before } else { LAST_CALL.min(feed.shared.options.spool_before) };
        let waiting = look(feed, acknowledged, due)?;
        feed.backlog.fetched(waiting.fetched);
        measure(feed, &waiting);
        copy(feed, waiting.due, stuck.then_some(acknowledged + 1)).await;
        feed.clock.rest(LOOK).await;
    }
}

/// What waits to be acknowledged.
#[derive(Default)]
struct Waiting {
    /// When the oldest became available.
    oldest: Option<Timestamp>,
    /// When the first of what is not on our disk expires.
    expires: Option<Timestamp>,
    /// What is to be copied now.
    due: Vec<Entry>,
    /// The last blob up to which each is in the pipeline or on our disk.
    fetched: u64,
}

/// Looks at all that waits; what expires within `due` is to be copied.
fn look(feed: &Feed, acknowledged: u64, due: Duration) -> Result<Waiting, StageError> {
    let now = feed.client.service_now();
    let fetched = feed.backlog.last_fetched().max(acknowledged);
    let mut waiting = Waiting { fetched, ..Waiting::default() };
    let earlier = |known: Option<Timestamp>, other| known.map_or(other, |known: Timestamp| known.min(other));
    feed.backlog.scan(acknowledged + 1, |entry| {
        waiting.oldest = Some(earlier(waiting.oldest, entry.created));
        if entry.spooled && entry.sequence == waiting.fetched + 1 {
            waiting.fetched = entry.sequence;
        }
        if !entry.spooled {
            waiting.expires = Some(earlier(waiting.expires, entry.expires));
            let is_due = entry.expires > now && between(now, entry.expires) <= due;
            if is_due && waiting.due.len() < MOST.0 {
                waiting.due.push(entry);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(waiting)
}

fn measure(feed: &Feed, waiting: &Waiting) {
    let now = feed.client.service_now();
    feed.measure_lag(now);
    feed.metrics.oldest_unacknowledged_seconds.set(waiting.oldest.map_or(0, |oldest| seconds(between(oldest, now))));
    // What is not even listed yet expires too, while the service or the sign-in is down.
    let unlisted = feed.backlog.listed_until().map(|until| plus(until, LIFE));
    let expires = waiting.expires.into_iter().chain(unlisted).min();
    feed.metrics.expires_in_seconds.set(expires.map_or(-1, |expires| seconds(between(now, expires))));
    feed.metrics.gaps.set(i64::try_from(feed.backlog.open_gaps()).unwrap_or(i64::MAX));
}

/// Makes copies of what expires soon. `stuck`: the blob that nothing gets past.
async fn copy(feed: &Feed, due: Vec<Entry>, stuck: Option<u64>) {
    let copies = futures::stream::iter(due).map(|entry| async move {
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
    if let Some(stuck) = stuck.filter(|_| made > 0) {
        let cause = match feed.trouble(stuck) {
            Some(trouble) => format!("the feed waits for one blob ({trouble})"),
            None => "the sinks are behind".to_owned(),
        };
        tracing::warn!(
            tenant = feed.label(),
            feed = feed.backlog.feed(),
            blobs = made,
            "{cause}: content that Microsoft deletes soon was copied to the disk"
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
