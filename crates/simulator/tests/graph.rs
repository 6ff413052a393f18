//! Graph over sockets: every feed holds what the ledger says, pages, filters, limits, licences, audit queries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::collections::BTreeSet;

use common::{Client, TENANT, config};
use downspout_simulator::{AppConfig, Config, License};
use serde_json::{Value, json};

const GRAPH: &str = "https://graph.microsoft.com";

/// Limits off: a stopped clock lets nothing through otherwise.
fn free() -> Config {
    let mut config = config();
    config.limits.reports_per_10_seconds = 0;
    config.limits.protection_per_second = 0;
    config.limits.trace_per_5_minutes = 0;
    config
}

fn path(rest: &str) -> String {
    format!("graph.microsoft.com/{rest}")
}

/// Every record of a collection, page after page.
async fn all(client: &Client, token: &str, url: &str) -> Vec<Value> {
    let mut next = Some(path(url));
    let mut records = Vec::new();
    while let Some(url) = next.take() {
        let page = client.get(&url, token).await;
        assert_eq!(page.status, 200, "{url}: {}", page.text());
        let page = page.json();
        records.extend(page["value"].as_array().unwrap().iter().cloned());
        next = page["@odata.nextLink"].as_str().map(str::to_owned);
    }
    records
}

fn ids(records: &[Value]) -> BTreeSet<String> {
    records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

fn code(reply: &common::Reply) -> String {
    reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_feed_holds_what_the_ledger_says() {
    let client = Client::new(free()).await;
    let token = client.token(GRAPH).await;
    let types = "$filter=signInEventTypes/any(t: t eq ";
    for (feed, url) in [
        ("signIns.interactiveUser", "v1.0/auditLogs/signIns?$top=7".to_owned()),
        ("signIns.interactiveUser", format!("beta/auditLogs/signIns?{types}'interactiveUser')")),
        ("signIns.nonInteractiveUser", format!("beta/auditLogs/signIns?$top=9&{types}'nonInteractiveUser')")),
        ("signIns.servicePrincipal", format!("beta/auditLogs/signIns?{types}'servicePrincipal')")),
        ("directoryAudits", "v1.0/auditLogs/directoryAudits?$top=10".to_owned()),
        ("provisioning", "v1.0/auditLogs/provisioning?$top=5".to_owned()),
        ("riskDetections", "v1.0/identityProtection/riskDetections".to_owned()),
    ] {
        let records = all(&client, &token, &url).await;
        let ledger: BTreeSet<String> = client.ledger(feed).await.into_iter().collect();
        assert_eq!(ids(&records), ledger, "{feed}");
        assert!(!ledger.is_empty(), "{feed} is empty");
    }
}

#[tokio::test]
async fn filters_orders_and_versions() {
    let client = Client::new(free()).await;
    let token = client.token(GRAPH).await;
    let window = "createdDateTime ge 2026-01-06T09:00:00Z and createdDateTime lt 2026-01-06T15:00:00Z";
    let some = all(&client, &token, &format!("v1.0/auditLogs/signIns?$filter={window}")).await;
    let times: Vec<&str> = some.iter().map(|record| record["createdDateTime"].as_str().unwrap()).collect();
    assert!(!times.is_empty() && times.iter().all(|t| ("2026-01-06T09".."2026-01-06T15").contains(t)), "{times:?}");
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first");
    let up =
        all(&client, &token, &format!("v1.0/auditLogs/signIns?$filter={window}&$orderby=createdDateTime asc")).await;
    assert_eq!(ids(&some), ids(&up));
    assert!(up.is_sorted_by(|a, b| a["createdDateTime"].as_str() <= b["createdDateTime"].as_str()));
    let user = some[0]["userPrincipalName"].as_str().unwrap();
    let own = format!("v1.0/auditLogs/signIns?$filter={window} and userPrincipalName eq '{user}'");
    let own = all(&client, &token, &own).await;
    assert!(!own.is_empty() && own.iter().all(|record| record["userPrincipalName"] == *user));

    assert!(some[0].get("authenticationProtocol").is_none(), "a member of beta alone");
    let wrong = "v1.0/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'interactiveUser')";
    assert_eq!(client.get(&path(wrong), &token).await.status, 400);
    let mixed =
        "beta/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'interactiveUser' or t eq 'servicePrincipal')";
    assert_eq!(client.get(&path(mixed), &token).await.status, 400);
    let large = client.get(&path("v1.0/identityProtection/riskDetections?$top=501"), &token).await;
    assert!(large.status == 400 && large.text().contains("Must be between 1 and 500"));
    let page = client.get(&path("v1.0/auditLogs/signIns?$top=2"), &token).await.json();
    let link = page["@odata.nextLink"].as_str().unwrap().replace("$top=2", "$top=3");
    assert_eq!(client.get(&link, &token).await.status, 400, "an edited link");
}

#[tokio::test]
async fn a_listing_does_not_move_while_it_is_read() {
    let client = Client::new(free()).await;
    let token = client.token(GRAPH).await;
    let before: BTreeSet<String> = client.ledger("directoryAudits").await.into_iter().collect();
    let first = client.get(&path("v1.0/auditLogs/directoryAudits?$top=3"), &token).await.json();
    let next = first["@odata.nextLink"].as_str().unwrap().to_owned();
    client.control("POST", "clock", r#"{"advance_seconds":3000}"#).await;
    let link = next.strip_prefix(&format!("{}/graph.microsoft.com/", client.base)).unwrap();
    let mut records = all(&client, &token, link).await;
    records.extend(first["value"].as_array().unwrap().iter().cloned());
    assert_eq!(ids(&records), before);
}

#[tokio::test]
async fn limits_licences_and_permissions() {
    let mut config = config();
    config.limits.reports_per_10_seconds = 5;
    config.tenants[0].license = License::Free;
    config.tenants[0].apps = vec![AppConfig {
        client_id: "app".into(),
        client_secret: Some("secret".into()),
        roles: Some(vec!["AuditLog.Read.All".into(), "IdentityRiskEvent.Read.All".into()]),
        ..AppConfig::default()
    }];
    let client = Client::new(config).await;
    let reply = client.token_reply(TENANT, &common::form("app", "secret", GRAPH)).await;
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let get = |rest: &'static str| {
        let (client, token) = (&client, &token);
        async move { client.get(&path(rest), token).await }
    };
    assert_eq!(code(&get("v1.0/auditLogs/signIns").await), "Authentication_RequestFromNonPremiumTenantOrB2CTenant");
    assert_eq!(get("v1.0/auditLogs/directoryAudits").await.status, 200);
    assert_eq!(code(&get("v1.0/users").await), "Authorization_RequestDenied");
    assert_eq!(code(&get("v1.0/security/auditLog/queries").await), "Authorization_RequestDenied");
    for _ in 0..3 {
        assert_eq!(get("v1.0/auditLogs/directoryAudits").await.status, 200);
    }
    let slow = get("v1.0/auditLogs/directoryAudits").await;
    assert_eq!((slow.status, slow.headers["retry-after"].as_str()), (429, "10"));
    get("v1.0/identityProtection/riskDetections").await;
    let slow = get("v1.0/identityProtection/riskDetections").await;
    assert!(slow.status == 429 && !slow.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn message_traces_have_one_row_for_each_recipient() {
    let mut config = free();
    config.tenants[0].message_trace_principal = false;
    let client = Client::new(config).await;
    let token = client.token(GRAPH).await;
    let url = "v1.0/admin/exchange/tracing/messageTraces?$top=50&$filter=receivedDateTime ge 2026-01-05T12:00:00Z and receivedDateTime le 2026-01-07T12:00:00Z";
    assert_eq!(client.get(&path(url), &token).await.status, 401, "the service principal is missing");
    let body = json!({ "appId": "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373" }).to_string();
    assert_eq!(client.request("POST", &path("v1.0/servicePrincipals"), &token, &body).await.status, 201);
    let records = all(&client, &token, url).await;
    let keys: BTreeSet<String> = records
        .iter()
        .map(|r| format!("{}/{}", r["id"].as_str().unwrap(), r["recipientAddress"].as_str().unwrap()))
        .collect();
    assert_eq!(keys, client.ledger("messageTraces").await.into_iter().collect());
    let one = &records[0];
    let detail = format!(
        "v1.0/admin/exchange/tracing/messageTraces/{}/getDetailsByRecipient(recipientAddress='{}')",
        one["id"].as_str().unwrap(),
        one["recipientAddress"].as_str().unwrap()
    );
    assert_eq!(all(&client, &token, &detail).await.len(), 2);
    for wrong in [
        "receivedDateTime ge 2026-01-05T12:00:00Z",
        "receivedDateTime ge 2025-12-20T12:00:00Z and receivedDateTime le 2026-01-07T12:00:00Z",
        "receivedDateTime ge 2025-09-01T12:00:00Z and receivedDateTime le 2025-09-02T12:00:00Z",
        "receivedDateTime ge 2026-01-07T12:00:00Z and receivedDateTime le 2026-01-08T12:00:00Z",
    ] {
        let url = path(&format!("v1.0/admin/exchange/tracing/messageTraces?$filter={wrong}"));
        assert_eq!(client.get(&url, &token).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn two_months_can_be_searched() {
    let mut config = free();
    config.history_days = 60.0;
    config.tenants[0].events_per_day = 100;
    let client = Client::new(config).await;
    let token = client.token(GRAPH).await;
    let body = json!({ "filterStartDateTime": "2025-11-01T00:00:00Z", "filterEndDateTime": "2026-01-07T12:00:00Z" });
    let id = query(&client, &token, &body).await;
    client.control("POST", "clock", r#"{"advance_seconds":130}"#).await;
    let mut ledger = BTreeSet::new();
    for feed in ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"] {
        ledger.extend(client.ledger(feed).await);
    }
    let records = all(&client, &token, &format!("beta/security/auditLog/queries/{id}/records?$top=5000")).await;
    assert!(ledger.len() > 2_500);
    assert_eq!(ids(&records), ledger);
}

#[tokio::test]
async fn a_changed_record_takes_the_place_of_the_old_one() {
    let mut config = free();
    // Risks are rare.
    config.tenants[0].events_per_day = 5_000;
    config.publishing.changed_share = 1.0;
    config.publishing.changed_seconds = 86_400;
    let client = Client::new(config).await;
    let token = client.token(GRAPH).await;
    let url = "v1.0/identityProtection/riskDetections?$top=500";
    let before = all(&client, &token, url).await;
    client.control("POST", "clock", r#"{"advance_seconds":1200}"#).await;
    let after = all(&client, &token, url).await;
    let state = |records: &[Value], state| records.iter().filter(|record| record["riskState"] == state).count();
    let lines = client.control("GET", "ledger?feed=riskDetections", "").await.text();
    assert_eq!(after.len(), ids(&after).len(), "one version of each");
    assert!(state(&before, "remediated") > 0 && state(&before, "atRisk") > 0);
    assert_eq!(lines.lines().count(), after.len() + state(&after, "remediated"));
    assert!(client.happened("changed").await > 0);
}

#[tokio::test]
async fn members_that_came_later_are_for_those_who_ask_for_them() {
    let client = Client::new(free()).await;
    let token = client.token(GRAPH).await;
    let url = "beta/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'nonInteractiveUser')";
    let kinds = |records: &[Value]| -> BTreeSet<String> {
        records.iter().map(|record| record["incomingTokenType"].as_str().unwrap().to_owned()).collect()
    };
    let plain = kinds(&all(&client, &token, url).await);
    assert!(plain.contains("unknownFutureValue") && !plain.contains("refreshToken"), "{plain:?}");
    assert!(client.happened("unknown_enum").await > 0);
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("prefer", "include-unknown-enum-members")];
    let asked = common::send("GET", &format!("{}/{}", client.base, path(url)).replace(' ', "%20"), &headers, "").await;
    let asked = kinds(asked.json()["value"].as_array().unwrap());
    assert!(asked.contains("refreshToken") && !asked.contains("unknownFutureValue"), "{asked:?}");
}

async fn query(client: &Client, token: &str, body: &Value) -> String {
    let reply = client.request("POST", &path("beta/security/auditLog/queries"), token, &body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn audit_queries_run_finish_and_hold_the_unified_log() {
    let client = Client::new(free()).await;
    let token = client.token(GRAPH).await;
    let body = json!({ "filterStartDateTime": "2026-01-01T00:00:00Z", "filterEndDateTime": "2026-01-07T12:00:00Z" });
    let id = query(&client, &token, &body).await;
    let status = format!("beta/security/auditLog/queries/{id}");
    assert_eq!(client.get(&path(&status), &token).await.json()["status"], "notStarted");
    assert!(all(&client, &token, &format!("{status}/records")).await.is_empty());
    let mut ledger = BTreeSet::new();
    client.control("POST", "clock", r#"{"advance_seconds":130}"#).await;
    for feed in ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"] {
        ledger.extend(client.ledger(feed).await);
    }
    let shown = client.get(&path(&status), &token).await.json();
    assert_eq!((&shown["status"], &shown["isRecordCountLimitExceeded"]), (&json!("succeeded"), &json!(false)));
    let records = all(&client, &token, &format!("{status}/records?$top=100")).await;
    assert_eq!(ids(&records), ledger);
    let one = records.iter().find(|record| record["auditLogRecordType"] == "AzureActiveDirectoryStsLogon").unwrap();
    assert_eq!(one["userPrincipalName"], one["auditData"]["UserId"]);
    assert_eq!(one["userId"], one["auditData"]["UserKey"]);
    assert!(one["clientIp"].is_null() && one["auditData"]["@odata.type"].is_string());

    let narrow = json!({
        "filterStartDateTime": "2026-01-01T00:00:00Z", "filterEndDateTime": "2026-01-07T12:00:00Z",
        "recordTypeFilters": ["azureActiveDirectoryStsLogon"], "serviceFilter": "AzureActiveDirectory",
        "userPrincipalNameFilters": [one["userPrincipalName"]],
    });
    let id = query(&client, &token, &narrow).await;
    client.control("POST", "clock", r#"{"advance_seconds":130}"#).await;
    let own = all(&client, &token, &format!("beta/security/auditLog/queries/{id}/records")).await;
    assert!(!own.is_empty() && own.iter().all(|r| r["userPrincipalName"] == one["userPrincipalName"]));
}

#[tokio::test]
async fn audit_queries_lose_what_they_are_told_to() {
    let client = Client::new(free()).await;
    let token = client.token(GRAPH).await;
    let faults = r#"[{"kind":"query_fails","every":2,"limit":1},{"kind":"query_truncated","every":3,"limit":1},
        {"kind":"short_page","limit":1},{"kind":"wrong_count","every":2,"limit":1}]"#;
    client.control("POST", "faults", faults).await;
    let body = json!({ "filterStartDateTime": "2026-01-01T00:00:00Z", "filterEndDateTime": "2026-01-07T12:00:00Z" });
    let mut states = Vec::new();
    let mut first = String::new();
    for number in 0..3 {
        let id = query(&client, &token, &body).await;
        client.control("POST", "clock", r#"{"advance_seconds":130}"#).await;
        let shown = client.get(&path(&format!("beta/security/auditLog/queries/{id}")), &token).await.json();
        states.push((shown["status"].as_str().unwrap().to_owned(), shown["isRecordCountLimitExceeded"] == true));
        if number == 0 {
            first = id;
        }
    }
    assert_eq!(states, [("succeeded".into(), false), ("failed".into(), false), ("succeeded".into(), true)]);
    let page = path(&format!("beta/security/auditLog/queries/{first}/records?$top=90"));
    let mut counts = Vec::new();
    for _ in 0..3 {
        let page = client.get(&page, &token).await.json();
        counts.push((page["@odata.count"].as_u64().unwrap(), page["value"].as_array().unwrap().len()));
    }
    assert_eq!(counts, [(90, 60), (91, 90), (90, 90)]);
    assert_eq!((client.happened("short_page").await, client.happened("wrong_count").await), (1, 1));
}

#[tokio::test]
async fn the_directory_tells_what_an_application_was_granted() {
    let mut config = free();
    config.tenants[0].apps = vec![AppConfig {
        client_id: "0a1b2c3d-0000-4000-8000-000000000001".into(),
        client_secret: Some("secret".into()),
        roles: Some(vec!["Application.Read.All".into(), "User.Read.All".into(), "ActivityFeed.Read".into()]),
        ..AppConfig::default()
    }];
    let client = Client::new(config).await;
    let form = common::form("0a1b2c3d-0000-4000-8000-000000000001", "secret", GRAPH);
    let token = client.token_reply(TENANT, &form).await.json()["access_token"].as_str().unwrap().to_owned();
    let url = "v1.0/servicePrincipals?$filter=appId eq '0a1b2c3d-0000-4000-8000-000000000001'&$select=id,appId";
    let own = all(&client, &token, url).await;
    assert_eq!((own.len(), own[0].as_object().unwrap().len()), (1, 2));
    let id = own[0]["id"].as_str().unwrap();
    let granted = all(&client, &token, &format!("v1.0/servicePrincipals/{id}/appRoleAssignments")).await;
    let mut names = BTreeSet::new();
    for one in &granted {
        let url = path(&format!("v1.0/servicePrincipals/{}", one["resourceId"].as_str().unwrap()));
        let service = client.get(&url, &token).await.json();
        let role = service["appRoles"].as_array().unwrap().iter().find(|role| role["id"] == one["appRoleId"]).unwrap();
        names.insert(role["value"].as_str().unwrap().to_owned());
    }
    let expected = ["ActivityFeed.Read", "Application.Read.All", "User.Read.All"];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let users = all(&client, &token, "v1.0/users?$top=3&$count=true").await;
    assert!(users.len() >= 10);
    assert_eq!(client.get(&path("v1.0/devices"), &token).await.status, 403);
}
