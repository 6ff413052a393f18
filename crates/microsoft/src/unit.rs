//! Units: what a source numbers, remembers and acknowledges as one. A blob, or a journalled page.
//!
//! Units of a shard are numbered 1, 2, 3, ... A record's position is the number of its unit and its index in it; a
//! checkpoint is the number of the last unit of which everything has arrived, as eight bytes, the highest first.

use bytes::Bytes;
use downspout_core::decode::{Records, Rejected, Span};
use downspout_core::stage::{Closed, Output, SourceBatch, checkpoint_key};
use downspout_core::store::{Store, StoreError};

/// A unit has less than 2^24 records.
const INDEX_BITS: u32 = 24;

/// About how many bytes and records a batch has.
pub const BATCH: (usize, usize) = (256 << 10, 2000);

/// The position of a record.
pub fn position(sequence: u64, index: u64) -> u64 {
    sequence << INDEX_BITS | index.min((1 << INDEX_BITS) - 1)
}

/// The number of a position's unit, and the record's index in it.
pub fn unit_and_index(position: u64) -> (u64, u64) {
    (position >> INDEX_BITS, position & ((1 << INDEX_BITS) - 1))
}

/// The number of the last unit of a shard of which everything has arrived; 0 if there is none.
///
/// # Errors
/// If the store cannot be read.
pub fn acknowledged(store: &Store, source: &str, shard: &str) -> Result<u64, StoreError> {
    Ok(number(store.get(&checkpoint_key(source, shard))?))
}

/// A number as the store keeps it; 0 if there is none.
pub fn number(value: Option<Vec<u8>>) -> u64 {
    value.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// A batch of a unit. `complete`: everything of the unit is sent with it.
pub fn batch(shard: &str, sequence: u64, complete: bool, records: Records, rejected: Vec<Rejected>) -> SourceBatch {
    let reached = if complete { sequence } else { sequence.saturating_sub(1) };
    let checkpoint = reached.to_be_bytes().to_vec();
    SourceBatch { shard: shard.to_owned(), records, rejected, checkpoint, provenance: None }
}

/// Sends a unit whose records stand in `text`, each from its start and with its length, in batches. What was sent
/// before in this run ([`Output::sent`]) is left out.
///
/// # Errors
/// [`Closed`] when the pipeline has stopped.
pub async fn send(
    output: &Output,
    shard: &str,
    sequence: u64,
    text: &Bytes,
    records: &[(usize, usize)],
) -> Result<(), Closed> {
    let sent = |index: usize| output.sent(shard).is_some_and(|last| position(sequence, index as u64) <= last);
    let mut from = (0..records.len()).find(|&index| !sent(index)).unwrap_or(records.len());
    loop {
        let (mut bytes, mut to) = (0, from);
        while to < records.len() && to - from < BATCH.1 && (bytes < BATCH.0 || to == from) {
            bytes += records[to].1;
            to += 1;
        }
        let first = records.get(from).map_or(0, |record| record.0);
        let end = to.checked_sub(1).and_then(|last| records.get(last)).map_or(first, |(start, len)| start + len);
        let span = |(index, (start, len)): (usize, &(usize, usize))| {
            let position = position(sequence, (from + index) as u64);
            Span { start: start - first, len: *len, position }
        };
        let spans = records[from..to].iter().enumerate().map(span).collect();
        let complete = to == records.len();
        let records_of_batch = Records { text: text.slice(first..end), spans };
        output.send(batch(shard, sequence, complete, records_of_batch, Vec::new())).await?;
        if complete {
            return Ok(());
        }
        from = to;
    }
}
