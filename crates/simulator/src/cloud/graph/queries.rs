//! `security/auditLog/queries`: searches in the unified audit log that take their time.
//!
//! A query's answer is fixed when it has run: what is published later is not in it, and every reading of it finds the
//! same, unless a fault was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::page::{Found, Position, collection, cut, size};
use super::{Outcome, Request, fault};
use crate::cloud::audit::{self, Search};
use crate::cloud::faults::FaultKind;
use crate::cloud::http::Answer;
use crate::cloud::route::Api;
use crate::cloud::stats::count;
use crate::cloud::tenant::Life;
use crate::cloud::{random, time};
use crate::config::Trouble;

const ROLES: [&str; 7] = [
    "AuditLogsQuery.Read.All",
    "AuditLogsQuery-Entra.Read.All",
    "AuditLogsQuery-Exchange.Read.All",
    "AuditLogsQuery-OneDrive.Read.All",
    "AuditLogsQuery-SharePoint.Read.All",
    "AuditLogsQuery-Endpoint.Read.All",
    "AuditLogsQuery-CRM.Read.All",
];

/// Records of a page that asks for no other number, and the most.
const SIZES: (usize, usize) = (150, 10_000);

/// A submitted query.
#[derive(Debug)]
pub(crate) struct Query {
    body: Value,
    search: Search,
    submitted: Timestamp,
    ready: Timestamp,
    fails: bool,
    /// How many records it may give.
    limit: usize,
    /// Its answer and whether that is cut off, once somebody looked.
    found: Option<(Found, bool)>,
}

/// All of a tenant's queries, by id.
pub(crate) type Queries = BTreeMap<String, Query>;

/// Everything below `security/auditLog/queries`.
pub(super) fn answer(request: &Request<'_>, rest: &[&str]) -> Outcome {
    let call = request.call;
    request.needs(&ROLES)?;
    if !request.beta && !request.cloud.config.limits.queries_v1 {
        return Err(fault(call, 404, "UnknownError", ""));
    }
    match (call.method.as_str(), rest) {
        ("POST", []) => submit(request),
        ("GET", []) => list(request),
        ("GET", [id]) => status(request, id),
        ("GET", [id, "records"]) => records(request, id),
        _ => Err(fault(call, 404, "ResourceNotFound", "Resource not found.")),
    }
}

fn submit(request: &Request<'_>) -> Outcome {
    let Request { cloud, call, tenant, .. } = *request;
    let limits = &cloud.config.limits;
    let body = call.json().filter(Value::is_object);
    let body = body.ok_or_else(|| fault(call, 400, "BadRequest", "Unable to read JSON request payload."))?;
    let search = read_search(request, &body)?;
    request.limit("queries", limits.queries_per_day, 86_400, true)?;
    let strikes = |kind| cloud.faults.strikes(kind, Api::Graph, Some(tenant.id()), &call.path).is_some();
    let mut life = tenant.live(call.now);
    let running = life.queries.values().filter(|query| query.ready > call.now).count();
    if running >= limits.queries_running {
        count(&cloud.stats.throttled);
        return Err(fault(call, 429, "TooManyRequests", "Too many audit log queries are running."));
    }
    // Results are found again if somebody asks for them after a day; queries are forgotten after a month.
    life.queries.retain(|_, query| time::between(query.ready, call.now) < 30.0 * 86_400.0);
    for query in life.queries.values_mut().filter(|query| time::between(query.ready, call.now) > 86_400.0) {
        query.found = None;
    }
    let id = random::guid(life.queries.len() as u64, &format!("{} {}", tenant.id(), call.now));
    let limit = if strikes(FaultKind::QueryTruncated) { 10 } else { limits.query_records };
    let query = Query {
        body,
        search,
        submitted: call.now,
        ready: time::plus(call.now, limits.query_seconds as i64),
        fails: strikes(FaultKind::QueryFails),
        limit,
        found: None,
    };
    let answer = Answer::json(201, &show(call.now, &id, &query));
    life.queries.insert(id, query);
    Ok(answer)
}

fn read_search(request: &Request<'_>, body: &Value) -> Result<Search, Answer> {
    let bad = |message: String| fault(request.call, 400, "BadRequest", &message);
    let time = |name: &str, default: Timestamp| match body[name].as_str() {
        None => Ok(default),
        Some(text) => time::parse(text).ok_or_else(|| bad(format!("Cannot convert the literal '{text}' of {name}."))),
    };
    let list = |name: &str| -> Vec<String> {
        let items = body[name].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let record_types = list("recordTypeFilters");
    if let Some(unknown) = record_types.iter().find(|name| !audit::is_type(name)) {
        return Err(bad(format!("Requested value '{unknown}' was not found.")));
    }
    let (singular, plural) = (body["serviceFilter"].as_str(), list("serviceFilters"));
    if !request.beta && singular.is_some() || request.beta && !plural.is_empty() {
        let name = if request.beta { "serviceFilters" } else { "serviceFilter" };
        return Err(bad(format!(
            "The property '{name}' does not exist on type 'microsoft.graph.security.auditLogQuery'."
        )));
    }
    let services = singular.filter(|name| !name.is_empty()).map(|name| vec![name.to_owned()]).unwrap_or(plural);
    let search = Search {
        start: time("filterStartDateTime", time::plus(request.call.now, -86_400))?,
        end: time("filterEndDateTime", request.call.now)?,
        record_types,
        operations: list("operationFilters"),
        users: list("userPrincipalNameFilters"),
        addresses: list("ipAddressFilters"),
        objects: list("objectIdFilters"),
        sites: Vec::new(),
        services,
        text: body["keywordFilter"].as_str().unwrap_or_default().to_owned(),
    };
    if search.start >= search.end {
        return Err(bad("filterStartDateTime must be before filterEndDateTime.".to_owned()));
    }
    Ok(search)
}

fn show(now: Timestamp, id: &str, query: &Query) -> Value {
    let third = time::plus(query.submitted, ((query.ready.as_second() - query.submitted.as_second()) / 3).max(0));
    let status = match () {
        () if now < third => "notStarted",
        () if now < query.ready => "running",
        () if query.fails => "failed",
        () => "succeeded",
    };
    let mut shown = json!({
        "@odata.type": "#microsoft.graph.security.auditLogQuery",
        "id": id,
        "status": status,
        "displayName": "", "filterStartDateTime": time::seconds(query.search.start),
        "filterEndDateTime": time::seconds(query.search.end),
    });
    if let (Some(shown), Some(body)) = (shown.as_object_mut(), query.body.as_object()) {
        for (name, value) in body.iter().filter(|(name, _)| *name != "status") {
            shown.insert(name.clone(), value.clone());
        }
        if let Some((found, cut)) = &query.found {
            shown.insert("approximateReturnedRecordCount".to_owned(), json!(found.len().to_string()));
            shown.insert("recordCountLimit".to_owned(), json!(query.limit.to_string()));
            shown.insert("isRecordCountLimitExceeded".to_owned(), json!(cut));
        }
    }
    shown
}

/// Runs a query whose time has come.
fn settle(request: &Request<'_>, life: &mut Life, id: &str) -> Result<(), Answer> {
    let call = request.call;
    let Life { queries, publisher, .. } = life;
    let query = queries
        .get_mut(id)
        .ok_or_else(|| fault(call, 404, "ResourceNotFound", "The audit log query was not found."))?;
    if call.now >= query.ready && query.found.is_none() {
        let off = request.tenant.has(Trouble::AuditOff);
        let days = request.cloud.config.retention.audit_days;
        let mut found = if off { Vec::new() } else { query.search.run(publisher, query.ready, days) };
        let cut = found.len() > query.limit;
        found.truncate(query.limit);
        query.found = Some((Arc::new(found), cut));
    }
    Ok(())
}

fn list(request: &Request<'_>) -> Outcome {
    let life = request.tenant.live(request.call.now);
    let rows: Vec<String> =
        life.queries.iter().map(|(id, query)| show(request.call.now, id, query).to_string()).collect();
    Ok(collection(request.call, "security/auditLog/queries", &rows, None, None))
}

fn status(request: &Request<'_>, id: &str) -> Outcome {
    let mut life = request.tenant.live(request.call.now);
    settle(request, &mut life, id)?;
    let query = &life.queries[id];
    Ok(Answer::json(200, &show(request.call.now, id, query)))
}

fn records(request: &Request<'_>, id: &str) -> Outcome {
    let Request { cloud, call, tenant, .. } = *request;
    let size = size(call, SIZES.0, SIZES.1)?;
    let mut life = tenant.live(call.now);
    settle(request, &mut life, id)?;
    let query = &life.queries[id];
    let found = match &query.found {
        Some((found, _)) if !query.fails => Arc::clone(found),
        // What is given before the end is not documented: here, nothing.
        _ => Arc::default(),
    };
    let position = Position::of(call)?.unwrap_or(Position { offset: 0, snapshot: Vec::new() });
    let page = cut(cloud, call, tenant.id(), &position, (found.len(), size));
    let (from, mut to) = page.range;
    let mut total = to - from;
    let strikes = |kind| cloud.faults.strikes(kind, Api::Graph, Some(tenant.id()), &call.path).is_some();
    if total > 1 && strikes(FaultKind::ShortPage) {
        to -= total.div_ceil(3);
    }
    if to - from > 1 && strikes(FaultKind::LossyPage) {
        let lost = (to - from).div_ceil(3);
        (to, total) = (to - lost, total - lost);
    }
    if total > 0 && strikes(FaultKind::WrongCount) {
        total += 1;
    }
    let rows: Vec<String> = found[from..to]
        .iter()
        .filter_map(|(feed, place)| life.publisher.record(feed, *place))
        .filter_map(|record| row(&record))
        .collect();
    let context = format!("security/auditLog/queries('{id}')/records");
    Ok(collection(call, &context, &rows, page.next.as_deref(), Some(total)))
}

/// A record as Graph wraps it: names in PascalCase, the two user fields crossed, no address.
fn row(record: &str) -> Option<String> {
    let value: Value = serde_json::from_str(record).ok()?;
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let head = json!({
        "id": text("Id"),
        "createdDateTime": format!("{}Z", text("CreationTime").trim_end_matches('Z')),
        "auditLogRecordType": audit::type_name(value["RecordType"].as_u64().unwrap_or_default()),
        "operation": text("Operation"),
        "organizationId": text("OrganizationId"),
        "userType": audit::user_type(value["UserType"].as_u64().unwrap_or_default()),
        "userId": text("UserKey"),
        "userPrincipalName": text("UserId"),
        "service": text("Workload"),
        "objectId": value["ObjectId"],
        "clientIp": null,
        "administrativeUnits": [""],
    })
    .to_string();
    let data = record.trim_start().strip_prefix('{')?;
    let kind = "#microsoft.graph.security.defaultAuditData";
    Some(format!("{},\"auditData\":{{\"@odata.type\":\"{kind}\",{data}}}", &head[..head.len() - 1]))
}
