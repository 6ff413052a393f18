//! The simulator's own endpoints, under `/simulator/`: the clock, the ledger, the records, the truth, statistics, faults,
//! outages, and the person who signs in with a device code.

use std::fmt::Write;

use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::faults::FaultRule;
use super::http::{Answer, pairs};
use super::publish::UNIFIED;
use super::route::Api;
use super::{Cloud, Outage, lock, login, time};

/// Answers a request to the control plane.
pub(crate) fn answer(cloud: &Cloud, method: &Method, path: &str, query: &str, body: &[u8]) -> Answer {
    match (method, path.trim_end_matches('/')) {
        (&Method::GET, "clock") => clock(cloud),
        (&Method::GET, "ledger") => ledger(cloud, query),
        (&Method::GET, "records") => records(cloud),
        (&Method::GET, "truth") => truth_answer(cloud),
        (&Method::GET, "stats") => Answer::json(200, &cloud.stats.json(cloud.faults.json())),
        (&Method::GET, "tenants") => tenants(cloud),
        (&Method::POST, "faults") => faults(cloud, body),
        (&Method::POST, "outage") => outage(cloud, body),
        (&Method::POST, "clock") => set_clock(cloud, body),
        (&Method::POST, "device") => device(cloud, body),
        _ => {
            let hint = "GET clock, ledger, records, truth, stats, tenants; POST faults, outage, clock, device";
            Answer::text(404, "text/plain", hint)
        }
    }
}

fn clock(cloud: &Cloud) -> Answer {
    let now = time::plus(cloud.clock.now(), cloud.config.clock.skew_seconds);
    Answer::json(200, &json!({ "now": now.to_string(), "rate": cloud.clock.rate() }))
}

/// Everything published so far, one record a line. `tenant` and `feed` select; `count=true` counts instead.
fn ledger(cloud: &Cloud, query: &str) -> Answer {
    let wanted = pairs(query);
    let find = |name: &str| wanted.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (tenant, feed) = (find("tenant"), find("feed"));
    let now = cloud.clock.now();
    let mut lines = String::new();
    let mut counts = serde_json::Map::new();
    for owner in cloud.tenants.iter().filter(|owner| tenant.is_none_or(|name| owner.is_called(name))) {
        let life = owner.live(now);
        let id = life.publisher.tenant().to_owned();
        life.publisher.ledger(|record| {
            if feed.is_some_and(|wanted| wanted != record.feed) {
                return;
            }
            if find("count").is_some() {
                let count = counts.entry(format!("{id}/{}", record.feed)).or_insert_with(|| json!(0));
                *count = json!(count.as_u64().unwrap_or(0) + 1);
                return;
            }
            let line = json!({
                "tenant": id,
                "feed": record.feed,
                "shard": format!("{id}/{}", record.feed),
                "id": record.id,
                "time": record.time.to_string(),
                "published": record.available.to_string(),
                "available_from": record.available.to_string(),
                "expires": record.expires.to_string(),
                "replaced": record.replaced.map(|when| when.to_string()),
            });
            // Writing into a string cannot fail.
            let _ = writeln!(lines, "{line}");
        });
    }
    if find("count").is_some() {
        return Answer::json(200, &counts.into());
    }
    Answer::text(200, "application/x-ndjson", lines)
}

/// Every record of the unified audit log that is published, one a line, as the services give it out.
fn records(cloud: &Cloud) -> Answer {
    let mut lines = String::new();
    for tenant in &cloud.tenants {
        let mut life = tenant.live(cloud.clock.now());
        for feed in UNIFIED {
            let snapshot = life.publisher.snapshot(&feed);
            for place in life.publisher.places(&feed, (Timestamp::MIN, Timestamp::MAX), snapshot) {
                let record = life.publisher.record(&feed, place);
                lines.extend(record.as_deref().into_iter().flat_map(|record| [record, "\n"]));
            }
        }
    }
    Answer::text(200, "application/x-ndjson", lines)
}

/// The attacks that are over, one a line.
pub(crate) fn truth(cloud: &Cloud) -> String {
    let mut lines = String::new();
    for tenant in &cloud.tenants {
        let life = tenant.live(cloud.clock.now());
        for truth in life.publisher.truth() {
            let line = json!({
                "tenant": tenant.id(),
                "attack": truth.attack,
                "kind": truth.kind,
                "start": truth.start.to_string(),
                "end": truth.end.to_string(),
                "actors": truth.actors,
                "addresses": truth.addresses,
                "targets": truth.targets,
                "record_ids": truth.record_ids,
                "description": truth.description,
            });
            // Writing into a string cannot fail.
            let _ = writeln!(lines, "{line}");
        }
    }
    lines
}

fn truth_answer(cloud: &Cloud) -> Answer {
    let lines = truth(cloud);
    if let Some(file) = &cloud.config.truth_file
        && let Err(error) = std::fs::write(file, &lines)
    {
        return Answer::text(500, "text/plain", format!("cannot write {}: {error}", file.display()));
    }
    Answer::text(200, "application/x-ndjson", lines)
}

fn tenants(cloud: &Cloud) -> Answer {
    let list: Vec<_> = cloud
        .tenants
        .iter()
        .map(|tenant| {
            json!({
                "tenant_id": tenant.id(),
                "domain": tenant.config.domain,
                "first_domain": tenant.first_domain(),
                "client_ids": tenant.config.apps.iter().map(|app| &app.client_id).collect::<Vec<_>>(),
            })
        })
        .collect();
    Answer::json(200, &json!(list))
}

fn wrong(error: impl std::fmt::Display) -> Answer {
    Answer::json(400, &json!({ "error": error.to_string() }))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rules {
    One(Box<FaultRule>),
    Many(Vec<FaultRule>),
}

/// Adds rules; an empty list ends those that are there.
fn faults(cloud: &Cloud, body: &[u8]) -> Answer {
    match serde_json::from_slice(body) {
        Ok(Rules::Many(rules)) if rules.is_empty() => cloud.faults.end(),
        Ok(Rules::Many(rules)) => cloud.faults.add(rules),
        Ok(Rules::One(rule)) => cloud.faults.add(vec![*rule]),
        Err(error) => return wrong(error),
    }
    Answer::json(200, &cloud.faults.json())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutageRequest {
    #[serde(default)]
    api: Option<Api>,
    #[serde(default)]
    tenant: Option<String>,
    on: bool,
}

fn outage(cloud: &Cloud, body: &[u8]) -> Answer {
    let request: OutageRequest = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return wrong(error),
    };
    let outage = Outage { api: request.api, tenant: request.tenant };
    let mut outages = lock(&cloud.outages);
    outages.retain(|other| *other != outage);
    if request.on {
        outages.push(outage);
    }
    Answer::json(200, &json!({ "outages": outages.len() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceRequest {
    user_code: String,
    agrees: bool,
}

/// A person enters the code that a device shows, and agrees or not.
fn device(cloud: &Cloud, body: &[u8]) -> Answer {
    match serde_json::from_slice::<DeviceRequest>(body) {
        Ok(request) if login::decide(cloud, &request.user_code, request.agrees) => Answer::json(200, &json!({})),
        Ok(request) => wrong(format!("no device shows the code {}", request.user_code)),
        Err(error) => wrong(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockRequest {
    #[serde(default)]
    advance_seconds: Option<f64>,
    #[serde(default)]
    rate: Option<f64>,
}

fn set_clock(cloud: &Cloud, body: &[u8]) -> Answer {
    match serde_json::from_slice::<ClockRequest>(body) {
        Ok(request) => {
            if let Some(rate) = request.rate {
                cloud.clock.set_rate(rate);
            }
            if let Some(seconds) = request.advance_seconds {
                cloud.clock.advance(seconds);
            }
            clock(cloud)
        }
        Err(error) => wrong(error),
    }
}
