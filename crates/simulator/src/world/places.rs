//! Where people and attackers are: addresses with the locations that Entra would show for them.
//!
//! The tenant lives in the address ranges that are reserved for documentation, and in those that MaxMind's public test
//! database knows, so that lookups give something.

use super::rng::Rng;

/// An address and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ip: String,
    pub(super) city: &'static str,
    pub(super) state: &'static str,
    pub(super) country: &'static str,
    pub(super) latitude: &'static str,
    pub(super) longitude: &'static str,
    pub(super) network: u32,
}

/// A town, and the ranges (first three bytes, or an IPv6 prefix) of those who live there.
#[derive(Debug)]
pub(super) struct Town {
    ranges: &'static [&'static str],
    city: &'static str,
    state: &'static str,
    country: &'static str,
    latitude: &'static str,
    longitude: &'static str,
    network: u32,
}

macro_rules! town {
    ($ranges:expr, $city:literal, $state:literal, $country:literal, $latitude:literal, $longitude:literal, $network:literal) => {
        Town {
            ranges: $ranges,
            city: $city,
            state: $state,
            country: $country,
            latitude: $latitude,
            longitude: $longitude,
            network: $network,
        }
    };
}

/// The towns of the offices, with the offset of their clocks from UTC in hours.
pub(super) const OFFICES: &[(Town, i64)] = &[
    (town!(&["192.0.2", "2001:db8:10:"], "Zurich", "Zurich", "CH", "47.3667", "8.55", 64500), 1),
    (town!(&["203.0.113"], "London", "England", "GB", "51.5142", "-0.0931", 64501), 0),
    (town!(&["198.51.100"], "Boston", "Massachusetts", "US", "42.3584", "-71.0598", 64502), -5),
];

/// Where people of each office live.
pub(super) const HOMES: &[Town] = &[
    town!(&["89.160.20", "2001:db8:20:"], "Linkoping", "Ostergotland", "SE", "58.4167", "15.6167", 29518),
    town!(&["2.125.160", "81.2.69"], "Boxford", "West Berkshire", "GB", "51.75", "-1.25", 20712),
    town!(&["216.160.83", "2001:db8:30:"], "Milton", "Washington", "US", "47.2513", "-122.3149", 209),
];

/// The mobile networks of each office's country.
pub(super) const MOBILES: &[Town] = &[
    town!(&["2001:db8:40:"], "Bern", "Bern", "CH", "46.9481", "7.4474", 64510),
    town!(&["2001:db8:50:"], "Leeds", "England", "GB", "53.7965", "-1.5478", 64511),
    town!(&["2001:db8:60:", "12.81.96"], "Jacksonville", "Florida", "US", "30.3322", "-81.6557", 7018),
];

/// Where travellers are.
pub(super) const TRAVELS: &[Town] = &[
    town!(&["81.2.69"], "London", "England", "GB", "51.5142", "-0.0931", 20712),
    town!(&["2001:db8:70:"], "Lyon", "Auvergne-Rhone-Alpes", "FR", "45.7485", "4.8467", 64520),
    town!(&["2001:db8:71:"], "Tokyo", "Tokyo", "JP", "35.6895", "139.6917", 64521),
];

/// Where applications run.
pub(super) const CLOUDS: &[Town] = &[
    town!(&["203.0.113", "2001:db8:c0:"], "Amsterdam", "North Holland", "NL", "52.3759", "4.8975", 64540),
    town!(&["198.51.100"], "Dublin", "Leinster", "IE", "53.3331", "-6.2489", 64541),
];

/// Where attackers come from.
pub(super) const FOREIGN: &[Town] = &[
    town!(&["175.16.199"], "Changchun", "Jilin", "CN", "43.88", "125.3228", 4837),
    town!(&["67.43.156"], "Thimphu", "Thimphu", "BT", "27.4728", "89.639", 35908),
    town!(&["202.196.224"], "Manila", "National Capital Region", "PH", "14.5955", "120.9721", 9299),
    town!(&["111.235.160"], "Nanjing", "Jiangsu", "CN", "32.0617", "118.7778", 4808),
    town!(&["2001:db8:bad:"], "Amsterdam", "North Holland", "NL", "52.374", "4.8897", 64530),
];

impl Town {
    /// An address of the town.
    pub(super) fn place(&self, rng: &mut Rng) -> Place {
        let range = rng.pick(self.ranges);
        let ip = if range.ends_with(':') {
            format!("{range}{:x}::{:x}", rng.range(1, 0xfff), rng.range(1, 0xffff))
        } else {
            format!("{range}.{}", rng.range(1, 254))
        };
        Place {
            ip,
            city: self.city,
            state: self.state,
            country: self.country,
            latitude: self.latitude,
            longitude: self.longitude,
            network: self.network,
        }
    }
}
