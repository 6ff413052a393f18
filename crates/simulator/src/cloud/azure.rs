//! Azure Resource Manager: subscriptions, and their activity log.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::faults::FaultKind;
use super::graph::filter::Expression;
use super::http::{Answer, Call, encode};
use super::route::Api;
use super::services::{authorise, limit, problem};
use super::tenant::Tenant;
use super::token::Claims;
use super::{Cloud, random, time};
use crate::world::Feed;

/// How long the log is kept.
const DAYS: i64 = 90;

/// The properties that may stand behind the time in a filter.
const PROPERTIES: [&str; 5] =
    ["resourceGroupName", "resourceUri", "resourceProvider", "correlationId", "eventChannels"];

/// Serves the management host.
pub(crate) fn answer(cloud: &Cloud, call: &Call) -> Answer {
    serve(cloud, call).unwrap_or_else(|refusal| refusal)
}

fn wrong(call: &Call, status: u16, code: &str, message: &str) -> Answer {
    problem(Api::Azure, status, code, message, call.now)
}

fn serve(cloud: &Cloud, call: &Call) -> Result<Answer, Answer> {
    let claims = authorise(cloud, Api::Azure, call)?;
    let Some(tenant) = cloud.tenant(&claims.tenant) else { return Err(Answer::empty(401)) };
    let bucket = format!("azure {}", claims.client);
    limit(cloud, (Api::Azure, call), tenant, (&bucket, cloud.config.limits.azure_per_minute, 60), true)?;
    if call.parameter("api-version").is_none() {
        return Err(wrong(
            call,
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    let lower = call.path.to_ascii_lowercase();
    let segments: Vec<&str> = lower.split('/').filter(|part| !part.is_empty()).collect();
    let remaining = |answer: Answer, scope: &'static str| answer.with(scope, "249");
    match segments.as_slice() {
        ["subscriptions"] => {
            let list: Vec<Value> = subscriptions(call, tenant, &claims);
            Ok(remaining(Answer::json(200, &json!({ "value": list })), "x-ms-ratelimit-remaining-tenant-reads"))
        }
        ["subscriptions", id, "providers", "microsoft.insights", "eventtypes", "management", "values"] => {
            let known = subscriptions(call, tenant, &claims);
            let id = known
                .iter()
                .filter_map(|one| one["subscriptionId"].as_str())
                .find(|known| known.eq_ignore_ascii_case(id));
            let Some(id) = id else {
                let message = format!(
                    "The client '{}' does not have authorization to perform action \
                     'microsoft.insights/eventtypes/management/values/read' over scope '/subscriptions/{}' or the scope \
                     is invalid. If access was recently granted, please refresh your credentials.",
                    claims.client, segments[1]
                );
                return Err(wrong(call, 403, "AuthorizationFailed", &message));
            };
            let feed = Feed::AzureActivity { subscription: id.to_owned() };
            let page = events(cloud, call, tenant, &feed)?;
            Ok(remaining(page, "x-ms-ratelimit-remaining-subscription-reads"))
        }
        ["providers", "microsoft.insights", "eventtypes", "management", "values"] => {
            // Events of the tenant itself: this one has none.
            window(call)?;
            Ok(remaining(Answer::json(200, &json!({ "value": [] })), "x-ms-ratelimit-remaining-tenant-reads"))
        }
        _ => Err(wrong(call, 404, "NotFound", "The resource was not found.")),
    }
}

/// The subscriptions that the client may read.
fn subscriptions(call: &Call, tenant: &Tenant, claims: &Claims) -> Vec<Value> {
    let life = tenant.live(call.now);
    let mut all = life.publisher.world().directory().subscriptions.clone();
    let hours = tenant.config.last_subscription_after_hours.unwrap_or(0.0);
    if time::between(tenant.started, call.now) < hours * 3_600.0 {
        all.pop();
    }
    let allowed = tenant.app(&claims.client).and_then(|app| app.azure_subscriptions.as_ref());
    all.into_iter()
        .filter(|one| {
            let id = one["subscriptionId"].as_str().unwrap_or_default();
            allowed.is_none_or(|allowed| allowed.iter().any(|known| known.eq_ignore_ascii_case(id)))
        })
        .collect()
}

/// The filter, in the few forms that the service accepts.
fn window(call: &Call) -> Result<((Timestamp, Timestamp), Option<Expression>), Answer> {
    let bad = |message: &str| Err(wrong(call, 400, "BadRequest", message));
    let Some(text) = call.parameter("$filter") else { return bad("The $filter query parameter is required.") };
    let Ok(filter) = Expression::parse(&text) else { return bad(&format!("Invalid filter: {text}")) };
    let (range, whole) = filter.range("eventTimestamp");
    let plain = text.to_ascii_lowercase();
    if !whole || !plain.contains("eventtimestamp ge '") || !plain.contains("eventtimestamp le '") {
        return bad("The filter must have both: eventTimestamp ge '...' and eventTimestamp le '...'.");
    }
    if range.0 < time::plus(call.now, -DAYS * 86_400) {
        return bad("The start time cannot be more than 90 days in the past.");
    }
    let rest = filter.without("eventTimestamp");
    if let Some(Expression::And(parts)) = &rest {
        let fits = parts.len() == 1 && PROPERTIES.iter().any(|name| parts[0].equals(name).is_some());
        if !fits {
            return bad("Only one of resourceGroupName, resourceUri, resourceProvider and correlationId may follow.");
        }
    }
    Ok((range, rest))
}

fn fits(rest: Option<&Expression>, record: &Value) -> bool {
    let Some(rest) = rest else { return true };
    let same = |value: &Value, wanted: &str| value.as_str().is_some_and(|found| found.eq_ignore_ascii_case(wanted));
    for (name, member) in [
        ("resourceGroupName", "/resourceGroupName"),
        ("resourceUri", "/resourceId"),
        ("resourceProvider", "/resourceProviderName/value"),
        ("correlationId", "/correlationId"),
    ] {
        if let Some(wanted) = rest.equals(name) {
            return record.pointer(member).is_some_and(|value| same(value, wanted));
        }
    }
    true
}

fn events(cloud: &Cloud, call: &Call, tenant: &Tenant, feed: &Feed) -> Result<Answer, Answer> {
    let (range, rest) = window(call)?;
    let mut life = tenant.live(call.now);
    let (offset, snapshot) = match call.parameter("$skiptoken") {
        None => (0, life.publisher.snapshot(feed)),
        Some(token) => read_token(call, &token).ok_or_else(|| wrong(call, 400, "BadRequest", "Invalid skip token."))?,
    };
    let mut found = Vec::new();
    for place in life.publisher.places(feed, range, snapshot).into_iter().rev() {
        let Some(record) = life.publisher.record(feed, place) else { continue };
        if rest.is_none() || serde_json::from_str(&record).is_ok_and(|value: Value| fits(rest.as_ref(), &value)) {
            found.push(record);
        }
    }
    let size = cloud.config.limits.azure_page.max(1);
    let strikes = |kind| cloud.faults.strikes(kind, Api::Azure, Some(tenant.id()), &call.path).is_some();
    let (mut from, mut next) = (offset.min(found.len()), offset + size);
    if offset >= size && strikes(FaultKind::RepeatPage) {
        (from, next) = (offset - size, offset);
    } else if offset < found.len() && strikes(FaultKind::EmptyPage) {
        (from, next) = (found.len(), offset);
    }
    let rows: Vec<String> = found.iter().skip(from).take(size).map(|record| select(call, record)).collect();
    let mut body = format!("{{\"value\":[{}]", rows.join(","));
    if next < found.len() {
        let mut link = link(call, next, snapshot);
        if strikes(FaultKind::HostileLink) {
            link = link.replacen(&call.origin, &cloud.foreign, 1);
        }
        body += &format!(",\"nextLink\":{}", json!(link));
    }
    body += "}";
    Ok(Answer::text(200, "application/json; charset=utf-8", body))
}

/// The members that `$select` names.
fn select(call: &Call, record: &str) -> String {
    let Some(wanted) = call.parameter("$select") else { return record.to_owned() };
    let wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
    match serde_json::from_str(record) {
        Ok(Value::Object(members)) => {
            let kept = members.into_iter().filter(|(name, _)| wanted.iter().any(|one| one.eq_ignore_ascii_case(name)));
            Value::Object(kept.collect()).to_string()
        }
        _ => record.to_owned(),
    }
}

fn subject(call: &Call) -> String {
    let kept = call.raw_query.split('&').filter(|pair| !pair.to_ascii_lowercase().contains("skiptoken="));
    format!("{}?{}", call.path, kept.collect::<Vec<_>>().join("&"))
}

fn token(subject: &str, offset: usize, snapshot: usize) -> String {
    let text = format!("{offset} {snapshot}");
    URL_SAFE_NO_PAD.encode(format!("{:016x} {text}", random::hash(43, &format!("{subject} {text}"))))
}

fn read_token(call: &Call, given: &str) -> Option<(usize, usize)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(given).ok()?).ok()?;
    let mut numbers = text.split(' ').skip(1).map(str::parse);
    let (offset, snapshot) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (token(&subject(call), offset, snapshot) == given).then_some((offset, snapshot))
}

fn link(call: &Call, offset: usize, snapshot: usize) -> String {
    let subject = subject(call);
    format!("{}{subject}&$skiptoken={}", call.origin, encode(&token(&subject, offset, snapshot)))
}
