//! Questions that tell what no token says. All of them read, and none reads more than a page.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::access::{Finding, Standing};

use super::{auditing, fine, troubled};
use crate::client::{Trouble, Verdict};
use crate::clock::minus;
use crate::config::Connection;
use crate::windows::{Feeds, Window, first_request};

/// A question.
#[async_trait]
pub(crate) trait Probe: Debug + Send + Sync {
    /// Asks it.
    async fn ask(&self, connection: &Connection) -> Vec<Finding>;
}

/// A probe waits for a service that is busy, but not for long.
const ATTEMPTS: u32 = 3;

/// What searching takes beside the permission to run cmdlets.
const ROLE: &str = "the Exchange role View-Only Audit Logs";

/// Asks every feed of a tenant for a minute of its log, as the source does.
#[derive(Debug)]
pub(crate) struct ReadFeeds<F>(pub(crate) F);

#[async_trait]
impl<F: Feeds> Probe for ReadFeeds<F> {
    async fn ask(&self, connection: &Connection) -> Vec<Finding> {
        let tenant = connection.tenant.label();
        let feeds = match self.0.list(connection).await {
            Ok(feeds) => feeds,
            Err(trouble) => return vec![troubled(tenant, "the list of what there is to read", &trouble)],
        };
        if feeds.is_empty() {
            return vec![Finding {
                tenant: tenant.to_owned(),
                need: "something to read".to_owned(),
                standing: Standing::Missing,
                found: "nothing".to_owned(),
                remedy: self.0.none().to_owned(),
            }];
        }
        let end = minus(connection.client.service_now(), Duration::from_secs(300));
        let end = jiff::Timestamp::from_second(end.as_second()).unwrap_or(end);
        let window = Window { start: minus(end, Duration::from_secs(60)), end };
        let mut findings = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let need = format!("reading {}", feed.name());
            let answer = match first_request(&*feed, &connection.client, &window) {
                Ok(request) => connection.client.get(request.attempts(ATTEMPTS)).await,
                Err(trouble) => Err(trouble),
            };
            let read = answer.map_err(|trouble| feed.explain(trouble)).and_then(|answer| {
                let page = feed.page(&feed.ask(&window), &answer.body);
                page.map_err(|broken| Trouble::new(Verdict::Retry, feed.api(), "broken", broken.to_string(), ""))
            });
            findings.push(match read {
                Ok(page) if page.records.is_empty() => fine(tenant, need, "it answers; that minute was quiet"),
                Ok(page) => fine(tenant, need, format!("{} records of one minute", page.records.len())),
                Err(trouble) => troubled(tenant, need, &trouble),
            });
        }
        findings
    }
}

/// Asks the Management Activity API for the tenant's subscriptions: whether it knows the tenant, and accepts the app.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    /// The content types that must have one.
    pub(crate) content_types: Vec<String>,
}

#[async_trait]
impl Probe for Subscriptions {
    async fn ask(&self, connection: &Connection) -> Vec<Finding> {
        let (tenant, need) = (connection.tenant.label(), "the Office 365 Management Activity API");
        let list = match auditing::list_subscriptions(connection).await {
            Ok(list) => list,
            Err(trouble) if auditing::is_off(&trouble) => return vec![auditing::NOT_SERVED.finding(tenant)],
            Err(trouble) => return vec![troubled(tenant, need, &trouble)],
        };
        let mut findings = vec![fine(tenant, need, "it answers"), auditing::SERVED.finding(tenant)];
        let status = |content_type: &str| {
            let list = list.as_array().into_iter().flatten();
            let one = list
                .clone()
                .find(|one| one["contentType"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(content_type)));
            // An entry without a status stands in Microsoft's own samples.
            one.map(|one| one["status"].as_str().unwrap_or("enabled"))
        };
        let named = |wanted: fn(Option<&str>) -> bool| -> Vec<&str> {
            self.content_types.iter().map(String::as_str).filter(|name| wanted(status(name))).collect()
        };
        let mut advise = |names: Vec<&str>, found: &str, remedy: &str| {
            if !names.is_empty() {
                findings.push(Finding {
                    tenant: tenant.to_owned(),
                    need: "subscriptions".to_owned(),
                    standing: Standing::Advice,
                    found: format!("{found} {}", names.join(", ")),
                    remedy: remedy.to_owned(),
                });
            }
        };
        advise(
            named(|status| status.is_none()),
            "none yet, and what happens before there is one is not delivered:",
            "the source will start them when it runs; content comes within hours",
        );
        advise(
            named(|status| status.is_some_and(|status| status != "enabled")),
            "disabled, and what happens meanwhile is not delivered:",
            "the source will start them again when it runs; somebody has stopped them, or an administrator has disabled \
             them, in which case Microsoft refuses the start with AF20023 until that is undone",
        );
        findings
    }
}

/// Looks whether auditing is on, for sources whose own API does not tell.
#[derive(Debug)]
pub(crate) struct AuditingSeen;

#[async_trait]
impl Probe for AuditingSeen {
    async fn ask(&self, connection: &Connection) -> Vec<Finding> {
        vec![auditing::look(connection).await.finding(connection.tenant.label())]
    }
}

/// Asks Exchange Online whether mailboxes keep a log, which they do even where the unified audit log is off.
#[derive(Debug)]
pub(crate) struct MailboxAuditingOn;

#[async_trait]
impl Probe for MailboxAuditingOn {
    async fn ask(&self, connection: &Connection) -> Vec<Finding> {
        let tenant = connection.tenant.label();
        let role = match auditing::ask_exchange(connection).await {
            Ok(_) => fine(tenant, ROLE, "a cmdlet runs"),
            Err(trouble) => return vec![troubled(tenant, ROLE, &trouble)],
        };
        let finding = |standing, found: String, remedy: &str| Finding {
            tenant: tenant.to_owned(),
            need: "mailbox auditing".to_owned(),
            standing,
            found,
            remedy: remedy.to_owned(),
        };
        let unseen = |why: String| {
            let remedy = "see that Get-OrganizationConfig in Exchange Online PowerShell says AuditDisabled : False; an \
                          application with the Exchange role View-Only Configuration can see it by itself";
            finding(Standing::Advice, format!("could not be seen, because {why}"), remedy)
        };
        let auditing = match auditing::mailboxes_keep_logs(connection).await {
            Ok(Some(true)) => fine(tenant, "mailbox auditing", "on (Exchange's AuditDisabled is false)"),
            Ok(Some(false)) => finding(
                Standing::Missing,
                "off (Exchange's AuditDisabled is true): mailboxes record nothing by default".to_owned(),
                "Set-OrganizationConfig -AuditDisabled $false in Exchange Online PowerShell switches it on; what happened \
                 before was not recorded, except in mailboxes that had auditing switched on one by one",
            ),
            Ok(None) => unseen("Exchange's answer does not hold AuditDisabled".to_owned()),
            Err(trouble) => unseen(trouble.to_string()),
        };
        vec![role, auditing]
    }
}

/// Asks Exchange Online whether the unified audit log records anything. That takes the role that searching it does.
#[derive(Debug)]
pub(crate) struct AuditingOn;

#[async_trait]
impl Probe for AuditingOn {
    async fn ask(&self, connection: &Connection) -> Vec<Finding> {
        let tenant = connection.tenant.label();
        match auditing::ask_exchange(connection).await {
            Ok(auditing) => vec![fine(tenant, ROLE, "a cmdlet runs"), auditing.finding(tenant)],
            Err(trouble) => vec![troubled(tenant, ROLE, &trouble)],
        }
    }
}
