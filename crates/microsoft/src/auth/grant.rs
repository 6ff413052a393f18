//! The requests that give tokens.
//!
//! Applications ask Entra's v2 endpoint for `RESOURCE/.default`; managed identities ask the machine they run on; a
//! person is shown a code once, and a refresh token serves from then on.

use std::time::{Duration, Instant};

use downspout_core::config_values::Secret;
use jiff::SignedDuration;
use serde_json::Value;

use super::config::Method;
use super::people::Answer;
use super::verdict::{AuthError, judge};
use super::{Inner, assertion};
use crate::client::{Api, Backoff, Verdict, http_date, is_html, proxy, retry_after};
use crate::cloud::{Cloud, Service};

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The metadata service answers at once, or is not there.
const IMDS_PATIENCE: Duration = Duration::from_secs(10);

/// Entra's codes for an assertion whose times do not fit Entra's clock.
const WRONG_TIME: [&str; 3] = ["AADSTS50013", "AADSTS500133", "AADSTS700024"];

/// A token and how long it lives.
pub(super) type Granted = (Secret, Duration);

/// An answer of a token endpoint.
struct Reply {
    status: u16,
    body: Vec<u8>,
    /// How far the other clock is ahead of ours.
    skew: SignedDuration,
    /// How long we are asked to wait.
    retry_after: Option<Duration>,
    /// Whom it was asked of.
    url: url::Url,
}

/// Asks for a token.
pub(super) async fn fetch(inner: &Inner, resource: &str) -> Result<Granted, AuthError> {
    let credential = &inner.setup.credential;
    let scope = format!("{}/.default", resource.trim_end_matches('/'));
    let mut form = vec![("client_id", credential.client_id.clone()), ("scope", scope)];
    match &credential.method {
        Method::ManagedIdentity => return managed_identity(inner, resource).await,
        Method::DeviceCode => return device_code(inner, form).await,
        Method::Secret(secret) => form.push(("client_secret", secret.expose().to_owned())),
        Method::Federated(path) => {
            let token = tokio::fs::read_to_string(path).await.map_err(|error| {
                let told = format!("{}: {error}", path.display());
                AuthError::new(Verdict::Stop, "federated_token_file", &told, "check the path and who may read the file")
            })?;
            push_assertion(&mut form, token.trim().to_owned());
        }
        Method::Certificate(path, password) => {
            let key = assertion::Key::load(path, password.as_ref()).await?;
            form.push(("grant_type", "client_credentials".to_owned()));
            let audience = login_url(&inner.setup.cloud, &inner.setup.tenant_id, "token")?;
            let mut skew = SignedDuration::ZERO;
            loop {
                let now = inner.setup.clock.now();
                let now = now.checked_add(skew).unwrap_or(now);
                let mut form = form.clone();
                push_assertion(&mut form, key.sign(&credential.client_id, audience.as_str(), now)?);
                let reply = login(inner, "token", &form).await?;
                match granted(&reply) {
                    // Signed once more, by Entra's clock.
                    Err(error) if WRONG_TIME.contains(&&*error.code) && skew.is_zero() && !reply.skew.is_zero() => {
                        skew = reply.skew;
                    }
                    other => return other,
                }
            }
        }
    }
    form.push(("grant_type", "client_credentials".to_owned()));
    granted(&login(inner, "token", &form).await?)
}

fn push_assertion(form: &mut Vec<(&'static str, String)>, assertion: String) {
    const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    form.push(("client_assertion_type", TYPE.to_owned()));
    form.push(("client_assertion", assertion));
}

fn login_url(cloud: &Cloud, tenant_id: &str, endpoint: &str) -> Result<url::Url, AuthError> {
    cloud.url(Service::Login, &format!("/{tenant_id}/oauth2/v2.0/{endpoint}")).map_err(|foreign| {
        AuthError::new(Verdict::Stop, "tenant_id", &foreign.to_string(), "check `tenant_id` and `cloud`")
    })
}

/// Posts a form to Entra.
async fn login(inner: &Inner, endpoint: &str, form: &[(&'static str, String)]) -> Result<Reply, AuthError> {
    let url = login_url(&inner.setup.cloud, &inner.setup.tenant_id, endpoint)?;
    send(inner, inner.setup.http.post(url).form(form).timeout(PATIENCE), "login").await
}

async fn send(inner: &Inner, request: reqwest::RequestBuilder, api: &str) -> Result<Reply, AuthError> {
    let setup = &inner.setup;
    let started = Instant::now();
    let (http, request) = request.build_split();
    let request = request.map_err(|error| {
        AuthError::new(Verdict::Stop, "internal", &error.to_string(), "the request cannot be made; please report it")
    })?;
    let (method, url) = (request.method().clone(), request.url().clone());
    let log = |status: &str| {
        setup.metrics.request(&setup.tenant, api, status);
        let (host, path) = (url.host_str().unwrap_or(""), url.path());
        let milliseconds = started.elapsed().as_millis() as u64;
        tracing::debug!(tenant = setup.tenant, api, %method, host, path, status, milliseconds, "request");
    };
    let unreachable = |error: reqwest::Error| {
        let trouble = crate::client::connection(&error, Api::Management);
        log(&trouble.code);
        AuthError::new(trouble.verdict, &trouble.code, &trouble.answer, &trouble.meaning)
    };
    let response = http.execute(request).await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let now = setup.clock.now();
    let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok()).and_then(http_date);
    let retry_after = retry_after(response.headers(), date.unwrap_or(now));
    let skew = date.map_or(SignedDuration::ZERO, |date| date.duration_since(now));
    let body = response.bytes().await.map_err(unreachable)?.to_vec();
    log(&status.to_string());
    Ok(Reply { status, body, skew, retry_after, url })
}

/// Reads the token out of an answer. Numbers may stand in strings.
fn granted(reply: &Reply) -> Result<Granted, AuthError> {
    if !(200..300).contains(&reply.status) || is_html(&reply.body) {
        let mut error = judge(reply.status, &reply.body);
        if is_html(&reply.body) || (300..400).contains(&reply.status) {
            error.meaning += &proxy::note(&reply.url);
        }
        return Err(AuthError { retry_after: reply.retry_after, ..error });
    }
    // What is no token may be a piece of one: it is never shown.
    let broken = || {
        let told = format!("{} bytes without a whole token in them", reply.body.len());
        let meaning = "the answer of the token endpoint was cut off, or changed on its way";
        AuthError::new(Verdict::Retry, "invalid_token", &told, meaning)
    };
    let json: Value = serde_json::from_slice(&reply.body).map_err(|_| broken())?;
    let token = json.get("access_token").and_then(Value::as_str).ok_or_else(broken)?;
    let seconds = number(&json, "expires_in").unwrap_or(3599);
    Ok((Secret::new(token), Duration::from_secs(seconds)))
}

fn number(json: &Value, name: &str) -> Option<u64> {
    let value = json.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Asks the app service (or container), or the metadata service of the virtual machine.
async fn managed_identity(inner: &Inner, resource: &str) -> Result<Granted, AuthError> {
    let setup = &inner.setup;
    let client_id = &setup.credential.client_id;
    let mut query = vec![("resource", resource)];
    if !client_id.is_empty() {
        query.push(("client_id", client_id));
    }
    let request = |url: url::Url, version, header: &'static str, value: &str| {
        let mut url = url;
        url.query_pairs_mut().append_pair("api-version", version).extend_pairs(&query);
        setup.direct.get(url).header(header, value).timeout(IMDS_PATIENCE)
    };
    let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(20));
    loop {
        let built = match &setup.app_service {
            Some(service) => {
                request(service.endpoint.clone(), "2019-08-01", "X-IDENTITY-HEADER", service.header.expose())
            }
            None => {
                let url = setup
                    .cloud
                    .url(Service::Imds, "/metadata/identity/oauth2/token")
                    .map_err(|foreign| AuthError::new(Verdict::Stop, "imds", &foreign.to_string(), "check `cloud`"))?;
                request(url, "2018-02-01", "Metadata", "true")
            }
        };
        let error = match send(inner, built, "managed_identity").await {
            Ok(reply) if reply.status == 200 => return identity_granted(&reply, setup.clock.now().as_second()),
            Ok(reply) => {
                // 404, 410 and 429 pass here: the metadata service says so while it is updated.
                let passes = matches!(reply.status, 404 | 410 | 429 | 500..=599);
                let meaning = "the managed identity gave no token; check that one is assigned to this machine, and for a \
                     user-assigned one `client_id`";
                let told = String::from_utf8_lossy(&reply.body[..reply.body.len().min(1000)]).into_owned();
                let verdict = if passes { Verdict::Retry } else { Verdict::Stop };
                AuthError { status: Some(reply.status), ..AuthError::new(verdict, "managed_identity", &told, meaning) }
            }
            Err(error) => AuthError {
                verdict: Verdict::Retry,
                meaning: "no managed identity answers here; it exists on Azure machines only".to_owned(),
                ..error
            },
        };
        if !error.is_transient() || backoff.failures() >= 4 {
            return Err(AuthError { verdict: Verdict::Stop, ..error });
        }
        setup.clock.sleep(backoff.next()).await;
    }
}

/// Only `expires_on`, in seconds since 1970, is sure to be there.
fn identity_granted(reply: &Reply, now: i64) -> Result<Granted, AuthError> {
    let (token, lifetime) = granted(reply)?;
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let until = number(&json, "expires_on").and_then(|on| u64::try_from(i64::try_from(on).ok()? - now).ok());
    let has_own = number(&json, "expires_in").is_some();
    Ok((token, until.filter(|_| !has_own).map_or(lifetime, Duration::from_secs)))
}

/// A token by a person's sign-in: the one that was, or a new one.
async fn device_code(inner: &Inner, mut form: Vec<(&'static str, String)>) -> Result<Granted, AuthError> {
    if let Some((_, scope)) = form.iter_mut().find(|(name, _)| *name == "scope") {
        scope.push_str(" offline_access");
    }
    let mut answer = inner.person.lock().await;
    match &*answer {
        Answer::None => {}
        Answer::Refused(error) => return Err(error.clone()),
        Answer::SignedIn(refresh) => {
            let mut form = form.clone();
            form.push(("grant_type", "refresh_token".to_owned()));
            form.push(("refresh_token", refresh.expose().to_owned()));
            let reply = login(inner, "token", &form).await?;
            match granted(&reply) {
                Err(error) if error.is_transient() => return Err(error),
                // The sign-in has ended: the person is asked again.
                Err(_) => {}
                Ok(token) => {
                    keep_refresh(&mut answer, &reply);
                    return Ok(token);
                }
            }
        }
    }
    match ask(inner, form).await {
        Ok((token, reply)) => {
            keep_refresh(&mut answer, &reply);
            Ok(token)
        }
        Err(error) => {
            if !error.is_transient() {
                *answer = Answer::Refused(error.clone());
            }
            Err(error)
        }
    }
}

/// Shows a person a code, and waits until it was used.
async fn ask(inner: &Inner, mut form: Vec<(&'static str, String)>) -> Result<(Granted, Reply), AuthError> {
    let reply = login(inner, "devicecode", &form).await?;
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(code) = text("device_code").filter(|_| reply.status == 200) else {
        return Err(judge(reply.status, &reply.body));
    };
    let shown = format!(
        "open {} and enter the code {}",
        text("verification_uri").unwrap_or_default(),
        text("user_code").unwrap_or_default()
    );
    tracing::warn!(tenant = inner.setup.tenant, "to sign in, {shown}");
    form.push(("grant_type", "urn:ietf:params:oauth:grant-type:device_code".to_owned()));
    form.push(("device_code", code));
    let mut interval = Duration::from_secs(number(&json, "interval").unwrap_or(5).max(1));
    loop {
        inner.setup.clock.sleep(interval).await;
        let reply = login(inner, "token", &form).await?;
        let error = match granted(&reply) {
            Ok(token) => return Ok((token, reply)),
            Err(error) => error,
        };
        let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        match json.get("error").and_then(Value::as_str) {
            Some("authorization_pending") => {}
            Some("slow_down") => interval += Duration::from_secs(5),
            Some("authorization_declined" | "access_denied") => {
                return Err(AuthError {
                    meaning: "the sign-in was declined".to_owned(),
                    verdict: Verdict::Stop,
                    ..error
                });
            }
            Some("expired_token" | "code_expired") => {
                let meaning = "nobody signed in in time; start again".to_owned();
                return Err(AuthError { meaning, verdict: Verdict::Stop, ..error });
            }
            _ if error.is_transient() => {}
            _ => return Err(error),
        }
    }
}

fn keep_refresh(answer: &mut Answer, reply: &Reply) {
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let Some(token) = json.get("refresh_token").and_then(Value::as_str) {
        *answer = Answer::SignedIn(Secret::new(token));
    }
}
