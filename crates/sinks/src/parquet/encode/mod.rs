//! Collected events to the bytes of Parquet files.
//!
//! Each column chunk is a task of its own, so that several workers share a file; each worker has one compressor and
//! keeps it. The last worker at a file puts its chunks together.

mod bits;
mod chunk;
mod columns;
mod dictionary;
mod number;
mod text;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use downspout_core::{Batch, StageError};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedFileWriter;

use super::commit::NewFile;
use super::partition::{Partition, split};
use super::rows::Rows;
use super::schema::Schema;
use super::table::{Kind, Table};
use chunk::Chunk;
use columns::Worker;

/// Below that many rows, all columns of a row group are one task.
const SMALL: usize = 2048;

/// Encodes events as the files of a commit, on `threads` threads.
pub(super) fn encode(
    batches: &[Arc<Batch>],
    table: &Table,
    schema: &mut Schema,
    threads: usize,
) -> std::result::Result<Vec<NewFile>, StageError> {
    let rows = Rows::read(batches, schema, &table.promoted);
    let partitions = split(&rows, &table.partition_by);
    let files: Vec<File<'_>> = partitions.iter().map(|partition| File::new(partition, table)).collect();
    let tasks = tasks(&files, table);
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        let mut worker = Worker::new(table, &rows, schema)?;
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            files[task.file].run(task, &mut worker, table)?;
        }
        Ok(())
    };
    let done = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|_| Err(lost()))).fold(own, Result::and)
    });
    let content = || -> Result<Vec<NewFile>> {
        done?;
        files.into_iter().zip(&partitions).map(|(file, partition)| file.finish(partition)).collect()
    };
    content().map_err(|error| StageError::stop("encode", format!("cannot encode a Parquet file: {error}")))
}

fn lost() -> ParquetError {
    ParquetError::General("a worker died".to_owned())
}

/// A file under way.
struct File<'p> {
    /// The rows of each row group.
    groups: Vec<&'p [u32]>,
    /// The chunks of all row groups, in the order of the file.
    chunks: Mutex<Vec<Option<Chunk>>>,
    /// How many chunks are missing.
    missing: AtomicUsize,
    content: Mutex<Option<Vec<u8>>>,
}

/// Columns of a row group of a file.
struct Task {
    file: usize,
    group: usize,
    columns: Range<usize>,
}

/// All tasks, file by file; the dear columns of a file first, so that no worker is left alone with one at the end.
fn tasks(files: &[File<'_>], table: &Table) -> Vec<Task> {
    let mut order: Vec<usize> = (0..table.columns.len()).collect();
    order.sort_by_key(|column| !matches!(table.columns[*column].kind, Kind::Fields | Kind::Raw));
    let mut tasks = Vec::new();
    for (file, File { groups, .. }) in files.iter().enumerate() {
        for (group, rows) in groups.iter().enumerate() {
            if rows.len() < SMALL {
                tasks.push(Task { file, group, columns: 0..table.columns.len() });
            } else {
                tasks.extend(order.iter().map(|column| Task { file, group, columns: *column..column + 1 }));
            }
        }
    }
    tasks
}

impl<'p> File<'p> {
    fn new(partition: &'p Partition, table: &Table) -> File<'p> {
        let groups: Vec<&[u32]> = partition.rows.chunks(table.row_group_rows).collect();
        let chunks = groups.len() * table.leaves.len();
        File {
            groups,
            chunks: Mutex::new((0..chunks).map(|_| None).collect()),
            missing: AtomicUsize::new(chunks),
            content: Mutex::new(None),
        }
    }

    fn run(&self, task: &Task, worker: &mut Worker<'_>, table: &Table) -> Result<()> {
        for column in task.columns.clone() {
            let done = worker.column(column, self.groups[task.group])?;
            let first = task.group * table.leaves.len() + table.first_leaf(column);
            let count = done.len();
            let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
            for (place, chunk) in chunks[first..].iter_mut().zip(done) {
                *place = Some(chunk);
            }
            drop(chunks);
            if self.missing.fetch_sub(count, Ordering::AcqRel) == count {
                let content = self.assemble(table)?;
                *self.content.lock().unwrap_or_else(PoisonError::into_inner) = Some(content);
            }
        }
        Ok(())
    }

    fn assemble(&self, table: &Table) -> Result<Vec<u8>> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let chunks = std::mem::take(&mut *chunks);
        let mut file = SerializedFileWriter::new(Vec::new(), table.parquet.root_schema_ptr(), table.properties.clone())?;
        let mut chunks = chunks.into_iter().flatten();
        for _ in &self.groups {
            let mut group = file.next_row_group()?;
            for chunk in chunks.by_ref().take(table.leaves.len()) {
                group.append_column(&chunk.bytes, chunk.close)?;
            }
            group.close()?;
        }
        file.into_inner()
    }

    fn finish(self, partition: &Partition) -> Result<NewFile> {
        let content = self.content.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(NewFile { folder: partition.folder.clone(), content: content.ok_or_else(lost)? })
    }
}
