//! The token endpoints: client secrets, assertions (certificate or federated), the device flow, managed identities.

mod device;
mod errors;
mod imds;

use jiff::Timestamp;
use serde_json::json;

use super::faults::FaultKind;
use super::http::{Answer, Call};
use super::route::Api;
use super::stats::count;
use super::tenant::Tenant;
use super::token::{Wanted, all_roles, resource_api};
use super::{Cloud, assertion, random};
use crate::config::{AppConfig, Trouble};

pub(crate) use device::{Device, decide};
pub(crate) use imds::imds;

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A refusal: `error`, AADSTS code, text.
pub(crate) struct Refusal(pub(crate) &'static str, pub(crate) u32, pub(crate) String);

/// Serves the login hosts.
pub(crate) fn answer(cloud: &Cloud, call: &Call) -> Answer {
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let result = match parts.as_slice() {
        [tenant, "oauth2", "v2.0", "token"] => token(cloud, call, tenant, 2),
        [tenant, "oauth2", "token"] => token(cloud, call, tenant, 1),
        [tenant, "oauth2", "v2.0", "devicecode"] => device::device_code(cloud, call, tenant),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => return configuration(call, tenant),
        _ => return Answer::empty(404),
    };
    result.unwrap_or_else(|refusal| refused(&refusal, call.now))
}

/// The refusal as Entra words it.
fn refused(Refusal(error, code, text): &Refusal, now: Timestamp) -> Answer {
    let trace = random::guid(now.as_microsecond() as u64, error);
    let stamp = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let mut body = json!({
        "error": error,
        "error_description": format!(
            "AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {trace} Timestamp: {stamp}"
        ),
        "error_codes": [code],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": trace,
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    });
    let status = match *error {
        "invalid_client" => 401,
        "temporarily_unavailable" => 503,
        _ => 400,
    };
    if *code == 0 {
        // The states of the device flow have no number.
        body["error_description"] = json!(text);
        body["error_codes"] = json!([]);
    }
    Answer::json(status, &body)
}

fn configuration(call: &Call, tenant: &str) -> Answer {
    let base = format!("{}/{tenant}", call.origin);
    Answer::json(
        200,
        &json!({
            "issuer": format!("https://sts.windows.net/{tenant}/"),
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        }),
    )
}

fn find<'f>(form: &'f [(String, String)], name: &str) -> Option<&'f str> {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn tenant<'c>(cloud: &'c Cloud, name: &str) -> Result<&'c Tenant, Refusal> {
    if ["common", "organizations", "consumers"].contains(&name) {
        let text = format!("The grant type is not supported over the /{name} endpoint.");
        return Err(Refusal("invalid_request", 9_001_023, text));
    }
    let tenant = cloud.tenant(name).ok_or_else(|| {
        let text = format!("Tenant '{name}' not found. Check to make sure you have the correct tenant ID.");
        Refusal("invalid_request", 90_002, text)
    })?;
    if tenant.has(Trouble::AuthRefused) {
        let text = "Access has been blocked by security defaults or Conditional Access policies.".to_owned();
        return Err(Refusal("invalid_grant", 53_003, text));
    }
    Ok(tenant)
}

fn token(cloud: &Cloud, call: &Call, name: &str, version: u8) -> Result<Answer, Refusal> {
    let id = cloud.tenant(name).map_or(name, |tenant| tenant.id());
    if let Some(strike) = cloud.faults.strikes(FaultKind::ErrorCode, Api::Login, Some(id), &call.path) {
        return Err(errors::refusal(strike.code.unwrap_or(errors::PASSING)));
    }
    let form = call.form();
    let grant = find(&form, "grant_type").ok_or_else(|| missing("grant_type"))?;
    match grant {
        "client_credentials" => {
            let tenant = tenant(cloud, name)?;
            let (client, secret) = credentials(call, &form);
            let client = client.ok_or_else(|| missing("client_id"))?;
            let app = registered(tenant, &client)?;
            prove(call, &form, app, &client, secret.as_deref())?;
            let audience = audience(call, &form, version)?;
            Ok(issue(cloud, call, tenant, &Request { client: &client, app, audience: &audience, user: false }, version))
        }
        DEVICE_GRANT => device::poll(cloud, call, &form, version),
        "refresh_token" => {
            let tenant = tenant(cloud, name)?;
            let client = find(&form, "client_id").ok_or_else(|| missing("client_id"))?;
            if find(&form, "refresh_token") != Some(refresh_token(tenant, client).as_str()) {
                return Err(Refusal("invalid_grant", 9_002_313, "Invalid request. Request is malformed.".to_owned()));
            }
            let audience = audience(call, &form, version)?;
            let app = registered(tenant, client)?;
            Ok(issue(cloud, call, tenant, &Request { client, app, audience: &audience, user: true }, version))
        }
        other => {
            let text = format!("The app requested an unsupported grant type '{other}'.");
            Err(Refusal("unsupported_grant_type", 70_003, text))
        }
    }
}

fn missing(name: &str) -> Refusal {
    let text = format!("The request body must contain the following parameter: '{name}'.");
    Refusal("invalid_request", 900_144, text)
}

/// Client id and secret, from the form or by HTTP Basic.
fn credentials(call: &Call, form: &[(String, String)]) -> (Option<String>, Option<String>) {
    use base64::Engine;
    let basic = call.header("authorization").and_then(|value| value.strip_prefix("Basic ")).and_then(|text| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (client, secret) = text.split_once(':')?;
        Some((super::http::decode_path(client), super::http::decode_path(secret)))
    });
    match basic {
        Some((client, secret)) => (Some(client), Some(secret)),
        None => (find(form, "client_id").map(str::to_owned), find(form, "client_secret").map(str::to_owned)),
    }
}

/// The registration of a client; `None` in a tenant that lets everybody in.
fn registered<'t>(tenant: &'t Tenant, client: &str) -> Result<Option<&'t AppConfig>, Refusal> {
    if tenant.config.apps.is_empty() {
        return Ok(None);
    }
    tenant.app(client).map(Some).ok_or_else(|| {
        let text = format!(
            "Application with identifier '{client}' was not found in the directory '{}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You may have sent your authentication request to the wrong tenant.",
            tenant.config.domain
        );
        Refusal("unauthorized_client", 700_016, text)
    })
}

/// Checks secret or assertion.
fn prove(
    call: &Call,
    form: &[(String, String)],
    app: Option<&AppConfig>,
    client: &str,
    secret: Option<&str>,
) -> Result<(), Refusal> {
    if let Some(assertion) = find(form, "client_assertion") {
        return assertion::check(call, assertion, app, client);
    }
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
        let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return Err(Refusal("invalid_client", 7_000_218, text.to_owned()));
    };
    let Some(app) = app else { return Ok(()) };
    if app.client_secret.as_deref() != Some(secret) {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{client}'."
        );
        return Err(Refusal("invalid_client", 7_000_215, text));
    }
    if app.secret_expires.is_some_and(|expires| call.now >= expires) {
        let text = format!("The provided client secret keys for app '{client}' are expired.");
        return Err(Refusal("invalid_client", 7_000_222, text));
    }
    Ok(())
}

/// The resource that the token is for.
fn audience(call: &Call, form: &[(String, String)], version: u8) -> Result<String, Refusal> {
    let resource = if version == 1 {
        find(form, "resource").ok_or_else(|| missing("resource"))?.to_owned()
    } else {
        let scope = find(form, "scope").ok_or_else(|| missing("scope"))?;
        let mut resources: Vec<&str> = Vec::new();
        for part in scope.split_whitespace().filter(|part| !["offline_access", "openid", "profile"].contains(part)) {
            let Some((resource, _)) = part.rsplit_once('/').filter(|(_, name)| *name == ".default") else {
                let text = format!("The provided value for scope {part} is not valid.");
                return Err(Refusal("invalid_scope", 70_011, text));
            };
            resources.push(resource);
        }
        match resources.as_slice() {
            [one] => (*one).to_owned(),
            _ => {
                let text = format!("Provided value for the input parameter scope '{scope}' is not valid.");
                return Err(Refusal("invalid_scope", 28_002, text));
            }
        }
    };
    let known = resource_api(&resource).is_some() && same_cloud(&call.host, &resource);
    known.then(|| resource.trim_end_matches('/').to_owned()).ok_or_else(|| {
        let text = format!(
            "The resource principal named {resource} was not found in the tenant. This can happen if the application \
             has not been installed by the administrator of the tenant."
        );
        Refusal("invalid_resource", 500_011, text)
    })
}

/// Tokens of one national cloud are of no use in another.
fn same_cloud(login: &str, resource: &str) -> bool {
    let cloud = |host: &str| {
        let host = host.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let government = [".us", ".mil", "usgovcloudapi.net"].iter().any(|end| host.ends_with(end));
        let china = [".cn", "chinacloudapi.cn"].iter().any(|end| host.ends_with(end));
        (government, china)
    };
    !resource.starts_with("https://") || cloud(login) == cloud(resource)
}

struct Request<'r> {
    client: &'r str,
    app: Option<&'r AppConfig>,
    audience: &'r str,
    user: bool,
}

fn issue(cloud: &Cloud, call: &Call, tenant: &Tenant, request: &Request<'_>, version: u8) -> Answer {
    let known = resource_api(request.audience).map_or(&[][..], all_roles);
    let granted = |role: &str| {
        request.app.and_then(|app| app.roles.as_ref()).is_none_or(|roles| roles.iter().any(|granted| granted == role))
    };
    let roles: Vec<String> = known.iter().filter(|role| granted(role)).map(|role| (*role).to_owned()).collect();
    let tokens = &cloud.config.tokens;
    let number = cloud.stats.tokens.load(std::sync::atomic::Ordering::Relaxed);
    let spread = random::fraction(random::mix(number ^ cloud.config.seed)) * tokens.spread_seconds as f64;
    let lifetime = tokens.lifetime_seconds as i64 + spread as i64;
    let user = request.user.then(|| format!("admin@{}", tenant.config.domain));
    let wanted = Wanted {
        tenant: tenant.id(),
        client: request.client,
        audience: request.audience,
        roles: &roles,
        user: user.as_deref(),
        lifetime,
    };
    count(&cloud.stats.tokens);
    let token = cloud.tokens.issue(&wanted, call.now);
    let mut body = if version == 1 {
        json!({
            "token_type": "Bearer",
            "expires_in": lifetime.to_string(),
            "ext_expires_in": lifetime.to_string(),
            "expires_on": (call.now.as_second() + lifetime).to_string(),
            "not_before": call.now.as_second().to_string(),
            "resource": request.audience,
            "access_token": token,
        })
    } else {
        json!({
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": token,
        })
    };
    if request.user {
        body["refresh_token"] = json!(refresh_token(tenant, request.client));
        body["scope"] = json!(roles.join(" "));
    }
    Answer::json(200, &body)
}

fn refresh_token(tenant: &Tenant, client: &str) -> String {
    format!("0.{}", random::guid(17, &format!("{} {client}", tenant.id())))
}

/// The permissions that a service of that name grants to an application: what `check-access` reads.
pub(crate) fn granted(app: Option<&AppConfig>, api: Api) -> Vec<&'static str> {
    let listed = |role: &&str| {
        app.and_then(|app| app.roles.as_ref()).is_none_or(|roles| roles.iter().any(|granted| granted == *role))
    };
    all_roles(api).iter().copied().filter(listed).collect()
}
