//! The journal: answers that may be different when asked again are written down before their records are sent.
//!
//! A page of a query is a unit ([`crate::unit`]). Its records go into the store, compressed, in one transaction with
//! whatever else the source must remember (the window's cursor, the ledger), and only then into the pipeline. After a
//! restart [`Journal::replay`] sends again what was not acknowledged, under the same numbers, and the source goes on
//! behind it. What is acknowledged is deleted.
//!
//! ```text
//! let mut journal = Journal::open(store, source_id, shard)?;
//! journal.replay(&output).await?;
//! loop {
//!     let page = ask().await;
//!     if let Some(unit) = journal.append(&page.records, vec![cursor_write, ledger.write()])? {
//!         journal.send(&output, unit).await?;
//!     }
//!     journal.forget_acknowledged()?;
//! }
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use downspout_core::StageError;
use downspout_core::stage::{Closed, Output};
use downspout_core::store::{Store, StoreError, Write, key};

use crate::unit;

/// The journal of one shard.
#[derive(Debug)]
pub struct Journal {
    store: Arc<Store>,
    source: String,
    shard: String,
    next: u64,
    /// What is not acknowledged, as far as it is known: number and size in the store.
    waiting: VecDeque<(u64, usize)>,
}

/// A page that is in the journal and not sent yet.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its number.
    pub sequence: u64,
    text: Bytes,
    records: Vec<(usize, usize)>,
}

impl Journal {
    /// The journal of a source's shard, as the last run left it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn open(store: Arc<Store>, source: &str, shard: &str) -> Result<Journal, StoreError> {
        let next = unit::number(store.get(&next_key(source, shard))?).max(1);
        // Numbers of units that were deleted behind an acknowledgement must not come again.
        let next = next.max(unit::acknowledged(&store, source, shard)? + 1);
        let mut journal =
            Journal { store, source: source.to_owned(), shard: shard.to_owned(), next, waiting: VecDeque::new() };
        let mut waiting = VecDeque::new();
        let prefix = key(&[b"journal", source.as_bytes(), shard.as_bytes()]);
        journal.store.scan(&prefix, &[], |key, value| {
            let sequence = unit::number(Some(downspout_core::store::last_part(key).to_vec()));
            waiting.push_back((sequence, value.len()));
            std::ops::ControlFlow::Continue(())
        })?;
        journal.waiting = waiting;
        journal.forget_acknowledged()?;
        Ok(journal)
    }

    /// The shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// The number that the next page gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Bytes in the journal that are not acknowledged: a source should wait when there are very many.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The number of the last unit of which everything has arrived.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn acknowledged(&self) -> Result<u64, StoreError> {
        unit::acknowledged(&self.store, &self.source, &self.shard)
    }

    /// Writes a page's records (JSON objects, each whole) and everything in `also` in one transaction. A page without
    /// records makes no unit; `also` is written all the same.
    ///
    /// # Errors
    /// If the store cannot be written; then nothing was.
    pub fn append<R: AsRef<[u8]>>(&mut self, records: &[R], mut also: Vec<Write>) -> Result<Option<Unit>, StoreError> {
        if records.is_empty() {
            if !also.is_empty() {
                self.store.write_all(&also)?;
            }
            return Ok(None);
        }
        let sequence = self.next;
        let unit = Unit::new(sequence, records);
        let packed = unit.pack();
        let size = packed.len();
        also.push(Write::set(self.key(sequence), packed));
        also.push(Write::set(next_key(&self.source, &self.shard), (sequence + 1).to_be_bytes()));
        self.store.write_all(&also)?;
        self.next += 1;
        self.waiting.push_back((sequence, size));
        Ok(Some(unit))
    }

    /// Sends a page.
    ///
    /// # Errors
    /// [`Closed`] when the pipeline has stopped: the source should return.
    pub async fn send(&self, output: &Output, unit: Unit) -> Result<(), Closed> {
        unit.send(output, &self.shard).await
    }

    /// A page that is in the journal; `None` if it was acknowledged, and deleted.
    ///
    /// # Errors
    /// If the store cannot be read, or the entry is damaged.
    pub fn load(&self, sequence: u64) -> Result<Option<Unit>, StageError> {
        let Some(packed) = self.store.get(&self.key(sequence))? else { return Ok(None) };
        let unit = Unit::unpack(sequence, &packed).ok_or_else(|| {
            let place = format!("source {}, {}: entry {sequence} of the journal", self.source, self.shard);
            StageError::stop("journal", format!("{place} is damaged; check the disk that holds data_dir"))
        })?;
        Ok(Some(unit))
    }

    /// Sends everything again that is in the journal and not acknowledged, save what this process has sent already. To
    /// be called once, before anything is appended. [`Closed`] inside: the pipeline has stopped.
    ///
    /// # Errors
    /// If the store cannot be read, or an entry is damaged.
    pub async fn replay(&mut self, output: &Output) -> Result<Result<(), Closed>, StageError> {
        let reached = self.acknowledged()?;
        let waiting: Vec<u64> = self.waiting.iter().map(|(sequence, _)| *sequence).collect();
        for sequence in waiting.into_iter().filter(|sequence| *sequence > reached) {
            let Some(unit) = self.load(sequence)? else { continue };
            if self.send(output, unit).await.is_err() {
                return Ok(Err(Closed));
            }
        }
        Ok(Ok(()))
    }

    /// Deletes what is acknowledged; gives the number of the last acknowledged unit.
    ///
    /// # Errors
    /// If the store fails.
    pub fn forget_acknowledged(&mut self) -> Result<u64, StoreError> {
        let reached = self.acknowledged()?;
        let done = self.waiting.iter().take_while(|(sequence, _)| *sequence <= reached).count();
        if done > 0 {
            let removals: Vec<Write> =
                self.waiting.iter().take(done).map(|(sequence, _)| Write::remove(self.key(*sequence))).collect();
            self.store.write_all(&removals)?;
            self.waiting.drain(..done);
        }
        Ok(reached)
    }

    fn key(&self, sequence: u64) -> Vec<u8> {
        key(&[b"journal", self.source.as_bytes(), self.shard.as_bytes(), &sequence.to_be_bytes()])
    }
}

fn next_key(source: &str, shard: &str) -> Vec<u8> {
    key(&[b"journal-next", source.as_bytes(), shard.as_bytes()])
}

impl Unit {
    fn new<R: AsRef<[u8]>>(sequence: u64, records: &[R]) -> Unit {
        let mut text = Vec::with_capacity(records.iter().map(|record| record.as_ref().len() + 1).sum());
        let mut spans = Vec::with_capacity(records.len());
        for record in records {
            spans.push((text.len(), record.as_ref().len()));
            text.extend_from_slice(record.as_ref());
            text.push(b'\n');
        }
        Unit { sequence, text: text.into(), records: spans }
    }

    /// Sends it, for a shard.
    ///
    /// # Errors
    /// [`Closed`] when the pipeline has stopped.
    pub async fn send(self, output: &Output, shard: &str) -> Result<(), Closed> {
        unit::send(output, shard, self.sequence, &self.text, &self.records).await
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of records, their lengths, their text (four bytes each number), all compressed.
    fn pack(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.text.len() + 4 * self.records.len() + 4);
        plain.extend_from_slice(&(self.records.len() as u32).to_be_bytes());
        for (_, len) in &self.records {
            plain.extend_from_slice(&(*len as u32).to_be_bytes());
        }
        plain.extend_from_slice(&self.text);
        // Compressing into memory fails only without memory.
        zstd::encode_all(&*plain, 1).unwrap_or_default()
    }

    fn unpack(sequence: u64, packed: &[u8]) -> Option<Unit> {
        let plain = Bytes::from(zstd::decode_all(packed).ok()?);
        let number = |at: usize| Some(u32::from_be_bytes(plain.get(at..at + 4)?.try_into().ok()?) as usize);
        let count = number(0)?;
        let text = 4 + 4 * count;
        let mut records = Vec::with_capacity(count.min(plain.len()));
        let mut start = 0;
        for index in 0..count {
            let len = number(4 + 4 * index)?;
            records.push((start, len));
            start += len + 1;
        }
        (text + start == plain.len()).then(|| Unit { sequence, text: plain.slice(text..), records })
    }
}

#[cfg(test)]
mod tests {
    use downspout_core::stage::{SourceBatch, checkpoint_key};
    use tokio::sync::mpsc;

    use super::*;

    fn store() -> (tempfile::TempDir, Arc<Store>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        (folder, store)
    }

    fn output(store: &Arc<Store>) -> (Output, mpsc::Receiver<SourceBatch>) {
        let (sender, batches) = mpsc::channel(100);
        (Output::new("graph".into(), Arc::clone(store), sender), batches)
    }

    fn told(batches: &mut mpsc::Receiver<SourceBatch>) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(batch) = batches.try_recv() {
            let reached = unit::number(Some(batch.checkpoint));
            for span in &batch.records.spans {
                let text = std::str::from_utf8(&batch.records.text[span.start..span.start + span.len]).unwrap();
                told.push(format!("{}.{}:{text}@{reached}", span.position >> 24, span.position & 0xff_ffff));
            }
        }
        told
    }

    #[tokio::test]
    async fn what_is_not_acknowledged_comes_again_under_the_same_numbers() {
        let (_folder, store) = store();
        {
            let mut journal = Journal::open(Arc::clone(&store), "graph", "t/f").unwrap();
            let (output, mut batches) = output(&store);
            for page in [vec!["{1}", "{2}"], vec!["{3}"], vec![]] {
                let cursor = Write::set(b"cursor".to_vec(), page.join(""));
                if let Some(unit) = journal.append(&page, vec![cursor]).unwrap() {
                    journal.send(&output, unit).await.unwrap();
                }
            }
            assert_eq!(told(&mut batches), ["1.0:{1}@1", "1.1:{2}@1", "2.0:{3}@2"]);
            assert_eq!(store.get(b"cursor").unwrap().unwrap(), b"");
            store.write_all(&[Write::set(checkpoint_key("graph", "t/f"), 1u64.to_be_bytes())]).unwrap();
        }
        let mut journal = Journal::open(Arc::clone(&store), "graph", "t/f").unwrap();
        let (output, mut batches) = output(&store);
        journal.replay(&output).await.unwrap().unwrap();
        assert_eq!(told(&mut batches), ["2.0:{3}@2"]);
        assert_eq!(journal.next_sequence(), 3);
        store.write_all(&[Write::set(checkpoint_key("graph", "t/f"), 2u64.to_be_bytes())]).unwrap();
        assert!(journal.waiting_bytes() > 0);
        assert_eq!(journal.forget_acknowledged().unwrap(), 2);
        assert_eq!(journal.waiting_bytes(), 0);
        drop(journal);
        assert_eq!(Journal::open(store, "graph", "t/f").unwrap().next_sequence(), 3);
    }

    #[tokio::test]
    async fn large_pages_leave_in_several_batches_and_only_the_last_completes_the_unit() {
        let (_folder, store) = store();
        let mut journal = Journal::open(Arc::clone(&store), "graph", "t/f").unwrap();
        let (output, mut batches) = output(&store);
        let page: Vec<String> = (0..4500).map(|index| format!("{{\"n\":{index}}}")).collect();
        let unit = journal.append(&page, Vec::new()).unwrap().unwrap();
        journal.send(&output, unit).await.unwrap();
        let told = told(&mut batches);
        assert_eq!(told.len(), 4500);
        assert_eq!(told[0], "1.0:{\"n\":0}@0");
        assert_eq!(told[4499], "1.4499:{\"n\":4499}@1");
    }

    #[test]
    fn damaged_entries_are_found() {
        let unit = Unit::new(1, &["{}", "{\"a\":1}"]);
        let packed = unit.pack();
        assert_eq!(Unit::unpack(1, &packed).unwrap().records, unit.records);
        let cut = zstd::encode_all(&zstd::decode_all(&*packed).unwrap()[..9], 1).unwrap();
        assert!(Unit::unpack(1, &cut).is_none() && Unit::unpack(1, b"nonsense").is_none());
    }
}
