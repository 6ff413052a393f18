//! Pages: one JSON object around an array of records, as Microsoft's APIs and exports write them.
//!
//! Graph writes `{"@odata.context":"...","@odata.nextLink":"...","value":[...]}`, Azure Resource Manager
//! `{"value":[...],"nextLink":"..."}`, Event Hub and storage exports `{"records":[...]}`, Azure DevOps
//! `{"decoratedAuditLogEntries":[...],"continuationToken":"...","hasMore":true}`. A page is told by its head: nothing
//! but such members, then the array, and an object (or nothing) in it. So a record that has a member `value` of its
//! own stays a record.

use memchr::memchr3;

/// The members that hold the records.
const LISTS: [&[u8]; 3] = [b"value", b"records", b"decoratedAuditLogEntries"];

/// The members, beside those that begin with `@odata.`, that may stand in front of them.
const BESIDE: [&[u8]; 3] = [b"nextLink", b"continuationToken", b"hasMore"];

/// How long the part in front of the array may be. Links of Graph reach some kilobytes.
const MAX_HEAD: usize = 64 << 10;

/// What the beginning of an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// A page, whose first record begins behind that many bytes.
    Page(usize),
    /// A record.
    Record,
    /// Not to be told yet.
    More,
}

/// Looks at an object's beginning. `last`: the text ends here.
pub(super) fn head(text: &[u8], last: bool) -> Head {
    let seen = &text[..text.len().min(MAX_HEAD)];
    match (Reader { text: seen, at: 0 }).head() {
        Some(true_head) => true_head,
        None if last || text.len() >= MAX_HEAD => Head::Record,
        None => Head::More,
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

/// `None` everywhere: the text ended.
impl<'a> Reader<'a> {
    fn head(&mut self) -> Option<Head> {
        if self.next()? != b'{' {
            return Some(Head::Record);
        }
        loop {
            let Some(key) = self.key()? else { return Some(Head::Record) };
            if LISTS.contains(&key) {
                return self.list();
            }
            if !(key.starts_with(b"@odata.") || BESIDE.contains(&key)) || !self.scalar()? || self.next()? != b',' {
                return Some(Head::Record);
            }
        }
    }

    /// The array of records: it must hold objects.
    fn list(&mut self) -> Option<Head> {
        if self.next()? != b'[' {
            return Some(Head::Record);
        }
        let head = self.at;
        Some(if matches!(self.next()?, b'{' | b']') { Head::Page(head) } else { Head::Record })
    }

    /// The next byte that is not blank.
    fn next(&mut self) -> Option<u8> {
        while let b' ' | b'\t' | b'\r' | b'\n' = self.text.get(self.at)? {
            self.at += 1;
        }
        self.at += 1;
        self.text.get(self.at - 1).copied()
    }

    /// A member's name, and the colon behind it.
    fn key(&mut self) -> Option<Option<&'a [u8]>> {
        if self.next()? != b'"' {
            return Some(None);
        }
        let start = self.at;
        if !self.string()? {
            return Some(None);
        }
        let key = &self.text[start..self.at - 1];
        Some((self.next()? == b':').then_some(key))
    }

    /// The rest of a string behind its quote; false if it is broken.
    fn string(&mut self) -> Option<bool> {
        loop {
            self.at += memchr3(b'"', b'\\', b'\n', self.text.get(self.at..)?)? + 1;
            match self.text[self.at - 1] {
                b'"' => return Some(true),
                b'\\' => self.at += 1,
                _ => return Some(false),
            }
        }
    }

    /// A string, number, boolean or null; false for anything else.
    fn scalar(&mut self) -> Option<bool> {
        match self.next()? {
            b'"' => self.string(),
            b'{' | b'[' | b'}' | b']' | b',' => Some(false),
            _ => {
                let rest = &self.text[self.at..];
                self.at += rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte))?;
                Some(true)
            }
        }
    }
}
