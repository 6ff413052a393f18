//! What a commit will write, collected column by column while each batch is still in the processor's cache.
//!
//! A batch comes from its worker a moment after it was made. Later, when enough has come for a file, its parts would
//! have to be fetched from memory again, value by value, and that took longer than all the encoding. So of a batch
//! only the received text is kept, and that only for the column `raw`; everything else becomes numbers at once: each
//! distinct text stands in a dictionary once. Sorting by time and dividing into files then moves numbers only.

mod columns;
mod dictionary;
mod map;
mod raws;

use std::sync::Arc;

use downspout_core::Batch;

pub(super) use columns::{Columns, Values};
pub(super) use dictionary::Dictionary;
pub(super) use raws::Raws;

use super::layout::Layouts;
use super::ndjson::Lines;
use super::partition::Partitions;
use super::record::Reader;
use super::schema::Schema;
use super::table::Table;
use crate::lines::Format;

/// In place of a text's number: there is none.
pub(super) const NOTHING: u32 = u32::MAX;

/// The time of a row that has none: sorts last.
const NO_TIME: i64 = i64::MAX;

/// Collects events for one commit after the other.
#[derive(Debug)]
pub(super) struct Collector {
    table: Arc<Table>,
    schema: Schema,
    layouts: Layouts,
    form: Form,
    collected: Collected,
}

/// The rows of a commit, in the order in which they came.
#[derive(Debug)]
pub(super) struct Collected {
    /// Each row's time and the number of its partition.
    rows: Vec<(i64, u32)>,
    partitions: Partitions,
    pub(super) content: Content,
}

/// What a lake's files hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// The columns of the table.
    Parquet,
    /// A line of JSON for each event.
    Lines(Format),
}

/// What the rows hold.
#[derive(Debug)]
pub(super) enum Content {
    Columns(Box<Columns>),
    Lines(Box<Lines>),
}

/// The rows of one folder, by time; those without a time come last.
#[derive(Debug)]
pub(super) struct Partition {
    /// Relative to the lake's folder; empty if there are no partitions.
    pub(super) folder: String,
    pub(super) rows: Vec<u32>,
}

impl Collector {
    /// A collector of rows for files of that form.
    pub(super) fn new(table: Arc<Table>, schema: Schema, form: Form) -> Collector {
        let collected = Collected::new(Content::new(form, &table));
        Collector { table, schema, layouts: Layouts::default(), form, collected }
    }

    /// Adds the events of a batch.
    pub(super) fn add(&mut self, batch: &Batch) {
        let Collector { table, schema, layouts, collected, .. } = self;
        let Some(first) = batch.events().next() else { return };
        schema.grow(&batch.names());
        layouts.begin();
        let epoch = layouts.epoch();
        let mut reader = Reader::new(schema, layouts, first);
        let Collected { rows, partitions, content } = collected;
        match content {
            Content::Columns(columns) => columns.begin(batch, epoch),
            Content::Lines(lines) => lines.add(batch),
        }
        for event in batch.events() {
            reader.read(event);
            let time = reader.time();
            rows.push((time.unwrap_or(NO_TIME), partitions.number(&table.partition_by, time, &reader)));
            if let Content::Columns(columns) = content {
                columns.push(&reader);
            }
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.collected.rows.len()
    }

    /// About how much memory is taken.
    pub(super) fn bytes(&self) -> usize {
        let content = match &self.collected.content {
            Content::Columns(columns) => columns.bytes(),
            Content::Lines(lines) => lines.bytes(),
        };
        content + size_of_val(self.collected.rows.as_slice())
    }

    /// Takes what was collected. `spare`: columns without rows to go on with, if there are any.
    pub(super) fn take(&mut self, spare: Option<Box<Columns>>) -> Collected {
        let content = match &self.collected.content {
            Content::Columns(columns) => Content::Columns(spare.unwrap_or_else(|| Box::new(columns.next(&self.table)))),
            Content::Lines(_) => Content::new(self.form, &self.table),
        };
        std::mem::replace(&mut self.collected, Collected::new(content))
    }
}

impl Content {
    fn new(form: Form, table: &Table) -> Content {
        match form {
            Form::Parquet => Content::Columns(Box::new(Columns::new(table))),
            Form::Lines(format) => Content::Lines(Box::new(Lines::new(format))),
        }
    }
}

impl Collected {
    fn new(content: Content) -> Collected {
        Collected { rows: Vec::new(), partitions: Partitions::default(), content }
    }

    /// Sorts the rows by time and deals them out to their folders.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        let mut order: Vec<(i64, u32)> = self.rows.iter().map(|(time, _)| *time).zip(0..).collect();
        order.sort_unstable();
        let partition = |folder: &String| Partition { folder: folder.clone(), rows: Vec::new() };
        let mut partitions: Vec<Partition> = self.partitions.folders().iter().map(partition).collect();
        for (_, row) in order {
            partitions[self.rows[row as usize].1 as usize].rows.push(row);
        }
        partitions
    }
}
