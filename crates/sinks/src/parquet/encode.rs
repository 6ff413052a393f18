//! Rows to the bytes of a Parquet file. (Arrow version)

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, compute_leaves};
use parquet::basic::ZstdLevel;
use parquet::errors::Result;

use super::fields::Grouping;
use super::rows::{NO_TIME, Promoted, Rows, Text};
use super::schema::Schema;
use super::table::{Column, Kind, properties};

/// What a file needs besides its rows.
pub(super) struct Encoder<'a> {
    pub(super) columns: &'a [Column],
    pub(super) arrow: SchemaRef,
    pub(super) schema: &'a Schema,
    pub(super) level: ZstdLevel,
    pub(super) row_group_rows: usize,
    pub(super) threads: usize,
}

impl Encoder<'_> {
    pub(super) fn file(&self, rows: &Rows<'_>, order: &[u32]) -> Result<Vec<u8>> {
        let writer = ArrowWriter::try_new(Vec::new(), self.arrow.clone(), Some(properties(self.level, order.len())))?;
        let (mut file, factory) = writer.into_serialized_writer()?;
        for (index, order) in order.chunks(self.row_group_rows).enumerate() {
            let mut writers = factory.create_column_writers(index)?.into_iter();
            let mut tasks = Vec::new();
            for (column, field) in self.columns.iter().zip(self.arrow.fields()) {
                let leaves = if column.kind == Kind::Fields { 2 } else { 1 };
                let writers: Vec<_> = writers.by_ref().take(leaves).collect();
                tasks.push(Mutex::new(Some((column, field, writers))));
            }
            let done: Vec<Mutex<Option<Result<Vec<ArrowColumnChunk>>>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
            let mut heavy: Vec<usize> = (0..tasks.len()).collect();
            heavy.sort_by_key(|i| match self.columns[*i].kind { Kind::Fields => 0, Kind::Raw => 1, _ => 2 });
            let next = AtomicUsize::new(0);
            let work = || {
                while let Some(i) = heavy.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some((column, field, writers)) = tasks[*i].lock().unwrap().take() else { continue };
                    let t = std::time::Instant::now();
                    let result = (|| {
                        let array = self.array(column.kind, rows, order);
                        let mut chunks = Vec::new();
                        for (leaf, mut writer) in compute_leaves(field, &array)?.into_iter().zip(writers) {
                            writer.write(&leaf)?;
                            chunks.push(writer.close()?);
                        }
                        Ok(chunks)
                    })();
                    if std::env::var("TRACE").is_ok() { eprintln!("{} {:?}", column.name, t.elapsed()); }
                    *done[*i].lock().unwrap() = Some(result);
                }
            };
            std::thread::scope(|scope| {
                for _ in 1..self.threads { scope.spawn(work); }
                work();
            });
            let mut group = file.next_row_group()?;
            for chunks in done {
                for chunk in chunks.into_inner().unwrap().unwrap()? {
                    chunk.append_to_row_group(&mut group)?;
                }
            }
            group.close()?;
        }
        file.into_inner()
    }

    fn array(&self, kind: Kind, rows: &Rows<'_>, order: &[u32]) -> ArrayRef {
        let at = |row: &u32| *row as usize;
        match kind {
            Kind::Time => Arc::new(TimestampMicrosecondArray::from_iter(order.iter().map(|row| Some(rows.time[at(row)]).filter(|t| *t != NO_TIME))).with_timezone("UTC")),
            Kind::Text(index) => text(&rows.texts[index], order),
            Kind::ClientPort => Arc::new(Int32Array::from_iter(order.iter().map(|row| rows.client_port[at(row)]))),
            Kind::Latitude => Arc::new(Float64Array::from_iter(order.iter().map(|row| rows.latitude[at(row)]))),
            Kind::Longitude => Arc::new(Float64Array::from_iter(order.iter().map(|row| rows.longitude[at(row)]))),
            Kind::Asn => Arc::new(Int64Array::from_iter(order.iter().map(|row| rows.asn[at(row)]))),
            Kind::Rules => {
                let mut values = StringBuilder::new();
                let mut lengths = Vec::new();
                for row in order {
                    let rules = rows.rules_of(*row);
                    lengths.push(rules.len());
                    rules.iter().for_each(|rule| values.append_value(rule));
                }
                let DataType::List(field) = kind.data_type() else { unreachable!() };
                Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), Arc::new(values.finish()), None::<NullBuffer>))
            }
            Kind::Fields => {
                let DataType::Map(field, _) = kind.data_type() else { unreachable!() };
                let DataType::Struct(members) = field.data_type() else { unreachable!() };
                let mut grouping = Grouping::default();
                let mut keys = StringBuilder::with_capacity(order.len() * 40, order.len() * 800);
                let mut values = StringBuilder::with_capacity(order.len() * 40, order.len() * 800);
                let mut lengths = Vec::with_capacity(order.len());
                for row in order {
                    let event = rows.event(*row);
                    grouping.group(event, self.schema);
                    lengths.push(grouping.len());
                    for field in grouping.names() {
                        match field.index() {
                            Some(index) => keys.append_value(self.schema.name(index)),
                            None => keys.append_value(event.batch().names().printed(field)),
                        }
                    }
                    grouping.texts(|text| values.append_value(std::str::from_utf8(text).unwrap()));
                }
                let entries = StructArray::new(members.clone(), vec![Arc::new(keys.finish()), Arc::new(values.finish())], None);
                Arc::new(MapArray::new(field, OffsetBuffer::from_lengths(lengths), entries, None, false))
            }
            Kind::Raw => {
                let mut values = StringBuilder::with_capacity(order.len(), order.len() * 1400);
                for row in order { values.append_value(rows.event(*row).raw()); }
                Arc::new(values.finish())
            }
            Kind::Promoted(index, _) => match &rows.promoted[index] {
                Promoted::Text(column) => text(column, order),
                Promoted::Long(column) => Arc::new(Int64Array::from_iter(order.iter().map(|row| column[at(row)]))),
                Promoted::Double(column) => Arc::new(Float64Array::from_iter(order.iter().map(|row| column[at(row)]))),
                Promoted::Bool(column) => Arc::new(BooleanArray::from_iter(order.iter().map(|row| column[at(row)]))),
                Promoted::Time(column) => Arc::new(TimestampMicrosecondArray::from_iter(order.iter().map(|row| column[at(row)])).with_timezone("UTC")),
            },
        }
    }
}

fn text(column: &[Text<'_>], order: &[u32]) -> ArrayRef {
    let mut values = StringBuilder::with_capacity(order.len(), order.len() * 16);
    for row in order { values.append_option(column[*row as usize].as_deref()); }
    Arc::new(values.finish())
}
