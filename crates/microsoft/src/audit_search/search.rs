//! One tenant's search: several windows at once, each until it is complete.
//!
//! What is to be searched is a list of windows in the store ([`Books`]). A window that holds too much is replaced by
//! its halves, and a window leaves the list in the transaction that enters its result into the ledger. So a restart goes
//! on with exactly what is open, in whatever order windows became complete. Records are journalled page by page as they
//! come; a window that was under way in a crash is searched again, and what it gives twice is the same to `dedupe`.

use std::sync::Arc;
use std::time::Duration;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::{Closed, Output};
use downspout_core::store::StoreError;
use downspout_core::{Context, StageError, Store};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::books::{Books, Range, Searched, halves};
use super::exchange::ExchangeSearch;
use super::graph::GraphSearch;
use super::passes::{Next, Passes};
use super::record::Found;
use crate::client::{Trouble, Verdict};
use crate::config::{Connection, Mode};
use crate::journal::Journal;
use crate::ledger::Reason;
use crate::mailbox_audit::MailboxSearch;
use crate::unit;
use crate::windows::Window;
use crate::windows::seen::{Hash, Seen, hash};

/// With more than that in the journal, no further page is taken: the sinks are slower than Microsoft.
const MOST_WAITING: usize = 64 << 20;

/// A window whose readings do not agree is split down to that part of the longest one before it is given up.
const SPLITS: u32 = 8;

/// After that many broken readings of a window in a row the service is in trouble, and a recovery has failed.
const MOST_BROKEN: u32 = 3;

/// How often it is looked whether the sinks have caught up.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Why a search does not go on.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The service.
    Trouble(Box<Trouble>),
    /// The store.
    Store(StoreError),
    /// The pipeline takes no more.
    Closed,
    /// The service answers, and nothing that it says is to be believed; why.
    Broken(String),
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Halt {
        Halt::Trouble(Box::new(trouble))
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        Halt::Store(error)
    }
}

impl From<Closed> for Halt {
    fn from(_: Closed) -> Halt {
        Halt::Closed
    }
}

/// How a pass over a window ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It read to the end.
    Whole {
        /// How many records the service says there are, where it counts.
        counted: Option<u64>,
    },
    /// The window holds more than the service gives; how much, in words.
    TooLarge(String),
    /// What it read is not to be believed; why.
    Broken(String),
}

/// An API that searches.
#[derive(Debug)]
pub(crate) enum Searcher {
    Graph(GraphSearch),
    Exchange(ExchangeSearch),
    Mailbox(MailboxSearch),
}

impl Searcher {
    async fn pass(&self, window: &Window, pages: &mut Pages<'_>) -> Result<Outcome, Halt> {
        match self {
            Searcher::Graph(graph) => graph.pass(window, pages).await,
            Searcher::Exchange(exchange) => exchange.pass(window, pages).await,
            Searcher::Mailbox(mailbox) => mailbox.pass(window, pages).await,
        }
    }

    /// Nothing more is asked about the window.
    fn close(&self, window: &Window) -> Result<(), Halt> {
        match self {
            Searcher::Graph(graph) => graph.forget(window),
            Searcher::Exchange(_) | Searcher::Mailbox(_) => Ok(()),
        }
    }
}

/// How much effort a window is worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// How many readings in a row have to agree.
    pub(crate) passes: u32,
    /// After how many readings a window is given up.
    pub(crate) max_passes: u32,
    /// How many windows are searched at once.
    pub(crate) concurrency: usize,
    /// How often it is looked for newer records.
    pub(crate) interval: Duration,
}

/// Which records a recovery is for.
pub(crate) trait Sieve: std::fmt::Debug + Send + Sync {
    /// Whether a record (JSON) is one of them.
    fn takes(&self, record: &[u8]) -> bool;
}

/// The way of records into the pipeline, shared by the windows under way.
#[derive(Debug)]
struct Shelf<'o> {
    /// Locked by windows under way, and by nobody who would keep these waiting.
    journal: Mutex<Journal>,
    /// What earlier rounds sent of stretches that are read again. A search that ends reads everything once.
    seen: Option<Mutex<Seen>>,
    sieve: Option<&'o dyn Sieve>,
    output: &'o Output,
    metrics: ComponentMetrics,
    store: Arc<Store>,
    source: Arc<str>,
    shard: String,
}

impl Shelf<'_> {
    /// The number of the last unit of which everything has arrived.
    fn acknowledged(&self) -> Result<u64, StoreError> {
        unit::acknowledged(&self.store, &self.source, &self.shard)
    }

    /// Journals records and sends them; gives the number of their unit.
    /// `until` is the end of their window.
    async fn send(&self, mut records: Vec<Vec<u8>>, until: Timestamp) -> Result<Option<u64>, Halt> {
        self.metrics.received_bytes.inc_by(records.iter().map(|record| record.len() as u64).sum());
        let mut journal = self.journal.lock().await;
        loop {
            journal.forget_acknowledged()?;
            if journal.waiting_bytes() < MOST_WAITING {
                break;
            }
            // Sinks work in the machine's time.
            tokio::time::sleep(CATCH_UP).await;
        }
        let mut also = Vec::new();
        if let Some(seen) = &self.seen {
            let mut seen = seen.lock().await;
            records.retain(|record| !seen.contains(&hash(record)));
            let hashes: Vec<Hash> = records.iter().map(|record| hash(record)).collect();
            if !hashes.is_empty() {
                also.push(seen.remember(&hashes, until));
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
    until: Timestamp,
}

impl Pages<'_> {
    /// Takes the records of a page: those that are wanted, and that no pass gave before, are sent.
    pub(crate) async fn take(&mut self, found: Vec<Found>) -> Result<(), Halt> {
        let (passes, sieve) = (&mut self.passes, self.shelf.sieve);
        // Passes are held against each other by all that they give.
        let fresh = found.into_iter().filter(|found| passes.note(found)).map(|found| found.text);
        let fresh = fresh.filter(|text| sieve.is_none_or(|sieve| sieve.takes(text))).collect();
        self.units.extend(self.shelf.send(fresh, self.until).await?);
        Ok(())
    }

    /// How many passes were made over the window.
    pub(crate) fn passes(&self) -> u32 {
        self.passes.made()
    }
}

/// How a window ended.
enum Ended {
    /// It holds too much: its halves.
    Split(Window, Window),
    /// What it came to, and the numbers of its units.
    Done(Searched, Vec<u64>),
}

/// One tenant's search.
#[derive(Debug)]
pub(crate) struct Search<'o> {
    pub(crate) connection: Connection,
    pub(crate) feed: String,
    pub(crate) searcher: Searcher,
    pub(crate) effort: Effort,
    pub(crate) range: Range,
    pub(crate) output: &'o Output,
    /// It recovers what another source missed: only what this takes is sent. A recovery is begun anew later, so it does
    /// not work around trouble: readings that stay broken end it, and only what is too large is halved.
    pub(crate) recovers: Option<&'o dyn Sieve>,
}

impl Search<'_> {
    /// Searches until the end, or for ever. Gives whether everything was searched: the pipeline may have stopped.
    pub(crate) async fn run(&self, context: &Context) -> Result<bool, StageError> {
        let Some((shelf, mut books)) = self.open(context).await? else { return Ok(false) };
        loop {
            if self.round(&shelf, &mut books).await? {
                return Ok(books.finished());
            }
            self.connection.clock.sleep(self.effort.interval).await;
        }
    }

    /// Searches everything that is due now.
    pub(crate) async fn run_once(&self, context: &Context) -> Result<(), StageError> {
        let Some((shelf, mut books)) = self.open(context).await? else { return Ok(()) };
        self.round(&shelf, &mut books).await.map(drop)
    }

    /// Sends what the last run left unsent. `None` if the pipeline takes no more.
    async fn open(&self, context: &Context) -> Result<Option<(Shelf<'_>, Books)>, StageError> {
        let (store, tenant) = (&context.store, &self.connection.tenant);
        let shard = tenant.shard(&self.feed);
        let mut journal = Journal::open(store.clone(), &context.id, &shard)?;
        if journal.replay(self.output).await?.is_err() {
            return Ok(None);
        }
        let seen = match self.range.timing.mode {
            Mode::Follow => Some(Mutex::new(Seen::load(store, &context.id, &shard)?)),
            Mode::Once => None,
        };
        let shelf = Shelf {
            journal: Mutex::new(journal),
            seen,
            sieve: self.recovers,
            output: self.output,
            metrics: context.metrics.clone(),
            store: Arc::clone(store),
            source: Arc::clone(&context.id),
            shard,
        };
        let now = self.connection.client.service_now();
        let books = Books::open(store, &context.id, &tenant.id, &self.feed, &self.range, now)?;
        Ok(Some((shelf, books)))
    }

    /// Whether there is nothing more to do, now and for ever.
    async fn round(&self, shelf: &Shelf<'_>, books: &mut Books) -> Result<bool, StageError> {
        match self.search_due(shelf, books).await {
            Ok(()) => Ok(books.finished()),
            Err(Halt::Closed) => Ok(true),
            Err(Halt::Store(error)) => Err(error.into()),
            Err(Halt::Trouble(trouble)) => Err(trouble.at(&self.place())),
            Err(Halt::Broken(reason)) => {
                let told = format!("{}: {MOST_BROKEN} readings in a row were broken: {reason}", self.place());
                Err(StageError::retry("incomplete_answer", told))
            }
        }
    }

    fn place(&self) -> String {
        format!("tenant {}, {}", self.connection.tenant.label(), self.feed)
    }

    async fn search_due(&self, shelf: &Shelf<'_>, books: &mut Books) -> Result<(), Halt> {
        books.settle(shelf.acknowledged()?)?;
        books.plan(&self.range, self.connection.client.service_now())?;
        if let Some(seen) = &shelf.seen {
            let forgotten = seen.lock().await.forget(&shelf.store, books.oldest())?;
            shelf.store.write_all(&forgotten)?;
        }
        self.search_open(shelf, books).await
    }

    /// Searches all open windows, several at once, and those that splits add.
    async fn search_open(&self, shelf: &Shelf<'_>, books: &mut Books) -> Result<(), Halt> {
        let mut waiting = books.to_do();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < self.effort.concurrency
                && let Some(window) = waiting.pop_front()
            {
                under_way.push(self.window(shelf, window));
            }
            let Some(ended) = under_way.next().await else { return Ok(()) };
            match ended? {
                (window, Ended::Split(first, second)) => {
                    books.split(&window, (first, second))?;
                    waiting.push_front(second);
                    waiting.push_front(first);
                }
                (window, Ended::Done(result, units)) => {
                    self.report(&result);
                    books.enter(result, &units, shelf.acknowledged()?)?;
                    self.searcher.close(&window)?;
                }
            }
        }
    }

    /// Makes passes over a window until enough of them agree.
    async fn window(&self, shelf: &Shelf<'_>, window: Window) -> Result<(Window, Ended), Halt> {
        let passes = Passes::new(self.effort.passes, self.effort.max_passes);
        let mut pages = Pages { shelf, passes, units: Vec::new(), until: window.end };
        let (mut counted, mut broken) = (None, 0);
        let missing = loop {
            let outcome = match self.searcher.pass(&window, &mut pages).await {
                // It can never be had: a mailbox that does not exist, an answer that no memory holds.
                Err(Halt::Trouble(trouble)) if trouble.verdict == Verdict::Skip => {
                    break Some((Reason::NotAvailable, trouble.to_string()));
                }
                outcome => outcome?,
            };
            let next = match outcome {
                Outcome::Whole { counted: told } => {
                    (counted, broken) = (told, 0);
                    pages.passes.end()
                }
                Outcome::Broken(reason) => {
                    tracing::debug!(tenant = self.connection.tenant.label(), %window, "{reason}; asking again");
                    shelf.metrics.error("incomplete_answer");
                    broken += 1;
                    if self.recovers.is_some() && broken >= MOST_BROKEN {
                        return Err(Halt::Broken(reason));
                    }
                    pages.passes.discard(&reason)
                }
                Outcome::TooLarge(what) => match halves(&window) {
                    Some((first, second)) => return Ok((window, Ended::Split(first, second))),
                    None => {
                        let missing = format!("{what} in one second, and no shorter window can be asked for");
                        break Some((Reason::Incomplete, missing));
                    }
                },
            };
            match next {
                Next::Complete => break None,
                Next::Again => {}
                // A shorter window is easier to answer, and what cannot be had then hides less.
                Next::Disagree(reason) => match halves(&window) {
                    Some((first, second))
                        if self.recovers.is_none() && first.length() >= self.range.window / SPLITS =>
                    {
                        tracing::debug!(tenant = self.connection.tenant.label(), %window, "{reason}; splitting it");
                        return Ok((window, Ended::Split(first, second)));
                    }
                    _ => break Some((Reason::Incomplete, reason)),
                },
            }
        };
        let Pages { passes, units, .. } = pages;
        let Window { start, end } = window;
        let (reason, missing) = missing.unzip();
        let result =
            Searched { start, end, records: passes.records(), counted, passes: passes.made(), missing, reason };
        Ok((window, Ended::Done(result, units)))
    }

    fn report(&self, result: &Searched) {
        let (tenant, window) = (self.connection.tenant.label(), Window { start: result.start, end: result.end });
        match &result.missing {
            None => tracing::debug!(tenant, %window, records = result.records, passes = result.passes, "complete"),
            Some(reason) => tracing::warn!(tenant, %window, "this window may not be complete: {reason}"),
        }
    }
}
