//! The key `auth`: how an application proves who it is.

use std::path::PathBuf;

use downspout_core::ConfigError;
use downspout_core::config_values::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// How the application signs in: exactly one of `client_secret`, `certificate`, `managed_identity`,
/// `federated_token_file` and `device_code`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// The application's (client) id in Entra. With `managed_identity` the id of a user-assigned identity, if it is one.
    pub client_id: Option<String>,
    /// A client secret.
    pub client_secret: Option<Secret>,
    /// A file with the application's certificate and its private key, as PEM (the key encrypted or not) or PFX (PKCS #12).
    pub certificate: Option<PathBuf>,
    /// The password of a PFX file, or of the encrypted key in a PEM file.
    pub password: Option<Secret>,
    /// Use the managed identity of the machine that downspout runs on: a virtual machine, App Service, Functions, Container
    /// Apps, Service Fabric, Azure Machine Learning, or a machine of Azure Arc.
    #[serde(default)]
    pub managed_identity: bool,
    /// A file with a token of another issuer (workload identity federation); Kubernetes names it in
    /// `AZURE_FEDERATED_TOKEN_FILE`. It is read anew for every token.
    pub federated_token_file: Option<PathBuf>,
    /// Ask a person to sign in with a code, once for all sources: for interactive collection, not for services.
    #[serde(default)]
    pub device_code: bool,
}

/// How the application signs in, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// A client secret.
    Secret(Secret),
    /// A file with certificate and key, and its password.
    Certificate(PathBuf, Option<Secret>),
    /// The identity of the machine.
    ManagedIdentity,
    /// A file with another issuer's token.
    Federated(PathBuf),
    /// A person.
    DeviceCode,
}

/// A checked `auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The application's id; empty for a system-assigned identity.
    pub client_id: String,
    /// How it signs in.
    pub method: Method,
}

impl AuthConfig {
    /// Checks it. `key` is where it stands in the config (`auth`, `tenants.0.auth`).
    ///
    /// # Errors
    /// All mistakes.
    pub fn plan(&self, key: &str) -> Result<Credential, Vec<ConfigError>> {
        let mut methods = Vec::new();
        methods.extend(self.client_secret.clone().map(Method::Secret));
        methods.extend(self.certificate.clone().map(|path| Method::Certificate(path, self.password.clone())));
        methods.extend(self.managed_identity.then_some(Method::ManagedIdentity));
        methods.extend(self.federated_token_file.clone().map(Method::Federated));
        methods.extend(self.device_code.then_some(Method::DeviceCode));
        let mut errors = Vec::new();
        let at = |name: &str| format!("{key}.{name}");
        if methods.len() != 1 {
            let found = if methods.is_empty() { "there is none" } else { "there are several" };
            let message = format!(
                "exactly one of client_secret, certificate, managed_identity, federated_token_file and device_code is needed; {found}"
            );
            errors.push(ConfigError::at(key, message));
        }
        if self.password.is_some() && self.certificate.is_none() {
            errors.push(ConfigError::at(at("password"), "it belongs to a `certificate`, and there is none"));
        }
        let client_id = self.client_id.clone().unwrap_or_default();
        if client_id.is_empty() && !matches!(methods.first(), None | Some(Method::ManagedIdentity)) {
            errors.push(ConfigError::at(key, "client_id is missing: the application's (client) id in Entra"));
        }
        match (methods.pop(), errors.is_empty()) {
            (Some(method), true) => Ok(Credential { client_id, method }),
            _ => Err(errors),
        }
    }
}
