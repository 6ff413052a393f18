//! All services behind one door, and how each of them says that something is wrong.

use jiff::Timestamp;
use serde_json::json;

use super::faults::Strike;
use super::http::{Answer, Call};
use super::route::Api;
use super::stats::count;
use super::token::{Claims, Refused};
use super::{Cloud, azure, devops, exchange, graph, login, management, reporting};
use crate::config::Trouble;

/// The answer of a service.
pub(crate) fn answer(cloud: &Cloud, api: Api, call: &Call) -> Answer {
    match api {
        Api::Login => login::answer(cloud, call),
        Api::Imds => login::imds(cloud, call),
        Api::Management => management::answer(cloud, call),
        Api::Graph => graph::answer(cloud, call),
        Api::Exchange => exchange::answer(cloud, call),
        Api::Reporting => reporting::answer(cloud, call),
        Api::Azure => azure::answer(cloud, call),
        Api::Devops => devops::answer(cloud, call),
    }
}

/// The tenant that a request's path names.
pub(crate) fn tenant_in(api: Api, call: &Call) -> Option<String> {
    let index = match api {
        Api::Login => 0,
        Api::Management | Api::Exchange => 2,
        _ => return None,
    };
    call.segments().into_iter().nth(index)
}

/// Checks the token. What is wrong is answered in the service's own way.
pub(crate) fn authorise(cloud: &Cloud, api: Api, call: &Call) -> Result<Claims, Answer> {
    let refuse = |message: &str| Err(problem(api, 401, "InvalidAuthenticationToken", message, call.now));
    let claims = match cloud.tokens.check(call.header("authorization"), (api, &call.host), call.now) {
        Ok(claims) => claims,
        Err(Refused::Missing) => return refuse("Access token is empty."),
        Err(Refused::Malformed) => return refuse("Access token validation failure. Invalid signature."),
        Err(Refused::Expired) => return refuse("Access token has expired or is not yet valid."),
        Err(Refused::Audience) => return refuse("Access token validation failure. Invalid audience."),
    };
    let Some(tenant) = cloud.tenant(&claims.tenant) else { return refuse("Tenant of the token is unknown.") };
    if tenant.has(Trouble::TokensRejected) {
        return refuse("Access token validation failure.");
    }
    if tenant.has(Trouble::AlwaysFails) {
        return Err(problem(api, 503, "ServiceUnavailable", "The service is unavailable.", call.now));
    }
    Ok(claims)
}

/// An error in the form of the service.
pub(crate) fn problem(api: Api, status: u16, code: &str, message: &str, now: Timestamp) -> Answer {
    let body = match api {
        // Refused tokens and gateways carry no AF code.
        Api::Management if status == 401 && !code.starts_with("AF") => {
            json!({ "Message": "Authorization has been denied for this request." })
        }
        Api::Management if status == 500 => json!({ "error": { "code": "AF50000", "message":
            "An internal server error occurred. Retry the request." } }),
        Api::Management if !code.starts_with("AF") => return Answer::text(status, "text/html", message.to_owned()),
        Api::Graph => {
            let id = super::random::guid(now.as_microsecond() as u64, code);
            let date = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            let inner = json!({ "date": date, "request-id": id, "client-request-id": id });
            json!({ "error": { "code": code, "message": message, "innerError": inner } })
        }
        Api::Devops => json!({ "$id": "1", "message": message, "typeKey": code, "errorCode": 0, "eventId": 3000 }),
        Api::Login | Api::Imds => json!({ "error": "temporarily_unavailable", "error_description": message }),
        _ => json!({ "error": { "code": code, "message": message } }),
    };
    Answer::json(status, &body)
}

/// "Too many requests", in the form of the service.
pub(crate) fn throttled(cloud: &Cloud, api: Api, call: &Call, retry_after: Option<u64>) -> Answer {
    let status = cloud.config.limits.management_throttle_status;
    refuse(api, call, status, retry_after.map(|seconds| seconds.to_string()))
}

/// A storm's refusal. `Retry-After` has two forms: seconds, and on every second strike a date.
pub(crate) fn storm(cloud: &Cloud, api: Api, call: &Call, strike: Strike) -> Answer {
    let status = strike.status.unwrap_or(cloud.config.limits.management_throttle_status);
    let retry_after = strike.seconds.map(|seconds| {
        let date = super::time::http_date(super::time::plus(call.now, seconds as i64));
        if strike.number.is_multiple_of(2) { date } else { seconds.to_string() }
    });
    refuse(api, call, status, retry_after)
}

fn refuse(api: Api, call: &Call, management_status: u16, retry_after: Option<String>) -> Answer {
    let answer = match api {
        Api::Management => {
            let publisher = call.parameter("PublisherIdentifier").unwrap_or_else(|| super::management::NOBODY.into());
            let method = match () {
                () if call.path.contains("/audit/") => "GetBlob",
                () if call.path.ends_with("/start") => "StartSubscription",
                () => "ListContent",
            };
            let message = format!("Too many requests. Method={method}, PublisherId={publisher}");
            problem(api, management_status, "AF429", &message, call.now)
        }
        Api::Devops => {
            let message = "TF400733: The request has been canceled: Request was blocked due to exceeding usage of \
                           resource 'Concurrency' in namespace 'User'.";
            problem(api, 429, "RequestBlockedException", message, call.now)
        }
        _ => problem(api, 429, "TooManyRequests", "Too many requests.", call.now),
    };
    match retry_after {
        Some(value) => answer.with("retry-after", value),
        None => answer,
    }
}

/// Counts a request against a limit of its tenant; over it, the answer is the service's refusal.
pub(crate) fn limit(
    cloud: &Cloud,
    (api, call): (Api, &Call),
    tenant: &super::tenant::Tenant,
    (name, allowed, seconds): (&str, u64, u64),
    tells: bool,
) -> Result<(), Answer> {
    tenant.quiet().limits.take(name, allowed, seconds, call.now).map_err(|wait| {
        count(&cloud.stats.throttled);
        throttled(cloud, api, call, tells.then_some(wait))
    })
}
