//! One MMDB file, and whether it is of any use.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use super::mmdb::Mmdb;
use super::pages::Pages;
use super::record::{Location, Record};
use super::stamp::Stamp;

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 30;
/// How many records are looked at to tell whether a file is of any use.
const SAMPLE: usize = 1_000;
const WHERE_FROM: &str = "use a City, Country or ASN database in MMDB format, such as MaxMind GeoLite2, DB-IP Lite, IPinfo Lite or those of ip-location-db";

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    /// Held for one lookup. Workers seldom meet here: each remembers its answers.
    reader: Mutex<Mmdb>,
    path: PathBuf,
    /// Whether it was told that the file is damaged.
    told: AtomicBool,
}

impl Database {
    /// Opens a file, and checks that its records can be used.
    ///
    /// # Errors
    /// What is wrong, with which file, and what to do.
    pub(super) fn open(path: &Path) -> Result<Database, String> {
        let shown = path.display();
        let unreadable = |error| format!("cannot read the location database {shown}: {error}; {WHERE_FROM}");
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        let len = metadata.len();
        if len > MAX_BYTES {
            return Err(format!("the location database {shown} has {len} bytes; at most {MAX_BYTES} are read"));
        }
        let pages = File::open(path).and_then(Pages::of).map_err(unreadable)?;
        let mut reader = Mmdb::open(pages)
            .map_err(|error| format!("{shown} is not a location database in MMDB format ({error}); {WHERE_FROM}"))?;
        match is_useful(&mut reader) {
            Ok(true) => {
                Ok(Database { reader: Mutex::new(reader), path: path.to_owned(), told: AtomicBool::new(false) })
            }
            Ok(false) => Err(format!(
                "the records of {shown}, a database of type `{}`, name no country, city, position or AS; {WHERE_FROM}",
                reader.kind()
            )),
            Err(error) => Err(format!("the location database {shown} is damaged ({error}); fetch it again")),
        }
    }

    /// Goes on with a copy in `folder`, which nobody else can change. Does nothing if there is one already.
    ///
    /// # Errors
    /// What is wrong, with which file, and what to do.
    pub(super) fn settle(&self, folder: &Path) -> Result<(), String> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.settle(folder).map_err(|error| {
            let (shown, folder) = (self.path.display(), folder.display());
            format!("cannot copy the location database {shown} into {folder}: {error}; it is tried again, and until then the file must not be overwritten in place; if there is no room, make some, or move `data_dir`")
        })
    }

    /// Where an address is. `None` if the database does not say.
    ///
    /// # Errors
    /// If the file is damaged at that place. That is logged once for a file.
    pub(super) fn locate(&self, address: IpAddr) -> Result<Option<Location>, Damaged> {
        let found = self.reader.lock().unwrap_or_else(PoisonError::into_inner).lookup(address);
        match found.and_then(|record| record.map(|record| Ok(Record::deserialize(&record)?)).transpose()) {
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

fn is_useful(reader: &mut Mmdb) -> io::Result<bool> {
    for record in reader.records().take(SAMPLE) {
        if !Record::deserialize(&record?)?.into_location().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A database has no readable record where one should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Damaged;

/// A file and the database read from it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    /// As it was before it was opened, so that a change meanwhile is noticed later.
    pub(super) stamp: Option<Stamp>,
    pub(super) database: Arc<Database>,
}

impl Loaded {
    pub(super) fn open(path: PathBuf) -> Result<Loaded, String> {
        let stamp = Stamp::of_path(&path);
        let database = Arc::new(Database::open(&path)?);
        Ok(Loaded { path, stamp, database })
    }
}
