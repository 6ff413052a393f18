//! One pass over the collected events, which gives the columns of the common schema.
//!
//! Values borrow from the batches. The map of all fields and the raw text are not here: they are encoded straight
//! from the events, in the order in which the rows will stand.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use downspout_core::value::Value;
use downspout_core::{Batch, EventRef, Field, FieldId, parse_address};

use super::schema::{Addition, Geo, Meaning, ResolvedFeed, Schema, Source, TEXT_COLUMNS};
use super::table::{ColumnType, Kind};
use super::time::parse_time;

/// The time of a row that has none: sorts last.
pub(super) const NO_TIME: i64 = i64::MAX;

/// Further text columns, behind those that come from paths.
pub(super) const SOURCE: usize = TEXT_COLUMNS;
pub(super) const CLIENT_IP: usize = TEXT_COLUMNS + 1;
pub(super) const GEO_COUNTRY: usize = TEXT_COLUMNS + 2;
pub(super) const GEO_REGION: usize = TEXT_COLUMNS + 3;
pub(super) const GEO_CITY: usize = TEXT_COLUMNS + 4;
pub(super) const AS_ORG: usize = TEXT_COLUMNS + 5;
const TEXTS: usize = TEXT_COLUMNS + 6;

/// A text of a row.
pub(super) type Text<'a> = Option<Cow<'a, str>>;

/// The values of a promoted column.
#[derive(Debug)]
pub(super) enum Promoted<'a> {
    Text(Vec<Text<'a>>),
    Long(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Bool(Vec<Option<bool>>),
    Time(Vec<Option<i64>>),
}

/// The columns of all collected events, in the order of their arrival.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) batches: &'a [Arc<Batch>],
    /// For each row, its batch and its index there.
    pub(super) events: Vec<(u32, u32)>,
    pub(super) time: Vec<i64>,
    pub(super) texts: [Vec<Text<'a>>; TEXTS],
    pub(super) client_port: Vec<Option<i32>>,
    pub(super) latitude: Vec<Option<f64>>,
    pub(super) longitude: Vec<Option<f64>>,
    pub(super) asn: Vec<Option<i64>>,
    /// The rules of all rows, and where each row's end.
    pub(super) rules: Vec<&'a str>,
    pub(super) rule_ends: Vec<u32>,
    pub(super) promoted: Vec<Promoted<'a>>,
}

/// What one event's entries say, by path. `round` tells whether a value is of this event.
#[derive(Debug)]
struct Found<'a> {
    round: u32,
    paths: Vec<(u32, &'a str)>,
    /// Every value of the paths of times and addresses.
    parsed: Vec<(u16, &'a str)>,
    promoted: Vec<Vec<Field<'a>>>,
}

impl<'a> Rows<'a> {
    /// Reads the collected events.
    pub(super) fn read(batches: &'a [Arc<Batch>], schema: &mut Schema, promoted: &[(u16, ColumnType)]) -> Rows<'a> {
        let count = batches.iter().map(|batch| batch.len()).sum();
        let mut rows = Rows {
            batches,
            events: Vec::with_capacity(count),
            time: Vec::with_capacity(count),
            texts: std::array::from_fn(|_| Vec::with_capacity(count)),
            client_port: Vec::with_capacity(count),
            latitude: Vec::with_capacity(count),
            longitude: Vec::with_capacity(count),
            asn: Vec::with_capacity(count),
            rules: Vec::new(),
            rule_ends: Vec::with_capacity(count),
            promoted: promoted.iter().map(|(_, column_type)| Promoted::new(*column_type)).collect(),
        };
        let fields = promoted.iter().map(|(field, _)| *field as usize).max().unwrap_or(0);
        let mut found = Found {
            round: 0,
            paths: vec![(0, ""); schema.path_count()],
            parsed: Vec::new(),
            promoted: vec![Vec::new(); fields + 1],
        };
        for (index, batch) in batches.iter().enumerate() {
            schema.grow(&batch.names());
            for event in batch.events() {
                rows.events.push((index as u32, event.index() as u32));
                rows.read_event(event, schema, &mut found);
                rows.read_promoted(event, promoted, &mut found);
            }
        }
        rows
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The event of a row.
    pub(super) fn event(&self, row: u32) -> EventRef<'a> {
        let (batch, event) = self.events[row as usize];
        self.batches[batch as usize].event(event as usize)
    }

    /// A row's text in a column of type string.
    pub(super) fn text(&self, kind: Kind, row: u32) -> Option<&str> {
        let column = match kind {
            Kind::Text(index) => &self.texts[index],
            Kind::Promoted(index, _) => match &self.promoted[index] {
                Promoted::Text(column) => column,
                _ => return None,
            },
            _ => return None,
        };
        column[row as usize].as_deref()
    }

    /// The rules of a row.
    pub(super) fn rules_of(&self, row: u32) -> &[&'a str] {
        let start = if row == 0 { 0 } else { self.rule_ends[row as usize - 1] };
        &self.rules[start as usize..self.rule_ends[row as usize] as usize]
    }

    fn read_event(&mut self, event: EventRef<'a>, schema: &Schema, found: &mut Found<'a>) {
        found.round += 1;
        found.parsed.clear();
        let mut marks = 0;
        for entry in event.own_entries() {
            let meaning = schema.meaning(entry.field);
            marks |= meaning.marks;
            if meaning.path != 0 || meaning.promoted != 0 {
                found.note(meaning, event.read(entry));
            }
        }
        // The last feed fits every record.
        let Some(feed) = schema.feed(marks) else { return };
        let time = feed.time.iter().flat_map(|path| found.all(*path)).find_map(parse_time);
        self.time.push(time.unwrap_or(NO_TIME));
        for (column, sources) in self.texts.iter_mut().zip(&feed.texts) {
            let value = sources.iter().find_map(|source| match source {
                Source::Path(path) => found.path(*path),
                Source::Constant(text) => Some(text),
            });
            column.push(value.map(Cow::Borrowed));
        }
        self.texts[SOURCE].push(Some(Cow::Borrowed(&*event.batch().origin().source)));
        let address = self.read_address(feed, schema, found);
        self.read_additions(event, address, schema, found);
    }

    /// Gives the field that the address came from.
    fn read_address(&mut self, feed: &ResolvedFeed, schema: &Schema, found: &Found<'a>) -> Option<FieldId> {
        let address = feed.client_ip.iter().find_map(|path| {
            let (text, (address, port)) = found.all(*path).find_map(|text| Some((text, parse_address(text)?)))?;
            Some((schema.field_of(*path), canonical(text, address), port))
        });
        let (field, text, port) = match address {
            Some((field, text, port)) => (Some(field), Some(text), port),
            None => (None, None, None),
        };
        self.texts[CLIENT_IP].push(text);
        self.client_port.push(port.map(i32::from));
        field
    }

    fn read_additions(&mut self, event: EventRef<'a>, address: Option<FieldId>, schema: &Schema, found: &mut Found<'a>) {
        let mut facts = [None; 8];
        for field in event.added() {
            match schema.addition_of(field.id) {
                Addition::Rule => self.rules.push(field.value.text()),
                Addition::Geo { leaf, of } if Some(of) == address => facts[leaf as usize] = scalar(field.value),
                _ => {}
            }
            found.note(Meaning { path: 0, ..schema.meaning(field.id) }, field);
        }
        self.rule_ends.push(self.rules.len() as u32);
        let text = |fact: Geo| facts[fact as usize].map(Cow::Borrowed);
        self.texts[GEO_COUNTRY].push(text(Geo::Country));
        self.texts[GEO_REGION].push(text(Geo::Region).or(text(Geo::RegionCode)));
        self.texts[GEO_CITY].push(text(Geo::City));
        self.texts[AS_ORG].push(text(Geo::AsOrg));
        let number = |fact: Geo| facts[fact as usize].and_then(|text| text.parse().ok());
        self.latitude.push(number(Geo::Latitude));
        self.longitude.push(number(Geo::Longitude));
        self.asn.push(facts[Geo::Asn as usize].and_then(|text| text.parse().ok()));
    }

    fn read_promoted(&mut self, event: EventRef<'a>, promoted: &[(u16, ColumnType)], found: &mut Found<'a>) {
        if promoted.is_empty() {
            return;
        }
        for (column, (field, _)) in self.promoted.iter_mut().zip(promoted) {
            column.push(&found.promoted[*field as usize], event);
        }
        found.promoted.iter_mut().for_each(Vec::clear);
    }
}

impl<'a> Found<'a> {
    #[inline]
    fn note(&mut self, meaning: Meaning, field: Field<'a>) {
        if meaning.path != 0
            && !field.opened
            && let Some(text) = scalar(field.value)
        {
            let place = &mut self.paths[meaning.path as usize];
            if place.0 != self.round {
                *place = (self.round, text);
            }
            if meaning.parsed {
                self.parsed.push((meaning.path, text));
            }
        }
        if meaning.promoted != 0 && !field.opened {
            self.promoted[meaning.promoted as usize - 1].push(field);
        }
    }

    /// The first value of a path in this event.
    #[inline]
    fn path(&self, path: u16) -> Option<&'a str> {
        let (round, text) = self.paths[path as usize];
        (round == self.round).then_some(text)
    }

    /// Every value of a path of times or addresses in this event.
    fn all(&self, path: u16) -> impl Iterator<Item = &'a str> {
        self.parsed.iter().filter(move |(found, _)| *found == path).map(|(_, text)| *text)
    }
}

impl<'a> Promoted<'a> {
    fn new(column_type: ColumnType) -> Promoted<'a> {
        match column_type {
            ColumnType::String => Promoted::Text(Vec::new()),
            ColumnType::Int64 => Promoted::Long(Vec::new()),
            ColumnType::Double => Promoted::Double(Vec::new()),
            ColumnType::Boolean => Promoted::Bool(Vec::new()),
            ColumnType::Timestamp => Promoted::Time(Vec::new()),
        }
    }

    /// Adds the row of an event in which the field has these values: what the map of all fields holds for it, or
    /// its first value if the column is no text.
    fn push(&mut self, values: &[Field<'a>], event: EventRef<'a>) {
        let first = values.iter().find_map(|field| scalar(field.value));
        match self {
            Promoted::Text(column) => column.push(printed(values, event)),
            Promoted::Long(column) => column.push(first.and_then(|text| text.trim().parse().ok())),
            Promoted::Double(column) => column.push(first.and_then(|text| text.trim().parse().ok())),
            Promoted::Time(column) => column.push(first.and_then(|text| parse_time(text.trim()))),
            Promoted::Bool(column) => column.push(match first.map(str::trim) {
                Some(text) if text.eq_ignore_ascii_case("true") => Some(true),
                Some(text) if text.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            }),
        }
    }
}

/// What the map of all fields holds for a field with these values.
fn printed<'a>(values: &[Field<'a>], event: EventRef<'a>) -> Text<'a> {
    match values {
        [] => None,
        [only] if !event.repeats(only.trail) => match only.value {
            Value::Null => None,
            value => Some(Cow::Borrowed(value.text())),
        },
        _ => {
            let mut json = Vec::from(*b"[");
            for (index, field) in values.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                field.value.write_json(&mut json);
            }
            json.push(b']');
            // Values are UTF-8, and so is JSON made of them.
            String::from_utf8(json).ok().map(Cow::Owned)
        }
    }
}

/// The text of a value that can stand in a column: neither empty nor null, and no object or array.
#[inline]
fn scalar(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Number(text) | Value::String(text) if !text.is_empty() => Some(text),
        Value::Bool(_) => Some(value.text()),
        _ => None,
    }
}

/// The canonical text of an address that was read from `text`.
fn canonical(text: &str, address: IpAddr) -> Cow<'_, str> {
    let plain = text.trim();
    let plain = plain.split_once(':').map_or(plain, |(before, _port)| before);
    match address {
        // Of an IPv4 address, only the canonical form is read at all; but it may have stood inside an IPv6 one.
        IpAddr::V4(_) if plain.contains('.') => Cow::Borrowed(plain),
        other => Cow::Owned(other.to_string()),
    }
}
