//! A row group: all columns of some events, written event by event.
//!
//! Event by event and not column by column, because an event's text is scattered through memory: it is fetched once,
//! and every column takes what it needs while it is near.

use downspout_core::EventRef;
use parquet::errors::Result;

use super::chunk::{Chunk, ChunkWriter, Codec, Shape};
use super::dictionary::Hint;
use super::map::MapWriter;
use super::number::NumberWriter;
use super::text::{Style, TextWriter};
use crate::parquet::record::Reader;
use crate::parquet::schema::{Geo, Schema};
use crate::parquet::table::{ColumnType, Kind, Table};
use crate::parquet::time::parse_time;

/// Bytes of distinct text after which a column goes on without a dictionary.
const DICTIONARY_BYTES: usize = 1 << 20;

/// The same for the map. Whoever reads one of its values reads all, so a large dictionary costs no reader more.
const MAP_DICTIONARY_BYTES: usize = 8 << 20;

/// What a thread needs to write row groups.
pub(super) struct Worker<'a> {
    table: &'a Table,
    schema: &'a Schema,
    reader: Reader<'a>,
    codec: Codec,
}

/// A column under way.
enum Column<'a> {
    Time(NumberWriter<i64>),
    Text(Box<TextWriter>, Hint),
    Int(NumberWriter<i32>),
    Long(NumberWriter<i64>),
    Double(NumberWriter<f64>),
    Bool(NumberWriter<bool>),
    Rules(Box<TextWriter>, Hint),
    Fields(Box<MapWriter<'a>>),
    Raw(Box<TextWriter>),
}

impl<'a> Worker<'a> {
    pub(super) fn new(table: &'a Table, schema: &'a Schema, codec: Codec) -> Worker<'a> {
        Worker { table, schema, reader: Reader::new(schema), codec }
    }

    /// The compressor, for another worker.
    pub(super) fn into_codec(self) -> Codec {
        self.codec
    }

    /// The chunks of a row group with these events, in the order of the table's leaves.
    pub(super) fn write(&mut self, events: impl ExactSizeIterator<Item = EventRef<'a>>) -> Result<Vec<Chunk>> {
        let rows = events.len();
        let mut columns = Vec::with_capacity(self.table.columns.len());
        for (index, column) in self.table.columns.iter().enumerate() {
            columns.push((column.kind, self.open(index, rows)?));
        }
        for event in events {
            self.reader.read(event);
            for (kind, column) in &mut columns {
                self.push(*kind, column, event)?;
            }
        }
        let mut chunks = Vec::with_capacity(self.table.leaves.len());
        for (_, column) in columns {
            self.finish(column, &mut chunks)?;
        }
        Ok(chunks)
    }

    fn open(&self, index: usize, rows: usize) -> Result<Column<'a>> {
        let column = &self.table.columns[index];
        let leaf = self.table.first_leaf(index);
        let descriptor = self.table.leaves[leaf].clone();
        let texts = |leaf: usize, shape: Shape, style: Style| {
            TextWriter::new(ChunkWriter::new(self.table.leaves[leaf].clone(), shape, style.bounds), style, rows)
        };
        let plain = Style { dictionary_bytes: 0, bounds: false, bloom: false };
        let mapped = Style { dictionary_bytes: MAP_DICTIONARY_BYTES, ..plain };
        let repeated = Style { dictionary_bytes: DICTIONARY_BYTES, bounds: true, ..plain };
        Ok(match column.kind {
            Kind::Time => Column::Time(NumberWriter::new(descriptor)),
            Kind::ClientPort => Column::Int(NumberWriter::new(descriptor)),
            Kind::Latitude | Kind::Longitude => Column::Double(NumberWriter::new(descriptor)),
            Kind::Asn => Column::Long(NumberWriter::new(descriptor)),
            Kind::Rules => Column::Rules(Box::new(texts(leaf, Shape::Repeated, repeated)?), Hint::default()),
            Kind::Raw => Column::Raw(Box::new(texts(leaf, Shape::Required, plain)?)),
            Kind::Fields => {
                let (keys, values) = (texts(leaf, Shape::Repeated, mapped)?, texts(leaf + 1, Shape::Repeated, mapped)?);
                Column::Fields(Box::new(MapWriter::new(keys, values, self.schema)))
            }
            Kind::Text(_) | Kind::Promoted { column_type: ColumnType::String, .. } => {
                let bloom = column.has_bloom_filter();
                let dictionary_bytes = if column.repeats() { DICTIONARY_BYTES } else { 0 };
                let style = Style { dictionary_bytes, bloom, ..repeated };
                Column::Text(Box::new(texts(leaf, Shape::Optional, style)?), Hint::default())
            }
            Kind::Promoted { column_type: ColumnType::Int64, .. } => Column::Long(NumberWriter::new(descriptor)),
            Kind::Promoted { column_type: ColumnType::Double, .. } => Column::Double(NumberWriter::new(descriptor)),
            Kind::Promoted { column_type: ColumnType::Boolean, .. } => Column::Bool(NumberWriter::new(descriptor)),
            Kind::Promoted { column_type: ColumnType::Timestamp, .. } => Column::Time(NumberWriter::new(descriptor)),
        })
    }

    #[inline]
    fn push(&mut self, kind: Kind, column: &mut Column<'a>, event: EventRef<'a>) -> Result<()> {
        let Worker { reader, codec, .. } = self;
        match column {
            Column::Text(writer, hint) => {
                let text = reader.text(kind);
                if let Some(text) = &text {
                    writer.push(text, hint);
                }
                writer.end_row(usize::from(text.is_some()), codec)
            }
            Column::Raw(writer) => {
                writer.push(event.raw().as_bytes(), &mut Hint::default());
                writer.end_row(1, codec)
            }
            Column::Rules(writer, hint) => {
                for rule in reader.rules() {
                    writer.push(rule.as_bytes(), hint);
                }
                writer.end_row(reader.rules().len(), codec)
            }
            Column::Fields(writer) => writer.push(event, codec),
            Column::Time(writer) => writer.push(time(kind, reader), codec),
            Column::Int(writer) => writer.push(reader.client_port(), codec),
            Column::Long(writer) => writer.push(number(kind, reader).and_then(|text| text.parse().ok()), codec),
            Column::Double(writer) => writer.push(number(kind, reader).and_then(|text| text.parse().ok()), codec),
            Column::Bool(writer) => writer.push(number(kind, reader).and_then(truth), codec),
        }
    }

    fn finish(&mut self, column: Column<'a>, chunks: &mut Vec<Chunk>) -> Result<()> {
        let codec = &mut self.codec;
        let chunk = match column {
            Column::Text(writer, _) | Column::Rules(writer, _) | Column::Raw(writer) => writer.finish(codec)?,
            Column::Time(writer) | Column::Long(writer) => writer.finish(codec)?,
            Column::Int(writer) => writer.finish(codec)?,
            Column::Double(writer) => writer.finish(codec)?,
            Column::Bool(writer) => writer.finish(codec)?,
            Column::Fields(writer) => {
                let (keys, values) = writer.finish(codec)?;
                chunks.push(keys);
                values
            }
        };
        chunks.push(chunk);
        Ok(())
    }
}

fn time(kind: Kind, reader: &Reader<'_>) -> Option<i64> {
    match kind {
        Kind::Time => reader.time(),
        _ => number(kind, reader).and_then(parse_time),
    }
}

/// The text of a number or truth value.
fn number<'a>(kind: Kind, reader: &Reader<'a>) -> Option<&'a str> {
    match kind {
        Kind::Latitude => reader.fact(Geo::Latitude),
        Kind::Longitude => reader.fact(Geo::Longitude),
        Kind::Asn => reader.fact(Geo::Asn),
        Kind::Promoted { field, .. } => reader.promoted(field),
        _ => None,
    }
}

fn truth(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
