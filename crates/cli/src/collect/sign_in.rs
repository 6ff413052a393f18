//! Who signs in, and with what.

use std::path::Path;

use downspout_core::config_values::Secret;
use downspout_microsoft::cloud::CloudConfig;

use super::args::CollectArguments;
use super::config;

/// What the config may look up by name, so that it holds no secret itself.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// The application's secret.
    secret: Option<Secret>,
    /// The certificate's password.
    password: Option<Secret>,
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
            let text = text.trim_start_matches('\u{feff}').trim();
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

    /// What stands behind a name in the config.
    pub(super) fn of(&self, name: &str) -> Option<String> {
        let told = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        match name {
            config::SECRET => told(&self.secret),
            config::PASSWORD => told(&self.password),
            _ => None,
        }
    }
}

/// The cloud that is collected from.
///
/// # Errors
/// If it has no such name.
pub(super) fn cloud(arguments: &CollectArguments) -> Result<CloudConfig, String> {
    serde_json::from_value(config::cloud(arguments)).map_err(|error| format!("--cloud: {error}"))
}
