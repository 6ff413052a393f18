//! The time, as transforms see it: handed in, so that tests can turn it.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Gives the time since 1970.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub(crate) fn system() -> Clock {
        // A clock before 1970 is wrong anyway; then it stands still.
        Clock(Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    /// A clock that shows the seconds in `hand`.
    #[cfg(test)]
    pub(crate) fn turned_by(hand: Arc<std::sync::atomic::AtomicU64>) -> Clock {
        Clock(Arc::new(move || Duration::from_secs(hand.load(std::sync::atomic::Ordering::Relaxed))))
    }

    pub(crate) fn now(&self) -> Duration {
        (self.0)()
    }
}

impl Debug for Clock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
