//! `geoip`: adds where an address is and whose it is.
//!
//! # What it does
//! For each of the configured fields that holds an address, in any form in which Microsoft writes one
//! (`203.0.113.7`, `203.0.113.7:443`, `[2001:db8::1]:443`, `::ffff:203.0.113.7`), it adds what the databases know:
//!
//! | field | what |
//! | --- | --- |
//! | `geo.<Field>.country_iso_code`, `country_name` | the country |
//! | `geo.<Field>.region_iso_code`, `region_name` | its state, province, Land ... |
//! | `geo.<Field>.city_name` | the city |
//! | `geo.<Field>.latitude`, `longitude` | degrees |
//! | `geo.<Field>.asn`, `as_org` | number and owner of the autonomous system |
//! | `geo.<Field>.scope` | `private`, `shared`, `loopback`, `link_local`, `unique_local` or `unspecified`, if the address is not one of the internet |
//!
//! `<Field>` is the field's own path: `geo.ClientIP.asn`, `geo.initiatedBy.user.ipAddress.asn`. What is not known is
//! not added. Of a field with several values the first that is an address counts. Texts that are no address (empty,
//! `<null>`, host names) are passed over. What is added hides what the record itself has of the same name, from
//! conditions and where events are printed flat; the record as received keeps its own.
//!
//! Several databases complete one another: for each of these fields the first database that knows it wins. So City
//! and ASN files stand side by side, and so do files for IPv4 and IPv6. Layouts are told by content: MaxMind's and
//! DB-IP's nested ones, IPinfo's and ip-location-db's flat ones.
//!
//! # Memory and disk
//! Of a database at most some 8 MiB are in memory, however large it is: the pages last used, for all workers together.
//! Once a database has been in use for two seconds they are read from a private copy in `data_dir`, a file without a
//! name that is gone when the process is. So `data_dir` needs room for all databases (GeoLite2 City has some 60 MB, DB-IP
//! City Lite 130 MB, country and ASN files 5 to 10 MB), and for one of them twice while it is read again. Without room a
//! warning tells of it, the file itself is read on, and the copy is tried again at the next look.
//!
//! A copy, and no mapping, because somebody may overwrite or cut the file in place: that would give records of half a
//! file, and kill a process that has mapped it. A copy is never harmed. Before there is one, a file that was written to
//! gives no locations, until the next look reads what it has become.
//!
//! A database is read again when its file changes; write it under another name and rename it into place, as the usual
//! updaters do.
//!
//! # Example
//! ```yaml
//! transforms:
//!   geo:
//!     type: geoip
//!     inputs: [unique]
//!     databases: [./geo/city.mmdb, ./geo/asn.mmdb]
//! ```
//!
//! # Metrics it emits
//! `downspout_component_errors_total` with the `error_type`s `reload` (a changed file cannot be used; the one before
//! stays) and `lookup` (a database is damaged where an address was looked up).

mod atlas;
mod cache;
mod database;
mod decode;
mod mmdb;
mod pages;
mod record;
mod scope;
mod stamp;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::address::parse_address;
use downspout_core::config_values::HumanDuration;
use downspout_core::field::parse_name;
use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::Outputs;
use downspout_core::{
    Batch, Build, Component, ConfigError, Context, FieldId, FieldTable, StageError, Transform, Value,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::slots::{Slots, intern};
use atlas::{Atlas, Databases};
use cache::Cache;
use record::Location;

/// The address fields of all feeds: what the lake's `client_ip` can come from.
const DEFAULT_FIELDS: [&str; 22] = [
    "ClientIP",
    "ClientIPAddress",
    "ActorIpAddress",
    "ActorIP",
    "UserIp",
    "SenderIp",
    "ipAddress",
    "initiatedBy.user.ipAddress",
    "properties.ipAddress",
    "properties.initiatedBy.user.ipAddress",
    "callerIpAddress",
    "properties.callerIpAddress",
    "httpRequest.clientIpAddress",
    "claims.ipaddr",
    "identity.claims.ipaddr",
    "HttpRequest.ClientIpAddress",
    "Claims.Content.ipaddr",
    "fromIP",
    "FromIP",
    "toIP",
    "ToIP",
    "IPAddress",
];

/// What is added beneath `geo.<Field>`, in this order.
const LEAVES: [&str; 10] = [
    "country_iso_code",
    "country_name",
    "region_iso_code",
    "region_name",
    "city_name",
    "latitude",
    "longitude",
    "asn",
    "as_org",
    "scope",
];

/// How many addresses a worker remembers, twice. What is remembered of one takes some 200 bytes.
const REMEMBERED: usize = 16_384;

/// Adds where an address is and whose it is.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeoIpConfig {
    /// The location database, a file in MMDB format.
    #[serde(default)]
    pub database: Option<PathBuf>,
    /// Several location databases that complete one another: City and ASN, IPv4 and IPv6. The first that knows
    /// something wins. Instead of `database`.
    #[serde(default)]
    pub databases: Vec<PathBuf>,
    /// The fields that hold addresses. The default is the address fields of all of Microsoft's feeds.
    #[serde(default = "default_fields")]
    pub fields: Vec<String>,
    /// How often to look whether a database's file has changed.
    #[serde(default = "default_reload_interval")]
    pub reload_interval: HumanDuration,
}

fn default_fields() -> Vec<String> {
    DEFAULT_FIELDS.map(str::to_owned).to_vec()
}

fn default_reload_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(60))
}

impl Component for GeoIpConfig {
    type Stage = Box<dyn Transform>;

    const TYPE: &'static str = "geoip";
    const EXAMPLE: &'static str = "databases: [./geo/city.mmdb, ./geo/asn.mmdb]\n";

    fn plan(self) -> Result<Build<Box<dyn Transform>>, Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        match (&self.database, self.databases.as_slice()) {
            (None, []) => mistakes.push(
                ConfigError::at("", "expected `database` or `databases`")
                    .help("name a file in MMDB format: `database: ./geo/city.mmdb`"),
            ),
            (Some(_), [_, ..]) => {
                mistakes.push(
                    ConfigError::at("databases", "`database` is given too").help("list all files in `databases`"),
                );
            }
            _ => {}
        }
        if self.fields.is_empty() {
            mistakes.push(
                ConfigError::at("fields", "names no field: nothing would be looked up")
                    .help("leave `fields` out to look up the addresses of all of Microsoft's feeds"),
            );
        }
        for (index, field) in self.fields.iter().enumerate() {
            if parse_name(field).is_none_or(|segments| segments.is_empty()) {
                let help = "names are joined by dots, and a name that holds `.`, `[`, `]` or `\\` stands in brackets: `A[b.c].d`";
                mistakes.push(ConfigError::at(format!("fields.{index}"), format!("`{field}` is no field")).help(help));
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Box::new(move |context| Ok(Box::new(GeoIp::new(self, context, Clock::system())?))))
    }
}

#[derive(Debug)]
struct GeoIp {
    atlas: Arc<Atlas>,
    databases: Arc<Databases>,
    cache: Cache<IpAddr, Answer>,
    slots: Slots,
    /// For each slot the fields to add, in the order of `LEAVES`.
    added: Vec<[FieldId; LEAVES.len()]>,
    metrics: ComponentMetrics,
    /// The addresses of one event; kept for its memory.
    found: Vec<(usize, IpAddr)>,
}

/// What is added for an address. In one piece, for many are remembered.
#[derive(Debug)]
struct Answer {
    /// The texts of all leaves, one behind the other; an empty one is not added.
    texts: Box<str>,
    ends: [u32; LEAVES.len()],
}

impl GeoIp {
    fn new(config: GeoIpConfig, context: Context, clock: Clock) -> Result<GeoIp, StageError> {
        let paths = config.database.into_iter().chain(config.databases).collect();
        let folder = context.store.folder().to_owned();
        let atlas = Atlas::open(paths, folder, config.reload_interval.0, clock, context.metrics.clone())
            .map_err(|error| StageError::stop("database", error))?;
        let mut slots = Slots::default();
        let mut added = Vec::new();
        for name in &config.fields {
            if slots.insert(intern(&context.fields, name)?) == Some(added.len()) {
                added.push(leaves(&context.fields, name)?);
            }
        }
        Ok(GeoIp {
            databases: atlas.current(),
            atlas: Arc::new(atlas),
            cache: Cache::new(REMEMBERED),
            slots,
            added,
            metrics: context.metrics,
            found: Vec::new(),
        })
    }
}

/// The fields beneath `geo.<Field>`.
fn leaves(table: &FieldTable, field: &str) -> Result<[FieldId; LEAVES.len()], StageError> {
    let mut ids = [FieldId::ROOT; LEAVES.len()];
    // A field that begins with a bracket follows without a dot.
    let dot = if field.starts_with('[') { "" } else { "." };
    for (id, leaf) in ids.iter_mut().zip(LEAVES) {
        *id = intern(table, &format!("geo{dot}{field}.{leaf}"))?;
    }
    Ok(ids)
}

impl Transform for GeoIp {
    fn apply(&mut self, batch: &mut Batch, _outputs: &mut Outputs) -> Result<(), StageError> {
        let databases = self.atlas.current();
        if !Arc::ptr_eq(&databases, &self.databases) {
            self.databases = databases;
            self.cache = Cache::new(REMEMBERED);
        }
        for event in 0..batch.len() {
            self.found.clear();
            for (slot, field) in self.slots.pick(batch.event(event)) {
                if let Value::String(text) = field.value
                    && let Some((address, _port)) = parse_address(text)
                    && self.found.iter().all(|(known, _)| *known != slot)
                {
                    self.found.push((slot, address));
                }
            }
            for &(slot, address) in &self.found {
                let answer = self.cache.get(address, || Answer::new(&self.databases, address, &self.metrics));
                for (leaf, text) in answer.leaves() {
                    let number = matches!(LEAVES[leaf], "latitude" | "longitude" | "asn");
                    let value = if number { Value::Number(text) } else { Value::String(text) };
                    batch.add(event, self.added[slot][leaf], value);
                }
            }
        }
        Ok(())
    }

    fn fork(&self) -> Box<dyn Transform> {
        Box::new(GeoIp {
            atlas: Arc::clone(&self.atlas),
            databases: Arc::clone(&self.databases),
            cache: Cache::new(REMEMBERED),
            slots: self.slots.clone(),
            added: self.added.clone(),
            metrics: self.metrics.clone(),
            found: Vec::new(),
        })
    }
}

impl Answer {
    fn new(databases: &Databases, address: IpAddr, metrics: &ComponentMetrics) -> Answer {
        let mut known = Location::default();
        for database in databases {
            match database.locate(address) {
                Ok(Some(location)) => known = known.or(location),
                Ok(None) => {}
                Err(database::Damaged) => metrics.error("lookup"),
            }
        }
        let scope = scope::scope(address).map(str::to_owned);
        let texts = [
            known.country_iso_code,
            known.country_name,
            known.region_iso_code,
            known.region_name,
            known.city_name,
            known.latitude,
            known.longitude,
            known.asn,
            known.as_org,
            scope,
        ];
        let mut ends = [0; LEAVES.len()];
        let mut joined = String::new();
        for (text, end) in texts.into_iter().zip(&mut ends) {
            joined.push_str(text.as_deref().unwrap_or_default());
            *end = joined.len() as u32;
        }
        Answer { texts: joined.into(), ends }
    }

    /// The leaves that are known, and their texts.
    fn leaves(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut start = 0;
        self.ends.iter().enumerate().filter_map(move |(leaf, &end)| {
            let text = &self.texts[start..end as usize];
            start = end as usize;
            (!text.is_empty()).then_some((leaf, text))
        })
    }
}

#[cfg(test)]
mod tests;
