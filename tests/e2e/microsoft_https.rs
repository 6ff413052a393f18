//! HTTPS with a private CA: at an address of one's own, and under Microsoft's own host names through a hosts file.
//!
//! The hosts file is one that only the tested processes see: it is laid over the machine's in a mount namespace of their
//! own. Where a test may not do that, or port 443 is taken, it is skipped, and says so.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use downspout_simulator::{AttackEntry, Config, TlsConfig};
use serde_json::Value;

use crate::microsoft::{Cloud, START, TENANT, audit_ids, check, gaps, pipeline, rows, small};
use crate::microsoft_sources::{SOURCES, ids};
use crate::support::{Scratch, binary, stderr, stdout};

/// A loopback address of this test's own, so that a web server on the usual one is not in the way.
const ADDRESS: &str = "127.0.0.43";

/// Where Microsoft's services are: the hosts of all clouds that a source may ask for.
const HOSTS: [&str; 19] = [
    "login.microsoftonline.com",
    "manage.office.com",
    "graph.microsoft.com",
    "outlook.office365.com",
    "management.azure.com",
    "auditservice.dev.azure.com",
    "app.vssps.visualstudio.com",
    "aexprodweu1.vsaex.visualstudio.com",
    "manage-gcc.office.com",
    "login.microsoftonline.us",
    "manage.office365.us",
    "graph.microsoft.us",
    "outlook.office365.us",
    "management.usgovcloudapi.net",
    "manage.protection.apps.mil",
    "dod-graph.microsoft.us",
    "outlook-dod.office365.us",
    "login.partner.microsoftonline.cn",
    "microsoftgraph.chinacloudapi.cn",
];

fn with_tls(config: Config, listen: &str) -> Config {
    Config { tls: Some(TlsConfig { listen: listen.to_owned(), ca_file: None }), ..config }
}

/// The keys of a source that is told of no simulator.
fn source(kind: &str, keys: &str) -> String {
    format!("type: {kind}, tenant_id: {TENANT}, auth: {{ client_id: collector, client_secret: s }}, {keys}")
}

/// What a run without the CA must say.
fn refused(output: &Output) {
    let log = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{log}");
    for words in ["certificate", "is not trusted", "`ca_file`"] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn a_private_ca_is_trusted_when_the_config_says_so_and_only_then() {
    let cloud = Cloud::start(with_tls(small(), "127.0.0.1:0"));
    let (url, ca) = (cloud.running.tls_url.clone().unwrap(), cloud.running.ca_pem.clone().unwrap());
    let keys = format!("start: 3d, mode: once, until: {START}, cloud: {{ simulator: '{url}' }}");
    let scratch = Scratch::new();
    scratch.write("ca.pem", &ca);
    refused(&scratch.run(&pipeline(&[("m365", source("office365_management", &keys))])));
    let keys = format!("{keys}, ca_file: ca.pem");
    scratch.run_well(&pipeline(&[("m365", source("office365_management", &keys))]));
    let expected = audit_ids(&cloud.ledger(), |line| line.available < START.parse().unwrap());
    check("m365", &rows(&scratch)["m365"], &expected);
    assert_eq!(gaps(&scratch), (true, Vec::new()));
}

/// `PROGRAM ARGUMENTS` in a place where the names of `HOSTS` lead to the cloud.
fn among_hosts(scratch: &Scratch, program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    // A user who is not root may do this in a user namespace, where the system has such.
    if !may_mount(&["--mount"]) {
        command.arg("--map-root-user");
    }
    let lay = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    command.args(["--mount", "sh", "-c", lay]).arg(scratch.path("hosts")).arg(program).args(arguments);
    command.current_dir(scratch.path("")).stdin(Stdio::null());
    command
}

fn may_mount(options: &[&str]) -> bool {
    let lay = "mount --bind /etc/hosts /etc/hosts";
    let tried = Command::new("unshare").args(options).args(["sh", "-c", lay]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// A cloud behind the hosts file, with a folder that holds this file and the CA; it lives in the machine's time, as a
/// client that knows nothing of it does.
fn behind_a_hosts_file(config: Config) -> Option<(Cloud, Scratch)> {
    if !may_mount(&["--mount"]) && !may_mount(&["--map-root-user", "--mount"]) {
        eprintln!("SKIPPED: this machine gives a test no mount namespace for a hosts file");
        return None;
    }
    let mut config = with_tls(config, &format!("{ADDRESS}:443"));
    config.clock = Default::default();
    let cloud = match Cloud::try_start(config) {
        Ok(cloud) => cloud,
        Err(error) => {
            eprintln!("SKIPPED: port 443 is not for this test: {error}");
            return None;
        }
    };
    let scratch = Scratch::new();
    scratch.write("hosts", HOSTS.map(|host| format!("{ADDRESS} {host}\n")).concat());
    scratch.write("ca.pem", cloud.running.ca_pem.as_ref().unwrap());
    Some((cloud, scratch))
}

#[test]
fn every_log_is_collected_from_microsofts_own_host_names() {
    let mut config = small();
    config.tenants[0].attacks = vec![AttackEntry { after_hours: 1.0, ..AttackEntry::default() }];
    config.publishing.late_share = 0.0;
    // In the machine's time, Microsoft's limits would take a minute and more.
    let limits = &mut config.limits;
    for limit in [
        &mut limits.reports_per_10_seconds,
        &mut limits.protection_per_second,
        &mut limits.trace_per_5_minutes,
        &mut limits.azure_per_minute,
        &mut limits.devops_per_5_minutes,
    ] {
        *limit = 0;
    }
    let Some((cloud, scratch)) = behind_a_hosts_file(config) else { return };
    // By now everything that happened two hours ago has turned up.
    let until = cloud.now() - jiff::SignedDuration::from_hours(2);
    let until = jiff::Timestamp::from_second(until.as_second()).unwrap();
    let kinds = [("office365_management", &[][..])].into_iter().chain(SOURCES.iter().copied());
    let keys = format!("start: 3d, mode: once, until: '{until}', requests_per_minute: 6000");
    let sources: Vec<_> = kinds.map(|(kind, _)| (kind, source(kind, &keys))).collect();
    scratch.write("pipeline.yaml", pipeline(&sources));
    let run = || among_hosts(&scratch, &binary(), &["run", "pipeline.yaml"]);
    refused(&run().output().unwrap());
    // The variable by which other programs are told of a CA is understood, too.
    let output = run().env("SSL_CERT_FILE", "ca.pem").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let ledger = cloud.ledger();
    let mut rows = rows(&scratch);
    let audit = audit_ids(&ledger, |line| line.available < until);
    check("office365_management", &rows.remove("office365_management").unwrap(), &audit);
    for (name, feeds) in SOURCES {
        let mut found = rows.remove(*name).unwrap_or_default();
        found.dedup();
        let expected = ids(&ledger, feeds, |line| line.time < until);
        // A message has a trace for each recipient, all with its id; the ledger tells them apart.
        let id = |entry: &String| entry.split('/').next().unwrap_or_default().to_owned();
        let entry_of = |entry: &String| if *name == "message_trace" { id(entry) } else { entry.clone() };
        let missing: Vec<_> = expected.iter().map(entry_of).filter(|id| found.binary_search(id).is_err()).collect();
        assert!(!found.is_empty() && missing.is_empty(), "{name}: {missing:?} of {}", expected.len());
    }
    assert_eq!(gaps(&scratch), (true, Vec::new()));
}

#[test]
fn each_of_microsofts_clouds_is_asked_at_its_own_hosts() {
    let Some((_cloud, scratch)) = behind_a_hosts_file(small()) else { return };
    for (cloud, kinds) in [
        ("worldwide", &["office365_management", "entra_signins", "mailbox_audit", "azure_activity"][..]),
        ("gcc", &["office365_management", "entra_signins"]),
        ("gcc_high", &["office365_management", "entra_signins", "mailbox_audit", "azure_activity"]),
        ("dod", &["office365_management", "entra_signins", "mailbox_audit"]),
        ("china", &["entra_signins"]),
    ] {
        let keys = format!("cloud: {cloud}, ca_file: ca.pem");
        let sources: Vec<_> = kinds.iter().map(|kind| (*kind, source(kind, &keys))).collect();
        scratch.write("pipeline.yaml", pipeline(&sources));
        let output = among_hosts(&scratch, &binary(), &["check-access", "pipeline.yaml"]).output().unwrap();
        let told = stdout(&output);
        assert!(output.status.success() && told.contains("all sources may read"), "{cloud}: {told}{}", stderr(&output));
    }
}

#[test]
fn a_client_that_is_not_ours_takes_it_for_microsofts() {
    let Some((_cloud, scratch)) = behind_a_hosts_file(small()) else { return };
    let curl = Path::new("curl");
    if Command::new(curl).arg("--version").output().is_err() {
        eprintln!("SKIPPED: curl is not here");
        return;
    }
    let ask = |arguments: &[&str]| {
        among_hosts(&scratch, curl, &[&["--silent", "--show-error"], arguments].concat()).output().unwrap()
    };
    let token = |resource: &str| {
        let form = format!("grant_type=client_credentials&client_id=a&client_secret=b&scope={resource}/.default");
        let url = format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token");
        let output = ask(&["--cacert", "ca.pem", "--data", &form, &url]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        format!("Authorization: Bearer {}", answer["access_token"].as_str().unwrap())
    };
    for (resource, path) in [
        ("https://manage.office.com", format!("/api/v1.0/{TENANT}/activity/feed/subscriptions/list")),
        ("https://graph.microsoft.com", "/v1.0/auditLogs/signIns?$top=5".to_owned()),
        ("https://management.azure.com", "/subscriptions?api-version=2022-12-01".to_owned()),
    ] {
        let url = format!("{resource}{path}");
        let output = ask(&["--cacert", "ca.pem", "--fail", "--header", &token(resource), &url]);
        assert!(output.status.success(), "{url}: {}", stderr(&output));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        // Links lead back to the name that was asked.
        if let Some(next) = answer["@odata.nextLink"].as_str() {
            assert!(next.starts_with(resource), "{next}");
        }
        // curl's word for a certificate that nobody vouches for.
        assert_eq!(ask(&[&url]).status.code(), Some(60), "{url}");
    }
}
