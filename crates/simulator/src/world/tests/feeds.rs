//! What the feeds promise.
