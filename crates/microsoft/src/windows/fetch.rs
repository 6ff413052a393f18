//! Asks for the pages of one feed, and says what it means that one cannot be had.

use std::fmt;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use downspout_core::store::StoreError;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tempfile::{SpooledTempFile, spooled_tempfile_in};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::feed::{self, Feed, Page, Target};
use super::source::Shared;
use super::walk::Walk;
use crate::client::{Api, Backoff, Body, Refusal, Trouble, Verdict, is_html};
use crate::config::Connection;
use crate::ledger::Reason;

/// How often a page is asked for that is not what it should be.
const TRIES: u32 = 4;

/// Pauses between those.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The most that is read of an answer. Pages of a thousand sign-ins have some megabytes.
const MOST_BYTES: usize = 64 << 20;

/// How much of an answer that is under way is in memory.
const IN_MEMORY: usize = 64 << 10;

/// The longest pause that a service may ask for in a good answer.
const COURTESY: Duration = Duration::from_secs(300);

/// Why reading a window ended early.
pub(super) enum Failed {
    /// This window cannot be read; a shorter one might. Why, and what the ledger calls it.
    Window(String, Reason),
    /// No window can be read at present.
    Trouble(Trouble),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Store(error)
    }
}

/// A page, and the answer that holds it.
pub(super) struct Fetched {
    pub(super) page: Page,
    pub(super) answer: Answer,
}

/// An answer, and its place in memory: whoever holds it keeps another one waiting.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

/// One feed of one tenant, to be asked.
pub(super) struct Fetch {
    pub(super) shared: Arc<Shared>,
    /// How many answers may be under way to the tenant.
    pub(super) share: Arc<Semaphore>,
    pub(super) connection: Connection,
    pub(super) feed: Arc<dyn Feed>,
}

impl Fetch {
    /// Asks for a page, again if it is not what it should be.
    pub(super) async fn page(&self, walk: &mut Walk, target: &Target) -> Result<Fetched, Failed> {
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
                    Ok(()) => return Ok(Fetched { page, answer }),
                    Err(strange) => (strange.told().to_owned(), Reason::Incomplete),
                },
            };
            drop(answer);
            let pause = backoff.next();
            if backoff.failures() >= TRIES {
                return Err(Failed::Window(why.0, why.1));
            }
            tracing::debug!(
                component = %self.shared.context.id, "{self}: page {}: {}; asking again", walk.pages() + 1, why.0
            );
            self.connection.clock.sleep(pause).await;
        }
    }

    /// One request, with the client's own patience. `first`: of a window's first page.
    async fn ask(&self, target: &Target, first: bool) -> Result<Answer, Failed> {
        let client = &self.connection.client;
        let request = feed::request(&*self.feed, client, target).map_err(|trouble| match target {
            Target::Path(_) => Failed::Trouble(trouble),
            Target::Link(_) => Failed::Window(trouble.to_string(), Reason::ForeignAddress),
        })?;
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let trouble = match client.stream(request.clone()).await {
                Err(trouble) => return Err(self.failed(trouble, first)),
                Ok(body) => match self.receive(body).await {
                    Ok(answer) => return Ok(answer),
                    Err(trouble) => trouble,
                },
            };
            let pause = backoff.next();
            if !trouble.is_transient() || backoff.failures() >= TRIES {
                return Err(self.failed(trouble, first));
            }
            tracing::debug!(component = %self.shared.context.id, "{self}: {trouble}; asking again");
            self.connection.clock.sleep(pause).await;
        }
    }

    /// Reads an answer whole. Few are in memory at once, however many tenants there are, and none before all of it is
    /// here: who waits for a service keeps no other tenant waiting.
    async fn receive(&self, body: Body) -> Result<Answer, Trouble> {
        let api = self.feed.api();
        let closed = |_| Trouble::new(Verdict::Stop, api, "internal", "the source is closed", "please report it");
        let own = Arc::clone(&self.share).acquire_owned().await.map_err(closed)?;
        let headers = body.headers().clone();
        let inbox = self.connection.client.in_time(api, self.collect(body)).await?;
        let place = Arc::clone(&self.shared.places).acquire_owned().await.map_err(closed)?;
        drop(own);
        let body = whole(inbox).map_err(|error| disk(api, &error))?;
        if is_html(&body) {
            return Err(Refusal::read(200, &body).judge(api));
        }
        Ok(Answer { headers, body, _place: place })
    }

    /// Takes an answer in as it comes. A large one lies on the disk, in a file that is gone when this process is.
    async fn collect(&self, mut body: Body) -> Result<SpooledTempFile, Trouble> {
        let api = self.feed.api();
        let mut inbox = spooled_tempfile_in(IN_MEMORY, self.shared.context.store.folder());
        let mut length = 0;
        while let Some(chunk) = body.chunk().await? {
            length += chunk.len();
            if length > MOST_BYTES {
                let told = format!("more than {} MiB", MOST_BYTES >> 20);
                let meaning = "the answer is larger than memory allows";
                return Err(Trouble::new(Verdict::Skip, api, "too_large", told, meaning));
            }
            inbox.write_all(&chunk).map_err(|error| disk(api, &error))?;
        }
        Ok(inbox)
    }

    fn failed(&self, trouble: Trouble, first: bool) -> Failed {
        // Who could not sign in has not asked the feed's service.
        let trouble = if trouble.is_sign_in() { trouble } else { self.feed.explain(trouble) };
        match trouble.verdict {
            _ if trouble.code == "too_large" => Failed::Window(trouble.to_string(), Reason::Incomplete),
            // Links grow old. The window is read again from its beginning.
            Verdict::Skip | Verdict::Handle if !first => Failed::Window(trouble.to_string(), Reason::Incomplete),
            Verdict::Stop if !first && trouble.status == Some(400) => {
                Failed::Window(trouble.to_string(), Reason::Incomplete)
            }
            _ => Failed::Trouble(trouble),
        }
    }

    /// Some services ask for a pause in a good answer.
    pub(super) async fn courtesy(&self, headers: &HeaderMap) {
        let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        if let Some(seconds) = asked.and_then(|text| text.trim().parse().ok()) {
            let pause = Duration::from_secs(seconds).min(COURTESY);
            let why = format!("{}: the service asks for a pause (Retry-After)", self.feed.name());
            self.connection.client.tell_wait(self.feed.api(), pause, &why);
            self.connection.clock.sleep(pause).await;
        }
    }
}

/// All of an answer that was taken in.
fn whole(mut inbox: SpooledTempFile) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    inbox.rewind()?;
    inbox.read_to_end(&mut body)?;
    Ok(body)
}

fn disk(api: Api, error: &io::Error) -> Trouble {
    let meaning = "an answer under way cannot be put down in data_dir; make room, or the folder writable";
    Trouble::new(Verdict::Retry, api, "disk", error.to_string(), meaning)
}

/// As messages call it.
impl fmt::Display for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {}, {}", self.connection.tenant.label(), self.feed.name())
    }
}
