//! App Service, Functions and Container Apps: an endpoint of the platform, and a header that other processes on its
//! network do not know.
//!
//! Microsoft documents it in "How to use managed identities for App Service and Azure Functions", REST endpoint
//! reference.

use downspout_core::config_values::Secret;
use reqwest::{Client, RequestBuilder};
use url::Url;

use super::token_url;

/// What the platform puts into the environment.
#[derive(Debug, Clone)]
pub struct AppService {
    /// `IDENTITY_ENDPOINT`.
    pub(super) endpoint: Url,
    /// `IDENTITY_HEADER`.
    pub(super) header: Secret,
}

impl AppService {
    /// Asks for a token; `client_id` is empty for the system-assigned identity.
    pub(super) fn request(&self, direct: &Client, resource: &str, client_id: &str) -> RequestBuilder {
        let identity = (!client_id.is_empty()).then_some(("client_id", client_id));
        let url = token_url(self.endpoint.clone(), "2019-08-01", resource, identity);
        direct.get(url).header("X-IDENTITY-HEADER", self.header.expose())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::testing::ask;
    use super::*;
    use crate::auth::Platform;
    use crate::client::tests::server::Reply;
    use crate::client::tests::start;
    use crate::clock::plus;

    #[tokio::test]
    async fn an_app_service_is_asked_as_it_wants() {
        let service = |base: &str| {
            let endpoint = format!("{base}/msi/token").parse().unwrap();
            Platform::AppService(AppService { endpoint, header: Secret::new("h") })
        };
        let until = start().as_second() + 1000;
        let answer = move |_: &_| Reply::json(&json!({ "access_token": "t", "expires_on": until.to_string() }));
        let (server, got) = ask(service, "user", answer).await;
        assert_eq!(got.unwrap().expires(), plus(start(), Duration::from_secs(1000)));
        let hit = &server.hits()[0];
        assert_eq!((hit.path.as_str(), hit.headers["x-identity-header"].as_str()), ("/msi/token", "h"));
        assert_eq!((hit.parameter("api-version"), hit.parameter("client_id")), ("2019-08-01", "user"));
    }
}
