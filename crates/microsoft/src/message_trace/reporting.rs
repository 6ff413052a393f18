//! Message traces through the Reporting Web Service, as long as it answers.
//!
//! How it pages is not documented: a link `__next` is followed where there is one, and an answer without a link but as
//! long as a page may be ([`FULL`]) counts as cut off, so that a shorter window is asked for.

use std::time::Duration;

use crate::client::{Api, Trouble, Verdict};
use crate::windows::envelope::{self, Broken};
use crate::windows::{Feed, Pace, Page, Target, Window, encode};

/// From that many rows on, an answer may be cut off.
const FULL: usize = 1000;

/// What the feed's refusals may mean, beside their plain meaning.
const RETIRED: &str = "Microsoft switches the Reporting Web Service off since 6 April 2026, and newer tenants never had it: \
     where Graph has message traces (worldwide and GCC), use `endpoint: graph`";

/// The one feed.
#[derive(Debug)]
pub(super) struct MessageTraces;

impl Feed for MessageTraces {
    fn name(&self) -> &str {
        // Another name than Graph's: ids differ, so do cursors.
        "message_trace.reporting"
    }

    fn api(&self) -> Api {
        Api::Reporting
    }

    fn pace(&self) -> Pace {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        // Ten days back are refused; an hour is for the time that reading takes.
        Pace { overlap: hours(48), settle: Duration::from_secs(60), longest: hours(24), keeps: hours(10 * 24 - 1) }
    }

    fn id(&self) -> &'static str {
        "MessageTraceId"
    }

    fn ask(&self, window: &Window) -> Target {
        let time = |time: jiff::Timestamp| time.to_string().trim_end_matches('Z').to_owned();
        let (start, end) = (time(window.start), time(window.end));
        // `eq` means the bounds of the window here.
        let filter = format!("StartDate eq datetime'{start}' and EndDate eq datetime'{end}'");
        Target::Path(format!(
            "/ecp/reportingwebservice/reporting.svc/MessageTrace?$format=json&$filter={}",
            encode(&filter)
        ))
    }

    fn page(&self, _asked: &Target, text: &[u8]) -> Result<Page, Broken> {
        let missing = Broken { at: 0, what: "a list of records in `d.results`" };
        let (_, inner) = envelope::document(text)?.into_iter().find(|(name, _)| name == "d").ok_or(missing.clone())?;
        let (mut records, mut next) = (None, None);
        for (name, place) in envelope::members(text, inner)? {
            match name.as_ref() {
                "results" => records = Some(envelope::elements(text, place)?),
                "__next" => next = envelope::string(text, place).filter(|link| !link.is_empty()),
                _ => {}
            }
        }
        let records = records.ok_or(missing)?;
        let cut = next.is_none() && records.len() >= FULL;
        Ok(Page { records, next: next.map(Target::Link), cut })
    }

    fn explain(&self, trouble: Trouble) -> Trouble {
        match trouble.status {
            Some(401 | 403) => Trouble {
                meaning: format!(
                    "the app needs the application permission ReportingWebService.Read.All of Office 365 Exchange Online \
                     and the Entra role Global Reader (or a like one); if it has both: {RETIRED}"
                ),
                ..trouble
            },
            Some(400 | 404 | 405 | 410) => Trouble { verdict: Verdict::Stop, meaning: RETIRED.to_owned(), ..trouble },
            _ => trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_asked_for_in_the_services_own_way() {
        let window =
            Window { start: "2026-01-05T00:00:00Z".parse().unwrap(), end: "2026-01-05T01:00:00Z".parse().unwrap() };
        let Target::Path(path) = MessageTraces.ask(&window) else { panic!("no path") };
        let filter = encode("StartDate eq datetime'2026-01-05T00:00:00' and EndDate eq datetime'2026-01-05T01:00:00'");
        assert!(path.ends_with(&format!("?$format=json&$filter={filter}")), "{path}");
    }

    #[test]
    fn answers_have_rows_links_or_an_end_that_is_none() {
        let text = r#"{"d":{"results":[{"MessageTraceId":"1"}],"__next":"https://h/x?$skiptoken=1"}}"#;
        let read = |text: &str| MessageTraces.page(&Target::Path(String::new()), text.as_bytes());
        let page = read(text).unwrap();
        assert_eq!((page.records.len(), page.next), (1, Some(Target::Link("https://h/x?$skiptoken=1".to_owned()))));
        let rows = |count| format!(r#"{{"d":{{"results":[{}]}}}}"#, vec!["{}"; count].join(","));
        assert!(!read(&rows(FULL - 1)).unwrap().cut);
        assert!(read(&rows(FULL)).unwrap().cut);
        for wrong in ["<feed/>", "{}", r#"{"d":[]}"#, r#"{"d":{}}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn retirement_is_told() {
        for (status, verdict) in
            [(404, Verdict::Skip), (410, Verdict::Handle), (403, Verdict::Stop), (400, Verdict::Stop)]
        {
            let trouble = Trouble { status: Some(status), ..Trouble::new(verdict, Api::Reporting, "x", "", "") };
            let told = MessageTraces.explain(trouble);
            assert_eq!(told.verdict, Verdict::Stop, "{status}");
            assert!(told.meaning.contains("endpoint: graph"), "{status}: {told}");
        }
    }
}
