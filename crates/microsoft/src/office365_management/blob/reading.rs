//! One reading of a blob's text: framed, numbered, and without what earlier readings have handed on.
//!
//! It stands alone because it waits for nothing: it is given text, and gives portions or says what is wrong with it.
//! Where the text comes from, and who takes the portions, is the business of the blob's `Fetch`.

use std::sync::Arc;

use bytes::Bytes;
use downspout_core::decode::{Records, Rejected, Span};
use downspout_core::framing::{End, Format, Framed, Framer, Limits, Place, Resume};
use serde::de::IgnoredAny;

use super::super::backlog::Entry;
use super::{Broken, Ended};
use crate::client::{Api, Refusal, Trouble, is_html};
use crate::unit;

/// How much of a body that is nothing readable is kept.
const KEPT_BYTES: usize = 64 << 10;

/// What is handed on at once: records, and what was rejected among them.
pub(super) type Portion = (Records, Vec<Rejected>);

/// What an attempt has found so far.
pub(super) struct Reading {
    /// What messages call the blob.
    name: Arc<str>,
    sequence: u64,
    /// The index of the first record that earlier readings did not hand on.
    given: u64,
    /// Whether damage is accepted.
    accept: bool,
    framer: Framer,
    /// The index of the next record.
    index: u64,
    /// What is handed on next: the last portion must be known to be the last.
    held: Option<Portion>,
    /// Whether the first byte that says something was looked at.
    begun: bool,
    damage: Option<String>,
}

impl Reading {
    /// `given`: the index of the first record that was not handed on. `accept`: what is damaged now stays so.
    pub(super) fn new(entry: &Entry, given: u64, accept: bool, max_record_bytes: usize) -> Reading {
        let limits = Limits {
            batch_records: unit::BATCH.1,
            batch_bytes: unit::BATCH.0,
            read_bytes: 64 << 10,
            ..Limits::new(max_record_bytes)
        };
        let json = Resume { offset: 0, covered: 0, format: Format::Json(Place::Top) };
        let name: Arc<str> = format!("content {}", entry.id).into();
        let framer = Framer::new(Arc::clone(&name), limits, json);
        let sequence = entry.sequence;
        Reading { name, sequence, given, accept, framer, index: 0, held: None, begun: false, damage: None }
    }

    /// Takes the next bytes. `false`: there is nothing to be read in them, nor in what follows.
    pub(super) fn push(&mut self, chunk: &Bytes) -> Result<bool, Broken> {
        let goes_on = self.begun || self.begin(chunk)?;
        if goes_on {
            self.framer.push(chunk);
        }
        Ok(goes_on)
    }

    /// There are no more bytes. `false`: there was nothing to be read in them.
    pub(super) fn close(&mut self) -> Result<bool, Broken> {
        if !self.begun {
            self.nothing(&Bytes::new(), "it is empty")?;
            return Ok(false);
        }
        Ok(true)
    }

    /// The next portion; `None` when more bytes are needed for one.
    pub(super) fn next(&mut self, end: End) -> Result<Option<Portion>, Broken> {
        loop {
            match self.framer.next(end) {
                Ok(None) => return Ok(None),
                Ok(Some(framed)) => {
                    let portion = self.take(framed)?;
                    if portion.is_some() {
                        return Ok(portion);
                    }
                }
                Err(problem) if self.accept => {
                    self.damage.get_or_insert(problem);
                    return Ok(None);
                }
                Err(problem) => return Err(Broken::Damaged(problem)),
            }
        }
    }

    /// The bytes break off, and that is accepted. To be called when `next` has given all that was whole.
    pub(super) fn cut(&mut self, trouble: &Trouble) -> Result<Option<Portion>, Broken> {
        let problem = format!("the body breaks off here, again and again ({trouble})");
        let framed = self.framer.fail(&problem);
        self.damage.get_or_insert(problem);
        self.take(framed)
    }

    /// The last portion, and how the blob ended.
    pub(super) fn end(self) -> (Portion, Ended) {
        (self.held.unwrap_or_default(), self.damage.map_or(Ended::Whole, Ended::Damaged))
    }

    /// Looks at how the body begins: with the bracket of an array. `false`: there is nothing in it to be read.
    fn begin(&mut self, chunk: &Bytes) -> Result<bool, Broken> {
        let text = chunk.strip_prefix(b"\xef\xbb\xbf").unwrap_or(chunk).trim_ascii_start();
        match text.first() {
            None => Ok(true),
            Some(b'[') => {
                self.begun = true;
                Ok(true)
            }
            Some(_) if is_html(text) => Err(Broken::Trouble(Refusal::read(200, text).judge(Api::Management))),
            Some(_) => self.nothing(chunk, "it is no JSON array").map(|()| false),
        }
    }

    /// The body is nothing that could be read.
    fn nothing(&mut self, chunk: &Bytes, problem: &str) -> Result<(), Broken> {
        self.begun = true;
        if !self.accept {
            return Err(Broken::Damaged(problem.to_owned()));
        }
        self.damage = Some(problem.to_owned());
        let raw = chunk.slice(..chunk.len().min(KEPT_BYTES));
        let position = unit::position(self.sequence, self.index);
        let reason = format!("{}: {problem}", self.name);
        self.index += 1;
        let rejected = vec![Rejected { position, reason, raw }];
        self.held = (self.given == 0).then(|| (Records::default(), rejected));
        Ok(())
    }

    /// Gives what was framed its positions, leaves out what was handed on before, and holds it. Gives what was held.
    fn take(&mut self, framed: Framed) -> Result<Option<Portion>, Broken> {
        let Framed { records: Records { text, spans }, rejected, .. } = framed;
        let mut kept = Vec::with_capacity(spans.len());
        let mut refused = Vec::new();
        let mut rejected = rejected.into_iter().peekable();
        let mut spans = spans.into_iter().peekable();
        loop {
            let next_rejected = rejected.peek().map(|rejected| rejected.position);
            let is_rejected = match (next_rejected, spans.peek()) {
                (None, None) => break,
                (Some(position), Some(span)) => position < span.position,
                (Some(_), None) => true,
                (None, Some(_)) => false,
            };
            let position = unit::position(self.sequence, self.index);
            let is_new = self.index >= self.given;
            self.index += 1;
            let wrong = if is_rejected {
                rejected.next().map(|rejected| (rejected.reason, rejected.raw))
            } else if let Some(span) = spans.next() {
                let record = &text[span.start..span.start + span.len];
                match serde_json::from_slice::<IgnoredAny>(record) {
                    Ok(_) => {
                        kept.extend(is_new.then_some(Span { position, ..span }));
                        None
                    }
                    Err(error) => {
                        let raw = text.slice(span.start..span.start + span.len.min(KEPT_BYTES));
                        Some((format!("{}: not JSON: {error}", self.name), raw))
                    }
                }
            } else {
                None
            };
            if let Some((reason, raw)) = wrong {
                if !self.accept {
                    return Err(Broken::Damaged(reason));
                }
                self.damage.get_or_insert_with(|| reason.clone());
                refused.extend(is_new.then_some(Rejected { position, reason, raw }));
            }
        }
        if kept.is_empty() && refused.is_empty() {
            return Ok(None);
        }
        Ok(self.held.replace((Records { text, spans: kept }, refused)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The indices of what one reading gives, and how it ended.
    fn read(text: &[u8], given: u64, accept: bool) -> Result<(Vec<u64>, Vec<u64>, Ended), Broken> {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let (id, uri) = ("a".to_owned(), String::new());
        let entry = Entry { sequence: 7, id, uri, created: now, expires: now, spooled: false };
        let mut reading = Reading::new(&entry, given, accept, 1 << 20);
        let mut portions = Vec::new();
        let mut readable = true;
        for chunk in text.chunks(5).map(Bytes::copy_from_slice) {
            readable = reading.push(&chunk)?;
            if !readable {
                break;
            }
            while let Some(portion) = reading.next(End::More)? {
                portions.push(portion);
            }
        }
        if readable && reading.close()? {
            while let Some(portion) = reading.next(End::Final)? {
                portions.push(portion);
            }
        }
        let (last, ended) = reading.end();
        portions.push(last);
        let index = |position: u64| {
            let (sequence, index) = unit::unit_and_index(position);
            assert_eq!(sequence, 7);
            index
        };
        let records = portions.iter().flat_map(|(records, _)| &records.spans).map(|span| index(span.position));
        let rejected = portions.iter().flat_map(|(_, rejected)| rejected).map(|rejected| index(rejected.position));
        Ok((records.collect(), rejected.collect(), ended))
    }

    #[test]
    fn what_was_handed_on_is_left_out() {
        for given in 0..=3 {
            let (records, rejected, ended) = read(br#"[{"a":1}, {"a":2}, {"a":3}]"#, given, false).unwrap();
            assert_eq!((records, rejected), ((given..3).collect(), vec![]));
            assert!(matches!(ended, Ended::Whole));
        }
    }

    #[test]
    fn damage_keeps_its_place_when_it_is_accepted() {
        let damaged = br#"[{"a":1}, {"a":no}, {"a":3}]"#;
        assert!(matches!(read(damaged, 0, false), Err(Broken::Damaged(_))));
        for (given, records, rejected) in [(0, vec![0, 2], vec![1]), (1, vec![2], vec![1]), (2, vec![2], vec![])] {
            let found = read(damaged, given, true).unwrap();
            assert_eq!((found.0, found.1), (records, rejected));
            assert!(matches!(found.2, Ended::Damaged(_)));
        }
        let (records, rejected, _) = read(b"nonsense", 0, true).unwrap();
        assert_eq!((records, rejected), (vec![], vec![0]));
        assert!(matches!(read(b" ", 0, false), Err(Broken::Damaged(_))));
    }
}
