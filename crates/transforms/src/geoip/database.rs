//! One MMDB file in memory.
//!
//! Read, not mapped: a mapped file that somebody truncates kills the process. The usual files have 8 to 70 MB.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};

use super::record::{Location, Record};

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 30;
/// How many records are looked at to tell whether a file is of any use.
const SAMPLE: usize = 1_000;
const WHERE_FROM: &str = "use a City, Country or ASN database in MMDB format, such as MaxMind GeoLite2, DB-IP Lite, IPinfo Lite or those of ip-location-db";

/// What changes when a file is written anew or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

/// The stamp of a file. `None` if there is none.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), len: metadata.len(), inode: inode(&metadata) })
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    path: PathBuf,
    /// Whether it was told that the file is damaged.
    told: AtomicBool,
}

impl Database {
    /// Reads a file and checks that its records can be used.
    ///
    /// # Errors
    /// What is wrong, with which file, and what to do.
    pub(super) fn open(path: &Path) -> Result<Database, String> {
        let shown = path.display();
        let unreadable = |error| format!("cannot read the location database {shown}: {error}; {WHERE_FROM}");
        let len = std::fs::metadata(path).map_err(unreadable)?.len();
        if len > MAX_BYTES {
            return Err(format!("the location database {shown} has {len} bytes; at most {MAX_BYTES} are read"));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let reader = Reader::from_source(bytes)
            .map_err(|error| format!("{shown} is not a location database in MMDB format ({error}); {WHERE_FROM}"))?;
        let database = Database { reader, path: path.to_owned(), told: AtomicBool::new(false) };
        match database.is_useful() {
            Ok(true) => Ok(database),
            Ok(false) => {
                let kind = &database.reader.metadata().database_type;
                Err(format!(
                    "the records of {shown}, a database of type `{kind}`, name no country, city, position or AS; {WHERE_FROM}"
                ))
            }
            Err(error) => Err(format!("the location database {shown} is damaged ({error}); fetch it again")),
        }
    }

    fn is_useful(&self) -> Result<bool, MaxMindDbError> {
        for network in self.reader.networks(WithinOptions::default())?.take(SAMPLE) {
            if network?.decode::<Record>()?.is_some_and(|record| !record.into_location().is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where an address is. `None` if the database does not say.
    ///
    /// # Errors
    /// If the file is damaged at that place. That is logged once for a file.
    pub(super) fn locate(&self, address: IpAddr) -> Result<Option<Location>, Damaged> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        match self.reader.lookup(address).and_then(|found| found.decode::<Record>()) {
            Ok(record) => Ok(record.map(Record::into_location)),
            Err(error) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the location database {} is damaged ({error}); fetch it again",
                        self.path.display()
                    );
                }
                Err(Damaged)
            }
        }
    }
}

/// A database has no readable record where one should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Damaged;

/// A file and the database read from it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    /// As it was before reading, so that a change while reading is noticed later.
    pub(super) stamp: Option<Stamp>,
    pub(super) database: Arc<Database>,
}

impl Loaded {
    pub(super) fn open(path: PathBuf) -> Result<Loaded, String> {
        let stamp = stamp(&path);
        let database = Arc::new(Database::open(&path)?);
        Ok(Loaded { path, stamp, database })
    }
}
