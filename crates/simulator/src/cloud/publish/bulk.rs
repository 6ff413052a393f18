//! Blobs that cost little to make, for benches: many, or huge, in the true shape of audit records.

use std::fmt::Write as _;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::Published;
use crate::cloud::random;
use crate::cloud::time;
use crate::config::BulkConfig;

/// How much of a stream is made at once.
const PIECE: usize = 256 << 10;

/// A series of blobs.
#[derive(Debug)]
pub(crate) struct Bulk {
    config: BulkConfig,
    tenant: String,
    seed: u64,
    started: Timestamp,
    records: u64,
    /// The one body of all blobs, if their records need no ids of their own.
    same: Option<Bytes>,
}

impl Bulk {
    pub(crate) fn new(config: &BulkConfig, tenant: &str, started: Timestamp) -> Bulk {
        let seed = random::hash(99, tenant);
        let length = record(seed, tenant, 0, 0, started).len() as u64 + 1;
        let mut bulk = Bulk {
            config: config.clone(),
            tenant: tenant.to_owned(),
            seed,
            started,
            records: (config.blob_bytes / length).max(1),
            same: None,
        };
        if !config.unique {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // Writing into memory cannot fail.
            bulk.pieces(0, |piece| encoder.write_all(piece).is_ok());
            bulk.same = encoder.finish().ok().map(Bytes::from);
        }
        bulk
    }

    /// The content type that the blobs belong to.
    pub(crate) fn content_type(&self) -> &str {
        &self.config.content_type
    }

    /// When a blob became available.
    pub(crate) fn created(&self, blob: u64) -> Timestamp {
        let before = (self.config.blobs - 1).saturating_sub(blob) as f64 * self.config.spacing_seconds;
        let before = SignedDuration::try_from_secs_f64(before).unwrap_or_default();
        self.started.checked_sub(before).unwrap_or(Timestamp::MIN)
    }

    /// When the cloud started, from which all times count.
    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    /// How many blobs there are.
    pub(crate) fn blobs(&self) -> u64 {
        self.config.blobs
    }

    /// How many uncompressed bytes a blob has, nearly.
    pub(crate) fn size(&self) -> u64 {
        self.config.blob_bytes
    }

    /// The ready, compressed body, where all blobs share one.
    pub(crate) fn same(&self) -> Option<Bytes> {
        self.same.clone()
    }

    /// Makes a blob while it is sent; ends when nobody listens any more. Blocks: for a thread of its own.
    pub(crate) fn stream(&self, blob: u64, compressed: bool, out: &mpsc::Sender<Bytes>) {
        if !compressed {
            self.pieces(blob, |piece| out.blocking_send(Bytes::copy_from_slice(piece)).is_ok());
            return;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        self.pieces(blob, |piece| {
            // Writing into memory cannot fail.
            let _ = encoder.write_all(piece);
            let ready = std::mem::take(encoder.get_mut());
            ready.is_empty() || out.blocking_send(Bytes::from(ready)).is_ok()
        });
        if let Ok(rest) = encoder.finish() {
            // Nobody listens: the blob is not wanted any more.
            let _ = out.blocking_send(Bytes::from(rest));
        }
    }

    fn pieces(&self, blob: u64, mut give: impl FnMut(&[u8]) -> bool) {
        let created = self.created(blob);
        let mut piece = Vec::with_capacity(PIECE + 4096);
        piece.push(b'[');
        for index in 0..self.records {
            if index > 0 {
                piece.push(b',');
            }
            piece.extend_from_slice(record(self.seed, &self.tenant, blob, index, created).as_bytes());
            if piece.len() >= PIECE {
                if !give(&piece) {
                    return;
                }
                piece.clear();
            }
        }
        piece.push(b']');
        give(&piece);
    }

    /// The records of the blobs that are available. Those of equal blobs are counted once.
    pub(crate) fn ledger(&self, now: Timestamp, visit: &mut impl FnMut(Published<'_>)) {
        let blobs = if self.config.unique { self.config.blobs } else { self.config.blobs.min(1) };
        for blob in (0..blobs).filter(|blob| self.created(*blob) <= now) {
            let created = self.created(blob);
            for index in 0..self.records {
                visit(Published {
                    feed: self.config.content_type.clone(),
                    id: &id(self.seed, blob, index),
                    time: created,
                    available: created,
                    expires: time::plus(created, 7 * 86_400),
                    replaced: None,
                });
            }
        }
    }
}

fn id(seed: u64, blob: u64, index: u64) -> String {
    let high = random::mix(seed ^ random::mix(blob));
    format!("{:08x}-{:04x}-4{:03x}-8000-{index:012x}", high >> 32, (high >> 16) & 0xffff, high & 0xfff)
}

/// One record: a file that somebody opened.
fn record(seed: u64, tenant: &str, blob: u64, index: u64, time: Timestamp) -> String {
    let dice = random::mix(seed ^ random::mix((blob << 24) ^ index));
    let (user, file, site) = (dice % 500, (dice >> 16) % 100_000, (dice >> 40) % 40);
    let when = time::plus(time, -((dice >> 48) as i64 % 900)).strftime("%Y-%m-%dT%H:%M:%S");
    let id = id(seed, blob, index);
    let (address, key) = (dice % 250 + 1, random::mix(user));
    let address = format!("203.0.113.{address}");
    let (session, token) = (random::mix(key), random::mix(dice));
    let mut text = String::with_capacity(1_700);
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        r#"{{"AppAccessContext":{{"AADSessionId":"{session:016x}","CorrelationId":"{id}","UniqueTokenId":"{token:016x}"}},"#
    );
    let _ = write!(
        text,
        r#""CreationTime":"{when}","Id":"{id}","Operation":"FileAccessed","OrganizationId":"{tenant}","RecordType":6,"#
    );
    let _ = write!(
        text,
        r#""UserKey":"i:0h.f|membership|{key:016x}@live.com","UserType":0,"Version":1,"Workload":"SharePoint","#
    );
    let _ = write!(
        text,
        r#""ClientIP":"{address}","UserId":"user{user}@contoso.example","CorrelationId":"{id}","EventSource":"SharePoint","#
    );
    let _ = write!(
        text,
        r#""ItemType":"File","ListId":"0f2a8b1c-7777-4d4e-9c1f-{site:012x}","ListItemUniqueId":"{id}","Site":"5c2b1a00-1111-4222-8333-{site:012x}","#
    );
    let _ = write!(
        text,
        r#""UserAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0","#
    );
    let _ = write!(
        text,
        r#""WebId":"d0c0ffee-2222-4333-8444-{site:012x}","HighPriorityMediaProcessing":false,"SourceFileExtension":"docx","#
    );
    let _ = write!(
        text,
        r#""SiteUrl":"https://contoso.sharepoint.example/sites/team{site}/","SourceFileName":"Report {file}.docx","#
    );
    let _ =
        write!(text, r#""SourceRelativeUrl":"Shared Documents/Reports/{site}","ApplicationDisplayName":"SharePoint","#);
    let _ = write!(
        text,
        r#""ObjectId":"https://contoso.sharepoint.example/sites/team{site}/Shared Documents/Reports/{site}/Report {file}.docx"}}"#
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn config(unique: bool) -> BulkConfig {
        BulkConfig { blobs: 3, blob_bytes: 100_000, unique, ..BulkConfig::default() }
    }

    fn body(bulk: &Bulk, blob: u64) -> Vec<serde_json::Value> {
        let mut text = Vec::new();
        bulk.pieces(blob, |piece| {
            text.extend_from_slice(piece);
            true
        });
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn blobs_have_their_size_and_their_own_ids() {
        let started: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let bulk = Bulk::new(&config(true), "t", started);
        let ids: HashSet<String> =
            (0..3).flat_map(|blob| body(&bulk, blob)).map(|record| record["Id"].as_str().unwrap().to_owned()).collect();
        let mut ledger = HashSet::new();
        bulk.ledger(started, &mut |line: Published<'_>| assert!(ledger.insert(line.id.to_owned())));
        assert_eq!(ids, ledger);
        assert!((60..90).contains(&(ids.len() / 3)), "{} records of about 1.3 KB in 100 KB", ids.len() / 3);
        assert_eq!(bulk.created(2), started);
        assert_eq!(bulk.created(0).to_string(), "2026-01-04T23:58:00Z");
    }

    #[test]
    fn equal_blobs_are_compressed_once() {
        let bulk = Bulk::new(&config(false), "t", "2026-01-05T00:00:00Z".parse().unwrap());
        let text = crate::cloud::http::gunzip(&bulk.same().unwrap()).unwrap();
        assert!(serde_json::from_slice::<serde_json::Value>(&text).unwrap().is_array());
    }
}
