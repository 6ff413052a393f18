//! A file as a shard: how it is recognised, and what is remembered of it.
//!
//! A file is its device and inode, which survive renaming, and a hash of its first bytes, which tells a new file apart
//! that got the inode of a deleted one. A file that was truncated, or whose first bytes changed, is a new generation:
//! a shard of its own, since positions begin again.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use downspout_core::framing::Resume;

/// How many first bytes are compared. Exports of one kind share their first lines.
const FINGERPRINT_BYTES: u64 = 1024;

/// How many first bytes are part of a shard's name. A first record has that many, so the name does not depend on when
/// the file was first seen.
const NAMED_BYTES: u64 = 64;

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
}

impl Checkpoint {
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Numbers and text: there is nothing in it that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
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
        let checkpoint = Checkpoint { path, id, fingerprint, generation, size, resume: Resume::default(), done: false };
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
pub(super) struct Known(HashMap<FileId, Vec<Shard>>);

impl Known {
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

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Remembers a shard that is no longer read.
    pub(super) fn add(&mut self, shard: Shard) {
        self.0.entry(shard.checkpoint.id).or_default().push(shard);
    }

    /// The shard of a file: one that is known, or a new one.
    pub(super) fn find(&self, file: &File, path: &Path, data: &Metadata) -> io::Result<Shard> {
        let newest =
            self.0.get(&FileId::of(data)).into_iter().flatten().max_by_key(|shard| shard.checkpoint.generation);
        match newest {
            Some(shard) => shard.clone().now(file, path, data),
            None => Shard::new(file, path, data, 0),
        }
    }
}
