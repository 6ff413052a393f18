//! Files put together without decoding them, in memory that does not grow with them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

/// Copies the files one after the other. `step` is asked before each.
pub(super) fn lines(files: &[PathBuf], mut output: &File, step: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    for path in files {
        step()?;
        io::copy(&mut File::open(path)?, &mut output)?;
    }
    Ok(())
}

/// Copies the row groups of the files one after the other, with their Bloom filters and page indexes. `step` is asked
/// before each file.
pub(super) fn row_groups(files: &[PathBuf], output: &File, step: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    let mut writer: Option<SerializedFileWriter<&File>> = None;
    for path in files {
        step()?;
        let input = File::open(path)?;
        let metadata = metadata(&input).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        let writer = match &mut writer {
            None => writer.insert(begin(&metadata, output)?),
            Some(writer) if writer.schema_descr().root_schema() == metadata.file_metadata().schema() => writer,
            Some(_) => return Err(other_columns(path)),
        };
        append(&input, &metadata, writer)?;
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
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

fn append(input: &File, metadata: &ParquetMetaData, writer: &mut SerializedFileWriter<&File>) -> Result<()> {
    let index = metadata.page_index();
    for (number, group) in metadata.row_groups().iter().enumerate() {
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
    }
    Ok(())
}

fn other_columns(path: &Path) -> io::Error {
    io::Error::other(format!("{} has other columns than the files before it", path.display()))
}
