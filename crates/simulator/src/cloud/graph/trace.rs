//! Message traces in Graph: one row for each recipient, and the details of one.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::enums::shown;
use super::filter::Expression;
use super::page::{Position, collection, cut, found, size};
use super::{Outcome, Request, fault};
use crate::cloud::http::Answer;
use crate::cloud::{random, time};
use crate::world::Feed;

const DAY: i64 = 86_400;

fn admit(request: &Request<'_>) -> Result<(), Answer> {
    if !request.tenant.config.message_trace_principal {
        let created = request.tenant.quiet().principals.iter().any(|app| app == super::directory::TRACE_APP);
        if !created {
            let message = "Account is not provisioned.";
            return Err(fault(request.call, 401, "Unauthorized", message));
        }
    }
    request.needs(&["ExchangeMessageTrace.Read.All"])?;
    request.limit("trace", request.cloud.config.limits.trace_per_5_minutes, 300, true)
}

/// `messageTraces`.
pub(super) fn list(request: &Request<'_>) -> Outcome {
    let Request { cloud, call, tenant, .. } = *request;
    admit(request)?;
    let size = size(call, 1_000, 5_000)?;
    let filter = match call.parameter("$filter") {
        None => None,
        Some(text) => Some(
            Expression::parse(&text)
                .map_err(|error| fault(call, 400, "BadRequest", &format!("Invalid filter clause: {error}")))?,
        ),
    };
    let range = window(request, filter.as_ref())?;
    let rest = filter.as_ref().and_then(|filter| filter.without("receivedDateTime"));
    let feed = Feed::MessageTrace;
    let mut life = tenant.live(call.now);
    let position =
        Position::of(call)?.unwrap_or_else(|| Position { offset: 0, snapshot: vec![life.publisher.snapshot(&feed)] });
    let snapshot = position.snapshot.first().copied().unwrap_or_default();
    let found = found(&mut life, call, &position, |life| {
        let mut places = life.publisher.places(&feed, range, snapshot);
        if let Some(rest) = &rest {
            places.retain(|place| {
                let record = life.publisher.record(&feed, *place);
                record.and_then(|text| serde_json::from_str(&text).ok()).is_some_and(|value: Value| rest.fits(&value))
            });
        }
        places.reverse();
        places.into_iter().map(|place| (feed.clone(), place)).collect()
    });
    let page = cut(cloud, call, tenant.id(), &position, (found.len(), size));
    let records: Vec<String> = found[page.range.0..page.range.1]
        .iter()
        .filter_map(|(feed, place)| life.publisher.record(feed, *place))
        .map(|record| shown(cloud, call, record))
        .collect();
    Ok(collection(call, "admin/exchange/tracing/messageTraces", &records, page.next.as_deref(), None))
}

/// The window, checked as the service does.
fn window(request: &Request<'_>, filter: Option<&Expression>) -> Result<(Timestamp, Timestamp), Answer> {
    let call = request.call;
    let bad = |message: &str| Err(fault(call, 400, "BadRequest", message));
    let ((start, end), whole) =
        filter.map_or(((Timestamp::MIN, Timestamp::MAX), false), |filter| filter.range("receivedDateTime"));
    if !whole {
        if start != Timestamp::MIN || end != Timestamp::MAX {
            return bad("Both the start and the end of receivedDateTime must be given.");
        }
        return Ok((time::plus(call.now, -2 * DAY), call.now));
    }
    if time::between(start, end) > (10 * DAY) as f64 + 1.0 {
        return bad("The time range cannot be longer than 10 days.");
    }
    if start < time::plus(call.now, -90 * DAY) {
        return bad("The start of the time range cannot be more than 90 days ago.");
    }
    // A minute for the client's clock.
    if end > time::plus(call.now, 60) || start >= end {
        return bad("The end of the time range must be after its start, and not in the future.");
    }
    Ok((start, end))
}

/// `messageTraces/{id}/getDetailsByRecipient(recipientAddress='...')`.
pub(super) fn detail(request: &Request<'_>, id: &str, function: &str) -> Outcome {
    let call = request.call;
    admit(request)?;
    let address = function
        .strip_prefix("getDetailsByRecipient(recipientAddress='")
        .and_then(|rest| rest.strip_suffix("')"))
        .ok_or_else(|| fault(call, 404, "ResourceNotFound", "Resource not found."))?;
    let mut life = request.tenant.live(call.now);
    let snapshot = life.publisher.snapshot(&Feed::MessageTrace);
    let range = (time::plus(call.now, -90 * DAY), Timestamp::MAX);
    let places = life.publisher.places(&Feed::MessageTrace, range, snapshot);
    let record = places.into_iter().find_map(|place| {
        let record: Value = serde_json::from_str(&life.publisher.record(&Feed::MessageTrace, place)?).ok()?;
        let fits = record["id"].as_str()?.eq_ignore_ascii_case(id)
            && record["recipientAddress"].as_str()?.eq_ignore_ascii_case(address);
        fits.then_some(record)
    });
    let record = record.ok_or_else(|| fault(call, 404, "ResourceNotFound", "The message was not found."))?;
    let rows: Vec<String> = [("Receive", "Message received by a server."), ("Deliver", "Message delivered to the mailbox.")]
        .iter()
        .map(|(event, description)| {
            json!({
                "id": random::guid(13, id),
                "messageId": record["messageId"],
                "dateTime": record["receivedDateTime"],
                "event": event,
                "action": null,
                "description": description,
                "data": format!("<root><MEP Name=\"ReturnPath\" String=\"{}\"/></root>", record["senderAddress"].as_str().unwrap_or_default()),
            })
            .to_string()
        })
        .collect();
    Ok(collection(call, "Collection(exchangeMessageTraceDetail)", &rows, None, None))
}
