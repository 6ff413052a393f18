//! Which sources of a pipeline were refused and get nothing.
//!
//! A source that is refused (a wrong secret, no consent) waits and asks again, for a human may mend that any hour, and
//! the other sources need not end for it. Only when every source of the pipeline is refused does waiting help nobody:
//! then the pipeline ends, and says why.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Whether a source that was refused still is.
type Still = Box<dyn Fn() -> bool + Send>;

/// The refused sources of a pipeline, one value for all of them ([`crate::Shared`]).
#[derive(Default)]
pub struct Refused {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    sources: usize,
    refused: BTreeMap<Arc<str>, Still>,
}

impl Refused {
    /// How many sources the pipeline has, of whatever kind.
    pub fn expect(&self, sources: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sources = sources;
    }

    /// A source was refused, with all that it reads. `still` tells whether nothing of it has been answered since.
    pub fn add(&self, source: Arc<str>, still: impl Fn() -> bool + Send + 'static) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refused.insert(source, Box::new(still));
        self.news.notify_waiters();
    }

    /// Waits until every source is refused.
    pub async fn all(&self) {
        loop {
            let news = self.news.notified();
            if self.is_all() {
                return;
            }
            news.await;
        }
    }

    fn is_all(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refused.len() >= state.sources.max(1) && state.refused.values().all(|still| still())
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn all_are_refused_only_if_none_was_answered_since() {
        let refused = Refused::default();
        refused.expect(2);
        assert!(!refused.is_all());
        let answered = Arc::new(AtomicBool::new(false));
        let known = Arc::clone(&answered);
        refused.add("a".into(), move || !known.load(Ordering::Relaxed));
        assert!(!refused.is_all());
        refused.add("b".into(), || true);
        assert!(refused.is_all());
        answered.store(true, Ordering::Relaxed);
        assert!(!refused.is_all());
    }

    #[tokio::test]
    async fn who_waits_is_told_when_the_last_one_is_refused() {
        let refused = Arc::new(Refused::default());
        refused.expect(2);
        let waiting = tokio::spawn({
            let refused = Arc::clone(&refused);
            async move { refused.all().await }
        });
        refused.add("a".into(), || true);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        refused.add("b".into(), || true);
        waiting.await.unwrap();
    }
}
