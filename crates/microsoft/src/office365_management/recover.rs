//! What the API has no longer is had from a second source: a search of the audit log over exactly the open stretches.
//!
//! The ledger's stretches are times of publication, and a search knows times of events; records are published up to a
//! day after what they tell about. So each stretch is searched from a day before its beginning on, and what had arrived
//! all the same is dropped by `dedupe`. A gap is closed when everything that was found for it is in the journal; what is
//! not delivered by then is sent again after a restart.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::stage::Output;
use downspout_core::store::{Write, key};
use downspout_core::{ErrorKind, StageError};
use futures::future::join_all;
use jiff::Timestamp;

use super::feed::{Feed, Shared};
use crate::audit_search::{self, Backend};
use crate::clock::{minus, plus};
use crate::config::Connection;
use crate::journal::Journal;

/// How often it is looked for gaps. A gap that grows is one search for each look.
const LOOK: Duration = Duration::from_secs(3600);

/// How long after what they tell about records are published, at most.
const LATENESS: Duration = Duration::from_secs(24 * 3600);

/// The second source of one tenant.
#[derive(Debug)]
pub(super) struct Recovery {
    shared: Arc<Shared>,
    connection: Connection,
    feeds: Vec<Arc<Feed>>,
    backend: Backend,
    output: Output,
}

/// A stretch of time in which something is missing.
type Stretch = (Timestamp, Timestamp);

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
        self.resume().await?;
        let missing: Vec<Stretch> = self.feeds.iter().flat_map(|feed| feed.backlog.missing()).collect();
        let mut first = None;
        for stretch in merge(missing) {
            match self.search(stretch).await {
                Ok(()) => {}
                // Trouble that passes with one stretch is none of the others'.
                Err(error) if error.kind() == ErrorKind::Retry => drop(first.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Sends what earlier searches found and no sink has taken yet.
    async fn resume(&self) -> Result<(), StageError> {
        let context = &self.shared.context;
        let (mut kept, all) = (Vec::new(), self.shards()?);
        let count = all.len();
        for shard in all {
            let mut journal = Journal::open(Arc::clone(&context.store), &context.id, &shard)?;
            if journal.waiting_bytes() > 0 {
                if journal.replay(&self.output).await?.is_err() {
                    return Ok(());
                }
                kept.push(shard);
            }
        }
        if kept.len() < count { self.write_shards(&kept) } else { Ok(()) }
    }

    /// The shards of earlier searches whose journals may hold something.
    fn shards(&self) -> Result<Vec<String>, StageError> {
        let stored = self.shared.context.store.get(&self.key())?;
        Ok(stored.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default())
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
        let write = Write::set(self.key(), serde_json::to_vec(shards).unwrap_or_default());
        Ok(self.shared.context.store.write_all(&[write])?)
    }

    fn key(&self) -> Vec<u8> {
        key(&[b"recovered", self.shared.context.id.as_bytes(), self.connection.tenant.id.as_bytes()])
    }

    async fn search(&self, (start, end): Stretch) -> Result<(), StageError> {
        let (context, tenant) = (&self.shared.context, &self.connection.tenant);
        let name = format!("recovered {start} {end}");
        let shard = tenant.shard(&name);
        tracing::info!(
            component = %context.id, tenant = tenant.label(),
            "{start} to {end} is missing: searching the audit log ({})", self.backend.provenance()
        );
        let stretch = (name.clone(), minus(start, LATENESS), end);
        self.remember(&shard)?;
        let search =
            audit_search::search_stretch(context, self.connection.clone(), self.backend, stretch, &self.output);
        search.run(context).await?;
        let results = audit_search::results(&context.store, &context.id, &shard)?;
        if let Some(missing) = results.iter().find_map(|result| result.missing.as_ref()) {
            // Or else the next look would find everything searched already.
            audit_search::forget(&context.store, &context.id, &tenant.id, &name)?;
            let message = format!("tenant {}: the search did not give everything either: {missing}", tenant.label());
            return Err(StageError::retry("incomplete_answer", message));
        }
        for feed in &self.feeds {
            feed.backlog.fill(start, end, self.backend.provenance())?;
        }
        let records: u64 = results.iter().map(|result| result.records).sum();
        tracing::info!(
            component = %context.id, tenant = tenant.label(),
            "{start} to {end} was recovered: {records} records, those that had arrived among them"
        );
        Ok(())
    }
}

/// Stretches that touch, or nearly so, as one; each at least a second long, as services count.
fn merge(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.sort_unstable();
    let mut merged: Vec<Stretch> = Vec::new();
    for (start, end) in stretches {
        let end = end.max(plus(start, Duration::from_secs(1)));
        match merged.last_mut() {
            Some(last) if start <= plus(last.1, LATENESS) => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_one_search_covers_are_one() {
        let at = |hour: i64| Timestamp::from_second(1_767_571_200 + hour * 3600).unwrap();
        let merged = merge(vec![(at(100), at(100)), (at(0), at(10)), (at(20), at(24)), (at(5), at(12))]);
        assert_eq!(merged, [(at(0), at(24)), (at(100), plus(at(100), Duration::from_secs(1)))]);
    }
}
