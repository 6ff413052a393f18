//! CSV exports of the audit log: the record is the text of the cell in the column `AuditData`.
//!
//! Purview's audit search and `Search-UnifiedAuditLog | Export-Csv` write them, with other columns that changed over
//! the years, which is why only the header's names count. The delimiter is the one that makes a column of that name.
//! Two kinds of lines may stand in front: `#TYPE ...` from Windows PowerShell, and Excel's `sep=;`.

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};
use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::skip::{Skip, Why};
use super::window::Window;
use super::{End, Step};

const COLUMN: &str = "AuditData";

/// `;` is what `Export-Csv -UseCulture` and Excel write where the comma separates decimals.
const DELIMITERS: [u8; 3] = *b",;\t";

/// How many columns an error lists, and how much of each name.
const LISTED: usize = 20;
const LISTED_CHARS: usize = 40;

/// How much of a cell is decoded at once.
const SCRATCH_BYTES: usize = 8 << 10;

/// Where in a row the record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    delimiter: u8,
    column: usize,
}

/// What a text's first lines say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Not to be told yet.
    More,
    /// A header of that length that names the column.
    Found { layout: Layout, len: usize },
    /// A header that does not name it, and the columns that it names.
    Missing(String),
}

impl Header {
    /// Reads the header at the beginning of a text. `last`: there is no more of it.
    pub(super) fn read(text: &[u8], last: bool) -> Header {
        let mut start = 0;
        while text[start..].starts_with(b"#TYPE") || text[start..].starts_with(b"sep=") {
            let Some(newline) = memchr(b'\n', &text[start..]) else { break };
            start += newline + 1;
        }
        let mut best: Vec<String> = Vec::new();
        let mut found = None;
        for delimiter in DELIMITERS {
            let Some((names, len)) = first_row(&text[start..], delimiter, last) else { return Header::More };
            let exact = names.iter().position(|name| name == COLUMN);
            let close = names.iter().position(|name| name.eq_ignore_ascii_case(COLUMN));
            if let Some(column) = exact.or(close)
                && (found.is_none() || exact.is_some())
            {
                found = Some(Header::Found { layout: Layout { delimiter, column }, len: start + len });
            }
            if names.len() > best.len() {
                best = names;
            }
        }
        found.unwrap_or_else(|| Header::Missing(list(&best)))
    }
}

fn list(names: &[String]) -> String {
    let shorten = |name: &String| format!("`{}`", name.chars().take(LISTED_CHARS).collect::<String>().escape_debug());
    let shown: Vec<String> = names.iter().take(LISTED).map(shorten).collect();
    let more = if names.len() > LISTED { format!(" and {} more", names.len() - LISTED) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The cells of the first row, and its length with its end. `None`: it is not whole.
fn first_row(text: &[u8], delimiter: u8, last: bool) -> Option<(Vec<String>, usize)> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let mut scratch = [0; SCRATCH_BYTES];
    let (mut names, mut name, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        let (result, read, written) = reader.read_field(&text[at..], &mut scratch);
        at += read;
        name.extend_from_slice(&scratch[..written]);
        match result {
            ReadFieldResult::InputEmpty if !last => return None,
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                names.push(String::from_utf8_lossy(&name).trim().to_owned());
                name.clear();
                if record_end {
                    return Some((names, at));
                }
            }
            ReadFieldResult::End => return Some((names, at)),
        }
    }
}

#[derive(Debug)]
pub(super) struct Csv {
    layout: Layout,
    reader: Box<Reader>,
    scratch: Box<[u8]>,
    /// How much of the row at the window's rest has been read.
    read: usize,
    /// How many of its cells have ended.
    cells: usize,
    /// What its record's cell holds so far.
    cell: Vec<u8>,
    skip: Option<Skip>,
}

impl Csv {
    pub(super) fn new(layout: Layout) -> Csv {
        let reader = Box::new(ReaderBuilder::new().delimiter(layout.delimiter).build());
        let scratch = vec![0; SCRATCH_BYTES].into_boxed_slice();
        Csv { layout, reader, scratch, read: 0, cells: 0, cell: Vec::new(), skip: None }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn frame(&mut self, window: &mut Window, end: End) -> Step {
        while !window.is_full() {
            let goes_on = if self.skip.is_some() { self.skip(window, end) } else { self.row(window, end) };
            if !goes_on {
                return Step::More;
            }
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

    /// Reads on in a row. Gives whether there is more to do.
    fn row(&mut self, window: &mut Window, end: End) -> bool {
        if self.read == 0 {
            let ends = window.rest().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            window.consume(ends);
        }
        let max = window.limits.max_record_bytes;
        let limit = window.rest().len().min(max + 1);
        let unread = &window.rest()[self.read..limit];
        if unread.is_empty() {
            if self.read > max {
                let mut skip = Skip::begin(window, Why::TooLong);
                skip.pass(window, self.read);
                self.skip = Some(skip);
                self.begin_row();
                return true;
            }
            if end != End::Final || self.read == 0 {
                return false;
            }
        }
        let is_last = unread.is_empty();
        let (result, read, written) = self.reader.read_field(unread, &mut self.scratch);
        self.read += read;
        if is_last {
            window.unfinished = Some(window.offset());
        }
        if self.cells == self.layout.column {
            self.cell.extend_from_slice(&self.scratch[..written]);
        }
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                self.cells += 1;
                if record_end {
                    self.end_row(window);
                }
            }
            ReadFieldResult::End => self.end_row(window),
        }
        true
    }

    fn end_row(&mut self, window: &mut Window) {
        let row = &window.rest()[..self.read];
        let len = row.trim_ascii_end().len();
        let start = window.offset();
        if len == 0 {
            // Blanks alone are no row.
        } else if self.cells <= self.layout.column {
            let (cells, column) = (self.cells, self.layout.column + 1);
            let problem = format!("a row that ends with cell {cells}, where {COLUMN} is column {column}");
            let raw = row[..len].to_vec();
            window.reject(start, start + len as u64, &raw, &problem);
        } else if self.cell.trim_ascii().is_empty() {
            let raw = row[..len].to_vec();
            window.reject(start, start + len as u64, &raw, &format!("the cell {COLUMN} is empty"));
        } else {
            window.cell(&self.cell, len);
        }
        window.consume(self.read);
        self.begin_row();
    }

    fn begin_row(&mut self) {
        self.reader.reset();
        self.read = 0;
        self.cells = 0;
        self.cell.clear();
    }

    /// Passes the rest of a row by that is too long: up to the next newline, wherever it stands.
    fn skip(&mut self, window: &mut Window, end: End) -> bool {
        let Some(mut skip) = self.skip.take() else { return true };
        let newline = memchr(b'\n', window.rest());
        skip.pass(window, newline.unwrap_or(window.rest().len()));
        if newline.is_none() && end == End::Final {
            window.unfinished = Some(skip.start);
        }
        if newline.is_some() || end == End::Final {
            skip.end(window);
            return true;
        }
        self.skip = Some(skip);
        false
    }
}
