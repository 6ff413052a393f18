//! How stretches of time are cut: into windows that one search asks for, and those into halves.
//!
//! It stands alone because it is reckoning with times and nothing else: no store, no service.

use std::time::Duration;

use crate::clock::plus;
use crate::windows::Window;

/// The shortest window: the services know whole seconds.
const SHORTEST: u64 = 1;

/// The halves of a window; `None` if it is too short to be halved.
pub(super) fn halves(window: &Window) -> Option<(Window, Window)> {
    let half = window.length().as_secs() / 2;
    let middle = plus(window.start, Duration::from_secs(half));
    (half >= SHORTEST).then_some((Window { end: middle, ..*window }, Window { start: middle, ..*window }))
}

/// A stretch in windows of at most that length, which begin at multiples of it: so that they are whole days where
/// they have that length.
pub(super) fn pieces(stretch: &Window, longest: Duration) -> Vec<Window> {
    let length = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX).max(1);
    let mut pieces = Vec::new();
    let mut start = stretch.start;
    while start < stretch.end {
        let into = start.as_second().rem_euclid(length);
        let end = plus(start, Duration::from_secs((length - into).unsigned_abs())).min(stretch.end);
        pieces.push(Window { start, end });
        start = end;
    }
    pieces
}
