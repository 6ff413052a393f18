//! A service that searches an audit log, with the defects of the real ones on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::testing::{self, Asked};

/// What goes wrong, and how often: counted down.
#[derive(Debug, Default, Clone)]
pub(super) struct Faults {
    /// Sessions of Exchange whose second block says -1.
    pub(super) minus_one: u32,
    /// Sessions that give nothing although there is something.
    pub(super) empty: u32,
    /// First calls of sessions whose answer is lost on its way: the session has gone on, the client has nothing.
    pub(super) lost: u32,
    /// Sessions that say they have more rows than a session gives.
    pub(super) too_many: u32,
    /// Calls that give at most that many rows and a link.
    pub(super) short: Option<usize>,
    /// Readings of a finished Graph query that leave out the last record.
    pub(super) missing: u32,
    /// Pages of Graph that are cut off.
    pub(super) cut: u32,
    /// Pages of Graph that count one record more than they hold.
    pub(super) miscounted: u32,
    /// Pages of Graph whose link leads to another host.
    pub(super) hostile: u32,
    /// Polls that answer 502.
    pub(super) bad_gateway: u32,
    /// Queries that fail.
    pub(super) failed: u32,
}

/// The state of the service.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Time and id of every record.
    pub(super) records: Vec<(Timestamp, String)>,
    pub(super) faults: Faults,
    /// The most rows of a session, and of a query.
    pub(super) most: usize,
    /// The most records of a Graph page.
    pub(super) page: usize,
    pub(super) sessions: BTreeMap<String, (usize, bool)>,
    pub(super) queries: Vec<(Value, u32)>,
    pub(super) readings: u32,
    /// What Exchange says of the switch, and the Management Activity API; neither answers if it is not set.
    pub(super) auditing: Option<bool>,
    /// Every request: method, path and body.
    pub(super) asked: Vec<(String, String, Value)>,
}

impl State {
    fn matching(&self, start: &str, end: &str) -> Vec<String> {
        let (start, end): (Timestamp, Timestamp) = (start.parse().unwrap(), end.parse().unwrap());
        let found = self.records.iter().filter(|(at, _)| *at >= start && *at <= end);
        found
            .map(|(at, id)| json!({ "CreationTime": at.to_string(), "Id": id, "Operation": "x" }).to_string())
            .collect()
    }

    pub(super) fn asked_for(&self, part: &str) -> usize {
        self.asked.iter().filter(|(_, path, _)| path.contains(part)).count()
    }

    fn answer(&mut self, base: &str, method: &str, path: &str, body: &Value) -> (u16, String) {
        if path.contains("/oauth2/") {
            let token = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "a.b.c" });
            return (200, token.to_string());
        }
        self.asked.push((method.to_owned(), path.to_owned(), body.clone()));
        if body["CmdletInput"]["CmdletName"] == "Get-AdminAuditLogConfig" {
            let row = |on| json!({ "value": [{ "UnifiedAuditLogIngestionEnabled": on }] }).to_string();
            return self.auditing.map_or((403, String::new()), |on| (200, row(on)));
        }
        if path.contains("/subscriptions/list") {
            return (401, String::new());
        }
        if path.contains("/InvokeCommand") {
            return self.invoke(base, body);
        }
        let rest = path.split("/security/auditLog/queries").nth(1).unwrap_or_default().to_owned();
        if method == "POST" {
            self.queries.push((body.clone(), 0));
            return (201, json!({ "id": format!("q-{}", self.queries.len()), "status": "notStarted" }).to_string());
        }
        let id = rest.trim_start_matches("/q-");
        let number: usize = id.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
        let (query, polls) = &mut self.queries[number - 1];
        let bounds = (query["filterStartDateTime"].clone(), query["filterEndDateTime"].clone());
        if !id.contains("/records") {
            *polls += 1;
            let polls = *polls;
            if take(&mut self.faults.bad_gateway) {
                return (502, "<html>".to_owned());
            }
            if polls < 3 {
                return (200, json!({ "status": "running" }).to_string());
            }
            if take(&mut self.faults.failed) {
                return (200, json!({ "status": "failed" }).to_string());
            }
            let records = self.matching(bounds.0.as_str().unwrap(), bounds.1.as_str().unwrap());
            let exceeded = records.len() > self.most;
            return (200, json!({ "status": "succeeded", "isRecordCountLimitExceeded": exceeded }).to_string());
        }
        let mut records = self.matching(bounds.0.as_str().unwrap(), bounds.1.as_str().unwrap());
        let skip: usize = id.split("$skip=").nth(1).map_or(0, |skip| skip.parse().unwrap());
        if skip == 0 {
            self.readings += 1;
        }
        if self.readings <= self.faults.missing {
            records.pop();
        }
        let page: Vec<Value> = records
            .iter()
            .skip(skip)
            .take(self.page)
            .map(|record| json!({ "id": "x", "clientIp": null, "auditData": serde_json::from_str::<Value>(record).unwrap() }))
            .collect();
        let count = page.len() + usize::from(take(&mut self.faults.miscounted));
        let mut answer = json!({ "@odata.count": count, "value": page });
        if skip + self.page < records.len() {
            let next = skip + self.page;
            answer["@odata.nextLink"] =
                format!("{base}/graph.microsoft.com/beta/security/auditLog/queries/q-{number}/records?$skip={next}")
                    .into();
        }
        if take(&mut self.faults.hostile) {
            answer["@odata.nextLink"] = "http://127.0.0.1:1/evil".into();
        }
        let mut text = answer.to_string();
        if take(&mut self.faults.cut) {
            text.pop();
        }
        (200, text)
    }

    fn invoke(&mut self, base: &str, body: &Value) -> (u16, String) {
        let parameters = &body["CmdletInput"]["Parameters"];
        let text = |name: &str| parameters[name].as_str().unwrap().to_owned();
        let records = self.matching(&text("StartDate"), &text("EndDate"));
        let fresh = !self.sessions.contains_key(&text("SessionId"));
        let empty = fresh && !records.is_empty() && take(&mut self.faults.empty);
        let (from, dead) = *self.sessions.entry(text("SessionId")).or_insert((0, empty));
        let size = parameters["ResultSize"].as_u64().unwrap() as usize;
        let given = size.min(self.faults.short.unwrap_or(size)).min(self.page);
        let mut rows = Vec::new();
        let too_many = fresh && take(&mut self.faults.too_many);
        let broken = from > 0 && take(&mut self.faults.minus_one);
        for (index, record) in records.iter().enumerate().skip(from).take(if dead { 0 } else { given }) {
            let total = if too_many { 60_000 } else { records.len() };
            let (index, count) = if broken { (-1, 0) } else { (index as i64 + 1, total) };
            rows.push(json!({ "AuditData": record, "ResultIndex": index, "ResultCount": count }));
        }
        let to = from + rows.len();
        self.sessions.insert(text("SessionId"), (to, dead));
        if fresh && take(&mut self.faults.lost) {
            return (503, String::new());
        }
        let mut answer = json!({ "@adminapi.warnings": [], "value": rows });
        if to < records.len() && !dead {
            answer["@odata.nextLink"] = format!("{base}/next").into();
        }
        (200, answer.to_string())
    }
}

fn take(count: &mut u32) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}

/// Serves on loopback; gives the base URL.
pub(super) async fn serve(state: Arc<Mutex<State>>) -> String {
    let answer = move |asked: &Asked| {
        let base = format!("http://{}", asked.host);
        state.lock().unwrap().answer(&base, &asked.method, &asked.path, &asked.body)
    };
    testing::serve(Arc::new(Mutex::new(answer))).await
}
