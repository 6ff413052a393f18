//! Hive-style folders: `workload=Exchange/date=2026-11-22`.
//!
//! Values come from records, so they are hostile. What could leave the folder, end a path segment or confuse a reader
//! is percent-encoded, which Hive, Spark and DuckDB decode; what is too long for a file name is cut, with a hash of
//! the whole behind it, so that two values never share a folder by being cut.

use std::collections::HashMap;
use std::fmt::Write;

use super::rows::{NO_TIME, Rows};
use super::table::PartitionColumn;
use super::time::{day_of, format_day};

/// The folder of rows that have no value, by the convention of Hive.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Longest encoded value, in bytes: file systems take names of 255, and the column's name stands before it.
const LONGEST: usize = 160;

/// The rows of one folder, by time; those without a time come last.
#[derive(Debug)]
pub(super) struct Partition {
    /// Relative to the lake's folder; empty if there are no partitions.
    pub(super) folder: String,
    pub(super) rows: Vec<u32>,
}

/// A row's value of one partition column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part<'r> {
    Day(Option<i32>),
    Text(Option<&'r str>),
}

/// Sorts rows by time and deals them out to their folders.
pub(super) fn split(rows: &Rows<'_>, by: &[PartitionColumn]) -> Vec<Partition> {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_by_key(|row| rows.time[*row as usize]);
    let mut partitions: Vec<Partition> = Vec::new();
    let mut known: HashMap<Vec<Part<'_>>, usize> = HashMap::new();
    let mut key = Vec::with_capacity(by.len());
    for row in order {
        key.clear();
        key.extend(by.iter().map(|column| Part::of(rows, row, column)));
        let index = known.get(&key).copied().unwrap_or_else(|| {
            let folder = by.iter().zip(&key).map(|(column, part)| part.folder(column)).collect::<Vec<_>>().join("/");
            partitions.push(Partition { folder, rows: Vec::new() });
            known.insert(key.clone(), partitions.len() - 1);
            partitions.len() - 1
        });
        partitions[index].rows.push(row);
    }
    partitions
}

impl<'r> Part<'r> {
    fn of(rows: &'r Rows<'_>, row: u32, column: &PartitionColumn) -> Part<'r> {
        match column {
            PartitionColumn::Date => {
                let time = rows.time[row as usize];
                Part::Day((time != NO_TIME).then(|| day_of(time)))
            }
            // An empty text and none share a folder, so they must share a file.
            PartitionColumn::Text(column) => Part::Text(rows.text(column.kind, row).filter(|text| !text.is_empty())),
        }
    }

    fn folder(&self, column: &PartitionColumn) -> String {
        match self {
            Part::Day(day) => folder(column.name(), day.map(format_day).as_deref()),
            Part::Text(text) => folder(column.name(), *text),
        }
    }
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
        if c.is_control() || matches!(c, '/' | '\\' | '=' | '%' | ':' | '"' | '\'' | '#' | '?' | '*' | '<' | '>' | '|' | '{' | '}' | '[' | ']' | '^')
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
