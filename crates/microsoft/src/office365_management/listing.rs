//! Listing: which blobs there are in a window of time.
//!
//! A window has at most 24 hours and begins at most 7 days back; longer ones may be answered with a part, and no error.
//! Pages are linked by the header `NextPageUri`. A link that comes again would lead in circles: the window is then listed
//! anew. A window counts as listed only when its last page was read.

use std::collections::HashMap;
use std::time::Duration;

use downspout_core::StageError;
use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use super::feed::Feed;
use super::subscription;
use crate::client::{Answer, Api, INVALID_JSON, Request, Trouble, Verdict};
use crate::clock::{between, minus, plus};
use crate::config::Mode;
use crate::ledger::{Gap, Reason};

/// The longest window; with [`LEAD`] Microsoft's 24 hours.
const LONGEST: Duration = Duration::from_secs(86_400 - 1);

/// How much earlier a window is asked for: of a blob that became available in the very second in which a window begins,
/// the service may show a part alone. The window before has shown it whole.
const LEAD: Duration = Duration::from_secs(1);

/// How far back a window may begin: 7 days, less what clocks differ.
pub(super) const REACH: Duration = Duration::from_secs(7 * 86_400 - 300);

/// How long content lives when the service does not say.
pub(super) const LIFE: Duration = Duration::from_secs(7 * 86_400);

/// How often a page may come again before its window is listed anew.
const REPEATS: u32 = 4;

/// How often a window is listed anew because its pages did not hold together.
const ATTEMPTS: u32 = 4;

/// A blob, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) id: String,
    pub(super) uri: String,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
}

/// As the service writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    content_id: Option<String>,
    content_uri: Option<String>,
    content_created: Option<String>,
    content_expiration: Option<String>,
}

impl Item {
    fn read(self, now: Timestamp) -> Option<Content> {
        let created = self.content_created.as_deref().and_then(time).unwrap_or(now);
        let expires = self.content_expiration.as_deref().and_then(time).unwrap_or(plus(created, LIFE));
        let uri = self.content_uri.unwrap_or_default();
        // One of both is enough to fetch it.
        let id = self.content_id.filter(|id| !id.is_empty()).or_else(|| {
            let last = uri.rsplit('/').next()?;
            Some(last.split('?').next()?.to_owned()).filter(|id| !id.is_empty())
        })?;
        Some(Content { id, uri, created, expires })
    }
}

/// A time as Microsoft writes it: with a zone, or without one, which means UTC.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let plain: jiff::civil::DateTime = text.parse().ok()?;
        plain.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// Lists for as long as the source runs, or, with `mode: once`, until everything is listed.
pub(super) async fn run(feed: &Feed) -> Result<(), StageError> {
    let options = &feed.shared.options;
    subscription::ensure(feed).await?;
    // Behind the first answer, which tells how far the service's clock is from ours.
    let target = (options.mode == Mode::Once).then(|| options.until.unwrap_or_else(|| feed.client.service_now()));
    let now = feed.client.service_now();
    if let Some(told) = feed.backlog.began_later(minus(now, options.start.min(REACH))) {
        tracing::warn!(component = %feed.shared.context.id, "{}: {told}", feed.place());
    }
    let mut deep = Timestamp::MIN;
    loop {
        let now = feed.client.service_now();
        let end = target.map_or(now, |target| target.min(now));
        let is_last = target.is_some_and(|target| now >= target);
        let looks_deep = is_last || between(deep, now) >= Duration::from_secs(3600);
        let back = match (looks_deep, feed.backlog.first_listed()) {
            // A new subscription lists nothing for half a day, and then also what is older than itself.
            (true, Some(first)) if feed.backlog.is_new()? => options.relist.max(between(first, now)),
            (true, _) => options.relist,
            (false, _) => options.overlap,
        };
        // Of content that became available in this very second there may be more.
        if let Some(from) = start(feed, end, back)? {
            windows(feed, from, end).await?;
        }
        if looks_deep {
            deep = now;
            feed.backlog.looked()?;
        }
        feed.measure_lag(feed.client.service_now());
        if is_last {
            return Ok(());
        }
        let pause = target.map_or(options.interval, |target| options.interval.min(between(now, target)));
        feed.clock.sleep(pause.max(Duration::from_secs(1))).await;
    }
}

/// Where to begin. What can no longer be listed becomes a gap.
fn start(feed: &Feed, end: Timestamp, back: Duration) -> Result<Option<Timestamp>, StageError> {
    let earliest = minus(feed.client.service_now(), REACH);
    let from = match feed.backlog.listed_until() {
        None => minus(feed.client.service_now(), feed.shared.options.start).max(earliest),
        Some(until) => {
            if until < earliest {
                expired(
                    feed,
                    until,
                    earliest,
                    "Microsoft lists 7 days, and nothing was collected for longer".to_owned(),
                )?;
            }
            minus(until, back).max(earliest)
        }
    };
    Ok((from < end).then_some(from))
}

/// Notes what can no longer be listed.
fn expired(feed: &Feed, start: Timestamp, end: Timestamp, detail: String) -> Result<(), StageError> {
    tracing::error!(
        tenant = feed.label(), feed = feed.backlog.feed(), from = %start, to = %end,
        "content expired before it could be listed: {detail}; `downspout gaps` shows what is missing"
    );
    feed.shared.context.metrics.error("expired");
    feed.backlog.gap(Gap { start, end, reason: Reason::Expired, detail, items: 0, filled_by: None })?;
    Ok(())
}

/// Lists from a time to another, a window at a time.
async fn windows(feed: &Feed, from: Timestamp, end: Timestamp) -> Result<(), StageError> {
    // What was listed before is listed again, and not missing if it cannot be.
    let known = feed.backlog.listed_until().unwrap_or(from);
    let mut start = from;
    while start < end {
        let until = plus(start, LONGEST).min(end);
        let mut attempt = 1;
        loop {
            match window(feed, start, until).await? {
                Listed::Whole => break,
                Listed::Again(trouble) if attempt >= ATTEMPTS => return Err(trouble.at(&feed.place())),
                Listed::Again(trouble) => {
                    feed.shared.context.metrics.error("listing");
                    tracing::debug!(tenant = feed.label(), feed = feed.backlog.feed(), "{trouble}; listing again");
                    attempt += 1;
                }
                Listed::TooOld(trouble) => {
                    // Our window had become too old by the time it was asked for.
                    let earliest = minus(feed.client.service_now(), REACH);
                    if start >= earliest || attempt >= ATTEMPTS {
                        let meaning = format!(
                            "the window from {start} to {until} was refused, though Microsoft takes windows of 24 hours \
                             within 7 days; check this machine's clock"
                        );
                        return Err(Trouble { verdict: Verdict::Stop, meaning, ..trouble }.at(&feed.place()));
                    }
                    if start.max(known) < earliest {
                        expired(feed, start.max(known), earliest, trouble.to_string())?;
                    }
                    start = earliest;
                    attempt += 1;
                }
            }
            if start >= until {
                break;
            }
        }
        feed.backlog.listed(start, until)?;
        start = start.max(until);
    }
    Ok(())
}

enum Listed {
    Whole,
    Again(Trouble),
    TooOld(Trouble),
}

async fn window(feed: &Feed, start: Timestamp, end: Timestamp) -> Result<Listed, StageError> {
    let place = || feed.place();
    let first = feed.url("subscriptions/content", &window_query(start, end)).map_err(|trouble| trouble.at(&place()))?;
    let mut next = Some(first);
    let mut followed: HashMap<Url, u32> = HashMap::new();
    let mut subscribed = false;
    while let Some(url) = next.take() {
        let now = feed.client.service_now();
        // A damaged page is asked for again by itself: of a long list some page always is, when many are.
        let page = feed.client.get_read(Request::get(Api::Management, url.clone()), |body| read(body, now)).await;
        let Answer { headers, body: page, .. } = match page {
            Ok(answer) => answer,
            Err(trouble) => match trouble.code.as_str() {
                "AF20022" | "AF20023" if !subscribed => {
                    subscription::restart(feed, &trouble).await?;
                    subscribed = true;
                    next = Some(url);
                    continue;
                }
                "AF20030" | "AF20055" => return Ok(Listed::TooOld(trouble)),
                "AF20031" | INVALID_JSON => return Ok(Listed::Again(trouble)),
                _ => return Err(trouble.at(&place())),
            },
        };
        feed.backlog.add(page)?;
        let link = headers.get("NextPageUri").or_else(|| headers.get("NextPageUrl"));
        let Some(link) = link.and_then(|link| link.to_str().ok()).filter(|link| !link.trim().is_empty()) else { break };
        let url = feed.client.accept(Api::Management, link.trim()).map_err(|foreign| {
            // Without its next page the window is not whole, and there is no other way to it.
            Trouble { verdict: Verdict::Retry, ..foreign }
        });
        let url = match url {
            Ok(url) => url,
            Err(foreign) => return Ok(Listed::Again(foreign)),
        };
        // A page may lead to itself for once: then it is simply asked for again.
        let times = followed.entry(url.clone()).or_insert(0);
        *times += 1;
        if *times > REPEATS {
            let told = "the link to the next page came again and again";
            let trouble =
                Trouble::new(Verdict::Retry, Api::Management, "repeated_page", told, "the pages go in circles");
            return Ok(Listed::Again(trouble));
        }
        next = Some(url);
    }
    Ok(Listed::Whole)
}

/// Times have whole seconds: the start is rounded down, and so is the end; the next window begins there.
fn window_query(start: Timestamp, end: Timestamp) -> Vec<(&'static str, String)> {
    let text = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    vec![("startTime", text(minus(start, LEAD))), ("endTime", text(end))]
}

fn read(body: &[u8], now: Timestamp) -> Result<Vec<Content>, serde_json::Error> {
    let items: Vec<Item> = serde_json::from_slice(body)?;
    let mut page: Vec<Content> = items.into_iter().filter_map(|item| item.read(now)).collect();
    // The order of a page is not to be trusted.
    page.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_zone_or_mean_utc() {
        let expected: Timestamp = "2026-01-05T09:15:00.123Z".parse().unwrap();
        for text in ["2026-01-05T09:15:00.123Z", "2026-01-05T09:15:00.123", "2026-01-05T10:15:00.123+01:00"] {
            assert_eq!(time(text), Some(expected), "{text}");
        }
        assert_eq!(time("yesterday"), None);
    }

    #[test]
    fn items_need_an_id_or_an_address() {
        let now = "2026-01-05T00:00:00Z".parse().unwrap();
        let read = |json: serde_json::Value| serde_json::from_value::<Item>(json).unwrap().read(now);
        let bare = read(serde_json::json!({ "contentUri": "https://x/audit/1$2$a?x=1", "extra": 1 })).unwrap();
        assert_eq!((bare.id.as_str(), bare.expires), ("1$2$a", plus(now, LIFE)));
        assert_eq!(read(serde_json::json!({ "contentCreated": "2026-01-05T00:00:00Z" })), None);
    }
}
