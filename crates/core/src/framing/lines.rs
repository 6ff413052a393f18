//! One record a line. Whatever a line holds, it ends at its newline: a broken line never reaches into the next. What
//! it holds is the parser's business.

use memchr::memchr;

use super::skip::{Skip, Why};
use super::window::Window;
use super::{End, Step};

/// A byte order mark in the middle of a text comes from files that were put together.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[derive(Debug, Default)]
pub(super) struct Lines {
    /// How much of the rest has been searched for a newline.
    searched: usize,
    skip: Option<Skip>,
}

impl Lines {
    pub(super) fn frame(&mut self, window: &mut Window, end: End) -> Step {
        while !window.is_full() {
            let newline = memchr(b'\n', &window.rest()[self.searched..]).map(|at| self.searched + at);
            let len = newline.unwrap_or(window.rest().len());
            if self.skip.is_none() && len > window.limits.max_record_bytes {
                self.skip = Some(Skip::begin(window, Why::TooLong));
            }
            let is_last = newline.is_none() && end == End::Final && (len > 0 || self.skip.is_some());
            if is_last {
                window.unfinished = Some(self.pending().unwrap_or(window.offset()));
            }
            let ends = newline.is_some() || is_last;
            match self.skip.take() {
                Some(mut skip) => {
                    skip.pass(window, len);
                    if ends {
                        skip.end(window);
                    } else {
                        self.skip = Some(skip);
                    }
                }
                None if ends => {
                    record(window, len);
                    window.consume(len);
                }
                None => {}
            }
            if !ends {
                self.searched = window.rest().len();
                return Step::More;
            }
            window.consume(usize::from(newline.is_some()));
            self.searched = 0;
        }
        Step::Full
    }

    /// Where the part begins that is being passed by.
    pub(super) fn pending(&self) -> Option<u64> {
        self.skip.as_ref().map(|skip| skip.start)
    }

    /// Gives up what is being passed by: the text ends here, against expectation.
    pub(super) fn give_up(&mut self, window: &mut Window) {
        if let Some(skip) = self.skip.take() {
            skip.end(window);
        }
    }
}

/// A line of that length, without the blanks around it. A blank line is no record.
fn record(window: &mut Window, len: usize) {
    let line = window.rest()[..len].trim_ascii_end();
    let body = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii_start();
    if !body.is_empty() {
        window.record(line.len() - body.len(), body.len());
    }
}
