//! Message traces through Microsoft Graph.

use std::time::Duration;

use crate::client::{Api, Trouble, Verdict};
use crate::windows::{Bounds, Collection, GraphFeed, Pace};

/// The application whose service principal must be in the tenant.
pub(super) const APPLICATION: &str = "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373";

pub(super) fn feed() -> GraphFeed {
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    GraphFeed {
        name: "message_trace".to_owned(),
        api: Api::GraphMessageTrace,
        collection: Collection {
            path: "/v1.0/admin/exchange/tracing/messageTraces?$top=5000&$filter=".to_owned(),
            time: "receivedDateTime",
            bounds: Bounds::Inclusive,
            and: None,
            link: "@odata.nextLink",
        },
        pace: Pace {
            overlap: days(2),
            // An end in the future is refused.
            settle: Duration::from_secs(60),
            longest: days(10),
            // A start more than 90 days back is refused; an hour is for the time that reading takes.
            keeps: days(90) - Duration::from_secs(3600),
        },
        explain,
    }
}

fn explain(trouble: Trouble) -> Trouble {
    if trouble.status != Some(401) {
        return trouble;
    }
    let meaning = format!(
        "message traces need the service principal of application {APPLICATION} in the tenant: create it once \
         (POST /servicePrincipals with {{\"appId\": \"{APPLICATION}\"}}, or New-MgServicePrincipal -AppId {APPLICATION}) \
         and wait some hours; if it is there, {}",
        trouble.meaning
    );
    Trouble { verdict: Verdict::Stop, meaning, ..trouble }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_401_names_the_service_principal() {
        let trouble = Trouble {
            status: Some(401),
            ..Trouble::new(Verdict::Stop, Api::GraphMessageTrace, "UnknownError", "", "grant the permission")
        };
        let told = explain(trouble.clone()).to_string();
        assert!(
            told.contains(APPLICATION) && told.contains("wait some hours") && told.contains("grant the permission")
        );
        let other = Trouble { status: Some(403), ..trouble };
        assert_eq!(explain(other.clone()), other);
    }
}
