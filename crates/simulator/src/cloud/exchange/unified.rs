//! Search-UnifiedAuditLog: sessions, caps, and the ways in which it is known to lose rows.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Cmdlet, Outcome, error, moment, rows, text};
use crate::cloud::audit::{self, Search};
use crate::cloud::faults::FaultKind;
use crate::cloud::publish::Place;
use crate::cloud::route::Api;
use crate::cloud::tenant::Life;
use crate::cloud::{random, time};
use crate::config::Trouble;
use crate::world::Feed;

/// The most rows of a session: unsorted, sorted, and when both commands were used in one.
const LARGE: usize = 50_000;
const PREVIEW: usize = 5_000;
const MIXED: usize = 10_000;

pub(super) fn run(cmdlet: &Cmdlet<'_>) -> Outcome {
    let parameters = &cmdlet.parameters;
    let size = parameters.number("ResultSize").unwrap_or(100) as usize;
    if size > 5_000 {
        let message = format!(
            "Cannot validate argument on parameter 'ResultSize'. The {size} argument is greater than the maximum allowed range of 5000."
        );
        return Err(error(400, "System.Management.Automation.ParameterBindingValidationException", &message));
    }
    let search = read(cmdlet)?;
    let now = cmdlet.call.now;
    let mut life = cmdlet.tenant.live(now);
    let session = parameters.text("SessionId");
    let command = parameters.text("SessionCommand").unwrap_or_default();
    let Some(id) = session else {
        let mut found = find(cmdlet, &mut life, &search);
        found.reverse();
        let total = found.len();
        found.truncate(size);
        let list = given(&mut life, &found, 0, total);
        return Ok(rows(cmdlet, list, &[]));
    };
    if life.sessions.find(&id, now).is_none() {
        let mut found = find(cmdlet, &mut life, &search);
        let cap = if command.eq_ignore_ascii_case("ReturnLargeSet") {
            found.sort_by_key(|(_, place)| random::mix((place.segment as u64) << 32 | place.row as u64));
            LARGE
        } else {
            found.reverse();
            PREVIEW
        };
        life.sessions.begin(&id, &command, Arc::new(found), cap, now);
    }
    let strikes = |kind| {
        let (faults, tenant) = (&cmdlet.cloud.faults, cmdlet.tenant.id());
        faults.strikes(kind, Api::Exchange, Some(tenant), "Search-UnifiedAuditLog").is_some()
    };
    // An empty first block looks like an empty window. A client can only ask again, so a search is hit once: two empty
    // answers in a row would be the truth to anybody.
    let what = format!("{search:?}");
    let begun = life.sessions.find(&id, now).is_some_and(|session| !session.dead && !session.is_over());
    if begun && life.sessions.was_never_emptied(&what) && strikes(FaultKind::SearchEmpty) {
        life.sessions.empty(&id, what);
        return Ok(rows(cmdlet, Vec::new(), &[]));
    }
    block(cmdlet, &mut life, (&id, &command), size)
}

/// The next rows of a session.
fn block(cmdlet: &Cmdlet<'_>, life: &mut Life, (id, command): (&str, &str), size: usize) -> Outcome {
    let (cloud, now) = (cmdlet.cloud, cmdlet.call.now);
    let tenant = cmdlet.tenant.id();
    let strikes = |kind| cloud.faults.strikes(kind, Api::Exchange, Some(tenant), "Search-UnifiedAuditLog").is_some();
    let Some(session) = life.sessions.find(id, now) else { return Ok(rows(cmdlet, Vec::new(), &[])) };
    if !session.command.eq_ignore_ascii_case(command) {
        session.cap = session.cap.min(MIXED);
    }
    let total = session.rows.len();
    let from = session.given;
    let mut to = (from + size).min(total).min(session.cap);
    if session.dead || from >= to {
        return Ok(rows(cmdlet, Vec::new(), &[]));
    }
    session.given = to;
    let spoiled = strikes(FaultKind::SearchIndex);
    if spoiled {
        session.dead = true;
    }
    // Fewer rows than the indexes say: the service has lost some on the way.
    if to - from > 1 && strikes(FaultKind::SearchShort) {
        session.dead = true;
        to -= (to - from).div_ceil(3);
    }
    let found = Arc::clone(&session.rows);
    let shift = session.given - to;
    let list = if spoiled {
        found[from..to].iter().filter_map(|(feed, place)| row(life, feed, *place, -1, 0)).collect()
    } else {
        given(life, &found[from..to], from + shift, total)
    };
    Ok(rows(cmdlet, list, &[]))
}

fn find(cmdlet: &Cmdlet<'_>, life: &mut Life, search: &Search) -> Vec<(Feed, Place)> {
    if cmdlet.tenant.has(Trouble::AuditOff) {
        return Vec::new();
    }
    search.run(&mut life.publisher, cmdlet.call.now, cmdlet.cloud.config.retention.audit_days)
}

fn read(cmdlet: &Cmdlet<'_>) -> Result<Search, crate::cloud::http::Answer> {
    let parameters = &cmdlet.parameters;
    let (start, end) = (moment(cmdlet, "StartDate")?, moment(cmdlet, "EndDate")?);
    if start > end {
        let message = "The StartDate parameter must be earlier than the EndDate parameter.";
        return Err(error(400, "System.ArgumentException", message));
    }
    let record_types = parameters.list("RecordType");
    if let Some(unknown) = record_types.iter().find(|name| !audit::is_type(name)) {
        let message = format!("Cannot convert value \"{unknown}\" to type \"AuditRecordType\".");
        return Err(error(400, "System.Management.Automation.ParameterBindingException", &message));
    }
    Ok(Search {
        start,
        end,
        record_types,
        operations: parameters.list("Operations"),
        users: parameters.list("UserIds"),
        addresses: parameters.list("IPAddresses"),
        objects: parameters.list("ObjectIds"),
        sites: parameters.list("SiteIds"),
        services: Vec::new(),
        text: parameters.text("FreeText").unwrap_or_default(),
    })
}

/// Rows with their place among `total`, counted from behind `before`.
fn given(life: &mut Life, found: &[(Feed, Place)], before: usize, total: usize) -> Vec<String> {
    found
        .iter()
        .enumerate()
        .filter_map(|(index, (feed, place))| row(life, feed, *place, (before + index + 1) as i64, total))
        .collect()
}

fn row(life: &mut Life, feed: &Feed, place: Place, index: i64, total: usize) -> Option<String> {
    let record = life.publisher.record(feed, place)?;
    let value: Value = serde_json::from_str(&record).ok()?;
    let row = json!({
        "RecordType": audit::type_name(value["RecordType"].as_u64().unwrap_or_default()),
        "CreationDate": time::seconds(place.time),
        "UserIds": text(&value, "UserId"),
        "Operations": text(&value, "Operation"),
        "AuditData": record,
        "ResultIndex": index,
        "ResultCount": total,
        "Identity": text(&value, "Id"),
        "IsValid": true,
        "ObjectState": "Unchanged",
    });
    Some(row.to_string())
}
