//! Every way to sign in, with the real binary against the simulated Entra: it checks signatures and thumbprints of
//! certificates, and a test plays the person with a device code.

use std::path::Path;
use std::process::Output;

use downspout_simulator::{AppConfig, Config};

use crate::microsoft::{Cloud, Collector, START, TENANT, audit_ids, check, gaps, pipeline, rows, small};
use crate::support::{Scratch, root, stderr, stdout};

/// Where a key and its certificate lie that were made for tests: as PEM, and as PFX by a new and an old program.
fn key(name: &str) -> String {
    root().join("crates/microsoft/src/auth/testdata").join(name).to_str().unwrap().to_owned()
}

/// A token of another issuer, as a cluster puts it into a file: for `api://AzureADTokenExchange`, until the year 2100, of
/// `system:serviceaccount:logs:downspout`.
const FOREIGN_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.\
    eyJhdWQiOiJhcGk6Ly9BenVyZUFEVG9rZW5FeGNoYW5nZSIsInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDpsb2dzOmRvd25z\
    cG91dCIsImV4cCI6NDEwMjQ0NDgwMH0.c2lnbmVk\n";

/// A cloud that knows applications by what they may show.
fn cloud(settle: impl FnOnce(&mut Config)) -> Cloud {
    let app = |id: &str| AppConfig { client_id: id.to_owned(), ..AppConfig::default() };
    let mut config = small();
    config.tenants[0].apps = vec![
        AppConfig { certificate: Some(key("app.pem")), ..app("signs") },
        AppConfig { federated_subject: Some("system:serviceaccount:logs:downspout".to_owned()), ..app("federated") },
        app("bare"),
    ];
    settle(&mut config);
    Cloud::start(config)
}

fn source(cloud: &Cloud, kind: &str, auth: &str, keys: &str) -> String {
    format!("type: {kind}, tenant_id: {TENANT}, auth: {{ {auth} }}, cloud: {{ simulator: '{}' }}{keys}", cloud.base)
}

/// `check-access` of sources at three services, signed in that way.
fn check_access(cloud: &Cloud, scratch: &Scratch, auth: &str, environment: &[(&str, &str)]) -> Output {
    let kinds = ["office365_management", "entra_signins", "mailbox_audit"];
    let sources: Vec<_> = kinds.iter().map(|kind| (*kind, source(cloud, kind, auth, ""))).collect();
    scratch.write("pipeline.yaml", pipeline(&sources));
    scratch.downspout(&["check-access", "pipeline.yaml"]).envs(environment.iter().copied()).output().unwrap()
}

#[test]
fn every_identity_gets_what_its_application_was_granted() {
    let cloud = cloud(|_| {});
    let scratch = Scratch::new();
    scratch.write("token", FOREIGN_TOKEN);
    let service = format!("{}/169.254.169.254/msi/token", cloud.base);
    let app_service = [("IDENTITY_ENDPOINT", service.as_str()), ("IDENTITY_HEADER", "secret-of-the-service")];
    let compute = format!("{}/169.254.169.254/MSI/auth", cloud.base);
    let learning = [("MSI_ENDPOINT", compute.as_str()), ("MSI_SECRET", "s"), ("DEFAULT_IDENTITY_CLIENT_ID", "bare")];
    for (auth, environment) in [
        (format!("client_id: signs, certificate: '{}'", key("app.pem")), &[][..]),
        (format!("client_id: signs, certificate: '{}', password: test", key("app-encrypted.pem")), &[]),
        (format!("client_id: signs, certificate: '{}', password: test", key("app.pfx")), &[]),
        (format!("client_id: signs, certificate: '{}', password: test", key("app-legacy.pfx")), &[]),
        ("client_id: federated, federated_token_file: ./token".to_owned(), &[]),
        ("managed_identity: true".to_owned(), &[]),
        ("managed_identity: true, client_id: bare".to_owned(), &app_service),
        ("managed_identity: true".to_owned(), &learning),
    ] {
        let output = check_access(&cloud, &scratch, &auth, environment);
        let told = stdout(&output);
        assert!(output.status.success(), "{auth}: {told}{}", stderr(&output));
        assert!(told.contains("all sources may read what they should"), "{auth}: {told}");
    }
}

#[test]
fn an_identity_is_not_asked_for_at_any_address() {
    let cloud = cloud(|_| {});
    let scratch = Scratch::new();
    let foreign = cloud.running.foreign_url.replace("127.0.0.2", "203.0.113.2");
    let environment = [("IDENTITY_ENDPOINT", foreign.as_str()), ("IDENTITY_HEADER", "secret-of-the-service")];
    let output = check_access(&cloud, &scratch, "managed_identity: true", &environment);
    let told = format!("{}{}", stdout(&output), stderr(&output));
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("`IDENTITY_ENDPOINT`") && told.contains("203.0.113.2"), "{told}");
    assert!(!told.contains("secret-of-the-service"), "{told}");
}

#[test]
fn a_certificate_that_does_not_fit_is_told_with_what_to_do() {
    let cloud = cloud(|_| {});
    let scratch = Scratch::new();
    let certificate = Path::new(&key("app.pem")).to_owned();
    let text = std::fs::read_to_string(&certificate).unwrap();
    let end = text.find("-----END CERTIFICATE-----").unwrap();
    scratch.write("half.pem", &text[..end]);
    for (auth, words) in [
        (
            format!("client_id: bare, certificate: '{}'", key("app.pem")),
            &["AADSTS700027", "upload its public part"][..],
        ),
        (format!("client_id: signs, certificate: '{}', password: wrong", key("app.pfx")), &["that the password opens"]),
        (format!("client_id: signs, certificate: '{}'", key("app-encrypted.pem")), &["encrypted", "`password`"]),
        ("client_id: signs, certificate: half.pem".to_owned(), &["half.pem", "as PEM or PFX"]),
        ("client_id: signs, certificate: nowhere.pem".to_owned(), &["nowhere.pem", "No such file"]),
    ] {
        let output = check_access(&cloud, &scratch, &auth, &[]);
        let told = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{auth}: {told}");
        assert!(told.contains("missing  sign-in") && words.iter().all(|word| told.contains(word)), "{auth}: {told}");
        assert!(!told.contains("wrong"), "a password is shown: {told}");
    }
}

#[test]
fn a_certificate_collects_through_the_end_of_its_tokens() {
    let cloud = cloud(|config| {
        config.tokens.lifetime_seconds = 400;
        config.tokens.spread_seconds = 200;
    });
    let scratch = Scratch::new();
    let auth = format!("client_id: signs, certificate: '{}', password: test", key("app.pfx"));
    let keys = format!(", start: 3d, mode: once, until: {START}");
    cloud.faults(r#"[{"kind":"token_dies","api":"management","every":10}]"#);
    scratch.run_well(&pipeline(&[("m365", source(&cloud, "office365_management", &auth, &keys))]));
    let expected = audit_ids(&cloud.ledger(), |line| line.available < START.parse().unwrap());
    check("m365", &rows(&scratch)["m365"], &expected);
    assert!(cloud.happened("token_dies") > 0 && cloud.stats()["tokens"].as_u64() > Some(1), "{}", cloud.stats());
}

#[test]
fn errors_of_entra_pass_or_are_told() {
    let cloud = cloud(|_| {});
    let scratch = Scratch::new();
    scratch.write("token", FOREIGN_TOKEN);
    let auth = "client_id: federated, federated_token_file: ./token";
    let rule = |code: u32| format!(r#"{{"kind":"error_code","api":"login","code":{code},"limit":1}}"#);
    let passing = [50_000, 90_006, 90_012, 90_024, 90_033, 90_055, 90_090];
    cloud.faults(&format!("[{}]", passing.map(rule).join(",")));
    let keys = format!(", start: 3d, mode: once, until: {START}");
    scratch.run_well(&pipeline(&[("m365", source(&cloud, "office365_management", auth, &keys))]));
    let expected = audit_ids(&cloud.ledger(), |line| line.available < START.parse().unwrap());
    check("m365", &rows(&scratch)["m365"], &expected);
    assert_eq!(cloud.happened("error_code"), passing.len() as u64);
    for (code, words) in [
        (50_001, "is disabled there"),
        (50_006, "the certificate is not accepted"),
        (50_076, "a second factor"),
        (53_003, "Conditional Access"),
        (65_001, "consent is missing"),
        (90_014, "please report this"),
        (90_038, "set `cloud`"),
        (90_094, "an administrator must grant it"),
        (530_032, "Conditional Access"),
        (700_022, "check `cloud`"),
        (900_382, "set `cloud`"),
        (900_432, "set `cloud`"),
        (900_439, "set `cloud`"),
        (900_561, "please report this"),
        (9_002_313, "please report this"),
    ] {
        cloud.faults(&rule(code).replace(r#","limit":1"#, ""));
        let output = check_access(&cloud, &scratch, auth, &[]);
        cloud.faults("[]");
        let told = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{code}: {told}");
        assert!(told.contains(&format!("AADSTS{code}")) && told.contains(words), "{code}: {told}");
    }
}

#[test]
fn a_metadata_service_that_is_being_updated_is_waited_for() {
    let cloud = cloud(|_| {});
    let scratch = Scratch::new();
    let rule = |status: u16| format!(r#"{{"kind":"server_error","api":"imds","limit":1,"status":{status}}}"#);
    cloud.faults(&format!("[{}]", [404, 410, 429].map(rule).join(",")));
    let keys = format!(", start: 3d, mode: once, until: {START}");
    let source = source(&cloud, "office365_management", "managed_identity: true", &keys);
    scratch.run_well(&pipeline(&[("m365", source)]));
    let expected = audit_ids(&cloud.ledger(), |line| line.available < START.parse().unwrap());
    check("m365", &rows(&scratch)["m365"], &expected);
    assert_eq!(cloud.happened("server_error"), 3);
}

/// Starts a collection by these sources that asks a person to sign in, and gives the code that it shows.
fn ask_a_person(cloud: &Cloud, scratch: &Scratch, sources: &[&'static str]) -> (Collector, String) {
    let keys = format!(", start: 3d, mode: once, until: {START}");
    let auth = "client_id: bare, device_code: true";
    let sources: Vec<_> = sources.iter().map(|kind| (*kind, source(cloud, kind, auth, &keys))).collect();
    scratch.write("pipeline.yaml", pipeline(&sources));
    let mut collector = Collector::start(scratch);
    let log = || std::fs::read_to_string(scratch.path("log")).unwrap();
    collector.until(scratch, "a code for a person", || log().contains("enter the code "));
    let code = log().split("enter the code ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    (collector, code)
}

/// A person who takes as long as people do; at the usual rate a code would live for less than a second.
fn waiting(config: &mut Config) {
    config.tokens.device_outcome = "waits".to_owned();
    config.clock.rate = 10.0;
}

#[test]
fn a_person_who_enters_the_code_once_lets_all_sources_go_on() {
    let cloud = cloud(waiting);
    let scratch = Scratch::new();
    let (mut collector, code) = ask_a_person(&cloud, &scratch, &["office365_management", "entra_audits"]);
    let polls = || cloud.stats()["requests"]["login"]["400"].as_u64().unwrap_or(0);
    collector.until(&scratch, "polls without an answer", || polls() > 1);
    assert!(rows(&scratch).is_empty());
    cloud.sign_in(&code, true);
    collector.until_end(&scratch);
    let start = START.parse().unwrap();
    let expected = audit_ids(&cloud.ledger(), |line| line.available < start);
    let rows = rows(&scratch);
    check("m365", &rows["office365_management"], &expected);
    assert!(!rows["entra_audits"].is_empty());
    assert_eq!(gaps(&scratch), (true, Vec::new()));
    assert_eq!(asked(&scratch), 1);
}

#[test]
fn a_person_who_declines_is_not_asked_again() {
    let cloud = cloud(waiting);
    let scratch = Scratch::new();
    let (collector, code) = ask_a_person(&cloud, &scratch, &["office365_management", "entra_audits"]);
    cloud.sign_in(&code, false);
    assert_eq!(collector.status(), Some(1));
    let log = std::fs::read_to_string(scratch.path("log")).unwrap();
    assert!(log.contains("the sign-in was declined"), "{log}");
    assert_eq!(asked(&scratch), 1);
}

/// How often somebody was asked for a code.
fn asked(scratch: &Scratch) -> usize {
    std::fs::read_to_string(scratch.path("log")).unwrap().matches("enter the code ").count()
}
