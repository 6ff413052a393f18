//! What the API has no longer is had from a second source: a search of the audit log for exactly what is open.
//!
//! What had arrived of it all the same is dropped by `dedupe`. A gap is closed when everything that was found for it is
//! in the journal; what is not delivered by then is sent again after a restart. A search that fails fails soon, and the
//! next look goes on with what it had not found yet.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::StageError;
use downspout_core::stage::Output;
use downspout_core::store::key;
use futures::future::join_all;

use super::feed::{Feed, Shared};
use super::stretch::{Stretch, stretches};
use crate::audit_search::{self, Backend};
use crate::config::Connection;
use crate::journal::Journal;
use crate::stored;

/// How often it is looked for gaps. A gap that grows is one search for each look.
const LOOK: Duration = Duration::from_secs(3600);

/// The second source of one tenant.
#[derive(Debug)]
pub(super) struct Recovery {
    shared: Arc<Shared>,
    connection: Connection,
    feeds: Vec<Arc<Feed>>,
    backend: Backend,
    output: Output,
}

/// Looks for gaps and fills them, for ever.
pub(super) async fn run(recoveries: &[Recovery]) -> Infallible {
    join_all(recoveries.iter().map(Recovery::run)).await;
    std::future::pending().await
}

/// Fills the gaps that there are.
///
/// # Errors
/// The first tenant's.
pub(super) async fn run_once(recoveries: &[Recovery]) -> Result<(), StageError> {
    join_all(recoveries.iter().map(Recovery::fill)).await.into_iter().collect()
}

impl Recovery {
    pub(super) fn new(
        shared: &Arc<Shared>,
        connection: Connection,
        feeds: Vec<Arc<Feed>>,
        backend: Backend,
    ) -> Recovery {
        let output = shared.output.marked(backend.provenance());
        Recovery { shared: Arc::clone(shared), connection, feeds, backend, output }
    }

    async fn run(&self) -> Infallible {
        loop {
            if let Err(error) = self.fill().await {
                let context = &self.shared.context;
                context.metrics.error(error.error_type());
                let tenant = self.connection.tenant.label();
                tracing::error!(component = %context.id, tenant, "what is missing could not be had: {error}");
            }
            self.connection.clock.sleep(LOOK).await;
        }
    }

    /// Fills every gap that is open now.
    async fn fill(&self) -> Result<(), StageError> {
        let stretches = stretches(self.feeds.iter().flat_map(|feed| feed.missing()).collect());
        if !self.resume(&stretches).await? {
            return Ok(());
        }
        let mut incomplete = None;
        for stretch in &stretches {
            // What one stretch lacks is no trouble of the others; a service that fails is.
            let missing = self.search(stretch).await?;
            incomplete = incomplete.or(missing);
        }
        incomplete.map_or(Ok(()), |missing| {
            let tenant = self.connection.tenant.label();
            let message = format!("tenant {tenant}: the search did not give everything either: {missing}");
            Err(StageError::retry("incomplete_answer", message))
        })
    }

    /// Sends what earlier searches found and no sink has taken yet, and forgets those of which nothing is left to do.
    /// Gives whether the pipeline goes on.
    async fn resume(&self, stretches: &[Stretch]) -> Result<bool, StageError> {
        let (context, tenant) = (&self.shared.context, &self.connection.tenant);
        let wanted: Vec<String> = stretches.iter().map(|stretch| tenant.shard(&stretch.name())).collect();
        let (mut kept, all) = (Vec::new(), self.shards()?);
        let count = all.len();
        for shard in all {
            let mut journal = Journal::open(Arc::clone(&context.store), &context.id, &shard)?;
            if journal.waiting_bytes() > 0 && journal.replay(&self.output).await?.is_err() {
                return Ok(false);
            }
            if journal.waiting_bytes() > 0 || wanted.contains(&shard) {
                kept.push(shard);
            } else if let Some((_, name)) = shard.split_once('/') {
                audit_search::forget(&context.store, &context.id, &tenant.id, name)?;
            }
        }
        if kept.len() < count {
            self.write_shards(&kept)?;
        }
        Ok(true)
    }

    /// The shards of earlier searches whose journals may hold something.
    fn shards(&self) -> Result<Vec<String>, StageError> {
        Ok(stored::read(&self.shared.context.store, &self.key())?.unwrap_or_default())
    }

    fn remember(&self, shard: &str) -> Result<(), StageError> {
        let mut shards = self.shards()?;
        if !shards.iter().any(|known| known == shard) {
            shards.push(shard.to_owned());
            self.write_shards(&shards)?;
        }
        Ok(())
    }

    fn write_shards(&self, shards: &[String]) -> Result<(), StageError> {
        Ok(self.shared.context.store.write_all(&[stored::write(self.key(), shards)])?)
    }

    fn key(&self) -> Vec<u8> {
        key(&[b"recovered", self.shared.context.id.as_bytes(), self.connection.tenant.id.as_bytes()])
    }

    /// Searches a stretch, and closes its gaps. Gives what the search could not give either, if there is anything.
    async fn search(&self, stretch: &Stretch) -> Result<Option<String>, StageError> {
        let (context, tenant) = (&self.shared.context, &self.connection.tenant);
        let (start, end, name) = (stretch.start, stretch.end, stretch.name());
        let shard = tenant.shard(&name);
        tracing::info!(
            component = %context.id, tenant = tenant.label(), gaps = stretch.missing.len(),
            "searching the audit log ({}) from {start} to {end} for what is missing", self.backend.provenance()
        );
        self.remember(&shard)?;
        let connection = self.connection.clone();
        let span = (name.clone(), start, end);
        let search = audit_search::search_stretch(context, connection, self.backend, span, stretch, &self.output);
        let finished = search.run(context).await;
        let (taken, left_out) = stretch.counts();
        context.metrics.discarded_events.inc_by(left_out);
        if !finished? {
            return Ok(None);
        }
        let results = audit_search::results(&context.store, &context.id, &shard)?;
        if let Some(missing) = results.into_iter().find_map(|result| result.missing) {
            // Or else the next look would find everything searched already.
            audit_search::forget(&context.store, &context.id, &tenant.id, &name)?;
            return Ok(Some(missing));
        }
        for missing in &stretch.missing {
            // Not the whole stretch: what came to lack meanwhile was not searched for.
            for feed in self.feeds.iter().filter(|feed| feed.content_type == missing.content_type) {
                feed.backlog.fill(missing.start, missing.end, self.backend.provenance())?;
            }
        }
        tracing::info!(
            component = %context.id, tenant = tenant.label(),
            "{start} to {end} was recovered: {taken} records, those that had arrived among them; {left_out} of other \
             feeds were left out"
        );
        Ok(None)
    }
}
