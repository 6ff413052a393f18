//! Lines of JSON sorted by time, in memory that does not grow with them.
//!
//! As many lines as may be in memory are sorted and written as a run; at the end the runs are merged. Most days fit into
//! memory, and make no run.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// How much may be in memory, and how many runs may be open: a process may not open many files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) runs: usize,
}

/// The bounds of a collection.
pub(super) const BOUNDS: Bounds = Bounds { bytes: 64 << 20, runs: 200 };

/// The members by which the collected logs tell when something happened; the first that a record has counts. That of a
/// snapshot is an object, which tells when it was taken.
const TIMES: [&str; 9] = [
    "snapshot",
    "CreationTime",
    "createdDateTime",
    "activityDateTime",
    "detectedDateTime",
    "eventTimestamp",
    "timestamp",
    "LastAccessed",
    "receivedDateTime",
];

/// The members by which they tell which record it is.
const IDS: [&str; 4] = ["Id", "id", "eventDataId", "Identity"];

/// A record. Its order is by time, then by id, then by the text, so that the same records always make the same file. A
/// record without a time comes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    time: Option<Timestamp>,
    id: String,
    text: Vec<u8>,
}

impl Line {
    /// The next line of a file.
    fn read(input: &mut impl BufRead) -> io::Result<Option<Line>> {
        let mut text = Vec::new();
        if input.read_until(b'\n', &mut text)? == 0 {
            return Ok(None);
        }
        // What is no record keeps its place among those without a time.
        let Place { time, id } = serde_json::from_slice(&text).unwrap_or_default();
        Ok(Some(Line { time, id, text }))
    }
}

/// Where a record stands in the order.
#[derive(Debug, Default)]
struct Place {
    time: Option<Timestamp>,
    id: String,
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Place, A::Error> {
                let mut time: Option<(usize, Timestamp)> = None;
                let mut id: Option<(usize, String)> = None;
                while let Some(name) = members.next_key::<Cow<'_, str>>()? {
                    let rank = |names: &[&str]| names.iter().position(|known| *known == name);
                    if let Some(rank) = rank(&TIMES) {
                        let value = members.next_value::<Value>()?;
                        let text = value.as_str().or_else(|| value.get("taken")?.as_str());
                        if let Some(found) = text.and_then(parse_time)
                            && time.is_none_or(|(known, _)| rank < known)
                        {
                            time = Some((rank, found));
                        }
                    } else if let Some(rank) = rank(&IDS) {
                        if let Value::String(found) = members.next_value()?
                            && id.as_ref().is_none_or(|(known, _)| rank < *known)
                        {
                            id = Some((rank, found));
                        }
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Place { time: time.map(|(_, time)| time), id: id.map(|(_, id)| id).unwrap_or_default() })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A time of a record; UTC if it names no zone.
fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

/// Writes the lines of all files into one, sorted. `scratch` is a folder for the runs, which vanish by themselves. `step`
/// is asked before each file, and again and again while runs are merged.
pub(super) fn lines(
    files: &[PathBuf],
    output: &File,
    scratch: &Path,
    bounds: Bounds,
    step: &dyn Fn() -> io::Result<()>,
) -> io::Result<()> {
    let (mut held, mut bytes, mut runs) = (Vec::new(), 0, Vec::new());
    for path in files {
        step()?;
        let mut input = BufReader::new(File::open(path)?);
        while let Some(line) = Line::read(&mut input)? {
            bytes += size_of::<Line>() + line.id.len() + line.text.len();
            held.push(line);
            if bytes >= bounds.bytes {
                runs.push(run(scratch, |run| write_sorted(&mut held, run))?);
                bytes = 0;
            }
            if runs.len() >= bounds.runs {
                let merged = run(scratch, |merged| merge(std::mem::take(&mut runs), merged, step))?;
                runs.push(merged);
            }
        }
    }
    if runs.is_empty() {
        return write_sorted(&mut held, output);
    }
    runs.push(run(scratch, |run| write_sorted(&mut held, run))?);
    merge(runs, output, step)
}

/// A file without a name, which is gone when it is closed: written, and ready to be read.
fn run(scratch: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(scratch)?;
    write(&file)?;
    file.rewind()?;
    Ok(file)
}

fn write_sorted(held: &mut Vec<Line>, output: &File) -> io::Result<()> {
    held.sort_unstable();
    let mut output = BufWriter::new(output);
    for line in held.drain(..) {
        output.write_all(&line.text)?;
    }
    output.flush()
}

/// Merges sorted runs.
fn merge(runs: Vec<File>, output: &File, step: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    const LINES_A_STEP: usize = 10_000;
    let mut inputs: Vec<_> = runs.into_iter().map(BufReader::new).collect();
    let mut heap = BinaryHeap::new();
    for (number, input) in inputs.iter_mut().enumerate() {
        heap.extend(Line::read(input)?.map(|line| Reverse((line, number))));
    }
    let mut output = BufWriter::new(output);
    let mut written = 0;
    while let Some(Reverse((line, number))) = heap.pop() {
        if written % LINES_A_STEP == 0 {
            step()?;
        }
        output.write_all(&line.text)?;
        written += 1;
        heap.extend(Line::read(&mut inputs[number])?.map(|line| Reverse((line, number))));
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sorted(files: &[&str], bounds: Bounds) -> String {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..files.len()).map(|number| folder.path().join(number.to_string())).collect();
        for (path, text) in paths.iter().zip(files) {
            fs::write(path, text).unwrap();
        }
        let path = folder.path().join("sorted");
        lines(&paths, &File::create(&path).unwrap(), folder.path(), bounds, &|| Ok(())).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files.len() + 1, "no run is left");
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_sorted_by_time_then_id() {
        let first = concat!(
            r#"{"CreationTime":"2026-11-22T10:00:00","Id":"b"}"#,
            "\n",
            r#"{"CreationTime":"2026-11-22T10:00:00","Id":"a","Nested":{"Id":"z","CreationTime":"1999-01-01T00:00:00"}}"#,
            "\n",
        );
        let second = concat!(
            r#"{"createdDateTime":"2026-11-22T09:59:59.5Z","id":"c","activityDateTime":"2026-11-22T11:00:00Z"}"#,
            "\n",
            r#"{"id":"no time","timestamp":5}"#,
            "\n",
            "no JSON\n",
            r#"{"createdDateTime":"2020-01-01T00:00:00Z","id":"d","snapshot":{"taken":"2026-11-22T10:00:00Z"}}"#,
            "\n",
        );
        let text = sorted(&[first, second], BOUNDS);
        let begins: Vec<&str> = text.lines().map(|line| &line[..line.len().min(47)]).collect();
        assert_eq!(
            begins,
            [
                "no JSON",
                r#"{"id":"no time","timestamp":5}"#,
                r#"{"createdDateTime":"2026-11-22T09:59:59.5Z","id"#,
                r#"{"CreationTime":"2026-11-22T10:00:00","Id":"a","#,
                r#"{"CreationTime":"2026-11-22T10:00:00","Id":"b"}"#,
                r#"{"createdDateTime":"2020-01-01T00:00:00Z","id":"#,
            ]
        );
    }

    #[test]
    fn what_does_not_fit_into_memory_is_sorted_all_the_same() {
        let line =
            |number: u32| format!("{{\"CreationTime\":\"2026-11-22T{:02}:00:00\",\"Id\":\"{number}\"}}\n", number % 24);
        let files: Vec<String> =
            (0..3).map(|file| (0..400).map(|number| line(file * 400 + number)).collect()).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let whole = sorted(&files, BOUNDS);
        assert_eq!(whole.lines().count(), 1200);
        assert_eq!(sorted(&files, Bounds { bytes: 2_000, runs: 200 }), whole);
        assert_eq!(sorted(&files, Bounds { bytes: 500, runs: 5 }), whole);
    }
}
