//! The columns of one event.
//!
//! A [`Reader`] knows from the event's [`Layout`] where to look, and looks at a text only when its column is asked
//! for. Texts borrow from the batch. They are UTF-8, but bytes here: nothing but their bytes is looked at.

use std::borrow::Cow;
use std::net::IpAddr;

use downspout_core::value::{Entry, Value};
use downspout_core::{EventRef, Field, FieldId, parse_address};

use super::layout::{Candidate, Layout, Layouts};
use super::schema::{Geo, Schema, TEXT_COLUMNS};
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
pub(super) enum Text<'a> {
    /// The row has none.
    Nothing,
    /// The whole text of the event's field of that place.
    Field(u32),
    /// A text of its own.
    Own(Cow<'a, [u8]>),
}

/// Reads events one after the other; its tables are kept.
pub(super) struct Reader<'a> {
    schema: &'a Schema,
    layouts: &'a mut Layouts,
    layout: Option<u32>,
    event: EventRef<'a>,
    own: &'a [Entry],
    added: Vec<Field<'a>>,
    time: Option<i64>,
    address: Option<Address<'a>>,
    facts: [Option<&'a str>; Geo::COUNT],
}

/// A client's address.
struct Address<'a> {
    /// Where it was found.
    place: u32,
    field: FieldId,
    text: Cow<'a, str>,
    /// Whether `text` is all that stands there.
    whole: bool,
    port: Option<u16>,
}

impl<'a> Reader<'a> {
    /// A reader of the events of a batch; [`Reader::read`] turns it to one of them.
    pub(super) fn new(schema: &'a Schema, layouts: &'a mut Layouts, event: EventRef<'a>) -> Reader<'a> {
        Reader {
            schema,
            layouts,
            layout: None,
            event,
            own: &[],
            added: Vec::new(),
            time: None,
            address: None,
            facts: [None; Geo::COUNT],
        }
    }

    /// Turns to an event.
    pub(super) fn read(&mut self, event: EventRef<'a>) {
        self.event = event;
        self.own = event.own_entries();
        self.added.clear();
        self.added.extend(event.added());
        self.layout = self.layouts.find(event, &self.added, self.schema);
        self.time = self.find_time();
        self.address = self.find_address();
        self.facts = [None; Geo::COUNT];
        let Some(address) = &self.address else { return };
        for (place, leaf, of) in &self.layouts.get(self.layout).facts {
            if *of == address.field {
                self.facts[*leaf as usize] = telling(self.field(*place).value);
            }
        }
    }

    fn find_time(&self) -> Option<i64> {
        self.layout().times.iter().find_map(|place| parse_time(telling(self.field(*place).value)?))
    }

    fn find_address(&self) -> Option<Address<'a>> {
        self.layout().addresses.iter().find_map(|place| {
            let field = self.field(*place);
            let text = telling(field.value)?;
            let (address, port) = parse_address(text)?;
            let canonical = canonical(text, address);
            let whole = canonical == text;
            Some(Address { place: *place, field: field.id, text: canonical, whole, port })
        })
    }

    /// The event.
    pub(super) fn event(&self) -> EventRef<'a> {
        self.event
    }

    /// What its fields mean.
    #[inline]
    pub(super) fn layout(&self) -> &Layout {
        self.layouts.get(self.layout)
    }

    /// The layout's number; `None` if it is this event's alone.
    pub(super) fn layout_number(&self) -> Option<u32> {
        self.layout
    }

    /// How many fields the event has: their places are below.
    pub(super) fn places(&self) -> usize {
        self.own.len() + self.added.len()
    }

    /// The field of a place.
    #[inline]
    pub(super) fn field(&self, place: u32) -> Field<'a> {
        let place = place as usize;
        match self.own.get(place) {
            Some(entry) => self.event.read(entry),
            None => self.added[place - self.own.len()],
        }
    }

    /// Which field stands at a place.
    #[inline]
    pub(super) fn id_at(&self, place: u32) -> FieldId {
        let place = place as usize;
        self.own.get(place).map_or_else(|| self.added[place - self.own.len()].id, |entry| entry.field)
    }

    /// The text of the field of a place.
    #[inline]
    pub(super) fn text_at(&self, place: u32) -> &'a [u8] {
        let place = place as usize;
        match self.own.get(place) {
            Some(entry) => self.event.text(entry),
            None => self.added[place - self.own.len()].value.text().as_bytes(),
        }
    }

    /// When it happened, in microseconds since 1970.
    pub(super) fn time(&self) -> Option<i64> {
        self.time
    }

    /// The text of a column of type string; none for other columns too.
    #[inline]
    pub(super) fn text(&self, kind: Kind) -> Text<'_> {
        match kind {
            Kind::Text(SOURCE) => Text::Own(Cow::Borrowed(self.event.batch().origin().source.as_bytes())),
            Kind::Text(CLIENT_IP) => match &self.address {
                None => Text::Nothing,
                Some(address) if address.whole => Text::Field(address.place),
                Some(address) => Text::Own(Cow::Borrowed(address.text.as_bytes())),
            },
            Kind::Text(GEO_COUNTRY) => own(self.fact(Geo::Country)),
            Kind::Text(GEO_REGION) => own(self.fact(Geo::Region).or(self.fact(Geo::RegionCode))),
            Kind::Text(GEO_CITY) => own(self.fact(Geo::City)),
            Kind::Text(AS_ORG) => own(self.fact(Geo::AsOrg)),
            Kind::Text(column) => {
                for candidate in self.layout().candidates(column) {
                    match candidate {
                        Candidate::Constant(text) => return own(Some(text)),
                        Candidate::Field(place) if self.own[*place as usize].slot.is_telling() => {
                            return Text::Field(*place);
                        }
                        Candidate::Field(_) => {}
                    }
                }
                Text::Nothing
            }
            Kind::Promoted { field, .. } => self.printed(field),
            _ => Text::Nothing,
        }
    }

    /// The same as bytes.
    pub(super) fn bytes(&self, kind: Kind) -> Option<Cow<'_, [u8]>> {
        match self.text(kind) {
            Text::Nothing => None,
            Text::Field(place) => Some(Cow::Borrowed(self.text_at(place))),
            Text::Own(text) => Some(text),
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
    pub(super) fn rules(&self) -> impl Iterator<Item = &'a [u8]> {
        self.layout().rules.iter().map(|place| self.text_at(*place))
    }

    /// The first value of a promoted field that says something, blanks around it left out.
    pub(super) fn promoted(&self, field: usize) -> Option<&'a str> {
        self.layout().promoted[field].iter().find_map(|place| telling(self.field(*place).value)).map(str::trim)
    }

    /// What the map of all fields holds for a promoted field.
    fn printed(&self, field: usize) -> Text<'_> {
        match &*self.layout().promoted[field] {
            [] => Text::Nothing,
            [only] if !self.event.repeats(self.field(*only).trail) => Text::Field(*only),
            places => {
                let mut json = Vec::new();
                self.print(places, &mut json);
                Text::Own(Cow::Owned(json))
            }
        }
    }

    /// Prints the fields of some places as an array of JSON.
    pub(super) fn print(&self, places: &[u32], json: &mut Vec<u8>) {
        json.clear();
        for place in places {
            json.push(if json.is_empty() { b'[' } else { b',' });
            self.field(*place).value.write_json(json);
        }
        json.push(b']');
    }
}

fn own(text: Option<&str>) -> Text<'_> {
    text.map_or(Text::Nothing, |text| Text::Own(Cow::Borrowed(text.as_bytes())))
}

/// The text of a scalar that says something.
#[inline]
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
