//! One feed of one tenant: reads what is due, journals it, and waits; what is journalled is sent beside it.
//!
//! Killed at any instruction, the feed sends the journal again under the same positions, and reads the window again that
//! it was in: what is known of it already is not journalled again ([`super::books`]).

use std::time::Duration;

use downspout_core::StageError;
use downspout_core::store::StoreError;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::Level;

use super::books::Books;
use super::fetch::{Failed, Fetch, Fetched};
use super::keeper::Keeper;
use super::plan::Window;
use super::room::Room;
use super::span::Span;
use super::walk::Walk;
use crate::client::{Backoff, Trouble};
use crate::clock::{between, plus};
use crate::config::{GIVEN_UP, Mode, Telling};
use crate::ledger::Reason;

/// Pauses of a feed whose trouble passes by itself.
const PASSING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// Pauses of a feed that was refused: consent and licences may come any hour.
const LASTING: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3600));

/// After that many failures in a row, a read that should end gives up.
const PATIENCE: u32 = 8;

/// The first thing that a feed says.
pub(super) enum Word {
    /// It got an answer; or it was refused in a way that says nothing about other feeds and sources.
    Answered,
    /// It could not sign in.
    Refused(StageError),
}

/// Reads a feed until it ends, which with [`Mode::Follow`] is never. `began`: when the tenant was first read; what is
/// "seven days ago" at the start counts from there.
///
/// # Errors
/// If the store fails; with [`Mode::Once`] also if the service refuses.
pub(super) async fn run(fetch: Fetch, began: Timestamp, speak: mpsc::UnboundedSender<Word>) -> Result<(), StageError> {
    let books = Books::open(&fetch, began)?;
    let keeper = Keeper::new(&fetch, &books);
    let mut reader = Reader::new(&fetch, &books, speak);
    if books.waiting_bytes() > 0 {
        // The tenant is not begun anew for a refused sign-in: what waits here would have to wait again.
        reader.say(Word::Answered);
    }
    let reading = async {
        let read = reader.run().await;
        // Whatever the end is, what was read before it arrives.
        books.all_sent().await;
        read
    };
    tokio::select! {
        read = reading => read?,
        sent = keeper.send() => sent?,
        watched = keeper.watch() => watched?,
    }
    Ok(keeper.settle()?)
}

struct Reader<'a> {
    fetch: &'a Fetch,
    books: &'a Books,
    room: Room<'a>,
    mode: Mode,
    /// Where reading ends, and whether that is "now".
    until: Option<Timestamp>,
    ends_now: bool,
    span: Span,
    speak: Option<mpsc::UnboundedSender<Word>>,
    passing: Backoff,
    lasting: Backoff,
    telling: Telling,
}

impl<'a> Reader<'a> {
    fn new(fetch: &'a Fetch, books: &'a Books, speak: mpsc::UnboundedSender<Word>) -> Reader<'a> {
        let timing = &fetch.shared.timing;
        let now = fetch.connection.clock.now();
        let once = timing.mode == Mode::Once;
        Reader {
            fetch,
            books,
            room: Room::new(fetch, books),
            mode: timing.mode,
            until: once.then(|| timing.until.map_or(now, |until| until.from(now))),
            ends_now: once && timing.until.is_none(),
            span: Span::new(fetch.feed.pace().longest),
            speak: Some(speak),
            passing: Backoff::new(PASSING.0, PASSING.1),
            lasting: Backoff::new(LASTING.0, LASTING.1),
            telling: Telling::default(),
        }
    }

    async fn run(&mut self) -> Result<(), StageError> {
        let clock = self.fetch.connection.clock.clone();
        loop {
            let began = clock.now();
            let next = match self.pass().await {
                Ok(()) if self.is_done() => return Ok(()),
                Ok(()) => plus(began, self.fetch.shared.timing.interval).min(self.behind_the_end()),
                Err(Failed::Store(error)) => return Err(error.into()),
                Err(Failed::Trouble(trouble)) if trouble.is_unlicensed() && self.mode == Mode::Once => {
                    return Ok(self.none_here(&trouble)?);
                }
                Err(Failed::Trouble(trouble)) => plus(clock.now(), self.report(trouble)?),
                // A window that cannot be made shorter is a gap, so none comes here; waiting is right all the same.
                Err(Failed::Window(..)) => plus(clock.now(), self.passing.next()),
            };
            clock.sleep_until(next).await;
        }
    }

    /// When the service's clock, which may be behind ours, will have reached the end.
    fn behind_the_end(&self) -> Timestamp {
        let left = |until| between(self.fetch.connection.client.service_now(), until) + Duration::from_secs(1);
        self.until.map_or(Timestamp::MAX, |until| plus(self.fetch.connection.clock.now(), left(until)))
    }

    /// Whether the end was reached.
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.books.newest().as_second() >= until.as_second())
    }

    /// Reads everything that is due.
    async fn pass(&mut self) -> Result<(), Failed> {
        let client = &self.fetch.connection.client;
        let now = client.service_now();
        self.forget(now)?;
        for mut stretch in self.books.due(now, self.until, self.mode == Mode::Once) {
            loop {
                self.room.wait(stretch.start).await;
                let asked = client.service_now();
                // Reading may have waited for days; and a clock of ours that is ahead is known to be by the first answer.
                self.forget(asked)?;
                stretch = stretch.within(self.books.known(asked), asked);
                if stretch.start >= stretch.end {
                    break;
                }
                let window = self.span.window(&stretch);
                let read = self.read(&window).await;
                let asked = asked.min(client.service_now());
                let lacks = match read {
                    Ok(pages) => {
                        self.say(Word::Answered);
                        self.recovered();
                        self.span.learn(pages);
                        None
                    }
                    Err(Failed::Window(why, reason)) => {
                        self.fetch.shared.context.metrics.error("bad_page");
                        if self.span.shrink(window.length()) {
                            tracing::debug!(component = %self.fetch.shared.context.id, "{}: {window}: {why}; a shorter window is next", self.fetch);
                            continue;
                        }
                        tracing::error!(
                            component = %self.fetch.shared.context.id,
                            "{}: {window}: {why}; what could be read was sent, the rest is in the list of `downspout gaps`",
                            self.fetch
                        );
                        Some((reason, why))
                    }
                    // Services refuse what is to come. Now it is known what time it is there.
                    Err(Failed::Trouble(_)) if window.end > asked => continue,
                    Err(failed) => {
                        if matches!(&failed, Failed::Trouble(trouble) if trouble.is_transient()) {
                            self.span.shrink(window.length());
                        }
                        return Err(failed);
                    }
                };
                let window = window.within(window.start, asked);
                self.books.done(window, asked, lacks.as_ref().map(|(reason, why)| (*reason, why.as_str())))?;
                self.until = self.until.map(|until| if self.ends_now { until.min(asked) } else { until });
                stretch.start = window.end;
            }
        }
        Ok(())
    }

    /// Reads one window from its first page to its last. Gives the number of pages.
    async fn read(&mut self, window: &Window) -> Result<usize, Failed> {
        let mut walk = Walk::default();
        let mut target = self.fetch.feed.ask(window);
        loop {
            let Fetched { page, answer } = self.fetch.page(&mut walk, &target).await?;
            if page.cut && window.length() > Duration::from_secs(1) {
                let why =
                    format!("{} records, and the service does not say whether there are more", page.records.len());
                return Err(Failed::Window(why, Reason::Incomplete));
            }
            let waiting = self.books.append(&answer.body, &page, self.fetch.feed.id(), window)?;
            self.fetch.shared.waits(self.books.shard(), waiting);
            if page.cut {
                let why = "the service gives out no more for one second, and does not say whether there is more";
                return Err(Failed::Window(why.to_owned(), Reason::Incomplete));
            }
            let headers = answer.headers.clone();
            drop(answer);
            self.fetch.courtesy(&headers).await;
            match page.next {
                None => return Ok(walk.pages()),
                Some(next) => target = next,
            }
            self.room.wait(window.start).await;
            if window.start < self.books.known(self.fetch.connection.client.service_now()) {
                let why = "the sinks took nothing for so long that the service has it no longer";
                return Err(Failed::Window(why.to_owned(), Reason::Expired));
            }
        }
    }

    /// Passes over what the service has forgotten. Behind the end nothing is missing.
    fn forget(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.is_done() {
            return Ok(());
        }
        if let Some(lost) = self.books.forget(now)? {
            tracing::error!(
                component = %self.fetch.shared.context.id,
                "{}: {lost} was never read, and the service no longer has it; see `downspout gaps`",
                self.fetch
            );
        }
        Ok(())
    }

    /// The tenant does not have this log: told and noted, but no failure of a read that should end.
    fn none_here(&self, trouble: &Trouble) -> Result<(), StoreError> {
        tracing::error!(component = %self.fetch.shared.context.id, "{}: {trouble}", self.fetch);
        match self.until {
            Some(end) => {
                let window = Window { start: self.books.newest(), end };
                self.books.missing(window, Reason::NotAvailable, &trouble.to_string())
            }
            None => Ok(()),
        }
    }

    fn say(&mut self, word: Word) {
        if let Some(speak) = self.speak.take() {
            // The tenant may be gone already; then nobody needs to know.
            let _ = speak.send(word);
        }
    }

    fn recovered(&mut self) {
        if self.passing.failures() > 0 || self.lasting.failures() > 0 {
            tracing::info!(component = %self.fetch.shared.context.id, "{}: it is being read again", self.fetch);
        }
        self.passing.reset();
        self.lasting.reset();
        self.telling.pass();
    }

    /// Reports trouble, and says how long to wait.
    ///
    /// # Errors
    /// The trouble, if the read should end and waiting does not help.
    fn report(&mut self, trouble: Trouble) -> Result<Duration, StageError> {
        self.fetch.shared.context.metrics.error(trouble.error_type());
        let place = self.fetch.to_string();
        if trouble.is_transient() {
            let pause = self.passing.next();
            if self.mode == Mode::Once && self.passing.failures() > PATIENCE {
                return Err(StageError::stop(trouble.error_type(), format!("{place}: {trouble}; {GIVEN_UP}")));
            }
            let (now, component) = (self.fetch.connection.clock.now(), &self.fetch.shared.context.id);
            match self.telling.tell(now, false, false) {
                Some(Level::WARN) => tracing::warn!(%component, "{place}: {trouble}; it is tried again until it works"),
                Some(_) => {
                    tracing::error!(%component, "{place}: {trouble}; it lasts, and is tried again until it works")
                }
                None => {}
            }
            return Ok(pause);
        }
        let pause = self.lasting.next();
        self.say(if trouble.is_sign_in() { Word::Refused(trouble.at(&place)) } else { Word::Answered });
        if self.mode == Mode::Once {
            return Err(trouble.at(&place));
        }
        tracing::error!(
            component = %self.fetch.shared.context.id,
            "{place}: {trouble}. The other feeds run on; next try in {} minutes", pause.as_secs() / 60
        );
        Ok(pause)
    }
}
