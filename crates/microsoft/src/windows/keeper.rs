//! Beside the reading of a feed: sends what is in the journal, takes note of acknowledgements, and shows where the feed
//! stands, also while reading waits for a budget, a service or a sink.

use std::time::Duration;

use downspout_core::StageError;
use downspout_core::metrics::FeedMetrics;
use downspout_core::store::StoreError;

use super::books::Books;
use super::fetch::Fetch;
use crate::clock::{between, seconds};

/// How often it looks, in the machine's time: so do the sinks work.
pub(super) const LOOK: Duration = if cfg!(test) { Duration::from_millis(5) } else { Duration::from_secs(1) };

/// Keeps house for one feed.
pub(super) struct Keeper<'a> {
    fetch: &'a Fetch,
    books: &'a Books,
    metrics: FeedMetrics,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(fetch: &'a Fetch, books: &'a Books) -> Keeper<'a> {
        let tenant = fetch.connection.tenant.label();
        let metrics = fetch.shared.context.metrics.feed(tenant, fetch.feed.name());
        Keeper { fetch, books, metrics }
    }

    /// Sends the journal, page by page, until the pipeline takes no more. Few pages are in memory for that at once.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) async fn send(&self) -> Result<(), StageError> {
        loop {
            let sequence = self.books.to_send().await;
            let Ok(_place) = self.fetch.shared.sending.acquire().await else { return Ok(()) };
            if let Some(page) = self.books.load(sequence)?
                && page.send(&self.fetch.shared.output, self.books.shard()).await.is_err()
            {
                return Ok(());
            }
            self.books.set_sent(sequence);
        }
    }

    /// Looks again and again.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) async fn watch(&self) -> Result<(), StageError> {
        loop {
            self.settle()?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes note of acknowledgements, and shows where the feed stands.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        let standing = self.books.settle()?;
        let now = self.fetch.connection.client.service_now();
        let behind = between(standing.newest, now);
        self.metrics.lag_seconds.set(seconds(behind));
        self.fetch.shared.stands(self.books.shard(), seconds(behind), standing.waiting_bytes);
        self.metrics.gaps.set(i64::try_from(standing.gaps).unwrap_or(i64::MAX));
        let age = standing.waiting_since.map_or(Duration::ZERO, |since| between(since, now));
        self.metrics.oldest_unacknowledged_seconds.set(seconds(age));
        // What was read is journalled, and safe. What was not read yet goes when the service forgets it.
        let left = self.fetch.feed.pace().keeps.saturating_sub(behind);
        self.metrics.expires_in_seconds.set(seconds(left));
        Ok(())
    }
}
