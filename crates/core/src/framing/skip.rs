//! A part of the text that is no record, passed by without being held.

use super::window::{KEPT_BYTES, Window};

/// Why a part of the text is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is longer than `max_record_bytes`.
    TooLong,
    /// It stands between records and is no JSON.
    Junk,
    /// A string in it is not closed on its line.
    OpenString,
    /// A bracket in it closes another kind.
    WrongBracket,
    /// The text ends in it.
    CutOff,
}

/// What is being passed by.
#[derive(Debug)]
pub(super) struct Skip {
    pub(super) start: u64,
    why: Why,
    head: Vec<u8>,
}

impl Skip {
    /// Begins at the window's rest.
    pub(super) fn begin(window: &Window, why: Why) -> Skip {
        Skip { start: window.offset(), why, head: Vec::new() }
    }

    /// Passes the first bytes of the rest by.
    pub(super) fn pass(&mut self, window: &mut Window, count: usize) {
        let room = KEPT_BYTES - self.head.len();
        self.head.extend_from_slice(&window.rest()[..count.min(room)]);
        window.consume(count);
    }

    /// It ends in front of the window's rest.
    pub(super) fn end(self, window: &mut Window) {
        let end = window.offset();
        let length = end - self.start;
        let max = window.limits.max_record_bytes;
        let problem = match self.why {
            Why::TooLong => format!("a record of {length} bytes is longer than max_record_bytes, {max}"),
            Why::Junk => format!("{length} bytes between records that are no JSON"),
            Why::OpenString => format!("{length} bytes of broken JSON: a string is not closed on its line"),
            Why::WrongBracket => format!("{length} bytes of broken JSON: a bracket closes another kind of bracket"),
            Why::CutOff => format!("{length} bytes of broken JSON: the text ends before the record does"),
        };
        let kept = match self.head.len() as u64 {
            head if head < length => format!("{problem}; its first {head} bytes are kept"),
            _ => problem,
        };
        window.reject(self.start, end, self.head.trim_ascii_end(), &kept);
    }
}
