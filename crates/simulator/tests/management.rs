//! The Management Activity API over sockets: subscriptions, windows, pages, blobs, limits, and what goes wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::collections::BTreeSet;

use common::{Client, TENANT, config, form, send};
use downspout_simulator::{AppConfig, BulkConfig, Config, TenantConfig};
use serde_json::Value;

const RESOURCE: &str = "https://manage.office.com";

fn root() -> String {
    format!("manage.office.com/api/v1.0/{TENANT}/activity/feed")
}

fn listing(kind: &str, start: &str, end: &str) -> String {
    format!("{}/subscriptions/content?contentType={kind}&startTime={start}&endTime={end}", root())
}

async fn start(client: &Client, token: &str, kind: &str) {
    let reply = client.request("POST", &format!("{}/subscriptions/start?contentType={kind}", root()), token, "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn code(value: &Value) -> &str {
    value["error"]["code"].as_str().unwrap_or_default()
}

/// Collects everything of a content type, window by window, page by page.
async fn collect(client: &Client, token: &str, kind: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for (from, to) in [("05T12", "06T12"), ("06T12", "07T12")] {
        let mut next = Some(listing(kind, &format!("2026-01-{from}:00:00"), &format!("2026-01-{to}:00:00")));
        while let Some(url) = next.take() {
            let page = client.get(&url, token).await;
            assert_eq!(page.status, 200, "{}", page.text());
            for entry in page.json().as_array().unwrap() {
                let blob = client.get(entry["contentUri"].as_str().unwrap(), token).await;
                assert_eq!(blob.status, 200, "{}", blob.text());
                ids.extend(blob.json().as_array().unwrap().iter().map(|r| r["Id"].as_str().unwrap().to_owned()));
            }
            next = page.headers.get("nextpageuri").cloned();
        }
    }
    ids
}

fn bulk_config() -> Config {
    let mut config = config();
    config.limits.management_page = 3;
    config.tenants[0].bulk =
        vec![BulkConfig { blobs: 10, blob_bytes: 20_000, spacing_seconds: 7_200.0, ..BulkConfig::default() }];
    // The last blob becomes available at the moment the clock stands at, which a listing up to now leaves out.
    config
}

#[tokio::test]
async fn everything_in_the_ledger_can_be_collected() {
    let client = Client::new(bulk_config()).await;
    let token = client.token(RESOURCE).await;
    start(&client, &token, "Audit.General").await;
    client.control("POST", "clock", r#"{"advance_seconds":-1}"#).await;
    let collected = collect(&client, &token, "Audit.General").await;
    let unique: BTreeSet<String> = collected.iter().cloned().collect();
    let ledger: BTreeSet<String> = client
        .control("GET", "ledger?feed=Audit.General", "")
        .await
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["available_from"] != "2026-01-07T12:00:00Z")
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(unique.len() > 90);
    assert_eq!(unique, ledger);
}

#[tokio::test]
async fn links_have_the_form_in_which_the_service_was_asked() {
    let client = Client::new(bulk_config()).await;
    let token = client.token(RESOURCE).await;
    start(&client, &token, "Audit.General").await;
    let page = client.get(&listing("Audit.General", "2026-01-06T12:00:00", "2026-01-07T12:00:00"), &token).await;
    let base = format!("{}/manage.office.com/api/", client.base);
    assert!(page.headers["nextpageuri"].starts_with(&format!("{base}v1/")), "{:?}", page.headers);
    let uri = page.json()[0]["contentUri"].as_str().unwrap().to_owned();
    assert!(uri.starts_with(&format!("{base}v1.0/{TENANT}/activity/feed/audit/2026")), "{uri}");

    let path = format!("{}/{}", client.base, listing("Audit.General", "2026-01-06T12:00", "2026-01-07T12:00"))
        .replace("manage.office.com/", "");
    let bearer = format!("Bearer {token}");
    let page = send("GET", &path, &[("host", "manage.office.com"), ("authorization", &bearer)], "").await;
    assert!(page.json()[0]["contentUri"].as_str().unwrap().starts_with("http://manage.office.com/api/v1.0/"));
}

#[tokio::test]
async fn every_rule_has_its_code() {
    let client = Client::new(bulk_config()).await;
    let token = client.token(RESOURCE).await;
    let get = |path: String| {
        let (client, token) = (&client, &token);
        async move { client.get(&path, token).await }
    };
    let good = ("2026-01-06T12:00:00", "2026-01-07T12:00:00");
    assert_eq!(code(&get(listing("Audit.General", good.0, good.1)).await.json()), "AF20022");
    start(&client, &token, "Audit.General").await;
    let url = format!("{}/subscriptions/start?contentType=Audit.General", root());
    let again = client.request("POST", &url, &token, "").await;
    assert_eq!((again.status, code(&again.json())), (400, "AF20024"));
    for (path, expected) in [
        (format!("{}/subscriptions/content", root()), "AF20001"),
        (listing("Audit.Sway", good.0, good.1), "AF20020"),
        (listing("Audit.General", "yesterday", good.1), "AF20002"),
        (listing("Audit.General", "2026-01-05T11:59:59", good.1), "AF20055"),
        (listing("Audit.General", good.1, good.0), "AF20055"),
        (listing("Audit.General", "2025-12-31T10:00:00", "2025-12-31T11:00:00"), "AF20055"),
        (format!("{}/subscriptions/content?contentType=Audit.General&startTime={}", root(), good.0), "AF20030"),
        (format!("{}&nextPage=abc", listing("Audit.General", good.0, good.1)), "AF20031"),
        (format!("{}&PublisherIdentifier=abc", listing("Audit.General", good.0, good.1)), "AF20002"),
        (format!("{}/audit/nonsense", root()), "AF20052"),
        (format!("{}/audit/202601050915001230009999$2$audit_general$Audit_General", root()), "AF20050"),
        ("manage.office.com/api/v1.0/contoso.example/activity/feed/subscriptions/list".to_owned(), "AF20013"),
        (
            format!("manage.office.com/api/v1.0/{}/activity/feed/subscriptions/list", TENANT.replace('7', "8")),
            "AF20011",
        ),
    ] {
        let reply = get(path.clone()).await;
        assert_eq!(code(&reply.json()), expected, "{path}: {}", reply.text());
    }
    let url = url.replace("/start", "/stop");
    assert_eq!(client.request("POST", &url, &token, "").await.status, 200);
    assert_eq!(code(&get(listing("Audit.General", good.0, good.1)).await.json()), "AF20023");
    let list = get(format!("{}/subscriptions/list", root())).await.json();
    assert_eq!(list[0]["status"], "disabled");
}

#[tokio::test]
async fn a_subscription_is_started_again_after_a_quarter_of_an_hour_and_lacks_what_came_between() {
    let mut config = config();
    config.publishing.first_content_seconds = 3_600;
    let client = Client::new(config).await;
    let mut token = client.token(RESOURCE).await;
    let kind = "Audit.General";
    let url = |verb: &str| format!("{}/subscriptions/{verb}?contentType={kind}", root());
    let listed = listing(kind, "2026-01-07T06:00:00", "2026-01-07T18:00:00");
    start(&client, &token, kind).await;
    assert_eq!(client.get(&listed, &token).await.json(), Value::Array(Vec::new()), "nothing in the first hour");
    client.control("POST", "clock", r#"{"advance_seconds": 3600}"#).await;
    assert!(!client.get(&listed, &token).await.json().as_array().unwrap().is_empty());
    assert_eq!(client.request("POST", &url("stop"), &token, "").await.status, 200);
    client.control("POST", "clock", r#"{"advance_seconds": 7200}"#).await;
    token = client.token(RESOURCE).await;
    start(&client, &token, kind).await;
    // Stopping is always allowed, starting is not.
    assert_eq!(client.request("POST", &url("stop"), &token, "").await.status, 200);
    let refused = client.request("POST", &url("start"), &token, "").await;
    assert_eq!((refused.status, code(&refused.json())), (403, "AF429"));
    client.control("POST", "clock", r#"{"advance_seconds": 900}"#).await;
    start(&client, &token, kind).await;
    client.control("POST", "clock", r#"{"advance_seconds": 3600}"#).await;
    token = client.token(RESOURCE).await;
    let list = client.get(&listed, &token).await.json();
    let created: Vec<&str> =
        list.as_array().unwrap().iter().map(|entry| entry["contentCreated"].as_str().unwrap()).collect();
    let between = |from: &str, to: &str| created.iter().filter(|time| **time >= from && **time < to).count();
    assert!(between("2026-01-07T06", "2026-01-07T13") > 0 && between("2026-01-07T15:15", "2026-01-07T18") > 0);
    assert_eq!(between("2026-01-07T13:00:00.000Z", "2026-01-07T15:00:00.000Z"), 0, "{created:?}");
}

#[tokio::test]
async fn webhooks_are_refused_as_the_service_refuses_those_that_do_not_answer() {
    let client = Client::new(config()).await;
    let token = client.token(RESOURCE).await;
    let url = format!("{}/subscriptions/start?contentType=Audit.General", root());
    for (webhook, expected) in [
        (r#"{"authId":"x"}"#, "AF20001"),
        (r#"{"address":"https://hook.contoso.example/","expiration":"soon"}"#, "AF20002"),
        (r#"{"address":"https://hook.contoso.example/","expiration":"2026-01-07T11:59:59Z"}"#, "AF20003"),
        (r#"{"address":"http://hook.contoso.example/","expiration":""}"#, "AF20021"),
        (r#"{"address":"https://hook.contoso.example/","authId":"x","expiration":null}"#, "AF20021"),
    ] {
        let reply = client.request("POST", &url, &token, &format!(r#"{{"webhook":{webhook}}}"#)).await;
        assert_eq!((reply.status, code(&reply.json())), (400, expected), "{webhook}: {}", reply.text());
    }
    let list = format!("{}/subscriptions/list", root());
    assert_eq!(client.get(&list, &token).await.json(), Value::Array(Vec::new()));
    assert_eq!(client.request("POST", &url, &token, r#"{"webhook":null}"#).await.status, 200);
    assert_eq!(client.get(&list, &token).await.json()[0]["webhook"], Value::Null);
    let notified = format!("{}/subscriptions/notifications?contentType=Audit.General", root());
    assert_eq!(client.get(&notified, &token).await.json(), Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_window_that_begins_with_a_blob_may_show_a_part_of_it() {
    let mut config = config();
    config.publishing.interval_seconds = 3_600;
    let client = Client::new(config).await;
    let token = client.token(RESOURCE).await;
    start(&client, &token, "Audit.General").await;
    client.control("POST", "faults", r#"{"kind":"partial_blob"}"#).await;
    let first = |from: &'static str| {
        let (client, token) = (&client, &token);
        async move {
            let list = client.get(&listing("Audit.General", from, "2026-01-07T12:00:00"), token).await.json();
            let entry = list[0].clone();
            let blob = client.get(entry["contentUri"].as_str().unwrap(), token).await;
            assert_eq!(blob.status, 200, "{}", blob.text());
            let ids = blob.json().as_array().unwrap().iter().map(|record| record["Id"].to_string()).collect();
            (entry["contentCreated"].clone(), entry["contentId"].clone(), ids)
        }
    };
    let whole: (Value, Value, BTreeSet<String>) = first("2026-01-07T09:59:59").await;
    let part: (Value, Value, BTreeSet<String>) = first("2026-01-07T10:00:00").await;
    assert_eq!((&whole.0, client.happened("partial_blob").await), (&part.0, 1));
    assert!(whole.1 != part.1 && part.2.len() < whole.2.len() && part.2.is_subset(&whole.2));
}

#[tokio::test]
async fn errors_that_no_request_brings_about_can_be_asked_for() {
    let client = Client::new(config()).await;
    let token = client.token(RESOURCE).await;
    let list = format!("{}/subscriptions/list", root());
    for (number, status) in [(20_012, 400), (50_005, 500), (50_006, 500)] {
        let rule = format!(r#"{{"kind":"error_code","api":"management","code":{number},"limit":1}}"#);
        client.control("POST", "faults", &rule).await;
        let reply = client.get(&list, &token).await;
        assert_eq!((reply.status, code(&reply.json())), (status, &*format!("AF{number}")));
    }
    client.control("POST", "faults", r#"{"kind":"error_code","api":"login","code":53003,"limit":1}"#).await;
    let reply = client.token_reply(TENANT, &form("any", "secret", RESOURCE)).await;
    assert_eq!(
        (reply.status, &reply.json()["error"], &reply.json()["error_codes"][0]),
        (400, &"invalid_grant".into(), &53_003.into())
    );
    assert_eq!(client.happened("error_code").await, 4);
}

#[tokio::test]
async fn blobs_expire_after_seven_days() {
    let client = Client::new(bulk_config()).await;
    let token = client.token(RESOURCE).await;
    start(&client, &token, "Audit.General").await;
    let page = client.get(&listing("Audit.General", "2026-01-06T12:00:00", "2026-01-07T12:00:00"), &token).await;
    let entry = page.json()[0].clone();
    let (created, expires) = (entry["contentCreated"].as_str().unwrap(), entry["contentExpiration"].as_str().unwrap());
    assert_eq!((&created[..10], &expires[..10], created[10..] == expires[10..]), ("2026-01-06", "2026-01-13", true));
    client.control("POST", "clock", r#"{"advance_seconds": 604800}"#).await;
    let expired = client.get(entry["contentUri"].as_str().unwrap(), &token).await;
    assert_eq!(expired.status, 401, "the token has expired too");
    let token = client.token(RESOURCE).await;
    let expired = client.get(entry["contentUri"].as_str().unwrap(), &token).await;
    assert_eq!(code(&expired.json()), "AF20051");
}

#[tokio::test]
async fn limits_are_for_each_publisher_and_slide() {
    let mut config = bulk_config();
    config.limits.management_per_minute = 3;
    let client = Client::new(config).await;
    let token = client.token(RESOURCE).await;
    let list = |publisher: &'static str| {
        let (client, token) = (&client, &token);
        let path = format!("{}/subscriptions/list{publisher}", root());
        async move { client.get(&path, token).await }
    };
    for _ in 0..3 {
        assert_eq!(list("").await.status, 200);
    }
    let refused = list("").await;
    assert_eq!((refused.status, code(&refused.json())), (403, "AF429"));
    assert!(refused.text().contains("PublisherId=00000000-"));
    assert_eq!(list("?PublisherIdentifier=46b472a7-c68e-4adf-8ade-3db49497518e").await.status, 200);
    client.control("POST", "clock", r#"{"advance_seconds": 60}"#).await;
    assert_eq!(list("").await.status, 200);
    let stats = client.control("GET", "stats", "").await.json();
    assert_eq!((&stats["throttled"], &stats["without_publisher"]), (&1.into(), &5.into()));
    assert_eq!(stats["requests"]["management"]["403"], 1);
}

#[tokio::test]
async fn tokens_are_checked() {
    let mut config = bulk_config();
    let app = |id: &str, roles: Option<Vec<String>>| AppConfig {
        client_id: id.to_owned(),
        client_secret: Some("right".to_owned()),
        roles,
        ..AppConfig::default()
    };
    config.tenants[0].apps = vec![app("good", None), app("bare", Some(vec![]))];
    config.tenants.push(TenantConfig {
        tenant_id: "11111111-2222-4333-8444-555555555555".into(),
        domain: "fabrikam.example".into(),
        ..TenantConfig::default()
    });
    let client = Client::new(config).await;
    for (tenant, form, expected) in [
        (TENANT, form("good", "wrong", RESOURCE), 7_000_215),
        (TENANT, form("stranger", "right", RESOURCE), 700_016),
        ("nobody.example", form("good", "right", RESOURCE), 90_002),
        ("common", form("good", "right", RESOURCE), 9_001_023),
        (TENANT, form("good", "right", "https://nowhere.example"), 500_011),
        (TENANT, form("good", "", RESOURCE), 7_000_218),
        (TENANT, "grant_type=client_credentials".to_owned(), 900_144),
        (TENANT, form("good", "right", "https://manage.office365.us"), 500_011),
    ] {
        let reply = client.token_reply(tenant, &form).await;
        assert_eq!(reply.json()["error_codes"][0], expected, "{}", reply.text());
        assert!((400..402).contains(&reply.status));
    }
    let path = format!("{}/subscriptions/list", root());
    assert_eq!(client.get(&path, "nonsense").await.status, 401);
    let token = |tenant: &'static str, id: &'static str, resource: &'static str| {
        let client = &client;
        async move {
            let reply = client.token_reply(tenant, &form(id, "right", resource)).await;
            reply.json()["access_token"].as_str().unwrap().to_owned()
        }
    };
    let graph = token(TENANT, "good", "https://graph.microsoft.com").await;
    assert_eq!(client.get(&path, &graph).await.status, 401);
    let bare = token(TENANT, "bare", RESOURCE).await;
    assert_eq!(code(&client.get(&path, &bare).await.json()), "AF10001");
    let other = token("fabrikam.example", "any", RESOURCE).await;
    assert_eq!(code(&client.get(&path, &other).await.json()), "AF20010");
    let good = token("contoso.onmicrosoft.com", "good", RESOURCE).await;
    assert_eq!(client.get(&path, &good).await.status, 200);
}

#[tokio::test]
async fn faults_strike_and_are_counted() {
    let client = Client::new(bulk_config()).await;
    let token = client.token(RESOURCE).await;
    start(&client, &token, "Audit.General").await;
    let url = listing("Audit.General", "2026-01-06T12:00:00", "2026-01-07T12:00:00");
    let page = client.get(&url, &token).await;
    let blob = page.json()[0]["contentUri"].as_str().unwrap().to_owned();
    let size = client.get(&blob, &token).await.body.len();
    for (kind, check) in [
        ("reset", (|reply, _| reply.broken) as fn(&common::Reply, usize) -> bool),
        ("truncate", |reply, size| !reply.broken && reply.body.len() < size),
        ("throttle", |reply, _| reply.status == 403),
        ("server_error", |reply, _| reply.status >= 500),
        ("html", |reply, _| reply.text().starts_with("<!DOCTYPE")),
        ("token_dies", |reply, _| reply.status == 401),
        ("redirect", |reply, _| reply.headers["location"].starts_with("http://127.0.0.2")),
    ] {
        let token = client.token(RESOURCE).await;
        client.control("POST", "faults", &format!(r#"{{"kind":"{kind}","api":"management","limit":1}}"#)).await;
        // Blobs that are made while they are sent cannot be cut short in silence.
        let target = if kind == "truncate" { &url } else { &blob };
        let reply = client.get(target, &token).await;
        assert!(check(&reply, if kind == "truncate" { page.body.len() } else { size }), "{kind}: {reply:?}");
        assert_eq!(client.happened(kind).await, 1, "{kind}");
    }
    let token = client.token(RESOURCE).await;
    client.control("POST", "faults", r#"[{"kind":"hostile_uri","limit":1},{"kind":"hostile_link","limit":1}]"#).await;
    let page = client.get(&url, &token).await;
    let list = page.json();
    assert!(list[3]["contentUri"].as_str().unwrap().starts_with(&client.running.foreign_url));
    assert!(page.headers["nextpageuri"].starts_with(&client.running.foreign_url));
    client.get(list[3]["contentUri"].as_str().unwrap(), &token).await;
    assert_eq!(client.control("GET", "stats", "").await.json()["foreign"]["tokens"], 1);

    client.control("POST", "outage", r#"{"api":"management","on":true}"#).await;
    assert_eq!(client.get(&url, &token).await.status, 503);
    client.control("POST", "outage", r#"{"api":"management","on":false}"#).await;
    client.control("POST", "faults", r#"{"kind":"repeat_page","limit":1}"#).await;
    let first = client.get(&url, &token).await;
    let again = client.get(&first.headers["nextpageuri"], &token).await;
    assert_eq!(first.json(), again.json());
    assert_eq!(first.headers["nextpageuri"], again.headers["nextpageuri"]);
    assert_ne!(client.get(&again.headers["nextpageuri"], &token).await.json(), first.json());
}

#[tokio::test]
async fn a_wide_window_is_refused_or_answered_in_part() {
    for partial in [false, true] {
        let mut config = bulk_config();
        config.limits.management_page = 100;
        config.limits.management_partial_windows = partial;
        let client = Client::new(config).await;
        let token = client.token(RESOURCE).await;
        start(&client, &token, "Audit.General").await;
        let to = |end: &str| listing("Audit.General", "2026-01-05T12:00:00", end);
        let wide = client.get(&to("2026-01-07T12:00:00"), &token).await;
        if partial {
            let day = client.get(&to("2026-01-06T12:00:00"), &token).await;
            assert_eq!((wide.status, wide.json()), (200, day.json()));
        } else {
            assert_eq!((wide.status, code(&wide.json())), (400, "AF20055"));
        }
    }
}
