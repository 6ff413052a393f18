//! Exchange, Azure, Azure DevOps, the reporting service and the login endpoints over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::collections::BTreeSet;

use common::{Client, TENANT, config, send};
use downspout_simulator::{AppConfig, Config, TlsConfig, Trouble};
use serde_json::{Value, json};

fn free() -> Config {
    let mut config = config();
    config.limits.exchange_per_minute = 0;
    config.limits.trace_per_5_minutes = 0;
    config
}

async fn cmdlet(client: &Client, token: &str, name: &str, parameters: Value) -> common::Reply {
    let body = json!({ "CmdletInput": { "CmdletName": name, "Parameters": parameters } }).to_string();
    let path = format!("outlook.office365.com/adminapi/beta/{TENANT}/InvokeCommand");
    client.request("POST", &path, token, &body).await
}

fn window() -> Value {
    json!({ "StartDate": "2026-01-05T12:00:00Z", "EndDate": "2026-01-07T12:00:00Z", "ResultSize": 200 })
}

fn with(mut parameters: Value, more: Value) -> Value {
    parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    parameters
}

async fn unified(client: &Client) -> BTreeSet<String> {
    let mut ledger = BTreeSet::new();
    for feed in ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"] {
        ledger.extend(client.ledger(feed).await);
    }
    ledger
}

#[tokio::test]
async fn a_search_session_gives_everything_in_blocks() {
    let client = Client::new(free()).await;
    let token = client.token("https://outlook.office365.com").await;
    let call = with(window(), json!({ "SessionId": "s1", "SessionCommand": "ReturnLargeSet" }));
    let mut ids = BTreeSet::new();
    let (mut index, mut total) = (0, 0);
    loop {
        let reply = cmdlet(&client, &token, "Search-UnifiedAuditLog", call.clone()).await.json();
        let rows = reply["value"].as_array().unwrap().clone();
        assert_eq!(reply["@adminapi.warnings"], json!([]));
        if rows.is_empty() {
            break;
        }
        index += rows.len() as u64;
        let last = rows.last().unwrap();
        assert_eq!(last["ResultIndex"], index);
        total = last["ResultCount"].as_u64().unwrap();
        for row in &rows {
            let data: Value = serde_json::from_str(row["AuditData"].as_str().unwrap()).unwrap();
            assert_eq!(data["Operation"], row["Operations"]);
            ids.insert(data["Id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(index, total);
    assert_eq!(ids, unified(&client).await);
}

#[tokio::test]
async fn search_sessions_break_in_the_known_ways() {
    let client = Client::new(free()).await;
    let token = client.token("https://outlook.office365.com").await;
    for (kind, check) in [
        (
            "search_index",
            (|rows: &[Value]| rows[0]["ResultIndex"] == -1 && rows[0]["ResultCount"] == 0) as fn(&[Value]) -> bool,
        ),
        ("search_short", |rows| rows.len() < 200 && rows.last().unwrap()["ResultIndex"] == 200),
        ("search_empty", |rows| rows.is_empty()),
    ] {
        client.control("POST", "faults", &json!({ "kind": kind, "limit": 1 }).to_string()).await;
        let call = with(window(), json!({ "SessionId": kind, "SessionCommand": "ReturnLargeSet" }));
        let reply = cmdlet(&client, &token, "Search-UnifiedAuditLog", call.clone()).await.json();
        assert!(check(reply["value"].as_array().unwrap()), "{kind}");
        let dead = cmdlet(&client, &token, "Search-UnifiedAuditLog", call).await.json();
        assert_eq!(dead["value"], json!([]), "{kind}");
        assert_eq!(client.happened(kind).await, 1);
    }
}

#[tokio::test]
async fn cmdlets_and_their_errors() {
    let mut config = free();
    let app = |id: &str, role: bool| AppConfig {
        client_id: id.into(),
        client_secret: Some("secret".into()),
        exchange_role: role,
        ..AppConfig::default()
    };
    config.tenants[0].apps = vec![app("full", true), app("bare", false)];
    let client = Client::new(config).await;
    let token = |id: &'static str| {
        let client = &client;
        async move {
            let form = common::form(id, "secret", "https://outlook.office365.com");
            client.token_reply(TENANT, &form).await.json()["access_token"].as_str().unwrap().to_owned()
        }
    };
    let bare = cmdlet(&client, &token("bare").await, "Get-Mailbox", json!({})).await;
    assert!(bare.status == 403 && bare.body.iter().all(|byte| *byte == 0));
    let token = token("full").await;
    let mailboxes = cmdlet(&client, &token, "Get-Mailbox", json!({ "ResultSize": "Unlimited" })).await.json();
    assert!(mailboxes["value"].as_array().unwrap().len() >= 10);
    let on = cmdlet(&client, &token, "Get-AdminAuditLogConfig", json!({})).await.json();
    assert_eq!(on["value"][0]["UnifiedAuditLogIngestionEnabled"], true);
    let unknown = cmdlet(&client, &token, "Remove-Everything", json!({})).await;
    assert_eq!((unknown.status, unknown.json()["error"]["message"].clone()), (400, json!("Invalid Operation")));
    assert!(
        unknown.json()["error"]["innererror"]["internalexception"]["type"]
            .as_str()
            .unwrap()
            .ends_with("CommandNotFoundException")
    );
    let nobody =
        cmdlet(&client, &token, "Search-MailboxAuditLog", with(window(), json!({ "Identity": "nobody" }))).await;
    assert!(nobody.text().contains("ManagementObjectNotFoundException"));
    let rows =
        cmdlet(&client, &token, "Search-MailboxAuditLog", with(window(), json!({ "ShowDetails": true }))).await.json();
    let found: BTreeSet<String> =
        rows["value"].as_array().unwrap().iter().map(|row| row["Identity"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found.len(), client.ledger("mailboxAudit").await.len());
    let large = cmdlet(&client, &token, "Search-UnifiedAuditLog", with(window(), json!({ "ResultSize": 5001 }))).await;
    assert_eq!(large.status, 400);
    let traces = cmdlet(&client, &token, "Get-MessageTraceV2", with(window(), json!({ "ResultSize": 5 }))).await.json();
    assert_eq!(traces["value"].as_array().unwrap().len(), 5);
    assert_eq!(traces["@adminapi.warnings"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn azure_activity_has_one_filter_and_one_link() {
    let mut config = free();
    config.limits.azure_page = 4;
    let client = Client::new(config).await;
    let token = client.token("https://management.azure.com").await;
    let list = client.get("management.azure.com/subscriptions?api-version=2020-01-01", &token).await.json();
    let subscriptions = list["value"].as_array().unwrap();
    assert!(!subscriptions.is_empty());
    for one in subscriptions {
        let id = one["subscriptionId"].as_str().unwrap();
        let base = format!(
            "management.azure.com/subscriptions/{id}/providers/Microsoft.Insights/eventtypes/management/values"
        );
        let filter = "eventTimestamp ge '2026-01-05T12:00:00Z' and eventTimestamp le '2026-01-07T12:00:00Z'";
        let mut next = Some(format!("{base}?api-version=2015-04-01&$filter={filter}"));
        let mut ids = BTreeSet::new();
        while let Some(url) = next.take() {
            let page = client.get(&url, &token).await;
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            ids.extend(page["value"].as_array().unwrap().iter().map(|e| e["eventDataId"].as_str().unwrap().to_owned()));
            next = page["nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!(ids, client.ledger(&format!("azureActivity.{id}")).await.into_iter().collect());
        for wrong in ["", "eventTimestamp ge '2026-01-05T12:00:00Z'", "caller eq 'x'"] {
            let url = format!("{base}?api-version=2015-04-01&$filter={wrong}");
            assert_eq!(client.get(&url, &token).await.status, 400, "{wrong}");
        }
        let url = format!("{base}?api-version=2015-04-01&$filter={filter} and caller eq 'x'");
        assert_eq!(client.get(&url, &token).await.status, 400);
    }
    let stranger = "management.azure.com/subscriptions/0/providers/microsoft.insights/eventtypes/management/values?api-version=2015-04-01";
    assert_eq!(client.get(stranger, &token).await.status, 403);
}

#[tokio::test]
async fn devops_says_with_has_more_alone_when_it_ends() {
    let client = Client::new(free()).await;
    let token = client.token("499b84ac-1321-427f-aa17-267ca6975798").await;
    let csv = format!("aexprodweu1.vsaex.visualstudio.com/_apis/EnterpriseCatalog/Organizations?tenantId={TENANT}");
    let csv = client.get(&csv, &token).await.text();
    let names: Vec<String> = csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned()).collect();
    assert!(!names.is_empty(), "{csv}");
    for name in &names {
        let base = format!(
            "auditservice.dev.azure.com/{name}/_apis/audit/auditlog?api-version=7.1-preview.1&batchSize=5&skipAggregation=true"
        );
        let mut ids = BTreeSet::new();
        let mut more = String::new();
        loop {
            let page = client.get(&format!("{base}{more}"), &token).await.json();
            let rows = page["decoratedAuditLogEntries"].as_array().unwrap();
            assert!(rows.is_sorted_by(|a, b| a["timestamp"].as_str() >= b["timestamp"].as_str()));
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            more = format!("&continuationToken={}", page["continuationToken"].as_str().unwrap().replace(';', "%3B"));
            if page["hasMore"] == false {
                break;
            }
        }
        assert_eq!(ids, client.ledger(&format!("azureDevOps.{name}")).await.into_iter().collect());
        client.control("POST", "faults", r#"{"kind":"slow_down","limit":1,"seconds":7}"#).await;
        let slow = client.get(&base, &token).await;
        assert_eq!((slow.status, slow.headers["retry-after"].as_str()), (200, "7"));
    }
}

#[tokio::test]
async fn troubled_tenants_fail_in_their_own_way() {
    let mut config = free();
    config.tenants[0].trouble = vec![Trouble::DevopsSignIn, Trouble::AuditOff];
    let client = Client::new(config).await;
    let token = client.token("499b84ac-1321-427f-aa17-267ca6975798").await;
    let page = client.get("auditservice.dev.azure.com/x/_apis/audit/auditlog?api-version=7.1-preview.1", &token).await;
    assert!(page.status == 200 && page.text().contains("Azure DevOps Services | Sign In"));
    let token = client.token("https://manage.office.com").await;
    let off = format!("manage.office.com/api/v1.0/{TENANT}/activity/feed/subscriptions/list");
    assert!(client.get(&off, &token).await.text().contains("does not exist."));
    let token = client.token("https://outlook.office365.com").await;
    let rows = cmdlet(&client, &token, "Search-UnifiedAuditLog", window()).await.json();
    assert_eq!(rows["value"], json!([]));
    let retired = "reports.office365.com/ecp/reportingwebservice/reporting.svc/MessageTrace?$format=json";
    assert_eq!(client.get(retired, &token).await.status, 410);
}

#[tokio::test]
async fn device_codes_and_managed_identities_give_tokens() {
    let client = Client::new(free()).await;
    let login = format!("{}/login.microsoftonline.com/{TENANT}/oauth2/v2.0", client.base);
    let form = "client_id=app&scope=https://graph.microsoft.com/.default offline_access";
    let code = send("POST", &format!("{login}/devicecode"), &[], form).await.json();
    let poll = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=app&device_code={}",
        code["device_code"].as_str().unwrap()
    );
    for _ in 0..2 {
        let pending = send("POST", &format!("{login}/token"), &[], &poll).await;
        assert_eq!((pending.status, pending.json()["error"].clone()), (400, json!("authorization_pending")));
    }
    let token = send("POST", &format!("{login}/token"), &[], &poll).await.json();
    assert!(token["refresh_token"].is_string());
    let users = client.get("graph.microsoft.com/v1.0/users", token["access_token"].as_str().unwrap()).await;
    assert_eq!(users.status, 200);

    let imds = format!(
        "{}/169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://graph.microsoft.com",
        client.base
    );
    assert_eq!(send("GET", &imds, &[], "").await.status, 400);
    let token = send("GET", &imds, &[("metadata", "true")], "").await.json();
    assert!(token["expires_in"].is_string());
    let users = client.get("graph.microsoft.com/v1.0/users", token["access_token"].as_str().unwrap()).await;
    assert_eq!(users.status, 200);
}

#[tokio::test]
async fn a_person_decides_about_a_device_code() {
    let mut config = free();
    config.tokens.device_outcome = "waits".into();
    let client = Client::new(config).await;
    let login = format!("{}/login.microsoftonline.com/{TENANT}/oauth2/v2.0", client.base);
    for (agrees, expected) in [(true, json!(null)), (false, json!("authorization_declined"))] {
        let form = "client_id=app&scope=https://graph.microsoft.com/.default";
        let code = send("POST", &format!("{login}/devicecode"), &[], form).await.json();
        let poll = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=app&device_code={}",
            code["device_code"].as_str().unwrap()
        );
        for _ in 0..5 {
            let pending = send("POST", &format!("{login}/token"), &[], &poll).await;
            assert_eq!(pending.json()["error"], "authorization_pending");
        }
        let decision = json!({ "user_code": code["user_code"], "agrees": agrees }).to_string();
        assert_eq!(client.control("POST", "device", &decision).await.status, 200);
        let answer = send("POST", &format!("{login}/token"), &[], &poll).await.json();
        assert_eq!((&answer["error"], answer["access_token"].is_string()), (&expected, agrees));
    }
    assert_eq!(client.control("POST", "device", r#"{"user_code":"00000000","agrees":true}"#).await.status, 400);
}

#[tokio::test]
async fn rows_that_an_answer_leaves_out_are_behind_its_link() {
    for links in [true, false] {
        let mut config = free();
        config.limits.exchange_page = 4;
        config.limits.exchange_links = links;
        let client = Client::new(config).await;
        let token = client.token("https://outlook.office365.com").await;
        let body =
            json!({ "CmdletInput": { "CmdletName": "Get-Mailbox", "Parameters": { "ResultSize": "Unlimited" } } });
        let mut next = Some(format!("outlook.office365.com/adminapi/beta/{TENANT}/InvokeCommand"));
        let (mut names, mut pages) = (BTreeSet::new(), 0);
        while let Some(url) = next.take() {
            let page = client.request("POST", &url, &token, &body.to_string()).await;
            if pages == 1 && !links {
                assert!(page.status == 400 && page.text().contains("Expired or Invalid pagination"), "{}", page.text());
                return;
            }
            let page = page.json();
            let rows = page["value"].as_array().unwrap();
            assert!(rows.len() <= 4);
            names.extend(rows.iter().map(|row| row["UserPrincipalName"].as_str().unwrap().to_owned()));
            next = page["@odata.nextLink"].as_str().map(str::to_owned);
            assert_eq!(page["@adminapi.warnings"].as_array().unwrap().is_empty(), next.is_none());
            pages += 1;
        }
        assert!(pages > 2 && names.len() >= 10, "{pages} pages, {} mailboxes", names.len());
    }
}

#[tokio::test]
async fn https_has_the_true_names_under_a_private_ca() {
    let folder = std::env::temp_dir().join(format!("simulator-ca-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut config = free();
    config.tls = Some(TlsConfig { listen: "127.0.0.1:0".into(), ca_file: Some(folder.join("ca.pem")) });
    let client = Client::new(config).await;
    assert!(std::fs::read_to_string(folder.join("ca.pem")).unwrap().contains("BEGIN CERTIFICATE"));
    std::fs::remove_dir_all(&folder).unwrap();

    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let pem = client.running.ca_pem.clone().unwrap();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    for name in ["graph.microsoft.com", "manage.office.com", "login.microsoftonline.com", "localhost", "127.0.0.1"] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let stream = tokio::net::TcpStream::connect(client.running.addresses[1]).await.unwrap();
        let server = rustls::pki_types::ServerName::try_from(name).unwrap();
        let mut stream = connector.connect(server, stream).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let request = format!("GET /v1.0/users HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        assert!(text.starts_with(b"HTTP/1.1 4"), "{name}");
    }
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for listen in ["0.0.0.0:0", "192.168.0.1:0", "example.com:80"] {
        let config = Config { listen: listen.into(), ..config() };
        assert!(downspout_simulator::start(config).await.is_err(), "{listen}");
    }
}
