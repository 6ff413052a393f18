//! Records that became visible together: one content blob, or a portion of another feed.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::pack::Packer;
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
    body: Body,
}

/// One record in a segment.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: Box<str>,
    pub(crate) time: Timestamp,
    /// Whether the same record also stands elsewhere, where it counts.
    pub(crate) copy: bool,
    /// The segment that holds a newer version.
    pub(crate) replaced: Option<usize>,
    /// Where it begins in the uncompressed body.
    pub(crate) start: u32,
    /// How long it is.
    pub(crate) length: u32,
}

/// The records' bytes: a JSON array, compressed.
#[derive(Debug)]
enum Body {
    /// Of this segment alone, ready to be sent as a blob.
    Own(Bytes),
    /// Among those of others, where they need a tenth of the space.
    Packed { pack: Arc<Bytes>, start: usize },
    /// Nobody can read them any more.
    Gone,
}

impl Segment {
    pub(crate) fn new<'r>(
        (created, expires, dies): (Timestamp, Timestamp, Timestamp),
        records: impl Iterator<Item = (&'r str, Timestamp, bool, &'r str)>,
        packer: &mut Packer,
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
            rows.push(Row { id: id.into(), time, copy, replaced: None, start, length: record.len() as u32 });
        }
        body.push(b']');
        rows.shrink_to_fit();
        Segment { created, expires, dies, first, last, rows, body: Body::Own(packer.gzip(&body)) }
    }

    /// The size of the uncompressed body.
    pub(crate) fn size(&self) -> usize {
        self.rows.last().map_or(2, |row| (row.start + row.length + 1) as usize)
    }

    /// The compressed body, as a blob is sent; `None` when blobs are no longer kept.
    pub(crate) fn blob(&self) -> Option<Bytes> {
        match &self.body {
            Body::Own(body) => Some(body.clone()),
            _ => None,
        }
    }

    /// The first half of the records, as a blob of their own is sent.
    pub(crate) fn part(&self) -> Option<Bytes> {
        let first = self.rows.get(self.rows.len() / 2)?;
        let mut body = gunzip(&self.blob()?).ok()?;
        // In front of that record stands a comma, or the bracket.
        body.truncate((first.start as usize).saturating_sub(1).max(1));
        body.push(b']');
        Some(gzip(&body))
    }

    /// Whether the records can still be read.
    pub(crate) fn is_readable(&self) -> bool {
        !matches!(self.body, Body::Gone)
    }

    /// What tells two bodies apart: segments of one pack share it.
    pub(crate) fn key(&self) -> Option<usize> {
        match &self.body {
            Body::Own(body) => Some(body.as_ptr() as usize),
            Body::Packed { pack, .. } => Some(pack.as_ptr() as usize),
            Body::Gone => None,
        }
    }

    /// Where this segment's part begins in its text.
    pub(crate) fn start(&self) -> usize {
        match self.body {
            Body::Packed { start, .. } => start,
            _ => 0,
        }
    }

    /// The uncompressed text, of the whole pack where there is one.
    pub(crate) fn text(&self) -> Option<Vec<u8>> {
        match &self.body {
            Body::Own(body) => gunzip(body).ok(),
            Body::Packed { pack, .. } => gunzip(pack).ok(),
            Body::Gone => None,
        }
    }

    pub(crate) fn drop_records(&mut self) {
        self.body = Body::Gone;
    }
}

/// Puts the bodies of neighbours into one pack.
pub(crate) fn pack(segments: &mut [Segment], packer: &mut Packer) {
    let mut whole = Vec::new();
    let mut starts = Vec::new();
    for segment in segments.iter() {
        starts.push(whole.len());
        whole.extend(segment.text().unwrap_or_default());
    }
    let pack = Arc::new(packer.gzip(&whole));
    for (segment, start) in segments.iter_mut().zip(starts) {
        if segment.is_readable() {
            segment.body = Body::Packed { pack: Arc::clone(&pack), start };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_alone_and_packed() {
        let time: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let mut packer = Packer::default();
        let make = |ids: &[&str], packer: &mut Packer| {
            let texts: Vec<String> = ids.iter().map(|id| format!("{{\"Id\":\"{id}\"}}")).collect();
            let rows = ids.iter().zip(&texts).map(|(id, text)| (*id, time, false, text.as_str()));
            Segment::new((time, time, time), rows, packer)
        };
        let mut segments = vec![make(&["a", "b"], &mut packer), make(&["c"], &mut packer)];
        let read = |segment: &Segment, row: usize| {
            let (text, row) = (segment.text().unwrap(), &segment.rows[row]);
            let start = segment.start() + row.start as usize;
            String::from_utf8_lossy(&text[start..start + row.length as usize]).into_owned()
        };
        assert_eq!(read(&segments[0], 1), r#"{"Id":"b"}"#);
        assert_eq!(segments[0].size(), segments[0].text().unwrap().len());
        assert_eq!(gunzip(&segments[0].part().unwrap()).unwrap(), br#"[{"Id":"a"}]"#);
        pack(&mut segments, &mut packer);
        assert_eq!((read(&segments[0], 1), read(&segments[1], 0)), (r#"{"Id":"b"}"#.into(), r#"{"Id":"c"}"#.into()));
        assert_eq!(segments[0].key(), segments[1].key());
        assert!(segments[0].blob().is_none() && segments[0].is_readable());
        segments[0].drop_records();
        assert!(!segments[0].is_readable() && segments[0].text().is_none());
    }
}
