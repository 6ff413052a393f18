//! Virtual machines: the instance metadata service, at a link-local address that every one of them has.
//!
//! Microsoft documents it in "How to use managed identities for Azure resources on an Azure VM to acquire an access
//! token". The header keeps requests out that somebody tricks a server into.

use reqwest::{Client, RequestBuilder};

use super::{token_url, wrong};
use crate::auth::AuthError;
use crate::cloud::{Cloud, Service};

/// Asks for a token; `client_id` is empty for the identity of the machine itself.
pub(super) fn request(
    direct: &Client,
    cloud: &Cloud,
    resource: &str,
    client_id: &str,
) -> Result<RequestBuilder, AuthError> {
    let endpoint = cloud
        .url(Service::Imds, "/metadata/identity/oauth2/token")
        .map_err(|foreign| wrong(&foreign.to_string(), "check `cloud`"))?;
    let identity = (!client_id.is_empty()).then_some(("client_id", client_id));
    Ok(direct.get(token_url(endpoint, "2018-02-01", resource, identity)).header("Metadata", "true"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::ask;
    use crate::auth::Platform;
    use crate::client::tests::server::Reply;

    #[tokio::test]
    async fn the_metadata_service_is_asked_as_it_wants() {
        let mut count = 0;
        let (server, got) = ask(
            |_| Platform::VirtualMachine,
            "user",
            move |_| {
                count += 1;
                // Updating, then there.
                if count == 1 {
                    return Reply::new(410, "");
                }
                Reply::json(&json!({ "access_token": "t", "expires_in": "3599", "expires_on": "1" }))
            },
        )
        .await;
        assert_eq!(got.unwrap().expose(), "t");
        let hit = &server.hits()[1];
        assert_eq!(hit.path, "/169.254.169.254/metadata/identity/oauth2/token");
        assert_eq!(
            (hit.headers["metadata"].as_str(), hit.parameter("resource")),
            ("true", "https://graph.microsoft.com")
        );
        assert_eq!((hit.parameter("client_id"), hit.parameter("api-version")), ("user", "2018-02-01"));
    }

    #[tokio::test]
    async fn a_machine_without_an_identity_is_told() {
        let (server, got) = ask(|_| Platform::VirtualMachine, "", |_| Reply::new(400, "Identity not found")).await;
        let error = got.unwrap_err().to_string();
        assert!(error.contains("check that one is assigned to this machine"), "{error}");
        assert!(!server.hits()[0].query.contains_key("client_id"));
    }
}
