//! Azure Machine Learning: compute instances, clusters and endpoints.
//!
//! Microsoft documents the variables only; the request is the one that its own libraries make (Azure Identity for Python,
//! `azure_ml.py`; MSAL for .NET). This old version of the endpoint calls the identity `clientid`, and where none is named
//! wants the one that the platform says.

use downspout_core::config_values::Secret;
use reqwest::{Client, RequestBuilder};
use url::Url;

use super::token_url;

/// What the platform puts into the environment.
#[derive(Debug, Clone)]
pub struct MachineLearning {
    /// `MSI_ENDPOINT`.
    pub(super) endpoint: Url,
    /// `MSI_SECRET`.
    pub(super) secret: Secret,
    /// `DEFAULT_IDENTITY_CLIENT_ID`: the identity of the compute.
    pub(super) default_client: Option<String>,
}

impl MachineLearning {
    /// Asks for a token; `client_id` is empty for the identity of the compute.
    pub(super) fn request(&self, direct: &Client, resource: &str, client_id: &str) -> RequestBuilder {
        let client_id = Some(client_id).filter(|id| !id.is_empty()).or(self.default_client.as_deref());
        let url = token_url(self.endpoint.clone(), "2017-09-01", resource, client_id.map(|id| ("clientid", id)));
        direct.get(url).header("secret", self.secret.expose())
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
    async fn machine_learning_is_asked_as_it_wants() {
        let learning = |base: &str| {
            let endpoint = format!("{base}/MSI/auth").parse().unwrap();
            let default_client = Some("compute".to_owned());
            Platform::MachineLearning(MachineLearning { endpoint, secret: Secret::new("s"), default_client })
        };
        let until = start().as_second() + 1000;
        for (client_id, asked) in [("", "compute"), ("user", "user")] {
            let answer = move |_: &_| Reply::json(&json!({ "access_token": "t", "expires_on": until.to_string() }));
            let (server, got) = ask(learning, client_id, answer).await;
            assert_eq!(got.unwrap().expires(), plus(start(), Duration::from_secs(1000)));
            let hit = &server.hits()[0];
            assert_eq!((hit.path.as_str(), hit.headers["secret"].as_str()), ("/MSI/auth", "s"));
            assert_eq!((hit.parameter("api-version"), hit.parameter("clientid")), ("2017-09-01", asked));
        }
    }
}
