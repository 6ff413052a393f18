//! Microsoft Graph: the logs, the audit search, and the objects of a tenant.

mod directory;
mod enums;
pub(crate) mod filter;
mod page;
mod queries;
mod reports;
mod trace;

pub(crate) use page::Found;
pub(crate) use queries::Queries;

use super::Cloud;
use super::http::{Answer, Call};
use super::route::Api;
use super::services::{authorise, problem};
use super::tenant::Tenant;
use super::token::Claims;

/// An answer or a refusal.
pub(crate) type Outcome = Result<Answer, Answer>;

pub(crate) fn fault(call: &Call, status: u16, code: &str, message: &str) -> Answer {
    problem(Api::Graph, status, code, message, call.now)
}

/// Serves Graph.
pub(crate) fn answer(cloud: &Cloud, call: &Call) -> Answer {
    serve(cloud, call).unwrap_or_else(|refusal| refusal)
}

/// What every endpoint gets.
pub(crate) struct Request<'r> {
    pub(crate) cloud: &'r Cloud,
    pub(crate) call: &'r Call,
    pub(crate) tenant: &'r Tenant,
    pub(crate) claims: &'r Claims,
    pub(crate) beta: bool,
}

impl Request<'_> {
    /// Refuses tokens without one of the permissions.
    pub(crate) fn needs(&self, roles: &[&str]) -> Result<(), Answer> {
        if self.claims.any(roles) {
            return Ok(());
        }
        // Reports have a code of their own for it.
        let (code, message) = if roles.contains(&"AuditLog.Read.All") {
            (
                "Authentication_MSGraphPermissionMissing",
                "The principal does not have required Microsoft Graph permission(s): AuditLog.Read.All to call this API.",
            )
        } else {
            ("Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        };
        Err(fault(self.call, 403, code, message))
    }

    /// Counts against a limit; with or without `Retry-After`.
    pub(crate) fn limit(&self, name: &str, allowed: u64, seconds: u64, tells: bool) -> Result<(), Answer> {
        super::services::limit(self.cloud, (Api::Graph, self.call), self.tenant, (name, allowed, seconds), tells)
    }
}

fn serve(cloud: &Cloud, call: &Call) -> Outcome {
    let claims = authorise(cloud, Api::Graph, call)?;
    let Some(tenant) = cloud.tenant(&claims.tenant) else { return Err(Answer::empty(401)) };
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (beta, rest) = match parts.as_slice() {
        ["v1.0", rest @ ..] => (false, rest),
        ["beta", rest @ ..] => (true, rest),
        _ => return Err(fault(call, 400, "BadRequest", "Invalid version: use v1.0 or beta.")),
    };
    let request = Request { cloud, call, tenant, claims: &claims, beta };
    match (call.method.as_str(), rest) {
        ("GET", ["auditLogs", report]) => reports::audit_logs(&request, report),
        ("GET", ["identityProtection", "riskDetections"]) => reports::risk_detections(&request),
        ("GET", ["admin", "exchange", "tracing", "messageTraces"]) => trace::list(&request),
        ("GET", ["admin", "exchange", "tracing", "messageTraces", id, function]) => {
            trace::detail(&request, id, function)
        }
        (_, ["security", "auditLog", "queries", rest @ ..]) => queries::answer(&request, rest),
        _ => directory::answer(&request, rest),
    }
}
