//! From a page of either backend to audit records: bytes as received, and the id by which passes are compared.

use std::borrow::Cow;
use std::ops::Range;

use ring::digest::{SHA256, digest};
use serde::Deserialize;

use crate::exchange::wire::lenient;
use crate::windows::envelope::{Broken, document, elements, members, string};

/// What makes two records the same one: the first 128 bits of the SHA-256 of the id, or of the whole record where it
/// has none.
pub(crate) type RecordKey = u128;

/// An audit record of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The record, one JSON object.
    pub(crate) text: Vec<u8>,
    pub(crate) key: RecordKey,
}

/// What a page held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The records. What has no audit data in it stands here as it came: nothing is left out.
    pub(crate) found: Vec<Found>,
    /// The next page, if there is one.
    pub(crate) next_link: Option<String>,
    /// How many records the service says the page holds, where it says so.
    pub(crate) count: Option<u64>,
}

impl Page {
    /// How many records it holds.
    pub(crate) fn len(&self) -> u64 {
        self.found.len() as u64
    }
}

/// Reads a page of Graph. What stands around `auditData` is left behind: its user fields are crossed, and its address
/// is missing.
///
/// # Errors
/// What is wrong with the page as a whole. It was probably cut off, which another try mends.
pub(crate) fn graph_page(body: &[u8]) -> Result<Page, Broken> {
    let mut page = Page { found: Vec::new(), next_link: None, count: None };
    let mut records = None;
    for (name, place) in document(body)? {
        match name.as_ref() {
            "value" => records = Some(elements(body, place)?),
            "@odata.nextLink" => page.next_link = string(body, place).filter(|link| !link.is_empty()),
            "@odata.count" => {
                let text = std::str::from_utf8(&body[place]).unwrap_or_default();
                page.count = text.trim_matches('"').parse().ok();
            }
            _ => {}
        }
    }
    for record in records.ok_or(Broken { at: 0, what: "a list of records in a member `value`" })? {
        let text = audit_data(body, record.clone()).unwrap_or_else(|| body[record].to_vec());
        page.found.push(found(text));
    }
    Ok(page)
}

/// The bytes of a record's `auditData`, if that is an object.
fn audit_data(body: &[u8], record: Range<usize>) -> Option<Vec<u8>> {
    let place = members(body, record).ok()?.into_iter().find(|(name, _)| name == "auditData")?.1;
    match body[place.clone()].first() {
        Some(b'{') => Some(body[place].to_vec()),
        _ => inner(string(body, place)?),
    }
}

/// A JSON object that came as a string.
fn inner(text: String) -> Option<Vec<u8>> {
    text.trim_start().starts_with('{').then(|| text.into_bytes())
}

/// A row of Search-UnifiedAuditLog.
#[derive(Debug, Deserialize)]
struct SearchRow<'a> {
    #[serde(borrow, default, rename = "AuditData")]
    audit_data: Option<Cow<'a, str>>,
    #[serde(default, rename = "ResultIndex", deserialize_with = "lenient")]
    index: Option<i64>,
    #[serde(default, rename = "ResultCount", deserialize_with = "lenient")]
    count: Option<i64>,
}

/// A row of Search-UnifiedAuditLog: the record, and its place in the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The record; the row as it came if there is none in it.
    pub(crate) record: Found,
    /// Which row of the session it is, from 1. -1 tells of a time-out inside the service.
    pub(crate) index: Option<i64>,
    /// How many rows the session has in all.
    pub(crate) count: Option<i64>,
}

/// Reads a row of Search-UnifiedAuditLog.
pub(crate) fn search_row(row: &[u8]) -> Row {
    let (data, index, count) = match serde_json::from_slice::<SearchRow<'_>>(row) {
        Ok(SearchRow { audit_data, index, count }) => (audit_data, index, count),
        Err(_) => (None, None, None),
    };
    let text = data.and_then(|data| inner(data.into_owned())).unwrap_or_else(|| row.to_vec());
    Row { record: found(text), index, count }
}

#[derive(Deserialize)]
struct WithId<'a> {
    #[serde(borrow, default, rename = "Id")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "Identity")]
    identity: Option<Cow<'a, str>>,
}

/// A record with its key: from `Id` (audit records), else from `Identity` (mailbox audit), else from all of it.
pub(crate) fn found(text: Vec<u8>) -> Found {
    let ids = serde_json::from_slice::<WithId<'_>>(&text).ok();
    let id = ids.and_then(|ids| ids.id.or(ids.identity)).filter(|id| !id.is_empty());
    let hash = digest(&SHA256, id.as_deref().map_or(&text, str::as_bytes));
    let key = u128::from_be_bytes(hash.as_ref().first_chunk().copied().unwrap_or_default());
    drop(id);
    Found { text, key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_page_gives_audit_data_as_received() {
        let body = br##"{"@odata.count":"3","value":[
            {"id":"1","userId":"1003","clientIp":null,"auditData":{"@odata.type":"#x", "Id":"a","Size":1.0}},
            {"id":"2","auditData":"{\"Id\":\"b\"}"},
            {"id":"3","auditData":null}],"@odata.nextLink":"https://graph.microsoft.com/next"}"##;
        let page = graph_page(body).unwrap();
        let texts: Vec<&str> = page.found.iter().map(|found| std::str::from_utf8(&found.text).unwrap()).collect();
        let whole = r#"{"id":"3","auditData":null}"#;
        assert_eq!(texts, [r##"{"@odata.type":"#x", "Id":"a","Size":1.0}"##, r#"{"Id":"b"}"#, whole]);
        assert_eq!((page.count, page.next_link.as_deref()), (Some(3), Some("https://graph.microsoft.com/next")));
        assert!(graph_page(&body[..body.len() - 1]).is_err());
    }

    #[test]
    fn a_search_row_gives_its_audit_data_and_place() {
        let row = search_row(br#"{"AuditData":"{\"Id\":\"\\u00e9\"}","ResultIndex":3,"ResultCount":"9"}"#);
        assert_eq!(row.record.text, br#"{"Id":"\u00e9"}"#);
        assert_eq!((row.index, row.count), (Some(3), Some(9)));
        for text in [r#"{"ResultIndex":1}"#, r#"{"AuditData":"nothing"}"#, r#"{"AuditData":5}"#] {
            assert_eq!(search_row(text.as_bytes()).record.text, text.as_bytes());
        }
    }

    #[test]
    fn records_are_known_by_their_id() {
        let key = |text: &str| found(text.as_bytes().to_vec()).key;
        assert_eq!(key(r#"{"Id":"a","X":1}"#), key(r#"{"X":2,"Id":"a"}"#));
        assert_ne!(key(r#"{"Id":"a"}"#), key(r#"{"Id":"b"}"#));
        assert_ne!(key(r#"{"X":1}"#), key(r#"{"X":2}"#));
        assert_eq!(key(r#"{"Identity":"q","Operation":"x"}"#), key(r#"{"Identity":"q"}"#));
    }
}
