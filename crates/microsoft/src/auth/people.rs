//! People who signed in: one who did is not asked again, by whatever source of the pipeline and for whatever resource.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use downspout_core::config_values::Secret;

use super::{AuthError, TokenSetup};
use crate::cloud::Service;

/// The people of a pipeline, by where and for which tenant and application they sign in.
#[derive(Debug, Default)]
pub struct People(Mutex<BTreeMap<[String; 3], Arc<Person>>>);

/// The lock is held while a person is asked: others wait for the answer.
pub(super) type Person = tokio::sync::Mutex<Answer>;

/// What a person has answered so far.
#[derive(Debug, Default)]
pub(super) enum Answer {
    /// Nothing: nobody asked.
    #[default]
    None,
    /// A sign-in, which left a refresh token behind.
    SignedIn(Secret),
    /// No, or nothing while there was time.
    Refused(AuthError),
}

impl People {
    /// Whoever signs in for these tokens.
    pub(super) fn who(&self, setup: &TokenSetup) -> Arc<Person> {
        let login = setup.cloud.address(Service::Login).to_owned();
        let key = [login, setup.tenant_id.clone(), setup.credential.client_id.clone()];
        // Nothing that holds the lock can panic half way.
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }
}
