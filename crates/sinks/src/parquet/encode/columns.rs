//! A worker: turns one column of some rows into its chunks.

use downspout_core::FieldId;
use parquet::errors::Result;

use super::chunk::{Chunk, ChunkWriter, Codec, Shape};
use super::number::{Number, write_numbers};
use super::dictionary::Hint;
use super::text::{Style, TextWriter};
use crate::parquet::fields::{Grouping, additions};
use crate::parquet::rows::{NO_TIME, Promoted, Rows, Text};
use crate::parquet::schema::Schema;
use crate::parquet::table::{Column, Kind, Table};

/// Bytes of distinct text after which a column goes on without a dictionary.
const DICTIONARY_BYTES: usize = 1 << 20;

/// The same for the map. Whoever reads one of its values reads all, so a large dictionary costs no reader more.
const MAP_DICTIONARY_BYTES: usize = 8 << 20;

/// What a thread needs to encode columns.
pub(super) struct Worker<'r> {
    table: &'r Table,
    rows: &'r Rows<'r>,
    schema: &'r Schema,
    codec: Codec,
    /// For the map's keys, which are encoded beside its values.
    key_codec: Codec,
    grouping: Grouping<'r>,
}

impl<'r> Worker<'r> {
    pub(super) fn new(table: &'r Table, rows: &'r Rows<'r>, schema: &'r Schema) -> Result<Worker<'r>> {
        let (codec, key_codec) = (Codec::new(table.level)?, Codec::new(table.level)?);
        Ok(Worker { table, rows, schema, codec, key_codec, grouping: Grouping::default() })
    }

    /// The chunks of a column for the rows of `order`: two of the map, else one.
    pub(super) fn column(&mut self, column: usize, order: &[u32]) -> Result<Vec<Chunk>> {
        let rows = self.rows;
        let leaf = self.table.first_leaf(column);
        let column = &self.table.columns[column];
        let chunk = match column.kind {
            Kind::Time => {
                self.numbers(leaf, order.iter().map(|row| Some(rows.time[at(row)]).filter(|time| *time != NO_TIME)))
            }
            Kind::ClientPort => self.numbers(leaf, order.iter().map(|row| rows.client_port[at(row)])),
            Kind::Latitude => self.numbers(leaf, order.iter().map(|row| rows.latitude[at(row)])),
            Kind::Longitude => self.numbers(leaf, order.iter().map(|row| rows.longitude[at(row)])),
            Kind::Asn => self.numbers(leaf, order.iter().map(|row| rows.asn[at(row)])),
            Kind::Text(index) => self.texts(leaf, column, &rows.texts[index], order),
            Kind::Promoted(index, _) => match &rows.promoted[index] {
                Promoted::Text(values) => self.texts(leaf, column, values, order),
                Promoted::Long(values) => self.numbers(leaf, order.iter().map(|row| values[at(row)])),
                Promoted::Time(values) => self.numbers(leaf, order.iter().map(|row| values[at(row)])),
                Promoted::Double(values) => self.numbers(leaf, order.iter().map(|row| values[at(row)])),
                Promoted::Bool(values) => self.numbers(leaf, order.iter().map(|row| values[at(row)])),
            },
            Kind::Rules => self.rules(leaf, order),
            Kind::Raw => self.raw(leaf, order),
            Kind::Fields => return self.fields(leaf, order),
        };
        Ok(vec![chunk?])
    }

    fn numbers<T: Number>(&mut self, leaf: usize, numbers: impl ExactSizeIterator<Item = Option<T>>) -> Result<Chunk> {
        let descriptor = self.table.leaves[leaf].clone();
        write_numbers(ChunkWriter::new(descriptor, Shape::Optional, true, &mut self.codec), numbers)
    }

    fn texts(&mut self, leaf: usize, column: &Column, texts: &[Text<'_>], order: &[u32]) -> Result<Chunk> {
        let descriptor = self.table.leaves[leaf].clone();
        let chunk = ChunkWriter::new(descriptor, Shape::Optional, true, &mut self.codec);
        let dictionary_bytes = if column.repeats() { DICTIONARY_BYTES } else { 0 };
        let style = Style { dictionary_bytes, bounds: true, bloom: column.has_bloom_filter() };
        let mut writer = TextWriter::new(chunk, style, order.len())?;
        // Neighbours in time have much in common.
        let mut hint = Hint::default();
        for row in order {
            let text = texts[at(row)].as_deref();
            if let Some(text) = text {
                writer.push(text.as_bytes(), &mut hint);
            }
            writer.end_row(usize::from(text.is_some()))?;
        }
        writer.finish()
    }

    fn rules(&mut self, leaf: usize, order: &[u32]) -> Result<Chunk> {
        let descriptor = self.table.leaves[leaf].clone();
        let chunk = ChunkWriter::new(descriptor, Shape::Repeated, true, &mut self.codec);
        let style = Style { dictionary_bytes: DICTIONARY_BYTES, bounds: true, bloom: false };
        let mut writer = TextWriter::new(chunk, style, order.len())?;
        let mut hint = Hint::default();
        for row in order {
            let rules = self.rows.rules_of(*row);
            rules.iter().for_each(|rule| writer.push(rule.as_bytes(), &mut hint));
            writer.end_row(rules.len())?;
        }
        writer.finish()
    }

    fn raw(&mut self, leaf: usize, order: &[u32]) -> Result<Chunk> {
        let descriptor = self.table.leaves[leaf].clone();
        let chunk = ChunkWriter::new(descriptor, Shape::Required, false, &mut self.codec);
        let style = Style { dictionary_bytes: 0, bounds: false, bloom: false };
        let mut writer = TextWriter::new(chunk, style, order.len())?;
        for row in order {
            writer.push(self.rows.event(*row).raw().as_bytes(), &mut Hint::default());
            writer.end_row(1)?;
        }
        writer.finish()
    }

    /// Keys and values side by side, so that each event is looked through once.
    fn fields(&mut self, leaf: usize, order: &[u32]) -> Result<Vec<Chunk>> {
        let style = Style { dictionary_bytes: MAP_DICTIONARY_BYTES, bounds: false, bloom: false };
        let (keys, values) = (self.table.leaves[leaf].clone(), self.table.leaves[leaf + 1].clone());
        let keys = ChunkWriter::new(keys, Shape::Repeated, false, &mut self.key_codec);
        let values = ChunkWriter::new(values, Shape::Repeated, false, &mut self.codec);
        let mut keys = TextWriter::new(keys, style, order.len())?;
        let mut values = TextWriter::new(values, style, order.len())?;
        let mut hints = Hints::default();
        for row in order {
            let event = self.rows.event(*row);
            let mut push = |field: FieldId, text: &[u8]| {
                let Some(index) = field.index() else {
                    keys.push(event.batch().names().printed(field).as_bytes(), &mut Hint::default());
                    values.push(text, &mut Hint::default());
                    return;
                };
                let (key, value) = hints.of(index);
                match key.number() {
                    Some(number) if keys.takes_numbers() => keys.push_number(number),
                    _ => keys.push(self.schema.name(index).as_bytes(), key),
                }
                values.push(text, value);
            };
            let count = match self.grouping.plain(event, self.schema) {
                Some(count) => {
                    for entry in event.own_entries().iter().filter(|entry| !entry.slot.is_opened()) {
                        push(entry.field, event.text(entry));
                    }
                    additions(event, self.schema).for_each(|field| push(field.id, field.value.text().as_bytes()));
                    count
                }
                None => {
                    self.grouping.group(event, self.schema);
                    self.grouping.each(push);
                    self.grouping.len()
                }
            };
            keys.end_row(count)?;
            values.end_row(count)?;
        }
        Ok(vec![keys.finish()?, values.finish()?])
    }
}

/// For each field, where its name stands in the keys' dictionary, and its last value in the values'.
#[derive(Debug, Default)]
struct Hints(Vec<(Hint, Hint)>);

impl Hints {
    #[inline]
    fn of(&mut self, index: usize) -> (&mut Hint, &mut Hint) {
        if index >= self.0.len() {
            self.0.resize(index + 256, Default::default());
        }
        let (key, value) = &mut self.0[index];
        (key, value)
    }
}

fn at(row: &u32) -> usize {
    *row as usize
}
