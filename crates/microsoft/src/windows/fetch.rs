//! Asks for the pages of one feed, and says what it means that one cannot be had.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use downspout_core::stage::Closed;
use downspout_core::store::StoreError;

use super::feed::{self, Feed, Page, Target};
use super::source::Shared;
use super::walk::Walk;
use crate::client::{Answer, Backoff, Trouble, Verdict};
use crate::config::Connection;
use crate::ledger::Reason;

/// How often a page is asked for that is not what it should be.
const TRIES: u32 = 4;

/// Pauses between those.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The longest pause that a service may ask for in a good answer.
const COURTESY: Duration = Duration::from_secs(300);

/// Why reading a window ended early.
pub(super) enum Failed {
    /// This window cannot be read; a shorter one might. Why, and what the ledger calls it.
    Window(String, Reason),
    /// No window can be read at present.
    Trouble(Trouble),
    /// The pipeline takes no more.
    Closed,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Store(error)
    }
}

impl From<Closed> for Failed {
    fn from(_: Closed) -> Failed {
        Failed::Closed
    }
}

/// One feed of one tenant, to be asked.
pub(super) struct Fetch {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Connection,
    pub(super) feed: Arc<dyn Feed>,
}

impl Fetch {
    /// Asks for a page, again if it is not what it should be.
    pub(super) async fn page(&self, walk: &mut Walk, target: &Target) -> Result<(Answer<Bytes>, Page), Failed> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let answer = self.ask(target, walk.pages() == 0).await?;
            let last = backoff.failures() + 1 >= TRIES;
            let why = match self.feed.page(target, &answer.body) {
                Err(broken) => (broken.to_string(), Reason::Damaged),
                // On its way, mostly. What stays so becomes a dead letter, alone.
                Ok(page) if !last && !feed::whole(&answer.body, &page) => {
                    ("a record in it is not JSON".to_owned(), Reason::Damaged)
                }
                Ok(page) => match walk.take(target, &answer.body, &page) {
                    Ok(()) => return Ok((answer, page)),
                    Err(strange) => (strange.told().to_owned(), Reason::Incomplete),
                },
            };
            let pause = backoff.next();
            if backoff.failures() >= TRIES {
                return Err(Failed::Window(why.0, why.1));
            }
            tracing::debug!(component = %self.shared.context.id, "{self}: page {}: {}; asking again", walk.pages() + 1, why.0);
            self.connection.clock.sleep(pause).await;
        }
    }

    /// One request, with the client's own patience. `first`: of a window's first page.
    async fn ask(&self, target: &Target, first: bool) -> Result<Answer<Bytes>, Failed> {
        let client = &self.connection.client;
        let request = feed::request(&*self.feed, client, target).map_err(|trouble| match target {
            Target::Path(_) => Failed::Trouble(trouble),
            Target::Link(_) => Failed::Window(trouble.to_string(), Reason::ForeignAddress),
        })?;
        client.get(request).await.map_err(|trouble| {
            let trouble = self.feed.explain(trouble);
            match trouble.verdict {
                // Links grow old. The window is read again from its beginning.
                Verdict::Skip | Verdict::Handle if !first => Failed::Window(trouble.to_string(), Reason::Incomplete),
                Verdict::Stop if !first && trouble.status == Some(400) => {
                    Failed::Window(trouble.to_string(), Reason::Incomplete)
                }
                _ => Failed::Trouble(trouble),
            }
        })
    }

    /// Some services ask for a pause in a good answer.
    pub(super) async fn courtesy(&self, answer: &Answer<Bytes>) {
        let asked = answer.headers.get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        if let Some(seconds) = asked.and_then(|text| text.trim().parse().ok()) {
            self.connection.clock.sleep(Duration::from_secs(seconds).min(COURTESY)).await;
        }
    }
}

/// As messages call it.
impl fmt::Display for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {}, {}", self.connection.tenant.label(), self.feed.name())
    }
}
