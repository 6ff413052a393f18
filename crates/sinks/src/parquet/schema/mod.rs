//! From fields to columns: the tables of [`columns`], resolved to field numbers once.
//!
//! The per-event work is then one look-up for each entry of the event: what does this field tell about the feed, and
//! which path is it. Names that come up later (the field table grows) are resolved when a batch with them arrives.

mod columns;

use std::collections::HashMap;

use downspout_core::BatchNames;
use downspout_core::field::{FieldId, FieldTable, parse_name, push_segment};

pub(super) use columns::TEXT_COLUMNS;
use columns::{FEEDS, Feed};

/// What a record's own field means to the table. Zeros: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meaning {
    /// Which marks of feeds it bears, as bits.
    pub(super) marks: u32,
    /// The path that it is, for [`Source::Path`]; 0 for none.
    pub(super) path: u16,
    /// The promoted field that it is, counted from 1; 0 for none.
    pub(super) promoted: u16,
}

/// What a field that a transform added means to the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Addition {
    /// Nothing: it goes to the map like a record's own field.
    #[default]
    Other,
    /// The id of a rule that matched.
    Rule,
    /// A fact about the address in the field `of`.
    Geo { leaf: Geo, of: FieldId },
    /// A fact about such an address that has no column, such as the country's name: it is left out, because it
    /// follows from those that have.
    GeoDetail,
}

/// The facts about an address that have columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Geo {
    Country,
    Region,
    RegionCode,
    City,
    Latitude,
    Longitude,
    Asn,
    AsOrg,
}

impl Geo {
    /// How many there are.
    pub(super) const COUNT: usize = GEO_LEAVES.len();
}

/// How the `geoip` transform names them.
const GEO_LEAVES: [(&str, Geo); 8] = [
    ("country_iso_code", Geo::Country),
    ("region_name", Geo::Region),
    ("region_iso_code", Geo::RegionCode),
    ("city_name", Geo::City),
    ("latitude", Geo::Latitude),
    ("longitude", Geo::Longitude),
    ("asn", Geo::Asn),
    ("as_org", Geo::AsOrg),
];

/// Where a column's value comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Path(u16),
    Constant(&'static str),
}

/// A feed, resolved.
#[derive(Debug)]
pub(super) struct ResolvedFeed {
    /// The record is of this feed if it bears all marks of one of these.
    told_by: Vec<u32>,
    pub(super) time: Vec<u16>,
    pub(super) texts: [Vec<Source>; TEXT_COLUMNS],
    pub(super) client_ip: Vec<u16>,
}

impl ResolvedFeed {
    #[inline]
    fn is_told_by(&self, marks: u32) -> bool {
        self.told_by.iter().any(|told_by| marks & told_by == *told_by)
    }
}

/// The tables, resolved against a pipeline's fields.
#[derive(Debug)]
pub(super) struct Schema {
    feeds: Vec<ResolvedFeed>,
    /// The fields of the paths, by path; the first is nobody's.
    paths: Vec<FieldId>,
    /// The paths of times and addresses, by printed name.
    parsed: HashMap<&'static str, FieldId>,
    /// The segments of each mark; a field bears the mark if its path begins so.
    marks: Vec<Vec<String>>,
    promoted: HashMap<FieldId, u16>,
    meanings: Vec<Meaning>,
    additions: Vec<Addition>,
}

impl Schema {
    /// Resolves the tables. `promoted` are printed names of fields with columns of their own, without repeats.
    /// `None` if the field table is full.
    pub(super) fn new(fields: &FieldTable, promoted: &[String]) -> Option<Schema> {
        let mut schema = Schema {
            feeds: Vec::new(),
            paths: vec![FieldId::ROOT],
            parsed: HashMap::new(),
            marks: Vec::new(),
            promoted: HashMap::new(),
            meanings: Vec::new(),
            additions: Vec::new(),
        };
        for feed in FEEDS {
            let feed = schema.resolve(feed, fields)?;
            schema.feeds.push(feed);
        }
        schema.other_finds_time_as_any();
        for (index, name) in promoted.iter().enumerate() {
            let field = fields.intern_path(&parse_name(name)?)?;
            schema.promoted.insert(field, index as u16 + 1);
        }
        Some(schema)
    }

    fn resolve(&mut self, feed: &Feed, fields: &FieldTable) -> Option<ResolvedFeed> {
        let told_by = feed.told_by.iter().map(|names| names.iter().map(|name| self.mark(name)).sum()).collect();
        let mut texts: [Vec<Source>; TEXT_COLUMNS] = Default::default();
        for (sources, list) in texts.iter_mut().zip(feed.paths.texts()) {
            for text in list {
                sources.push(match text.strip_prefix('=') {
                    Some(constant) => Source::Constant(constant),
                    None => Source::Path(self.path(text, fields)?),
                });
            }
        }
        let mut parsed = |list: &'static [&'static str]| {
            let mut paths = Vec::new();
            for name in list {
                let path = self.path(name, fields)?;
                self.parsed.insert(name, self.paths[path as usize]);
                paths.push(path);
            }
            Some(paths)
        };
        let (time, client_ip) = (parsed(feed.paths.time)?, parsed(feed.paths.client_ip)?);
        Some(ResolvedFeed { told_by, time, texts, client_ip })
    }

    /// A record without the names that tell its feed may still bear the feed's time, and is hard to find without one.
    fn other_finds_time_as_any(&mut self) {
        let mut times = Vec::new();
        for path in self.feeds.iter().flat_map(|feed| &feed.time) {
            if !times.contains(path) {
                times.push(*path);
            }
        }
        if let Some(other) = self.feeds.last_mut() {
            other.time = times;
        }
    }

    fn mark(&mut self, name: &str) -> u32 {
        let segments: Vec<String> = name.split('.').map(str::to_owned).collect();
        let bit = self.marks.iter().position(|mark| *mark == segments).unwrap_or_else(|| {
            self.marks.push(segments);
            self.marks.len() - 1
        });
        1 << bit
    }

    fn path(&mut self, name: &str, fields: &FieldTable) -> Option<u16> {
        let field = fields.intern_path(&parse_name(name)?)?;
        let path = self.paths.iter().position(|path| *path == field).unwrap_or_else(|| {
            self.paths.push(field);
            self.paths.len() - 1
        });
        Some(path as u16)
    }

    /// Resolves the names that came up since the last call.
    pub(super) fn grow(&mut self, names: &BatchNames<'_>) {
        for field in names.since(self.meanings.len()) {
            let segments = names.segments(field);
            let bears =
                |mark: &&Vec<String>| segments.len() >= mark.len() && mark.iter().zip(&segments).all(|(a, b)| a == b);
            let marks = self.marks.iter().enumerate().filter(|(_, mark)| bears(mark)).map(|(bit, _)| 1 << bit).sum();
            let path = self.paths.iter().skip(1).position(|path| *path == field).map_or(0, |path| path as u16 + 1);
            let promoted = self.promoted.get(&field).copied().unwrap_or(0);
            self.meanings.push(Meaning { marks, path, promoted });
            self.additions.push(self.addition(&segments));
        }
    }

    fn addition(&self, segments: &[&str]) -> Addition {
        match segments {
            ["rules"] => Addition::Rule,
            ["geo", of @ .., leaf] => {
                // The field may stand there as one segment or as its own path.
                let printed = match of {
                    [printed] => (*printed).to_owned(),
                    path => {
                        let mut printed = String::new();
                        path.iter().for_each(|segment| push_segment(&mut printed, segment));
                        printed
                    }
                };
                let leaf = GEO_LEAVES.iter().find(|(name, _)| name == leaf).map(|(_, leaf)| *leaf);
                match (leaf, self.parsed.get(&*printed)) {
                    (Some(leaf), Some(of)) => Addition::Geo { leaf, of: *of },
                    (None, Some(_)) => Addition::GeoDetail,
                    (_, None) => Addition::Other,
                }
            }
            _ => Addition::Other,
        }
    }

    /// What a record's own field means.
    #[inline]
    pub(super) fn meaning(&self, field: FieldId) -> Meaning {
        field.index().and_then(|index| self.meanings.get(index)).copied().unwrap_or_default()
    }

    /// What an added field means.
    #[inline]
    pub(super) fn addition_of(&self, field: FieldId) -> Addition {
        field.index().and_then(|index| self.additions.get(index)).copied().unwrap_or_default()
    }

    /// The feed of a record that bears these marks.
    #[inline]
    pub(super) fn feed(&self, marks: u32) -> Option<&ResolvedFeed> {
        self.feeds.iter().find(|feed| feed.is_told_by(marks))
    }

    /// How many promoted fields there are.
    pub(super) fn promoted_count(&self) -> usize {
        self.promoted.len()
    }
}
