//! The audit log of one organisation: how it is asked for, and how its batches are read.

use std::time::Duration;

use crate::client::{Api, Trouble, Verdict};
use crate::windows::envelope::{self, Broken};
use crate::windows::{Feed, Pace, Page, Target, Window, encode};

/// What a page's path ends with, from the second one on.
const TOKEN: &str = "&continuationToken=";

/// The audit log of one organisation.
#[derive(Debug)]
pub(super) struct AuditLog {
    name: String,
    organization: String,
    batch_size: u32,
}

impl AuditLog {
    pub(super) fn new(organization: &str, batch_size: u32) -> AuditLog {
        // Names of organisations have no case.
        let name = format!("devops.{}", organization.to_ascii_lowercase());
        AuditLog { name, organization: organization.to_owned(), batch_size }
    }
}

impl Feed for AuditLog {
    fn name(&self) -> &str {
        &self.name
    }

    fn api(&self) -> Api {
        Api::DevOps
    }

    fn pace(&self) -> Pace {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Pace { overlap: hours(24), settle: Duration::from_secs(60), longest: hours(24), keeps: hours(90 * 24) }
    }

    fn id(&self) -> &'static str {
        "id"
    }

    fn ask(&self, window: &Window) -> Target {
        ask(&self.organization, self.batch_size, window)
    }

    fn page(&self, asked: &Target, text: &[u8]) -> Result<Page, Broken> {
        page(asked, text)
    }

    fn explain(&self, trouble: Trouble) -> Trouble {
        let organization = &self.organization;
        let meaning = match trouble.status {
            // The sign-in page comes with 200 and 203, or as a redirect to it.
            Some(200 | 203 | 302 | 401 | 403) => format!(
                "Azure DevOps does not let this identity read the audit log of `{organization}`: add it to the organisation \
                 (Organization settings, Users) with the permission \"View audit log\", and see that auditing is on \
                 (Organization settings, Policies); the organisation must be connected to this Entra tenant"
            ),
            Some(404) => format!("there is no organisation `{organization}`; its name is that in dev.azure.com/NAME"),
            _ => return trouble,
        };
        Trouble { verdict: Verdict::Stop, meaning, ..trouble }
    }
}

/// The first page of a window.
///
/// `skipAggregation` is always set: aggregated entries of `AuditLog.AccessLog` (which reading the log makes, too)
/// change their content from one read to the next.
fn ask(organization: &str, batch_size: u32, window: &Window) -> Target {
    Target::Path(format!(
        "/{organization}/_apis/audit/auditlog?startTime={}&endTime={}&batchSize={batch_size}&skipAggregation=true\
         &api-version=7.1-preview.1",
        encode(&window.start.to_string()),
        encode(&window.end.to_string()),
    ))
}

/// The records of a batch, and where the next one is. The last batch may have a token too: `hasMore` decides.
fn page(asked: &Target, text: &[u8]) -> Result<Page, Broken> {
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
        assert!(
            path.starts_with("/contoso/_apis/audit/auditlog?startTime=2026-01-05T00%3A00%3A00Z&endTime="),
            "{path}"
        );
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
