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
mod memory;
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
use chunk::Chunk;
use group::{Tools, Worker};
use memory::Memory;

/// The highest level of zstd, and the most bytes of columns, that are encoded inside the runtime.
const BRIEF_LEVEL: i32 = 3;
const BRIEF_BYTES: usize = 48 << 20;

/// What encoding needs and keeps from commit to commit.
#[derive(Debug)]
pub(super) struct Encoder {
    table: Arc<Table>,
    threads: usize,
    memory: Memory,
}

impl Encoder {
    /// An encoder that uses that many threads.
    pub(super) fn new(table: Arc<Table>, threads: usize) -> Encoder {
        Encoder { table, threads: threads.max(1), memory: Memory::default() }
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
        let brief = self.is_brief(&columns);
        let encoding = Arc::new(Encoding::new(Arc::clone(self), columns, partitions));
        let mut workers = JoinSet::new();
        for _ in 0..self.threads.min(encoding.tasks.len()) {
            let encoding = Arc::clone(&encoding);
            if brief {
                workers.spawn(async move { encoding.work() });
            } else {
                workers.spawn_blocking(move || encoding.work());
            }
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap_or_else(|_| Err(lost()))?;
        }
        let Encoding { columns, files, partitions, .. } = Arc::into_inner(encoding).ok_or_else(lost)?;
        self.memory.keep_columns(columns);
        files.into_iter().zip(partitions).map(|(file, partition)| file.finish(partition.folder)).collect()
    }

    /// Columns without rows, for another commit.
    pub(super) fn spare_columns(&self) -> Option<Box<Columns>> {
        self.memory.columns()
    }

    /// Takes back the memory of files that are written.
    pub(super) fn take_back(&self, files: Vec<NewFile>) {
        files.into_iter().for_each(|file| self.memory.keep_file(file.content));
    }

    /// Whether encoding these columns takes a thread some hundredths of a second, at most.
    fn is_brief(&self, columns: &Columns) -> bool {
        self.table.level.compression_level() <= BRIEF_LEVEL && columns.bytes() <= BRIEF_BYTES
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
    fn new(encoder: Arc<Encoder>, mut columns: Box<Columns>, partitions: Vec<Partition>) -> Encoding {
        let table = &encoder.table;
        let files: Vec<File> = partitions.iter().map(|partition| File::new(partition, table)).collect();
        columns.divide(files.iter().map(|file| file.groups.len()).sum());
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
        let Encoder { table, memory, .. } = &*self.encoder;
        let tools = memory.tools().map_or_else(|| Tools::new(table.level), Ok)?;
        let mut worker = Worker::new(table, &self.columns, memory, tools);
        while let Some((index, group, column)) = self.tasks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let file = &self.files[*index];
            let rows = &self.partitions[*index].rows[file.groups[*group].clone()];
            file.write((*group, *column), rows, &mut worker, &self.encoder)?;
        }
        memory.keep_tools(worker.into_tools(), &self.columns);
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
        encoder: &Encoder,
    ) -> Result<()> {
        let chunks = worker.write(column, rows)?;
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.groups[group][column] = chunks;
        done.missing -= 1;
        if done.missing == 0 {
            let groups = std::mem::take(&mut done.groups);
            done.content = Some(assemble(groups, encoder)?);
        }
        Ok(())
    }

    fn finish(self, folder: String) -> Result<NewFile> {
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(NewFile { folder, content: done.content.ok_or_else(lost)? })
    }
}

fn assemble(groups: Vec<Vec<Vec<Chunk>>>, Encoder { table, memory, .. }: &Encoder) -> Result<Vec<u8>> {
    let chunks: usize = groups.iter().flatten().flatten().map(|chunk| chunk.bytes.len()).sum();
    let mut content = memory.file();
    // Bloom filters, indexes and the footer come behind them.
    content.reserve(chunks + chunks / 8 + (64 << 10));
    let mut file = SerializedFileWriter::new(content, table.parquet.root_schema_ptr(), table.properties.clone())?;
    for columns in groups {
        let mut group = file.next_row_group()?;
        for (leaf, chunk) in columns.into_iter().flatten().enumerate() {
            group.append_column(&chunk.bytes, chunk.close)?;
            // Nobody else holds them, so this gives the same memory back.
            memory.keep_chunk(leaf, Vec::from(chunk.bytes));
        }
        group.close()?;
    }
    file.into_inner()
}
