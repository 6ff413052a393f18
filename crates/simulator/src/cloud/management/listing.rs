//! Which content became available when: windows, pages, links.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{LISTED_SECONDS, Outcome, content_type, fault, subscribed};
use crate::cloud::faults::FaultKind;
use crate::cloud::http::{Answer, Call, encode};
use crate::cloud::publish::{Publisher, Segment};
use crate::cloud::route::Api;
use crate::cloud::tenant::Tenant;
use crate::cloud::{Cloud, random, time};
use crate::world::Feed;

/// One line of a listing.
struct Entry {
    id: String,
    /// The id under which a part of it can be shown.
    part: Option<String>,
    created: Timestamp,
    expires: Timestamp,
}

/// One page of a listing.
pub(super) fn content(cloud: &Cloud, call: &Call, tenant: &Tenant) -> Outcome {
    let feed = content_type(call)?;
    let name = feed.content_type().unwrap_or_default();
    let (start, end) = window(cloud, call)?;
    let life = tenant.live(call.now);
    let subscription = subscribed(call, tenant, &life, &feed)?;
    let backfill = cloud.config.retention.backfill_hours as i64 * 3_600;
    let from = start.max(time::plus(subscription.since, -backfill));
    let mut entries = entries(&life.publisher, &feed, (from, end.min(time::plus(call.now, 1))));
    let first = time::plus(subscription.started, cloud.config.publishing.first_content_seconds as i64);
    entries.retain(|entry| call.now >= first && subscription.has(entry.created));
    let strike = |kind| cloud.faults.strikes(kind, Api::Management, Some(tenant.id()), &call.path);
    let strikes = |kind| strike(kind).is_some();
    // Of a blob that became available as the window begins, the true service has been seen to show a part alone.
    if let Some(first) = entries.first_mut().filter(|first| first.created.as_second() == start.as_second())
        && first.part.is_some()
        && strikes(FaultKind::PartialBlob)
    {
        first.id = first.part.take().unwrap_or_default();
    }

    let offset = match call.parameter("nextPage") {
        None => 0,
        Some(token) => read_page(&token, name, (start, end))
            .ok_or_else(|| fault(call, 400, "AF20031", "Invalid nextPage input."))?,
    };
    let size = cloud.config.limits.management_page.max(1);
    let page_url = |offset: usize| {
        // The documented link has another version in its path, and lacks the publisher.
        let path = call.path.replacen("/api/v1.0/", "/api/v1/", 1);
        let (start_text, end_text) = (time::seconds(start), time::seconds(end));
        let token = write_page(name, (start, end), offset);
        format!(
            "{}{path}?contentType={name}&startTime={start_text}&endTime={end_text}&nextPage={}",
            call.origin,
            encode(&token)
        )
    };
    // A repeated page shows again what stood before it, and leads to where this one should have been.
    if offset >= size && strikes(FaultKind::RepeatPage) {
        let before: Vec<Value> =
            entries.iter().skip(offset - size).take(size).map(|entry| entry_json(call, tenant, name, entry)).collect();
        return Ok(Answer::json(200, &json!(before)).with("nextpageuri", page_url(offset)));
    }
    if offset < entries.len() && strikes(FaultKind::EmptyPage) {
        return Ok(Answer::json(200, &json!([])).with("nextpageuri", page_url(offset)));
    }
    let mut page: Vec<Value> =
        entries.iter().skip(offset).take(size).map(|entry| entry_json(call, tenant, name, entry)).collect();
    if let Some(strike) = (!page.is_empty()).then(|| strike(FaultKind::HostileUri)).flatten() {
        lure(cloud, call, name, &mut page, strike.number);
    }
    let answer = Answer::json(200, &json!(page));
    let next = offset + size;
    if next >= entries.len() {
        return Ok(answer);
    }
    if strikes(FaultKind::HostileLink) {
        let link = page_url(next).replacen(&call.origin, &cloud.foreign, 1);
        return Ok(answer.with("nextpageuri", link));
    }
    Ok(answer.with("nextpageuri", page_url(next)))
}

/// Makes a page point at the foreign host: by an entry more for content that is not there, or in place of a true URI.
fn lure(cloud: &Cloud, call: &Call, name: &str, page: &mut Vec<Value>, number: u64) {
    if number.is_multiple_of(2) {
        let uri = page[0]["contentUri"].as_str().unwrap_or_default().replacen(&call.origin, &cloud.foreign, 1);
        page[0]["contentUri"] = json!(uri);
        return;
    }
    let mut lure = page[0].clone();
    let id = content_id(name, call.now, "999999");
    lure["contentUri"] = json!(format!("{}{}/audit/{id}", cloud.foreign, feed_root(call)));
    lure["contentId"] = json!(id);
    page.push(lure);
}

fn feed_root(call: &Call) -> String {
    let end = call.path.find("/subscriptions").unwrap_or(call.path.len());
    call.path[..end].replacen("/api/v1/", "/api/v1.0/", 1)
}

fn entry_json(call: &Call, tenant: &Tenant, name: &str, entry: &Entry) -> Value {
    json!({
        "contentType": name,
        "contentId": entry.id,
        "contentUri": format!("{}/api/v1.0/{}/activity/feed/audit/{}", call.origin, tenant.id(), entry.id),
        "contentCreated": time::millis(entry.created),
        "contentExpiration": time::millis(entry.expires),
    })
}

/// The window, checked as the service does.
fn window(cloud: &Cloud, call: &Call) -> Result<(Timestamp, Timestamp), Answer> {
    let rule = "startTime and endTime must both be specified (or both omitted) and must be less than or equal to 24 \
                hours apart, with the start time no more than 7 days in the past.";
    let read = |name: &str| match call.parameter(name) {
        None => Ok(None),
        Some(text) => time::parse(&text).map(Some).ok_or_else(|| {
            fault(call, 400, "AF20002", &format!("Invalid parameter type: {name}. Expected type: datetime."))
        }),
    };
    let (start, end) = match (read("startTime")?, read("endTime")?) {
        (Some(start), Some(end)) => (start, end),
        (None, None) => (time::plus(call.now, -86_400), call.now),
        _ => return Err(fault(call, 400, "AF20030", rule)),
    };
    let oldest = time::plus(call.now, -LISTED_SECONDS);
    if start >= end || start < oldest {
        return Err(fault(call, 400, "AF20055", &format!("{rule} The start time must be before the end time.")));
    }
    if time::between(start, end) > 86_400.0 {
        if cloud.config.limits.management_partial_windows {
            return Ok((start, time::plus(start, 86_400)));
        }
        return Err(fault(call, 400, "AF20055", rule));
    }
    Ok((start, end))
}

/// What became available in `[start, end)`, in that order.
fn entries(publisher: &Publisher, feed: &Feed, (start, end): (Timestamp, Timestamp)) -> Vec<Entry> {
    let name = feed.content_type().unwrap_or_default();
    let segments = publisher.segments(feed);
    let first = segments.partition_point(|segment| segment.created < start);
    let mut entries: Vec<Entry> = segments
        .iter()
        .enumerate()
        .skip(first)
        .take_while(|(_, segment)| segment.created < end)
        .map(|(index, segment)| Entry {
            id: segment_id(name, index, segment),
            part: (segment.rows.len() > 1).then(|| part_id(name, index, segment)),
            created: segment.created,
            expires: segment.expires,
        })
        .collect();
    for (series, bulk) in publisher.bulk().iter().enumerate().filter(|(_, bulk)| bulk.content_type() == name) {
        for blob in (0..bulk.blobs()).filter(|blob| (start..end).contains(&bulk.created(*blob))) {
            let created = bulk.created(blob);
            let expires = created.saturating_add(publisher.content_life()).unwrap_or(created);
            let id = content_id(name, created, &format!("9{series}{blob:07}"));
            entries.push(Entry { id, part: None, created, expires });
        }
    }
    entries.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    entries
}

/// The content id of a published segment.
pub(super) fn segment_id(name: &str, index: usize, segment: &Segment) -> String {
    content_id(name, segment.created, &format!("0{index:06}"))
}

/// The content id of a part of a published segment.
pub(super) fn part_id(name: &str, index: usize, segment: &Segment) -> String {
    content_id(name, segment.created, &format!("1{index:06}"))
}

/// As the service writes it: moment and serial twice, then the content type in two spellings.
fn content_id(name: &str, created: Timestamp, serial: &str) -> String {
    let stamp = created.strftime("%Y%m%d%H%M%S%3f");
    let type_name = name.replace('.', "_");
    format!("{stamp}{serial}${stamp}{serial}${}${type_name}", type_name.to_ascii_lowercase())
}

/// Page tokens say what they belong to; one that was edited, or moved to another window, is refused.
fn write_page(name: &str, (start, end): (Timestamp, Timestamp), offset: usize) -> String {
    let text = format!("{offset} {name} {start} {end}");
    URL_SAFE_NO_PAD.encode(format!("{:016x} {text}", random::hash(77, &text)))
}

fn read_page(token: &str, name: &str, (start, end): (Timestamp, Timestamp)) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let offset = text.split(' ').nth(1)?.parse().ok()?;
    // Links carry whole seconds, the first request may not have.
    let whole = |time: Timestamp| Timestamp::from_second(time.as_second()).unwrap_or(time);
    [(start, end), (whole(start), whole(end))]
        .into_iter()
        .any(|window| write_page(name, window, offset) == token)
        .then_some(offset)
}
