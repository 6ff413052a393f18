//! Where Microsoft's services are: one base URL each, and which URLs may be given a token.
//!
//! A national cloud is a table of hosts. A simulated cloud is one base URL, below which each host is a folder: the
//! service `https://HOST/path` is at `BASE/HOST/path`. Everything that comes back from a service and looks like a URL
//! (`contentUri`, `NextPageUri`, `nextLink`) passes [`Cloud::accept`] before anything is sent there: same scheme, host,
//! port and path prefix as the base of the service, nothing else. Exchange's redirects to its regional hosts are the
//! exception ([`Cloud::regional`]). Plain http is for this machine only.

mod regional;
mod service;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use downspout_core::ConfigError;
use downspout_core::config_values::HumanDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use url::{Host, Url};

pub use self::service::{CloudName, Service};

/// No byte for that long, and a request counts as broken. Busy tenants take long to answer: clients that give up after
/// a few seconds never get anything.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(90);

/// The key `cloud` as written: a name, or a table with `name`, `simulator`, `timeout`, and base URLs of single services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudConfig {
    name: CloudName,
    simulator: Option<String>,
    overrides: BTreeMap<Service, String>,
    timeout: Option<HumanDuration>,
}

impl CloudConfig {
    /// A simulated cloud below a base URL.
    pub fn simulator(base: impl Into<String>) -> CloudConfig {
        CloudConfig { simulator: Some(base.into()), ..CloudConfig::default() }
    }

    /// Which cloud it is, or is simulated.
    pub fn name(&self) -> CloudName {
        self.name
    }

    /// Checks it.
    ///
    /// # Errors
    /// URLs that are none, or that would carry tokens in the open.
    pub fn plan(&self) -> Result<Cloud, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut read = |key: &str, text: &str| match base_url(text) {
            Ok(url) => Some(url),
            Err(problem) => {
                errors.push(ConfigError::at(format!("cloud.{key}"), problem));
                None
            }
        };
        let simulator = self.simulator.as_deref().and_then(|text| read("simulator", text));
        let mut bases = BTreeMap::new();
        for service in Service::ALL {
            let real = service.host(self.name);
            let base = match (self.overrides.get(&service), &simulator, real) {
                (Some(text), _, _) => read(service.name(), text),
                (None, Some(simulator), Some(real)) => {
                    let host = real.split_once("//").map_or(real, |(_, host)| host);
                    base_url(&format!("{simulator}{host}")).ok()
                }
                (None, None, Some(real)) => Url::parse(real).ok(),
                (None, _, None) => None,
            };
            if let Some(base) = base {
                bases.insert(service, base);
            }
        }
        let timeout = self.timeout.map_or(TIMEOUT, |timeout| timeout.0);
        if timeout.is_zero() {
            errors.push(ConfigError::at("cloud.timeout", "must be longer than nothing"));
        }
        if errors.is_empty() { Ok(Cloud { name: self.name, simulator, bases, timeout }) } else { Err(errors) }
    }
}

struct CloudVisitor;

impl<'de> Visitor<'de> for CloudVisitor {
    type Value = CloudConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`worldwide`, `gcc`, `gcc_high`, `dod` or `china`, or a table such as { simulator: URL }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CloudConfig, E> {
        let found = CloudName::ALL.iter().find(|(name, _)| *name == text);
        let (_, name) = found.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
        Ok(CloudConfig { name: *name, ..CloudConfig::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CloudConfig, A::Error> {
        const KEYS: &[&str] = &[
            "name",
            "simulator",
            "timeout",
            "login",
            "management",
            "graph",
            "exchange",
            "reporting",
            "resource_manager",
            "devops_audit",
            "devops_accounts",
            "devops_catalog",
            "imds",
        ];
        let mut config = CloudConfig::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => config.name = map.next_value::<CloudConfig>()?.name,
                "simulator" => config.simulator = Some(map.next_value()?),
                "timeout" => config.timeout = Some(map.next_value()?),
                other => match Service::ALL.iter().find(|service| service.name() == other) {
                    Some(service) => drop(config.overrides.insert(*service, map.next_value()?)),
                    None => return Err(de::Error::unknown_field(other, KEYS)),
                },
            }
        }
        Ok(config)
    }
}

impl<'de> Deserialize<'de> for CloudConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CloudVisitor)
    }
}

impl JsonSchema for CloudConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cloud".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let url = || json_schema!({ "type": "string", "description": "The base URL of that service." });
        let mut table = serde_json::Map::new();
        table.insert("name".to_owned(), serde_json::json!({ "enum": CloudName::ALL.map(|(name, _)| name) }));
        table.insert("simulator".to_owned(), url().to_value());
        table.insert("timeout".to_owned(), generator.subschema_for::<HumanDuration>().to_value());
        for service in Service::ALL {
            table.insert(service.name().to_owned(), url().to_value());
        }
        json_schema!({
            "description": "Which of Microsoft's clouds the tenant is in.",
            "anyOf": [
                { "enum": CloudName::ALL.map(|(name, _)| name) },
                { "type": "object", "additionalProperties": false, "properties": table },
            ],
        })
    }
}

/// A cloud whose config was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    name: CloudName,
    simulator: Option<Url>,
    bases: BTreeMap<Service, Url>,
    timeout: Duration,
}

/// A URL that must not be followed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign(pub String);

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cloud {
    /// Which cloud it is, or is simulated.
    pub fn name(&self) -> CloudName {
        self.name
    }

    /// The base URL of a simulator, with a slash at its end.
    pub fn simulator(&self) -> Option<&Url> {
        self.simulator.as_ref()
    }

    /// How long a service may be silent, in the machine's time, before a request counts as broken.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether the cloud has that service.
    pub fn has(&self, service: Service) -> bool {
        self.bases.contains_key(&service)
    }

    /// The base URL of a service; empty if the cloud has none.
    pub fn address(&self, service: Service) -> &str {
        self.bases.get(&service).map_or("", Url::as_str)
    }

    /// A URL of a service: its base, and `path` (from `/` on, with query if there is one; already encoded).
    ///
    /// # Errors
    /// If the cloud has no such service, or `path` makes no URL below its base.
    pub fn url(&self, service: Service, path: &str) -> Result<Url, Foreign> {
        let base = self.base(service)?;
        self.accept(service, &format!("{base}{}", path.trim_start_matches('/')))
    }

    /// What a token for a service is asked for: `https://HOST`, as Microsoft calls the resource, whatever the service's
    /// address here. For Azure DevOps it is an id.
    pub fn resource(&self, service: Service) -> String {
        match service {
            Service::DevOpsAudit | Service::DevOpsAccounts | Service::DevOpsCatalog => {
                "499b84ac-1321-427f-aa17-267ca6975798".to_owned()
            }
            // The retired service belongs to Exchange, and takes its tokens.
            Service::Reporting => self.resource(Service::Exchange),
            _ => match (service.host(self.name), self.bases.get(&service)) {
                (Some(real), _) => real.to_owned(),
                (None, Some(base)) => base.as_str().trim_end_matches('/').to_owned(),
                (None, None) => String::new(),
            },
        }
    }

    /// Whether a token for `service` may be sent to a URL that a service gave: scheme, host, port and path prefix are
    /// those of the service's base, and there is no user name in it.
    ///
    /// # Errors
    /// [`Foreign`], with a reason that names the host and not the query, which may hold secrets.
    pub fn accept(&self, service: Service, text: &str) -> Result<Url, Foreign> {
        let base = self.base(service)?;
        let url = Url::parse(text).map_err(|error| Foreign(format!("no URL ({error})")))?;
        let same_origin = url.scheme() == base.scheme()
            && url.host() == base.host()
            && url.port_or_known_default() == base.port_or_known_default();
        if !same_origin || !url.path().starts_with(base.path()) {
            let shown = format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or(""), shorten(url.path()));
            return Err(Foreign(format!("{shown} is not below {base}, and tokens go nowhere else")));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Foreign("the URL holds a user name".to_owned()));
        }
        Ok(url)
    }

    fn base(&self, service: Service) -> Result<&Url, Foreign> {
        self.bases.get(&service).ok_or_else(|| {
            Foreign(format!(
                "the cloud `{}` has no {} service that Microsoft documents; give its address as `cloud: {{ name: {0}, {1}: \
                 https://... }}` if yours has one",
                self.name.as_str(),
                service.name()
            ))
        })
    }
}

fn shorten(path: &str) -> String {
    path.chars().take(80).collect()
}

/// A base URL: ends with a slash; https, or http on this machine (or the metadata service's fixed address).
fn base_url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("this is no URL: {error}"))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("the URL has no host".to_owned()),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && local) {
        return Err("tokens travel there, so it must be https; http is for this machine only".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("a base URL is scheme, host, port and path, nothing else".to_owned());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(json: serde_json::Value) -> Cloud {
        serde_json::from_value::<CloudConfig>(json).unwrap().plan().unwrap()
    }

    #[test]
    fn every_cloud_has_its_hosts() {
        let cases = [
            ("worldwide", Service::Management, "https://manage.office.com/x"),
            ("gcc", Service::Management, "https://manage-gcc.office.com/x"),
            ("gcc_high", Service::Graph, "https://graph.microsoft.us/x"),
            ("dod", Service::Exchange, "https://outlook-dod.office365.us/x"),
            ("china", Service::Login, "https://login.partner.microsoftonline.cn/x"),
        ];
        for (name, service, url) in cases {
            assert_eq!(cloud(name.into()).url(service, "/x").unwrap().as_str(), url);
        }
        let missing = cloud("china".into()).url(Service::Management, "/x").unwrap_err().to_string();
        assert!(missing.contains("the cloud `china` has no management service"), "{missing}");
    }

    #[test]
    fn a_simulated_cloud_has_the_hosts_as_folders_and_the_real_resources() {
        let cloud = cloud(serde_json::json!({ "simulator": "http://127.0.0.1:8600", "name": "gcc_high" }));
        let url = cloud.url(Service::Management, "/api/v1.0/t/activity/feed/audit/1$2$a?x=1").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:8600/manage.office365.us/api/v1.0/t/activity/feed/audit/1$2$a?x=1");
        assert_eq!(cloud.resource(Service::Management), "https://manage.office365.us");
        assert_eq!(cloud.resource(Service::Reporting), "https://outlook.office365.us");
        assert_eq!(cloud.simulator().unwrap().as_str(), "http://127.0.0.1:8600/");
    }

    #[test]
    fn tokens_go_only_below_the_base() {
        let real = cloud("worldwide".into());
        let simulated = cloud(serde_json::json!({ "simulator": "http://127.0.0.1:8600/sim" }));
        let good = [
            (&real, "https://manage.office.com/api/v1/t/activity/feed/x?nextPage=1"),
            (&real, "https://MANAGE.office.com:443/api"),
            (&simulated, "http://127.0.0.1:8600/sim/manage.office.com/api"),
        ];
        for (cloud, url) in good {
            assert!(cloud.accept(Service::Management, url).is_ok(), "{url}");
        }
        let bad = [
            (&real, "http://manage.office.com/api"),
            (&real, "https://manage.office.com.evil.example/api"),
            (&real, "https://manage.office.com@evil.example/api"),
            (&real, "https://user:word@manage.office.com/api"),
            (&real, "https://manage.office.com:8443/api"),
            (&real, "https://evil.example/manage.office.com/"),
            (&real, "//manage.office.com/api"),
            (&real, "file:///etc/passwd"),
            (&simulated, "http://127.0.0.1:8600/sim/graph.microsoft.com/api"),
            (&simulated, "http://127.0.0.1:8600/sim/manage.office.com/../graph.microsoft.com/api"),
            (&simulated, "http://127.0.0.1:8600/sim/manage.office.com/%2e%2e/graph.microsoft.com/api"),
            (&simulated, "http://127.0.0.1:8600/sim/manage.office.com.evil/api"),
            (&simulated, "http://127.0.0.1:8601/sim/manage.office.com/api"),
        ];
        for (cloud, url) in bad {
            assert!(cloud.accept(Service::Management, url).is_err(), "{url}");
        }
        let told = real.accept(Service::Management, "https://evil.example/x?token=hunter2").unwrap_err().to_string();
        assert!(told.contains("evil.example/x") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn wrong_configs_are_told() {
        let errors = |json| serde_json::from_value::<CloudConfig>(json).unwrap().plan().unwrap_err();
        let wrong = errors(serde_json::json!({ "graph": "http://example.com", "login": "nonsense" }));
        assert_eq!(wrong.iter().map(|error| error.key.as_str()).collect::<Vec<_>>(), ["cloud.login", "cloud.graph"]);
        let hasty = errors(serde_json::json!({ "timeout": "0s" }));
        assert_eq!(hasty[0].key, "cloud.timeout");
        let unknown = serde_json::from_value::<CloudConfig>("mars".into()).unwrap_err().to_string();
        assert!(unknown.contains("`gcc_high`"), "{unknown}");
        assert!(serde_json::from_value::<CloudConfig>(serde_json::json!({ "grahp": "x" })).is_err());
    }
}
