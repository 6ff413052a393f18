//! The Office 365 Management Activity API: subscriptions, content listings, blobs.
//!
//! When a subscription is started with a webhook, the true service posts a code to its address (`Webhook-ValidationCode`, and
//! `{"validationCode": ...}` as the body), and refuses it (AF20021) unless that answers with 200. The simulated cloud calls
//! nobody, so every webhook is refused like that.

mod blob;
mod listing;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::faults::FaultKind;
use super::http::{Answer, Call};
use super::publish::content_feed;
use super::route::Api;
use super::services::{authorise, limit, problem, throttled};
use super::stats::count;
use super::tenant::{Life, Tenant};
use super::token::Claims;
use super::{Cloud, is_guid, random, time};
use crate::config::Trouble;
use crate::world::Feed;

/// The publisher of a client that names none.
pub(crate) const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// One content type's subscription.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    /// When it was started for the first time.
    since: Timestamp,
    /// When it was started last.
    started: Timestamp,
    /// When it was stopped, if it is.
    stopped: Option<Timestamp>,
    /// From when to when it was stopped: what became available then is lost for the API.
    away: Vec<(Timestamp, Timestamp)>,
}

impl Subscription {
    /// One that is enabled.
    pub(crate) fn new(since: Timestamp) -> Subscription {
        Subscription { since, started: since, stopped: None, away: Vec::new() }
    }

    fn restart(&mut self, now: Timestamp) {
        if let Some(stopped) = self.stopped.take() {
            self.away.push((stopped, now));
            // What no listing reaches any more need not be left out of it.
            self.away.retain(|(_, end)| time::between(*end, now) < LISTED_SECONDS as f64);
        }
        self.started = now;
    }

    /// Whether content that became available then is there for the API.
    fn has(&self, created: Timestamp) -> bool {
        !self.away.iter().any(|(from, to)| (*from..*to).contains(&created))
    }
}

/// How far back a listing may begin: a little more than the documented seven days, as the true service does.
const LISTED_SECONDS: i64 = 7 * 86_400 + 3_600;

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
    if let Some(strike) = cloud.faults.strikes(FaultKind::ErrorCode, Api::Management, Some(tenant.id()), &call.path) {
        return Err(refusal(strike.code.unwrap_or(50_000)));
    }
    match (call.method.as_str(), rest) {
        ("POST", ["subscriptions", "start"]) => start(cloud, call, tenant),
        ("POST", ["subscriptions", "stop"]) => stop(call, tenant),
        ("GET", ["subscriptions", "list"]) => Ok(list(tenant)),
        ("GET", ["subscriptions", "content"]) => listing::content(cloud, call, tenant),
        ("GET", ["subscriptions", "notifications"]) => {
            content_type(call)?;
            // Webhooks are not called, so nobody was notified.
            Ok(Answer::json(200, &json!([])))
        }
        ("GET", ["resources", "dlpSensitiveTypes"]) => sensitive_types(call),
        ("GET", ["audit", id]) => blob::blob(cloud, call, tenant, id),
        _ => Err(Answer::empty(404)),
    }
}

/// The refusal of that number, which no request brings about here.
fn refusal(code: u32) -> Answer {
    let (status, message) = match code {
        20_012 => (400, "Specified tenant ID is incorrectly configured in the system."),
        50_000..=50_006 => (500, "An internal error occurred. Retry the request."),
        _ => (400, "The request was refused."),
    };
    let body = json!({ "error": { "code": format!("AF{code}"), "message": message } });
    Answer::json(status, &body)
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

fn start(cloud: &Cloud, call: &Call, tenant: &Tenant) -> Outcome {
    let feed = content_type(call)?;
    if let Some(webhook) = call.json().and_then(|body| body.get("webhook").cloned()).filter(|hook| !hook.is_null()) {
        return Err(refuse_webhook(call, &webhook));
    }
    let mut life = tenant.live(call.now);
    if tenant.has(Trouble::SubscriptionsDisabled) {
        return Err(disabled(call));
    }
    if life.subscriptions.get(&feed).is_some_and(|subscription| subscription.stopped.is_none()) {
        return Err(fault(call, 400, "AF20024", "The subscription is already enabled. No property change."));
    }
    let pause = cloud.config.limits.management_start_seconds as i64;
    if life.subscriptions.get(&feed).is_some_and(|subscription| call.now < time::plus(subscription.started, pause)) {
        count(&cloud.stats.throttled);
        return Err(throttled(cloud, Api::Management, call, None));
    }
    let answer = json!({ "contentType": feed.content_type(), "status": "enabled", "webhook": null });
    life.subscriptions.entry(feed).or_insert_with(|| Subscription::new(call.now)).restart(call.now);
    Ok(Answer::json(200, &answer))
}

/// The refusal of an address that does not answer, after the checks that come before.
fn refuse_webhook(call: &Call, webhook: &Value) -> Answer {
    let text = |name: &str| webhook[name].as_str().unwrap_or_default();
    if text("address").is_empty() {
        return fault(call, 400, "AF20001", "Missing parameter: webhook.address.");
    }
    let expiration = text("expiration");
    match time::parse(expiration) {
        None if !expiration.is_empty() => {
            let message = "Invalid parameter type: webhook.expiration. Expected type: datetime.";
            return fault(call, 400, "AF20002", message);
        }
        Some(until) if until <= call.now => {
            let message = format!("Expiration {expiration} provided is set to past date and time.");
            return fault(call, 400, "AF20003", &message);
        }
        _ => {}
    }
    let why = if text("address").starts_with("https://") { "It did not answer." } else { "It must begin with https." };
    fault(call, 400, "AF20021", &format!("The webhook endpoint {} could not be validated. {why}", text("address")))
}

fn stop(call: &Call, tenant: &Tenant) -> Outcome {
    let feed = content_type(call)?;
    let mut life = tenant.live(call.now);
    subscribed(call, tenant, &life, &feed)?;
    if let Some(subscription) = life.subscriptions.get_mut(&feed) {
        subscription.stopped = Some(call.now);
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
            let status = if subscription.stopped.is_none() && !disabled { "enabled" } else { "disabled" };
            json!({ "contentType": feed.content_type(), "status": status, "webhook": null })
        })
        .collect();
    Answer::json(200, &json!(list))
}

fn disabled(call: &Call) -> Answer {
    fault(call, 400, "AF20023", "The subscription was disabled by a tenant admin.")
}

/// The subscription; an error without an enabled one.
fn subscribed<'l>(call: &Call, tenant: &Tenant, life: &'l Life, feed: &Feed) -> Result<&'l Subscription, Answer> {
    if tenant.has(Trouble::SubscriptionsDisabled) {
        return Err(disabled(call));
    }
    match life.subscriptions.get(feed) {
        None => Err(fault(call, 400, "AF20022", "No subscription found for the specified content type.")),
        Some(subscription) if subscription.stopped.is_some() => Err(disabled(call)),
        Some(subscription) => Ok(subscription),
    }
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
