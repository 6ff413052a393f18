//! Every durable step of a pipeline goes through here, so that the state of transforms is never behind it.
//!
//! A transaction holds what the caller wants to write and what transforms changed since the last one. So when a file
//! becomes visible or a checkpoint advances, the dedupe index already knows every record that went into it.

use std::sync::Arc;

use downspout_core::stage::State;
use downspout_core::store::Write;
use downspout_core::{StageError, Store};
use tokio::sync::Mutex;

/// Writes to the store on behalf of sources and sinks.
pub(crate) struct Committer {
    store: Arc<Store>,
    states: Vec<Arc<dyn State>>,
    one_at_a_time: Mutex<()>,
}

impl Committer {
    pub(crate) fn new(store: Arc<Store>, states: Vec<Arc<dyn State>>) -> Committer {
        Committer { store, states, one_at_a_time: Mutex::new(()) }
    }

    /// Makes `writes` and all changed state durable, in one transaction.
    pub(crate) async fn commit(self: &Arc<Self>, writes: Vec<Write>) -> Result<(), StageError> {
        let _turn = self.one_at_a_time.lock().await;
        let this = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || -> Result<(), StageError> {
            let mut writes = writes;
            for state in &this.states {
                writes.extend(state.changes()?);
            }
            this.store.write_all(&writes)?;
            for state in &this.states {
                state.committed();
            }
            Ok(())
        });
        work.await.unwrap_or_else(|error| Err(StageError::stop("internal", format!("a commit died: {error}"))))
    }
}
