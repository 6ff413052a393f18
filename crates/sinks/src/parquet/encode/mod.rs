//! Collected columns to the bytes of Parquet files.
//!
//! Each column of a row group is a task of its own, the heavy ones first, so that threads share a file however few
//! its row groups are. The last worker at a file puts it together.

mod bits;
mod chunk;
mod group;
mod number;
mod text;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use downspout_core::StageError;
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedFileWriter;

use super::collect::{Columns, Partition};
use super::commit::NewFile;
use super::table::Table;
use chunk::{Chunk, Codec};
use group::Worker;

/// What encoding needs and keeps from commit to commit.
#[derive(Debug)]
pub(super) struct Encoder {
    table: Arc<Table>,
    threads: usize,
    /// Compressors that no worker uses: making one anew costs as much as using it for some pages.
    codecs: Mutex<Vec<Codec>>,
}

impl Encoder {
    /// An encoder that uses that many threads.
    pub(super) fn new(table: Arc<Table>, threads: usize) -> Encoder {
        Encoder { table, threads: threads.max(1), codecs: Mutex::new(Vec::new()) }
    }

    /// Encodes the columns' rows as the files of a commit.
    pub(super) fn encode(
        &self,
        columns: &Columns,
        partitions: &[Partition],
    ) -> std::result::Result<Vec<NewFile>, StageError> {
        self.files(columns, partitions)
            .map_err(|error| StageError::stop("encode", format!("cannot encode a Parquet file: {error}")))
    }

    fn files(&self, columns: &Columns, partitions: &[Partition]) -> Result<Vec<NewFile>> {
        let Encoder { table, threads, .. } = self;
        let files: Vec<File<'_>> = partitions.iter().map(|partition| File::new(partition, table)).collect();
        let order = table.heaviest_first();
        let mut tasks: Vec<(usize, usize, usize)> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            tasks.extend(
                (0..file.groups.len()).flat_map(|group| order.iter().map(move |column| (index, group, *column))),
            );
        }
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            let mut worker = Worker::new(table, columns, self.codec()?);
            while let Some((file, group, column)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                files[*file].write(*group, *column, &mut worker, table)?;
            }
            self.codecs.lock().unwrap_or_else(PoisonError::into_inner).push(worker.into_codec());
            Ok(())
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..(*threads).min(tasks.len())).map(|_| scope.spawn(work)).collect();
            let own = work();
            helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|_| Err(lost()))).fold(own, Result::and)
        })?;
        files.into_iter().zip(partitions).map(|(file, partition)| file.finish(partition)).collect()
    }

    fn codec(&self) -> Result<Codec> {
        let idle = self.codecs.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Codec::new(self.table.level), Ok)
    }
}

fn lost() -> ParquetError {
    ParquetError::General("a worker died".to_owned())
}

/// A file under way.
struct File<'p> {
    /// The rows of each row group.
    groups: Vec<&'p [u32]>,
    done: Mutex<Done>,
}

/// What is ready of a file.
struct Done {
    /// The chunks of each column of each row group.
    groups: Vec<Vec<Vec<Chunk>>>,
    /// How many columns are missing.
    missing: usize,
    content: Option<Vec<u8>>,
}

impl<'p> File<'p> {
    fn new(partition: &'p Partition, table: &Table) -> File<'p> {
        let rows = &partition.rows;
        let columns = table.columns.len();
        // Equal parts, so that none is a tiny rest.
        let parts = rows.len().div_ceil(table.row_group_rows).max(1);
        let groups: Vec<_> = rows.chunks(rows.len().div_ceil(parts).max(1)).collect();
        let chunks = || (0..columns).map(|_| Vec::new()).collect();
        let done =
            Done { groups: groups.iter().map(|_| chunks()).collect(), missing: groups.len() * columns, content: None };
        File { groups, done: Mutex::new(done) }
    }

    fn write(&self, group: usize, column: usize, worker: &mut Worker<'_>, table: &Table) -> Result<()> {
        let chunks = worker.write(column, self.groups[group])?;
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.groups[group][column] = chunks;
        done.missing -= 1;
        if done.missing == 0 {
            let groups = std::mem::take(&mut done.groups);
            done.content = Some(assemble(groups, table)?);
        }
        Ok(())
    }

    fn finish(self, partition: &Partition) -> Result<NewFile> {
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(NewFile { folder: partition.folder.clone(), content: done.content.ok_or_else(lost)? })
    }
}

fn assemble(groups: Vec<Vec<Vec<Chunk>>>, table: &Table) -> Result<Vec<u8>> {
    let chunks: usize = groups.iter().flatten().flatten().map(|chunk| chunk.bytes.len()).sum();
    // Bloom filters, indexes and the footer come behind them.
    let content = Vec::with_capacity(chunks + chunks / 8 + (64 << 10));
    let mut file = SerializedFileWriter::new(content, table.parquet.root_schema_ptr(), table.properties.clone())?;
    for columns in groups {
        let mut group = file.next_row_group()?;
        for chunk in columns.into_iter().flatten() {
            group.append_column(&chunk.bytes, chunk.close)?;
        }
        group.close()?;
    }
    file.into_inner()
}
