//! Points at which a test may kill the process, to prove that a crash there leaves neither a gap nor a double.
//!
//! `DOWNSPOUT_FAILPOINT=after-prepare:3` kills the process (as SIGKILL would, with no clean-up) at the third passing
//! of that point. Release builds have no fail points: [`hit`] is empty there.

/// The named steps between "bytes received" and "checkpoint durable".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A transaction of the store is written, not yet committed.
    BeforeStoreCommit,
    /// A transaction of the store is durable.
    AfterStoreCommit,
    /// In the middle of writing a file that is not yet visible.
    DuringPrepare,
    /// All files of a commit are durable under temporary names; the store does not know of them.
    AfterPrepare,
    /// The store knows the commit; no file of it is visible yet, or only some are.
    BeforeRename,
    /// A file of a commit has just become visible.
    AfterRename,
    /// All files of a commit are visible; the store does not know that yet.
    AfterPublish,
    /// A source's checkpoint is about to be written.
    BeforeCheckpoint,
}

impl Point {
    /// Every point, for tests that want to visit them all.
    pub const ALL: [Point; 8] = [
        Point::BeforeStoreCommit,
        Point::AfterStoreCommit,
        Point::DuringPrepare,
        Point::AfterPrepare,
        Point::BeforeRename,
        Point::AfterRename,
        Point::AfterPublish,
        Point::BeforeCheckpoint,
    ];

    /// The name that `DOWNSPOUT_FAILPOINT` uses.
    pub fn name(self) -> &'static str {
        match self {
            Point::BeforeStoreCommit => "before-store-commit",
            Point::AfterStoreCommit => "after-store-commit",
            Point::DuringPrepare => "during-prepare",
            Point::AfterPrepare => "after-prepare",
            Point::BeforeRename => "before-rename",
            Point::AfterRename => "after-rename",
            Point::AfterPublish => "after-publish",
            Point::BeforeCheckpoint => "before-checkpoint",
        }
    }
}

/// Passes a point; kills the process if a test asked for that.
#[cfg(debug_assertions)]
pub fn hit(point: Point) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    // The one global of the program: a crash concerns the whole process, and only debug builds have it.
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let wanted = std::env::var("DOWNSPOUT_FAILPOINT").ok()?;
        let (name, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), AtomicU64::new(count.parse().unwrap_or(1))))
    });
    if let Some((name, left)) = armed
        && name == point.name()
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}

/// Passes a point. Release builds have none.
#[cfg(not(debug_assertions))]
#[inline]
pub fn hit(_point: Point) {}
