//! Managed identities: the metadata service of a virtual machine, and the endpoints of App Service and of Azure Machine
//! Learning.

use serde_json::{Value, json};

use super::{Request, issue};
use crate::cloud::http::{Answer, Call};
use crate::cloud::token::resource_api;
use crate::cloud::{Cloud, random};

/// The metadata service of a virtual machine, App Service's endpoint (`/msi/token`), and Azure Machine Learning's
/// (`/MSI/auth`): tokens of the first tenant.
pub(crate) fn imds(cloud: &Cloud, call: &Call) -> Answer {
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let welcome = match parts.as_slice() {
        ["metadata", "identity", "oauth2", "token"] => call.header("metadata") == Some("true"),
        ["msi", "token"] => call.header("x-identity-header").is_some_and(|value| !value.is_empty()),
        ["MSI", "auth"] => call.header("secret").is_some_and(|value| !value.is_empty()),
        _ => return Answer::empty(404),
    };
    let bad = |text: &str| {
        Answer::json(400, &json!({ "error": "invalid_request", "error_description": text, "statusCode": 400 }))
    };
    if !welcome {
        return bad("bad_request_102: Required metadata header not specified");
    }
    let Some(resource) = call.parameter("resource").filter(|resource| resource_api(resource).is_some()) else {
        if parts.first() != Some(&"metadata") {
            // These do not say what is wrong.
            return Answer::empty(500);
        }
        return bad("AADSTS500011: The resource principal was not found in the tenant.");
    };
    let Some(tenant) = cloud.tenants.first() else { return Answer::empty(500) };
    let named = if parts.first() == Some(&"MSI") { "clientid" } else { "client_id" };
    let client = call.parameter(named).unwrap_or_else(|| random::guid(21, tenant.id()));
    let app = tenant.app(&client);
    let request = Request { client: &client, app, audience: resource.trim_end_matches('/'), user: false };
    let answer = issue(cloud, call, tenant, &request, 1);
    let mut body: Value = answer.plain().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    body["client_id"] = json!(client);
    Answer::json(200, &body)
}
