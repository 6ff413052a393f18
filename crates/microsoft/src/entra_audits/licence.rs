//! For how long Microsoft keeps a tenant's audit logs: that is a matter of its licence, which no permission of these logs
//! lets an app read. But sign-ins are under the same permission, and Graph gives none out without Entra ID P1 or P2.

use std::time::Duration;

use crate::client::{Api, Request};
use crate::clock::minus;
use crate::cloud::Service;
use crate::config::Connection;
use crate::windows::encode;

/// How long Microsoft keeps audit logs without Entra ID P1 or P2.
const FREE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often the question is put: what it finds out is no more than how long an outage may last.
const ATTEMPTS: u32 = 2;

/// What is known of it: [`FREE`] for a tenant without a licence. `None`: it has one, or does not tell.
pub(super) async fn retention(connection: &Connection) -> Option<Duration> {
    let client = &connection.client;
    let end = client.service_now();
    // A minute: a question without a window takes large tenants long.
    let filter = format!("createdDateTime ge {} and createdDateTime le {end}", minus(end, Duration::from_secs(60)));
    let path = format!("/v1.0/auditLogs/signIns?$top=1&$filter={}", encode(&filter));
    let url = client.cloud().url(Service::Graph, &path).ok()?;
    match client.get(Request::get(Api::GraphReports, url).attempts(ATTEMPTS)).await {
        Err(trouble) if trouble.is_unlicensed() => {
            let tenant = connection.tenant.label();
            tracing::info!(tenant, "without Entra ID P1 or P2 Microsoft keeps the audit logs of Entra for 7 days");
            Some(FREE)
        }
        // Trouble with the sign-ins says nothing of the audits; what these lack they tell themselves.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::client::http_client;
    use crate::clock::Clock;
    use crate::cloud::CloudConfig;
    use crate::config::Common;
    use crate::testing::{Asked, context, serve};

    #[tokio::test]
    async fn a_tenant_whose_sign_ins_are_refused_for_want_of_a_licence_keeps_its_audits_for_a_week() {
        let refusal = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#);
        for (status, body, expected) in [
            (403, refusal("Authentication_RequestFromNonPremiumTenantOrB2CTenant"), Some(FREE)),
            (403, refusal("Authorization_RequestDenied"), None),
            (503, String::new(), None),
            (200, r#"{"value":[]}"#.to_owned(), None),
        ] {
            let answer = move |asked: &Asked| match asked.path.ends_with("/token") {
                true => (200, r#"{"token_type":"Bearer","expires_in":3599,"access_token":"x"}"#.to_owned()),
                false => (status, body.clone()),
            };
            let base = serve(Arc::new(Mutex::new(answer))).await;
            let folder = tempfile::tempdir().unwrap();
            let common = Common {
                tenant_id: Some("0a1b2c3d-0000-1111-2222-333344445555".to_owned()),
                auth: Some(
                    serde_json::from_value(serde_json::json!({ "client_id": "a", "client_secret": "s" })).unwrap(),
                ),
                cloud: CloudConfig::simulator(base),
                ..Common::default()
            };
            let clock = Clock::leaping("2026-01-05T00:00:00Z".parse().unwrap());
            let (context, http) = (context("in", folder.path()), http_client(None).unwrap());
            let connection = common.plan().unwrap().connect_at(&context, &http, &clock).unwrap().remove(0);
            assert_eq!(retention(&connection).await, expected, "{status}");
        }
    }
}
