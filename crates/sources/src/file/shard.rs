//! A file as a shard: how it is recognised, and what is remembered of it.
//!
//! A file is its device and inode, which survive renaming, and a hash of its first bytes, which tells a new file apart
//! that got the inode of a deleted one. A file that was truncated, or whose first bytes changed, is a new generation:
//! a shard of its own, since positions begin again.
//!
//! Files come and go, and what is remembered of them must not grow for ever. So it is noted since when a file is gone,
//! and after [`KEPT`] it is forgotten. Sinks that deliver exactly once know shards by name for longer than that: generations
//! begin above all that were forgotten, so that no file gets the name of another.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use downspout_core::Store;
use downspout_core::framing::Resume;
use downspout_core::stage::checkpoint_key;
use downspout_core::store::{StoreError, Write, key};
use serde::{Deserialize, Serialize};

/// How many first bytes are compared. Exports of one kind share their first lines.
const FINGERPRINT_BYTES: u64 = 1024;

/// How many first bytes are part of a shard's name. A first record has that many, so the name does not depend on when
/// the file was first seen.
const NAMED_BYTES: u64 = 64;

/// For how long a file that is gone is remembered, in seconds: its disk may be away for a while.
pub(super) const KEPT: u64 = 30 * 24 * 3600;

/// Which file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    pub(super) fn of(data: &Metadata) -> FileId {
        FileId { dev: data.dev(), ino: data.ino() }
    }
}

/// The hash of a file's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    len: u64,
    hash: u64,
}

impl Fingerprint {
    fn read(file: &File, len: u64) -> io::Result<Fingerprint> {
        let mut head = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let mut read = 0;
        while read < head.len() {
            match file.read_at(&mut head[read..], read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        head.truncate(read);
        Ok(Fingerprint { len: read as u64, hash: fnv1a(&head) })
    }

    fn fits(self, file: &File) -> io::Result<bool> {
        Ok(Fingerprint::read(file, self.len)? == self)
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): stable over versions of everything, and no secret.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What the store remembers of a file: the format of this source's checkpoints, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Its name when it was last read.
    path: String,
    id: FileId,
    fingerprint: Fingerprint,
    generation: u64,
    /// Its size when it was last opened or read to the end, in bytes on the disk.
    pub(super) size: u64,
    /// Where to read on.
    pub(super) resume: Resume,
    /// Whether it was read to its end, up to `size`.
    pub(super) done: bool,
    /// Since when the file is gone, in seconds since 1970; none if it was there when that was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<u64>,
}

impl Checkpoint {
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Numbers and text: there is nothing in it that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether the file is where it was. In doubt (a folder that may not be read) it is.
    fn is_in_place(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(data) => FileId::of(&data) == self.id,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

/// A file's shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) name: String,
    pub(super) checkpoint: Checkpoint,
}

impl Shard {
    fn new(file: &File, path: &Path, data: &Metadata, generation: u64) -> io::Result<Shard> {
        let path = path.to_string_lossy().into_owned();
        let id = FileId::of(data);
        let size = data.len();
        let hash = Fingerprint::read(file, size.min(NAMED_BYTES))?.hash;
        let name = format!("{path}@{:x}.{:x}.{hash:016x}.{generation}", id.dev, id.ino);
        let fingerprint = Fingerprint::read(file, size.min(FINGERPRINT_BYTES))?;
        let (resume, done, gone) = (Resume::default(), false, None);
        let checkpoint = Checkpoint { path, id, fingerprint, generation, size, resume, done, gone };
        Ok(Shard { name, checkpoint })
    }

    /// The shard to go on with, now that the file looks like that: this one, or the next generation.
    fn now(mut self, file: &File, path: &Path, data: &Metadata) -> io::Result<Shard> {
        let known = &mut self.checkpoint;
        if data.len() < known.size || !known.fingerprint.fits(file)? {
            return Shard::new(file, path, data, known.generation + 1);
        }
        known.path = path.to_string_lossy().into_owned();
        known.done &= known.size == data.len();
        known.gone = None;
        known.size = data.len();
        known.fingerprint = Fingerprint::read(file, data.len().min(FINGERPRINT_BYTES))?;
        Ok(self)
    }

    /// Looks at the file again; whether it is another generation now.
    pub(super) fn look(&mut self, file: &File, path: &Path, data: &Metadata) -> io::Result<bool> {
        let now = self.clone().now(file, path, data)?;
        let other = now.name != self.name;
        *self = now;
        Ok(other)
    }
}

/// The shards that the store knows, by file.
#[derive(Debug, Default)]
pub(super) struct Known {
    shards: HashMap<FileId, Vec<Shard>>,
    /// The first generation of a file that is not known: above those of all that were forgotten.
    first_generation: u64,
}

impl Known {
    /// What the store knows of a source, as [`Known::new`]. `listed`: the files that are there.
    ///
    /// It is noted which files are gone, and what is gone for long is forgotten. To be called before anything is sent: what
    /// is under way would overwrite it.
    pub(super) fn load(
        store: &Store,
        source: &str,
        checkpoints: Vec<(String, Vec<u8>)>,
        listed: &HashSet<FileId>,
        now: u64,
    ) -> Result<Known, StoreError> {
        let mut known = Known::new(checkpoints);
        let first = store.get(&generation_key(source))?.and_then(|bytes| bytes.try_into().ok());
        known.first_generation = first.map_or(0, u64::from_be_bytes);
        let marks = known.mark(source, listed, now);
        store.write_all(&marks)?;
        known.forget(store, source, |_| false, now)?;
        Ok(known)
    }

    /// From the checkpoints of a source, by shard. What cannot be read (of a version to come) counts as unknown.
    pub(super) fn new(checkpoints: Vec<(String, Vec<u8>)>) -> Known {
        let mut known = Known::default();
        for (name, json) in checkpoints {
            match serde_json::from_slice(&json) {
                Ok(checkpoint) => known.add(Shard { name, checkpoint }),
                Err(error) => {
                    tracing::warn!("the checkpoint of {name} cannot be read, so the file is read again: {error}")
                }
            }
        }
        known
    }

    /// Whether there never was a file.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty() && self.first_generation == 0
    }

    /// Remembers a shard that is no longer read.
    pub(super) fn add(&mut self, shard: Shard) {
        self.shards.entry(shard.checkpoint.id).or_default().push(shard);
    }

    /// Notes which files are gone, and which are back. Gives the checkpoints that say something else then.
    fn mark(&mut self, source: &str, listed: &HashSet<FileId>, now: u64) -> Vec<Write> {
        let mut writes = Vec::new();
        for shard in self.shards.values_mut().flatten() {
            let there = listed.contains(&shard.checkpoint.id) || shard.checkpoint.is_in_place();
            if there == shard.checkpoint.gone.is_some() {
                shard.checkpoint.gone = (!there).then_some(now);
                writes.push(Write::set(checkpoint_key(source, &shard.name), shard.checkpoint.to_json()));
            }
        }
        writes
    }

    /// Forgets files that are gone for longer than [`KEPT`], save those that are `followed`.
    pub(super) fn forget(
        &mut self,
        store: &Store,
        source: &str,
        followed: impl Fn(&FileId) -> bool,
        now: u64,
    ) -> Result<(), StoreError> {
        let expired = |shard: &Shard| shard.checkpoint.gone.is_some_and(|since| now.saturating_sub(since) > KEPT);
        // All generations of a file go together, so that none comes again.
        let forgotten: Vec<FileId> = self
            .shards
            .iter()
            .filter(|(id, shards)| shards.iter().all(expired) && !followed(id))
            .map(|(id, _)| *id)
            .collect();
        let gone: Vec<Shard> = forgotten.iter().filter_map(|id| self.shards.remove(id)).flatten().collect();
        let Some(last) = gone.iter().map(|shard| shard.checkpoint.generation).max() else { return Ok(()) };
        self.first_generation = self.first_generation.max(last + 1);
        let mut writes: Vec<Write> =
            gone.iter().map(|shard| Write::remove(checkpoint_key(source, &shard.name))).collect();
        writes.push(Write::set(generation_key(source), self.first_generation.to_be_bytes()));
        store.write_all(&writes)
    }

    /// The shard of a file: one that is known, or a new one.
    pub(super) fn find(&self, file: &File, path: &Path, data: &Metadata) -> io::Result<Shard> {
        let newest =
            self.shards.get(&FileId::of(data)).into_iter().flatten().max_by_key(|shard| shard.checkpoint.generation);
        match newest {
            Some(shard) => shard.clone().now(file, path, data),
            None => Shard::new(file, path, data, self.first_generation),
        }
    }
}

/// The store's key of the first generation of files that a source does not know.
fn generation_key(source: &str) -> Vec<u8> {
    key(&[b"file-generation", source.as_bytes()])
}
