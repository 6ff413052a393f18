//! JSON that is not one record a line: arrays, pages, objects over many lines, one behind the other.
//!
//! Brackets and strings are followed ([`super::scan`]) to where each record ends. Where that fails (a lost bracket or
//! quote, a record over the limit, text that is no JSON), the part is rejected and reading goes on at the next line
//! that begins with `{`, no further indented than the broken record: in files of one record a line that is the next
//! record, in indented ones the next element. That line is searched for from the broken record's start, so that what
//! a lost bracket seemed to swallow is found again. Looking at bytes a second time costs credit, which bytes seen for
//! the first time earn: no input makes the work grow faster than its length.

use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::detect::Detecting;
use super::lines::BYTE_ORDER_MARK;
use super::page::{self, Head};
use super::scan::{Mistake, Scan, Scanner};
use super::skip::{Skip, Why};
use super::window::Window;
use super::{End, Mode, Step};

/// How often a byte may be looked at, on average.
const LOOKS: u64 = 4;

/// What stands around the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Nothing.
    #[default]
    Top,
    /// An array.
    Array,
    /// The array of a page.
    Page,
    /// A page, behind its array.
    PageEnd,
}

#[derive(Debug)]
pub(super) struct Json {
    place: Place,
    /// How far the next record is indented, if nothing else stands on its line.
    indent: Option<usize>,
    /// The record that begins at the rest, and how much of it has been scanned.
    record: Option<(Scanner, usize)>,
    /// The end of a page, and where it began.
    page_end: Option<(Scanner, u64)>,
    skip: Option<Skipping>,
    /// Whether a record has been found.
    proven: bool,
    /// Whether it was said that an array or page is not closed.
    told: bool,
}

#[derive(Debug)]
struct Skipping {
    skip: Skip,
    /// The deepest indentation at which reading may go on.
    indent: usize,
    /// The blanks in front of the next byte, if nothing else stands on its line.
    blanks: Option<usize>,
    /// Follows a record that is too long, from that offset on.
    record: Option<(Scanner, u64)>,
}

/// What to do next.
enum Next {
    GoOn,
    More,
    Redetect,
}

impl Json {
    pub(super) fn new(place: Place, indent: Option<usize>) -> Json {
        let proven = place != Place::Top;
        Json { place, indent, record: None, page_end: None, skip: None, proven, told: false }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn frame(&mut self, window: &mut Window, end: End) -> Step {
        while !window.is_full() {
            let next = if self.skip.is_some() {
                self.skip(window, end)
            } else if self.record.is_some() {
                self.record(window, end)
            } else if self.place == Place::PageEnd {
                self.page_end(window, end)
            } else {
                self.between(window, end)
            };
            match next {
                Next::GoOn => {}
                Next::More => return Step::More,
                Next::Redetect => return Step::Switch(Box::new(Mode::Detecting(Detecting::new(self.indent)))),
            }
        }
        Step::Full
    }

    /// Where the part begins that is being passed by.
    pub(super) fn pending(&self) -> Option<u64> {
        let skipped = self.skip.as_ref().map(|skipping| skipping.skip.start);
        skipped.or(self.page_end.as_ref().map(|(_, start)| *start))
    }

    /// Gives up what is being passed by: the text ends here, against expectation.
    pub(super) fn give_up(&mut self, window: &mut Window) {
        if let Some(skipping) = self.skip.take() {
            skipping.skip.end(window);
        }
    }

    /// Between records.
    fn between(&mut self, window: &mut Window, end: End) -> Next {
        let Some(byte) = pass_blanks(window, &mut self.indent, end) else {
            if end == End::Final && self.place != Place::Top {
                self.not_closed(window);
            }
            return Next::More;
        };
        if byte == b',' {
            window.consume(1);
            self.indent = None;
            return Next::GoOn;
        }
        match (self.place, byte) {
            (Place::Top, b'{') => match page::head(window.rest(), end == End::Final) {
                Head::More => return Next::More,
                Head::Record => self.record = Some(Default::default()),
                Head::Page(head) => self.enter(window, head, Place::Page),
            },
            (Place::Top, b'[') => self.enter(window, 1, Place::Array),
            (Place::Array, b']') => self.enter(window, 1, Place::Top),
            (Place::Page, b']') => {
                self.enter(window, 1, Place::PageEnd);
                self.page_end = Some((Scanner::in_object(), window.offset()));
            }
            (Place::Top, _) | (_, b'}' | b':') => self.begin_skip(window, Why::Junk, 0, None),
            (_, b'{' | b'[' | b'"') => self.record = Some(Default::default()),
            _ => return self.scalar(window, end),
        }
        Next::GoOn
    }

    fn enter(&mut self, window: &mut Window, count: usize, place: Place) {
        window.consume(count);
        self.place = place;
        self.indent = None;
        self.proven = true;
    }

    /// A number or word in an array: no record, which the parser will say.
    fn scalar(&mut self, window: &mut Window, end: End) -> Next {
        let rest = window.rest();
        let seen = &rest[..rest.len().min(window.limits.max_record_bytes)];
        let len = match seen.iter().position(|byte| b" \t\r\n,]}".contains(byte)) {
            Some(len) => len,
            None if seen.len() == window.limits.max_record_bytes => {
                self.begin_skip(window, Why::TooLong, seen.len(), None);
                return Next::GoOn;
            }
            None if end == End::Final => seen.len(),
            None => return Next::More,
        };
        self.found(window, len);
        Next::GoOn
    }

    fn found(&mut self, window: &mut Window, len: usize) {
        window.record(0, len);
        window.consume(len);
        self.indent = None;
        self.proven = true;
    }

    /// Inside a record.
    fn record(&mut self, window: &mut Window, end: End) -> Next {
        let Some((mut scanner, scanned)) = self.record.take() else { return Next::GoOn };
        let max = window.limits.max_record_bytes;
        let limit = window.rest().len().min(max);
        match scanner.scan(&window.rest()[scanned..limit]) {
            Scan::End(at) => self.found(window, scanned + at),
            Scan::Bad(at, mistake) => self.begin_skip(window, why(mistake), scanned + at, None),
            Scan::More if limit == max => self.begin_skip(window, Why::TooLong, max, Some(scanner)),
            Scan::More if end == End::Final => self.begin_skip(window, Why::CutOff, limit, None),
            Scan::More => {
                self.record = Some((scanner, limit));
                return Next::More;
            }
        }
        Next::GoOn
    }

    /// Behind the array of a page: nothing there is a record.
    fn page_end(&mut self, window: &mut Window, end: End) -> Next {
        let Some((mut scanner, start)) = self.page_end.take() else {
            // A run that begins here.
            self.page_end = Some((Scanner::in_object(), window.offset()));
            return Next::GoOn;
        };
        match scanner.scan(window.rest()) {
            Scan::End(at) => self.enter(window, at, Place::Top),
            Scan::Bad(at, mistake) => {
                self.enter(window, at, Place::Top);
                self.begin_skip(window, why(mistake), 0, None);
            }
            Scan::More => {
                window.consume(window.rest().len());
                self.page_end = Some((scanner, start));
                if end == End::Final {
                    self.not_closed(window);
                }
                return Next::More;
            }
        }
        Next::GoOn
    }

    /// The text ends inside an array or page. All records in front of that are whole, but some may be missing.
    fn not_closed(&mut self, window: &mut Window) {
        if !self.told {
            self.told = true;
            let end = window.offset();
            window.reject(end, end + 1, b"", "the text ends inside a JSON array: records may be missing");
            window.covered = window.covered.max(end + 1);
        }
    }

    /// Passes by what begins at the rest and was found broken `failed` bytes behind.
    fn begin_skip(&mut self, window: &mut Window, why: Why, failed: usize, record: Option<Scanner>) {
        let mut skip = Skip::begin(window, why);
        let seen = skip.start + failed as u64;
        let earned = LOOKS * (seen + window.limits.max_record_bytes as u64);
        if window.spent + failed as u64 <= earned {
            window.spent += failed as u64;
        } else {
            skip.pass(window, failed);
        }
        let indent = self.indent.unwrap_or(0);
        self.skip = Some(Skipping { skip, indent, blanks: None, record: record.map(|scanner| (scanner, seen)) });
    }

    /// Inside of what is passed by.
    fn skip(&mut self, window: &mut Window, end: End) -> Next {
        let Some(mut skipping) = self.skip.take() else { return Next::GoOn };
        if window.rest().is_empty() {
            if end == End::Final {
                window.unfinished = Some(skipping.skip.start);
                skipping.skip.end(window);
                return Next::GoOn;
            }
            self.skip = Some(skipping);
            return Next::More;
        }
        let ended = skipping.record_end(window);
        let piece = &window.rest()[..ended.unwrap_or(window.rest().len())];
        let (piece_len, line) = (piece.len(), skipping.line(piece));
        skipping.skip.pass(window, line.unwrap_or(piece_len));
        if line.is_none() && ended.is_none() {
            self.skip = Some(skipping);
            return Next::GoOn;
        }
        let Skipping { skip, blanks, .. } = skipping;
        skip.end(window);
        if line.is_some() {
            let same = self.indent == blanks && window.rest().first() == Some(&b'{');
            self.place = if same { self.place } else { Place::Top };
        }
        self.indent = line.and(blanks);
        Next::redetect_if(!self.proven)
    }
}

impl Next {
    fn redetect_if(redetect: bool) -> Next {
        if redetect { Next::Redetect } else { Next::GoOn }
    }
}

impl Skipping {
    /// Where in the rest a record ends that was only too long. At offsets that were scanned already, only up to
    /// where scanning goes on.
    fn record_end(&mut self, window: &Window) -> Option<usize> {
        let (scanner, from) = self.record.as_mut()?;
        let scanned = usize::try_from(from.saturating_sub(window.offset())).unwrap_or(usize::MAX);
        let piece = window.rest().get(scanned..)?;
        match scanner.scan(piece) {
            Scan::End(at) => return Some(scanned + at),
            Scan::More => *from = window.end(),
            Scan::Bad(..) => self.record = None,
        }
        None
    }

    /// Where a line begins at which reading may go on.
    fn line(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            match (self.blanks, byte) {
                (None, _) => {
                    at += memchr(b'\n', &piece[at..])?;
                    self.blanks = Some(0);
                }
                (_, b'\n') => self.blanks = Some(0),
                (Some(blanks), b' ' | b'\t') => self.blanks = Some(blanks + 1),
                (Some(blanks), b'{') if blanks <= self.indent => return Some(at),
                (Some(0), b'[') => return Some(at),
                _ => self.blanks = None,
            }
            at += 1;
        }
        None
    }
}

fn why(mistake: Mistake) -> Why {
    match mistake {
        Mistake::OpenString => Why::OpenString,
        Mistake::WrongBracket => Why::WrongBracket,
    }
}

/// Passes blanks and byte order marks by, keeping count of the indentation. Gives the byte behind them.
pub(super) fn pass_blanks(window: &mut Window, indent: &mut Option<usize>, end: End) -> Option<u8> {
    let rest = window.rest();
    let mut at = 0;
    let found = loop {
        match rest.get(at) {
            Some(b'\n') => *indent = Some(0),
            Some(b' ' | b'\t') => *indent = indent.map(|blanks| blanks + 1),
            Some(b'\r') => {}
            Some(&byte) if byte == BYTE_ORDER_MARK[0] => {
                let mark = &rest[at..rest.len().min(at + BYTE_ORDER_MARK.len())];
                if mark == BYTE_ORDER_MARK {
                    at += BYTE_ORDER_MARK.len() - 1;
                } else if BYTE_ORDER_MARK.starts_with(mark) && end != End::Final {
                    break None;
                } else {
                    break Some(byte);
                }
            }
            other => break other.copied(),
        }
        at += 1;
    };
    window.consume(at);
    found
}
