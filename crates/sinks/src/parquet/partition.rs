//! Hive-style folders: `workload=Exchange/date=2026-11-22`.
//!
//! Values come from records, so they are hostile. What could leave the folder, end a path segment or confuse a reader
//! is percent-encoded, which Hive, Spark and DuckDB decode; what is too long for a file name is cut, with a hash of
//! the whole behind it, so that two values never share a folder by being cut.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use super::record::Reader;
use super::table::{Column, PartitionColumn};
use super::time::{day_of, format_day};

/// The folder of rows that have no value, by the convention of Hive.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Longest encoded value, in bytes: file systems take names of 255, and the column's name stands before it.
const LONGEST: usize = 160;

/// A row's value of one partition column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Day(Option<i32>),
    Text(Option<Vec<u8>>),
}

/// The folders of a commit's rows, numbered as they come up.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    folders: Vec<String>,
    known: HashMap<Vec<Part>, u32>,
    /// Neighbours mostly share a folder, so the last key is tried first.
    last: Option<(Vec<Part>, u32)>,
}

impl Partitions {
    /// The number of the folder of the row that `reader` has turned to.
    pub(super) fn number(&mut self, columns: &[PartitionColumn], time: Option<i64>, reader: &Reader<'_>) -> u32 {
        if let Some((key, number)) = &self.last
            && columns.iter().zip(key).all(|(column, part)| part.is(column, time, reader))
        {
            return *number;
        }
        let key: Vec<Part> = columns.iter().map(|column| Part::of(column, time, reader)).collect();
        let number = self.known.get(&key).copied().unwrap_or_else(|| {
            let parts: Vec<String> = columns.iter().zip(&key).map(|(column, part)| part.folder(column)).collect();
            let number = self.folders.len() as u32;
            self.folders.push(parts.join("/"));
            self.known.insert(key.clone(), number);
            number
        });
        self.last = Some((key, number));
        number
    }

    /// The folders by number, relative to the lake's; an empty one if there are no partition columns.
    pub(super) fn folders(&self) -> &[String] {
        &self.folders
    }
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
fn text<'r>(column: &Column, reader: &'r Reader<'_>) -> Option<Cow<'r, [u8]>> {
    reader.bytes(column.kind).filter(|text| !text.is_empty())
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
