//! Blocks of memory that texts are read into, used again when nobody looks at them any more.
//!
//! A block goes through the whole pipeline with the records that stand in it, and comes back when the last of them has
//! arrived, from whatever thread that happens on. Blocks are wiped when they are made and never again.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How much memory waits to be used again.
const KEPT_BYTES: usize = 32 << 20;

/// Blocks that wait to be used again.
#[derive(Debug, Default)]
pub(super) struct Blocks(Mutex<Vec<Vec<u8>>>);

/// A block in use.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    home: Weak<Blocks>,
}

impl Blocks {
    /// A block of `len` bytes, whatever they are.
    pub(super) fn get(blocks: &Arc<Blocks>, len: usize) -> Block {
        let waiting = blocks.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = waiting.filter(|bytes| bytes.len() == len).unwrap_or_else(|| vec![0; len]);
        Block { bytes, home: Arc::downgrade(blocks) }
    }
}

impl Block {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        let mut waiting = home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if (waiting.len() + 1) * self.bytes.len() <= KEPT_BYTES {
            waiting.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_are_bounded() {
        let blocks = Arc::new(Blocks::default());
        let mut block = Blocks::get(&blocks, 4);
        block.bytes_mut().copy_from_slice(b"used");
        drop(block);
        let (again, fresh) = (Blocks::get(&blocks, 4), Blocks::get(&blocks, 4));
        assert_eq!((again.bytes(), fresh.bytes()), (&b"used"[..], &[0; 4][..]));
        drop(Blocks::get(&blocks, 1 << 20));
        let many: Vec<Block> = (0..64).map(|_| Blocks::get(&blocks, 1 << 20)).collect();
        drop(many);
        assert_eq!(blocks.0.lock().unwrap().len(), 32);
    }
}
