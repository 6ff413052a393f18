//! The records as received. Their bytes stand in the blocks that the source read them into.
//!
//! Blocks are most of a commit's memory, and a source reads on while a commit is written. So a block goes back to its
//! source when its last record has been read, and not only when the commit is over.

use std::sync::{Mutex, PoisonError};

use bytestring::ByteString;
use downspout_core::{Batch, EventRef};

/// The column.
#[derive(Debug, Default)]
pub(in crate::parquet) struct Raws {
    blocks: Mutex<Blocks>,
    bytes: usize,
    /// Each row's block, start and length.
    places: Vec<(u32, u32, u32)>,
}

#[derive(Debug, Default)]
struct Blocks {
    texts: Vec<ByteString>,
    /// How many readers have not begun.
    readers: usize,
}

/// Some rows' records, each to be read once.
#[derive(Debug)]
pub(in crate::parquet) struct Records<'r> {
    places: &'r [(u32, u32, u32)],
    /// Each block with the number of its records that were not read.
    blocks: Vec<(ByteString, u32)>,
}

impl Raws {
    /// Whoever died with the lock left them whole: they are counted and taken in one step.
    fn blocks(&mut self) -> &mut Blocks {
        self.blocks.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the records of a batch.
    pub(super) fn begin(&mut self, batch: &Batch) {
        self.blocks().texts.push(batch.text().clone());
        self.bytes += batch.text().len();
    }

    #[inline]
    pub(super) fn push(&mut self, event: EventRef<'_>) {
        let (block, (start, len)) = (self.blocks().texts.len() as u32 - 1, event.place());
        self.places.push((block, start, len));
    }

    pub(super) fn clear(&mut self) {
        *self.blocks() = Blocks::default();
        self.bytes = 0;
        self.places.clear();
    }

    /// About how much memory they took when all of them were there.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + size_of_val(self.places.as_slice())
    }

    /// So many times [`Raws::records`] will be called, and each row asked for once in all.
    pub(in crate::parquet) fn expect(&mut self, readers: usize) {
        self.blocks().readers = readers;
    }

    /// The records of these rows.
    pub(in crate::parquet) fn records(&self, rows: &[u32]) -> Records<'_> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.readers = blocks.readers.saturating_sub(1);
        let texts = if blocks.readers == 0 { std::mem::take(&mut blocks.texts) } else { blocks.texts.clone() };
        drop(blocks);
        let mut blocks: Vec<(ByteString, u32)> = texts.into_iter().map(|text| (text, 0)).collect();
        for row in rows {
            blocks[self.places[*row as usize].0 as usize].1 += 1;
        }
        for (text, left) in &mut blocks {
            if *left == 0 {
                *text = ByteString::new();
            }
        }
        Records { places: &self.places, blocks }
    }
}

impl Records<'_> {
    /// Shows the record of a row.
    pub(in crate::parquet) fn read<T>(&mut self, row: u32, show: impl FnOnce(&[u8]) -> T) -> T {
        let (block, start, len) = self.places[row as usize];
        let (text, left) = &mut self.blocks[block as usize];
        let shown = show(&text.as_bytes()[start as usize..(start + len) as usize]);
        *left -= 1;
        if *left == 0 {
            *text = ByteString::new();
        }
        shown
    }
}
