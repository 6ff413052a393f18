//! Collected columns to the bytes of Parquet files.
//!
//! Each column of a row group is a task of its own, the heavy ones first, so that threads share a file however few
//! its row groups are. The last worker at a file puts it together.
//!
//! The workers run inside the runtime, on the threads that make batches otherwise: a thread that encodes takes no
//! turns with one that collects, so its memory stays in the cache, and no core waits until a thread is moved to it.
//! Where that would keep the runtime for long (a slow level, a large commit), they run on threads of their own.

mod bits;
mod chunk;
mod group;
mod number;
mod text;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use downspout_core::StageError;
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedFileWriter;
use tokio::task::JoinSet;

use super::collect::{Columns, Partition};
use super::commit::NewFile;
use super::table::Table;
use chunk::{Chunk, Codec};
use group::Worker;

/// The highest level of zstd, and the most bytes of columns, that are encoded inside the runtime.
const BRIEF_LEVEL: i32 = 3;
const BRIEF_BYTES: usize = 48 << 20;

/// Columns that took more memory are not kept for the next commit.
const KEPT_BYTES: usize = 64 << 20;

/// What encoding needs and keeps from commit to commit.
#[derive(Debug)]
pub(super) struct Encoder {
    table: Arc<Table>,
    threads: usize,
    /// Compressors that no worker uses: making one anew costs as much as using it for some pages.
    codecs: Mutex<Vec<Codec>>,
    /// The columns of the last commit, without its rows: memory that was used before costs less than fresh memory.
    columns: Mutex<Option<Box<Columns>>>,
}

impl Encoder {
    /// An encoder that uses that many threads.
    pub(super) fn new(table: Arc<Table>, threads: usize) -> Encoder {
        Encoder { table, threads: threads.max(1), codecs: Mutex::default(), columns: Mutex::default() }
    }

    /// Encodes the columns' rows as the files of a commit.
    pub(super) async fn encode(
        self: &Arc<Self>,
        columns: Box<Columns>,
        partitions: Vec<Partition>,
    ) -> std::result::Result<Vec<NewFile>, StageError> {
        self.files(columns, partitions)
            .await
            .map_err(|error| StageError::stop("encode", format!("cannot encode a Parquet file: {error}")))
    }

    async fn files(self: &Arc<Self>, columns: Box<Columns>, partitions: Vec<Partition>) -> Result<Vec<NewFile>> {
        let encoding = Arc::new(Encoding::new(Arc::clone(self), columns, partitions));
        let mut workers = JoinSet::new();
        for _ in 0..self.threads.min(encoding.tasks.len()) {
            let encoding = Arc::clone(&encoding);
            if self.is_brief(&encoding.columns) {
                workers.spawn(async move { encoding.work() });
            } else {
                workers.spawn_blocking(move || encoding.work());
            }
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap_or_else(|_| Err(lost()))?;
        }
        let Encoding { mut columns, files, partitions, .. } = Arc::into_inner(encoding).ok_or_else(lost)?;
        if columns.bytes() <= KEPT_BYTES {
            columns.clear();
            *self.columns.lock().unwrap_or_else(PoisonError::into_inner) = Some(columns);
        }
        files.into_iter().zip(partitions).map(|(file, partition)| file.finish(partition.folder)).collect()
    }

    /// Columns without rows, for another commit.
    pub(super) fn spare_columns(&self) -> Option<Box<Columns>> {
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether encoding these columns takes a thread some hundredths of a second, at most.
    fn is_brief(&self, columns: &Columns) -> bool {
        self.table.level.compression_level() <= BRIEF_LEVEL && columns.bytes() <= BRIEF_BYTES
    }

    fn codec(&self) -> Result<Codec> {
        let idle = self.codecs.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Codec::new(self.table.level), Ok)
    }
}

/// A commit that is being encoded.
struct Encoding {
    encoder: Arc<Encoder>,
    columns: Box<Columns>,
    partitions: Vec<Partition>,
    files: Vec<File>,
    /// A file, a row group of it, a column of that.
    tasks: Vec<(usize, usize, usize)>,
    next: AtomicUsize,
}

impl Encoding {
    fn new(encoder: Arc<Encoder>, columns: Box<Columns>, partitions: Vec<Partition>) -> Encoding {
        let table = &encoder.table;
        let files: Vec<File> = partitions.iter().map(|partition| File::new(partition, table)).collect();
        let order = table.heaviest_first();
        let mut tasks = Vec::new();
        for (index, file) in files.iter().enumerate() {
            tasks.extend(
                (0..file.groups.len()).flat_map(|group| order.iter().map(move |column| (index, group, *column))),
            );
        }
        Encoding { encoder, columns, partitions, files, tasks, next: AtomicUsize::new(0) }
    }

    /// Takes one task after the other until none is left.
    fn work(&self) -> Result<()> {
        let mut worker = Worker::new(&self.encoder.table, &self.columns, self.encoder.codec()?);
        while let Some((index, group, column)) = self.tasks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let file = &self.files[*index];
            let rows = &self.partitions[*index].rows[file.groups[*group].clone()];
            file.write((*group, *column), rows, &mut worker, &self.encoder.table)?;
        }
        self.encoder.codecs.lock().unwrap_or_else(PoisonError::into_inner).push(worker.into_codec());
        Ok(())
    }
}

fn lost() -> ParquetError {
    ParquetError::General("a worker died".to_owned())
}

/// A file under way.
struct File {
    /// The rows of each row group, among those of its partition.
    groups: Vec<Range<usize>>,
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

impl File {
    fn new(partition: &Partition, table: &Table) -> File {
        let rows = partition.rows.len();
        let columns = table.columns.len();
        // Equal parts, so that none is a tiny rest.
        let parts = rows.div_ceil(table.row_group_rows).max(1);
        let part = rows.div_ceil(parts).max(1);
        let groups: Vec<_> = (0..rows).step_by(part).map(|start| start..rows.min(start + part)).collect();
        let chunks = || (0..columns).map(|_| Vec::new()).collect();
        let done =
            Done { groups: groups.iter().map(|_| chunks()).collect(), missing: groups.len() * columns, content: None };
        File { groups, done: Mutex::new(done) }
    }

    fn write(
        &self,
        (group, column): (usize, usize),
        rows: &[u32],
        worker: &mut Worker<'_>,
        table: &Table,
    ) -> Result<()> {
        let chunks = worker.write(column, rows)?;
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.groups[group][column] = chunks;
        done.missing -= 1;
        if done.missing == 0 {
            let groups = std::mem::take(&mut done.groups);
            done.content = Some(assemble(groups, table)?);
        }
        Ok(())
    }

    fn finish(self, folder: String) -> Result<NewFile> {
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(NewFile { folder, content: done.content.ok_or_else(lost)? })
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
