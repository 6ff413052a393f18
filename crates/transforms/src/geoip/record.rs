//! What location databases hold, in every layout in use, read into one.
//!
//! MaxMind and DB-IP nest (`country.names.en`, `location.latitude`, `subdivisions[0]`); IPinfo and ip-location-db are
//! flat. In IPinfo's files `country` is a code in one product and a name in another; numbers are texts in some and
//! 32-bit floats in others; what is not known is absent or an empty text. So nothing is expected of a record: every
//! member that is known under any of its names is taken, in whatever type it comes, and the rest is passed over.

use std::fmt::{self, Formatter};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A record's members, in all layouts at once.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    country: Part,
    country_code: Part,
    country_name: Part,
    subdivisions: Part,
    region_code: Part,
    region: Part,
    state1: Part,
    city: Part,
    location: Part,
    latitude: Part,
    longitude: Part,
    lat: Part,
    lng: Part,
    loc: Part,
    autonomous_system_number: Part,
    autonomous_system_organization: Part,
    asn: Part,
    as_name: Part,
    organization: Part,
}

/// A member of a record: a scalar as text, or what matters of an object. Of an array, its first element.
#[derive(Debug, Default)]
struct Part {
    text: Option<String>,
    iso_code: Option<String>,
    name: Option<String>,
    latitude: Option<String>,
    longitude: Option<String>,
}

/// Where an address is, and whose it is. Numbers are written as JSON writes them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) country_iso_code: Option<String>,
    pub(super) country_name: Option<String>,
    pub(super) region_iso_code: Option<String>,
    pub(super) region_name: Option<String>,
    pub(super) city_name: Option<String>,
    pub(super) latitude: Option<String>,
    pub(super) longitude: Option<String>,
    pub(super) asn: Option<String>,
    pub(super) as_org: Option<String>,
}

impl Record {
    pub(super) fn into_location(self) -> Location {
        let (country_code, country_text) = match self.country.text {
            Some(text) if text.len() == 2 => (Some(text), None),
            text => (None, text),
        };
        let (loc_latitude, loc_longitude) = match self.loc.text.as_deref().and_then(|loc| loc.split_once(',')) {
            Some((latitude, longitude)) => (Some(latitude.trim().to_owned()), Some(longitude.trim().to_owned())),
            None => (None, None),
        };
        let latitude = self.location.latitude.or(self.latitude.text).or(self.lat.text).or(loc_latitude);
        let longitude = self.location.longitude.or(self.longitude.text).or(self.lng.text).or(loc_longitude);
        // Half a position is none.
        let position = degrees(latitude, 90.0).zip(degrees(longitude, 180.0));
        let (latitude, longitude) = position.unzip();
        Location {
            country_iso_code: self.country.iso_code.or(self.country_code.text).or(country_code),
            country_name: self.country.name.or(self.country_name.text).or(country_text),
            region_iso_code: self.subdivisions.iso_code.or(self.region_code.text),
            region_name: self.subdivisions.name.or(self.region.text).or(self.state1.text),
            city_name: self.city.name.or(self.city.text),
            latitude,
            longitude,
            asn: as_number(self.autonomous_system_number.text).or_else(|| as_number(self.asn.text)),
            as_org: self.autonomous_system_organization.text.or(self.as_name.text).or(self.organization.text),
        }
    }
}

impl Location {
    /// What this one does not know, `other` may.
    pub(super) fn or(self, other: Location) -> Location {
        // A position is taken whole: the latitude of one place and the longitude of another are nowhere.
        let (latitude, longitude) = match self.latitude {
            Some(latitude) => (Some(latitude), self.longitude),
            None => (other.latitude, other.longitude),
        };
        Location {
            country_iso_code: self.country_iso_code.or(other.country_iso_code),
            country_name: self.country_name.or(other.country_name),
            region_iso_code: self.region_iso_code.or(other.region_iso_code),
            region_name: self.region_name.or(other.region_name),
            city_name: self.city_name.or(other.city_name),
            latitude,
            longitude,
            asn: self.asn.or(other.asn),
            as_org: self.as_org.or(other.as_org),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Location::default()
    }
}

fn degrees(text: Option<String>, limit: f64) -> Option<String> {
    let degrees: f64 = text?.trim().parse().ok()?;
    (degrees.abs() <= limit).then(|| degrees.to_string())
}

/// `64500`, `"64500"` and `"AS64500"` are the same number.
fn as_number(text: Option<String>) -> Option<String> {
    let text = text?;
    let digits = text.strip_prefix("AS").or(text.strip_prefix("as")).unwrap_or(&text);
    digits.parse::<u32>().ok().map(|number| number.to_string())
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Part, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl Part {
    fn scalar(value: impl ToString) -> Part {
        Part { text: Some(value.to_string()), ..Part::default() }
    }
}

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Part, E> {
        Ok(if text.is_empty() { Part::default() } else { Part::scalar(text) })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Part, E> {
        Ok(Part::scalar(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Part, E> {
        Ok(Part::scalar(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Part, E> {
        Ok(Part::scalar(value))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Part, E> {
        Ok(Part::default())
    }

    fn visit_unit<E>(self) -> Result<Part, E> {
        Ok(Part::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Part, A::Error> {
        let first = elements.next_element()?.unwrap_or_default();
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Part, A::Error> {
        let mut part = Part::default();
        while let Some(key) = members.next_key::<&str>()? {
            match key {
                "iso_code" => part.iso_code = members.next_value::<Part>()?.text,
                "names" => part.name = members.next_value::<Part>()?.name,
                "en" => part.name = members.next_value::<Part>()?.text,
                "latitude" => part.latitude = members.next_value::<Part>()?.text,
                "longitude" => part.longitude = members.next_value::<Part>()?.text,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(record: &str) -> Location {
        serde_json::from_str::<Record>(record).unwrap().into_location()
    }

    fn expect(values: [&str; 9]) -> Location {
        let [country_iso_code, country_name, region_iso_code, region_name, city_name, latitude, longitude, asn, as_org] =
            values.map(|value| (!value.is_empty()).then(|| value.to_owned()));
        Location {
            country_iso_code,
            country_name,
            region_iso_code,
            region_name,
            city_name,
            latitude,
            longitude,
            asn,
            as_org,
        }
    }

    #[test]
    fn layouts() {
        let nested = r#"{"continent":{"code":"EU","names":{"en":"Europe"}},"country":{"geoname_id":1,"iso_code":"XA",
            "names":{"de":"Aldermark (de)","en":"Aldermark"}},"registered_country":{"iso_code":"ZZ"},
            "subdivisions":[{"iso_code":"HB","names":{"en":"Harbourshire"}},{"iso_code":"NO"}],
            "city":{"names":{"en":"Port Alder","fr":"Port"}},
            "location":{"latitude":48.25,"longitude":-4.5,"accuracy_radius":5,"time_zone":"Europe/X"}}"#;
        let place = ["XA", "Aldermark", "HB", "Harbourshire", "Port Alder", "48.25", "-4.5", "", ""];
        assert_eq!(location(nested), expect(place));

        let asn = r#"{"autonomous_system_number":64500,"autonomous_system_organization":"Contoso"}"#;
        assert_eq!(location(asn), expect(["", "", "", "", "", "", "", "64500", "Contoso"]));

        let lite = r#"{"continent":"Europe","continent_code":"EU","country":"Aldermark","country_code":"XA",
            "asn":"AS64500","as_name":"Contoso","as_domain":"contoso.example"}"#;
        assert_eq!(location(lite), expect(["XA", "Aldermark", "", "", "", "", "", "64500", "Contoso"]));

        let standard = r#"{"country":"XA","country_name":"Aldermark","region":"Harbourshire","city":"Port Alder",
            "lat":"48.2500","lng":"-4.5","postal_code":"1"}"#;
        assert_eq!(
            location(standard),
            expect(["XA", "Aldermark", "", "Harbourshire", "Port Alder", "48.25", "-4.5", "", ""])
        );

        let flat = r#"{"city":"","country_code":"XA","latitude":48.25,"longitude":-4.5,"postcode":"","state1":"Harbourshire","state2":""}"#;
        assert_eq!(location(flat), expect(["XA", "", "", "Harbourshire", "", "48.25", "-4.5", "", ""]));

        let with_loc = r#"{"country":"XA","loc":"48.25,-4.5","asn":64500,"organization":"Contoso"}"#;
        assert_eq!(location(with_loc), expect(["XA", "", "", "", "", "48.25", "-4.5", "64500", "Contoso"]));
    }

    #[test]
    fn nonsense_is_passed_over() {
        for record in [
            "{}",
            r#"{"country":null_}"#.replace("null_", "[]").as_str(),
            r#"{"country":[[{}]],"city":{"names":"x"},"asn":"ASx","autonomous_system_number":-1,"loc":"here"}"#,
            r#"{"location":{"latitude":"NaN","longitude":"1"},"lat":"91","lng":"0"}"#,
            r#"{"latitude":1.5,"unknown":{"a":[1,2,{"b":true}]}}"#,
        ] {
            assert!(location(record).is_empty(), "{record}");
        }
    }

    #[test]
    fn positions_are_taken_whole() {
        let half = Location { latitude: Some("1".to_owned()), longitude: Some("2".to_owned()), ..Location::default() };
        let other = Location { latitude: Some("3".to_owned()), longitude: Some("4".to_owned()), ..Location::default() };
        assert_eq!(Location::default().or(other.clone()), other);
        assert_eq!(half.clone().or(other), half);
    }
}
