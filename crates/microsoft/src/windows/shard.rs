//! One feed of one tenant: reads what is due, journals it, sends it, and waits.
//!
//! Three things are remembered in the store: how far each age has been read (the cursors), what of the overlap was
//! sent (`seen`), and what was sent and is not acknowledged (the journal). A page's records go into the last two in one
//! transaction, before they are sent; the cursors move behind a window's last page. Killed at any instruction, the
//! feed sends the journal again under the same positions, and reads the window again that it was in: what is known
//! of it already is not sent again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::StageError;
use downspout_core::metrics::FeedMetrics;
use downspout_core::store::{StoreError, Write, key};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::feed::{Page, has};
use super::fetch::{Failed, Fetch, Fetched};
use super::plan::{Cursors, Schedule, Window};
use super::seen::{Hash, Seen, hash};
use super::span::Span;
use super::walk::Walk;
use crate::client::{Backoff, Trouble};
use crate::clock::{between, minus, plus};
use crate::config::{GIVEN_UP, Mode};
use crate::journal::Journal;
use crate::ledger::{Gap, Ledger, Reason};

/// Pauses of a feed whose trouble passes by itself.
const PASSING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// Pauses of a feed that was refused: consent and licences may come any hour.
const LASTING: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3600));

/// After that many failures in a row, a read that should end gives up.
const PATIENCE: u32 = 8;

/// With more than that in a feed's journal, reading waits for acknowledgements. Packed, it is some gigabytes of records:
/// a sink that commits rarely must not have to wait for itself.
const MOST_WAITING: usize = 256 << 20;

/// Graph's code for tenants without Entra ID P1 or P2.
const NO_LICENCE: &str = "Authentication_RequestFromNonPremiumTenantOrB2CTenant";

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
    let mut shard = Shard::open(fetch, began, speak)?;
    let replayed = shard.journal.waiting_bytes() > 0;
    if shard.journal.replay(&shard.fetch.shared.output).await?.is_err() {
        return Ok(());
    }
    if replayed {
        // From here on the tenant is not begun anew for a refused sign-in: what waits here would have to wait again.
        shard.say(Word::Answered);
    }
    shard.run().await
}

struct Shard {
    fetch: Fetch,
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
    fn open(fetch: Fetch, began: Timestamp, speak: mpsc::UnboundedSender<Word>) -> Result<Shard, StageError> {
        let Fetch { shared, connection, feed, .. } = &fetch;
        let (context, timing) = (&shared.context, &shared.timing);
        let (store, name) = (&context.store, connection.tenant.shard(feed.name()));
        let pace = feed.pace();
        let once = timing.mode == Mode::Once;
        // A read that ends has no second chance at what has not settled.
        let settle = if once { Duration::ZERO } else { pace.settle };
        let overlap = timing.overlap.unwrap_or(pace.overlap);
        let schedule = Schedule::new(timing.interval, overlap, settle, pace.keeps);
        let now = connection.clock.now();
        let cursors = match store.get(&cursors_key(&context.id, &name))? {
            Some(value) => {
                serde_json::from_slice::<Cursors>(&value).map(|cursors| cursors.adapt(&schedule)).map_err(|error| {
                    StageError::stop("store", format!("{name}: the cursors in the store are damaged: {error}"))
                })?
            }
            None => {
                let (wanted, known) = (timing.start.from(began), minus(now, pace.keeps));
                if wanted < known {
                    let days = pace.keeps.as_secs().div_ceil(86_400);
                    tracing::info!(component = %context.id, "{fetch}: the service goes {days} days back, so reading begins there");
                }
                Cursors::new(&schedule, wanted.max(known))
            }
        };
        let until = once.then(|| timing.until.map_or(now, |until| until.from(now)));
        Ok(Shard {
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
            fetch,
        })
    }

    async fn run(mut self) -> Result<(), StageError> {
        let clock = self.fetch.connection.clock.clone();
        loop {
            let began = clock.now();
            let next = match self.pass().await {
                Ok(()) => {
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
                // A window that cannot be made shorter is a gap, so none comes here; waiting is right all the same.
                Err(Failed::Window(..)) => plus(clock.now(), self.passing.next()),
            };
            self.settle()?;
            clock.sleep_until(next).await;
            self.settle()?;
        }
    }

    /// Reads everything that is due.
    async fn pass(&mut self) -> Result<(), Failed> {
        let now = self.fetch.connection.client.service_now();
        if let Some(lost) = self.cursors.forget(&self.schedule, now) {
            let detail = format!("the service keeps it for {} days", self.fetch.feed.pace().keeps.as_secs() / 86_400);
            self.gap(lost, Reason::Expired, &detail);
            self.save()?;
        }
        for mut stretch in self.cursors.due(&self.schedule, now, self.until, self.mode == Mode::Once) {
            while stretch.start < stretch.end {
                let window = self.span.window(&stretch);
                let asked = self.fetch.connection.client.service_now();
                match self.read(&window).await {
                    Ok(pages) => {
                        self.say(Word::Answered);
                        self.recovered();
                        self.span.learn(pages);
                        // What was missing of it has been read now.
                        self.ledger.fill(window.start, window.end, "reading it again");
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
        let mut target = self.fetch.feed.ask(window);
        loop {
            let Fetched { page, answer } = self.fetch.page(&mut walk, &target).await?;
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
            let headers = answer.headers.clone();
            drop(answer);
            self.fetch.courtesy(&headers).await;
            match page.next {
                None => return Ok(walk.pages()),
                Some(next) => target = next,
            }
        }
    }

    /// Journals and sends what of a page was not sent yet.
    async fn keep(&mut self, text: &[u8], page: &Page, window: &Window) -> Result<(), Failed> {
        let mut fresh: Vec<&[u8]> = Vec::with_capacity(page.records.len());
        let mut hashes: Vec<Hash> = Vec::new();
        let mut here = HashSet::new();
        for place in &page.records {
            let record = &text[place.clone()];
            if has(record, self.fetch.feed.id()) {
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
            self.journal.send(&self.fetch.shared.output, unit).await?;
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

    /// Makes cursors and ledger durable, and forgets what is not read again.
    fn save(&mut self) -> Result<(), StoreError> {
        let cursors = serde_json::to_vec(&self.cursors).unwrap_or_default();
        let mut writes = self.seen.forget(&self.fetch.shared.context.store, self.cursors.oldest())?;
        writes.push(Write::set(cursors_key(&self.fetch.shared.context.id, self.journal.shard()), cursors));
        writes.push(self.ledger.write());
        self.fetch.shared.context.store.write_all(&writes)
    }

    /// Takes note of acknowledgements, and shows where the feed stands.
    fn settle(&mut self) -> Result<(), StoreError> {
        let reached = self.journal.forget_acknowledged()?;
        if self.ledger.settle(reached) {
            self.fetch.shared.context.store.write_all(&[self.ledger.write()])?;
        }
        let now = self.fetch.connection.client.service_now();
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let lag = seconds(between(self.cursors.newest(), now));
        self.metrics.lag_seconds.set(lag);
        self.fetch.shared.lag(self.journal.shard(), lag);
        self.metrics.gaps.set(i64::try_from(self.ledger.open().count()).unwrap_or(i64::MAX));
        let waiting = self.ledger.state().windows.iter().find(|window| window.last > reached);
        let age = waiting.map_or(Duration::ZERO, |window| between(window.start, now));
        self.metrics.oldest_unacknowledged_seconds.set(seconds(age));
        // What was read is journalled, and safe. What was not read yet goes when the service forgets it.
        let left = self.fetch.feed.pace().keeps.saturating_sub(between(self.cursors.newest(), now));
        self.metrics.expires_in_seconds.set(seconds(left));
        Ok(())
    }

    fn gap(&mut self, window: Window, reason: Reason, detail: &str) {
        let Window { start, end } = window;
        if reason == Reason::Expired {
            tracing::error!(
                component = %self.fetch.shared.context.id,
                "{}: {window} was never read, and the service no longer has it: {detail}",
                self.fetch
            );
        }
        self.ledger.gap(Gap { start, end, reason, detail: detail.to_owned(), items: 0, filled_by: None });
    }

    /// The tenant does not have this log: told and noted, but no failure of a read that should end.
    fn none_here(&mut self, trouble: &Trouble) -> Result<(), StoreError> {
        tracing::error!(component = %self.fetch.shared.context.id, "{}: {trouble}", self.fetch);
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

    fn recovered(&mut self) {
        if self.passing.failures() > 0 || self.lasting.failures() > 0 {
            tracing::info!(component = %self.fetch.shared.context.id, "{}: it is being read again", self.fetch);
        }
        self.passing.reset();
        self.lasting.reset();
    }

    /// Reports trouble, and says how long to wait.
    ///
    /// # Errors
    /// The trouble, if the read should end and waiting does not help.
    fn report(&mut self, trouble: Trouble) -> Result<Duration, StageError> {
        self.fetch.shared.context.metrics.error(trouble.error_type());
        let place = self.fetch.to_string();
        if trouble.is_transient() {
            let first = self.passing.failures() == 0;
            let pause = self.passing.next();
            if self.mode == Mode::Once && self.passing.failures() > PATIENCE {
                return Err(StageError::stop(trouble.error_type(), format!("{place}: {trouble}; {GIVEN_UP}")));
            }
            if first {
                tracing::warn!(component = %self.fetch.shared.context.id, "{place}: {trouble}; it is tried again until it works");
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

fn cursors_key(source: &str, shard: &str) -> Vec<u8> {
    key(&[b"windows", source.as_bytes(), shard.as_bytes()])
}
