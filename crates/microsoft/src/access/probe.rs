//! Questions that tell what no token says. All of them read, and none reads more than a page.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::access::{Finding, Standing};

use super::{fine, troubled};
use crate::client::{Api, Request, Trouble, Verdict};
use crate::clock::minus;
use crate::cloud::Service;
use crate::config::Connection;
use crate::exchange::{Exchange, wire};
use crate::windows::{Feeds, Window, first_request};

/// A question.
#[async_trait]
pub(crate) trait Probe: Debug + Send + Sync {
    /// Asks it.
    async fn ask(&self, connection: &Connection) -> Vec<Finding>;
}

/// A probe waits for a service that is busy, but not for long.
const ATTEMPTS: u32 = 3;

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
        let path = format!("/api/v1.0/{}/activity/feed/subscriptions/list", connection.tenant.id);
        let list = match connection.client.cloud().url(Service::Management, &path) {
            Ok(url) => connection.client.get_json(Request::get(Api::Management, url).attempts(ATTEMPTS)).await,
            Err(foreign) => Err(Trouble::new(Verdict::Stop, Api::Management, "no_service", foreign.to_string(), "")),
        };
        let list = match list {
            Ok(list) => list.body,
            Err(trouble) => return vec![troubled(tenant, need, &trouble)],
        };
        let enabled = |content_type: &str| {
            list.as_array().into_iter().flatten().any(|one| {
                one["contentType"] == content_type && one["status"].as_str().is_some_and(|status| status == "enabled")
            })
        };
        let asleep: Vec<&str> = self.content_types.iter().map(String::as_str).filter(|name| !enabled(name)).collect();
        let mut findings = vec![fine(tenant, need, "it answers")];
        if !asleep.is_empty() {
            findings.push(Finding {
                tenant: tenant.to_owned(),
                need: "subscriptions".to_owned(),
                standing: Standing::Advice,
                found: format!("none yet for {}; what happens before there is one is not delivered", asleep.join(", ")),
                remedy: "start the pipeline: the source subscribes, and content comes within hours".to_owned(),
            });
        }
        findings
    }
}

/// Nobody to ask: Graph finds nothing where auditing is switched off, and calls that a success.
#[derive(Debug)]
pub(crate) struct AuditingUntold;

#[async_trait]
impl Probe for AuditingUntold {
    async fn ask(&self, connection: &Connection) -> Vec<Finding> {
        vec![Finding {
            tenant: connection.tenant.label().to_owned(),
            need: "unified audit logging".to_owned(),
            standing: Standing::Advice,
            found: "Graph does not say whether it is on; where it is off, searches find nothing, and succeed"
                .to_owned(),
            remedy: "see that Get-AdminAuditLogConfig in Exchange Online PowerShell says \
                     UnifiedAuditLogIngestionEnabled : True"
                .to_owned(),
        }]
    }
}

/// Asks Exchange Online whether the unified audit log records anything. That takes the role that searching it does.
#[derive(Debug)]
pub(crate) struct AuditingOn;

#[async_trait]
impl Probe for AuditingOn {
    async fn ask(&self, connection: &Connection) -> Vec<Finding> {
        let tenant = connection.tenant.label();
        let exchange = Exchange::new(connection.client.clone(), &connection.tenant.id);
        let role = "the Exchange role View-Only Audit Logs";
        let body = match exchange.invoke("Get-AdminAuditLogConfig", &wire::Parameters::default()).await {
            Ok(body) => body,
            Err(trouble) => return vec![troubled(tenant, role, &trouble)],
        };
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let on = &answer["value"][0]["UnifiedAuditLogIngestionEnabled"];
        let (need, on) = ("unified audit logging", on.as_bool().or_else(|| on.as_str()?.to_lowercase().parse().ok()));
        let auditing = match on {
            Some(true) => fine(tenant, need, "switched on"),
            Some(false) => Finding {
                tenant: tenant.to_owned(),
                need: need.to_owned(),
                standing: Standing::Missing,
                found: "switched off".to_owned(),
                remedy:
                    "Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true in Exchange Online PowerShell; \
                         it takes up to 60 minutes"
                        .to_owned(),
            },
            None => Finding {
                tenant: tenant.to_owned(),
                need: need.to_owned(),
                standing: Standing::Unclear,
                found: "Exchange does not say whether it is on".to_owned(),
                remedy: String::new(),
            },
        };
        vec![fine(tenant, role, "a cmdlet runs"), auditing]
    }
}
