//! The audit log of one organisation: how it is asked for, and how its batches are read.

use crate::windows::envelope::{self, Broken};
use crate::windows::{Page, Target, Window, encode};

/// What a page's path ends with, from the second one on.
const TOKEN: &str = "&continuationToken=";

/// The first page of a window.
///
/// `skipAggregation` is always set: aggregated entries of `AuditLog.AccessLog` (which reading the log makes, too)
/// change their content from one read to the next.
pub(super) fn ask(organization: &str, batch_size: u32, window: &Window) -> Target {
    Target::Path(format!(
        "/{organization}/_apis/audit/auditlog?startTime={}&endTime={}&batchSize={batch_size}&skipAggregation=true\
         &api-version=7.1-preview.1",
        encode(&window.start.to_string()),
        encode(&window.end.to_string()),
    ))
}

/// The records of a batch, and where the next one is. The last batch may have a token too: `hasMore` decides.
pub(super) fn page(asked: &Target, text: &[u8]) -> Result<Page, Broken> {
    let (mut records, mut token, mut more) = (None, None, false);
    for (name, place) in envelope::document(text)? {
        match name.as_ref() {
            "decoratedAuditLogEntries" => records = Some(envelope::elements(text, place)?),
            "continuationToken" => token = envelope::string(text, place).filter(|token| !token.is_empty()),
            "hasMore" => more = &text[place] == b"true",
            _ => {}
        }
    }
    let records = records.ok_or(Broken { at: 0, what: "a list of records in `decoratedAuditLogEntries`" })?;
    let (Target::Path(path) | Target::Link(path)) = asked;
    let first = path.split_once(TOKEN).map_or(path.as_str(), |(first, _)| first);
    let next = match token {
        Some(token) if more => Some(Target::Path(format!("{first}{TOKEN}{}", encode(&token)))),
        None if more => return Err(Broken { at: 0, what: "a `continuationToken`, for `hasMore` is true" }),
        _ => None,
    };
    Ok(Page { records, next, cut: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> Target {
        let window =
            Window { start: "2026-01-05T00:00:00Z".parse().unwrap(), end: "2026-01-05T01:00:00Z".parse().unwrap() };
        ask("contoso", 200, &window)
    }

    fn read(asked: &Target, text: &str) -> Page {
        page(asked, text.as_bytes()).unwrap()
    }

    #[test]
    fn has_more_decides_and_not_the_token() {
        let first = first();
        let Target::Path(path) = &first else { panic!("no path") };
        assert!(path.starts_with("/contoso/_apis/audit/auditlog?startTime=2026-01-05T00%3A00%3A00Z&endTime="), "{path}");
        let more = r#"{"decoratedAuditLogEntries":[{"id":"1"}],"continuationToken":"25;a b","hasMore":true}"#;
        let second = read(&first, more).next.unwrap();
        assert_eq!(second, Target::Path(format!("{path}&continuationToken=25%3Ba%20b")));
        let third = read(&second, &more.replace("25;a b", "26")).next.unwrap();
        assert_eq!(third, Target::Path(format!("{path}&continuationToken=26")));
        let last = read(&third, &more.replace("true", "false"));
        assert_eq!((last.records.len(), last.next), (1, None));
    }

    #[test]
    fn what_is_no_batch_is_broken() {
        let first = first();
        let without_token = r#"{"decoratedAuditLogEntries":[],"hasMore":true}"#;
        for text in [without_token, "{}", "<html>", r#"{"decoratedAuditLogEntries":null}"#] {
            assert!(page(&first, text.as_bytes()).is_err(), "{text}");
        }
    }
}
