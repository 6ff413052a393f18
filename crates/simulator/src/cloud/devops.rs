//! Azure DevOps: the audit log of an organisation, newest first, and the list of organisations.

use serde_json::{Value, json};

use super::faults::FaultKind;
use super::http::{Answer, Call};
use super::route::Api;
use super::services::{authorise, limit, problem};
use super::tenant::Tenant;
use super::token::Claims;
use super::{Cloud, random, time};
use crate::config::Trouble;
use crate::world::Feed;

/// Entries of a batch that asks for no other number, and the most.
const BATCH: (usize, usize) = (200, 1_000);

/// Serves the audit host, the catalogue and the account list.
pub(crate) fn answer(cloud: &Cloud, call: &Call) -> Answer {
    serve(cloud, call).unwrap_or_else(|refusal| refusal)
}

fn wrong(call: &Call, status: u16, code: &str, message: &str) -> Answer {
    problem(Api::Devops, status, code, message, call.now)
}

fn sign_in_page() -> Answer {
    let page = "<!DOCTYPE html><html><head><title>Azure DevOps Services | Sign In</title></head><body></body></html>";
    Answer::text(200, "text/html; charset=utf-8", page)
}

fn serve(cloud: &Cloud, call: &Call) -> Result<Answer, Answer> {
    let claims = authorise(cloud, Api::Devops, call)?;
    let Some(tenant) = cloud.tenant(&claims.tenant) else { return Err(Answer::empty(401)) };
    if tenant.has(Trouble::DevopsSignIn) {
        return Err(sign_in_page());
    }
    let bucket = format!("devops {}", claims.client);
    limit(cloud, (Api::Devops, call), tenant, (&bucket, cloud.config.limits.devops_per_5_minutes, 300), true)?;
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (call.host.split('.').next().unwrap_or_default(), parts.as_slice()) {
        ("aexprodweu1", ["_apis", "EnterpriseCatalog", "Organizations"]) => Ok(catalogue(call, tenant)),
        ("app", ["_apis", "accounts"]) => {
            let list = organizations(call, tenant);
            Ok(Answer::json(200, &json!({ "count": list.len(), "value": list })))
        }
        ("auditservice", [name, "_apis", "audit", "auditlog"]) => log(cloud, call, tenant, &claims, name),
        ("auditservice", [_, "_apis", "audit", "actions"]) => {
            Ok(Answer::json(200, &json!({ "count": 0, "value": [] })))
        }
        _ => Err(wrong(call, 404, "NotFoundException", "The page was not found.")),
    }
}

fn organizations(call: &Call, tenant: &Tenant) -> Vec<Value> {
    tenant.live(call.now).publisher.world().directory().devops_organizations.clone()
}

fn catalogue(call: &Call, tenant: &Tenant) -> Answer {
    let mut csv = "Organization Id, Organization Name, Url, Owner, Exception Type, Error Message\r\n".to_owned();
    for one in organizations(call, tenant) {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        csv += &format!(
            "{},{},{},admin@{},,\r\n",
            text("accountId"),
            text("accountName"),
            text("accountUri"),
            tenant.config.domain
        );
    }
    Answer::text(200, "text/csv", csv)
}

fn log(cloud: &Cloud, call: &Call, tenant: &Tenant, claims: &Claims, name: &str) -> Result<Answer, Answer> {
    let known = organizations(call, tenant);
    let known =
        known.iter().filter_map(|one| one["accountName"].as_str()).find(|known| known.eq_ignore_ascii_case(name));
    let Some(name) = known else {
        return Err(wrong(
            call,
            404,
            "OrganizationNotFoundException",
            &format!("The organization '{name}' does not exist."),
        ));
    };
    if tenant.app(&claims.client).is_some_and(|app| !app.devops) {
        let message = "TF400813: The user is not authorized to access this resource: View audit log is needed.";
        return Err(wrong(call, 403, "AccessCheckException", message));
    }
    if call.parameter("api-version").is_none() {
        let message = "No api-version was supplied for the request. The version must be supplied.";
        return Err(wrong(call, 400, "VssVersionNotSpecifiedException", message));
    }
    let feed = Feed::AzureDevOps { organization: name.to_owned() };
    let bound = |name: &str, default| match call.parameter(name) {
        None => Ok(default),
        Some(text) => time::parse(&text)
            .ok_or_else(|| wrong(call, 400, "VssPropertyValidationException", &format!("{name} is no date"))),
    };
    let range = (bound("startTime", time::plus(call.now, -90 * 86_400))?, bound("endTime", call.now)?);
    let size = call.parameter("batchSize").and_then(|text| text.parse().ok()).unwrap_or(BATCH.0).clamp(1, BATCH.1);
    let mut life = tenant.live(call.now);
    let subject = format!("{name} {range:?}");
    let (offset, snapshot) = match call.parameter("continuationToken").filter(|token| !token.is_empty()) {
        None => (0, life.publisher.snapshot(&feed)),
        Some(token) => read_token(&token, &subject).ok_or_else(|| {
            wrong(call, 400, "InvalidContinuationTokenException", "The continuation token is invalid.")
        })?,
    };
    let mut places = life.publisher.places(&feed, range, snapshot);
    places.reverse();
    let strikes = |kind| cloud.faults.strikes(kind, Api::Devops, Some(tenant.id()), &call.path);
    let (mut from, mut next) = (offset.min(places.len()), offset + size);
    if offset >= size && strikes(FaultKind::RepeatPage).is_some() {
        (from, next) = (offset - size, offset);
    } else if offset < places.len() && strikes(FaultKind::EmptyPage).is_some() {
        (from, next) = (places.len(), offset);
    }
    let rows: Vec<String> =
        places.iter().skip(from).take(size).filter_map(|place| life.publisher.record(&feed, *place)).collect();
    // The token is there even when nothing follows: `hasMore` alone tells.
    let body = format!(
        "{{\"decoratedAuditLogEntries\":[{}],\"continuationToken\":{},\"hasMore\":{}}}",
        rows.join(","),
        json!(token(&subject, next, snapshot)),
        next < places.len()
    );
    let answer = Answer::text(200, "application/json; charset=utf-8; api-version=7.1-preview.1", body);
    Ok(match strikes(FaultKind::SlowDown) {
        None => answer,
        Some(strike) => answer
            .with("retry-after", strike.seconds.unwrap_or(5).to_string())
            .with("x-ratelimit-resource", "AuditService/Concurrency")
            .with("x-ratelimit-delay", "1.250")
            .with("x-ratelimit-limit", "200")
            .with("x-ratelimit-remaining", "0")
            .with("x-ratelimit-reset", (call.now.as_second() + 60).to_string()),
    })
}

/// Semicolons separate, as in the true tokens: a client has to escape them.
fn token(subject: &str, offset: usize, snapshot: usize) -> String {
    format!("{offset};{snapshot};{}", random::guid(47, &format!("{subject} {offset} {snapshot}")))
}

fn read_token(given: &str, subject: &str) -> Option<(usize, usize)> {
    let mut parts = given.split(';');
    let (offset, snapshot) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (token(subject, offset, snapshot) == given).then_some((offset, snapshot))
}
