//! Whether a file has changed.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// What changes when a file is written anew or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Stamp {
    /// The stamp of the file that a path leads to. `None` if there is none.
    pub(super) fn of_path(path: &Path) -> Option<Stamp> {
        Some(Stamp::new(&std::fs::metadata(path).ok()?))
    }

    /// The stamp of an open file.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(super) fn of_file(file: &File) -> io::Result<Stamp> {
        Ok(Stamp::new(&file.metadata()?))
    }

    fn new(metadata: &Metadata) -> Stamp {
        Stamp { modified: metadata.modified().ok(), len: metadata.len(), inode: inode(metadata) }
    }

    /// How many bytes the file has.
    pub(super) fn len(self) -> u64 {
        self.len
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}
