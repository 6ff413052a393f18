//! The source behind every config that reads windows.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Build, ConfigError, Context, Source, StageError};

use super::tenant::{self, Feeds};
use super::timing::Timing;
use crate::config::{Common, Setup, run_each};

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

impl fmt::Debug for WindowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowSource").field("id", &self.context.id).field("feeds", &self.feeds).finish_non_exhaustive()
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
        let (output, lent) = (Arc::new(output), context.clone());
        run_each(&context, connections, timing.mode, &shutdown, move |connection| {
            tenant::run(lent.clone(), connection, Arc::clone(&output), timing, Arc::clone(&feeds))
        })
        .await
    }
}
