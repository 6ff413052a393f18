//! What a text is: one record a line, other JSON, or a CSV. Told by its first line.
//!
//! The answer depends on the text alone, and never on the pieces in which it arrives: it is given only when enough
//! has been seen, or when the text has ended.

use memchr::memchr;

use super::csv::{Csv, Header};
use super::json::{Json, Place, pass_blanks};
use super::lines::Lines;
use super::page::{self, Head};
use super::scan::{Scan, Scanner};
use super::window::Window;
use super::{End, Mode, Step};

/// Within how many bytes a text that begins neither with JSON nor with a header must show a line that does.
const LOOK_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Detecting {
    indent: Option<usize>,
    /// Follows the first value, and how much of the rest it has seen.
    first: Scanner,
    scanned: usize,
    /// Where the first value ended.
    ended: Option<usize>,
}

impl Detecting {
    /// `indent`: the blanks in front of the text, if it begins on a line of its own.
    pub(super) fn new(indent: Option<usize>) -> Detecting {
        Detecting { indent, first: Scanner::default(), scanned: 0, ended: None }
    }

    pub(super) fn frame(&mut self, window: &mut Window, end: End) -> Step {
        if self.scanned == 0 && pass_blanks(window, &mut self.indent, end).is_none() {
            return Step::More;
        }
        let text = window.rest();
        let mode = match text.first() {
            None => return Step::More,
            Some(b'[') => Some(self.json()),
            Some(b'{') => self.object(text, window.limits.max_record_bytes, end == End::Final),
            Some(_) => match self.other(text, end == End::Final) {
                Ok(Some((mode, header))) => {
                    window.consume(header);
                    Some(mode)
                }
                Ok(None) => None,
                Err(problem) => return Step::Refuse(problem),
            },
        };
        mode.map_or(Step::More, |mode| Step::Switch(Box::new(mode)))
    }

    fn json(&self) -> Mode {
        Mode::Json(Json::new(Place::Top, self.indent))
    }

    /// A text that begins with an object: one record a line if the object is whole and alone on its line.
    fn object(&mut self, text: &[u8], max: usize, last: bool) -> Option<Mode> {
        match page::head(text, last) {
            Head::More => return None,
            Head::Page(_) => return Some(self.json()),
            Head::Record => {}
        }
        let line_end = memchr(b'\n', &text[self.scanned..]).map(|at| self.scanned + at);
        let line = &text[..line_end.unwrap_or(text.len()).min(max)];
        if self.ended.is_none() {
            match self.first.scan(&line[self.scanned..]) {
                Scan::End(at) => self.ended = Some(self.scanned + at),
                Scan::Bad(..) => return Some(self.json()),
                Scan::More => {}
            }
            self.scanned = line.len();
        }
        match self.ended {
            // Something follows it on its line.
            Some(end) if !line[end..].trim_ascii().is_empty() => Some(self.json()),
            Some(_) => (line_end.is_some() || last || line.len() == max).then(|| Mode::Lines(Lines::default())),
            None if line_end.is_some_and(|end| end < max) => Some(self.json()),
            // A first line that is too long, or that is all there is.
            None => (line.len() == max || last).then(|| Mode::Lines(Lines::default())),
        }
    }

    /// A text that does not begin with JSON: a CSV, or JSON with something else in front.
    fn other(&self, text: &[u8], last: bool) -> Result<Option<(Mode, usize)>, String> {
        let seen = &text[..text.len().min(LOOK_BYTES)];
        let last = last || text.len() >= LOOK_BYTES;
        let columns = match Header::read(seen, last) {
            Header::More => return Ok(None),
            Header::Found { layout, len } => return Ok(Some((Mode::Csv(Csv::new(layout)), len))),
            Header::Missing(columns) => columns,
        };
        let begins_json = |line: &[u8]| matches!(line.trim_ascii_start().first(), Some(b'{' | b'['));
        if seen.split(|&byte| byte == b'\n').any(begins_json) {
            return Ok(Some((self.json(), 0)));
        }
        if last {
            return Err(format!(
                "neither JSON nor a CSV with a column AuditData; as a CSV, its first line names the columns {columns}; \
                 export it again with the column AuditData, or leave the file out"
            ));
        }
        Ok(None)
    }
}
