//! `downspout check-access` against a simulated cloud with tenants that lack this and that.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::process::{Command, Output};

use downspout_simulator::{Config, Running, start};
use serde_json::{Value, json};

const GOOD: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";
const POOR: &str = "00000000-0000-4000-8000-000000000002";
const LOCKED: &str = "00000000-0000-4000-8000-000000000003";

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
            { "tenant_id": LOCKED, "domain": "locked.example", "events_per_day": 100, "trouble": ["auth_refused"] }
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
    let fits =
        |finding: &&Value| finding["component"] == component && finding["need"].as_str().unwrap().starts_with(need);
    let finding = found["findings"].as_array().unwrap().iter().find(fits);
    let finding = finding.unwrap_or_else(|| panic!("nothing about {need} of {component} in {found:#}"));
    (finding["standing"].as_str().unwrap(), finding["remedy"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_everything_is_fine() {
    let cloud = cloud().await;
    let output = check(&cloud, GOOD, SOURCES, false).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("all sources may read what they should"), "{text}");
    assert!(text.contains("least privilege: application app in tenant"), "{text}");
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
