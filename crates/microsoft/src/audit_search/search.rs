//! One tenant's search: several windows at once, each until it is complete.
//!
//! What is to be searched is a list of windows in the store ([`Books`]). A window that holds too much is replaced by
//! its halves, and a window leaves the list in the transaction that enters its result into the ledger. So a restart goes
//! on with exactly what is open, in whatever order windows became complete. Records are journalled page by page as they
//! come; a window that was under way in a crash is searched again, and what it gives twice is the same to `dedupe`.

use std::sync::Arc;
use std::time::Duration;

use downspout_core::stage::{Closed, Output};
use downspout_core::store::StoreError;
use downspout_core::{Context, StageError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;

use super::books::{Books, Range, Searched};
use super::cut::halves;
use super::exchange::ExchangeSearch;
use super::gauges::Gauges;
use super::graph::GraphSearch;
use super::passes::{Next, Passes};
use super::shelf::{Pages, Room, Shelf};
use crate::access::auditing::{self, Auditing};
use crate::client::{Trouble, Verdict};
use crate::config::{Connection, Mode};
use crate::ledger::Reason;
use crate::mailbox_audit::MailboxSearch;
use crate::windows::Window;

/// A window whose readings do not agree is split down to that part of the longest one before it is given up.
const SPLITS: u32 = 8;

/// After that many broken readings of a window in a row the service is in trouble, and a recovery has failed.
const MOST_BROKEN: u32 = 3;

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

    /// What is searched for, in the tenant's unified audit log.
    fn asked(&self) -> Option<String> {
        match self {
            Searcher::Graph(graph) => Some(graph.filters().asked()),
            Searcher::Exchange(exchange) => Some(exchange.filters().asked()),
            // There is a search for each mailbox.
            Searcher::Mailbox(_) => None,
        }
    }

    /// The record types that the service turned out not to know.
    fn refused(&self) -> Vec<String> {
        match self {
            Searcher::Graph(graph) => graph.refused(),
            Searcher::Exchange(exchange) => exchange.refused(),
            Searcher::Mailbox(_) => Vec::new(),
        }
    }

    /// Nothing more is asked about the window, or only anew.
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
    pub(crate) room: Room,
    /// Where it shows how far it has come; nowhere if its source has other things to show.
    pub(crate) gauges: Option<Arc<Gauges>>,
    pub(crate) output: &'o Output,
    /// It recovers what another source missed: only what this takes is sent. A recovery is begun anew later, so it does
    /// not work around trouble: readings that stay broken end it, and only what is too large is halved.
    pub(crate) recovers: Option<&'o dyn Sieve>,
}

impl Search<'_> {
    /// Searches until the end, or for ever. Gives whether everything was searched: the pipeline may have stopped.
    pub(crate) async fn run(&self, context: &Context) -> Result<bool, StageError> {
        let Some((shelf, mut books)) = self.open(context).await? else { return Ok(false) };
        let mut first = true;
        loop {
            let ended = self.round(&shelf, &mut books).await?;
            if std::mem::take(&mut first) && books.found_nothing() {
                let is_off = self.explain_nothing(&mut books).await?;
                if is_off && self.recovers.is_some() {
                    // What is missing is not recovered by finding nothing.
                    return Ok(false);
                }
                self.show(&shelf, &books)?;
            }
            if ended {
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
        let (client, tenant) = (self.connection.client.clone(), &self.connection.tenant);
        let remembers = self.range.timing.mode == Mode::Follow;
        let now = client.service_now();
        let place = (client, self.room);
        let out = (self.output, self.recovers);
        let Some(shelf) = Shelf::open(context, tenant.shard(&self.feed), place, remembers, out).await? else {
            return Ok(None);
        };
        let books = Books::open(&context.store, &context.id, &tenant.id, &self.feed, &self.range, now)?;
        self.compare(&books, now)?;
        Ok(Some((shelf, books)))
    }

    /// Tells what of the config has changed, and changes nothing of what was searched already.
    fn compare(&self, books: &Books, now: Timestamp) -> Result<(), StoreError> {
        if let Some(told) = books.began_later(self.range.timing.start.from(now)) {
            tracing::warn!("{}: {told}", self.place());
        }
        if let Some(asked) = self.searcher.asked()
            && books.asked_otherwise(&asked)?
        {
            tracing::warn!(
                "{}: the filters have changed. What was searched already is not searched anew: give the source a new id, or \
                 another data_dir, to have that done",
                self.place()
            );
        }
        Ok(())
    }

    /// Nothing was found at all: nothing fits, or nothing is recorded. Gives whether auditing is switched off.
    async fn explain_nothing(&self, books: &mut Books) -> Result<bool, StageError> {
        let tenant = self.connection.tenant.label();
        let place = format!("tenant {tenant}, {}: nothing was found", self.feed);
        match auditing::look(&self.connection).await {
            Auditing::On(by) => tracing::info!("{place}, and auditing is on ({by}): there is nothing that fits"),
            Auditing::Off(by) => {
                let told = format!("auditing is switched off ({by}), so nothing is recorded");
                tracing::error!("{place}: {told}; {}", auditing::SWITCH_ON);
                if self.recovers.is_none() {
                    books.gap(Reason::NotAvailable, &told)?;
                }
                return Ok(true);
            }
            Auditing::Unseen(why) => tracing::warn!(
                "{place}: nothing fits, or auditing is switched off, which could not be seen: {why}; {}",
                auditing::LOOK_YOURSELF
            ),
        }
        Ok(false)
    }

    fn show(&self, shelf: &Shelf<'_>, books: &Books) -> Result<(), StoreError> {
        if let Some(gauges) = &self.gauges {
            gauges.note(&self.connection, shelf.shard(), books.standing(shelf.acknowledged()?));
        }
        Ok(())
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
        self.show(shelf, books)?;
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
                    books.enter(result, &units, shelf.acknowledged()?, self.searcher.refused())?;
                    self.searcher.close(&window)?;
                }
            }
            self.show(shelf, books)?;
        }
    }

    /// Makes passes over a window until enough of them agree.
    async fn window(&self, shelf: &Shelf<'_>, window: Window) -> Result<(Window, Ended), Halt> {
        let mut pages = shelf.pages(Passes::new(self.effort.passes, self.effort.max_passes), window);
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
                    pages.end()
                }
                Outcome::Broken(reason) => {
                    tracing::debug!(tenant = self.connection.tenant.label(), %window, "{reason}; asking again");
                    shelf.metrics.error("incomplete_answer");
                    broken += 1;
                    if self.recovers.is_some() && broken >= MOST_BROKEN {
                        return Err(Halt::Broken(reason));
                    }
                    pages.discard(&reason)
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
                // A query that ran over too little agrees with itself: what closes gaps is asked of two.
                Next::Again if self.recovers.is_some() => self.searcher.close(&window)?,
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
        let Window { start, end } = window;
        let (reason, missing) = missing.unzip();
        let result =
            Searched { start, end, records: pages.records(), counted, passes: pages.passes(), missing, reason };
        Ok((window, Ended::Done(result, pages.into_units())))
    }

    fn report(&self, result: &Searched) {
        let (tenant, window) = (self.connection.tenant.label(), Window { start: result.start, end: result.end });
        match &result.missing {
            None => tracing::debug!(tenant, %window, records = result.records, passes = result.passes, "complete"),
            Some(reason) => tracing::warn!(tenant, %window, "this window may not be complete: {reason}"),
        }
    }
}
