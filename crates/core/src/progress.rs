//! How far the sources have read, for whoever draws a progress bar.

use std::sync::atomic::AtomicU64;

/// Bytes as they lie on the disk (compressed, if they are), of all sources together.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes there are to read, as far as it is known.
    pub total: AtomicU64,
    /// Bytes read so far.
    pub read: AtomicU64,
    /// Bytes that are not read, because an earlier run has read them or nobody can.
    pub skipped: AtomicU64,
}
