//! The columns of the table, one value for each row and in the rows' order.

use downspout_core::Batch;

use super::NOTHING;
use super::dictionary::{Dictionary, Hint};
use super::map::MapColumn;
use super::raws::Raws;
use crate::parquet::record::{Reader, Text};
use crate::parquet::schema::Geo;
use crate::parquet::table::{ColumnType, Kind, Table};
use crate::parquet::time::parse_time;

/// All columns.
#[derive(Debug)]
pub(in crate::parquet) struct Columns {
    kinds: Vec<Kind>,
    /// In the order of the table.
    pub(in crate::parquet) values: Vec<Values>,
    /// The texts of all columns but `raw`: most stand in the map and in a column of their own.
    pub(in crate::parquet) texts: Dictionary,
    pub(in crate::parquet) map: MapColumn,
    /// The numbers of the texts of an event's fields, by place.
    numbers: Vec<u32>,
}

/// A column.
#[derive(Debug)]
pub(in crate::parquet) enum Values {
    Text(Texts),
    Rules(Lists),
    /// [`Columns::map`].
    Fields,
    Raw(Raws),
    Int(Vec<Option<i32>>),
    /// Microseconds since 1970 too.
    Long(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Bool(Vec<Option<bool>>),
}

/// A text or none in each row.
#[derive(Debug, Default)]
pub(in crate::parquet) struct Texts {
    /// [`NOTHING`] for none.
    pub(in crate::parquet) numbers: Vec<u32>,
    hint: Hint,
}

/// Any number of texts in each row.
#[derive(Debug, Default)]
pub(in crate::parquet) struct Lists {
    /// Where each row ends in `numbers`.
    ends: Vec<u32>,
    numbers: Vec<u32>,
    hint: Hint,
}

impl Columns {
    pub(in crate::parquet) fn new(table: &Table) -> Columns {
        let kinds: Vec<Kind> = table.columns.iter().map(|column| column.kind).collect();
        let values = table.columns.iter().map(|column| match column.kind {
            Kind::Text(_) | Kind::Promoted { column_type: ColumnType::String, .. } => Values::Text(Texts::default()),
            Kind::Rules => Values::Rules(Lists::default()),
            Kind::Fields => Values::Fields,
            Kind::Raw => Values::Raw(Raws::default()),
            Kind::ClientPort => Values::Int(Vec::new()),
            Kind::Time | Kind::Asn => Values::Long(Vec::new()),
            Kind::Promoted { column_type: ColumnType::Int64 | ColumnType::Timestamp, .. } => Values::Long(Vec::new()),
            Kind::Latitude | Kind::Longitude => Values::Double(Vec::new()),
            Kind::Promoted { column_type: ColumnType::Double, .. } => Values::Double(Vec::new()),
            Kind::Promoted { column_type: ColumnType::Boolean, .. } => Values::Bool(Vec::new()),
        });
        Columns {
            values: values.collect(),
            kinds,
            texts: Dictionary::default(),
            map: MapColumn::default(),
            numbers: Vec::new(),
        }
    }

    /// The columns of the next commit, with room for as much.
    pub(super) fn next(&self, table: &Table) -> Columns {
        Columns { texts: Dictionary::like(&self.texts), map: MapColumn::like(&self.map), ..Columns::new(table) }
    }

    /// The rows are complete, and will be written in so many parts.
    pub(in crate::parquet) fn divide(&mut self, parts: usize) {
        for values in &mut self.values {
            if let Values::Raw(raws) = values {
                raws.divide(parts);
            }
        }
    }

    /// Forgets all rows, and keeps the memory.
    pub(in crate::parquet) fn clear(&mut self) {
        self.values.iter_mut().for_each(Values::clear);
        self.texts.clear();
        self.map.clear();
    }

    /// To be called before each batch.
    pub(super) fn begin(&mut self, batch: &Batch, epoch: u32) {
        for values in &mut self.values {
            if let Values::Raw(raws) = values {
                raws.begin(batch);
            }
        }
        self.map.begin(batch.names().count(), epoch);
    }

    /// Adds a row for the event that the reader has turned to.
    #[inline]
    pub(super) fn push(&mut self, reader: &Reader<'_>) {
        let Columns { kinds, values, texts, map, numbers } = self;
        map.push(reader, texts, numbers);
        for (kind, values) in kinds.iter().zip(values) {
            values.push(*kind, reader, texts, numbers);
        }
    }

    /// About how much memory they take, with the records as received.
    pub(in crate::parquet) fn bytes(&self) -> usize {
        self.values.iter().map(Values::bytes).sum::<usize>() + self.texts.bytes() + self.map.bytes()
    }
}

impl Values {
    #[inline]
    fn push(&mut self, kind: Kind, reader: &Reader<'_>, texts: &mut Dictionary, of_fields: &[u32]) {
        match self {
            Values::Text(column) => column.numbers.push(match reader.text(kind) {
                Text::Nothing => NOTHING,
                Text::Field(place) => match of_fields.get(place as usize) {
                    Some(number) if *number != NOTHING => *number,
                    // The map holds it as part of an array only.
                    _ => texts.number_of(reader.text_at(place), &mut column.hint),
                },
                Text::Own(text) => texts.number_of(&text, &mut column.hint),
            }),
            Values::Fields => {}
            Values::Raw(raws) => raws.push(reader.event()),
            Values::Rules(lists) => {
                for rule in reader.rules() {
                    lists.numbers.push(texts.number_of(rule, &mut lists.hint));
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

    fn clear(&mut self) {
        match self {
            Values::Text(texts) => {
                texts.numbers.clear();
                texts.hint = Hint::default();
            }
            Values::Rules(lists) => {
                lists.ends.clear();
                lists.numbers.clear();
                lists.hint = Hint::default();
            }
            Values::Fields => {}
            Values::Raw(raws) => raws.clear(),
            Values::Int(numbers) => numbers.clear(),
            Values::Long(numbers) => numbers.clear(),
            Values::Double(numbers) => numbers.clear(),
            Values::Bool(truths) => truths.clear(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Values::Text(texts) => size_of_val(texts.numbers.as_slice()),
            Values::Rules(lists) => 4 * (lists.ends.len() + lists.numbers.len()),
            Values::Fields => 0,
            Values::Raw(raws) => raws.bytes(),
            Values::Int(numbers) => size_of_val(numbers.as_slice()),
            Values::Long(numbers) => size_of_val(numbers.as_slice()),
            Values::Double(numbers) => size_of_val(numbers.as_slice()),
            Values::Bool(truths) => size_of_val(truths.as_slice()),
        }
    }
}

impl Lists {
    /// The numbers of a row's texts.
    pub(in crate::parquet) fn of(&self, row: usize) -> &[u32] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.numbers[start as usize..self.ends[row] as usize]
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
