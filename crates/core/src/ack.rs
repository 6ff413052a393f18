//! Acknowledgements: the promise "at least once", carried by every batch.
//!
//! An [`Ack`] is handed out with a batch. Cloning it splits it: one for each branch of a fan-out, one for each batch
//! that a split makes. It resolves when the last clone is gone, to `true` only if every clone said
//! [`Ack::delivered`]. A clone that is dropped without a word means "not delivered": an event that is lost on a
//! forgotten path is never taken for one that arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How an acknowledgement resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The number the acknowledgement was made with.
    pub sequence: u64,
    /// Whether all of it was delivered, or dead-lettered with a reason.
    pub delivered: bool,
}

/// Makes acknowledgements, numbered from 0.
#[derive(Debug)]
pub struct Acks {
    sender: UnboundedSender<Resolved>,
    next: u64,
}

impl Acks {
    /// A maker, and the place where its acknowledgements resolve. Queues between stages bound how many are open.
    pub fn new() -> (Acks, UnboundedReceiver<Resolved>) {
        let (sender, receiver) = unbounded_channel();
        (Acks { sender, next: 0 }, receiver)
    }

    /// The next acknowledgement, and its number.
    pub fn issue(&mut self) -> (u64, Ack) {
        let sequence = self.next;
        self.next += 1;
        let shared = Shared { sequence, failed: AtomicBool::new(false), sender: self.sender.clone() };
        (sequence, Ack { shared: Arc::new(shared), spoken: false })
    }
}

#[derive(Debug)]
struct Shared {
    sequence: u64,
    failed: AtomicBool,
    sender: UnboundedSender<Resolved>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let delivered = !*self.failed.get_mut();
        // Nobody listens any more when the source's driver is gone: then nobody advances a checkpoint either.
        let _ = self.sender.send(Resolved { sequence: self.sequence, delivered });
    }
}

/// One share of an acknowledgement. Dropped in silence it means "not delivered".
#[derive(Debug)]
#[must_use = "an acknowledgement dropped in silence means that the batch was not delivered"]
pub struct Ack {
    shared: Arc<Shared>,
    spoken: bool,
}

impl Ack {
    /// Says that this share arrived, or was put into the dead-letter file.
    pub fn delivered(mut self) {
        self.spoken = true;
    }
}

impl Clone for Ack {
    /// Splits the acknowledgement: it now waits for both.
    fn clone(&self) -> Self {
        Ack { shared: Arc::clone(&self.shared), spoken: false }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if !self.spoken {
            self.shared.failed.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(say: impl FnOnce(Ack)) -> Option<bool> {
        let (mut acks, mut resolved) = Acks::new();
        let (_, ack) = acks.issue();
        say(ack);
        resolved.try_recv().ok().map(|resolved| resolved.delivered)
    }

    #[test]
    fn verdicts() {
        assert_eq!(resolve(Ack::delivered), Some(true));
        assert_eq!(resolve(drop), Some(false));
        assert_eq!(
            resolve(|ack| {
                let other = ack.clone();
                ack.delivered();
                other.delivered();
            }),
            Some(true)
        );
        assert_eq!(
            resolve(|ack| {
                let other = ack.clone();
                ack.delivered();
                drop(other);
            }),
            Some(false)
        );
        assert_eq!(
            resolve(|ack| {
                let other = ack.clone();
                drop(ack);
                other.delivered();
            }),
            Some(false)
        );
    }

    #[test]
    fn it_waits_for_the_last_share() {
        let (mut acks, mut resolved) = Acks::new();
        let (_, ack) = acks.issue();
        let other = ack.clone();
        ack.delivered();
        assert!(resolved.try_recv().is_err());
        other.delivered();
        assert_eq!(resolved.try_recv().unwrap(), Resolved { sequence: 0, delivered: true });
    }
}
