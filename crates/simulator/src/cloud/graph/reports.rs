//! The reports of Entra: sign-ins of four kinds, directory audits, provisioning, risk detections.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::enums::shown;
use super::filter::Expression;
use super::page::{Position, collection, cut, found, size};
use super::{Outcome, Request, fault};
use crate::cloud::http::Answer;
use crate::cloud::publish::Place;
use crate::cloud::tenant::Life;
use crate::cloud::time;
use crate::config::License;
use crate::world::Feed;

/// The kinds of sign-ins, interactive first.
const SIGN_INS: [Feed; 4] =
    [Feed::SignInInteractive, Feed::SignInNonInteractive, Feed::SignInServicePrincipal, Feed::SignInManagedIdentity];

/// The members of a sign-in that only beta has.
const BETA_ONLY: [&str; 49] = [
    "alternateSignInName",
    "appliedEventListeners",
    "appTokenProtectionStatus",
    "authenticationContextClassReferences",
    "authenticationDetails",
    "authenticationMethodsUsed",
    "authenticationProcessingDetails",
    "authenticationProtocol",
    "authenticationRequirement",
    "authenticationRequirementPolicies",
    "autonomousSystemNumber",
    "azureResourceId",
    "clientCredentialType",
    "conditionalAccessAudiences",
    "crossTenantAccessType",
    "federatedCredentialId",
    "flaggedForReview",
    "globalSecureAccessIpAddress",
    "homeTenantName",
    "incomingTokenType",
    "ipAddressFromResourceProvider",
    "isTenantRestricted",
    "isThroughGlobalSecureAccess",
    "managedServiceIdentity",
    "mfaDetail",
    "networkLocationDetails",
    "originalRequestId",
    "originalTransferMethod",
    "privateLinkDetails",
    "processingTimeInMilliseconds",
    "resourceOwnerTenantId",
    "resourceServicePrincipalId",
    "servicePrincipalCredentialKeyId",
    "servicePrincipalCredentialThumbprint",
    "sessionId",
    "sessionLifetimePolicies",
    "signInEventTypes",
    "signInIdentifier",
    "signInIdentifierType",
    "signInTokenProtectionStatus",
    "sourceAppClientId",
    "tokenIssuerName",
    "tokenIssuerType",
    "tokenProtectionStatusDetails",
    "uniqueTokenIdentifier",
    "userAgentDetails",
    "userType",
    "agent",
    "appOwnerTenantId",
];

/// What distinguishes one report from another.
struct Report {
    name: &'static str,
    /// The property that holds the time of a record.
    time: &'static str,
    feeds: Vec<Feed>,
    filter: Option<Expression>,
    /// Default and largest page.
    sizes: (usize, usize),
}

/// `auditLogs/...`.
pub(super) fn audit_logs(request: &Request<'_>, name: &str) -> Outcome {
    let call = request.call;
    let name = match name {
        "signIns" => "signIns",
        "directoryAudits" => "directoryAudits",
        "provisioning" => "provisioning",
        _ => return Err(fault(call, 404, "ResourceNotFound", "Resource not found.")),
    };
    request.needs(&["AuditLog.Read.All"])?;
    let allowed = request.cloud.config.limits.reports_per_10_seconds;
    request.limit(&format!("reports {}", request.claims.client), allowed, 10, true)?;
    let filter = read_filter(request)?;
    match name {
        "signIns" => sign_ins(request, filter),
        "directoryAudits" => {
            let feeds = vec![Feed::DirectoryAudit];
            serve(request, Report { name, time: "activityDateTime", feeds, filter, sizes: (1_000, 1_000) })
        }
        _ => {
            let feeds = vec![Feed::Provisioning];
            serve(request, Report { name, time: "activityDateTime", feeds, filter, sizes: (1_000, 1_000) })
        }
    }
}

fn read_filter(request: &Request<'_>) -> Result<Option<Expression>, Answer> {
    let text = request.call.parameter("$filter");
    text.map(|text| {
        Expression::parse(&text)
            .map_err(|error| fault(request.call, 400, "BadRequest", &format!("Invalid filter clause: {error}")))
    })
    .transpose()
}

fn sign_ins(request: &Request<'_>, filter: Option<Expression>) -> Outcome {
    let call = request.call;
    if request.tenant.config.license == License::Free {
        let message = "Neither tenant is B2C or tenant doesn't have premium license";
        return Err(fault(call, 403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", message));
    }
    if !request.beta && call.parameter("$filter").is_some_and(|filter| filter.contains("signInEventTypes")) {
        let message = "Could not find a property named 'signInEventTypes' on type 'microsoft.graph.signIn'.";
        return Err(fault(call, 400, "BadRequest", message));
    }
    let (types, filter) = match filter {
        Some(filter) => filter.take_any("signInEventTypes"),
        None => (None, None),
    };
    let feeds = match types {
        None => vec![Feed::SignInInteractive],
        Some(types) => {
            let wanted = |feed: &Feed| types.iter().any(|name| feed.sign_in_type() == Some(name.as_str()));
            let feeds: Vec<Feed> = SIGN_INS.into_iter().filter(wanted).collect();
            // Sign-ins of users and of applications come from different stores, which no query joins.
            let users = feeds.iter().filter(|feed| SIGN_INS[..2].contains(feed)).count();
            if users > 0 && users < feeds.len() {
                let message = "The signInEventTypes of users and of service principals cannot be combined.";
                return Err(fault(call, 400, "BadRequest", message));
            }
            feeds
        }
    };
    serve(request, Report { name: "signIns", time: "createdDateTime", feeds, filter, sizes: (1_000, 1_000) })
}

/// `identityProtection/riskDetections`.
pub(super) fn risk_detections(request: &Request<'_>) -> Outcome {
    request.needs(&["IdentityRiskEvent.Read.All"])?;
    // This service says no when to come back.
    request.limit("protection", request.cloud.config.limits.protection_per_second, 1, false)?;
    if request.tenant.config.license == License::Free {
        let message = "Your tenant is not licensed for this feature.";
        return Err(fault(request.call, 403, "Forbidden", message));
    }
    let filter = read_filter(request)?;
    let feeds = vec![Feed::RiskDetection];
    serve(request, Report { name: "riskDetections", time: "detectedDateTime", feeds, filter, sizes: (20, 500) })
}

fn serve(request: &Request<'_>, report: Report) -> Outcome {
    let Request { cloud, call, tenant, .. } = *request;
    let size = size(call, report.sizes.0, report.sizes.1)?;
    let mut life = tenant.live(call.now);
    let position = match Position::of(call)? {
        Some(position) if position.snapshot.len() == report.feeds.len() => position,
        Some(_) => return Err(fault(call, 400, "BadRequest", "Skip token is invalid.")),
        None => {
            Position { offset: 0, snapshot: report.feeds.iter().map(|feed| life.publisher.snapshot(feed)).collect() }
        }
    };
    let found = found(&mut life, call, &position, |life| search(request, life, &report, &position.snapshot));
    let page = cut(cloud, call, tenant.id(), &position, (found.len(), size));
    let mut records = Vec::new();
    for (feed, place) in &found[page.range.0..page.range.1] {
        if let Some(record) = life.publisher.record(feed, *place) {
            records.push(shown(cloud, call, shape(request, feed, record)));
        }
    }
    let context =
        if report.name == "riskDetections" { "riskDetections" } else { &format!("auditLogs/{}", report.name) };
    Ok(collection(call, context, &records, page.next.as_deref(), None))
}

fn search(request: &Request<'_>, life: &mut Life, report: &Report, snapshot: &[usize]) -> Vec<(Feed, Place)> {
    let Request { cloud, call, tenant, .. } = *request;
    let days = match tenant.config.license {
        License::Free => 7,
        _ => cloud.config.retention.entra_days as i64,
    };
    let (mut start, mut end) = (Timestamp::MIN, Timestamp::MAX);
    let mut rest = None;
    if let Some(filter) = &report.filter {
        ((start, end), _) = filter.range(report.time);
        rest = filter.without(report.time);
    }
    let range = (start.max(time::plus(call.now, -days * 86_400)), end);
    let mut found: Vec<(Feed, Place)> = Vec::new();
    for (feed, snapshot) in report.feeds.iter().zip(snapshot) {
        for place in life.publisher.places(feed, range, *snapshot) {
            let fits = rest.as_ref().is_none_or(|rest| {
                let record = life.publisher.record(feed, place);
                record.and_then(|text| serde_json::from_str(&text).ok()).is_some_and(|value: Value| rest.fits(&value))
            });
            if fits {
                found.push((feed.clone(), place));
            }
        }
    }
    let ascending = call.parameter("$orderby").is_some_and(|order| !order.to_ascii_lowercase().ends_with(" desc"));
    if ascending {
        found.sort_by_key(|(_, place)| place.time);
    } else {
        found.sort_by_key(|(_, place)| std::cmp::Reverse(place.time));
    }
    found
}

/// The record as this version and this licence show it.
fn shape(request: &Request<'_>, feed: &Feed, record: String) -> String {
    let sign_in = feed.sign_in_type().is_some();
    let hidden = request.tenant.config.license != License::P2 && (sign_in || *feed == Feed::RiskDetection);
    let cut = sign_in && !request.beta;
    if !hidden && !cut {
        return record;
    }
    let Ok(Value::Object(mut members)) = serde_json::from_str(&record) else { return record };
    if cut {
        for name in BETA_ONLY {
            members.remove(name);
        }
    }
    if hidden {
        for name in ["riskDetail", "riskLevelAggregated", "riskLevelDuringSignIn", "riskLevel"] {
            if let Some(value) = members.get_mut(name) {
                *value = json!("hidden");
            }
        }
    }
    Value::Object(members).to_string()
}
