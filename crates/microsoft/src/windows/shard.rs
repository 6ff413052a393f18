//! One feed of one tenant: reads what is due, journals it, sends it, and waits.
//!
//! Three things are remembered in the store: how far each age has been read (the cursors), what of the overlap was
//! sent (`seen`), and what was sent and is not acknowledged (the journal). A page's records go into the last two in one
//! transaction, before they are sent; the cursors move behind a window's last page. Killed at any instruction, the
//! feed sends the journal again under the same positions, and reads the window again that it was in: what is known
//! of it already is not sent again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::metrics::FeedMetrics;
use downspout_core::stage::{Closed, Output};
use downspout_core::store::{StoreError, Write, key};
use downspout_core::{Context, StageError};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::feed::{self, Feed, Page, Target, has};
use super::plan::{Cursors, Schedule, Window};
use super::seen::{Hash, Seen, hash};
use super::span::Span;
use super::timing::Timing;
use super::walk::Walk;
use crate::client::{Answer, Backoff, Trouble, Verdict};
use crate::clock::{between, minus, plus};
use crate::config::{Connection, Mode};
use crate::journal::Journal;
use crate::ledger::{Gap, Ledger, Reason};

/// How often a page is asked for that is not what it should be.
const TRIES: u32 = 4;

/// Pauses between those, and between failures of a feed that pass by themselves.
const SHORT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const PASSING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// Pauses of a feed that was refused: consent and licences may come any hour.
const LASTING: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3600));

/// After that many failures in a row, a read that should end gives up.
const PATIENCE: u32 = 8;

/// With more than that in the journal, reading waits for acknowledgements.
const MOST_WAITING: usize = 64 << 20;

/// The longest pause that a service may ask for in a good answer.
const COURTESY: Duration = Duration::from_secs(300);

/// Graph's code for tenants without Entra ID P1 or P2.
const NO_LICENCE: &str = "Authentication_RequestFromNonPremiumTenantOrB2CTenant";

/// The first thing that a feed says.
pub(super) enum Word {
    /// It got an answer; or it was refused in a way that says nothing about other feeds and sources.
    Answered,
    /// It could not sign in.
    Refused(StageError),
}

/// Why reading a window ended early.
enum Failed {
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

/// Reads a feed until it ends, which with [`Mode::Follow`] is never.
///
/// # Errors
/// If the store fails; with [`Mode::Once`] also if the service refuses.
pub(super) async fn run(
    context: Context,
    connection: Connection,
    output: Arc<Output>,
    timing: Timing,
    feed: Arc<dyn Feed>,
    speak: mpsc::UnboundedSender<Word>,
) -> Result<(), StageError> {
    let mut shard = Shard::open(context, connection, output, timing, feed, speak)?;
    let replayed = shard.journal.waiting_bytes() > 0;
    if shard.journal.replay(&shard.output).await?.is_err() {
        return Ok(());
    }
    if replayed {
        // From here on this feed must not begin anew in this process: its records would come twice.
        shard.say(Word::Answered);
    }
    shard.run().await
}

struct Shard {
    context: Context,
    connection: Connection,
    output: Arc<Output>,
    feed: Arc<dyn Feed>,
    mode: Mode,
    interval: Duration,
    until: Option<Timestamp>,
    schedule: Schedule,
    span: Span,
    cursors: Cursors,
    seen: Seen,
    journal: Journal,
    ledger: Ledger,
    metrics: FeedMetrics,
    speak: Option<mpsc::UnboundedSender<Word>>,
    passing: Backoff,
    lasting: Backoff,
}

impl Shard {
    fn open(
        context: Context,
        connection: Connection,
        output: Arc<Output>,
        timing: Timing,
        feed: Arc<dyn Feed>,
        speak: mpsc::UnboundedSender<Word>,
    ) -> Result<Shard, StageError> {
        let (store, name) = (&context.store, connection.tenant.shard(feed.name()));
        let pace = feed.pace();
        let once = timing.mode == Mode::Once;
        // A read that ends has no second chance at what has not settled.
        let settle = if once { Duration::ZERO } else { pace.settle };
        let overlap = timing.overlap.unwrap_or(pace.overlap);
        let schedule = Schedule::new(timing.interval, overlap, settle, pace.keeps);
        let now = connection.clock.now();
        let known = store.get(&cursors_key(&context.id, &name))?;
        let first = known.is_none();
        let cursors = match known {
            Some(value) => {
                serde_json::from_slice::<Cursors>(&value).map(|cursors| cursors.adapt(&schedule)).map_err(|error| {
                    StageError::stop("store", format!("{name}: the cursors in the store are damaged: {error}"))
                })?
            }
            None => Cursors::new(&schedule, timing.start.from(now).max(minus(now, pace.keeps))),
        };
        let until = once.then(|| timing.until.map_or(now, |until| until.from(now)));
        let mut shard = Shard {
            schedule,
            cursors,
            until,
            mode: timing.mode,
            interval: timing.interval,
            span: Span::new(pace.longest),
            seen: Seen::load(store, &context.id, &name)?,
            journal: Journal::open(Arc::clone(store), &context.id, &name)?,
            ledger: Ledger::load(store, &context.id, &connection.tenant.id, feed.name())?,
            metrics: context.metrics.feed(connection.tenant.label(), feed.name()),
            speak: Some(speak),
            passing: Backoff::new(PASSING.0, PASSING.1),
            lasting: Backoff::new(LASTING.0, LASTING.1),
            context,
            connection,
            output,
            feed,
        };
        if first {
            // "Seven days ago" is counted from here on, whenever the first window succeeds.
            shard.save()?;
        }
        Ok(shard)
    }

    async fn run(mut self) -> Result<(), StageError> {
        let clock = self.connection.clock.clone();
        loop {
            let began = clock.now();
            let next = match self.pass().await {
                Ok(()) => {
                    self.recovered();
                    if self.until.is_some_and(|until| self.cursors.newest().as_second() >= until.as_second()) {
                        return Ok(());
                    }
                    plus(began, self.interval)
                }
                Err(Failed::Closed) => return Ok(()),
                Err(Failed::Store(error)) => return Err(error.into()),
                Err(Failed::Trouble(trouble)) if trouble.code == NO_LICENCE && self.mode == Mode::Once => {
                    return Ok(self.none_here(&trouble)?);
                }
                Err(Failed::Trouble(trouble)) => plus(clock.now(), self.report(trouble)?),
                Err(Failed::Window(why, _)) => {
                    // A window that cannot be made shorter is a gap, so none comes here; waiting is right all the same.
                    tracing::warn!(component = %self.context.id, "{self}: {why}");
                    plus(clock.now(), self.passing.next())
                }
            };
            self.settle()?;
            clock.sleep_until(next).await;
            self.settle()?;
        }
    }

    /// Reads everything that is due.
    async fn pass(&mut self) -> Result<(), Failed> {
        let now = self.connection.client.service_now();
        if let Some(lost) = self.cursors.forget(&self.schedule, now) {
            let detail = format!("the service keeps it for {} days", self.feed.pace().keeps.as_secs() / 86_400);
            self.gap(lost, Reason::Expired, &detail);
            self.save()?;
        }
        for mut stretch in self.cursors.due(&self.schedule, now, self.until, self.mode == Mode::Once) {
            while stretch.start < stretch.end {
                let window = self.span.window(&stretch);
                let asked = self.connection.client.service_now();
                match self.read(&window).await {
                    Ok(pages) => {
                        self.answered();
                        self.span.learn(pages);
                    }
                    Err(Failed::Window(why, reason)) => {
                        self.context.metrics.error("bad_page");
                        if self.span.shrink(window.length()) {
                            tracing::debug!(component = %self.context.id, "{self}: {window}: {why}; a shorter window is next");
                            continue;
                        }
                        tracing::error!(
                            component = %self.context.id,
                            "{self}: {window}: {why}; what could be read was sent, the rest is in the list of `downspout gaps`"
                        );
                        self.gap(window, reason, &why);
                    }
                    Err(failed) => {
                        if matches!(&failed, Failed::Trouble(trouble) if trouble.is_transient()) {
                            self.span.shrink(window.length());
                        }
                        return Err(failed);
                    }
                }
                self.ledger.listed(window.start, window.end);
                self.cursors.advance(&self.schedule, window, asked);
                self.save()?;
                stretch.start = window.end;
            }
        }
        Ok(())
    }

    /// Reads one window from its first page to its last. Gives the number of pages.
    async fn read(&mut self, window: &Window) -> Result<usize, Failed> {
        let mut walk = Walk::default();
        let mut target = self.feed.ask(window);
        loop {
            let (answer, page) = self.page(&mut walk, &target).await?;
            if page.cut && window.length() > Duration::from_secs(1) {
                let why =
                    format!("{} records, and the service does not say whether there are more", page.records.len());
                return Err(Failed::Window(why, Reason::Incomplete));
            }
            self.keep(&answer.body, &page, window).await?;
            if page.cut {
                let why = "the service gives out no more for one second, and does not say whether there is more";
                return Err(Failed::Window(why.to_owned(), Reason::Incomplete));
            }
            self.courtesy(&answer).await;
            match page.next {
                None => return Ok(walk.pages()),
                Some(next) => target = next,
            }
        }
    }

    /// Asks for a page, again if it is not what it should be.
    async fn page(&self, walk: &mut Walk, target: &Target) -> Result<(Answer<bytes::Bytes>, Page), Failed> {
        let mut backoff = Backoff::new(SHORT.0, SHORT.1);
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
            tracing::debug!(component = %self.context.id, "{self}: page {}: {}; asking again", walk.pages() + 1, why.0);
            self.connection.clock.sleep(pause).await;
        }
    }

    /// One request, with the client's own patience. `first`: of a window's first page.
    async fn ask(&self, target: &Target, first: bool) -> Result<Answer<bytes::Bytes>, Failed> {
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

    /// Journals and sends what of a page was not sent yet.
    async fn keep(&mut self, text: &[u8], page: &Page, window: &Window) -> Result<(), Failed> {
        let mut fresh: Vec<&[u8]> = Vec::with_capacity(page.records.len());
        let mut hashes: Vec<Hash> = Vec::new();
        let mut here = std::collections::HashSet::new();
        for place in &page.records {
            let record = &text[place.clone()];
            if has(record, self.feed.id()) {
                let hash = hash(record);
                if self.seen.contains(&hash) || !here.insert(hash) {
                    continue;
                }
                hashes.push(hash);
            }
            fresh.push(record);
        }
        if fresh.is_empty() {
            return Ok(());
        }
        self.room().await?;
        self.ledger.unit(window.start, self.journal.next_sequence());
        let also = vec![self.seen.remember(&hashes, window.end), self.ledger.write()];
        if let Some(unit) = self.journal.append(&fresh, also)? {
            self.journal.send(&self.output, unit).await?;
        }
        self.journal.forget_acknowledged()?;
        Ok(())
    }

    /// Waits while very much is not acknowledged: a sink is slow, or down.
    async fn room(&mut self) -> Result<(), StoreError> {
        while self.journal.waiting_bytes() > MOST_WAITING {
            // In the machine's time: so does the sink work.
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.journal.forget_acknowledged()?;
        }
        Ok(())
    }

    /// Some services ask for a pause in a good answer.
    async fn courtesy(&self, answer: &Answer<bytes::Bytes>) {
        let asked = answer.headers.get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        if let Some(seconds) = asked.and_then(|text| text.trim().parse().ok()) {
            self.connection.clock.sleep(Duration::from_secs(seconds).min(COURTESY)).await;
        }
    }

    /// Makes cursors and ledger durable, and forgets what is not read again.
    fn save(&mut self) -> Result<(), StoreError> {
        let cursors = serde_json::to_vec(&self.cursors).unwrap_or_default();
        let mut writes = self.seen.forget(&self.context.store, self.cursors.oldest())?;
        writes.push(Write::set(cursors_key(&self.context.id, self.journal.shard()), cursors));
        writes.push(self.ledger.write());
        self.context.store.write_all(&writes)
    }

    /// Takes note of acknowledgements, and shows where the feed stands.
    fn settle(&mut self) -> Result<(), StoreError> {
        let reached = self.journal.forget_acknowledged()?;
        if self.ledger.settle(reached) {
            self.context.store.write_all(&[self.ledger.write()])?;
        }
        let now = self.connection.client.service_now();
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        self.metrics.lag_seconds.set(seconds(between(self.cursors.newest(), now)));
        self.metrics.gaps.set(i64::try_from(self.ledger.open().count()).unwrap_or(i64::MAX));
        let waiting = self.ledger.state().windows.iter().find(|window| window.last > reached);
        let age = waiting.map_or(Duration::ZERO, |window| between(window.start, now));
        self.metrics.oldest_unacknowledged_seconds.set(seconds(age));
        // What was read is journalled, and safe. What was not read yet goes when the service forgets it.
        let left = self.feed.pace().keeps.saturating_sub(between(self.cursors.newest(), now));
        self.metrics.expires_in_seconds.set(seconds(left));
        Ok(())
    }

    fn gap(&mut self, window: Window, reason: Reason, detail: &str) {
        let Window { start, end } = window;
        if reason == Reason::Expired {
            tracing::error!(
                component = %self.context.id,
                "{self}: {window} was never read, and the service no longer has it: {detail}"
            );
        }
        self.ledger.gap(Gap { start, end, reason, detail: detail.to_owned(), items: 0, filled_by: None });
    }

    /// The tenant does not have this log: told and noted, but no failure of a read that should end.
    fn none_here(&mut self, trouble: &Trouble) -> Result<(), StoreError> {
        tracing::error!(component = %self.context.id, "{self}: {trouble}");
        if let Some(end) = self.until {
            let window = Window { start: self.cursors.newest(), end };
            self.gap(window, Reason::NotAvailable, &trouble.to_string());
        }
        self.save()
    }

    fn say(&mut self, word: Word) {
        if let Some(speak) = self.speak.take() {
            // The tenant may be gone already; then nobody needs to know.
            let _ = speak.send(word);
        }
    }

    fn answered(&mut self) {
        self.say(Word::Answered);
    }

    fn recovered(&mut self) {
        if self.passing.failures() > 0 || self.lasting.failures() > 0 {
            tracing::info!(component = %self.context.id, "{self}: it is being read again");
        }
        self.passing.reset();
        self.lasting.reset();
    }

    /// Reports trouble, and says how long to wait.
    ///
    /// # Errors
    /// The trouble, if the read should end and waiting does not help.
    fn report(&mut self, trouble: Trouble) -> Result<Duration, StageError> {
        self.context.metrics.error(trouble.error_type());
        let place = self.to_string();
        if trouble.is_transient() {
            let first = self.passing.failures() == 0;
            let pause = self.passing.next();
            if self.mode == Mode::Once && self.passing.failures() > PATIENCE {
                return Err(StageError::stop(trouble.error_type(), format!("{place}: {trouble}")));
            }
            if first {
                tracing::warn!(component = %self.context.id, "{place}: {trouble}; it is tried again until it works");
            }
            return Ok(pause);
        }
        let pause = self.lasting.next();
        self.say(if trouble.is_sign_in() { Word::Refused(trouble.at(&place)) } else { Word::Answered });
        if self.mode == Mode::Once {
            return Err(trouble.at(&place));
        }
        tracing::error!(
            component = %self.context.id,
            "{place}: {trouble}. The other feeds run on; next try in {} minutes", pause.as_secs() / 60
        );
        Ok(pause)
    }
}

/// As messages call it.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {}, {}", self.connection.tenant.label(), self.feed.name())
    }
}

fn cursors_key(source: &str, shard: &str) -> Vec<u8> {
    key(&[b"windows", source.as_bytes(), shard.as_bytes()])
}
