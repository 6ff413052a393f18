//! Where the records of an answer stand, without parsing them.
//!
//! An answer is one JSON object with an array of records in it. The records stay bytes until the pipeline decodes
//! them, once; here only brackets and quotes are counted. So a record whose inside is wrong (nested too deeply, a
//! number that is none) does not take its page with it: the pipeline puts it alone into the dead-letter file.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// An answer that is not the JSON it should be; mostly one that was cut off on its way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not the JSON it should be: byte {at}: {what}")]
pub(crate) struct Broken {
    /// Byte offset in the answer.
    pub(crate) at: usize,
    /// What was expected there.
    pub(crate) what: &'static str,
}

/// A member of an object: its name, and where its value stands.
pub(crate) type Member<'t> = (Cow<'t, str>, Range<usize>);

/// The members of the object that is all of `text`, a byte order mark before it aside.
pub(crate) fn document(text: &[u8]) -> Result<Vec<Member<'_>>, Broken> {
    let start = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut scan = Scan { text, at: start };
    scan.blanks();
    let whole = scan.value()?;
    scan.blanks();
    if scan.at < text.len() {
        return Err(scan.broken("nothing behind the answer"));
    }
    members(text, whole)
}

/// The members of the object that stands at `place`, as [`document`] or [`members`] gave it.
pub(crate) fn members(text: &[u8], place: Range<usize>) -> Result<Vec<Member<'_>>, Broken> {
    let mut scan = Scan { text, at: place.start };
    let mut found = Vec::new();
    if !scan.open(b'{', b'}', "an object")? {
        return Ok(found);
    }
    loop {
        scan.blanks();
        let name = scan.string()?;
        let name = plain(&text[name.start + 1..name.end - 1]);
        scan.blanks();
        scan.expect(b':', "`:`")?;
        scan.blanks();
        found.push((name, scan.value()?));
        if !scan.more(b'}', "`,` or `}`")? {
            return Ok(found);
        }
    }
}

/// Where the elements of the array at `place` stand.
pub(crate) fn elements(text: &[u8], place: Range<usize>) -> Result<Vec<Range<usize>>, Broken> {
    let mut scan = Scan { text, at: place.start };
    let mut found = Vec::new();
    if !scan.open(b'[', b']', "an array")? {
        return Ok(found);
    }
    loop {
        scan.blanks();
        found.push(scan.value()?);
        if !scan.more(b']', "`,` or `]`")? {
            return Ok(found);
        }
    }
}

/// The string at `place`; `None` if something else stands there (`null`, say).
pub(crate) fn string(text: &[u8], place: Range<usize>) -> Option<String> {
    serde_json::from_slice(text.get(place)?).ok()
}

/// A member's name; escapes are not worth the trouble, for no name that is looked for has any.
fn plain(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name)
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scan<'_> {
    fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Broken> {
        if self.peek() != Some(byte) {
            return Err(self.broken(what));
        }
        self.at += 1;
        Ok(())
    }

    /// Enters a container; false if it is empty.
    fn open(&mut self, open: u8, close: u8, what: &'static str) -> Result<bool, Broken> {
        self.blanks();
        self.expect(open, what)?;
        self.blanks();
        Ok(self.peek() != Some(close))
    }

    /// Behind an element: whether another one follows.
    fn more(&mut self, close: u8, what: &'static str) -> Result<bool, Broken> {
        self.blanks();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => Ok(false),
            _ => Err(self.broken(what)),
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Result<Range<usize>, Broken> {
        let start = self.at;
        self.expect(b'"', "a text in quotes")?;
        while let Some(found) = memchr2(b'"', b'\\', &self.text[self.at.min(self.text.len())..]) {
            self.at += found + 1;
            if self.text[self.at - 1] == b'"' {
                return Ok(start..self.at);
            }
            self.at += 1;
        }
        self.at = self.text.len();
        Err(self.broken("the end of a text; the answer was cut off"))
    }

    /// Any value.
    fn value(&mut self) -> Result<Range<usize>, Broken> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{' | b'[') => {
                self.container()?;
                Ok(start..self.at)
            }
            Some(b'-' | b'0'..=b'9' | b'a'..=b'z') => {
                let rest = &self.text[start..];
                let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte));
                self.at = start + end.unwrap_or(rest.len());
                Ok(start..self.at)
            }
            _ => Err(self.broken("a value")),
        }
    }

    /// Passes over an object or array, however deep: no recursion.
    fn container(&mut self) -> Result<(), Broken> {
        let mut depth = 0_usize;
        while let Some(found) = self.next_mark() {
            self.at = found;
            match self.text[found] {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        self.at = self.text.len();
        Err(self.broken("the end of an object or array; the answer was cut off"))
    }

    /// The next quote or bracket.
    fn next_mark(&self) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']')).map(|found| self.at + found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<(String, String)>, Broken> {
        let found = document(text.as_bytes())?;
        Ok(found.into_iter().map(|(name, place)| (name.into_owned(), text[place].to_owned())).collect())
    }

    #[test]
    fn members_and_elements_stand_where_they_are() {
        let text = "\u{feff} {\"a\" : [ {\"x\":\"}\\\"]\"} ,{}, [1,[2]],-1.5e+3 , null,\"\\\\\" ] ,\"@odata.nextLink\":\"l\\u0026\"} \n";
        let found = document(text.as_bytes()).unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.as_ref()).collect::<Vec<_>>(), ["a", "@odata.nextLink"]);
        let list = elements(text.as_bytes(), found[0].1.clone()).unwrap();
        let list: Vec<&str> = list.into_iter().map(|place| &text[place]).collect();
        assert_eq!(list, [r#"{"x":"}\"]"}"#, "{}", "[1,[2]]", "-1.5e+3", "null", r#""\\""#]);
        assert_eq!(string(text.as_bytes(), found[1].1.clone()).unwrap(), "l&");
        assert_eq!(string(text.as_bytes(), found[0].1.clone()), None);
    }

    #[test]
    fn empty_containers_have_nothing() {
        assert_eq!(shown(" { } ").unwrap(), []);
        let (_, place) = document(b"{\"value\":[ ]}").unwrap().remove(0);
        assert_eq!(elements(b"{\"value\":[ ]}", place).unwrap(), []);
    }

    #[test]
    fn what_is_cut_off_or_strange_is_broken() {
        let whole = r#"{"value":[{"a":"b\"c"},2],"n":null}"#;
        for end in 0..whole.len() {
            assert!(document(&whole.as_bytes()[..end]).is_err(), "{}", &whole[..end]);
        }
        for text in ["<html>", "[]", "{} {}", "{\"a\" 1}", "{\"a\":}", "{\"a\":1,}", "{1:2}"] {
            assert!(document(text.as_bytes()).is_err(), "{text}");
        }
        assert!(elements(b"[1 2]", 0..5).is_err() && elements(b"{}", 0..2).is_err());
    }

    #[test]
    fn depth_costs_nothing() {
        let text = format!("{{\"value\":[{}{}]}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let (_, place) = document(text.as_bytes()).unwrap().remove(0);
        assert_eq!(elements(text.as_bytes(), place).unwrap().len(), 1);
    }
}
