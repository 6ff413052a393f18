//! Message traces through the Reporting Web Service, as long as it answers.
//!
//! Microsoft switches it off. It may then refuse (410, 404), lead elsewhere, show a web page, fail for ever, or have no
//! address any more: whatever it is, the operator is told what it means and what to do, and the service is asked again
//! ever more rarely, an hour apart in the end.
//!
//! How it pages is not documented: a link `__next` is followed where there is one, and an answer without a link but as
//! long as a page may be ([`FULL`]) counts as cut off, so that a shorter window is asked for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::client::{Api, Trouble, Verdict};
use crate::windows::envelope::{self, Broken};
use crate::windows::{Feed, Pace, Page, Target, Window, encode};

/// From that many rows on, an answer may be cut off.
const FULL: usize = 1000;

/// What the feed's refusals may mean, beside their plain meaning.
const RETIRED: &str = "Microsoft switches the Reporting Web Service off since 6 April 2026, and newer tenants never had it: \
     where Graph has message traces (worldwide and GCC), use `endpoint: graph`; elsewhere leave it out: of a config the source, of `collect` the profile";

/// A service that did not answer so many times in a row, each time in spite of all patience with a single request, is
/// believed to be gone.
const ROUNDS: u32 = 3;

/// The one feed.
#[derive(Debug, Default)]
pub(super) struct MessageTraces {
    /// How many times in a row the service did not answer.
    silent: AtomicU32,
}

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
        self.silent.store(0, Ordering::Relaxed);
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
            _ if trouble.is_in_the_way() => Trouble {
                verdict: Verdict::Stop,
                meaning: format!("no answer of the service, which may be gone: {RETIRED}. Else {}", trouble.meaning),
                ..trouble
            },
            _ if is_silence(&trouble) => {
                let rounds = self.silent.fetch_add(1, Ordering::Relaxed) + 1;
                let verdict = if rounds < ROUNDS { Verdict::Retry } else { Verdict::Stop };
                let meaning = format!("{}. If it stays so, the service is gone: {RETIRED}", trouble.meaning);
                Trouble { verdict, meaning, ..trouble }
            }
            _ => trouble,
        }
    }
}

/// Whether the service gave no answer of its own.
fn is_silence(trouble: &Trouble) -> bool {
    let unheard = ["dns", "connection", "timeout", "broken"].contains(&trouble.code.as_str());
    let failed = trouble.status.is_some_and(|status| status >= 500);
    trouble.verdict == Verdict::Retry && (unheard || failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Refusal;

    #[test]
    fn windows_are_asked_for_in_the_services_own_way() {
        let window =
            Window { start: "2026-01-05T00:00:00Z".parse().unwrap(), end: "2026-01-05T01:00:00Z".parse().unwrap() };
        let Target::Path(path) = MessageTraces::default().ask(&window) else { panic!("no path") };
        let filter = encode("StartDate eq datetime'2026-01-05T00:00:00' and EndDate eq datetime'2026-01-05T01:00:00'");
        assert!(path.ends_with(&format!("?$format=json&$filter={filter}")), "{path}");
    }

    #[test]
    fn answers_have_rows_links_or_an_end_that_is_none() {
        let text = r#"{"d":{"results":[{"MessageTraceId":"1"}],"__next":"https://h/x?$skiptoken=1"}}"#;
        let read = |text: &str| MessageTraces::default().page(&Target::Path(String::new()), text.as_bytes());
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
            let told = MessageTraces::default().explain(trouble);
            assert_eq!(told.verdict, Verdict::Stop, "{status}");
            assert!(told.meaning.contains("endpoint: graph"), "{status}: {told}");
        }
        // A web page in place of an answer, and a redirect.
        for (status, body) in [(200, "<html>gone</html>"), (302, ""), (503, "<html>gone</html>")] {
            let told = MessageTraces::default().explain(Refusal::read(status, body.as_bytes()).judge(Api::Reporting));
            assert_eq!(told.verdict, Verdict::Stop, "{status}");
            assert!(
                told.meaning.contains("endpoint: graph") && told.to_string().contains(&status.to_string()),
                "{told}"
            );
        }
    }

    #[test]
    fn a_service_that_never_answers_is_gone_and_one_that_answers_at_times_is_not() {
        let feed = MessageTraces::default();
        let not_found = Trouble::new(Verdict::Retry, Api::Reporting, "dns", "no such host", "check DNS");
        let broken = Trouble { status: Some(503), code: "no code".to_owned(), ..not_found.clone() };
        let verdict = |trouble: &Trouble| {
            let told = feed.explain(trouble.clone());
            assert!(told.meaning.contains("check DNS") && told.meaning.contains("endpoint: graph"), "{told}");
            told.verdict
        };
        assert_eq!([&not_found, &broken].map(verdict), [Verdict::Retry, Verdict::Retry]);
        assert!(feed.page(&Target::Path(String::new()), br#"{"d":{"results":[]}}"#).is_ok());
        assert_eq!([&not_found, &broken, &not_found].map(verdict), [Verdict::Retry, Verdict::Retry, Verdict::Stop]);
        assert_eq!(verdict(&broken), Verdict::Stop);
        // A busy service is there.
        let busy = Trouble { verdict: Verdict::Throttled, status: Some(429), ..broken };
        assert_eq!(feed.explain(busy.clone()), busy);
    }
}
