//! Client assertions: JWTs signed with an application's certificate, or issued by somebody whom it trusts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use webpki::EndEntityCert;

use super::http::Call;
use super::login::Refusal;
use super::token::jwt_part;
use crate::config::AppConfig;

/// The audience of tokens that an external issuer makes for Entra.
const FEDERATION: &str = "api://AzureADTokenExchange";

/// Entra allows clocks to differ by this.
const SKEW_SECONDS: i64 = 300;

/// Checks an assertion against the application's registration.
pub(crate) fn check(call: &Call, assertion: &str, app: Option<&AppConfig>, client: &str) -> Result<(), Refusal> {
    let malformed = || {
        let text = "Client assertion is not within its valid form: the JWT cannot be read.".to_owned();
        Refusal("invalid_client", 50_013, text)
    };
    let head = jwt_part(assertion, 0).ok_or_else(malformed)?;
    let claims = jwt_part(assertion, 1).ok_or_else(malformed)?;
    let federated = head.get("x5t").is_none() && head.get("x5t#S256").is_none();
    in_time(call, &claims)?;
    if federated { issued(app, &claims) } else { signed(call, assertion, app, client, &head, &claims) }
}

fn in_time(call: &Call, claims: &Value) -> Result<(), Refusal> {
    let now = call.now.as_second();
    let expired = claims["exp"].as_i64().is_none_or(|expires| expires + SKEW_SECONDS < now);
    let early = claims["nbf"].as_i64().is_some_and(|from| from - SKEW_SECONDS > now);
    if expired || early {
        let text = "Assertion is not within its valid time range. Check the clock of the client.".to_owned();
        return Err(Refusal("invalid_client", 500_133, text));
    }
    Ok(())
}

fn issued(app: Option<&AppConfig>, claims: &Value) -> Result<(), Refusal> {
    let audience = match &claims["aud"] {
        Value::Array(list) => list.iter().any(|one| one == FEDERATION),
        one => one == FEDERATION,
    };
    if !audience {
        let text = format!("The audience of the federated token is not {FEDERATION}.");
        return Err(Refusal("invalid_client", 700_212, text));
    }
    match app {
        Some(app) if app.federated_subject.as_deref() != claims["sub"].as_str() => {
            let text = "No matching federated identity record found for presented assertion subject.".to_owned();
            Err(Refusal("invalid_client", 70_021, text))
        }
        _ => Ok(()),
    }
}

fn signed(
    call: &Call,
    assertion: &str,
    app: Option<&AppConfig>,
    client: &str,
    head: &Value,
    claims: &Value,
) -> Result<(), Refusal> {
    let wrong = |text: &str| Err(Refusal("invalid_client", 50_012, text.to_owned()));
    for name in ["iss", "sub"] {
        if claims[name].as_str() != Some(client) {
            return wrong("Client assertion contains an invalid issuer or subject: both must be the client id.");
        }
    }
    if claims["jti"].as_str().is_none_or(str::is_empty) {
        return wrong("Client assertion lacks its own id (jti).");
    }
    let endpoint = format!("https://{}{}", call.host, call.path);
    let asked = format!("{}{}", call.origin, call.path);
    let audience = claims["aud"].as_str().unwrap_or_default();
    if audience != endpoint && audience != asked {
        return wrong("Client assertion audience claim does not match the token endpoint.");
    }
    // A tenant without registrations knows no certificates to check against.
    let Some(app) = app else { return Ok(()) };
    let registered = app.certificate.as_deref().and_then(certificate);
    let Some(der) = registered.filter(|der| thumbprint_fits(head, der)) else {
        let text = format!(
            "The certificate with identifier used to sign the client assertion is not registered on application \
             '{client}'."
        );
        return Err(Refusal("invalid_client", 700_027, text));
    };
    if signature_fits(assertion, head, &der) { Ok(()) } else { wrong("Client assertion failed signature validation.") }
}

/// Reads PEM text, or a PEM file.
fn certificate(source: &str) -> Option<CertificateDer<'static>> {
    if source.contains("-----BEGIN") {
        CertificateDer::from_pem_slice(source.as_bytes()).ok()
    } else {
        CertificateDer::from_pem_file(source).ok()
    }
}

fn thumbprint_fits(head: &Value, der: &CertificateDer<'_>) -> bool {
    let fits = |name: &str, algorithm| {
        let sum = URL_SAFE_NO_PAD.encode(digest::digest(algorithm, der));
        head[name].as_str().map(|thumb| thumb.trim_end_matches('=') == sum)
    };
    fits("x5t#S256", &digest::SHA256).or_else(|| fits("x5t", &digest::SHA1_FOR_LEGACY_USE_ONLY)).unwrap_or(false)
}

fn signature_fits(assertion: &str, head: &Value, der: &CertificateDer<'_>) -> bool {
    let algorithm = match head["alg"].as_str() {
        Some("PS256") => webpki::ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        Some("RS256") => webpki::ring::RSA_PKCS1_2048_8192_SHA256,
        _ => return false,
    };
    let Some((text, signature)) = assertion.rsplit_once('.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    EndEntityCert::try_from(der)
        .is_ok_and(|certificate| certificate.verify_signature(algorithm, text.as_bytes(), &signature).is_ok())
}
