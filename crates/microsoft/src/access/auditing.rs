//! Whether a tenant records anything: unified audit logging may be switched off.
//!
//! A search does not tell. Exchange and Graph find nothing then, and call that a success. Two APIs do: Exchange's
//! administration shows the switch itself, and the Management Activity API serves no tenant whose switch is off. Whichever
//! of them the identity may use is asked.

use downspout_core::access::{Finding, Standing};

use super::claims::Claims;
use super::fine;
use crate::client::{Api, Request, Trouble, Verdict};
use crate::cloud::Service;
use crate::config::Connection;
use crate::exchange::{Exchange, wire};

/// How often a service that is busy is asked.
const ATTEMPTS: u32 = 3;

/// What to do where it is off.
pub(crate) const SWITCH_ON: &str = "Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true in Exchange Online PowerShell switches it on, or the \
     Purview portal; it takes up to 60 minutes, and what happened before was not recorded";

/// What to do where it cannot be seen.
pub(crate) const LOOK_YOURSELF: &str = "see that Get-AdminAuditLogConfig in Exchange Online PowerShell says UnifiedAuditLogIngestionEnabled : True; an \
     application with Exchange.ManageAsApp and the Exchange role View-Only Audit Logs, or with ActivityFeed.Read of the \
     Office 365 Management APIs, can see it by itself";

/// How it stands with a tenant's auditing, and by what that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Auditing {
    /// It records.
    On(&'static str),
    /// It does not.
    Off(&'static str),
    /// Nobody could be asked: why.
    Unseen(String),
}

impl Auditing {
    /// The same for `check-access`.
    pub(super) fn finding(&self, tenant: &str) -> Finding {
        let (standing, found, remedy) = match self {
            Auditing::On(by) => return fine(tenant, "auditing", format!("on ({by})")),
            Auditing::Off(by) => (Standing::Missing, format!("off ({by}): nothing is recorded"), SWITCH_ON),
            Auditing::Unseen(why) => {
                let found =
                    format!("could not be seen, because {why}; where it is off, searches find nothing and succeed");
                (Standing::Advice, found, LOOK_YOURSELF)
            }
        };
        let (tenant, need, remedy) = (tenant.to_owned(), "auditing".to_owned(), remedy.to_owned());
        Finding { tenant, need, standing, found, remedy }
    }
}

/// Looks, by whatever the identity may use.
pub(crate) async fn look(connection: &Connection) -> Auditing {
    let mut reasons = Vec::new();
    match may_ask(connection, Service::Exchange, "Exchange.").await {
        Ok(()) => match ask_exchange(connection).await {
            Ok(Auditing::Unseen(why)) => reasons.push(why),
            Ok(seen) => return seen,
            Err(trouble) => reasons.push(trouble.to_string()),
        },
        Err(why) => reasons.push(format!("Exchange's administration: {why}")),
    }
    match may_ask(connection, Service::Management, "ActivityFeed.").await {
        Ok(()) => match list_subscriptions(connection).await {
            Ok(_) => return SERVED,
            Err(trouble) if is_off(&trouble) => return NOT_SERVED,
            Err(trouble) => reasons.push(trouble.to_string()),
        },
        Err(why) => reasons.push(format!("the Management Activity API: {why}")),
    }
    Auditing::Unseen(reasons.join("; "))
}

/// What an answer of the Management Activity API means.
pub(super) const SERVED: Auditing = Auditing::On("the Management Activity API serves the tenant");

/// What its refusal means.
pub(super) const NOT_SERVED: Auditing =
    Auditing::Off("the Management Activity API says that there is no such tenant, which is how it words that");

/// Whether the identity has any permission of a service that begins so.
///
/// # Errors
/// Why not.
async fn may_ask(connection: &Connection, service: Service, permissions: &str) -> Result<(), String> {
    let cloud = connection.client.cloud();
    if !cloud.has(service) {
        return Err(format!("the cloud {} has none", cloud.name().as_str()));
    }
    let token = connection.client.tokens().get(&cloud.resource(service)).await.map_err(|error| error.to_string())?;
    // A token that cannot be read may permit it.
    let may = Claims::read(token.expose())
        .is_none_or(|claims| claims.granted().iter().any(|granted| granted.starts_with(permissions)));
    may.then_some(()).ok_or_else(|| "the application has no permission there".to_owned())
}

/// Asks Exchange for the switch.
///
/// # Errors
/// [`Trouble`], mostly because the role for it is missing.
pub(super) async fn ask_exchange(connection: &Connection) -> Result<Auditing, Trouble> {
    let exchange = Exchange::new(connection.client.clone(), &connection.tenant.id);
    Ok(match switch(&exchange, "Get-AdminAuditLogConfig", "UnifiedAuditLogIngestionEnabled").await? {
        Some(true) => Auditing::On("Exchange's UnifiedAuditLogIngestionEnabled is true"),
        Some(false) => Auditing::Off("Exchange's UnifiedAuditLogIngestionEnabled is false"),
        None => Auditing::Unseen("Exchange's answer does not hold UnifiedAuditLogIngestionEnabled".to_owned()),
    })
}

/// Asks Exchange whether mailboxes keep a log of their own, which is another switch. It is seen by those who may see the
/// organization's settings, which takes a role more than searching does.
///
/// # Errors
/// [`Trouble`], mostly because that role is missing.
pub(super) async fn mailboxes_keep_logs(connection: &Connection) -> Result<Option<bool>, Trouble> {
    let exchange = Exchange::new(connection.client.clone(), &connection.tenant.id);
    Ok(switch(&exchange, "Get-OrganizationConfig", "AuditDisabled").await?.map(|disabled| !disabled))
}

/// A switch in what a cmdlet gives; `None` if it is not there.
async fn switch(exchange: &Exchange, cmdlet: &str, name: &str) -> Result<Option<bool>, Trouble> {
    let body = exchange.invoke(cmdlet, &wire::Parameters::default()).await?;
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let value = &answer["value"][0][name];
    Ok(value.as_bool().or_else(|| value.as_str()?.to_lowercase().parse().ok()))
}

/// Asks the Management Activity API for the tenant's subscriptions.
///
/// # Errors
/// [`Trouble`]; also where auditing is off ([`is_off`]).
pub(super) async fn list_subscriptions(connection: &Connection) -> Result<serde_json::Value, Trouble> {
    let path = format!("/api/v1.0/{}/activity/feed/subscriptions/list", connection.tenant.id);
    let url = connection.client.cloud().url(Service::Management, &path);
    let url =
        url.map_err(|foreign| Trouble::new(Verdict::Stop, Api::Management, "no_service", foreign.to_string(), ""))?;
    Ok(connection.client.get_json(Request::get(Api::Management, url).attempts(ATTEMPTS)).await?.body)
}

/// Whether a refusal of the Management Activity API says that there is no such tenant. There is one, or it would have
/// given no token: the API words it so where auditing is off.
pub(crate) fn is_off(trouble: &Trouble) -> bool {
    let answer = trouble.answer.to_ascii_lowercase();
    trouble.code == "AF20011" || (answer.contains("dataserviceexception") && answer.contains("does not exist"))
}
