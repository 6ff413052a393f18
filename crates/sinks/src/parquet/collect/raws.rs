//! The records as received. Their bytes stand in the blocks that the source read them into.
//!
//! Blocks are most of a commit's memory, and a source reads on while a commit is written. So a block goes back to its
//! source when its last record has been read, and not only when the commit is over.

use std::sync::{Arc, Mutex, PoisonError};

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
    texts: Arc<Vec<ByteString>>,
    /// How many readers have not begun.
    readers: usize,
}

/// Some rows' records, each to be read once.
#[derive(Debug)]
pub(in crate::parquet) struct Records<'r> {
    places: &'r [(u32, u32, u32)],
    blocks: Held,
}

#[derive(Debug)]
enum Held {
    /// Others read too.
    Shared(Arc<Vec<ByteString>>),
    /// Each block with the number of its records that were not read.
    Alone(Vec<(ByteString, u32)>),
}

impl Raws {
    /// Whoever died with the lock left them whole: they are counted and taken in one step.
    fn blocks(&mut self) -> &mut Blocks {
        self.blocks.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the records of a batch.
    pub(super) fn begin(&mut self, batch: &Batch) {
        // Nobody reads while rows come, so this never copies.
        Arc::make_mut(&mut self.blocks().texts).push(batch.text().clone());
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

    /// The rows are complete, and [`Raws::records`] will be called so many times.
    pub(in crate::parquet) fn divide(&mut self, readers: usize) {
        self.blocks().readers = readers;
    }

    /// The records of these rows, of which each is among those of one reader only.
    pub(in crate::parquet) fn records(&self, rows: &[u32]) -> Records<'_> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.readers = blocks.readers.saturating_sub(1);
        let texts = if blocks.readers == 0 { std::mem::take(&mut blocks.texts) } else { Arc::clone(&blocks.texts) };
        drop(blocks);
        let blocks = match Arc::try_unwrap(texts) {
            Err(texts) => Held::Shared(texts),
            Ok(texts) => {
                let mut left = vec![0; texts.len()];
                rows.iter().for_each(|row| left[self.places[*row as usize].0 as usize] += 1);
                // Blocks that only earlier readers had records of go at once.
                let unread = |(text, left)| if left == 0 { (ByteString::new(), 0) } else { (text, left) };
                Held::Alone(texts.into_iter().zip(left).map(unread).collect())
            }
        };
        Records { places: &self.places, blocks }
    }
}

impl Records<'_> {
    /// Shows the record of a row.
    pub(in crate::parquet) fn read(&mut self, row: u32, show: impl FnOnce(&[u8])) {
        let (block, start, len) = self.places[row as usize];
        let of = |text: &ByteString| show(&text.as_bytes()[start as usize..(start + len) as usize]);
        match &mut self.blocks {
            Held::Shared(texts) => of(&texts[block as usize]),
            Held::Alone(blocks) => {
                let (text, left) = &mut blocks[block as usize];
                of(text);
                *left -= 1;
                if *left == 0 {
                    *text = ByteString::new();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use downspout_core::{FieldTable, Origin, Span};

    use super::*;

    /// A source's block, which counts those that come back.
    struct Block(&'static str, Arc<AtomicUsize>);

    impl AsRef<[u8]> for Block {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Three batches of two records each.
    fn raws(back: &Arc<AtomicUsize>) -> Raws {
        let mut raws = Raws::default();
        for text in ["{\"n\":0}{\"n\":1}", "{\"n\":2}{\"n\":3}", "{\"n\":4}{\"n\":5}"] {
            let text = bytes::Bytes::from_owner(Block(text, Arc::clone(back)));
            let spans = [0, 7].map(|start| Span { start, len: 7, position: start as u64 });
            let records = downspout_core::Records { text, spans: spans.into() };
            let origin = Origin { source: "in".into(), shard: "a".into() };
            let (batch, _) = Batch::decode(records, origin, Arc::new(FieldTable::default()));
            raws.begin(&batch);
            batch.events().for_each(|event| raws.push(event));
        }
        raws
    }

    fn read(records: &mut Records<'_>, rows: &[u32], back: &AtomicUsize) -> Vec<(String, usize)> {
        let mut read = Vec::new();
        for row in rows {
            let mut text = String::new();
            records.read(*row, |record| text = String::from_utf8_lossy(record).into_owned());
            read.push((text, back.load(Ordering::Relaxed)));
        }
        read
    }

    fn expected(numbers: &[(u32, usize)]) -> Vec<(String, usize)> {
        numbers.iter().map(|(n, back)| (format!("{{\"n\":{n}}}"), *back)).collect()
    }

    #[test]
    fn a_block_goes_back_with_its_last_record() {
        let back = Arc::default();
        let mut raws = raws(&back);
        raws.divide(1);
        let rows = [4, 0, 1, 2, 5, 3];
        let read = read(&mut raws.records(&rows), &rows, &back);
        assert_eq!(read, expected(&[(4, 0), (0, 0), (1, 1), (2, 1), (5, 2), (3, 3)]));
        assert!(raws.bytes() > 42);
    }

    #[test]
    fn readers_share_blocks_until_the_last_is_alone() {
        let back = Arc::default();
        let mut raws = raws(&back);
        raws.divide(3);
        let (mut first, mut second) = (raws.records(&[0, 2]), raws.records(&[1]));
        assert_eq!(read(&mut first, &[0, 2], &back), expected(&[(0, 0), (2, 0)]));
        assert_eq!(read(&mut second, &[1], &back), expected(&[(1, 0)]));
        drop((first, second));
        let mut third = raws.records(&[5, 4, 3]);
        assert_eq!(back.load(Ordering::Relaxed), 1, "nobody will read the first block again");
        assert_eq!(read(&mut third, &[5, 4, 3], &back), expected(&[(5, 1), (4, 2), (3, 3)]));
    }

    #[test]
    fn cleared_they_hold_nothing() {
        let back = Arc::default();
        let mut raws = raws(&back);
        raws.clear();
        assert_eq!((back.load(Ordering::Relaxed), raws.bytes()), (3, 0));
    }
}
