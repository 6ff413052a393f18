//! Get-MessageTraceV2: newest first, no paging but by its own parameters.

use serde_json::{Value, json};

use super::{Cmdlet, Outcome, error, moment, rows, text};
use crate::cloud::route::Api;
use crate::cloud::{services, time};
use crate::world::Feed;

pub(super) fn run(cmdlet: &Cmdlet<'_>) -> Outcome {
    let (call, parameters) = (cmdlet.call, &cmdlet.parameters);
    let allowed = cmdlet.cloud.config.limits.trace_per_5_minutes;
    services::limit(cmdlet.cloud, (Api::Exchange, call), cmdlet.tenant, ("trace", allowed, 300), false)?;
    let size = parameters.number("ResultSize").unwrap_or(1_000);
    if !(1..=5_000).contains(&size) {
        return Err(error(400, "System.ArgumentOutOfRangeException", "ResultSize must be between 1 and 5000."));
    }
    let bounded = parameters.text("StartDate").is_some() || parameters.text("EndDate").is_some();
    let (start, end) = if bounded {
        (moment(cmdlet, "StartDate")?, moment(cmdlet, "EndDate")?)
    } else {
        (time::plus(call.now, -2 * 86_400), call.now)
    };
    if time::between(start, end) > 10.0 * 86_400.0 || start < time::plus(call.now, -90 * 86_400) || start > end {
        let message = "The time range must be at most 10 days, and must not begin more than 90 days ago.";
        return Err(error(400, "System.ArgumentException", message));
    }
    let after = parameters.text("StartingRecipientAddress").map(|address| address.to_ascii_lowercase());
    let (senders, recipients) = (parameters.list("SenderAddress"), parameters.list("RecipientAddress"));
    let mut life = cmdlet.tenant.live(call.now);
    let snapshot = life.publisher.snapshot(&Feed::MessageTrace);
    let places = life.publisher.places(&Feed::MessageTrace, (start, time::plus(end, 1)), snapshot);
    let mut found = Vec::new();
    for place in places.into_iter().filter(|place| place.time <= end) {
        let Some(record) = life.publisher.record(&Feed::MessageTrace, place) else { continue };
        let Ok(value) = serde_json::from_str::<Value>(&record) else { continue };
        let recipient = text(&value, "recipientAddress").to_ascii_lowercase();
        let listed =
            |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one.eq_ignore_ascii_case(value));
        // Rows of the last moment were given up to a recipient.
        let done = place.time == end && after.as_ref().is_some_and(|after| recipient <= *after);
        if !done && listed(&senders, text(&value, "senderAddress")) && listed(&recipients, &recipient) {
            found.push((place.time, recipient, value));
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let more = found.len() > size as usize;
    let list = found.iter().take(size as usize).map(|(_, _, value)| row(value).to_string()).collect();
    let warning = ["There are more results, use the following command to get more."];
    Ok(rows(cmdlet, list, if more { &warning } else { &[] }))
}

fn row(value: &Value) -> Value {
    let status = text(value, "status");
    let status: String = status.chars().take(1).flat_map(char::to_uppercase).chain(status.chars().skip(1)).collect();
    json!({
        "MessageTraceId": value["id"], "MessageId": value["messageId"], "Received": value["receivedDateTime"],
        "SenderAddress": value["senderAddress"], "RecipientAddress": value["recipientAddress"],
        "Subject": value["subject"], "Size": value["size"], "FromIP": value["fromIP"], "ToIP": value["toIP"],
        "Status": status, "Received@data.type": "System.DateTime",
    })
}
