//! Whether an application may read what a source asks for: tokens, permissions, and what only a question can tell.
//!
//! A token of Entra says which permissions its application has. But one is also given out without any, and many
//! things stand in no token: Exchange's and Azure's roles, licences, whether auditing is on. So a check gets every
//! token that the source would, compares the permissions in it with the needed ones, and then asks what the source
//! would ask, for a window of one minute. At last it compares this machine's clock with the service's.

pub(crate) mod auditing;
mod claims;
mod probe;

use downspout_core::access::{Access, Checked, Finding, Grant, Standing};
use downspout_core::metrics::ComponentMetrics;
use downspout_core::{ConfigError, Shared, StageError};

use async_trait::async_trait;

use self::claims::Claims;
pub(crate) use self::probe::{AuditingOn, AuditingSeen, MailboxAuditingOn, Probe, ReadFeeds, Subscriptions};
use crate::client::{Api, SET_RIGHT, Trouble, skew_told};
use crate::cloud::Service;
use crate::config::{Common, Connection, Setup};

/// An application permission that a source needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permission {
    /// Whose token has it.
    pub(crate) service: Service,
    /// The service, as the portal's list of APIs calls it.
    pub(crate) of: &'static str,
    /// Any of these will do; the first grants least.
    pub(crate) any: &'static [&'static str],
    /// What the source lacks without it, if it works all the same.
    pub(crate) optional: Option<&'static str>,
}

impl Permission {
    /// A permission that is needed.
    pub(crate) const fn needed(service: Service, of: &'static str, any: &'static [&'static str]) -> Permission {
        Permission { service, of, any, optional: None }
    }

    /// A permission of Microsoft Graph that is needed.
    pub(crate) const fn graph(any: &'static [&'static str]) -> Permission {
        Permission::needed(Service::Graph, "Microsoft Graph", any)
    }

    /// The permission to run cmdlets of Exchange Online. What they may do is a matter of roles.
    pub(crate) const fn exchange() -> Permission {
        Permission::needed(Service::Exchange, "Office 365 Exchange Online", &["Exchange.ManageAsApp"])
    }

    fn check(&self, claims: &Claims, tenant: &str) -> Finding {
        let [least, ..] = self.any else { return fine(tenant, self.of, "nothing is needed") };
        let need = format!("permission {least}");
        if let Some(granted) = self.any.iter().find(|name| claims.grants(name)) {
            let found = if granted == least { "granted".to_owned() } else { format!("{granted} is granted") };
            return fine(tenant, need, found);
        }
        let found = match claims.granted() {
            [] => "the token has no permission of this API at all".to_owned(),
            granted => format!("not among those granted: {}", granted.join(", ")),
        };
        let remedy = format!(
            "Entra admin center, App registrations, {}, API permissions: add the application permission {least} of \
             \"{}\", then \"Grant admin consent\". Tokens have it some minutes later",
            claims.application().unwrap_or("the app"),
            self.of
        );
        match self.optional {
            None => Finding { tenant: tenant.to_owned(), need, standing: Standing::Missing, found, remedy },
            Some(lack) => {
                let found = format!("{found}; without it: {lack}");
                Finding { tenant: tenant.to_owned(), need, standing: Standing::Advice, found, remedy }
            }
        }
    }
}

pub(crate) fn fine(tenant: &str, need: impl Into<String>, found: impl Into<String>) -> Finding {
    Finding {
        tenant: tenant.to_owned(),
        need: need.into(),
        standing: Standing::Fine,
        found: found.into(),
        remedy: String::new(),
    }
}

/// A need that trouble stands in the way of.
pub(crate) fn troubled(tenant: &str, need: impl Into<String>, trouble: &Trouble) -> Finding {
    let passes = trouble.is_transient() && !trouble.is_in_the_way();
    let standing = if passes { Standing::Unclear } else { Standing::Missing };
    let (found, remedy) = (trouble.bare(), trouble.meaning.clone());
    Finding { tenant: tenant.to_owned(), need: need.into(), standing, found, remedy }
}

/// Whether this machine's clock is right. Nothing about one that runs at a speed of its own: no two looks at it would
/// say the same.
async fn clock(connection: &Connection) -> Option<Finding> {
    let tenant = connection.tenant.label();
    if !connection.clock.is_in_step() {
        return None;
    }
    Some(match connection.client.ahead().await {
        Err(why) => Finding {
            tenant: tenant.to_owned(),
            need: "clock".to_owned(),
            standing: Standing::Advice,
            found: format!("it could not be compared with the service's: {why}"),
            remedy: String::new(),
        },
        Ok(ahead) => match skew_told(ahead) {
            None => fine(tenant, "clock", format!("{} s from the service's", ahead.abs().as_secs())),
            Some(found) => Finding {
                tenant: tenant.to_owned(),
                need: "clock".to_owned(),
                standing: Standing::Advice,
                found,
                remedy: SET_RIGHT.to_owned(),
            },
        },
    })
}

/// The checks of one source.
pub(crate) struct Checks {
    /// The tenants, and how to reach them.
    pub(crate) setup: Setup,
    /// The services that the source needs tokens for, and with which of their APIs.
    pub(crate) services: Vec<(Service, Api)>,
    /// The permissions that must be in them.
    pub(crate) permissions: Vec<Permission>,
    /// What only a question can tell.
    pub(crate) probes: Vec<Box<dyn Probe>>,
}

/// The checks of a source with these shared keys; none if they are wrong, which its plan tells.
pub(crate) fn checks(
    common: Common,
    services: Vec<(Service, Api)>,
    permissions: Vec<Permission>,
    probes: Vec<Box<dyn Probe>>,
) -> Option<Box<dyn Access>> {
    let setup: Result<Setup, Vec<ConfigError>> = common.plan();
    setup.ok().map(|setup| Box::new(Checks { setup, services, permissions, probes }) as Box<dyn Access>)
}

#[async_trait]
impl Access for Checks {
    fn tenants(&self) -> Vec<String> {
        self.setup.tenants().iter().map(|tenant| tenant.id.clone()).collect()
    }

    async fn check(self: Box<Self>, shared: Shared) -> Result<Checked, StageError> {
        let metrics = ComponentMetrics::detached("check-access", "source", "check")
            .map_err(|error| StageError::stop("internal", error.to_string()))?;
        let mut checked = Checked::default();
        for connection in self.setup.connect_with(&metrics, &shared).await? {
            self.check_tenant(&connection, &mut checked).await;
        }
        Ok(checked)
    }
}

impl Checks {
    async fn check_tenant(&self, connection: &Connection, checked: &mut Checked) {
        let tenant = connection.tenant.label();
        let mut signed_in = true;
        for (service, api) in &self.services {
            let resource = connection.client.cloud().resource(*service);
            let need = format!("sign-in for {resource}");
            let token = match connection.client.tokens().get(&resource).await {
                Ok(token) => token,
                Err(error) => {
                    checked.findings.push(troubled(tenant, need, &error.into_trouble(*api)));
                    signed_in = false;
                    continue;
                }
            };
            let minutes = crate::clock::between(connection.clock.now(), token.expires()).as_secs() / 60;
            checked.findings.push(fine(tenant, need, format!("a token for {minutes} minutes")));
            let wanted: Vec<&Permission> =
                self.permissions.iter().filter(|permission| permission.service == *service).collect();
            let Some(claims) = Claims::read(token.expose()) else {
                checked.findings.extend(wanted.iter().map(|permission| Finding {
                    tenant: tenant.to_owned(),
                    need: format!("permission {}", permission.any.first().unwrap_or(&"")),
                    standing: Standing::Unclear,
                    found: "the token does not say what it permits".to_owned(),
                    remedy: String::new(),
                }));
                continue;
            };
            checked.findings.extend(wanted.iter().map(|permission| permission.check(&claims, tenant)));
            checked.grants.push(Grant {
                tenant: tenant.to_owned(),
                application: claims.application().unwrap_or_default().to_owned(),
                resource,
                granted: claims.granted().to_vec(),
                used: wanted.iter().flat_map(|permission| permission.any).map(|name| (*name).to_owned()).collect(),
            });
        }
        if signed_in {
            for probe in &self.probes {
                checked.findings.extend(probe.ask(connection).await);
            }
        }
        checked.findings.extend(clock(connection).await);
    }
}
