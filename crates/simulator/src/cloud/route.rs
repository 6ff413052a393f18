//! From a request's host and path to a service.
//!
//! A client that knows the true host names reaches the simulator by a hosts file, and names them in `Host`. Any other
//! client puts the host name in front of the path. Links in answers take the form in which the service was asked.

use hyper::HeaderMap;
use serde::Deserialize;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// The token endpoints.
    Login,
    /// The Office 365 Management Activity API.
    Management,
    /// Microsoft Graph.
    Graph,
    /// Exchange Online's admin REST endpoint.
    Exchange,
    /// The reporting web service.
    Reporting,
    /// Azure Resource Manager.
    Azure,
    /// Azure DevOps.
    Devops,
    /// The instance metadata service, and App Service's token endpoint.
    Imds,
}

impl Api {
    /// Its name in configs and statistics.
    pub fn name(self) -> &'static str {
        match self {
            Api::Login => "login",
            Api::Management => "management",
            Api::Graph => "graph",
            Api::Exchange => "exchange",
            Api::Reporting => "reporting",
            Api::Azure => "azure",
            Api::Devops => "devops",
            Api::Imds => "imds",
        }
    }
}

/// Every true host name, with its service. All stand in the certificate.
pub(crate) const HOSTS: [(&str, Api); 31] = [
    ("login.microsoftonline.com", Api::Login),
    ("login.windows.net", Api::Login),
    ("login.microsoftonline.us", Api::Login),
    ("login.partner.microsoftonline.cn", Api::Login),
    ("login.chinacloudapi.cn", Api::Login),
    ("manage.office.com", Api::Management),
    ("manage-gcc.office.com", Api::Management),
    ("manage.office365.us", Api::Management),
    ("manage.protection.apps.mil", Api::Management),
    ("graph.microsoft.com", Api::Graph),
    ("graph.microsoft.us", Api::Graph),
    ("dod-graph.microsoft.us", Api::Graph),
    ("microsoftgraph.chinacloudapi.cn", Api::Graph),
    ("outlook.office365.com", Api::Exchange),
    ("outlook.office.com", Api::Exchange),
    ("outlook.office365.us", Api::Exchange),
    ("outlook-dod.office365.us", Api::Exchange),
    ("outlook.office365.cn", Api::Exchange),
    ("eurprd05.prod.outlook.com", Api::Exchange),
    ("shxpr01.prod.partner.outlook.cn", Api::Exchange),
    ("reports.office365.com", Api::Reporting),
    ("reports.office365.us", Api::Reporting),
    ("management.azure.com", Api::Azure),
    ("management.core.windows.net", Api::Azure),
    ("management.usgovcloudapi.net", Api::Azure),
    ("management.azure.us", Api::Azure),
    ("management.chinacloudapi.cn", Api::Azure),
    ("auditservice.dev.azure.com", Api::Devops),
    ("aexprodweu1.vsaex.visualstudio.com", Api::Devops),
    ("app.vssps.visualstudio.com", Api::Devops),
    ("169.254.169.254", Api::Imds),
];

/// The service behind a true host name.
pub(crate) fn service(host: &str) -> Option<Api> {
    HOSTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map(|(_, api)| *api)
}

/// Exchange's regional hosts, each with the host that clients ask first. Tokens are for that one.
const REGIONS: [(&str, &str); 2] = [
    ("eurprd05.prod.outlook.com", "outlook.office365.com"),
    ("shxpr01.prod.partner.outlook.cn", "outlook.office365.cn"),
];

/// The host that tokens for a host are asked for: itself, save for a regional one.
pub(crate) fn front(host: &str) -> &str {
    REGIONS.iter().find(|(region, _)| *region == host).map_or(host, |(_, front)| front)
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The simulator's own control plane: the path's rest.
    Control(String),
    /// A service.
    Service {
        /// Which.
        api: Api,
        /// Its true host name.
        host: String,
        /// The URL that stands for the service's root.
        origin: String,
        /// The path below that root.
        path: String,
    },
    /// Neither.
    Nowhere,
}

/// Finds the target. `authority` is the listener's own address, for requests without a `Host`.
pub(crate) fn resolve(scheme: &str, authority: &str, headers: &HeaderMap, path: &str) -> Target {
    let authority = headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or(authority);
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
    if let Some(api) = service(name) {
        return Target::Service {
            api,
            host: name.to_ascii_lowercase(),
            origin: format!("{scheme}://{authority}"),
            path: path.to_owned(),
        };
    }
    let rest = path.trim_start_matches('/');
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    if first == "simulator" {
        return Target::Control(rest.to_owned());
    }
    match service(first) {
        Some(api) => Target::Service {
            api,
            host: first.to_ascii_lowercase(),
            origin: format!("{scheme}://{authority}/{first}"),
            path: format!("/{rest}"),
        },
        None => Target::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve_for(host: &str, path: &str) -> Target {
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        resolve("http", "127.0.0.1:8600", &headers, path)
    }

    #[test]
    fn by_host_and_by_path() {
        let expected = |origin: &str, path: &str| Target::Service {
            api: Api::Management,
            host: "manage.office.com".into(),
            origin: origin.into(),
            path: path.into(),
        };
        assert_eq!(resolve_for("manage.office.com", "/api/x"), expected("http://manage.office.com", "/api/x"));
        assert_eq!(
            resolve_for("manage.office.com:8443", "/api/x"),
            expected("http://manage.office.com:8443", "/api/x")
        );
        assert_eq!(
            resolve_for("127.0.0.1:8600", "/manage.office.com/api/x"),
            expected("http://127.0.0.1:8600/manage.office.com", "/api/x")
        );
        assert_eq!(resolve_for("127.0.0.1:8600", "/simulator/clock"), Target::Control("clock".into()));
        assert_eq!(resolve_for("127.0.0.1:8600", "/elsewhere"), Target::Nowhere);
    }
}
