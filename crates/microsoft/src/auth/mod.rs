//! Tokens: fetched, kept, renewed before they expire.
//!
//! A token is renewed when a quarter of its life is left, or five minutes, whichever is less. One renewal is under way
//! at a time for each resource; whoever needs the token meanwhile waits for it. While a renewal fails in a way that
//! passes, the old token is used for as long as it is valid. A token that a service refuses is forgotten
//! ([`Tokens::forget`]), and the next [`Tokens::get`] fetches a new one.

mod assertion;
mod codes;
mod config;
mod grant;
mod identity;
mod key_file;
mod people;
mod verdict;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use downspout_core::config_values::Secret;
use downspout_core::metrics::ComponentMetrics;
use jiff::Timestamp;

pub use self::config::{AuthConfig, Credential, Method};
pub use self::identity::Platform;
pub use self::people::People;
use self::people::Person;
pub use self::verdict::AuthError;
use crate::clock::{Clock, between, minus, plus};
use crate::cloud::Cloud;

/// A token is renewed that long before it expires.
const MARGIN: Duration = Duration::from_secs(300);

/// A token for one resource.
#[derive(Debug, Clone)]
pub struct Token {
    text: Secret,
    resource: Arc<str>,
    expires: Timestamp,
    renew: Timestamp,
    /// Whether a service has accepted it.
    worked: Arc<AtomicBool>,
}

impl Token {
    fn new(text: Secret, resource: Arc<str>, now: Timestamp, lifetime: Duration) -> Token {
        let expires = plus(now, lifetime);
        let renew = minus(expires, MARGIN.min(lifetime / 4));
        Token { text, resource, expires, renew, worked: Arc::default() }
    }

    /// The text, for a request header and nothing else.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// A service has accepted it.
    pub fn set_worked(&self) {
        self.worked.store(true, Ordering::Relaxed);
    }

    /// Whether a service has accepted it. If it is refused later, it has died, and nothing is wrong with permissions.
    pub fn has_worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }

    /// When it expires.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// What tokens are fetched with.
#[derive(Debug, Clone)]
pub struct TokenSetup {
    /// For Entra's token endpoint.
    pub http: reqwest::Client,
    /// For the metadata service: a client without a proxy.
    pub direct: reqwest::Client,
    /// Where the login service is.
    pub cloud: Cloud,
    /// The time.
    pub clock: Clock,
    /// The tenant's id, a GUID.
    pub tenant_id: String,
    /// The `tenant` label of metrics.
    pub tenant: String,
    /// How the application signs in.
    pub credential: Credential,
    /// Where the managed identity's tokens come from, if it is one that signs in.
    pub platform: Platform,
    /// Who signed in already, in this pipeline.
    pub people: Arc<People>,
    /// The source's metrics.
    pub metrics: ComponentMetrics,
}

/// The tokens of one tenant. Clones share them.
#[derive(Debug, Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    setup: TokenSetup,
    kept: Mutex<BTreeMap<Arc<str>, Arc<Slot>>>,
    /// Who signs in, if a person does.
    person: Arc<Person>,
}

/// The lock is held while a token is fetched: that is what makes others wait.
type Slot = tokio::sync::Mutex<Option<Token>>;

impl Tokens {
    /// No token yet.
    pub fn new(setup: TokenSetup) -> Tokens {
        let person = setup.people.who(&setup);
        Tokens { inner: Arc::new(Inner { setup, kept: Mutex::default(), person }) }
    }

    /// The tenant's id, and the application's: whom requests with these tokens are counted for.
    pub fn identity(&self) -> (&str, &str) {
        (&self.inner.setup.tenant_id, &self.inner.setup.credential.client_id)
    }

    /// A valid token for a resource ([`Cloud::resource`]).
    ///
    /// # Errors
    /// [`AuthError`] if none can be had.
    pub async fn get(&self, resource: &str) -> Result<Token, AuthError> {
        let slot = self.slot(resource);
        let mut kept = slot.lock().await;
        let now = self.inner.setup.clock.now();
        if let Some(token) = kept.as_ref().filter(|token| now < token.renew) {
            return Ok(token.clone());
        }
        match grant::fetch(&self.inner, resource).await {
            Ok((text, lifetime)) => {
                let now = self.inner.setup.clock.now();
                let token = Token::new(text, resource.into(), now, lifetime);
                *kept = Some(token.clone());
                Ok(token)
            }
            Err(error) => {
                let left = kept.as_ref().map_or(Duration::ZERO, |token| between(now, token.expires));
                match kept.as_ref() {
                    Some(token) if error.is_transient() && !left.is_zero() => {
                        tracing::debug!(tenant = self.inner.setup.tenant, "{error}; the old token is used on");
                        Ok(token.clone())
                    }
                    _ => Err(error),
                }
            }
        }
    }

    /// A service refused this token: the next one is fetched anew, unless that has happened already.
    pub async fn forget(&self, token: &Token) {
        let slot = self.slot(&token.resource);
        let mut kept = slot.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.text == token.text) {
            *kept = None;
        }
    }

    fn slot(&self, resource: &str) -> Arc<Slot> {
        // Nothing that holds the lock can panic half way.
        let mut kept = self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = kept.get(resource) {
            return Arc::clone(slot);
        }
        Arc::clone(kept.entry(resource.into()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::server::{Reply, Server};
    use crate::client::tests::{TENANT, token_setup};

    #[tokio::test]
    async fn a_refused_token_is_forgotten_while_it_is_handed_out() {
        let mut count = 0;
        let server = Server::start(move |_| {
            count += 1;
            Reply::token(&format!("token-{count}"), 3600)
        })
        .await;
        let method = Method::Secret(Secret::new("s3cret"));
        let tokens = Tokens::new(token_setup(&server, Credential { client_id: TENANT.to_owned(), method }));
        let dead = tokens.get("r").await.unwrap();
        // As `get` holds it for others.
        let slot = tokens.slot("r");
        let held = slot.lock().await;
        let handed_out = async move {
            tokio::task::yield_now().await;
            drop(held);
        };
        tokio::join!(tokens.forget(&dead), handed_out);
        let new = tokens.get("r").await.unwrap();
        assert_eq!(new.expose(), "token-2");
        // Who comes late with the old one spoils nothing.
        tokens.forget(&dead).await;
        assert_eq!(tokens.get("r").await.unwrap().expose(), "token-2");
    }
}
