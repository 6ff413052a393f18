//! The embedded transactional store under `data_dir`: checkpoints, commits of sinks, state of transforms.
//!
//! One table of byte keys and byte values, redb beneath. Keys are lists of parts (`checkpoint`, source, shard), so
//! that everything about a shard can be listed, exported and dropped by prefix. A list of writes is applied in one
//! transaction: after a crash either all of them are there or none. redb locks its file, which is what refuses a
//! second process on the same folder.

mod unfinished;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};
use thiserror::Error;

const STATE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("state");

/// The name of the store's file in `data_dir`.
pub const FILE_NAME: &str = "state.redb";

/// Memory for the store's pages. The state of a large tenant is some megabytes; the rest is cache.
const CACHE_BYTES: usize = 8 << 20;

/// Why the store cannot do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process holds the store.
    #[error("another downspout process is using the data_dir {0}: stop it, or give this one a data_dir of its own")]
    InUse(PathBuf),
    /// The folder or file cannot be made or opened.
    #[error("cannot open the store {path}: {reason}; check that the folder exists, is writable and has room")]
    Open {
        /// The store's file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Reading or writing failed. The file takes no further writes before it is opened again.
    #[error(
        "the store {path} failed: {reason}; make room on its disk, or see to its health, and start again: what was \
         stored is whole, and sources read again what was not delivered"
    )]
    Failed {
        /// The store's file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// One change of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key, as [`key`] makes it.
    pub key: Vec<u8>,
    /// The new value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Sets a key.
    pub fn set(key: Vec<u8>, value: impl Into<Vec<u8>>) -> Write {
        Write { key, value: Some(value.into()) }
    }

    /// Removes a key.
    pub fn remove(key: Vec<u8>) -> Write {
        Write { key, value: None }
    }
}

/// A key and its value.
pub type Item = (Vec<u8>, Vec<u8>);

/// A key of several parts. Each part stands behind its length, so no part can pretend to be two.
pub fn key(parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        key.extend_from_slice(&(part.len() as u32).to_be_bytes());
        key.extend_from_slice(part);
    }
    key
}

/// The last part of a key.
pub fn last_part(key: &[u8]) -> &[u8] {
    let mut rest = key;
    let mut last = rest;
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let len = (u32::from_be_bytes(*len) as usize).min(tail.len());
        last = &tail[..len];
        rest = &tail[len..];
    }
    last
}

/// The open store of a pipeline.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens the store in `data_dir`, making folder and file where there are none.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it open, [`StoreError::Open`] if it cannot be opened.
    pub fn open(data_dir: &Path) -> Result<Store, StoreError> {
        let path = data_dir.join(FILE_NAME);
        let open_error = |reason: String| StoreError::Open { path: path.clone(), reason };
        std::fs::create_dir_all(data_dir).map_err(|error| open_error(error.to_string()))?;
        let create = || Database::builder().set_cache_size(CACHE_BYTES).create(&path);
        let created = match create() {
            Err(DatabaseError::Storage(_)) if unfinished::empty(&path).unwrap_or(false) => create(),
            other => other,
        };
        let database = created.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(data_dir.to_owned()),
            other => open_error(other.to_string()),
        })?;
        let store = Store { database, path };
        // Makes the table, so that reads need not ask whether it is there.
        store.write_all(&[])?;
        Ok(store)
    }

    /// The folder that the store lies in: `data_dir`.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the file cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(STATE)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        };
        read().map_err(|error| self.failed(&error))
    }

    /// All keys that begin with `prefix` and their values, in the order of the keys.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the file cannot be read.
    pub fn list(&self, prefix: &[u8]) -> Result<Vec<Item>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(STATE)?;
            let mut found = Vec::new();
            for item in table.range(prefix..)? {
                let (key, value) = item?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                found.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(found)
        };
        read().map_err(|error| self.failed(&error))
    }

    /// Shows the entries whose keys begin with `prefix` and are not below `from`, in the order of the keys, until
    /// `visit` breaks off. Nothing is collected, so this is the way to walk what may be large.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the file cannot be read.
    pub fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut read = || -> Result<(), redb::Error> {
            let table = self.database.begin_read()?.open_table(STATE)?;
            for item in table.range(prefix.max(from)..)? {
                let (key, value) = item?;
                if !key.value().starts_with(prefix) || visit(key.value(), value.value()).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|error| self.failed(&error))
    }

    /// The last entry whose key is not above `key` and begins with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the file cannot be read.
    pub fn floor(&self, prefix: &[u8], key: &[u8]) -> Result<Option<Item>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(STATE)?;
            let Some(item) = table.range(prefix..=key)?.next_back() else { return Ok(None) };
            let (key, value) = item?;
            Ok(key.value().starts_with(prefix).then(|| (key.value().to_vec(), value.value().to_vec())))
        };
        read().map_err(|error| self.failed(&error))
    }

    /// Applies all writes in one durable transaction.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if it could not be made durable; then none of them is applied.
    pub fn write_all(&self, writes: &[Write]) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(STATE)?;
                for write in writes {
                    match &write.value {
                        Some(value) => table.insert(&*write.key, &**value)?,
                        None => table.remove(&*write.key)?,
                    };
                }
            }
            crate::failpoint::hit(crate::failpoint::Point::BeforeStoreCommit);
            transaction.commit()?;
            crate::failpoint::hit(crate::failpoint::Point::AfterStoreCommit);
            Ok(())
        };
        write().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &redb::Error) -> StoreError {
        StoreError::Failed { path: self.path.clone(), reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_survive_reopening_and_prefixes_list_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let parts = |shard: &str| key(&[b"checkpoint", b"m365", shard.as_bytes()]);
        {
            let store = Store::open(dir.path()).unwrap();
            store
                .write_all(&[Write::set(parts("b"), "2"), Write::set(parts("a"), "1"), Write::set(key(&[b"x"]), "3")])
                .unwrap();
            store.write_all(&[Write::set(parts("c"), "4"), Write::remove(parts("b"))]).unwrap();
        }
        let store = Store::open(dir.path()).unwrap();
        let found = store.list(&key(&[b"checkpoint", b"m365"])).unwrap();
        let shards: Vec<_> = found.iter().map(|(key, value)| (last_part(key), value.as_slice())).collect();
        assert_eq!(shards, [(b"a".as_slice(), b"1".as_slice()), (b"c", b"4")]);
        assert_eq!(store.get(&key(&[b"x"])).unwrap().unwrap(), b"3");
        assert_eq!(store.get(&parts("b")).unwrap(), None);
    }

    #[test]
    fn a_second_opener_is_refused_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Store::open(dir.path()).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::InUse(_)));
        assert!(error.to_string().contains("stop it, or give this one a data_dir of its own"));
    }

    #[test]
    fn a_scan_stays_inside_its_prefix_and_ends_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let keys = ["a9", "b1", "b2", "b3", "c1"];
        store.write_all(&keys.map(|key| Write::set(key.as_bytes().to_vec(), "x"))).unwrap();
        let seen = |prefix: &str, from: &str, limit: usize| {
            let mut seen = Vec::new();
            let visit = |key: &[u8], _: &[u8]| {
                seen.push(String::from_utf8(key.to_vec()).unwrap());
                if seen.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            store.scan(prefix.as_bytes(), from.as_bytes(), visit).unwrap();
            seen
        };
        assert_eq!(seen("b", "", 9), ["b1", "b2", "b3"]);
        assert_eq!(seen("b", "b2", 9), ["b2", "b3"]);
        assert_eq!(seen("b", "", 2), ["b1", "b2"]);
        assert_eq!(seen("b", "c", 9), [""; 0]);
    }

    #[test]
    fn floor_stays_inside_its_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.write_all(&[Write::set(b"a5".to_vec(), "1"), Write::set(b"b5".to_vec(), "2")]).unwrap();
        assert_eq!(store.floor(b"b", b"b7").unwrap().unwrap().1, b"2");
        assert_eq!(store.floor(b"b", b"b4").unwrap(), None);
    }
}
