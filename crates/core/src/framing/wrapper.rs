//! Rows around audit records: the record is the row's member `AuditData`, as it is the cell of that name in a CSV.
//!
//! `Search-UnifiedAuditLog | ConvertTo-Json` writes `{"RecordType":8,"AuditData":"{\"CreationTime\":...}",...}`, where
//! the record is a string; Graph's audit log query writes `{"id":"...","auditData":{"CreationTime":...},...}`. The
//! other members repeat what the record says. Unwrapped, the same record is the same whichever way it was exported.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::scan::{Scan, Scanner};

/// Finds wrapped records.
#[derive(Debug)]
pub(super) struct Unwrapper {
    /// The end of the member's name: without it a record needs no second look. Inside a string the quote would be
    /// escaped.
    name: Finder<'static>,
}

impl Unwrapper {
    pub(super) fn new() -> Unwrapper {
        Unwrapper { name: Finder::new(b"uditData\"") }
    }

    /// The record in a row; `None` for a record that is no row.
    pub(super) fn unwrap<'r>(&self, record: &'r [u8]) -> Option<Cow<'r, [u8]>> {
        self.name.find(record)?;
        let value = member(record)?;
        match value.first()? {
            b'{' => Some(Cow::Borrowed(value)),
            b'"' => {
                let text: String = serde_json::from_slice(value).ok()?;
                text.trim_ascii_start().starts_with('{').then(|| Cow::Owned(text.into_bytes()))
            }
            _ => None,
        }
    }
}

/// The value of the member.
fn member(record: &[u8]) -> Option<&[u8]> {
    let mut rest = record.strip_prefix(b"{")?.trim_ascii_start();
    loop {
        let (key, behind) = value(rest)?;
        let (found, behind) = value(behind.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start())?;
        if matches!(key, b"\"AuditData\"" | b"\"auditData\"") {
            return Some(found);
        }
        rest = behind.trim_ascii_start().strip_prefix(b",")?.trim_ascii_start();
    }
}

/// The value that a text begins with, and what follows it.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = match text.first()? {
        b'{' | b'[' | b'"' => match Scanner::default().scan(text) {
            Scan::End(end) => end,
            Scan::More | Scan::Bad(..) => return None,
        },
        _ => text.iter().position(|byte| b",} \t\r\n".contains(byte))?,
    };
    Some(text.split_at(end))
}
