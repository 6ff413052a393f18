//! What a feed remembers in the store, behind a lock: who reads, who sends and who keeps house take turns.
//!
//! Four things: how far each age has been read (the cursors), what of the overlap was journalled (`seen`), what was
//! journalled and is not acknowledged (the journal), and what was listed and lost (the ledger). A page's records go
//! into the journal and into `seen` in one transaction; the cursors move behind a window's last page.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use downspout_core::store::{StoreError, key};
use downspout_core::{StageError, Store};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::feed::{Page, has};
use super::fetch::Fetch;
use super::plan::{Cursors, Schedule, Window};
use super::seen::{Hash, Seen, hash};
use crate::clock::between;
use crate::config::Mode;
use crate::journal::{Journal, Unit};
use crate::ledger::{Ledger, Reason};
use crate::stored;

/// A feed that begins where the service's memory does loses its very beginning while the first window is asked for.
/// Nobody was promised that, so up to this much of it is no gap.
const EDGE: Duration = Duration::from_secs(3600);

/// The books of one feed of one tenant.
pub(super) struct Books {
    store: Arc<Store>,
    source: String,
    shard: String,
    schedule: Schedule,
    state: Mutex<State>,
    /// Something was journalled.
    news: Notify,
    /// The number of the last page that was sent.
    sent: watch::Sender<u64>,
}

struct State {
    cursors: Cursors,
    seen: Seen,
    journal: Journal,
    ledger: Ledger,
    /// Where the service's memory began, if the feed begins there and has not been read yet.
    edge: Option<Timestamp>,
}

/// Where a feed stands.
pub(super) struct Standing {
    /// Up to when it has been read.
    pub(super) newest: Timestamp,
    /// From when the oldest is that was read and is not acknowledged.
    pub(super) waiting_since: Option<Timestamp>,
    /// How many bytes of the journal are not acknowledged.
    pub(super) waiting_bytes: usize,
    /// How many gaps are open.
    pub(super) gaps: usize,
}

impl Books {
    /// The books as the last run left them. `began`: when the tenant was first read.
    pub(super) fn open(fetch: &Fetch, began: Timestamp) -> Result<Books, StageError> {
        let Fetch { shared, connection, feed, .. } = fetch;
        let (context, timing) = (&shared.context, &shared.timing);
        let (store, shard) = (&context.store, connection.tenant.shard(feed.name()));
        let pace = feed.pace();
        // A read that ends has no second chance at what has not settled.
        let settle = if timing.mode == Mode::Once { Duration::ZERO } else { pace.settle };
        let schedule = Schedule::new(timing.interval, timing.overlap.unwrap_or(pace.overlap), settle, pace.keeps);
        let mut edge = None;
        let cursors = match store.get(&cursors_key(&context.id, &shard))? {
            Some(value) => {
                serde_json::from_slice::<Cursors>(&value).map(|cursors| cursors.adapt(&schedule)).map_err(|error| {
                    StageError::stop("store", format!("{shard}: the cursors in the store are damaged: {error}"))
                })?
            }
            None => {
                let (wanted, known) = (timing.start.from(began), schedule.known(connection.clock.now()));
                if wanted < known {
                    let days = days(schedule.keeps());
                    tracing::info!(component = %context.id, "{fetch}: the service goes {days} days back, so reading begins there");
                    edge = Some(known);
                }
                Cursors::new(&schedule, wanted.max(known))
            }
        };
        let journal = Journal::open(Arc::clone(store), &context.id, &shard)?;
        let sent = watch::Sender::new(journal.acknowledged()?);
        let seen = Seen::load(store, &context.id, &shard)?;
        let wanted = timing.start.from(began).max(schedule.known(connection.clock.now()));
        let ledger = Ledger::begin(store, &context.id, &connection.tenant.id, feed.name())?;
        if let Some(told) = ledger.state().began_later(wanted) {
            tracing::warn!(component = %context.id, "{fetch}: {told}");
        }
        Ok(Books {
            store: Arc::clone(store),
            source: context.id.to_string(),
            shard,
            schedule,
            state: Mutex::new(State { cursors, seen, journal, ledger, edge }),
            news: Notify::new(),
            sent,
        })
    }

    /// The shard.
    pub(super) fn shard(&self) -> &str {
        &self.shard
    }

    /// Up to when the feed has been read.
    pub(super) fn newest(&self) -> Timestamp {
        self.lock().cursors.newest()
    }

    /// From when on the service knows anything.
    pub(super) fn known(&self, now: Timestamp) -> Timestamp {
        self.schedule.known(now)
    }

    /// What is to be read now, as [`Cursors::due`].
    pub(super) fn due(&self, now: Timestamp, until: Option<Timestamp>, all: bool) -> Vec<Window> {
        self.lock().cursors.due(&self.schedule, now, until, all)
    }

    /// Passes over what the service has forgotten. Gives the stretch that was never read, if there is one: it is a gap.
    pub(super) fn forget(&self, now: Timestamp) -> Result<Option<Window>, StoreError> {
        let mut state = self.lock();
        let Some(lost) = state.cursors.forget(&self.schedule, now) else { return Ok(None) };
        if state.edge.is_some_and(|edge| between(edge, lost.end) <= EDGE) {
            return Ok(None);
        }
        let detail = format!("the service keeps it for {} days", days(self.schedule.keeps()));
        state.ledger.gap(lost.gap(Reason::Expired, &detail));
        self.save(&mut state)?;
        Ok(Some(lost))
    }

    /// Journals what of a page was not journalled before. Gives how many bytes are not acknowledged.
    pub(super) fn append(&self, text: &[u8], page: &Page, id: &str, window: &Window) -> Result<usize, StoreError> {
        let mut state = self.lock();
        let mut fresh: Vec<&[u8]> = Vec::with_capacity(page.records.len());
        let mut hashes: Vec<Hash> = Vec::new();
        let mut here = HashSet::new();
        for place in &page.records {
            let record = &text[place.clone()];
            if has(record, id) {
                let hash = hash(record);
                if state.seen.contains(&hash) || !here.insert(hash) {
                    continue;
                }
                hashes.push(hash);
            }
            fresh.push(record);
        }
        if !fresh.is_empty() {
            let sequence = state.journal.next_sequence();
            state.ledger.unit(window.start, sequence);
            let also = vec![state.seen.remember(&hashes, window.end), state.ledger.write()];
            state.journal.append(&fresh, also)?;
            self.news.notify_one();
        }
        Ok(state.journal.waiting_bytes())
    }

    /// A window is done that was asked for at `asked`: it was read to its end, or what it lacks is a gap.
    pub(super) fn done(
        &self,
        window: Window,
        asked: Timestamp,
        lacks: Option<(Reason, &str)>,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        match lacks {
            Some((reason, why)) => state.ledger.gap(window.gap(reason, why)),
            // What was missing of it has been read now.
            None => state.ledger.read_again(window.start, window.end),
        }
        state.ledger.listed(window.start, window.end);
        state.cursors.advance(&self.schedule, window, asked);
        state.edge = None;
        self.save(&mut state)
    }

    /// A stretch of time will not be read.
    pub(super) fn missing(&self, window: Window, reason: Reason, why: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.ledger.gap(window.gap(reason, why));
        self.save(&mut state)
    }

    /// Takes note of acknowledgements.
    pub(super) fn settle(&self) -> Result<Standing, StoreError> {
        let mut state = self.lock();
        let reached = state.journal.forget_acknowledged()?;
        if state.ledger.settle(reached) {
            self.store.write_all(&[state.ledger.write()])?;
        }
        Ok(Standing {
            newest: state.cursors.newest(),
            waiting_since: state.ledger.state().waiting(reached),
            waiting_bytes: state.journal.waiting_bytes(),
            gaps: state.ledger.open().count(),
        })
    }

    /// How many bytes of the journal are not acknowledged.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.lock().journal.waiting_bytes()
    }

    /// How many pages of the journal wait to be sent.
    pub(super) fn unsent(&self) -> u64 {
        self.lock().journal.next_sequence() - 1 - *self.sent.borrow()
    }

    /// The number of the next page to be sent, when there is one.
    pub(super) async fn to_send(&self) -> u64 {
        while self.unsent() == 0 {
            self.news.notified().await;
        }
        *self.sent.borrow() + 1
    }

    /// A page of the journal; `None` if it was acknowledged.
    pub(super) fn load(&self, sequence: u64) -> Result<Option<Unit>, StageError> {
        self.lock().journal.load(sequence)
    }

    /// A page was sent, and all before it.
    pub(super) fn set_sent(&self, sequence: u64) {
        self.sent.send_replace(sequence);
    }

    /// What was sent, as it changes.
    pub(super) fn sent(&self) -> watch::Receiver<u64> {
        self.sent.subscribe()
    }

    /// Waits until everything is sent.
    pub(super) async fn all_sent(&self) {
        let mut sent = self.sent();
        // The sender lives in `self`.
        while self.unsent() > 0 && sent.changed().await.is_ok() {}
    }

    /// Makes cursors and ledger durable, and forgets what is not read again.
    fn save(&self, state: &mut State) -> Result<(), StoreError> {
        let mut writes = state.seen.forget(&self.store, state.cursors.oldest())?;
        writes.push(stored::write(cursors_key(&self.source, &self.shard), &state.cursors));
        writes.push(state.ledger.write());
        self.store.write_all(&writes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn days(duration: Duration) -> u64 {
    duration.as_secs().div_ceil(86_400)
}

fn cursors_key(source: &str, shard: &str) -> Vec<u8> {
    key(&[b"windows", source.as_bytes(), shard.as_bytes()])
}
