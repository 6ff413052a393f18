//! Parquet files put together without decoding them, in memory that grows with their row groups only.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;

/// Copies the row groups of the files, with their Bloom filters and page indexes, in the order of their first times; as
/// they come where the table has no times. `step` is asked before each row group.
pub(super) fn row_groups(files: &[PathBuf], output: &File, step: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    let mut inputs = Vec::new();
    for path in files {
        step()?;
        let metadata = File::open(path).map_err(ParquetError::from).and_then(|input| metadata(&input));
        let metadata = metadata.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        inputs.push((path, metadata));
    }
    let Some((_, first)) = inputs.first() else { return Ok(()) };
    let mut writer = begin(first, output)?;
    let mut groups = Vec::new();
    for (input, (path, metadata)) in inputs.iter().enumerate() {
        if writer.schema_descr().root_schema() != metadata.file_metadata().schema() {
            return Err(other_columns(path));
        }
        groups
            .extend(metadata.row_groups().iter().enumerate().map(|(number, group)| (first_time(group), input, number)));
    }
    groups.sort();
    for (_, input, number) in groups {
        step()?;
        let (path, metadata) = &inputs[input];
        append(&File::open(path)?, metadata, number, &mut writer)?;
    }
    writer.close()?;
    Ok(())
}

/// The earliest time in a row group, if it says.
fn first_time(group: &RowGroupMetaData) -> Option<i64> {
    let time = group.columns().iter().find(|column| column.column_path().string() == "time")?;
    match time.statistics()? {
        Statistics::Int64(times) => times.min_opt().copied(),
        _ => None,
    }
}

fn metadata(input: &File) -> Result<ParquetMetaData> {
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional).parse_and_finish(input)
}

/// A file of the same table as the one with this metadata.
fn begin<'f>(like: &ParquetMetaData, output: &'f File) -> Result<SerializedFileWriter<&'f File>> {
    let file = like.file_metadata();
    let mut properties = WriterProperties::builder()
        .set_key_value_metadata(file.key_value_metadata().cloned())
        .set_sorting_columns(like.row_groups().first().and_then(|group| group.sorting_columns().cloned()));
    if let Some(program) = file.created_by() {
        properties = properties.set_created_by(program.to_owned());
    }
    SerializedFileWriter::new(output, file.schema_descr().root_schema_ptr(), Arc::new(properties.build()))
}

fn append(
    input: &File,
    metadata: &ParquetMetaData,
    number: usize,
    writer: &mut SerializedFileWriter<&File>,
) -> Result<()> {
    let (index, group) = (metadata.page_index(), metadata.row_group(number));
    let mut output = writer.next_row_group()?;
    for (column, chunk) in group.columns().iter().enumerate() {
        let close = ColumnCloseResult {
            bytes_written: chunk.compressed_size().unsigned_abs(),
            rows_written: group.num_rows().unsigned_abs(),
            metadata: chunk.clone(),
            bloom_filter: Sbbf::read_from_column_chunk(chunk, input)?,
            column_index: index.and_then(|index| index.column_index(number, column)).cloned(),
            offset_index: index.and_then(|index| index.offset_index(number, column)).cloned(),
        };
        output.append_column(input, close)?;
    }
    output.close()?;
    Ok(())
}

fn other_columns(path: &Path) -> io::Error {
    io::Error::other(format!("{} has other columns than the files before it", path.display()))
}
