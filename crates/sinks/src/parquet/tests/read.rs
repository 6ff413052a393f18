//! Reads a lake back with the `parquet` crate's own reader.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::SerializedFileReader;
use parquet::file::serialized_reader::ReadOptionsBuilder;
use serde_json::{Value, json};

/// A row: column name to value.
pub(super) type Row = BTreeMap<String, Value>;

/// The visible files of a lake, by name.
pub(super) fn files(lake: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![lake.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().to_str().unwrap().starts_with(['.', '_']);
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if !hidden {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The rows of all visible files.
pub(super) fn rows(lake: &Path) -> Vec<Row> {
    if !lake.exists() {
        return Vec::new();
    }
    files(lake).iter().flat_map(|file| rows_of_file(file)).collect()
}

pub(super) fn rows_of_file(file: &Path) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap()).unwrap().build().unwrap();
    reader.flat_map(|batch| rows_of_batch(&batch.unwrap())).collect()
}

/// A file with its metadata, page index included.
pub(super) fn open(file: &Path) -> SerializedFileReader<std::fs::File> {
    let options = ReadOptionsBuilder::new().with_page_index().build();
    SerializedFileReader::new_with_options(std::fs::File::open(file).unwrap(), options).unwrap()
}

fn rows_of_batch(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let row = |index: usize| {
        let columns = schema.fields().iter().zip(batch.columns());
        columns.map(|(field, column)| (field.name().clone(), value(column, index))).collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

fn value(array: &dyn Array, index: usize) -> Value {
    if array.is_null(index) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => json!(array.as_string::<i32>().value(index)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(index)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(index)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(index)),
        DataType::Boolean => json!(array.as_boolean().value(index)),
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(index);
            json!(jiff::Timestamp::from_microsecond(micros).unwrap().to_string())
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(index);
            (0..list.len()).map(|index| value(&list, index)).collect()
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(index);
            let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
            let pairs = (0..entries.len()).map(|index| (keys.value(index).to_owned(), value(values, index)));
            let map: serde_json::Map<String, Value> = pairs.collect();
            assert_eq!(map.len(), entries.len(), "keys are unique");
            Value::Object(map)
        }
        other => panic!("no column has the type {other}"),
    }
}
