//! Certificates and federated tokens at the token endpoint: what is accepted, and what is refused with which code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Client, TENANT, config};
use downspout_simulator::AppConfig;
use ring::{digest, rand, signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

/// A certificate and its key, made for these tests alone.
const APP: &[u8] = include_bytes!("data/app.pem");

const CLIENT: &str = "0a1b2c3d-0000-4000-8000-000000000001";

/// The clock of `config()` stands at this second.
const NOW: i64 = 1_767_787_200;

fn claims() -> Value {
    json!({
        "aud": format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"),
        "iss": CLIENT, "sub": CLIENT, "jti": "1", "nbf": NOW, "exp": NOW + 600,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// A JWT signed with the certificate's key.
fn sign(algorithm: &str, claims: &Value) -> String {
    let der = CertificateDer::from_pem_slice(APP).unwrap();
    let thumb = |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, &der));
    let mut head = json!({ "alg": algorithm, "typ": "JWT" });
    match algorithm {
        "PS256" => head["x5t#S256"] = json!(thumb(&digest::SHA256)),
        _ => head["x5t"] = json!(thumb(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
    }
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = PrivatePkcs8KeyDer::from_pem_slice(APP).unwrap();
    let pair = signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let mut signed = vec![0; pair.public().modulus_len()];
    let padding: &dyn signature::RsaEncoding =
        if algorithm == "PS256" { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
    pair.sign(padding, &rand::SystemRandom::new(), text.as_bytes(), &mut signed).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signed))
}

/// A JWT as an outside issuer would make it.
fn federated(claims: &Value) -> String {
    let head = json!({ "alg": "RS256", "kid": "outside" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(&head), part(claims))
}

/// Zero for a token, or the AADSTS code.
async fn ask(client: &Client, assertion: &str) -> u64 {
    let body = format!(
        "grant_type=client_credentials&client_id={CLIENT}&scope=https://graph.microsoft.com/.default&\
         client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={assertion}"
    );
    let reply = client.token_reply(TENANT, &body).await;
    match reply.status {
        200 => 0,
        _ => reply.json()["error_codes"][0].as_u64().unwrap(),
    }
}

async fn client(certificate: Option<String>) -> Client {
    let mut config = config();
    let app = AppConfig {
        client_id: CLIENT.into(),
        certificate,
        federated_subject: Some("system:serviceaccount:logs:collector".into()),
        ..AppConfig::default()
    };
    config.tenants[0].apps = vec![app];
    Client::new(config).await
}

#[tokio::test]
async fn both_signatures_are_good_and_every_mistake_has_its_code() {
    let certified = client(Some(String::from_utf8(APP.to_vec()).unwrap())).await;
    assert_eq!(ask(&certified, &sign("PS256", &claims())).await, 0);
    assert_eq!(ask(&certified, &sign("RS256", &claims())).await, 0);
    let mut forged = sign("PS256", &claims());
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    assert_eq!(ask(&certified, &forged).await, 50_012);
    for (name, value, code) in [
        ("exp", json!(NOW - 600), 500_133),
        ("nbf", json!(NOW + 900), 500_133),
        ("aud", json!("https://login.microsoftonline.com/other/oauth2/v2.0/token"), 50_012),
        ("iss", json!("somebody"), 50_012),
        ("jti", json!(""), 50_012),
    ] {
        assert_eq!(ask(&certified, &sign("PS256", &with(name, value))).await, code, "{name}");
    }
    assert_eq!(ask(&certified, "nonsense").await, 50_013);
    let bare = client(None).await;
    assert_eq!(ask(&bare, &sign("PS256", &claims())).await, 700_027, "no certificate is registered");
}

#[tokio::test]
async fn federated_tokens_are_for_one_subject() {
    let client = client(None).await;
    let claims = |subject: &str, audience: &str| json!({ "sub": subject, "aud": audience, "exp": NOW + 600 });
    let good = claims("system:serviceaccount:logs:collector", "api://AzureADTokenExchange");
    assert_eq!(ask(&client, &federated(&good)).await, 0);
    let stranger = claims("system:serviceaccount:logs:other", "api://AzureADTokenExchange");
    assert_eq!(ask(&client, &federated(&stranger)).await, 70_021);
    let elsewhere = claims("system:serviceaccount:logs:collector", "https://kubernetes.default");
    assert_eq!(ask(&client, &federated(&elsewhere)).await, 700_212);
}
