//! All feeds of one tenant: each in a task of its own, so that one that is refused keeps no other waiting.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::store::{StoreError, Write, key};
use downspout_core::{StageError, Store};
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::feed::Feed;
use super::fetch::Fetch;
use super::shard::{self, Word};
use super::source::Shared;
use crate::client::{Backoff, Trouble};
use crate::clock::plus;
use crate::config::{Connection, Mode};

/// Which feeds a tenant has.
#[async_trait]
pub(crate) trait Feeds: Debug + Send + Sync {
    /// The feeds that there are now.
    ///
    /// # Errors
    /// If that cannot be told.
    async fn list(&self, connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble>;

    /// How often to look for new ones; `None`: they are always the same.
    fn look_again(&self) -> Option<Duration> {
        None
    }

    /// What it means that there is none, and what to do.
    fn none(&self) -> &'static str {
        "there is nothing to read"
    }
}

/// How many answers may be under way to a tenant at once: each takes some memory and perhaps a file.
const UNDER_WAY: usize = 4;

/// Pauses between failed looks for new feeds.
const PAUSES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// Reads a tenant's feeds until all of them have ended, which with [`Mode::Follow`] is never.
///
/// # Errors
/// What no feed can go on with: a store that fails, a sign-in that is refused; with [`Mode::Once`] any refusal.
pub(super) async fn run(shared: Arc<Shared>, connection: Connection) -> Result<(), StageError> {
    let (context, timing, feeds) = (shared.context.clone(), shared.timing, Arc::clone(&shared.feeds));
    let tenant = connection.tenant.label().to_owned();
    let place = format!("{}: tenant {tenant}", context.id);
    let began = began(&context.store, &context.id, &connection)?;
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut first_look = feeds.look_again();
    let listed = match feeds.list(&connection).await {
        Ok(listed) => listed,
        Err(trouble) if timing.mode == Mode::Once || trouble.is_sign_in() => return Err(trouble.at(&place)),
        Err(trouble) => {
            context.metrics.error(trouble.error_type());
            tracing::error!(component = %context.id, tenant, "cannot tell what there is to read: {trouble}; trying again");
            first_look = Some(backoff.next());
            Vec::new()
        }
    };
    if listed.is_empty() && backoff.failures() == 0 {
        tracing::warn!(component = %context.id, tenant, "{}", feeds.none());
    }
    let (speak, mut words) = mpsc::unbounded_channel();
    let share = Arc::new(Semaphore::new(UNDER_WAY));
    let mut group = Group { shared, connection, share, began, speak, known: BTreeSet::new(), tasks: JoinSet::new() };
    group.add(listed);
    let look_again = feeds.look_again().filter(|_| timing.mode == Mode::Follow);
    let clock = group.connection.clock.clone();
    let mut next_look = plus(clock.now(), first_look.unwrap_or_default());
    let mut first = None;
    let mut causes = BTreeSet::new();
    let mut refused = 0;
    loop {
        if group.tasks.is_empty() && look_again.is_none() {
            return first.map_or(Ok(()), Err);
        }
        tokio::select! {
            Some(ended) = group.tasks.join_next() => {
                let ended = ended.unwrap_or_else(|error| {
                    Err(StageError::stop("internal", format!("{place}: a feed's task died: {error}")))
                });
                if let Err(error) = ended {
                    // With an end in sight the other feeds still get there. Without, only a broken store ends a feed.
                    if timing.mode == Mode::Follow {
                        return Err(error);
                    }
                    let said = error.to_string();
                    let cause = said.split_once(": ").map_or("", |(_, cause)| cause);
                    // What all feeds are refused for is worth saying once.
                    if causes.insert(cause.to_owned()) {
                        tracing::error!(component = %context.id, tenant, "{error}");
                    } else {
                        tracing::debug!(component = %context.id, tenant, "{error}");
                    }
                    first.get_or_insert(error);
                }
            }
            Some(word) = words.recv() => match word {
                Word::Refused(error) if timing.mode == Mode::Follow => {
                    refused += 1;
                    if refused == group.known.len() {
                        return Err(error);
                    }
                }
                Word::Refused(_) | Word::Answered => {}
            },
            () = clock.sleep_until(next_look), if look_again.is_some() => {
                let mut pause = look_again.unwrap_or_default();
                match feeds.list(&group.connection).await {
                    Ok(listed) => {
                        group.add(listed);
                        backoff.reset();
                    }
                    Err(trouble) => {
                        context.metrics.error(trouble.error_type());
                        pause = backoff.next();
                        // The first of a row; those at the start were told as what they are.
                        if backoff.failures() == 1 {
                            tracing::warn!(
                                component = %context.id, tenant,
                                "cannot look for new feeds: {trouble}; the known ones are read on"
                            );
                        }
                    }
                }
                next_look = plus(clock.now(), pause);
            }
        }
    }
}

/// When the tenant was first read. A feed that is found later, because it is new or because the service did not answer,
/// is read from as far back as the others.
fn began(store: &Store, source: &str, connection: &Connection) -> Result<Timestamp, StoreError> {
    let key = key(&[b"windows-began", source.as_bytes(), connection.tenant.id.as_bytes()]);
    let known = store.get(&key)?.and_then(|value| value.try_into().ok()).map(i64::from_be_bytes);
    if let Some(known) = known.and_then(|second| Timestamp::from_second(second).ok()) {
        return Ok(known);
    }
    let now = connection.clock.now();
    store.write_all(&[Write::set(key, now.as_second().to_be_bytes())])?;
    Ok(now)
}

/// The tasks of a tenant.
struct Group {
    shared: Arc<Shared>,
    connection: Connection,
    share: Arc<Semaphore>,
    began: Timestamp,
    speak: mpsc::UnboundedSender<Word>,
    known: BTreeSet<String>,
    tasks: JoinSet<Result<(), StageError>>,
}

impl Group {
    /// Starts the feeds that do not run yet. One that is gone goes on asking slowly: it may come back.
    fn add(&mut self, listed: Vec<Arc<dyn Feed>>) {
        for feed in listed {
            if !self.known.insert(feed.name().to_owned()) {
                continue;
            }
            if !self.tasks.is_empty() {
                let tenant = self.connection.tenant.label();
                tracing::debug!(component = %self.shared.context.id, tenant, feed = feed.name(), "a further feed");
            }
            let (shared, share) = (Arc::clone(&self.shared), Arc::clone(&self.share));
            let fetch = Fetch { shared, share, connection: self.connection.clone(), feed };
            self.tasks.spawn(shard::run(fetch, self.began, self.speak.clone()));
        }
    }
}
