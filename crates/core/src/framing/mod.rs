//! From a stream of bytes to records: what all sources share that read files, standard input or bodies of answers.
//!
//! The format is told by the content (`detect`):
//! - one record a line (`lines`), if the first line is a whole JSON object;
//! - JSON of any other shape (`json`): arrays, also several; pages, which are objects with the records in `value`,
//!   `records` or `decoratedAuditLogEntries`, also one a line; objects over several lines, one behind the other;
//! - CSV with a column `AuditData` (`csv`).
//!
//! JSON rows that carry the record in a member `AuditData` are unwrapped (`wrapper`).
//!
//! [`stream`] comes before all that: gzip, zstd and UTF-16.
//!
//! # Positions
//! A record's position is the offset of its first byte in the unpacked text, and one: positions grow, and a record
//! has the same one whenever and in whatever pieces the text is read. [`Resume`] says where to read on; it is part of
//! every batch, and reading may begin again behind every batch.
//!
//! # What is no record
//! Text between records that is no JSON, records over the limit and records that the end of the text cuts off are
//! [`Rejected`] with name, offset and length. Every byte is part of a record, of something rejected, or of what
//! separates records. What a record says is the parser's business: framing only finds where it ends.

mod blocks;
mod csv;
mod detect;
mod json;
mod lines;
mod page;
mod scan;
mod skip;
pub mod stream;
mod window;
mod wrapper;

use std::io::{self, Read};
use std::sync::Arc;

use crate::{Records, Rejected};
use serde::{Deserialize, Serialize};

use self::csv::Csv;
pub use self::csv::Layout;
use self::detect::Detecting;
use self::json::Json;
pub use self::json::Place;
use self::lines::Lines;
use self::window::Window;

/// What bounds the memory of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A longer record is passed by.
    pub max_record_bytes: usize,
    /// The records of a batch.
    pub batch_records: usize,
    /// About how much text a batch has.
    pub batch_bytes: usize,
    /// How much is read at once.
    pub read_bytes: usize,
}

impl Limits {
    /// The limits of a source whose records may have that many bytes.
    pub fn new(max_record_bytes: usize) -> Limits {
        Limits { max_record_bytes, batch_records: 2000, batch_bytes: 512 << 10, read_bytes: 64 << 10 }
    }
}

/// Where and how to read on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The offset in the unpacked text.
    pub offset: u64,
    /// Positions up to here are used up. Greater than `offset` behind a text that ended inside a record.
    #[serde(default)]
    pub covered: u64,
    /// What the text is.
    #[serde(default)]
    pub format: Format,
}

/// What a text is, and what stands around the records at the offset of a [`Resume`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Not known yet.
    #[default]
    Unknown,
    /// One record a line.
    Lines,
    /// Other JSON.
    Json(Place),
    /// CSV.
    Csv(Layout),
}

/// How the text goes on behind what was given so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// More is there to be read at once: batches are worth filling.
    More,
    /// More may come, some time: what is whole shall go on.
    Pause,
    /// It has ended: what is not whole is all there will be.
    Final,
}

/// A batch of what was found.
#[derive(Debug)]
pub struct Framed {
    /// The records.
    pub records: Records,
    /// What is none, with positions in the same order.
    pub rejected: Vec<Rejected>,
    /// Where to read on behind this batch.
    pub resume: Resume,
}

/// What a format makes of the window.
enum Step {
    /// A batch is full.
    Full,
    /// There is nothing more to find in what was read.
    More,
    /// The text is of another format.
    Switch(Box<Mode>),
    /// The text has no records, and why.
    Refuse(String),
}

#[derive(Debug)]
enum Mode {
    Detecting(Detecting),
    Lines(Lines),
    Json(Json),
    Csv(Csv),
}

/// Finds the records of one text. Bytes go in by [`Framer::fill`] or [`Framer::push`], batches come out of
/// [`Framer::next`].
#[derive(Debug)]
pub struct Framer {
    window: Window,
    mode: Mode,
}

impl Framer {
    /// A framer for a text that messages call `name`. The bytes that it is given begin at `resume.offset`.
    pub fn new(name: Arc<str>, limits: Limits, resume: Resume) -> Framer {
        let indent = (resume.offset == 0).then_some(0);
        let mode = match resume.format {
            Format::Unknown => Mode::Detecting(Detecting::new(indent)),
            Format::Lines => Mode::Lines(Lines::default()),
            Format::Json(place) => Mode::Json(Json::new(place, indent)),
            Format::Csv(layout) => Mode::Csv(Csv::new(layout)),
        };
        Framer { window: Window::new(name, limits, resume.offset, resume.covered), mode }
    }

    /// Reads once from the text. Gives the number of bytes; 0 at its end.
    ///
    /// # Errors
    /// What the reader says.
    pub fn fill(&mut self, reader: &mut dyn Read) -> io::Result<usize> {
        self.window.fill(reader)
    }

    /// Takes the text's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.window.push(bytes);
    }

    /// The next batch; `None` when more of the text is needed for one, or, at its end, when there is none.
    ///
    /// # Errors
    /// When the text has no records, and why.
    pub fn next(&mut self, end: End) -> Result<Option<Framed>, String> {
        loop {
            let step = match &mut self.mode {
                Mode::Detecting(detecting) => detecting.frame(&mut self.window, end),
                Mode::Lines(lines) => lines.frame(&mut self.window, end),
                Mode::Json(json) => json.frame(&mut self.window, end),
                Mode::Csv(csv) => csv.frame(&mut self.window, end),
            };
            match step {
                Step::Full => return Ok(Some(self.take())),
                Step::Switch(mode) => self.mode = *mode,
                Step::Refuse(problem) => return Err(format!("{}: {problem}", self.window.name)),
                Step::More => {
                    self.window.trim();
                    let worth_it = end != End::More || self.window.is_used_up();
                    return Ok((worth_it && !self.window.is_empty()).then(|| self.take()));
                }
            }
        }
    }

    /// Ends a text that cannot be read on: what was not whole is rejected with the problem. To be called when
    /// [`Framer::next`] has given all that was whole, and last.
    pub fn fail(&mut self, problem: &str) -> Framed {
        let start = self.window.offset();
        match &mut self.mode {
            Mode::Detecting(_) => {}
            Mode::Lines(lines) => lines.give_up(&mut self.window),
            Mode::Json(json) => json.give_up(&mut self.window),
            Mode::Csv(csv) => csv.give_up(&mut self.window),
        }
        let raw = self.window.rest().to_vec();
        let end = self.window.end();
        self.window.consume(raw.len());
        self.window.reject(start, end.max(start + 1), &raw, problem);
        self.window.unfinished = Some(start);
        self.window.covered = end + 1;
        self.take()
    }

    /// Where to read on behind everything that was given out.
    pub fn resume(&self) -> Resume {
        let (format, pending) = match &self.mode {
            Mode::Detecting(_) => (Format::Unknown, None),
            Mode::Lines(lines) => (Format::Lines, lines.pending()),
            Mode::Json(json) => (Format::Json(json.place()), json.pending()),
            Mode::Csv(csv) => (Format::Csv(csv.layout()), csv.pending()),
        };
        let window = &self.window;
        let offset = window.unfinished.or(pending).unwrap_or(window.offset());
        let covered = if window.unfinished.is_some() { window.covered.max(window.end()) } else { window.covered };
        Resume { offset, covered, format }
    }

    fn take(&mut self) -> Framed {
        let (records, rejected) = self.window.take();
        Framed { records, rejected, resume: self.resume() }
    }
}

#[cfg(test)]
mod tests;
