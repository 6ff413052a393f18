//! The reporting web service: retired, unless the config keeps it alive.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::http::{Answer, Call, encode};
use super::route::Api;
use super::services::{authorise, problem};
use super::{Cloud, time};
use crate::world::Feed;

/// Rows of a page.
const PAGE: usize = 2_000;

/// Serves `MessageTrace`.
pub(crate) fn answer(cloud: &Cloud, call: &Call) -> Answer {
    serve(cloud, call).unwrap_or_else(|refusal| refusal)
}

fn serve(cloud: &Cloud, call: &Call) -> Result<Answer, Answer> {
    let wrong = |status, code: &str, message: &str| problem(Api::Reporting, status, code, message, call.now);
    if !call.path.to_ascii_lowercase().starts_with("/ecp/reportingwebservice/reporting.svc/messagetrace") {
        return Err(Answer::empty(404));
    }
    let claims = authorise(cloud, Api::Reporting, call)?;
    let Some(tenant) = cloud.tenant(&claims.tenant) else { return Err(Answer::empty(401)) };
    if !claims.any(&["ReportingWebService.Read.All"])
        || tenant.app(&claims.client).is_some_and(|app| !app.exchange_role)
    {
        return Err(wrong(403, "Forbidden", "Access is denied."));
    }
    if !cloud.config.reporting_service {
        return Err(wrong(410, "Gone", "The MessageTrace report has been retired. Use Microsoft Graph."));
    }
    let filter = call.parameter("$filter").unwrap_or_default();
    let (start, end) = window(&filter).ok_or_else(|| wrong(400, "BadRequest", "StartDate and EndDate are needed."))?;
    if start < time::plus(call.now, -10 * 86_400) {
        return Err(wrong(400, "BadRequest", "StartDate cannot be more than 10 days ago."));
    }
    let mut life = tenant.live(call.now);
    let snapshot = life.publisher.snapshot(&Feed::MessageTrace);
    let places = life.publisher.places(&Feed::MessageTrace, (start, end), snapshot);
    let offset: usize = call.parameter("$skiptoken").and_then(|token| token.parse().ok()).unwrap_or(0);
    let mut results = Vec::new();
    for place in places.iter().skip(offset).take(PAGE) {
        let Some(record) = life.publisher.record(&Feed::MessageTrace, *place) else { continue };
        let Ok(value) = serde_json::from_str::<Value>(&record) else { continue };
        results.push(row(call, place.time, &value));
    }
    let mut d = json!({ "results": results });
    if offset + PAGE < places.len() {
        let link = format!(
            "{}{}?$format=json&$filter={}&$skiptoken={}",
            call.origin,
            call.path,
            encode(&filter),
            offset + PAGE
        );
        d["__next"] = json!(link);
    }
    Ok(Answer::json(200, &json!({ "d": d })))
}

/// The window: `StartDate eq datetime'...' and EndDate eq datetime'...'`.
fn window(filter: &str) -> Option<(Timestamp, Timestamp)> {
    let bound = |name: &str| {
        let rest = filter.split_once(&format!("{name} eq datetime'"))?.1;
        time::parse(rest.split('\'').next()?)
    };
    bound("StartDate").zip(bound("EndDate"))
}

fn row(call: &Call, received: Timestamp, value: &Value) -> Value {
    json!({
        "__metadata": { "id": format!("{}{}", call.origin, call.path), "type": "TenantReporting.MessageTrace" },
        "MessageTraceId": value["id"], "MessageId": value["messageId"],
        "Received": format!("/Date({})/", received.as_millisecond()),
        "SenderAddress": value["senderAddress"], "RecipientAddress": value["recipientAddress"],
        "Subject": value["subject"], "Size": value["size"], "FromIP": value["fromIP"], "ToIP": value["toIP"],
        "Status": value["status"], "Organization": call.host,
    })
}
