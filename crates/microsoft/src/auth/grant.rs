//! The requests that give tokens.
//!
//! Applications ask Entra's v2 endpoint for `RESOURCE/.default`; managed identities ask the machine they run on; a
//! person is shown a code once, and a refresh token serves from then on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use downspout_core::config_values::Secret;
use jiff::SignedDuration;
use reqwest::header::{DATE, WWW_AUTHENTICATE};
use serde_json::Value;

use super::config::Method;
use super::people::Answer;
use super::verdict::{AuthError, judge};
use super::{Inner, assertion, identity};
use crate::client::{Api, Trouble, Verdict, connection, http_date, is_html, proxy, retry_after, whole};
use crate::clock::plus;
use crate::cloud::{Cloud, Service};

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Larger than this no answer with a token is.
const ANSWER_BYTES: usize = 1 << 20;

/// Entra's codes for an assertion whose times do not fit Entra's clock.
const WRONG_TIME: [&str; 3] = ["AADSTS50013", "AADSTS500133", "AADSTS700024"];

/// A token and how long it lives.
pub(super) type Granted = (Secret, Duration);

/// An answer of a token endpoint.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// `WWW-Authenticate`.
    pub(super) challenge: Option<String>,
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
        Method::ManagedIdentity => return identity::fetch(inner, resource).await,
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

/// Sends a request, and counts it under the name of what it asks.
pub(super) async fn send(inner: &Inner, request: reqwest::RequestBuilder, api: &str) -> Result<Reply, AuthError> {
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
    let failed = |trouble: Trouble| {
        log(&trouble.code);
        let verdict = if trouble.verdict == Verdict::Retry { Verdict::Retry } else { Verdict::Stop };
        AuthError::new(verdict, &trouble.code, &trouble.answer, &trouble.meaning)
    };
    let response = http.execute(request).await.map_err(|error| failed(connection(&error, Api::Management)))?;
    let status = response.status().as_u16();
    let now = setup.clock.now();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let date = header(DATE).and_then(http_date);
    let challenge = header(WWW_AUTHENTICATE).map(str::to_owned);
    let retry_after = retry_after(response.headers(), date.unwrap_or(now));
    let skew = date.map_or(SignedDuration::ZERO, |date| date.duration_since(now));
    let body = whole(response, ANSWER_BYTES, Api::Management).await.map_err(failed)?;
    log(&status.to_string());
    Ok(Reply { status, body, challenge, skew, retry_after, url })
}

/// Reads the token out of an answer. Numbers may stand in strings.
pub(super) fn granted(reply: &Reply) -> Result<Granted, AuthError> {
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

/// A number, which may stand in a string.
pub(super) fn number(json: &Value, name: &str) -> Option<u64> {
    let value = json.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
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
                Ok(token) => {
                    keep_refresh(&mut answer, &reply);
                    return Ok(token);
                }
                // The sign-in has ended, or the resource wants more than it gave: the person is asked again.
                Err(error) if !error.is_transient() && wants_person(&reply) => {}
                Err(error) => return Err(error),
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
    let clock = &inner.setup.clock;
    let until = plus(clock.now(), Duration::from_secs(number(&json, "expires_in").unwrap_or(900)));
    let mut interval = Duration::from_secs(number(&json, "interval").unwrap_or(5).max(1));
    loop {
        clock.sleep(interval).await;
        let passes = |error: &AuthError| error.is_transient() && clock.now() < until;
        let reply = match login(inner, "token", &form).await {
            Ok(reply) => reply,
            // The code stays good, and the person may be about to enter it.
            Err(error) if passes(&error) => continue,
            Err(error) => return Err(error),
        };
        let error = match granted(&reply) {
            Ok(token) => return Ok((token, reply)),
            Err(error) => error,
        };
        match error_of(&reply).as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += Duration::from_secs(5),
            "authorization_declined" | "access_denied" => {
                return Err(AuthError {
                    meaning: "the sign-in was declined".to_owned(),
                    verdict: Verdict::Stop,
                    ..error
                });
            }
            "expired_token" | "code_expired" => {
                let meaning = "nobody signed in in time; start again".to_owned();
                return Err(AuthError { meaning, verdict: Verdict::Stop, ..error });
            }
            _ if passes(&error) => {}
            _ => return Err(error),
        }
    }
}

/// The member `error` of a refusal: the one that Microsoft asks clients to go by.
fn error_of(reply: &Reply) -> String {
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    json.get("error").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Whether a person can do something about a refusal by signing in.
fn wants_person(reply: &Reply) -> bool {
    matches!(error_of(reply).as_str(), "invalid_grant" | "interaction_required" | "consent_required" | "login_required")
}

fn keep_refresh(answer: &mut Answer, reply: &Reply) {
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let Some(token) = json.get("refresh_token").and_then(Value::as_str) {
        *answer = Answer::SignedIn(Secret::new(token));
    }
}
