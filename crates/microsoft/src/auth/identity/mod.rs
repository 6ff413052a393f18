//! Managed identities: Azure vouches for what runs on its machines, and gives it tokens at an address that only these
//! can reach.
//!
//! | where | address | told by | file |
//! |---|---|---|---|
//! | virtual machine, scale set, AKS node | `169.254.169.254` | nothing else fits | `imds` |
//! | App Service, Functions, Container Apps | `IDENTITY_ENDPOINT` | `IDENTITY_HEADER` | `app_service` |
//! | Service Fabric | `IDENTITY_ENDPOINT` | `IDENTITY_HEADER`, `IDENTITY_SERVER_THUMBPRINT` | `fabric` |
//! | Azure Machine Learning | `MSI_ENDPOINT` | `MSI_SECRET` | `learning` |
//! | Azure Arc (machines elsewhere) | `IDENTITY_ENDPOINT` | `IMDS_ENDPOINT`, or its agent's program | `arc` |
//!
//! The order in which they are told apart is that of Microsoft's own libraries (MSAL for Python). An address out of the
//! environment is asked only if it is on this machine or in the platform's own network (`surroundings`), and never
//! through a proxy. Azure Cloud Shell gives out its user's tokens, not an identity's; there `device_code` serves.

mod app_service;
mod arc;
mod fabric;
mod imds;
mod learning;
mod surroundings;
#[cfg(test)]
mod testing;

use std::time::Duration;

use downspout_core::StageError;
use reqwest::RequestBuilder;
use serde_json::Value;
use url::Url;

use self::app_service::AppService;
use self::arc::AzureArc;
use self::fabric::ServiceFabric;
use self::learning::MachineLearning;
use self::surroundings::{Reach, Surroundings};
use super::grant::{Granted, Reply, granted, number, send};
use super::{AuthError, Inner};
use crate::client::{Backoff, Verdict};

/// The endpoints answer at once, or are not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// The `api` label of metrics.
const API: &str = "managed_identity";

/// Which platform downspout runs on, and where that gives out tokens.
#[derive(Debug, Clone)]
pub enum Platform {
    /// A virtual machine of Azure's.
    VirtualMachine,
    /// App Service, Functions or Container Apps.
    AppService(AppService),
    /// Service Fabric.
    ServiceFabric(ServiceFabric),
    /// Azure Machine Learning.
    MachineLearning(MachineLearning),
    /// A machine elsewhere that Azure Arc looks after.
    AzureArc(AzureArc),
}

impl Platform {
    /// As the environment and the agents on this machine say.
    ///
    /// # Errors
    /// If an address in the environment is none that tokens may come from, or the platform is none of these.
    pub fn from_environment() -> Result<Platform, StageError> {
        Platform::tell(&Surroundings::current())
            .map_err(|problem| StageError::stop("managed_identity", format!("the managed identity: {problem}")))
    }

    fn tell(surroundings: &Surroundings) -> Result<Platform, String> {
        let is_set = |name| surroundings.get(name).is_some();
        let identity = |reach| surroundings.address("IDENTITY_ENDPOINT", reach);
        if is_set("IDENTITY_ENDPOINT") && is_set("IDENTITY_HEADER") {
            let header = surroundings.secret("IDENTITY_HEADER");
            if let Some(thumbprint) = surroundings.get("IDENTITY_SERVER_THUMBPRINT") {
                let fabric = ServiceFabric::new(identity(Reach::Pinned)?, header, thumbprint)?;
                return Ok(Platform::ServiceFabric(fabric));
            }
            return Ok(Platform::AppService(AppService { endpoint: identity(Reach::Platform)?, header }));
        }
        if is_set("MSI_ENDPOINT") && is_set("MSI_SECRET") {
            return Ok(Platform::MachineLearning(MachineLearning {
                endpoint: surroundings.address("MSI_ENDPOINT", Reach::Platform)?,
                secret: surroundings.secret("MSI_SECRET"),
                default_client: surroundings.get("DEFAULT_IDENTITY_CLIENT_ID").map(str::to_owned),
            }));
        }
        if is_set("IDENTITY_ENDPOINT") && is_set("IMDS_ENDPOINT") {
            return Ok(Platform::AzureArc(AzureArc::at(identity(Reach::Machine)?)));
        }
        if surroundings.has_arc_agent {
            return Ok(Platform::AzureArc(AzureArc::standard()?));
        }
        if is_set("MSI_ENDPOINT") {
            return Err(
                "this is Azure Cloud Shell, which gives out its user's tokens and no identity's; sign in with \
                        `device_code: true`"
                    .to_owned(),
            );
        }
        Ok(Platform::VirtualMachine)
    }
}

/// A token of the identity for a resource. The platform is asked again while it is being updated.
pub(super) async fn fetch(inner: &Inner, resource: &str) -> Result<Granted, AuthError> {
    let clock = &inner.setup.clock;
    let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(20));
    loop {
        let error = match ask(inner, resource).await {
            Ok(reply) if reply.status == 200 => return identity_granted(&reply, clock.now().as_second()),
            Ok(reply) => refused(&reply),
            Err(error) => error,
        };
        if !error.is_transient() || backoff.failures() >= 4 {
            return Err(AuthError { verdict: Verdict::Stop, ..error });
        }
        clock.sleep(backoff.next()).await;
    }
}

async fn ask(inner: &Inner, resource: &str) -> Result<Reply, AuthError> {
    let setup = &inner.setup;
    let client_id = &setup.credential.client_id;
    let request = match &setup.platform {
        Platform::VirtualMachine => imds::request(&setup.direct, &setup.cloud, resource, client_id)?,
        Platform::AppService(service) => service.request(&setup.direct, resource, client_id),
        Platform::MachineLearning(learning) => learning.request(&setup.direct, resource, client_id),
        Platform::ServiceFabric(fabric) => fabric.request(resource, client_id)?,
        Platform::AzureArc(arc) => return arc.ask(inner, resource).await,
    };
    exchange(inner, request).await
}

/// Where a platform is asked for a token, in that version of its API. `identity`: which one, and how this version calls it.
fn token_url(mut endpoint: Url, version: &str, resource: &str, identity: Option<(&str, &str)>) -> Url {
    let pairs = [("api-version", version), ("resource", resource)];
    endpoint.query_pairs_mut().extend_pairs(pairs.into_iter().chain(identity));
    endpoint
}

/// One request and its answer. What cannot be reached is tried again, as that may pass.
async fn exchange(inner: &Inner, request: RequestBuilder) -> Result<Reply, AuthError> {
    send(inner, request.timeout(PATIENCE), API).await.map_err(|error| match error.code.as_str() {
        // Only a node of Service Fabric has one.
        "certificate" => AuthError {
            meaning:
                "the endpoint is not the holder of the certificate that `IDENTITY_SERVER_THUMBPRINT` names, and got \
                      no secret; restart the service if the node has renewed its certificate"
                    .to_owned(),
            ..error
        },
        _ if error.is_transient() => AuthError {
            meaning: "no managed identity answers here; it exists on Azure's machines only, and on those of Azure Arc"
                .to_owned(),
            ..error
        },
        _ => error,
    })
}

fn refused(reply: &Reply) -> AuthError {
    // The platforms say 404, 410 and 429 while they are updated.
    let passes = matches!(reply.status, 404 | 410 | 429 | 500..=599);
    let verdict = if passes { Verdict::Retry } else { Verdict::Stop };
    let told = String::from_utf8_lossy(&reply.body[..reply.body.len().min(1000)]).into_owned();
    let meaning = "the managed identity gave no token; check that one is assigned to this machine, and for a \
                   user-assigned one `client_id`";
    AuthError { status: Some(reply.status), ..AuthError::new(verdict, API, &told, meaning) }
}

/// A mistake that asking again does not mend.
fn wrong(told: &str, meaning: &str) -> AuthError {
    AuthError::new(Verdict::Stop, API, told, meaning)
}

/// On platforms where an identity cannot be chosen, none may be named: another one's tokens would come in silence.
fn only_one(client_id: &str, meaning: &str) -> Result<(), AuthError> {
    if client_id.is_empty() { Ok(()) } else { Err(wrong("an identity cannot be chosen here", meaning)) }
}

/// Only `expires_on`, in seconds since 1970, is sure to be there.
fn identity_granted(reply: &Reply, now: i64) -> Result<Granted, AuthError> {
    let (token, lifetime) = granted(reply)?;
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let until = number(&json, "expires_on").and_then(|on| u64::try_from(i64::try_from(on).ok()? - now).ok());
    let has_own = number(&json, "expires_in").is_some();
    Ok((token, until.filter(|_| !has_own).map_or(lifetime, Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use super::testing::surroundings;
    use super::*;

    fn told(variables: &[(&'static str, &str)], has_arc_agent: bool) -> Result<&'static str, String> {
        Platform::tell(&Surroundings { has_arc_agent, ..surroundings(variables) }).map(|platform| match platform {
            Platform::VirtualMachine => "machine",
            Platform::AppService(_) => "app service",
            Platform::ServiceFabric(_) => "fabric",
            Platform::MachineLearning(_) => "learning",
            Platform::AzureArc(_) => "arc",
        })
    }

    #[test]
    fn platforms_are_told_apart() {
        const THUMBPRINT: &str = "0123456789abcdef0123456789ABCDEF01234567";
        let http = ("IDENTITY_ENDPOINT", "http://169.254.129.2:8081/msi/token");
        let https = ("IDENTITY_ENDPOINT", "https://10.0.0.4:2377/metadata/identity/oauth2/token");
        let local = ("IDENTITY_ENDPOINT", "http://localhost:40342/metadata/identity/oauth2/token");
        let header = ("IDENTITY_HEADER", "h");
        let agent = ("IMDS_ENDPOINT", "http://localhost:40342");
        let learning = [("MSI_ENDPOINT", "http://127.0.0.1:46808/MSI/auth"), ("MSI_SECRET", "s")];
        for (variables, has_arc_agent, platform) in [
            (&[][..], false, "machine"),
            (&[("IDENTITY_HEADER", "h"), ("IDENTITY_ENDPOINT", "")], false, "machine"),
            (&[http, header], true, "app service"),
            // App Service sets the older variables as well.
            (&[http, header, learning[0], learning[1]], false, "app service"),
            (&[https, header, ("IDENTITY_SERVER_THUMBPRINT", THUMBPRINT)], false, "fabric"),
            (&learning, false, "learning"),
            (&[local, agent], false, "arc"),
            (&[], true, "arc"),
        ] {
            assert_eq!(told(variables, has_arc_agent).as_deref(), Ok(platform), "{variables:?}");
        }
        for (variables, words) in [
            (&[("IDENTITY_ENDPOINT", "http://evil.example/msi/token"), header][..], "`IDENTITY_ENDPOINT`"),
            (&[("MSI_ENDPOINT", "http://203.0.113.5/MSI/auth"), learning[1]], "`MSI_ENDPOINT`"),
            (&[http, agent], "`IDENTITY_ENDPOINT`"),
            (&[http, header, ("IDENTITY_SERVER_THUMBPRINT", THUMBPRINT)], "https"),
            (&[https, header, ("IDENTITY_SERVER_THUMBPRINT", "abc")], "`IDENTITY_SERVER_THUMBPRINT`"),
            (&learning[..1], "Cloud Shell"),
        ] {
            let problem = told(variables, false).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
