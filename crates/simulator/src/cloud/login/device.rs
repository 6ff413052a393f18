//! The device flow: a code for a person, and polls until that person has signed in.

use jiff::Timestamp;
use serde_json::json;

use super::{Refusal, Request, audience, find, issue, missing, registered, tenant};
use crate::cloud::http::{Answer, Call};
use crate::cloud::{Cloud, lock, random, time};

/// How long a device code lives.
const DEVICE_SECONDS: i64 = 900;

/// A device code that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    client: String,
    tenant: String,
    scope: String,
    user_code: String,
    polls: u32,
    since: Timestamp,
    /// Whether the person has agreed, by the control plane.
    agreed: Option<bool>,
}

/// Plays the person who enters a code, and agrees or not. `false`: nobody was given that code.
pub(crate) fn decide(cloud: &Cloud, user_code: &str, agrees: bool) -> bool {
    let mut devices = lock(&cloud.devices);
    let device = devices.values_mut().find(|device| device.user_code == user_code);
    device.map(|device| device.agreed = Some(agrees)).is_some()
}

/// Hands out a code.
pub(super) fn device_code(cloud: &Cloud, call: &Call, name: &str) -> Result<Answer, Refusal> {
    let form = call.form();
    // Device codes are also given out by the common endpoint, for the user's own tenant.
    let tenant = match name {
        "common" | "organizations" => cloud.tenants.first().map(|tenant| &**tenant),
        _ => Some(tenant(cloud, name)?),
    };
    let tenant = tenant.ok_or_else(|| missing("tenant"))?;
    let client = find(&form, "client_id").ok_or_else(|| missing("client_id"))?;
    registered(tenant, client)?;
    let scope = find(&form, "scope").ok_or_else(|| missing("scope"))?;
    let mut devices = lock(&cloud.devices);
    let code = random::guid(devices.len() as u64, client);
    let user_code = format!("{:08X}", random::hash(5, &code) >> 32);
    let device = Device {
        client: client.to_owned(),
        tenant: tenant.id().to_owned(),
        scope: scope.to_owned(),
        user_code: user_code.clone(),
        polls: 0,
        since: call.now,
        agreed: None,
    };
    devices.insert(code.clone(), device);
    let uri = "https://microsoft.com/devicelogin";
    let message = format!("To sign in, use a web browser to open the page {uri} and enter the code {user_code}.");
    Ok(Answer::json(
        200,
        &json!({
            "device_code": code, "user_code": user_code, "verification_uri": uri,
            "expires_in": DEVICE_SECONDS, "interval": 5, "message": message,
        }),
    ))
}

/// Looks whether the person has signed in.
pub(super) fn poll(cloud: &Cloud, call: &Call, form: &[(String, String)], version: u8) -> Result<Answer, Refusal> {
    let code = find(form, "device_code").ok_or_else(|| missing("device_code"))?;
    let state = |error, text: &str| Err(Refusal(error, 0, text.to_owned()));
    let device = {
        let mut devices = lock(&cloud.devices);
        let Some(device) = devices.get_mut(code) else {
            return state("bad_verification_code", "The device code is not known.");
        };
        device.polls += 1;
        device.clone()
    };
    if call.now >= time::plus(device.since, DEVICE_SECONDS) {
        return state("expired_token", "The device code has expired.");
    }
    let settings = &cloud.config.tokens;
    let outcome = match device.agreed {
        Some(agreed) => {
            if agreed {
                "approved"
            } else {
                "declined"
            }
        }
        None if device.polls <= settings.device_polls => "waits",
        None => settings.device_outcome.as_str(),
    };
    match outcome {
        "waits" => state("authorization_pending", "The user has not signed in yet."),
        "declined" => state("authorization_declined", "The user has declined."),
        "expired" => state("expired_token", "The device code has expired."),
        _ => {
            let tenant = tenant(cloud, &device.tenant)?;
            let scope = [("scope".to_owned(), device.scope)];
            let audience = audience(call, &scope, 2)?;
            let app = registered(tenant, &device.client)?;
            let request = Request { client: &device.client, app, audience: &audience, user: true };
            Ok(issue(cloud, call, tenant, &request, version))
        }
    }
}
