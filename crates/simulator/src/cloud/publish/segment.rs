//! Records that became visible together: one content blob, or a portion of another feed.

use bytes::Bytes;
use jiff::Timestamp;

use crate::cloud::http::{gunzip, gzip};

/// Records that became visible together.
#[derive(Debug)]
pub(crate) struct Segment {
    /// When they became visible.
    pub(crate) created: Timestamp,
    /// Until when the service says that they can be read.
    pub(crate) expires: Timestamp,
    /// Until when they really can.
    pub(crate) dies: Timestamp,
    /// The earliest time of a record.
    pub(crate) first: Timestamp,
    /// The latest time of a record.
    pub(crate) last: Timestamp,
    /// The records, in the order of the body.
    pub(crate) rows: Vec<Row>,
    /// All records as a JSON array, compressed; gone when nobody can read it any more.
    pub(crate) body: Option<Bytes>,
}

/// One record in a segment.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: Box<str>,
    pub(crate) time: Timestamp,
    /// Whether the same record also stands elsewhere, where it counts.
    pub(crate) copy: bool,
    /// Where it begins in the uncompressed body.
    pub(crate) start: u32,
    /// How long it is.
    pub(crate) length: u32,
}

impl Segment {
    pub(crate) fn new<'r>(
        created: Timestamp,
        expires: Timestamp,
        dies: Timestamp,
        records: impl Iterator<Item = (&'r str, Timestamp, bool, &'r str)>,
    ) -> Segment {
        let mut body = vec![b'['];
        let mut rows = Vec::new();
        let (mut first, mut last) = (Timestamp::MAX, Timestamp::MIN);
        for (id, time, copy, record) in records {
            if !rows.is_empty() {
                body.push(b',');
            }
            let start = body.len() as u32;
            body.extend_from_slice(record.as_bytes());
            (first, last) = (first.min(time), last.max(time));
            rows.push(Row { id: id.into(), time, copy, start, length: record.len() as u32 });
        }
        body.push(b']');
        Segment { created, expires, dies, first, last, rows, body: Some(gzip(&body)) }
    }

    /// The uncompressed body, if it is still there.
    pub(crate) fn text(&self) -> Option<Vec<u8>> {
        self.body.as_ref().and_then(|body| gunzip(body).ok())
    }

    pub(crate) fn drop_records(&mut self) {
        self.body = None;
    }
}
