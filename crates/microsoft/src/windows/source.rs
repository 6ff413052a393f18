//! The source behind every config that reads windows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Build, ConfigError, Context, Source, StageError};

use tokio::sync::Semaphore;

use super::tenant::{self, Feeds};
use super::timing::Timing;
use crate::config::{Common, Setup, run_each};

/// How many answers are in memory at once, from the first byte until their records were sent.
const ANSWERS: usize = 4;

/// Checks the shared keys of a config, and gives the closure that builds its source. `errors` are the mistakes that
/// were found in its own keys.
///
/// # Errors
/// All mistakes.
pub(crate) fn plan(
    common: Common,
    timing: Timing,
    mut errors: Vec<ConfigError>,
    feeds: Arc<dyn Feeds>,
) -> Result<Build<Box<dyn Source>>, Vec<ConfigError>> {
    let timing = timing.plan().map_err(|wrong| errors.extend(wrong));
    let setup = common.plan().map_err(|wrong| errors.extend(wrong));
    match (setup, timing) {
        (Ok(setup), Ok(timing)) if errors.is_empty() => {
            Ok(Box::new(move |context| Ok(Box::new(WindowSource { context, setup, timing, feeds }))))
        }
        _ => Err(errors),
    }
}

/// Reads feeds of every tenant of a config.
struct WindowSource {
    context: Context,
    setup: Setup,
    timing: Timing,
    feeds: Arc<dyn Feeds>,
}

/// What all feeds of all tenants of a source have in common.
pub(super) struct Shared {
    pub(super) context: Context,
    pub(super) output: Output,
    pub(super) timing: Timing,
    pub(super) feeds: Arc<dyn Feeds>,
    /// Places for answers in memory.
    pub(super) places: Arc<Semaphore>,
    /// How many of them one tenant may take: whose answers trickle leaves some to the others.
    pub(super) share: usize,
    lags: Mutex<BTreeMap<String, i64>>,
}

impl Shared {
    pub(super) fn new(
        context: Context,
        output: Output,
        timing: Timing,
        feeds: Arc<dyn Feeds>,
        tenants: usize,
    ) -> Shared {
        let places = Arc::new(Semaphore::new(ANSWERS));
        let share = if tenants > 1 { ANSWERS / 2 } else { ANSWERS };
        Shared { context, output, timing, feeds, places, share, lags: Mutex::default() }
    }

    /// How many seconds a shard is behind. The source is as far behind as the last of them.
    pub(super) fn lag(&self, shard: &str, seconds: i64) {
        // Nothing that holds the lock can panic half way.
        let mut lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        lags.insert(shard.to_owned(), seconds);
        self.context.metrics.lag_seconds.set(lags.values().max().copied().unwrap_or(0));
    }
}

#[async_trait]
impl Source for WindowSource {
    async fn run(self: Box<Self>, output: Output, mut shutdown: Shutdown) -> Result<(), StageError> {
        let WindowSource { context, setup, timing, feeds } = *self;
        let connections = tokio::select! {
            connections = setup.connect(&context) => connections?,
            () = shutdown.wait() => return Ok(()),
        };
        let shared = Arc::new(Shared::new(context.clone(), output, timing, feeds, connections.len()));
        run_each(&context, connections, timing.mode, &shutdown, move |connection| {
            tenant::run(Arc::clone(&shared), connection)
        })
        .await
    }
}
