//! Hive-style folders: `workload=Exchange/date=2026-11-22`.
//!
//! Values come from records, so they are hostile. What could leave the folder, end a path segment or confuse a reader
//! is percent-encoded, which Hive, Spark and DuckDB decode; what is too long for a file name is cut, with a hash of
//! the whole behind it, so that two values never share a folder by being cut.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use downspout_core::Batch;

use super::record::{Reader, Text};
use super::schema::Schema;
use super::table::{Column, Kind, PartitionColumn, Table};
use super::time::{day_of, format_day};

/// The time of a row that has none: sorts last.
const NO_TIME: i64 = i64::MAX;

/// The folder of rows that have no value, by the convention of Hive.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Longest encoded value, in bytes: file systems take names of 255, and the column's name stands before it.
const LONGEST: usize = 160;

/// The events of one folder, by time; those without a time come last.
#[derive(Debug)]
pub(super) struct Partition {
    /// Relative to the lake's folder; empty if there are no partitions.
    pub(super) folder: String,
    /// Each event as its batch and its index there.
    pub(super) rows: Vec<(u32, u32)>,
}

/// A row's value of one partition column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Day(Option<i32>),
    Text(Option<Vec<u8>>),
}

/// Sorts events by time and deals them out to their folders.
pub(super) fn split(batches: &[Arc<Batch>], table: &Table, schema: &Schema) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = Vec::new();
    let mut known: HashMap<Vec<Part>, usize> = HashMap::new();
    // Neighbours mostly share a folder, so the last key is tried first.
    let mut last: (Vec<Part>, usize) = (Vec::new(), 0);
    let mut rows = Vec::with_capacity(batches.iter().map(|batch| batch.len()).sum());
    let mut reader = Reader::new(schema);
    let wanted: Vec<Kind> = table.partition_by.iter().filter_map(PartitionColumn::kind).collect();
    let reads_all = table.partition_by.iter().any(PartitionColumn::is_found_late);
    for (batch, events) in batches.iter().enumerate() {
        for event in events.events() {
            let time = if reads_all {
                reader.read(event);
                reader.time()
            } else {
                reader.read_head(event, &wanted)
            };
            let same = !partitions.is_empty()
                && table.partition_by.iter().zip(&last.0).all(|(column, part)| part.is(column, time, &reader));
            if !same {
                let key: Vec<Part> = table.partition_by.iter().map(|column| Part::of(column, time, &reader)).collect();
                let index = known.get(&key).copied().unwrap_or_else(|| {
                    let folders: Vec<String> =
                        table.partition_by.iter().zip(&key).map(|(column, part)| part.folder(column)).collect();
                    partitions.push(Partition { folder: folders.join("/"), rows: Vec::new() });
                    known.insert(key.clone(), partitions.len() - 1);
                    partitions.len() - 1
                });
                last = (key, index);
            }
            rows.push((time.unwrap_or(NO_TIME), last.1 as u32, batch as u32, event.index() as u32));
        }
    }
    rows.sort_by_key(|(time, ..)| *time);
    for (_, partition, batch, event) in rows {
        partitions[partition as usize].rows.push((batch, event));
    }
    partitions
}

impl Part {
    fn of(column: &PartitionColumn, time: Option<i64>, reader: &Reader<'_>) -> Part {
        match column {
            PartitionColumn::Date => Part::Day(time.map(day_of)),
            PartitionColumn::Text(column) => Part::Text(text(column, reader).map(Cow::into_owned)),
        }
    }

    fn is(&self, column: &PartitionColumn, time: Option<i64>, reader: &Reader<'_>) -> bool {
        match (self, column) {
            (Part::Text(known), PartitionColumn::Text(column)) => known.as_deref() == text(column, reader).as_deref(),
            (Part::Day(day), _) => *day == time.map(day_of),
            (Part::Text(_), PartitionColumn::Date) => false,
        }
    }

    fn folder(&self, column: &PartitionColumn) -> String {
        match self {
            Part::Day(day) => folder(column.name(), day.map(format_day).as_deref()),
            Part::Text(text) => {
                let text = text.as_deref().map(String::from_utf8_lossy);
                folder(column.name(), text.as_deref())
            }
        }
    }
}

/// An empty text and none share a folder, so they must share a file.
fn text<'r>(column: &Column, reader: &'r Reader<'_>) -> Text<'r> {
    reader.text(column.kind).filter(|text| !text.is_empty())
}

/// A partition's folder name for one column: `name=value`.
pub(super) fn folder(name: &str, value: Option<&str>) -> String {
    let mut folder = format!("{name}=");
    match value {
        None | Some("") => folder.push_str(NO_VALUE),
        Some(value) => push_value(value, &mut folder),
    }
    folder
}

fn push_value(value: &str, folder: &mut String) {
    let start = folder.len();
    for c in value.chars() {
        let from = folder.len();
        if c.is_control()
            || matches!(
                c,
                '/' | '\\'
                    | '='
                    | '%'
                    | ':'
                    | '"'
                    | '\''
                    | '#'
                    | '?'
                    | '*'
                    | '<'
                    | '>'
                    | '|'
                    | '{'
                    | '}'
                    | '['
                    | ']'
                    | '^'
            )
        {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing into a String cannot fail.
                let _ = write!(folder, "%{byte:02X}");
            }
        } else {
            folder.push(c);
        }
        if folder.len() - start > LONGEST {
            folder.truncate(from);
            let _ = write!(folder, "%7E{:016x}", hash(value));
            return;
        }
    }
}

/// FNV-1a: the same on every machine and in every version, which the standard library's hasher is not.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn folders() {
        for (value, expected) in [
            (Some("Exchange"), "workload=Exchange"),
            (None, "workload=__HIVE_DEFAULT_PARTITION__"),
            (Some(""), "workload=__HIVE_DEFAULT_PARTITION__"),
            (Some("../../etc"), "workload=..%2F..%2Fetc"),
            (Some(".."), "workload=.."),
            (Some("a=b%c\n"), "workload=a%3Db%25c%0A"),
            (Some("with blank, é"), "workload=with blank, é"),
        ] {
            assert_eq!(folder("workload", value), expected);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_stays_distinct() {
        let cut = folder("workload", Some(&"x".repeat(300)));
        assert_eq!(cut.len(), "workload=".len() + LONGEST + "%7E".len() + 16);
        assert_ne!(cut, folder("workload", Some(&"x".repeat(301))));
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_folder(value in "(.|[/\\\\\0=%.]){0,400}") {
            let folder = folder("c", Some(&value));
            prop_assert!(folder.starts_with("c=") && folder.len() < 255);
            prop_assert!(!folder[2..].contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | '=')));
            prop_assert_eq!(std::path::Path::new(&folder).components().count(), 1);
        }

        #[test]
        fn values_have_folders_of_their_own(a in "[ab%/]{0,4}", b in "[ab%/]{0,4}") {
            prop_assert_eq!(a == b, folder("c", Some(&a)) == folder("c", Some(&b)));
        }
    }
}
