//! What the environment says about the platform, and which addresses out of it are asked for tokens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use downspout_core::config_values::Secret;
use url::{Host, Url};

/// The variables that platforms set.
const VARIABLES: [&str; 7] = [
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "DEFAULT_IDENTITY_CLIENT_ID",
];

/// The environment, as far as it matters here.
pub(super) struct Surroundings {
    /// The variables that are set, by their names.
    pub(super) variables: BTreeMap<&'static str, String>,
    /// Whether Azure Arc's agent is on this machine. Services do not always have its variables.
    pub(super) has_arc_agent: bool,
}

/// How far away an endpoint may be, and how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// On this machine, by http.
    Machine,
    /// On this machine or in the platform's network, by http. App Service has used loopback, link-local and private
    /// addresses.
    Platform,
    /// As [`Reach::Platform`], but by https to a server whose certificate is known.
    Pinned,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn current() -> Surroundings {
        let variable = |name: &'static str| Some((name, std::env::var(name).ok()?));
        let program = match std::env::var_os("ProgramFiles").filter(|_| cfg!(windows)) {
            Some(folder) => Path::new(&folder).join("AzureConnectedMachineAgent").join("himds.exe"),
            None => PathBuf::from("/opt/azcmagent/bin/himds"),
        };
        Surroundings {
            variables: VARIABLES.into_iter().filter_map(variable).collect(),
            has_arc_agent: program.is_file(),
        }
    }

    /// A variable that is set, and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The secret in a variable; empty if it is not set.
    pub(super) fn secret(&self, name: &str) -> Secret {
        Secret::new(self.get(name).unwrap_or_default())
    }

    /// The address in a variable.
    ///
    /// # Errors
    /// If none is in it, or one that is out of reach.
    pub(super) fn address(&self, name: &str, reach: Reach) -> Result<Url, String> {
        let text = self.get(name).unwrap_or_default();
        let url = Url::parse(text).map_err(|error| format!("`{name}` in the environment is no URL: {error}"))?;
        let scheme = if reach == Reach::Pinned { "https" } else { "http" };
        let near = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => is_near(address.into(), reach),
            Some(Host::Ipv6(address)) => is_near(address.into(), reach),
            None => false,
        };
        if near && url.scheme() == scheme && url.username().is_empty() && url.password().is_none() {
            return Ok(url);
        }
        let place = match reach {
            Reach::Machine => "this machine",
            Reach::Platform | Reach::Pinned => "this machine or a private address of its platform",
        };
        let shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        Err(format!(
            "`{name}` in the environment leads to {shown}, and an identity's tokens come over {scheme} from {place} only; \
             correct or unset it"
        ))
    }
}

fn is_near(address: IpAddr, reach: Reach) -> bool {
    let private = matches!(address, IpAddr::V4(address) if address.is_link_local() || address.is_private());
    address.is_loopback() || (private && reach != Reach::Machine)
}

#[cfg(test)]
mod tests {
    use super::super::testing::surroundings;
    use super::*;

    #[test]
    fn only_near_addresses_are_asked() {
        let good = [
            ("http://127.0.0.1:41299/msi/token", Reach::Platform),
            ("http://localhost:42356/msi/token", Reach::Platform),
            ("http://169.254.129.2:8081/msi/token", Reach::Platform),
            ("http://172.16.1.3:8081/msi/token", Reach::Platform),
            ("http://[::1]:8081/msi/token", Reach::Platform),
            ("http://localhost:40342/metadata/identity/oauth2/token", Reach::Machine),
            ("https://10.0.0.4:2377/metadata/identity/oauth2/token", Reach::Pinned),
        ];
        for (text, reach) in good {
            let url = surroundings(&[("IDENTITY_ENDPOINT", text)]).address("IDENTITY_ENDPOINT", reach);
            assert_eq!(url.map(String::from).as_deref(), Ok(text));
        }
        let bad = [
            ("http://evil.example/msi/token?secret=hunter2", Reach::Platform),
            ("http://localhost.evil.example/msi/token", Reach::Platform),
            ("http://127.0.0.1.evil.example/msi/token", Reach::Platform),
            ("http://127.0.0.1@evil.example/msi/token", Reach::Platform),
            ("http://hunter2@127.0.0.1/msi/token", Reach::Platform),
            ("http://203.0.113.7/msi/token", Reach::Platform),
            ("http://[2001:db8::1]/msi/token", Reach::Platform),
            ("https://127.0.0.1/msi/token", Reach::Platform),
            ("file:///msi/token", Reach::Platform),
            ("nonsense", Reach::Platform),
            ("http://169.254.169.254/metadata", Reach::Machine),
            ("http://10.0.0.4:2377/metadata", Reach::Pinned),
            ("https://203.0.113.7/metadata", Reach::Pinned),
        ];
        for (text, reach) in bad {
            let problem = surroundings(&[("IDENTITY_ENDPOINT", text)]).address("IDENTITY_ENDPOINT", reach).unwrap_err();
            assert!(problem.contains("`IDENTITY_ENDPOINT`") && !problem.contains("hunter2"), "{text}: {problem}");
        }
    }
}
