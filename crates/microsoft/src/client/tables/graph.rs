//! Verdicts of Microsoft Graph.

use super::{Judgement, Refusal};
use crate::client::api::Api;
use crate::client::verdict::Verdict;

/// The code of a refusal for want of Entra ID P1 or P2.
const NO_LICENCE: &str = "Authentication_RequestFromNonPremiumTenantOrB2CTenant";

/// Whether a refusal with this code and message is for want of a licence. Risk detections say it by the message alone.
pub(in crate::client) fn lacks_licence(code: &str, message: &str) -> bool {
    code == NO_LICENCE || message.to_ascii_lowercase().contains("not licensed")
}

pub(super) fn judge(api: Api, refusal: &Refusal) -> Option<Judgement> {
    let permission = match api {
        Api::GraphReports => "AuditLog.Read.All",
        Api::GraphIdentityProtection => "IdentityRiskEvent.Read.All",
        Api::GraphAuditQuery => "AuditLogsQuery.Read.All",
        Api::GraphMessageTrace => "ExchangeMessageTrace.Read.All",
        _ => "that the object needs",
    };
    let lacks = format!("grant the app the Microsoft Graph application permission {permission}, and its admin consent");
    match (refusal.status, refusal.code.as_str()) {
        (403, NO_LICENCE) => Some((
            Verdict::Stop,
            "the tenant has no Entra ID P1 or P2 licence, without which Microsoft keeps these logs to itself; buy one, or \
             leave them out: of a config the source, of `collect` the profile"
                .to_owned(),
        )),
        (403, code) if lacks_licence(code, &refusal.message) => Some((
            Verdict::Stop,
            "the tenant has no licence for this log (risk detections: Entra ID P2); buy one, or leave it out: of a config \
             the entry in `logs`, of `collect` the profile"
                .to_owned(),
        )),
        // An application gateway in front of Graph answers so at times.
        (403, _) if refusal.html => Some((Verdict::Retry, "a gateway in front of Graph refused".to_owned())),
        // Consent may be newer than the token: a fresh one is tried first.
        (403, _) => Some((Verdict::Reauth, lacks)),
        (401, _) => Some((Verdict::Reauth, format!("the token was not accepted; {lacks}"))),
        _ => None,
    }
}
