//! Where people and attackers are: addresses with the locations that Entra would show for them.
//!
//! The tenant lives in the address ranges that are reserved for documentation, and in those that MaxMind's public test
//! databases know, so that lookups give something. These are small: most people live in the others.

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

/// Addresses: the first three bytes, with the lowest and the highest last one, or a prefix of IPv6 addresses.
type Range = (&'static str, i64, i64);

/// A town, and the ranges of those who live there.
#[derive(Debug)]
pub(super) struct Town {
    ranges: &'static [Range],
    city: &'static str,
    state: &'static str,
    country: &'static str,
    latitude: &'static str,
    longitude: &'static str,
    network: u32,
}

const fn town(
    ranges: &'static [Range],
    [city, state, country]: [&'static str; 3],
    [latitude, longitude]: [&'static str; 2],
    network: u32,
) -> Town {
    Town { ranges, city, state, country, latitude, longitude, network }
}

/// The towns of the offices, with the offset of their clocks from UTC in hours.
pub(super) const OFFICES: &[(Town, i64)] = &[
    (
        town(
            &[("192.0.2", 1, 254), ("2001:db8:10:", 0, 0)],
            ["Stockholm", "Stockholm", "SE"],
            ["59.3294", "18.0686"],
            64500,
        ),
        1,
    ),
    (town(&[("203.0.113", 1, 254)], ["London", "England", "GB"], ["51.5142", "-0.0931"], 64501), 0),
    (town(&[("198.51.100", 1, 254)], ["Boston", "Massachusetts", "US"], ["42.3584", "-71.0598"], 64502), -5),
];

/// Where people of each office live.
pub(super) const HOMES: &[Town] = &[
    town(
        &[("89.160.20", 112, 127), ("2001:db8:20:", 0, 0), ("2001:db8:21:", 0, 0), ("2001:db8:22:", 0, 0)],
        ["Linkoping", "Ostergotland", "SE"],
        ["58.4167", "15.6167"],
        29518,
    ),
    town(
        &[("2.125.160", 216, 223), ("81.2.69", 144, 207), ("2001:db8:23:", 0, 0), ("2001:db8:24:", 0, 0)],
        ["Boxford", "West Berkshire", "GB"],
        ["51.75", "-1.25"],
        20712,
    ),
    town(
        &[("216.160.83", 56, 63), ("2001:db8:30:", 0, 0), ("2001:db8:31:", 0, 0), ("2001:db8:32:", 0, 0)],
        ["Milton", "Washington", "US"],
        ["47.2513", "-122.3149"],
        209,
    ),
];

/// The mobile networks of each office's country.
pub(super) const MOBILES: &[Town] = &[
    town(&[("2001:db8:40:", 0, 0)], ["Gothenburg", "Vastra Gotaland", "SE"], ["57.7065", "11.967"], 64510),
    town(&[("2001:db8:50:", 0, 0)], ["Leeds", "England", "GB"], ["53.7965", "-1.5478"], 64511),
    town(
        &[("2001:db8:60:", 0, 0), ("12.81.96", 1, 254)],
        ["Jacksonville", "Florida", "US"],
        ["30.3322", "-81.6557"],
        7018,
    ),
];

/// Where travellers are.
pub(super) const TRAVELS: &[Town] = &[
    town(&[("81.2.69", 144, 207)], ["London", "England", "GB"], ["51.5142", "-0.0931"], 20712),
    town(&[("2001:db8:70:", 0, 0)], ["Lyon", "Auvergne-Rhone-Alpes", "FR"], ["45.7485", "4.8467"], 64520),
    town(&[("2001:db8:71:", 0, 0)], ["Tokyo", "Tokyo", "JP"], ["35.6895", "139.6917"], 64521),
];

/// Where applications run.
pub(super) const CLOUDS: &[Town] = &[
    town(
        &[("203.0.113", 1, 254), ("2001:db8:c0:", 0, 0)],
        ["Amsterdam", "North Holland", "NL"],
        ["52.3759", "4.8975"],
        64540,
    ),
    town(&[("198.51.100", 1, 254)], ["Dublin", "Leinster", "IE"], ["53.3331", "-6.2489"], 64541),
];

/// Where attackers come from.
pub(super) const FOREIGN: &[Town] = &[
    town(&[("175.16.199", 1, 254)], ["Changchun", "Jilin", "CN"], ["43.88", "125.3228"], 4837),
    town(&[("67.43.156", 1, 254)], ["Thimphu", "Thimphu", "BT"], ["27.4728", "89.639"], 35908),
    town(&[("202.196.224", 1, 254)], ["Manila", "National Capital Region", "PH"], ["14.5955", "120.9721"], 9299),
    town(&[("111.235.160", 1, 254)], ["Nanjing", "Jiangsu", "CN"], ["32.0617", "118.7778"], 4808),
    town(&[("2001:db8:bad:", 0, 0)], ["Amsterdam", "North Holland", "NL"], ["52.374", "4.8897"], 64530),
];

impl Town {
    /// An address of the town.
    pub(super) fn place(&self, rng: &mut Rng) -> Place {
        let &(prefix, low, high) = rng.pick(self.ranges);
        let ip = if prefix.ends_with(':') {
            format!("{prefix}{:x}::{:x}", rng.range(1, 0xfff), rng.range(1, 0xffff))
        } else {
            format!("{prefix}.{}", rng.range(low, high))
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
