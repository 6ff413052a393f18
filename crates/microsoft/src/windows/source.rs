//! The source behind every config that reads windows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Build, ConfigError, Context, Source, StageError};

use tokio::sync::Semaphore;

use super::room::Spool;
use super::tenant::{self, Feeds};
use super::timing::Timing;
use crate::config::{Common, Setup, run_each};

/// How many whole answers are in memory at once, until they are journalled; and how many pages of journals, until they
/// are sent.
const ANSWERS: usize = 4;

/// Checks the shared keys of a config, and gives the closure that builds its source. `errors` are the mistakes that
/// were found in its own keys.
///
/// # Errors
/// All mistakes.
pub(crate) fn plan(
    common: Common,
    timing: Timing,
    spool: Spool,
    mut errors: Vec<ConfigError>,
    feeds: Arc<dyn Feeds>,
) -> Result<Build<Box<dyn Source>>, Vec<ConfigError>> {
    let timing = timing.plan().map_err(|wrong| errors.extend(wrong));
    let setup = common.plan().map_err(|wrong| errors.extend(wrong));
    match (setup, timing) {
        (Ok(setup), Ok(timing)) if errors.is_empty() => {
            Ok(Box::new(move |context| Ok(Box::new(WindowSource { context, setup, timing, spool, feeds }))))
        }
        _ => Err(errors),
    }
}

/// Reads feeds of every tenant of a config.
struct WindowSource {
    context: Context,
    setup: Setup,
    timing: Timing,
    spool: Spool,
    feeds: Arc<dyn Feeds>,
}

/// What all feeds of all tenants of a source have in common.
pub(super) struct Shared {
    pub(super) context: Context,
    pub(super) output: Output,
    pub(super) timing: Timing,
    pub(super) spool: Spool,
    pub(super) feeds: Arc<dyn Feeds>,
    /// Places for answers in memory. Whoever has one waits for no service and no sink.
    pub(super) places: Arc<Semaphore>,
    /// Places for pages on their way into the pipeline.
    pub(super) sending: Semaphore,
    shards: Mutex<BTreeMap<String, Share>>,
}

/// What one shard has of what the source has.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// How many seconds it is behind.
    lag: i64,
    /// How many bytes of its journal are not acknowledged.
    waiting: usize,
}

impl Shared {
    pub(super) fn new(context: Context, output: Output, timing: Timing, spool: Spool, feeds: Arc<dyn Feeds>) -> Shared {
        let (places, sending) = (Arc::new(Semaphore::new(ANSWERS)), Semaphore::new(ANSWERS));
        Shared { context, output, timing, spool, feeds, places, sending, shards: Mutex::default() }
    }

    /// How many seconds a shard is behind, and how many bytes of its journal are not acknowledged. The source is as far
    /// behind as the last of its shards.
    pub(super) fn stands(&self, shard: &str, lag: i64, waiting: usize) {
        let mut shards = self.shards();
        shards.insert(shard.to_owned(), Share { lag, waiting });
        self.context.metrics.lag_seconds().set(shards.values().map(|share| share.lag).max().unwrap_or(0));
    }

    /// How many bytes of a shard's journal are not acknowledged.
    pub(super) fn waits(&self, shard: &str, waiting: usize) {
        if let Some(share) = self.shards().get_mut(shard) {
            share.waiting = waiting;
        }
    }

    /// How many bytes of all journals are not acknowledged.
    pub(super) fn journalled(&self) -> u64 {
        self.shards().values().map(|share| share.waiting as u64).sum()
    }

    fn shards(&self) -> MutexGuard<'_, BTreeMap<String, Share>> {
        // Nothing that holds the lock can panic half way.
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Source for WindowSource {
    async fn run(self: Box<Self>, output: Output, mut shutdown: Shutdown) -> Result<(), StageError> {
        let WindowSource { context, setup, timing, spool, feeds } = *self;
        let connections = tokio::select! {
            connections = setup.connect(&context) => connections?,
            () = shutdown.wait() => return Ok(()),
        };
        let shared = Arc::new(Shared::new(context.clone(), output, timing, spool, feeds));
        run_each(&context, connections, timing.mode, &shutdown, move |connection| {
            tenant::run(Arc::clone(&shared), connection)
        })
        .await
    }
}
