//! From what happens to what can be read: delays, doubles, blobs, expiry, and the ledger of it all.
//!
//! What becomes visible when is a function of the world and the seed alone, however often and whenever the server is
//! asked: each record's delay is a throw for its id, and records become visible together at multiples of an interval.
//! So a world of months is only made when somebody looks, and two runs of a test see the same blobs.

mod bulk;
mod names;
mod pack;
mod revise;
mod segment;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::faults::Faults;
use super::{random, time};
use crate::config::{PublishingConfig, RetentionConfig, TenantConfig};
use crate::world::{Feed, Happening, Truth, World};

use names::{Kind, feed_name, kind};
use pack::Packer;

pub(crate) use bulk::Bulk;
pub(crate) use names::{UNIFIED, content_feed};
pub(crate) use segment::Segment;

/// How much of a world is made in one go: what it did in that time has to fit into memory.
const STEP_SECONDS: i64 = 3_600;

/// Texts of segments and packs that are kept at hand.
const CACHED: usize = 24;

/// How much text one pack holds.
const PACK_BYTES: usize = 256 << 10;

/// One tenant's records, from the world to what the services show.
#[derive(Debug)]
pub(crate) struct Publisher {
    config: PublishingConfig,
    retention: RetentionConfig,
    seed: u64,
    tenant: String,
    world: World,
    faults: Arc<Faults>,
    /// What has happened and is not visible yet, by the moment when it will be (seconds).
    pending: BTreeMap<(i64, Feed), Vec<Pending>>,
    feeds: BTreeMap<Feed, Store>,
    bulk: Vec<Bulk>,
    /// Until when everything is published: a multiple of the interval.
    until: i64,
    cache: VecDeque<(usize, Arc<Vec<u8>>)>,
    packer: Packer,
}

#[derive(Debug)]
struct Pending {
    id: String,
    time: Timestamp,
    record: String,
    copy: bool,
    late: bool,
    version: Version,
}

/// Which version of a record this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// The one that there is.
    Only,
    /// Another one will follow.
    First,
    /// The one that follows.
    Changed,
}

/// One feed's published records, in the order in which they became visible.
#[derive(Debug, Default)]
struct Store {
    segments: Vec<Segment>,
    /// Segments before this one have lost their records.
    dropped: usize,
    /// Segments before this one are packed.
    packed: usize,
    /// Where records stand that will change, by id.
    changing: HashMap<String, (usize, usize)>,
}

/// Where a record is, and when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) time: Timestamp,
    pub(crate) segment: usize,
    pub(crate) row: usize,
}

/// One line of the ledger.
#[derive(Debug)]
pub(crate) struct Published<'p> {
    pub(crate) feed: String,
    pub(crate) id: &'p str,
    pub(crate) time: Timestamp,
    pub(crate) available: Timestamp,
    /// When a client can no longer fetch it from the content feed (or from the only API that has it).
    pub(crate) expires: Timestamp,
    /// When a newer version of the same id took its place.
    pub(crate) replaced: Option<Timestamp>,
}

impl Publisher {
    pub(crate) fn new(
        tenant: &TenantConfig,
        world: World,
        (config, retention): (&PublishingConfig, &RetentionConfig),
        started: Timestamp,
        faults: Arc<Faults>,
    ) -> Publisher {
        let interval = config.interval_seconds.max(1) as i64;
        let until = world.now().as_second().div_euclid(interval) * interval;
        Publisher {
            config: config.clone(),
            retention: retention.clone(),
            seed: random::hash(tenant.seed, &tenant.tenant_id),
            tenant: tenant.tenant_id.clone(),
            bulk: tenant.bulk.iter().map(|bulk| Bulk::new(bulk, &tenant.tenant_id, started)).collect(),
            world,
            faults,
            pending: BTreeMap::new(),
            feeds: BTreeMap::new(),
            until,
            cache: VecDeque::new(),
            packer: Packer::default(),
        }
    }

    /// Lets the world live until now, and publishes what is due.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        let interval = self.config.interval_seconds.max(1) as i64;
        let goal = now.as_second().div_euclid(interval) * interval;
        let step = (STEP_SECONDS / interval).max(1) * interval;
        while self.until < goal {
            self.until = goal.min(self.until + step);
            for happening in self.world.advance(Timestamp::from_second(self.until).unwrap_or(Timestamp::MAX)) {
                self.schedule(happening, interval);
            }
            self.publish_due();
            self.pack_old();
            self.drop_expired();
        }
    }

    /// Decides when a record becomes visible, and whether twice.
    fn schedule(&mut self, happening: Happening, interval: i64) {
        let Happening { time, feed, id, record, .. } = happening;
        let dice = random::hash(self.seed, &id);
        let throw = |n: u64| random::fraction(random::mix(dice ^ n));
        let late = throw(1) < self.config.late_share;
        let spread = throw(2) * throw(3) * self.config.spread_seconds as f64;
        let extra = if late { throw(4) * self.config.late_seconds as f64 } else { 0.0 };
        let delay = self.config.delay_seconds as f64 + spread + extra;
        let due = |delay: f64| {
            let available = time.as_second().saturating_add(delay as i64);
            (available.div_euclid(interval) + 1) * interval
        };
        let changed = (throw(7) < self.config.changed_share)
            .then(|| revise::versions(&feed, &record, time::plus(time, self.config.changed_seconds as i64)))
            .flatten();
        if let Some((first, second)) = changed {
            let again = due(delay + self.config.changed_seconds as f64);
            let pending = |record, late, version| Pending { id: id.clone(), time, record, copy: false, late, version };
            self.pending.entry((again, feed.clone())).or_default().push(pending(second, false, Version::Changed));
            self.pending.entry((due(delay), feed)).or_default().push(pending(first, late, Version::First));
            return;
        }
        let version = Version::Only;
        if throw(5) < self.config.doubled_share {
            let again = due(delay + throw(6) * 3_600.0);
            let copy = Pending { id: id.clone(), time, record: record.clone(), copy: true, late: false, version };
            self.pending.entry((again, feed.clone())).or_default().push(copy);
        }
        self.pending.entry((due(delay), feed)).or_default().push(Pending {
            id,
            time,
            record,
            copy: false,
            late,
            version,
        });
    }

    fn publish_due(&mut self) {
        while let Some(entry) = self.pending.first_entry().filter(|entry| entry.key().0 <= self.until) {
            let ((at, feed), mut records) = entry.remove_entry();
            for record in &records {
                if record.late {
                    self.faults.note("late");
                }
                if record.copy {
                    self.faults.note("doubled");
                }
            }
            if self.config.shuffled && records.len() > 1 {
                let seed = self.seed ^ at as u64;
                records.sort_by_cached_key(|record| random::hash(seed, &record.id));
                if !records.is_sorted_by_key(|record| record.time) {
                    self.faults.note("shuffled");
                }
            }
            let hours = self.life_hours(&feed) as i64;
            let store = self.feeds.entry(feed.clone()).or_default();
            for (number, part) in records.chunks(self.config.records_per_blob.max(1)).enumerate() {
                // Blobs of one moment differ by a millisecond, so that they have an order.
                let created = Timestamp::from_millisecond(at * 1000 + number as i64).unwrap_or(Timestamp::MAX);
                let expires = time::plus(created, 3_600 * hours);
                let dice = random::fraction(random::hash(self.seed, &format!("{feed:?} {created}")));
                let dies = if feed.content_type().is_some() && dice < self.config.early_expiry_share {
                    expires.min(time::plus(created, self.config.early_expiry_seconds as i64))
                } else {
                    expires
                };
                let rows = part.iter().map(|record| (record.id.as_str(), record.time, record.copy, &*record.record));
                let segment = Segment::new((created, expires, dies), rows, &mut self.packer);
                store.push(segment, part, &self.faults);
            }
        }
    }

    /// How long clients of the feed's own API can read a record.
    fn life_hours(&self, feed: &Feed) -> u64 {
        match kind(feed) {
            Kind::Audit => self.retention.content_hours,
            Kind::Entra => self.retention.entra_days * 24,
            Kind::Other => self.retention.other_days * 24,
        }
    }

    /// Packs what is no longer sent as a blob: months of small portions would need ten times the memory.
    fn pack_old(&mut self) {
        for (feed, store) in &mut self.feeds {
            let kept = match kind(feed) {
                Kind::Audit => 3_600 * self.retention.content_hours as i64 + 2 * STEP_SECONDS,
                _ => 0,
            };
            loop {
                let mut size = 0;
                let old = store.segments[store.packed..]
                    .iter()
                    .take_while(|segment| segment.created.as_second() < self.until - kept)
                    .take_while(|segment| {
                        let more = size < PACK_BYTES;
                        size += segment.size();
                        more
                    })
                    .count();
                if size < PACK_BYTES {
                    break;
                }
                segment::pack(&mut store.segments[store.packed..store.packed + old], &mut self.packer);
                store.packed += old;
                // Bodies are known by their address, which another one may have now.
                self.cache.clear();
            }
        }
    }

    /// Frees what no API can show any more. The ledger's part of it stays.
    fn drop_expired(&mut self) {
        for (feed, store) in &mut self.feeds {
            let hours = match kind(feed) {
                Kind::Audit => self.retention.content_hours.max(self.retention.audit_days * 24),
                Kind::Entra => self.retention.entra_days * 24,
                Kind::Other => self.retention.other_days * 24,
            };
            // A day more than promised: a listing that was answered just before must still be readable.
            let oldest = self.until - 3_600 * (hours as i64 + 24);
            while let Some(segment) = store.segments.get_mut(store.dropped).filter(|s| s.created.as_second() < oldest) {
                segment.drop_records();
                self.cache.clear();
                store.dropped += 1;
            }
        }
    }

    /// The published segments of a feed, the oldest first.
    pub(crate) fn segments(&self, feed: &Feed) -> &[Segment] {
        self.feeds.get(feed).map_or(&[], |store| &store.segments)
    }

    /// The cheap blobs.
    pub(crate) fn bulk(&self) -> &[Bulk] {
        &self.bulk
    }

    /// How much is published: with this number, a later page sees what the first page saw.
    pub(crate) fn snapshot(&self, feed: &Feed) -> usize {
        self.segments(feed).len()
    }

    /// The records of `start <= time < end` among the first `snapshot` segments that are not older than the feed's
    /// search keeps them, in the order of time (then of publication).
    pub(crate) fn places(&self, feed: &Feed, (start, end): (Timestamp, Timestamp), snapshot: usize) -> Vec<Place> {
        let Some(store) = self.feeds.get(feed) else { return Vec::new() };
        let mut found = Vec::new();
        for (index, segment) in store.segments.iter().enumerate().take(snapshot).skip(store.dropped) {
            if segment.last < start || segment.first >= end {
                continue;
            }
            let rows = segment.rows.iter().enumerate().filter(|(_, row)| {
                row.time >= start && row.time < end && row.replaced.is_none_or(|newer| newer >= snapshot)
            });
            found.extend(rows.map(|(row, at)| Place { time: at.time, segment: index, row }));
        }
        found.sort_by_key(|place| (place.time, place.segment, place.row));
        found
    }

    /// A record's bytes; `None` if they are gone.
    pub(crate) fn record(&mut self, feed: &Feed, place: Place) -> Option<String> {
        let segment = self.feeds.get(feed)?.segments.get(place.segment)?;
        let key = segment.key()?;
        let cached = self.cache.iter().find(|(known, _)| *known == key).map(|(_, text)| Arc::clone(text));
        let text = match cached {
            Some(text) => text,
            None => {
                let text = Arc::new(segment.text()?);
                if self.cache.len() >= CACHED {
                    self.cache.pop_front();
                }
                self.cache.push_back((key, Arc::clone(&text)));
                text
            }
        };
        let row = segment.rows.get(place.row)?;
        let start = segment.start() + row.start as usize;
        let bytes = text.get(start..start + row.length as usize)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Everything published so far, each record once.
    pub(crate) fn ledger(&self, mut visit: impl FnMut(Published<'_>)) {
        for (feed, store) in &self.feeds {
            let name = feed_name(feed);
            for segment in &store.segments {
                for row in segment.rows.iter().filter(|row| !row.copy) {
                    visit(Published {
                        feed: name.clone(),
                        id: &row.id,
                        time: row.time,
                        available: segment.created,
                        expires: segment.dies,
                        replaced: row.replaced.map(|newer| store.segments[newer].created),
                    });
                }
            }
        }
        let now = Timestamp::from_second(self.until).unwrap_or(Timestamp::MAX);
        for bulk in &self.bulk {
            bulk.ledger(now, &mut visit);
        }
    }

    /// The attacks that are over.
    pub(crate) fn truth(&self) -> &[Truth] {
        self.world.truth()
    }

    /// The tenant's world.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// The tenant's id.
    pub(crate) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The usual life of a content blob.
    pub(crate) fn content_life(&self) -> SignedDuration {
        SignedDuration::from_hours(self.retention.content_hours as i64)
    }
}

impl Store {
    /// Takes a segment in, and notes what replaces what.
    fn push(&mut self, segment: Segment, records: &[Pending], faults: &Faults) {
        let index = self.segments.len();
        self.segments.push(segment);
        for (row, record) in records.iter().enumerate() {
            match record.version {
                Version::Only => {}
                Version::First => {
                    self.changing.insert(record.id.clone(), (index, row));
                }
                Version::Changed => {
                    faults.note("changed");
                    if let Some((old, row)) = self.changing.remove(&record.id) {
                        self.segments[old].rows[row].replaced = Some(index);
                    }
                }
            }
        }
    }
}
