//! `downspout check-access` against a simulated cloud with tenants that lack this and that.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::process::{Command, Output};

use downspout_simulator::{Config, Running, start};
use serde_json::{Value, json};

const GOOD: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";
const POOR: &str = "00000000-0000-4000-8000-000000000002";
const LOCKED: &str = "00000000-0000-4000-8000-000000000003";
const OFF: &str = "00000000-0000-4000-8000-000000000004";
const BLIND: &str = "00000000-0000-4000-8000-000000000005";
const STOPPED: &str = "00000000-0000-4000-8000-000000000006";

const SOURCES: &str = "
  signins: { type: entra_signins, COMMON }
  audits: { type: entra_audits, COMMON }
  traces: { type: message_trace, COMMON }
  azure: { type: azure_activity, COMMON }
  devops: { type: azure_devops_audit, organizations: [contoso], COMMON }
  feed: { type: office365_management, COMMON }
  search: { type: unified_audit_search, COMMON }
  cmdlets: { type: unified_audit_search, backend: exchange, COMMON }
  mailboxes: { type: mailbox_audit, COMMON }
";

async fn cloud() -> Running {
    let config = json!({
        "clock": { "rate": 1000 },
        "tenants": [
            { "tenant_id": GOOD, "events_per_day": 100 },
            {
                "tenant_id": POOR, "domain": "poor.example", "events_per_day": 100, "license": "free", "message_trace_principal": false,
                "trouble": ["audit_off", "devops_sign_in"],
                "apps": [{
                    "client_id": "app", "client_secret": "word", "roles": ["AuditLog.Read.All", "Directory.Read.All"],
                    "exchange_role": false, "azure_subscriptions": []
                }]
            },
            { "tenant_id": LOCKED, "domain": "locked.example", "events_per_day": 100, "trouble": ["auth_refused"] },
            { "tenant_id": OFF, "domain": "off.example", "events_per_day": 100, "trouble": ["audit_off"] },
            {
                "tenant_id": BLIND, "domain": "blind.example", "events_per_day": 100,
                "apps": [{
                    "client_id": "app", "client_secret": "word", "roles": ["AuditLogsQuery.Read.All"], "exchange_role": false
                }]
            },
            {
                "tenant_id": STOPPED, "domain": "stopped.example", "events_per_day": 100, "subscribed": ["Audit.Exchange"],
                "trouble": ["subscriptions_disabled"]
            }
        ]
    });
    let config: Config = serde_json::from_value(config).unwrap();
    start(config).await.unwrap()
}

/// Runs the command for one tenant.
async fn check(cloud: &Running, tenant: &str, sources: &str, json: bool) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let common = format!(
        "tenant_id: {tenant}, auth: {{ client_id: app, client_secret: word }}, cloud: {{ simulator: \"{}\" }}",
        cloud.base_url
    );
    let sources = sources.replace("COMMON", &common);
    let ids: Vec<&str> = sources.lines().filter_map(|line| Some(line.trim().split_once(':')?.0)).collect();
    let sink = format!("sinks:\n  out: {{ type: blackhole, inputs: [{}] }}\n", ids.join(", "));
    let data = folder.path().join("data");
    std::fs::write(&path, format!("data_dir: {}\nsources:{sources}{sink}", data.display())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_downspout"));
    command.arg("check-access").arg(&path).args(json.then_some("--json"));
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The standing and the remedy of a component's need; of the first whose name begins so.
fn standing<'v>(found: &'v Value, component: &str, need: &str) -> (&'v str, &'v str) {
    let finding = finding(found, component, need);
    (finding["standing"].as_str().unwrap(), finding["remedy"].as_str().unwrap())
}

/// What was found about a component's need.
fn finding<'v>(found: &'v Value, component: &str, need: &str) -> &'v Value {
    let fits =
        |finding: &&Value| finding["component"] == component && finding["need"].as_str().unwrap().starts_with(need);
    let finding = found["findings"].as_array().unwrap().iter().find(fits);
    finding.unwrap_or_else(|| panic!("nothing about {need} of {component} in {found:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_everything_is_fine() {
    let cloud = cloud().await;
    let output = check(&cloud, GOOD, SOURCES, false).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("all sources may read what they should"), "{text}");
    assert!(text.contains("least privilege: application app in tenant"), "{text}");
    let waited = String::from_utf8_lossy(&output.stderr);
    assert!(
        waited.contains("asking Microsoft for azure, ") || waited.contains("asking Microsoft for signins, "),
        "{waited}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auditing_is_seen_by_whatever_the_identity_may_use() {
    let cloud = cloud().await;
    for (tenant, wanted, found, remedy) in [
        (GOOD, "fine", "on (", ""),
        (OFF, "missing", "off (", "Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true"),
    ] {
        let output = check(&cloud, tenant, SOURCES, true).await;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        for component in ["feed", "search", "cmdlets"] {
            let finding = finding(&told, component, "auditing");
            assert_eq!(finding["standing"], wanted, "{component}: {finding}");
            assert!(finding["found"].as_str().unwrap().starts_with(found), "{component}: {finding}");
            assert!(finding["remedy"].as_str().unwrap().contains(remedy), "{component}: {finding}");
        }
    }
    // Mailboxes have a switch of their own.
    for (tenant, wanted, remedy) in
        [(GOOD, "fine", ""), (OFF, "missing", "Set-OrganizationConfig -AuditDisabled $false")]
    {
        let output = check(&cloud, tenant, "\n  mailboxes: { type: mailbox_audit, COMMON }\n", true).await;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (standing, told) = standing(&told, "mailboxes", "mailbox auditing");
        assert!(standing == wanted && told.starts_with(remedy), "{standing}: {told}");
    }
    let search = "\n  search: { type: unified_audit_search, COMMON }\n";
    let output = check(&cloud, BLIND, search, true).await;
    assert!(output.status.success());
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = finding(&told, "search", "auditing");
    assert_eq!(finding["standing"], "advice");
    let found = finding["found"].as_str().unwrap();
    assert!(found.starts_with("could not be seen, because ") && found.contains("no permission there"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_would_lack_for_want_of_a_licence_is_told() {
    let cloud = cloud().await;
    for (tenant, wanted, words) in [(GOOD, "fine", ""), (POOR, "advice", "P1 or P2")] {
        let output = check(&cloud, tenant, "\n  directory: { type: entra_snapshot, COMMON }\n", true).await;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (standing, remedy) = standing(&told, "directory", "registration details");
        assert!(standing == wanted && remedy.contains(words), "{standing}: {remedy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_recovers_needs_what_the_search_needs() {
    let cloud = cloud().await;
    let sources = "
  graph: { type: office365_management, COMMON, recover: graph }
  cmdlet: { type: office365_management, COMMON, recover: exchange }
  plain: { type: office365_management, COMMON }
";
    for (tenant, wanted) in [(GOOD, "fine"), (POOR, "missing")] {
        let output = check(&cloud, tenant, sources, true).await;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(standing(&told, "graph", "permission AuditLogsQuery.Read.All").0, wanted);
        assert_eq!(standing(&told, "cmdlet", "permission Exchange.ManageAsApp").0, wanted);
        let needs = told["findings"].as_array().unwrap().iter().filter(|finding| finding["component"] == "plain");
        assert!(needs.into_iter().all(|finding| !finding["need"].as_str().unwrap().contains("AuditLogsQuery")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_the_source_will_start_are_told() {
    let cloud = cloud().await;
    let feed = "\n  feed: { type: office365_management, COMMON }\n";
    let output = check(&cloud, STOPPED, feed, false).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("not delivered: Audit.Exchange\n"), "{text}");
    assert!(
        text.contains("the source will start them again") && text.contains("the source will start them when"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_is_told_with_what_to_do() {
    for (skew, standing, words) in [(0, "fine", "s from the service's"), (600, "advice", "s ahead of the service's")] {
        let config = json!({
            "clock": { "skew_seconds": skew },
            "tenants": [{ "tenant_id": GOOD, "events_per_day": 100 }, {
                "tenant_id": LOCKED, "domain": "locked.example", "events_per_day": 100, "trouble": ["auth_refused"]
            }]
        });
        let cloud = start(serde_json::from_value(config).unwrap()).await.unwrap();
        // Where no token is to be had, an answer without one tells the time all the same.
        for tenant in [GOOD, LOCKED] {
            let output = check(&cloud, tenant, "\n  audits: { type: entra_audits, COMMON }\n", true).await;
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            let finding = finding(&told, "audits", "clock");
            assert_eq!(finding["standing"], standing, "{finding}");
            assert!(finding["found"].as_str().unwrap().contains(words), "{finding}");
            assert_eq!(finding["remedy"].as_str().unwrap().contains("NTP"), skew > 0, "{finding}");
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(
                log.matches("this machine's clock is").count(),
                usize::from(skew > 0 && tenant == GOOD),
                "{log}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_told_with_how_to_grant_it() {
    let cloud = cloud().await;
    let output = check(&cloud, POOR, SOURCES, true).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cases = [
        ("signins", "permission AuditLog.Read.All", "fine", ""),
        ("signins", "reading signins.interactive", "missing", "P1 or P2"),
        ("audits", "permission IdentityRiskEvent.Read.All", "missing", "Grant admin consent"),
        ("audits", "reading audits.directory", "fine", ""),
        ("traces", "permission ExchangeMessageTrace.Read.All", "missing", "ExchangeMessageTrace.Read.All"),
        ("traces", "reading message_trace", "missing", "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373"),
        ("azure", "something to read", "missing", "Reader"),
        ("devops", "reading devops.contoso", "missing", "View audit log"),
        ("feed", "permission ActivityFeed.Read", "missing", "Office 365 Management APIs"),
        ("feed", "permission ActivityFeed.ReadDlp", "advice", ""),
        ("search", "permission AuditLogsQuery.Read.All", "missing", "Grant admin consent"),
        ("cmdlets", "permission Exchange.ManageAsApp", "missing", "Office 365 Exchange Online"),
        ("mailboxes", "the Exchange role", "missing", ""),
    ];
    for (component, need, wanted, words) in cases {
        let (standing, remedy) = standing(&found, component, need);
        assert_eq!(standing, wanted, "{component}: {need}");
        assert!(remedy.contains(words), "{component}, {need}: {remedy}");
    }
    assert_eq!(found["surplus"][0]["not_needed"], json!(["Directory.Read.All"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sign_in_is_told_once_for_each_source() {
    let cloud = cloud().await;
    let output = check(&cloud, LOCKED, "\n  signins: { type: entra_signins, COMMON }\n", false).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("missing  sign-in for https://graph.microsoft.com  "), "{text}");
    assert!(text.contains("1 missing, 0 could not be told"), "{text}");
}
