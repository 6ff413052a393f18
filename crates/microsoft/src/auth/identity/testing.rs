//! What the platforms' tests share.

use super::super::{Credential, Method, Token, TokenSetup, Tokens};
use super::surroundings::Surroundings;
use super::{AuthError, Platform};
use crate::client::tests::server::{Hit, Reply, Server};
use crate::client::tests::token_setup;

/// Variables of an environment.
pub(super) fn surroundings(variables: &[(&'static str, &str)]) -> Surroundings {
    let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Surroundings { variables, has_arc_agent: false }
}

/// Asks a platform at a scripted service, whose base URL makes it, for a token of Graph's.
pub(super) async fn ask(
    platform: impl FnOnce(&str) -> Platform,
    client_id: &str,
    answer: impl FnMut(&Hit) -> Reply + Send + 'static,
) -> (Server, Result<Token, AuthError>) {
    let server = Server::start(answer).await;
    let credential = Credential { client_id: client_id.to_owned(), method: Method::ManagedIdentity };
    let setup = TokenSetup { platform: platform(&server.base), ..token_setup(&server, credential) };
    let got = Tokens::new(setup).get("https://graph.microsoft.com").await;
    (server, got)
}
