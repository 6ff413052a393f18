//! A column of a row group.

use parquet::basic::ZstdLevel;
use parquet::errors::Result;

use super::chunk::{Chunk, ChunkWriter, Codec, Shape};
use super::memory::Memory;
use super::number::{Number, NumberWriter};
use super::text::{Desk, Style, TextWriter};
use crate::parquet::collect::{Columns, Dictionary, NOTHING, Raws, Values};
use crate::parquet::table::Table;

/// Bytes of distinct text after which a column goes on without a dictionary.
const DICTIONARY_BYTES: usize = 1 << 20;

/// The same for the map. Whoever reads one of its values reads all, so a large dictionary costs no reader more.
const MAP_DICTIONARY_BYTES: usize = 8 << 20;

/// What a worker keeps from column to column.
#[derive(Debug)]
pub(super) struct Tools {
    codec: Codec,
    desk: Desk,
    page: Vec<u8>,
}

impl Tools {
    pub(super) fn new(level: ZstdLevel) -> Result<Tools> {
        Ok(Tools { codec: Codec::new(level)?, desk: Desk::default(), page: Vec::new() })
    }
}

/// Writes columns.
pub(super) struct Worker<'a> {
    table: &'a Table,
    columns: &'a Columns,
    memory: &'a Memory,
    tools: Tools,
}

impl<'a> Worker<'a> {
    pub(super) fn new(table: &'a Table, columns: &'a Columns, memory: &'a Memory, tools: Tools) -> Worker<'a> {
        Worker { table, columns, memory, tools }
    }

    /// The tools, for another worker.
    pub(super) fn into_tools(self) -> Tools {
        self.tools
    }

    /// The chunks of a column in a row group with these rows: two for the map, one for every other.
    pub(super) fn write(&mut self, column: usize, rows: &[u32]) -> Result<Vec<Chunk>> {
        let columns = self.columns;
        let leaf = self.table.first_leaf(column);
        let plain = Style { dictionary_bytes: 0, bounds: false, bloom: false };
        let mapped = Style { dictionary_bytes: MAP_DICTIONARY_BYTES, ..plain };
        let repeated = Style { dictionary_bytes: DICTIONARY_BYTES, bounds: true, ..plain };
        Ok(match &columns.values[column] {
            Values::Text(texts) => {
                let column = &self.table.columns[column];
                let dictionary_bytes = if column.repeats() { DICTIONARY_BYTES } else { 0 };
                let style = Style { dictionary_bytes, bloom: column.has_bloom_filter(), ..repeated };
                vec![self.texts(leaf, style, &texts.numbers, rows)?]
            }
            Values::Rules(rules) => vec![self.lists(leaf, repeated, &columns.texts, rows, |writer, row| {
                let list = rules.of(row);
                writer.push(list);
                list.len()
            })?],
            Values::Fields => {
                let map = &columns.map;
                let keys = self.lists(leaf, mapped, &map.names, rows, |writer, row| {
                    let list = map.list(row);
                    writer.push_list(list, map.keys(list))
                })?;
                let values = self.lists(leaf + 1, mapped, &columns.texts, rows, |writer, row| {
                    let values = map.values(row);
                    writer.push(values);
                    values.len()
                })?;
                vec![keys, values]
            }
            Values::Raw(raws) => vec![self.raws(leaf, raws, rows)?],
            Values::Int(numbers) => vec![self.numbers(leaf, numbers, rows)?],
            Values::Long(numbers) => vec![self.numbers(leaf, numbers, rows)?],
            Values::Double(numbers) => vec![self.numbers(leaf, numbers, rows)?],
            Values::Bool(truths) => vec![self.numbers(leaf, truths, rows)?],
        })
    }

    fn chunk(&self, leaf: usize, shape: Shape, indexed: bool) -> ChunkWriter {
        ChunkWriter::new(self.table.leaves[leaf].clone(), shape, indexed, self.memory.chunk(leaf))
    }

    fn texts(&mut self, leaf: usize, style: Style, numbers: &[u32], rows: &[u32]) -> Result<Chunk> {
        let chunk = self.chunk(leaf, Shape::Optional, style.bounds);
        let Tools { codec, desk, .. } = &mut self.tools;
        let mut writer = TextWriter::new(chunk, style, rows.len(), &self.columns.texts, desk)?;
        for row in rows {
            let number = &numbers[*row as usize..][..1];
            let text = if number == [NOTHING] { &[] } else { number };
            writer.push(text);
            writer.end_row(text.len(), codec)?;
        }
        writer.finish(codec)
    }

    /// A column with any number of texts a row. `push` pushes those of a row, and says how many.
    fn lists(
        &mut self,
        leaf: usize,
        style: Style,
        dictionary: &Dictionary,
        rows: &[u32],
        push: impl Fn(&mut TextWriter<'_>, usize) -> usize,
    ) -> Result<Chunk> {
        let chunk = self.chunk(leaf, Shape::Repeated, style.bounds);
        let Tools { codec, desk, .. } = &mut self.tools;
        let mut writer = TextWriter::new(chunk, style, rows.len(), dictionary, desk)?;
        for row in rows {
            let values = push(&mut writer, *row as usize);
            writer.end_row(values, codec)?;
        }
        writer.finish(codec)
    }

    fn raws(&mut self, leaf: usize, raws: &Raws, rows: &[u32]) -> Result<Chunk> {
        let mut chunk = self.chunk(leaf, Shape::Required, false);
        let Tools { codec, page, .. } = &mut self.tools;
        page.clear();
        let mut records = raws.records(rows);
        for row in rows {
            records.read(*row, |text| {
                page.extend_from_slice(&(text.len() as u32).to_le_bytes());
                page.extend_from_slice(text);
            });
            chunk.row(1);
            chunk.end_plain_page_if_full(page, codec)?;
        }
        chunk.end_plain_page(page, codec)?;
        chunk.finish(None, None, None, codec)
    }

    fn numbers<T: Number>(&mut self, leaf: usize, numbers: &[Option<T>], rows: &[u32]) -> Result<Chunk> {
        let mut writer = NumberWriter::new(self.chunk(leaf, Shape::Optional, true));
        for row in rows {
            writer.push(numbers[*row as usize], &mut self.tools.codec)?;
        }
        writer.finish(&mut self.tools.codec)
    }
}
