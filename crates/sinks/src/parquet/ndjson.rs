//! The sink of plain lines with the lake's promises: files of NDJSON in Hive folders, exactly once.
//!
//! # What it does
//! As the sink `parquet`, with lines of JSON in the files instead of columns: events are collected, divided by
//! `partition_by`, sorted by time, and become visible file by file, each whole and each event in one of them, whatever
//! crashes meanwhile. For those who want to read what they collected with `jq` and `grep`, or hand it on as evidence.
//!
//! The sink `file` appends to one file at once, and may write an event twice in a crash.
//!
//! # Example
//! ```yaml
//! sinks:
//!   evidence: { type: ndjson, inputs: [unique], path: ./evidence, partition_by: [source, date] }
//! ```
//!
//! # Metrics
//! Those of every sink. `error_type`: `disk_full`, `permission`, `path`, `foreign`, `io`.

use std::path::PathBuf;

use downspout_core::print::LineWriter;
use downspout_core::{Batch, Build, Component, ConfigError, Sink};
use schemars::JsonSchema;
use serde::Deserialize;

use super::collect::{Form, Partition};
use super::commit::NewFile;
use super::lake::Lake;
use super::table::Table;
use super::{ParquetConfig, Roll};
use crate::lines::Format;

/// Writes files of NDJSON, exactly once, into a folder of Hive partitions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NdjsonConfig {
    /// The folder. It is made if it does not exist.
    pub path: PathBuf,
    /// The columns of the lake's common schema whose values make the folders, such as `source`, `workload` and `date`
    /// (the day of the event's time, UTC), from the outermost folder inwards. Empty: no folders. Each of their values
    /// costs every commit a folder and a file that the disk must make durable: take columns of few values.
    #[serde(default = "default_partition_by")]
    pub partition_by: Vec<String>,
    /// `raw`: the record as received, with what transforms added as further members. `flat`: one flat object with
    /// dotted names.
    #[serde(default)]
    pub format: Format,
    /// When collected events are written.
    #[serde(default)]
    pub roll: Roll,
}

fn default_partition_by() -> Vec<String> {
    vec!["source".to_owned(), "date".to_owned()]
}

impl Component for NdjsonConfig {
    type Stage = Box<dyn Sink>;
    const TYPE: &'static str = "ndjson";
    const EXAMPLE: &'static str = "path: ./evidence\npartition_by: [source, date]";

    fn plan(self) -> Result<Build<Box<dyn Sink>>, Vec<ConfigError>> {
        let NdjsonConfig { path, partition_by, format, roll } = self;
        // The table says which columns there are and how to read them of an event; no file holds them.
        let table = Table::plan(&ParquetConfig {
            path: path.clone(),
            partition_by,
            columns: Vec::new(),
            raw: true,
            roll: roll.clone(),
            compression_level: super::default_compression_level(),
            row_group_rows: super::default_row_group_rows(),
        })?;
        Ok(Box::new(move |context| Ok(Box::new(Lake::open(path, roll, Form::Lines(format), table, context)?))))
    }
}

/// The lines of collected events, in the order in which they came.
#[derive(Debug)]
pub(super) struct Lines {
    format: Format,
    writer: LineWriter,
    text: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl Lines {
    pub(super) fn new(format: Format) -> Lines {
        Lines { format, writer: LineWriter::default(), text: Vec::new(), ends: Vec::new() }
    }

    /// Adds a line for each event.
    pub(super) fn add(&mut self, batch: &Batch) {
        let names = batch.names();
        for event in batch.events() {
            match self.format {
                Format::Raw => self.writer.write_raw(event, &names, &mut self.text),
                Format::Flat => self.writer.write_flat(event, &names, &mut self.text),
            }
            self.ends.push(self.text.len());
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len() + size_of_val(self.ends.as_slice())
    }

    /// The files of a commit.
    pub(super) fn files(&self, partitions: Vec<Partition>) -> Vec<NewFile> {
        let file = |partition: Partition| {
            let mut content = Vec::new();
            partition.rows.iter().for_each(|row| content.extend_from_slice(self.line(*row as usize)));
            NewFile { folder: partition.folder, content }
        };
        partitions.into_iter().map(file).collect()
    }

    fn line(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[start..self.ends[row]]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::suite::{self, Subject, Workbench};

    struct Place(Workbench);

    impl Place {
        fn path(&self) -> PathBuf {
            self.0.folder.path().join("out")
        }

        /// The files' lines, by folder.
        fn lines(&self) -> BTreeMap<String, Vec<String>> {
            let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let mut folders = vec![self.path()];
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    if path.is_dir() && !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                        folders.push(path);
                    } else if path.extension().is_some_and(|extension| extension == "ndjson") {
                        let text = std::fs::read_to_string(&path).unwrap();
                        let name = folder.strip_prefix(self.path()).unwrap().to_str().unwrap().to_owned();
                        found.entry(name).or_default().extend(text.lines().map(str::to_owned));
                    }
                }
            }
            found
        }
    }

    impl Subject for Place {
        fn open(&self) -> Box<dyn Sink> {
            self.0.open(NdjsonConfig {
                path: self.path(),
                partition_by: default_partition_by(),
                format: Format::Raw,
                roll: Roll::default(),
            })
        }

        fn fields(&self) -> Arc<downspout_core::FieldTable> {
            Arc::clone(&self.0.context.fields)
        }

        fn arrived(&self) -> Option<Vec<String>> {
            let id = |line: &String| serde_json::from_str::<Value>(line).unwrap()["Id"].as_str().unwrap().to_owned();
            Some(self.lines().values().flatten().map(id).collect())
        }
    }

    #[tokio::test]
    async fn passes_the_suite() {
        suite::passes(|| Place(Workbench::new())).await;
    }

    #[tokio::test]
    async fn records_stand_in_the_folder_of_their_day_as_they_came() {
        let place = Place(Workbench::new());
        let mut sink = place.open();
        let records = [
            r#"{"CreationTime":"2026-11-22T10:00:00","Operation":"x","Id":"2", "Size":1.50}"#,
            r#"{"CreationTime":"2026-11-22T09:00:00","Operation":"x","Id":"1"}"#,
            r#"{"CreationTime":"2026-11-23T09:00:00","Operation":"x","Id":"3"}"#,
        ];
        sink.deliver(&place.0.batch(&records)).await.unwrap();
        suite::commit(&mut *sink, 1).await.unwrap();
        let lines = place.lines();
        let folders: Vec<&str> = lines.keys().map(|folder| folder.split_once('/').unwrap().1).collect();
        assert_eq!(folders, ["date=2026-11-22", "date=2026-11-23"]);
        assert_eq!(lines.values().next().unwrap(), &[records[1], records[0]]);
    }
}
