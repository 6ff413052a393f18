//! What the engine must know of a feed: how a window is asked for, and where the records of an answer stand.

use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

use downspout_core::json::{self, Home};

use super::envelope::{self, Broken};
use super::plan::Window;
use crate::client::{Api, PoliteClient, Request, Trouble, Verdict};

/// One feed of one tenant: a log that is asked for by time.
pub(crate) trait Feed: Debug + Send + Sync {
    /// Its name: the second part of the shard, and what messages call it.
    fn name(&self) -> &str;

    /// Whose budget and token its requests take.
    fn api(&self) -> Api;

    /// Headers of every request.
    fn headers(&self) -> &[(&'static str, &'static str)] {
        &[]
    }

    /// What bounds it.
    fn pace(&self) -> Pace;

    /// The member that identifies a record. A record without it is never taken for one that was sent.
    fn id(&self) -> &'static str;

    /// The first page of a window.
    fn ask(&self, window: &Window) -> Target;

    /// Reads the answer that `asked` got.
    ///
    /// # Errors
    /// [`Broken`] if it is not what it should be; the same is then asked again.
    fn page(&self, asked: &Target, text: &[u8]) -> Result<Page, Broken>;

    /// Judges trouble better than the common tables do: what it means for this feed, and what to do.
    fn explain(&self, trouble: Trouble) -> Trouble {
        trouble
    }
}

/// What bounds a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Up to which age stretches are read again, unless the config says otherwise.
    pub(crate) overlap: Duration,
    /// How old the newest stretch is that is worth asking for.
    pub(crate) settle: Duration,
    /// The longest window that the service takes.
    pub(crate) longest: Duration,
    /// How far back the service knows anything.
    pub(crate) keeps: Duration,
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// Path and query below the service's base, encoded.
    Path(String),
    /// A whole URL that the service gave. It is checked before a token goes there.
    Link(String),
}

/// One answer of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Where the records stand in the answer's text.
    pub(crate) records: Vec<Range<usize>>,
    /// The next page; `None` behind the last one.
    pub(crate) next: Option<Target>,
    /// The service gives no more than that and does not say whether there is more: a shorter window must be asked for.
    pub(crate) cut: bool,
}

/// Encodes a query's value: everything but letters, digits and `-._~`. Graph refuses blanks and quotes as they are.
pub(crate) fn encode(value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    encoded
}

/// The request for a page.
///
/// # Errors
/// If the cloud has no such service, or a link leads out of it: then the trouble's code is `foreign_url`.
pub(crate) fn request(feed: &dyn Feed, client: &PoliteClient, target: &Target) -> Result<Request, Trouble> {
    let api = feed.api();
    let url = match target {
        Target::Path(path) => client.cloud().url(api.service(), path).map_err(|foreign| {
            let meaning = "the feed cannot be read in this cloud";
            Trouble::new(Verdict::Stop, api, "no_service", foreign.to_string(), meaning)
        })?,
        Target::Link(link) => client.accept(api, link)?,
    };
    let request = Request::get(api, url);
    Ok(feed
        .headers()
        .iter()
        .fold(request, |request, (name, value)| request.header(reqwest::header::HeaderName::from_static(name), value)))
}

/// The request for the first page of a window.
///
/// # Errors
/// As [`request`].
pub(crate) fn first_request(feed: &dyn Feed, client: &PoliteClient, window: &Window) -> Result<Request, Trouble> {
    request(feed, client, &feed.ask(window))
}

/// How a service writes the bounds of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// `time ge A and time le B`, as Graph understands it everywhere.
    Inclusive,
    /// `time gt A and time lt B`, with both ends a second further out, so that the same records are in it.
    Strict,
    /// As `Inclusive`, with the times in single quotes, as Azure Resource Manager wants them.
    Quoted,
}

/// A feed in the form that most have: a collection with a filter on a time, and links from page to page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collection {
    /// Path and query up to the filter's value: it ends with `$filter=`.
    pub(crate) path: String,
    /// The member that the filter is on.
    pub(crate) time: &'static str,
    /// How the filter writes the bounds.
    pub(crate) bounds: Bounds,
    /// A condition behind the bounds.
    pub(crate) and: Option<String>,
    /// The member that holds the link to the next page.
    pub(crate) link: &'static str,
}

impl Collection {
    /// The first page of a window.
    pub(crate) fn ask(&self, window: &Window) -> Target {
        let Collection { time, .. } = self;
        let second = std::time::Duration::from_secs(1);
        let (start, end) = (window.start, window.end);
        let mut filter = match self.bounds {
            Bounds::Inclusive => format!("{time} ge {start} and {time} le {end}"),
            Bounds::Strict => {
                let (start, end) = (crate::clock::minus(start, second), crate::clock::plus(end, second));
                format!("{time} gt {start} and {time} lt {end}")
            }
            Bounds::Quoted => format!("{time} ge '{start}' and {time} le '{end}'"),
        };
        if let Some(and) = &self.and {
            filter.push_str(" and ");
            filter.push_str(and);
        }
        Target::Path(format!("{}{}", self.path, encode(&filter)))
    }

    /// The records and the link of an answer.
    ///
    /// # Errors
    /// [`Broken`] if it is no such collection.
    pub(crate) fn page(&self, text: &[u8]) -> Result<Page, Broken> {
        let (mut records, mut next) = (None, None);
        for (name, place) in envelope::document(text)? {
            if name == "value" {
                records = Some(envelope::elements(text, place)?);
            } else if name == self.link {
                next = envelope::string(text, place).filter(|link| !link.is_empty());
            }
        }
        let records = records.ok_or(Broken { at: 0, what: "a list of records in a member `value`" })?;
        Ok(Page { records, next: next.map(Target::Link), cut: false })
    }
}

/// Whether every record of a page is JSON.
pub(crate) fn whole(text: &[u8], page: &Page) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut nodes = Vec::new();
    page.records.iter().all(|place| {
        nodes.clear();
        json::parse(text, place.start, place.end, Home::Raw, &mut nodes).is_ok()
    })
}

/// Whether a record has that member at its top, with something in it.
pub(crate) fn has(record: &[u8], member: &str) -> bool {
    let found = envelope::document(record).unwrap_or_default();
    found.into_iter().any(|(name, place)| name == member && !matches!(&record[place], b"null" | b"\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collection(bounds: Bounds, and: Option<&str>) -> Collection {
        Collection {
            path: "/v1.0/x?$top=5&$filter=".to_owned(),
            time: "t",
            bounds,
            and: and.map(str::to_owned),
            link: "@odata.nextLink",
        }
    }

    fn window() -> Window {
        Window { start: "2026-01-05T00:00:00Z".parse().unwrap(), end: "2026-01-05T01:00:00Z".parse().unwrap() }
    }

    #[test]
    fn filters_are_written_as_services_want_them() {
        let cases = [
            (Bounds::Inclusive, None, "t ge 2026-01-05T00:00:00Z and t le 2026-01-05T01:00:00Z"),
            (Bounds::Strict, None, "t gt 2026-01-04T23:59:59Z and t lt 2026-01-05T01:00:01Z"),
            (
                Bounds::Quoted,
                Some("a eq 'b'"),
                "t ge '2026-01-05T00:00:00Z' and t le '2026-01-05T01:00:00Z' and a eq 'b'",
            ),
        ];
        for (bounds, and, filter) in cases {
            let Target::Path(path) = collection(bounds, and).ask(&window()) else { panic!("no path") };
            assert_eq!(path, format!("/v1.0/x?$top=5&$filter={}", encode(filter)));
        }
        assert_eq!(encode("a b'/(:;é"), "a%20b%27%2F%28%3A%3B%C3%A9");
    }

    #[test]
    fn pages_have_records_and_a_link() {
        let feed = collection(Bounds::Inclusive, None);
        let text = br#"{"@odata.context":"c","@microsoft.graph.tips":{"value":[9]},"@odata.nextLink":"https://h/?a=1\u0026b","value":[{"id":1},{"id":2}]}"#;
        let page = feed.page(text).unwrap();
        let records: Vec<&[u8]> = page.records.into_iter().map(|place| &text[place]).collect();
        assert_eq!(records, [br#"{"id":1}"#, br#"{"id":2}"#]);
        assert_eq!(page.next, Some(Target::Link("https://h/?a=1&b".to_owned())));
        for last in
            [r#"{"value":[]}"#, r#"{"value":[],"@odata.nextLink":null}"#, r#"{"value":[],"@odata.nextLink":""}"#]
        {
            assert_eq!(feed.page(last.as_bytes()).unwrap(), Page { records: Vec::new(), next: None, cut: false });
        }
        for wrong in [r#"{"error":{}}"#, "<html></html>", r#"{"value":{}}"#, ""] {
            assert!(feed.page(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_record_is_identified_by_a_member_that_holds_something() {
        assert!(has(br#"{"a":{"id":1},"id":"x"}"#, "id"));
        for record in [r#"{"a":{"id":1}}"#, r#"{"id":null}"#, r#"{"id":""}"#, "[]", "{"] {
            assert!(!has(record.as_bytes(), "id"), "{record}");
        }
    }
}
