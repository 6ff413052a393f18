//! The Office 365 Management Activity API: subscriptions, content listings, blobs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::faults::FaultKind;
use super::http::{Answer, Call, Content, encode};
use super::publish::{Bulk, Publisher, Segment, content_feed};
use super::route::Api;
use super::server::{accepts_gzip, stream};
use super::services::{authorise, limit, problem};
use super::stats::count;
use super::tenant::{Life, Tenant};
use super::token::Claims;
use super::{Cloud, is_guid, random, time};
use crate::config::Trouble;
use crate::world::Feed;

/// The publisher of a client that names none.
pub(crate) const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// How far back a listing may begin: a little more than the documented seven days, as the true service does.
const LISTED_SECONDS: i64 = 7 * 86_400 + 3_600;

/// One content type's subscription.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) enabled: bool,
    pub(crate) since: Timestamp,
}

/// What a request asks for: a tenant's answer or a refusal.
type Outcome = Result<Answer, Answer>;

fn fault(call: &Call, status: u16, code: &str, message: &str) -> Answer {
    problem(Api::Management, status, code, message, call.now)
}

/// Serves the feed.
pub(crate) fn answer(cloud: &Cloud, call: &Call) -> Answer {
    serve(cloud, call).unwrap_or_else(|refusal| refusal)
}

fn serve(cloud: &Cloud, call: &Call) -> Outcome {
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["api", "v1.0" | "v1", name, "activity", "feed", rest @ ..] = parts.as_slice() else {
        return Err(Answer::empty(404));
    };
    let claims = authorise(cloud, Api::Management, call)?;
    let tenant = admit(cloud, call, name, &claims)?;
    let publisher = call.parameter("PublisherIdentifier");
    if publisher.is_none() {
        count(&cloud.stats.without_publisher);
    }
    if let Some(publisher) = publisher.as_deref().filter(|publisher| !is_guid(publisher)) {
        let message = format!("The parameter PublisherIdentifier has the value {publisher}, which is not a GUID.");
        return Err(fault(call, 400, "AF20002", &message));
    }
    let bucket = format!("management {}", publisher.as_deref().unwrap_or(NOBODY));
    let allowed = cloud.config.limits.management_per_minute;
    limit(cloud, (Api::Management, call), tenant, (&bucket, allowed, 60), false)?;
    match (call.method.as_str(), rest) {
        ("POST", ["subscriptions", "start"]) => start(call, tenant),
        ("POST", ["subscriptions", "stop"]) => stop(call, tenant),
        ("GET", ["subscriptions", "list"]) => Ok(list(tenant)),
        ("GET", ["subscriptions", "content"]) => content(cloud, call, tenant),
        ("GET", ["subscriptions", "notifications"]) => {
            content_type(call)?;
            // Webhooks are not served, so nobody was notified.
            Ok(Answer::json(200, &json!([])))
        }
        ("GET", ["resources", "dlpSensitiveTypes"]) => sensitive_types(call),
        ("GET", ["audit", id]) => blob(cloud, call, tenant, id),
        _ => Err(Answer::empty(404)),
    }
}

/// Checks whom the request is for, and whether the token may.
fn admit<'c>(cloud: &'c Cloud, call: &Call, name: &str, claims: &Claims) -> Result<&'c Tenant, Answer> {
    if !is_guid(name) {
        return Err(fault(call, 400, "AF20013", "The tenant ID passed in the URL is not a valid GUID."));
    }
    let tenant = cloud
        .tenant(name)
        .ok_or_else(|| fault(call, 400, "AF20011", "Specified tenant ID does not exist in the system."))?;
    if !name.eq_ignore_ascii_case(&claims.tenant) {
        let message = format!(
            "The tenant ID passed in the URL ({name}) does not match the tenant ID passed in the access token ({}).",
            claims.tenant
        );
        return Err(fault(call, 403, "AF20010", &message));
    }
    if !claims.any(&["ActivityFeed.Read", "ActivityFeed.ReadDlp"]) {
        let message = format!(
            "The permission set ({}) sent in the request did not include the expected permission ActivityFeed.Read.",
            claims.roles.join(" ")
        );
        return Err(fault(call, 401, "AF10001", &message).with("www-authenticate", "Bearer"));
    }
    if tenant.has(Trouble::AuditOff) {
        let id = tenant.id();
        let message = format!("Microsoft.Office.Compliance.Audit.DataServiceException: Tenant {id} does not exist.");
        return Err(fault(call, 400, "AF20011", &message));
    }
    Ok(tenant)
}

fn content_type(call: &Call) -> Result<Feed, Answer> {
    let name =
        call.parameter("contentType").ok_or_else(|| fault(call, 400, "AF20001", "Missing parameter: contentType."))?;
    content_feed(&name).ok_or_else(|| fault(call, 400, "AF20020", "The specified content type is not valid."))
}

fn start(call: &Call, tenant: &Tenant) -> Outcome {
    let feed = content_type(call)?;
    if call.json().is_some_and(|body| body.get("webhook").is_some_and(|webhook| !webhook.is_null())) {
        let message = "The webhook endpoint could not be validated: the simulated cloud does not call webhooks.";
        return Err(fault(call, 400, "AF20021", message));
    }
    let mut life = tenant.live(call.now);
    if tenant.has(Trouble::SubscriptionsDisabled) {
        return Err(disabled(call));
    }
    if life.subscriptions.get(&feed).is_some_and(|subscription| subscription.enabled) {
        return Err(fault(call, 400, "AF20024", "The subscription is already enabled. No property change."));
    }
    let answer = json!({ "contentType": feed.content_type(), "status": "enabled", "webhook": null });
    life.subscriptions.insert(feed, Subscription { enabled: true, since: call.now });
    Ok(Answer::json(200, &answer))
}

fn stop(call: &Call, tenant: &Tenant) -> Outcome {
    let feed = content_type(call)?;
    let mut life = tenant.live(call.now);
    subscribed(call, tenant, &life, &feed)?;
    if let Some(subscription) = life.subscriptions.get_mut(&feed) {
        subscription.enabled = false;
    }
    Ok(Answer::empty(200))
}

fn list(tenant: &Tenant) -> Answer {
    let disabled = tenant.has(Trouble::SubscriptionsDisabled);
    let list: Vec<Value> = tenant
        .quiet()
        .subscriptions
        .iter()
        .map(|(feed, subscription)| {
            let status = if subscription.enabled && !disabled { "enabled" } else { "disabled" };
            json!({ "contentType": feed.content_type(), "status": status, "webhook": null })
        })
        .collect();
    Answer::json(200, &json!(list))
}

fn disabled(call: &Call) -> Answer {
    fault(call, 400, "AF20023", "The subscription was disabled by a tenant admin.")
}

/// When the subscription began; an error without one.
fn subscribed(call: &Call, tenant: &Tenant, life: &Life, feed: &Feed) -> Result<Timestamp, Answer> {
    if tenant.has(Trouble::SubscriptionsDisabled) {
        return Err(disabled(call));
    }
    match life.subscriptions.get(feed) {
        None => Err(fault(call, 400, "AF20022", "No subscription found for the specified content type.")),
        Some(subscription) if !subscription.enabled => Err(disabled(call)),
        Some(subscription) => Ok(subscription.since),
    }
}

/// One line of a listing.
struct Entry {
    id: String,
    created: Timestamp,
    expires: Timestamp,
}

fn content(cloud: &Cloud, call: &Call, tenant: &Tenant) -> Outcome {
    let feed = content_type(call)?;
    let name = feed.content_type().unwrap_or_default();
    let (start, end) = window(cloud, call)?;
    let life = tenant.live(call.now);
    let since = subscribed(call, tenant, &life, &feed)?;
    let backfill = cloud.config.retention.backfill_hours as i64 * 3_600;
    let from = start.max(time::plus(since, -backfill));
    let entries = entries(&life.publisher, &feed, (from, end.min(time::plus(call.now, 1))));
    let strikes = |kind| cloud.faults.strikes(kind, Api::Management, Some(tenant.id()), &call.path).is_some();

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
    if !page.is_empty() && strikes(FaultKind::HostileUri) {
        let mut lure = page[0].clone();
        let id = content_id(name, call.now, "999999");
        lure["contentUri"] = json!(format!("{}{}/audit/{id}", cloud.foreign, feed_root(call)));
        lure["contentId"] = json!(id);
        page.push(lure);
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
            created: segment.created,
            expires: segment.expires,
        })
        .collect();
    for (series, bulk) in publisher.bulk().iter().enumerate().filter(|(_, bulk)| bulk.content_type() == name) {
        for blob in (0..bulk.blobs()).filter(|blob| (start..end).contains(&bulk.created(*blob))) {
            let created = bulk.created(blob);
            let expires = created.saturating_add(publisher.content_life()).unwrap_or(created);
            entries.push(Entry { id: content_id(name, created, &format!("9{series}{blob:07}")), created, expires });
        }
    }
    entries.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    entries
}

fn segment_id(name: &str, index: usize, segment: &Segment) -> String {
    content_id(name, segment.created, &format!("0{index:06}"))
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

fn blob(cloud: &Cloud, call: &Call, tenant: &Tenant, id: &str) -> Outcome {
    let bad = || fault(call, 400, "AF20052", "Content ID {0} in the URL is invalid.");
    let mut fields = id.split('$');
    let (Some(stamp), Some(_), Some(_), Some(kind)) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(bad());
    };
    let feed = content_feed(&kind.replace('_', ".")).ok_or_else(bad)?;
    let serial = stamp.get(17..).filter(|serial| serial.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(bad)?;
    let missing = || fault(call, 404, "AF20050", "The specified content does not exist.");
    let expired = || {
        fault(
            call,
            400,
            "AF20051",
            "Content requested with the key has already expired. Content older than 7 days cannot be retrieved.",
        )
    };
    let strikes = |kind| cloud.faults.strikes(kind, Api::Management, Some(tenant.id()), &call.path).is_some();
    let life = tenant.live(call.now);
    subscribed(call, tenant, &life, &feed)?;
    if let Some(rest) = serial.strip_prefix('9') {
        let (series, number) = rest.split_at_checked(1).ok_or_else(missing)?;
        let (series, number): (usize, u64) = series.parse().ok().zip(number.parse().ok()).ok_or_else(missing)?;
        let bulk = life.publisher.bulk().get(series).filter(|bulk| number < bulk.blobs()).ok_or_else(missing)?;
        let dies = bulk.created(number).saturating_add(life.publisher.content_life()).unwrap_or(Timestamp::MAX);
        if call.now >= dies || strikes(FaultKind::ContentGone) {
            return Err(expired());
        }
        cloud.stats.blob_bytes.fetch_add(bulk.size(), std::sync::atomic::Ordering::Relaxed);
        return Ok(bulk_blob(call, tenant, (bulk, series, number)));
    }
    let index: usize = serial.parse().map_err(|_| bad())?;
    let segment = life.publisher.segments(&feed).get(index).ok_or_else(missing)?;
    if segment_id(feed.content_type().unwrap_or_default(), index, segment) != id {
        return Err(missing());
    }
    if call.now >= segment.dies {
        if segment.dies < segment.expires && call.now < segment.expires {
            cloud.faults.note("early_expiry");
        }
        return Err(expired());
    }
    if strikes(FaultKind::ContentGone) {
        return Err(expired());
    }
    let body = segment.blob().ok_or_else(expired)?;
    cloud.stats.blob_bytes.fetch_add(segment.size() as u64, std::sync::atomic::Ordering::Relaxed);
    Ok(Answer {
        status: 200,
        headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
        content: Content::Gzip(body),
    })
}

fn bulk_blob(call: &Call, tenant: &Tenant, (bulk, series, number): (&Bulk, usize, u64)) -> Answer {
    let content = match bulk.same() {
        Some(body) => Content::Gzip(body),
        None => {
            let compressed = accepts_gzip(&call.headers);
            // The series is made anew: the thread that streams must not hold the tenant's lock.
            let config = &tenant.config.bulk[series];
            let own = Bulk::new(config, tenant.id(), bulk.started());
            stream(compressed, move |out| own.stream(number, compressed, out))
        }
    };
    Answer { status: 200, headers: vec![("content-type", "application/json; charset=utf-8".to_owned())], content }
}

fn sensitive_types(call: &Call) -> Outcome {
    let language = call.header("accept-language").unwrap_or("en-US");
    if language.contains(',') {
        return Err(fault(call, 400, "AF20053", "Multiple languages are not allowed in the Accept-Language header."));
    }
    if language.is_empty() || !language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(fault(call, 400, "AF20054", "Invalid syntax in the Accept-Language header."));
    }
    let names =
        ["Credit Card Number", "U.S. Social Security Number (SSN)", "International Banking Account Number (IBAN)"];
    let list: Vec<Value> = names.iter().map(|name| json!({ "id": random::guid(31, name), "name": name })).collect();
    Ok(Answer::json(200, &json!(list)))
}
