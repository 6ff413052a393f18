//! The columns of the table, one value for each row and in the rows' order.

use bytestring::ByteString;
use downspout_core::{Batch, EventRef};

use super::dictionary::{Dictionary, Hint};
use super::map::{MapColumn, Scratch};
use crate::parquet::record::Reader;
use crate::parquet::schema::{Geo, Schema};
use crate::parquet::table::{ColumnType, Kind, Table};
use crate::parquet::time::parse_time;

/// In place of a text's number: there is none.
pub(in crate::parquet) const NOTHING: u32 = u32::MAX;

/// All columns, in the order of the table.
#[derive(Debug)]
pub(in crate::parquet) struct Columns {
    kinds: Vec<Kind>,
    pub(in crate::parquet) values: Vec<Values>,
}

/// A column.
#[derive(Debug)]
pub(in crate::parquet) enum Values {
    Text(Texts),
    Rules(Lists),
    Fields(Box<MapColumn>),
    Raw(Raws),
    Int(Vec<Option<i32>>),
    /// Microseconds since 1970 too.
    Long(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Bool(Vec<Option<bool>>),
}

/// A text or none in each row.
#[derive(Debug)]
pub(in crate::parquet) struct Texts {
    /// [`NOTHING`] for none.
    pub(in crate::parquet) numbers: Vec<u32>,
    pub(in crate::parquet) dictionary: Dictionary,
    /// Whether texts come again, so that it pays to look for them.
    repeat: bool,
    hint: Hint,
}

/// Any number of texts in each row.
#[derive(Debug, Default)]
pub(in crate::parquet) struct Lists {
    /// Where each row ends in `numbers`.
    pub(in crate::parquet) ends: Vec<u32>,
    pub(in crate::parquet) numbers: Vec<u32>,
    pub(in crate::parquet) dictionary: Dictionary,
    hint: Hint,
}

/// The records as received. Their bytes stand where the source put them.
#[derive(Debug, Default)]
pub(in crate::parquet) struct Raws {
    blocks: Vec<ByteString>,
    block_bytes: usize,
    /// Each row's block, start and length.
    places: Vec<(u32, u32, u32)>,
}

impl Columns {
    pub(in crate::parquet) fn new(table: &Table) -> Columns {
        let kinds: Vec<Kind> = table.columns.iter().map(|column| column.kind).collect();
        let values = table.columns.iter().map(|column| match column.kind {
            Kind::Text(_) | Kind::Promoted { column_type: ColumnType::String, .. } => Values::Text(Texts {
                numbers: Vec::new(),
                dictionary: Dictionary::default(),
                repeat: column.repeats(),
                hint: Hint::default(),
            }),
            Kind::Rules => Values::Rules(Lists::default()),
            Kind::Fields => Values::Fields(Box::default()),
            Kind::Raw => Values::Raw(Raws::default()),
            Kind::ClientPort => Values::Int(Vec::new()),
            Kind::Time | Kind::Asn => Values::Long(Vec::new()),
            Kind::Promoted { column_type: ColumnType::Int64 | ColumnType::Timestamp, .. } => Values::Long(Vec::new()),
            Kind::Latitude | Kind::Longitude => Values::Double(Vec::new()),
            Kind::Promoted { column_type: ColumnType::Double, .. } => Values::Double(Vec::new()),
            Kind::Promoted { column_type: ColumnType::Boolean, .. } => Values::Bool(Vec::new()),
        });
        Columns { values: values.collect(), kinds }
    }

    /// Adds a row for each event; `read` is called when the reader has turned to it.
    pub(super) fn add<'a>(
        &mut self,
        batch: &'a Batch,
        schema: &'a Schema,
        reader: &mut Reader<'a>,
        mut read: impl FnMut(&Reader<'a>),
    ) {
        for values in &mut self.values {
            match values {
                Values::Raw(raws) => raws.begin(batch),
                Values::Fields(map) => map.begin(schema),
                _ => {}
            }
        }
        let mut scratch = Scratch::default();
        for event in batch.events() {
            reader.read(event);
            read(reader);
            for (kind, values) in self.kinds.iter().zip(&mut self.values) {
                values.push(*kind, reader, event, schema, &mut scratch);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.values.iter().map(Values::bytes).sum()
    }
}

impl Values {
    #[inline]
    fn push<'a>(
        &mut self,
        kind: Kind,
        reader: &Reader<'a>,
        event: EventRef<'a>,
        schema: &Schema,
        scratch: &mut Scratch<'a>,
    ) {
        match self {
            Values::Text(texts) => texts.push(reader.text(kind).as_deref()),
            Values::Fields(map) => map.push(event, schema, scratch),
            Values::Raw(raws) => raws.push(event),
            Values::Rules(lists) => {
                for rule in reader.rules() {
                    lists.numbers.push(lists.dictionary.number_of(rule.as_bytes(), &mut lists.hint));
                }
                lists.ends.push(lists.numbers.len() as u32);
            }
            Values::Int(numbers) => numbers.push(reader.client_port()),
            Values::Long(numbers) => numbers.push(match kind {
                Kind::Time => reader.time(),
                Kind::Promoted { column_type: ColumnType::Timestamp, .. } => number(kind, reader).and_then(parse_time),
                _ => number(kind, reader).and_then(|text| text.parse().ok()),
            }),
            Values::Double(numbers) => numbers.push(number(kind, reader).and_then(|text| text.parse().ok())),
            Values::Bool(truths) => truths.push(number(kind, reader).and_then(truth)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Values::Text(texts) => 4 * texts.numbers.len() + texts.dictionary.bytes(),
            Values::Rules(lists) => 4 * (lists.ends.len() + lists.numbers.len()) + lists.dictionary.bytes(),
            Values::Fields(map) => map.bytes(),
            Values::Raw(raws) => raws.block_bytes + size_of_val(raws.places.as_slice()),
            Values::Int(numbers) => size_of_val(numbers.as_slice()),
            Values::Long(numbers) => size_of_val(numbers.as_slice()),
            Values::Double(numbers) => size_of_val(numbers.as_slice()),
            Values::Bool(truths) => size_of_val(truths.as_slice()),
        }
    }
}

impl Texts {
    #[inline]
    fn push(&mut self, text: Option<&[u8]>) {
        self.numbers.push(match text {
            None => NOTHING,
            Some(text) if self.repeat => self.dictionary.number_of(text, &mut self.hint),
            Some(text) => self.dictionary.add(text),
        });
    }
}

impl Raws {
    fn begin(&mut self, batch: &Batch) {
        self.blocks.push(batch.text().clone());
        self.block_bytes += batch.text().len();
    }

    #[inline]
    fn push(&mut self, event: EventRef<'_>) {
        let (start, len) = event.place();
        self.places.push((self.blocks.len() as u32 - 1, start, len));
    }

    /// The record of a row.
    #[inline]
    pub(in crate::parquet) fn text(&self, row: u32) -> &[u8] {
        let (block, start, len) = self.places[row as usize];
        &self.blocks[block as usize].as_bytes()[start as usize..(start + len) as usize]
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
