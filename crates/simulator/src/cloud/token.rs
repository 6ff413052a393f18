//! Access tokens: JWT-shaped, signed with a key of this process, so that every API can check what it is shown.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};

use super::lock;
use super::route::{Api, front, service};

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The tenant's id, in lower case.
    pub(crate) tenant: String,
    /// The client's id.
    pub(crate) client: String,
    /// The resource that it is for.
    pub(crate) audience: String,
    /// Application permissions, or delegated scopes.
    pub(crate) roles: Vec<String>,
    serial: u64,
}

impl Claims {
    /// Whether one of the permissions is there.
    pub(crate) fn any(&self, roles: &[&str]) -> bool {
        self.roles.iter().any(|role| roles.contains(&role.as_str()))
    }
}

/// What a token is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'w> {
    pub(crate) tenant: &'w str,
    pub(crate) client: &'w str,
    pub(crate) audience: &'w str,
    pub(crate) roles: &'w [String],
    /// The user, where one has signed in.
    pub(crate) user: Option<&'w str>,
    pub(crate) lifetime: i64,
}

/// Issues and checks tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    key: hmac::Key,
    serial: AtomicU64,
    /// Up to which serial number a tenant's tokens for a service have died, and when.
    dead: Mutex<HashMap<(String, Api), (u64, Instant)>>,
}

/// Tokens do not die twice in that much real time: two deaths in a row look like a permission that is missing.
const BETWEEN_DEATHS: Duration = Duration::from_secs(2);

/// Why a token is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Missing,
    Malformed,
    Expired,
    Audience,
}

impl Tokens {
    pub(crate) fn new(seed: u64) -> Tokens {
        Tokens {
            key: hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes()),
            serial: AtomicU64::new(1),
            dead: Mutex::default(),
        }
    }

    /// A token.
    pub(crate) fn issue(&self, wanted: &Wanted<'_>, now: Timestamp) -> String {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut claims = json!({
            "aud": wanted.audience,
            "iss": format!("https://sts.windows.net/{}/", wanted.tenant),
            "iat": now.as_second(),
            "nbf": now.as_second(),
            "exp": now.as_second() + wanted.lifetime,
            "appid": wanted.client,
            "oid": super::random::guid(3, wanted.client),
            "tid": wanted.tenant,
            "uti": serial,
            "ver": "1.0",
        });
        match wanted.user {
            Some(user) => {
                claims["upn"] = json!(user);
                claims["scp"] = json!(wanted.roles.join(" "));
            }
            None => {
                claims["idtyp"] = json!("app");
                // A token without any permission has no such claim: its issue proves no consent.
                if !wanted.roles.is_empty() {
                    claims["roles"] = json!(wanted.roles);
                }
            }
        }
        let head = json!({ "typ": "JWT", "alg": "HS256", "kid": "simulated" });
        let text =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = hmac::sign(&self.key, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What a token says, if it was issued here, lives, and is meant for this host.
    pub(crate) fn check(
        &self,
        header: Option<&str>,
        (api, host): (Api, &str),
        now: Timestamp,
    ) -> Result<Claims, Refused> {
        let token = bearer(header).ok_or(Refused::Missing)?;
        let (text, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::Malformed)?;
        hmac::verify(&self.key, text.as_bytes(), &signature).map_err(|_| Refused::Malformed)?;
        let (claims, expires) = read(token).ok_or(Refused::Malformed)?;
        let dead = lock(&self.dead).get(&(claims.tenant.clone(), api)).map_or(0, |(serial, _)| *serial);
        if now.as_second() >= expires || claims.serial <= dead {
            return Err(Refused::Expired);
        }
        if !audience_fits(&claims.audience, api, host) {
            return Err(Refused::Audience);
        }
        Ok(claims)
    }

    /// Whether the last death of tokens of that tenant and service is long enough ago.
    pub(crate) fn may_die(&self, tenant: &str, api: Api) -> bool {
        let dead = lock(&self.dead);
        dead.get(&(tenant.to_ascii_lowercase(), api)).is_none_or(|(_, when)| when.elapsed() >= BETWEEN_DEATHS)
    }

    /// Makes every token die that the tenant has for the service.
    pub(crate) fn kill(&self, tenant: &str, api: Api) {
        let last = self.serial.load(Ordering::Relaxed) - 1;
        lock(&self.dead).insert((tenant.to_ascii_lowercase(), api), (last, Instant::now()));
    }
}

/// The tenant that a token names, unchecked: to find out whom a request belongs to.
pub(crate) fn tenant_of(header: Option<&str>) -> Option<String> {
    bearer(header).and_then(read).map(|(claims, _)| claims.tenant)
}

fn bearer(header: Option<&str>) -> Option<&str> {
    let (scheme, token) = header?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn read(token: &str) -> Option<(Claims, i64)> {
    let claims = jwt_part(token, 1)?;
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let roles = match claims["scp"].as_str() {
        Some(scopes) => scopes.split(' ').map(str::to_owned).collect(),
        None => claims["roles"]
            .as_array()
            .map_or_else(Vec::new, |roles| roles.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
    };
    let serial = claims["uti"].as_u64()?;
    let expires = claims["exp"].as_i64()?;
    let claims = Claims {
        tenant: text("tid").to_ascii_lowercase(),
        client: text("appid"),
        audience: text("aud"),
        roles,
        serial,
    };
    Some((claims, expires))
}

/// One of the JSON parts of a JWT.
pub(crate) fn jwt_part(token: &str, index: usize) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Azure DevOps, as a resource.
pub(crate) const DEVOPS_RESOURCE: &str = "499b84ac-1321-427f-aa17-267ca6975798";
/// Graph, as a resource.
pub(crate) const GRAPH_APP: &str = "00000003-0000-0000-c000-000000000000";
/// Exchange Online, as a resource.
pub(crate) const EXCHANGE_APP: &str = "00000002-0000-0ff1-ce00-000000000000";
/// The Office 365 Management APIs, as a resource.
pub(crate) const MANAGEMENT_APP: &str = "c5393580-f805-4401-95e8-94b7a6ef2fc2";

/// The service that a resource stands for.
pub(crate) fn resource_api(resource: &str) -> Option<Api> {
    match resource {
        DEVOPS_RESOURCE => Some(Api::Devops),
        GRAPH_APP => Some(Api::Graph),
        EXCHANGE_APP => Some(Api::Exchange),
        MANAGEMENT_APP => Some(Api::Management),
        url => service(url.strip_prefix("https://")?.trim_end_matches('/'))
            .filter(|api| matches!(api, Api::Management | Api::Graph | Api::Exchange | Api::Azure)),
    }
}

fn audience_fits(audience: &str, api: Api, host: &str) -> bool {
    // The reporting service takes Exchange's tokens.
    let (wanted, host) = match api {
        Api::Reporting => (Api::Exchange, None),
        // One service under two names.
        Api::Azure => (Api::Azure, None),
        _ => (api, Some(front(host))),
    };
    let name = audience.strip_prefix("https://").map(|name| name.trim_end_matches('/'));
    resource_api(audience) == Some(wanted)
        && name.is_none_or(|name| host.is_none_or(|host| name.eq_ignore_ascii_case(host)))
}

/// Every application permission that a service knows.
pub(crate) fn all_roles(api: Api) -> &'static [&'static str] {
    match api {
        Api::Management => &["ActivityFeed.Read", "ActivityFeed.ReadDlp", "ServiceHealth.Read"],
        Api::Graph => &[
            "AuditLog.Read.All",
            "AuditLogsQuery.Read.All",
            "IdentityRiskEvent.Read.All",
            "IdentityRiskyUser.Read.All",
            "SecurityAlert.Read.All",
            "ExchangeMessageTrace.Read.All",
            "Application.Read.All",
            "DelegatedPermissionGrant.Read.All",
            "Device.Read.All",
            "User.Read.All",
            "UserAuthenticationMethod.Read.All",
            "Organization.Read.All",
            "Directory.Read.All",
        ],
        Api::Exchange => &["Exchange.ManageAsApp", "ReportingWebService.Read.All"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-05T08:00:00Z".parse().unwrap()
    }

    fn issue(tokens: &Tokens, audience: &str) -> String {
        let roles = ["ActivityFeed.Read".to_owned()];
        let wanted = Wanted { tenant: "T", client: "c", audience, roles: &roles, user: None, lifetime: 60 };
        format!("Bearer {}", tokens.issue(&wanted, now()))
    }

    #[test]
    fn tokens_are_for_one_service_and_some_time() {
        let tokens = Tokens::new(1);
        let token = issue(&tokens, "https://manage.office.com");
        let host = (Api::Management, "manage.office.com");
        let good = tokens.check(Some(&token), host, now()).unwrap();
        assert_eq!((good.tenant.as_str(), good.any(&["ActivityFeed.Read"])), ("t", true));
        assert_eq!(tenant_of(Some(&token)).as_deref(), Some("t"));
        let later = super::super::time::plus(now(), 60);
        assert_eq!(tokens.check(Some(&token), host, later), Err(Refused::Expired));
        assert_eq!(tokens.check(None, host, now()), Err(Refused::Missing));
        let gcc = (Api::Management, "manage-gcc.office.com");
        assert_eq!(tokens.check(Some(&token), gcc, now()), Err(Refused::Audience));
        assert_eq!(Tokens::new(2).check(Some(&token), host, now()), Err(Refused::Malformed));
    }

    #[test]
    fn dead_tokens_stay_dead_and_new_ones_live() {
        let tokens = Tokens::new(1);
        let host = (Api::Management, "manage.office.com");
        let old = issue(&tokens, "https://manage.office.com/");
        tokens.kill("T", Api::Management);
        assert_eq!(tokens.check(Some(&old), host, now()), Err(Refused::Expired));
        assert!(tokens.check(Some(&issue(&tokens, "https://manage.office.com/")), host, now()).is_ok());
    }

    #[test]
    fn resources_by_url_and_by_id() {
        assert_eq!(resource_api("https://management.azure.com/"), Some(Api::Azure));
        assert_eq!(resource_api(DEVOPS_RESOURCE), Some(Api::Devops));
        assert_eq!(resource_api("https://login.microsoftonline.com"), None);
        assert_eq!(resource_api("http://graph.microsoft.com"), None);
    }
}
