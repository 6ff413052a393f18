//! The columns of one event, found in one pass over its entries.
//!
//! A [`Reader`] notes which entries stand at the paths that matter, and looks at their text only when a column is
//! asked for. Texts borrow from the batch. They are UTF-8, but bytes here: nothing but their bytes is looked at.

use std::borrow::Cow;
use std::net::IpAddr;

use downspout_core::value::{Entry, Value};
use downspout_core::{EventRef, Field, FieldId, parse_address};

use super::schema::{Addition, Geo, Meaning, ResolvedFeed, Schema, Source, TEXT_COLUMNS};
use super::table::Kind;
use super::time::parse_time;

/// Further text columns, behind those that come from paths.
pub(super) const SOURCE: usize = TEXT_COLUMNS;
pub(super) const CLIENT_IP: usize = TEXT_COLUMNS + 1;
pub(super) const GEO_COUNTRY: usize = TEXT_COLUMNS + 2;
pub(super) const GEO_REGION: usize = TEXT_COLUMNS + 3;
pub(super) const GEO_CITY: usize = TEXT_COLUMNS + 4;
pub(super) const AS_ORG: usize = TEXT_COLUMNS + 5;

/// The text of a column.
pub(super) type Text<'a> = Option<Cow<'a, [u8]>>;

/// Reads events one after the other; its tables are kept.
pub(super) struct Reader<'a> {
    schema: &'a Schema,
    event: Option<EventRef<'a>>,
    feed: Option<&'a ResolvedFeed>,
    /// The first entry of each path that says something, and the round in which it was noted.
    paths: Vec<(u32, Option<&'a Entry>)>,
    round: u32,
    /// Every such entry of the paths of times and addresses.
    parsed: Vec<(u16, &'a Entry)>,
    /// The values of promoted fields.
    promoted: Vec<Vec<Field<'a>>>,
    time: Option<i64>,
    address: Option<Address<'a>>,
    facts: [Option<&'a str>; Geo::COUNT],
    rules: Vec<&'a str>,
}

/// A client's address.
struct Address<'a> {
    /// Where it was found.
    field: FieldId,
    text: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(schema: &'a Schema) -> Reader<'a> {
        Reader {
            schema,
            event: None,
            feed: None,
            paths: vec![(0, None); schema.path_count()],
            round: 0,
            parsed: Vec::new(),
            promoted: vec![Vec::new(); schema.promoted_count()],
            time: None,
            address: None,
            facts: [None; Geo::COUNT],
            rules: Vec::new(),
        }
    }

    fn begin(&mut self, event: EventRef<'a>) {
        self.round += 1;
        self.event = Some(event);
        self.parsed.clear();
        self.promoted.iter_mut().for_each(Vec::clear);
    }

    #[inline]
    fn note(&mut self, meaning: Meaning, entry: &'a Entry) {
        if entry.slot.is_opened() {
            return;
        }
        if meaning.path != 0 && entry.slot.is_telling() {
            let place = &mut self.paths[meaning.path as usize];
            if place.0 != self.round {
                *place = (self.round, Some(entry));
            }
            if meaning.parsed {
                self.parsed.push((meaning.path, entry));
            }
        }
        if meaning.promoted != 0
            && let Some(event) = self.event
        {
            self.promoted[meaning.promoted as usize - 1].push(event.read(entry));
        }
    }

    /// Turns to an event.
    pub(super) fn read(&mut self, event: EventRef<'a>) {
        self.begin(event);
        let mut marks = 0;
        for entry in event.own_entries() {
            let meaning = self.schema.meaning(entry.field);
            if !meaning.is_nothing() {
                marks |= meaning.marks;
                self.note(meaning, entry);
            }
        }
        self.feed = self.schema.feed(marks);
        self.time = self.find_time(event);
        self.address = self.find_address(event);
        self.facts = [None; Geo::COUNT];
        self.rules.clear();
        for field in event.added() {
            match self.schema.addition_of(field.id) {
                Addition::Rule => self.rules.push(field.value.text()),
                Addition::Geo { leaf, of } if self.address.as_ref().is_some_and(|address| address.field == of) => {
                    self.facts[leaf as usize] = telling(field.value);
                }
                _ => {}
            }
            let promoted = self.schema.meaning(field.id).promoted;
            if promoted != 0 {
                self.promoted[promoted as usize - 1].push(field);
            }
        }
    }

    fn find_address(&self, event: EventRef<'a>) -> Option<Address<'a>> {
        self.feed?.client_ip.iter().find_map(|path| {
            self.parsed_at(*path).find_map(|entry| {
                let text = event.read(entry).value.text();
                let (address, port) = parse_address(text)?;
                Some(Address { field: entry.field, text: canonical(text, address), port })
            })
        })
    }

    /// When it happened, in microseconds since 1970.
    pub(super) fn time(&self) -> Option<i64> {
        self.time
    }

    fn find_time(&self, event: EventRef<'a>) -> Option<i64> {
        let entries = self.feed?.time.iter().flat_map(|path| self.parsed_at(*path));
        entries.map(|entry| event.read(entry).value.text()).find_map(parse_time)
    }

    /// A column of type string; `None` for other columns too.
    #[inline]
    pub(super) fn text(&self, kind: Kind) -> Text<'_> {
        let borrowed = |text: &'a str| Cow::Borrowed(text.as_bytes());
        match kind {
            Kind::Text(SOURCE) => Some(Cow::Borrowed(self.event?.batch().origin().source.as_bytes())),
            Kind::Text(CLIENT_IP) => self.address.as_ref().map(|address| Cow::Borrowed(address.text.as_bytes())),
            Kind::Text(GEO_COUNTRY) => self.fact(Geo::Country).map(borrowed),
            Kind::Text(GEO_REGION) => self.fact(Geo::Region).or(self.fact(Geo::RegionCode)).map(borrowed),
            Kind::Text(GEO_CITY) => self.fact(Geo::City).map(borrowed),
            Kind::Text(AS_ORG) => self.fact(Geo::AsOrg).map(borrowed),
            Kind::Text(column) => {
                for source in &self.feed?.texts[column] {
                    match source {
                        Source::Constant(text) => return Some(borrowed(text)),
                        Source::Path(path) => {
                            if let Some(entry) = self.first_at(*path) {
                                return Some(Cow::Borrowed(self.event?.text(entry)));
                            }
                        }
                    }
                }
                None
            }
            Kind::Promoted { field, .. } => self.printed(field),
            _ => None,
        }
    }

    /// A fact about the client's address.
    #[inline]
    pub(super) fn fact(&self, fact: Geo) -> Option<&'a str> {
        self.facts[fact as usize]
    }

    /// The client's port.
    pub(super) fn client_port(&self) -> Option<i32> {
        self.address.as_ref()?.port.map(i32::from)
    }

    /// The ids of the rules that matched.
    pub(super) fn rules(&self) -> &[&'a str] {
        &self.rules
    }

    /// The first value of a promoted field that says something, blanks around it left out.
    pub(super) fn promoted(&self, field: usize) -> Option<&'a str> {
        self.promoted[field].iter().find_map(|field| telling(field.value)).map(str::trim)
    }

    /// What the map of all fields holds for a promoted field.
    fn printed(&self, field: usize) -> Text<'a> {
        let values = &self.promoted[field];
        match values.as_slice() {
            [] => None,
            [only] if !self.event?.repeats(only.trail) => Some(Cow::Borrowed(only.value.text().as_bytes())),
            values => {
                let mut json = Vec::from(*b"[");
                for (index, field) in values.iter().enumerate() {
                    if index > 0 {
                        json.push(b',');
                    }
                    field.value.write_json(&mut json);
                }
                json.push(b']');
                Some(Cow::Owned(json))
            }
        }
    }

    #[inline]
    fn first_at(&self, path: u16) -> Option<&'a Entry> {
        let (round, entry) = self.paths[path as usize];
        entry.filter(|_| round == self.round)
    }

    fn parsed_at(&self, path: u16) -> impl Iterator<Item = &'a Entry> {
        self.parsed.iter().filter(move |(found, _)| *found == path).map(|(_, entry)| *entry)
    }
}

/// The text of a scalar that says something.
fn telling(value: Value<'_>) -> Option<&str> {
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
        // Of an IPv4 address only the canonical form is read at all; but it may have stood inside an IPv6 one.
        IpAddr::V4(_) if plain.contains('.') => Cow::Borrowed(plain),
        other => Cow::Owned(other.to_string()),
    }
}
