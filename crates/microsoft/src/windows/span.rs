//! How long a window to ask for.
//!
//! A window that brings hundreds of pages is hours of work to repeat after a crash, and services time out over it; one
//! that brings a single page wastes requests. So the length follows what the last windows brought, between what the
//! service takes at most and [`LEAST`]. Windows that make trouble get shorter, too: Microsoft says so for throttled
//! and slow queries, and a page that cannot be had then hides as few records as possible.

use std::time::Duration;

use super::plan::Window;
use crate::clock::plus;

/// The shortest window.
const LEAST: Duration = Duration::from_secs(1);

/// The first window's length.
const FIRST: Duration = Duration::from_secs(3600);

/// With no more pages than that, the next window is longer.
const FEW_PAGES: usize = 4;

/// With more pages than that, the next window is shorter.
const MANY_PAGES: usize = 32;

/// The length of the next window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    now: Duration,
    longest: Duration,
}

impl Span {
    /// Windows of a service that takes at most `longest`.
    pub(super) fn new(longest: Duration) -> Span {
        let longest = longest.max(LEAST);
        Span { now: FIRST.min(longest), longest }
    }

    /// The first window of a stretch.
    pub(super) fn window(&self, stretch: &Window) -> Window {
        Window { start: stretch.start, end: plus(stretch.start, self.now).min(stretch.end) }
    }

    /// A window brought that many pages.
    pub(super) fn learn(&mut self, pages: usize) {
        if pages <= FEW_PAGES {
            self.now = (self.now * 2).min(self.longest);
        } else if pages > MANY_PAGES {
            self.shrink(self.now);
        }
    }

    /// A window of `length` made trouble: the next is half as long. False if there is nothing shorter.
    pub(super) fn shrink(&mut self, length: Duration) -> bool {
        let half = Duration::from_secs(length.min(self.now).as_secs() / 2).max(LEAST);
        self.now = half;
        half < length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(span: &Span) -> u64 {
        let start = "2026-01-05T00:00:00Z".parse().unwrap();
        let stretch = Window { start, end: plus(start, Duration::from_secs(100 * 3600)) };
        span.window(&stretch).length().as_secs()
    }

    #[test]
    fn the_length_follows_the_pages() {
        let mut span = Span::new(Duration::from_secs(5 * 3600));
        let mut lengths = vec![length(&span)];
        for pages in [1, 4, 1, 1, 5, 32, 33, 100, 1] {
            span.learn(pages);
            lengths.push(length(&span));
        }
        let hours = [1, 2, 4, 5, 5, 5, 5].map(|hours| hours * 3600);
        assert_eq!(lengths, [&hours[..], &[9000, 4500, 9000]].concat());
    }

    #[test]
    fn trouble_shortens_down_to_a_second() {
        let mut span = Span::new(Duration::from_secs(60));
        let mut tried = vec![length(&span)];
        while span.shrink(Duration::from_secs(length(&span))) {
            tried.push(length(&span));
        }
        assert_eq!(tried, [60, 30, 15, 7, 3, 1]);
        // A short window at the end of a stretch says nothing about longer ones that went well.
        let mut span = Span::new(Duration::from_secs(3600));
        assert!(span.shrink(Duration::from_secs(10)));
        assert_eq!(length(&span), 5);
    }
}
