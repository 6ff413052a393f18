//! Who signs in, and with what.

use std::path::Path;

use downspout_core::config_values::Secret;
use downspout_core::metrics::ComponentMetrics;
use downspout_core::{ConfigError, Shared};
use downspout_microsoft::auth::AuthConfig;
use downspout_microsoft::cloud::{CloudConfig, Service};
use downspout_microsoft::config::Common;

use super::args::CollectArguments;
use super::config;

/// What the config may look up by name, so that it holds no secret itself.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// The application's secret.
    secret: Option<Secret>,
    /// The certificate's password.
    password: Option<Secret>,
    /// What a person's sign-in left behind.
    pub(super) refresh_token: Option<Secret>,
}

impl Secrets {
    /// Reads what the arguments name.
    ///
    /// # Errors
    /// If they name no way to sign in, or one that is not there.
    pub(super) fn read(arguments: &CollectArguments) -> Result<Secrets, String> {
        let variable = |name: &String| {
            let value = std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?;
            if value.is_empty() {
                Err(format!("the environment variable {name} is empty"))
            } else {
                Ok(Secret::new(&value))
            }
        };
        let readable =
            |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
        let mut secrets = Secrets::default();
        if let Some(name) = &arguments.client_secret_env {
            secrets.secret = Some(variable(name)?);
        } else if let Some(path) = &arguments.client_secret_file {
            let text = readable(path)?;
            let text = String::from_utf8_lossy(&text);
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                return Err(format!("{} is empty: it should hold the application's secret", path.display()));
            }
            secrets.secret = Some(Secret::new(text));
        } else if let Some(path) = &arguments.certificate {
            readable(path)?;
            secrets.password = arguments.certificate_password_env.as_ref().map(variable).transpose()?;
        } else if !arguments.device_code {
            let ways = "--client-secret-env, --client-secret-file, --certificate or --device-code";
            return Err(format!("say how to sign in: {ways}"));
        }
        Ok(secrets)
    }

    /// What stands behind a name in the config. The refresh token is empty before anybody has signed in.
    pub(super) fn of(&self, name: &str) -> Option<String> {
        let told = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        match name {
            config::SECRET => told(&self.secret),
            config::PASSWORD => told(&self.password),
            config::REFRESH_TOKEN => Some(told(&self.refresh_token).unwrap_or_default()),
            _ => None,
        }
    }
}

/// Lets a person sign in, once for all sources: shows the code, and waits until somebody has entered it.
///
/// # Errors
/// If nobody does, or is not let in.
pub(super) async fn sign_in(arguments: &CollectArguments) -> Result<Option<Secret>, String> {
    let auth = AuthConfig { client_id: Some(arguments.client_id.clone()), device_code: true, ..AuthConfig::default() };
    let tenant_id = Some(arguments.tenant_id.clone());
    let common = Common { tenant_id, auth: Some(auth), cloud: cloud(arguments)?, ..Common::default() };
    let wrong = |errors: Vec<ConfigError>| errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ");
    let setup = common.plan().map_err(wrong)?;
    let metrics = ComponentMetrics::detached("sign-in", "source", "collect").map_err(|error| error.to_string())?;
    let connections = setup.connect_with(&metrics, &Shared::default()).await.map_err(|error| error.to_string())?;
    let Some(connection) = connections.first() else { return Ok(None) };
    let tokens = connection.client.tokens();
    tokens.get(&setup.cloud().resource(Service::Graph)).await.map_err(|error| format!("cannot sign in: {error}"))?;
    Ok(tokens.refresh_token().await)
}

/// The cloud that is collected from.
///
/// # Errors
/// If it has no such name.
pub(super) fn cloud(arguments: &CollectArguments) -> Result<CloudConfig, String> {
    serde_json::from_value(config::cloud(arguments)).map_err(|error| format!("--cloud: {error}"))
}
