//! The keys that all of Microsoft's sources share, and what becomes of them.
//!
//! Each source's config struct has these fields of its own (serde's `flatten` would lose the positions that errors
//! need) and hands them over as a [`Common`]:
//!
//! ```text
//! pub tenant_id: Option<String>,
//! pub tenants: Option<TenantsConfig>,
//! pub auth: Option<AuthConfig>,
//! #[serde(default)] pub cloud: CloudConfig,
//! pub ca_file: Option<PathBuf>,
//! pub requests_per_minute: Option<u32>,
//! ```
//!
//! [`Common::plan`] checks them into a [`Setup`]; [`Setup::connect`], when the source runs, gives one [`Connection`] for
//! each tenant; [`run_each`] runs a task for each of them.

mod each;
mod telling;
mod tenants;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::{ConfigError, Context, Shared, StageError};
use jiff::Timestamp;

pub(crate) use self::each::GIVEN_UP;
pub use self::each::{Job, Mode, run_each};
pub(crate) use self::telling::Telling;
pub use self::tenants::{Tenant, TenantConfig, TenantsConfig};
use crate::auth::{AuthConfig, Method, People, Platform, TokenSetup, Tokens};
use crate::client::{
    Api, ClientSetup, Lanes, PoliteClient, SkewTold, Trouble, connection, direct_client, http_client_for, is_html,
    one_line, proxy,
};
use crate::clock::Clock;
use crate::cloud::{Cloud, CloudConfig};

/// The shared keys as written.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// One tenant's id.
    pub tenant_id: Option<String>,
    /// Many tenants.
    pub tenants: Option<TenantsConfig>,
    /// How to sign in, for every tenant that has no `auth` of its own.
    pub auth: Option<AuthConfig>,
    /// Which cloud.
    pub cloud: CloudConfig,
    /// The GUID that the Management Activity API counts requests by; each tenant's own if there is none. No other API
    /// knows publishers, so no other source has the key.
    pub publisher_id: Option<String>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A budget in place of the API's own limit. All sources of a pipeline share it: the lowest of their numbers holds.
    pub requests_per_minute: Option<u32>,
}

/// The shared keys, checked.
#[derive(Debug, Clone)]
pub struct Setup {
    tenants: Vec<Tenant>,
    cloud: Cloud,
    publisher_id: Option<String>,
    ca_file: Option<PathBuf>,
    requests_per_minute: Option<u32>,
}

/// All that a source needs for one tenant.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Who it is.
    pub tenant: Tenant,
    /// The client, with the tenant's tokens and budgets.
    pub client: PoliteClient,
    /// The time.
    pub clock: Clock,
}

impl Common {
    /// Checks everything that can be checked without network and files.
    ///
    /// # Errors
    /// All mistakes.
    pub fn plan(self) -> Result<Setup, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let cloud = self.cloud.plan().map_err(|wrong| errors.extend(wrong)).ok();
        let tenants = tenants::plan(self.tenant_id, self.tenants, self.auth).map_err(|wrong| errors.extend(wrong)).ok();
        if let Some(id) = self.publisher_id.as_ref().filter(|id| !tenants::is_guid(id)) {
            errors.push(ConfigError::at("publisher_id", format!("`{}` is no GUID", id.escape_debug())));
        }
        if self.requests_per_minute == Some(0) {
            errors.push(ConfigError::at("requests_per_minute", "it must be at least 1"));
        }
        match (cloud, tenants) {
            (Some(cloud), Some(tenants)) if errors.is_empty() => Ok(Setup {
                tenants,
                cloud,
                publisher_id: self.publisher_id,
                ca_file: self.ca_file,
                requests_per_minute: self.requests_per_minute,
            }),
            _ => Err(errors),
        }
    }
}

impl Setup {
    /// The cloud.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The tenants.
    pub(crate) fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// Asks a simulator for its time, and makes one client for each tenant.
    ///
    /// # Errors
    /// If the file of certificates or the simulator cannot be read, or the environment names an address for managed
    /// identities that is not asked.
    pub async fn connect(&self, context: &Context) -> Result<Vec<Connection>, StageError> {
        self.connect_with(&context.metrics, &context.shared).await
    }

    /// As [`Setup::connect`], without a pipeline.
    ///
    /// # Errors
    /// As [`Setup::connect`].
    pub async fn connect_with(
        &self,
        metrics: &ComponentMetrics,
        shared: &Shared,
    ) -> Result<Vec<Connection>, StageError> {
        let http = http_client_for(self.ca_file.as_deref(), self.cloud.timeout())?;
        let clock = clock(&self.cloud, &http).await?;
        self.clients(metrics, shared, &http, &clock)
    }

    /// As [`Setup::connect`], at a time that is given.
    ///
    /// # Errors
    /// If the HTTP client for managed identities cannot be made, or the environment names an address for them that is not
    /// asked.
    pub fn connect_at(
        &self,
        context: &Context,
        http: &reqwest::Client,
        clock: &Clock,
    ) -> Result<Vec<Connection>, StageError> {
        self.clients(&context.metrics, &context.shared, http, clock)
    }

    fn clients(
        &self,
        metrics: &ComponentMetrics,
        shared: &Shared,
        http: &reqwest::Client,
        clock: &Clock,
    ) -> Result<Vec<Connection>, StageError> {
        let managed = self.tenants.iter().any(|tenant| tenant.credential.method == Method::ManagedIdentity);
        let (direct, platform) = match managed {
            true => (direct_client()?, Platform::from_environment()?),
            false => (http.clone(), Platform::VirtualMachine),
        };
        let (lanes, people, skew_told) = (shared.get::<Lanes>(), shared.get::<People>(), shared.get::<SkewTold>());
        let connect = |tenant: Tenant| {
            let tokens = Tokens::new(TokenSetup {
                http: http.clone(),
                direct: direct.clone(),
                cloud: self.cloud.clone(),
                clock: clock.clone(),
                tenant_id: tenant.id.clone(),
                tenant: tenant.label().to_owned(),
                credential: tenant.credential.clone(),
                platform: platform.clone(),
                people: Arc::clone(&people),
                metrics: metrics.clone(),
            });
            let client = PoliteClient::new(ClientSetup {
                http: http.clone(),
                cloud: self.cloud.clone(),
                clock: clock.clone(),
                tokens,
                tenant: tenant.label().to_owned(),
                publisher_id: self.publisher_id.clone().unwrap_or_else(|| tenant.id.clone()),
                requests_per_minute: self.requests_per_minute,
                lanes: Arc::clone(&lanes),
                skew_told: Arc::clone(&skew_told),
                metrics: metrics.clone(),
            });
            Connection { tenant, client, clock: clock.clone() }
        };
        Ok(self.tenants.iter().cloned().map(connect).collect())
    }
}

/// What `GET BASE/simulator/clock` says.
#[derive(serde::Deserialize)]
struct SimulatorClock {
    now: Timestamp,
    rate: f64,
}

/// How often a simulator's clock is looked at: somebody may turn it.
const LOOK: Duration = Duration::from_millis(500);

/// The time of a cloud: the machine's, or the simulator's, which is followed for as long as the clock is in use.
///
/// # Errors
/// If the simulator does not tell its time.
pub async fn clock(cloud: &Cloud, http: &reqwest::Client) -> Result<Clock, StageError> {
    let Some(base) = cloud.simulator() else { return Ok(Clock::system()) };
    let wrong = |problem: String| {
        StageError::stop("simulator", format!("the simulated cloud at {base} does not tell its time: {problem}"))
    };
    let url = base.join("simulator/clock").map_err(|error| wrong(error.to_string()))?;
    let http = http.clone();
    let look = async move || -> Result<SimulatorClock, String> {
        let failed = |error: reqwest::Error| {
            let Trouble { answer, meaning, .. } = connection(&error, Api::Management);
            format!("\"{answer}\"; {meaning}; is it running?")
        };
        let response = http.get(url.clone()).timeout(Duration::from_secs(10)).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(failed)?;
        serde_json::from_slice(&body).map_err(|_| {
            let what = if is_html(&body) { "a web page".to_owned() } else { one_line(&String::from_utf8_lossy(&body)) };
            let way = match proxy::on_the_way_to(&url) {
                Some(proxy) => format!("requests to that host go through {proxy}; put the host into NO_PROXY"),
                None => "something else answers at that address".to_owned(),
            };
            format!("HTTP {status}: \"{what}\"; {way}")
        })
    };
    let first = look().await.map_err(wrong)?;
    let clock = Clock::scaled(first.now, first.rate);
    let alive = Arc::downgrade(&clock.handle());
    let followed = clock.clone();
    drop(tokio::spawn(async move {
        // The follower holds one handle itself.
        while alive.strong_count() > 1 {
            tokio::time::sleep(LOOK).await;
            if let Ok(seen) = look().await {
                followed.adjust(seen.now, seen.rate);
            }
        }
    }));
    Ok(clock)
}
