//! Memory that is kept from commit to commit.
//!
//! A commit needs about as much as the one before. Fresh memory is dear: the system wipes each page of it at its first
//! use, which takes longer than filling it does, and what lies free at the end of a heap goes back to the system.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::group::Tools;
use crate::parquet::collect::Columns;

/// A larger chunk or file is not kept.
const KEPT_BYTES: usize = 16 << 20;

/// Columns that took more memory are not kept, nor are the tools that have worked on them.
const KEPT_COLUMN_BYTES: usize = 64 << 20;

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Memory {
    tools: Mutex<Vec<Tools>>,
    columns: Mutex<Option<Box<Columns>>>,
    /// The last chunk's bytes, by leaf: chunks of a column resemble each other in size.
    chunks: Mutex<Vec<Vec<u8>>>,
    file: Mutex<Vec<u8>>,
}

impl Memory {
    /// A worker's tools, if there are any that none uses.
    pub(super) fn tools(&self) -> Option<Tools> {
        lock(&self.tools).pop()
    }

    pub(super) fn keep_tools(&self, tools: Tools, used_on: &Columns) {
        if used_on.bytes() <= KEPT_COLUMN_BYTES {
            lock(&self.tools).push(tools);
        }
    }

    /// Columns without rows.
    pub(super) fn columns(&self) -> Option<Box<Columns>> {
        lock(&self.columns).take()
    }

    pub(super) fn keep_columns(&self, mut columns: Box<Columns>) {
        if columns.bytes() <= KEPT_COLUMN_BYTES {
            columns.clear();
            *lock(&self.columns) = Some(columns);
        }
    }

    /// Empty memory for a chunk of a leaf.
    pub(super) fn chunk(&self, leaf: usize) -> Vec<u8> {
        lock(&self.chunks).get_mut(leaf).map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn keep_chunk(&self, leaf: usize, mut bytes: Vec<u8>) {
        if bytes.capacity() <= KEPT_BYTES {
            bytes.clear();
            let mut chunks = lock(&self.chunks);
            if chunks.len() <= leaf {
                chunks.resize_with(leaf + 1, Vec::new);
            }
            chunks[leaf] = bytes;
        }
    }

    /// Empty memory for a file.
    pub(super) fn file(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.file))
    }

    pub(super) fn keep_file(&self, mut bytes: Vec<u8>) {
        if bytes.capacity() <= KEPT_BYTES {
            bytes.clear();
            *lock(&self.file) = bytes;
        }
    }
}

/// Whoever died with the lock left it whole: all of it is taken and put in one step.
fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
