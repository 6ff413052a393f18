//! The lake, read back by readers that are not ours.

mod commits;
mod config;
mod duckdb;
mod feeds;
mod files;
mod read;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use downspout_core::field::FieldId;
use downspout_core::json::Tag;
use downspout_core::rewrite::Rewrite;
use downspout_core::value::Step;
use downspout_core::{Batch, Component, FieldTable, Sink};
use serde_json::{Value, json};

use super::ParquetConfig;
use crate::suite::{self, Subject, Workbench};

/// A config with these keys beside the path.
fn config(path: PathBuf, keys: Value) -> ParquetConfig {
    let mut config = json!({ "path": path });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

/// A lake in a folder of its own.
struct Place {
    bench: Workbench,
    keys: Value,
}

impl Place {
    fn new(keys: Value) -> Place {
        Place { bench: Workbench::new(), keys }
    }

    fn path(&self) -> PathBuf {
        self.bench.folder.path().join("lake")
    }

    /// Records with all their objects and arrays opened.
    fn batch(&self, records: &[&str]) -> Batch {
        let mut batch = suite::decode(records, &self.bench.context.fields);
        open_all(&mut batch);
        batch
    }

    /// The rows that these records become, in the order of the files.
    async fn rows_of(&self, batches: Vec<Batch>) -> Vec<read::Row> {
        let mut sink = self.open();
        for batch in batches {
            sink.deliver(&Arc::new(batch)).await.unwrap();
        }
        suite::commit(&mut *sink, 1).await.unwrap();
        read::rows(&self.path())
    }

    /// The one row that a record becomes.
    async fn row_of(&self, record: &str) -> read::Row {
        let mut rows = self.rows_of(vec![self.batch(&[record])]).await;
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }
}

impl Subject for Place {
    fn open(&self) -> Box<dyn Sink> {
        self.bench.open(config(self.path(), self.keys.clone()))
    }

    fn fields(&self) -> Arc<FieldTable> {
        Arc::clone(&self.bench.context.fields)
    }

    fn arrived(&self) -> Option<Vec<String>> {
        Some(read::rows(&self.path()).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect())
    }
}

/// What `flatten` does with objects and arrays, by its plainest rule.
fn open_all(batch: &mut Batch) {
    fn open(rewrite: &mut Rewrite<'_>, field: FieldId, trail: u32, depth: u32, index: u32) {
        let node = rewrite.node(index);
        let empty = node.end == index + 1;
        match node.tag {
            Tag::Object if !empty => {
                let mut key = index + 1;
                while key < node.end {
                    let child = rewrite.child(field, key);
                    open(rewrite, child, trail, depth + 1, key + 1);
                    key = rewrite.node(key + 1).end;
                }
            }
            Tag::Array if !empty => {
                let (mut at, mut number) = (index + 1, 0);
                while at < node.end {
                    let step = rewrite.step(trail, depth, Step::Element(number));
                    open(rewrite, field, step, depth, at);
                    (at, number) = (rewrite.node(at).end, number + 1);
                }
            }
            _ => {
                let slot = rewrite.slot(index);
                rewrite.push(field, trail, slot, index);
            }
        }
    }
    let mut rewrite = batch.rewrite(None).unwrap();
    for event in 0..rewrite.len() {
        let (node, _) = rewrite.begin(event).unwrap();
        open(&mut rewrite, FieldId::ROOT, 0, 0, node);
        rewrite.end();
    }
    rewrite.finish();
}
