//! The source `office365_management`: the unified audit log as Microsoft's Management Activity API gives it out.
//!
//! # What it does
//! Microsoft collects audit records into *blobs*, each of one tenant and content type, and lists them by the time they
//! became available. For each tenant and content type (a *feed*), this source starts the subscription, lists what is new
//! every `interval`, gives each blob a number in the store, fetches several at once, and sends their records in the order
//! of the numbers. After a crash or a stop it goes on with the first blob that was not delivered.
//!
//! - A feed starts `start` back at the first run, 7 days at most: that is how far back Microsoft lists.
//! - Each listing looks `overlap` back again, and once an hour `relist` back: blobs appear late, too. While a feed has
//!   shown nothing at all, as a new subscription does for up to half a day, it is listed from its beginning.
//! - What is damaged is fetched again; what stays damaged goes to the dead-letter file. What can never be had is noted
//!   with its reason: `downspout gaps` shows it.
//! - A refusal of one blob is believed after some minutes, if others come through, or after an hour; other trouble with it
//!   is waited out until it expires, and told after an hour. Then it is noted as missing, and the feed goes on.
//! - With `recover`, what this API has no longer is searched for in the audit log: see below.
//! - Blobs live 7 days. What is not delivered `spool_before` before its end is kept on the disk until it is.
//! - Microsoft sends some records twice, by design: put `flatten` and `dedupe` behind this source.
//!
//! # Example
//! ```yaml
//! type: office365_management
//! tenant_id: ${AZURE_TENANT_ID}
//! auth: { client_id: "${AZURE_CLIENT_ID}", client_secret: "${file:/run/secrets/m365}" }
//! content_types: [Audit.AzureActiveDirectory, Audit.Exchange, Audit.SharePoint, Audit.General, DLP.All]
//! ```
//!
//! # Recovery
//! With `recover: graph` or `recover: exchange`, every open gap of a feed is searched for in the audit log once an hour
//! (with `mode: once` at the end), from a day before it on, for records are published late, until readings agree. Of what
//! the search gives, the records of that feed's content type and time go on; others are left out, and counted as
//! discarded. They bear the field `downspout.provenance`; `dedupe` has to stand behind this source, and drops those that
//! had arrived. The gap is then closed, and says by what. A search that fails is told, and goes on at the next look.
//!
//! Only this source has that, because only the unified audit log can be had in two ways. What other sources have missed
//! for longer than Microsoft keeps it stays a gap of theirs in `downspout gaps`; so does what this source misses without
//! `recover`. `downspout collect` can fetch such a stretch later, out of whatever still has it: the unified audit log
//! (180 days and more) also tells of sign-ins, changes in the directory and mailboxes.
//!
//! # Permissions
//! The application permission `ActivityFeed.Read` of "Office 365 Management APIs"; `ActivityFeed.ReadDlp` too for the
//! detected values of `DLP.All`. Unified audit logging must be on.
//!
//! # Metrics
//! By tenant and feed: `downspout_feed_lag_seconds`, `downspout_feed_oldest_unacknowledged_seconds`,
//! `downspout_feed_expires_in_seconds`, `downspout_feed_gaps`; by tenant: `downspout_source_requests_total`,
//! `downspout_source_throttled_total`.

mod backlog;
mod blob;
mod content_type;
mod feed;
mod fetch;
mod keeper;
mod listing;
mod patience;
mod recover;
mod spool;
mod stretch;
mod subscription;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::access::Access;
use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Build, Component, ConfigError, Context, Source, StageError};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::content_type::ContentType;
use self::feed::{Feed, Share, Shared};
use self::recover::Recovery;
use crate::access::{Permission, Probe, Subscriptions, checks};
use crate::audit_search::Backend;
use crate::auth::AuthConfig;
use crate::client::Api;
use crate::clock::Clock;
use crate::cloud::{CloudConfig, Service};
use crate::config::{Common, Mode, Setup, TenantsConfig, run_each};
use crate::windows;

/// Reads the unified audit log's feed from the Office 365 Management Activity API, for one tenant or many.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Office365ManagementConfig {
    /// The tenant's id, a GUID.
    pub tenant_id: Option<String>,
    /// Several tenants, in place of `tenant_id`: a list, or the path of a YAML or JSON file that holds one.
    pub tenants: Option<TenantsConfig>,
    /// How the application signs in.
    pub auth: Option<AuthConfig>,
    /// Which of Microsoft's clouds: `worldwide`, `gcc`, `gcc_high`, `dod`, or a table.
    #[serde(default)]
    pub cloud: CloudConfig,
    /// The GUID that Microsoft counts requests by; each tenant's own if left out.
    pub publisher_id: Option<String>,
    /// A PEM file with certificates to trust beside the system's, for proxies that open TLS.
    pub ca_file: Option<PathBuf>,
    /// The budget of requests of each tenant; Microsoft allows 2,000 a minute.
    /// Sources that ask the same API for the same tenant share it: the lowest of their numbers holds.
    pub requests_per_minute: Option<u32>,
    /// What to read.
    #[serde(default = "all_content_types")]
    pub content_types: Vec<ContentType>,
    /// How far back to begin at the first run. Microsoft lists 7 days.
    #[serde(default = "seven_days")]
    pub start: HumanDuration,
    /// How often to ask for news.
    #[serde(default = "a_minute")]
    pub interval: HumanDuration,
    /// How far each listing looks back again.
    #[serde(default = "an_hour")]
    pub overlap: HumanDuration,
    /// How far a listing looks back again once an hour.
    #[serde(default = "a_day")]
    pub relist: HumanDuration,
    /// `follow` for ever, or `once`: up to now, or `until`.
    #[serde(default)]
    pub mode: Mode,
    /// With `mode: once`, up to when (RFC 3339), by the time at which content became available.
    pub until: Option<String>,
    /// How many blobs are fetched at once. Many tenants share this, each with a part of its own.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// How many bytes of blobs may wait for their turn. Many tenants share this, each with a part of its own.
    #[serde(default = "default_buffer")]
    pub buffer: ByteSize,
    /// A longer record is not read, but put into the dead-letter file with its first 64 KiB.
    #[serde(default = "default_record")]
    pub max_record_bytes: ByteSize,
    /// What is not delivered that long before Microsoft deletes it is kept on the disk.
    #[serde(default = "a_day")]
    pub spool_before: HumanDuration,
    /// How much of the disk that may take.
    #[serde(default = "windows::default_spool_max")]
    pub spool_max: ByteSize,
    /// Where to get what this API has no longer, by a search of the audit log: `graph` or `exchange`, with the same
    /// sign-in and the rights of `unified_audit_search`. Only records of the feeds and times that are missing are taken;
    /// put `dedupe` with `horizon: 30d` behind this source, since some may have arrived, up to weeks before (its own 7
    /// days are less than what expired is old). Nowhere if left out: then it stays missing,
    /// `downspout gaps` shows it, and `downspout collect` can fetch it. No other source has a second place to ask.
    pub recover: Option<Backend>,
}

fn all_content_types() -> Vec<ContentType> {
    ContentType::ALL.to_vec()
}

fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

fn a_minute() -> HumanDuration {
    seconds(60)
}

fn an_hour() -> HumanDuration {
    seconds(3600)
}

fn a_day() -> HumanDuration {
    seconds(86_400)
}

fn seven_days() -> HumanDuration {
    seconds(7 * 86_400)
}

fn default_concurrency() -> usize {
    32
}

fn default_buffer() -> ByteSize {
    ByteSize(32 << 20)
}

fn default_record() -> ByteSize {
    ByteSize(4 << 20)
}

/// The config, checked.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) start: Duration,
    pub(crate) interval: Duration,
    pub(crate) overlap: Duration,
    pub(crate) relist: Duration,
    pub(crate) mode: Mode,
    pub(crate) until: Option<Timestamp>,
    pub(crate) concurrency: usize,
    pub(crate) buffer: usize,
    pub(crate) max_record_bytes: usize,
    pub(crate) spool_before: Duration,
    pub(crate) spool_max: u64,
    pub(crate) recover: Option<Backend>,
}

impl Office365ManagementConfig {
    fn common(&self) -> Common {
        Common {
            tenant_id: self.tenant_id.clone(),
            tenants: self.tenants.clone(),
            auth: self.auth.clone(),
            cloud: self.cloud.clone(),
            publisher_id: self.publisher_id.clone(),
            ca_file: self.ca_file.clone(),
            requests_per_minute: self.requests_per_minute,
        }
    }

    fn options(&self) -> Result<Options, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut check = |good: bool, key: &str, message: &str| {
            if !good {
                errors.push(ConfigError::at(key, message));
            }
        };
        check(!self.content_types.is_empty(), "content_types", "at least one content type is needed");
        check(self.interval.0 >= Duration::from_secs(1), "interval", "it must be at least 1s");
        check(self.start.0 <= seven_days().0, "start", "Microsoft lists no more than 7d back");
        check(self.relist.0 <= seven_days().0, "relist", "Microsoft lists no more than 7d back");
        check(self.overlap.0 <= self.relist.0, "overlap", "it must not be longer than `relist`");
        check((1..=256).contains(&self.concurrency), "concurrency", "it must be from 1 to 256");
        check((1 << 20..=1 << 40).contains(&self.buffer.0), "buffer", "it must be at least 1MiB");
        check(
            (1 << 10..=256 << 20).contains(&self.max_record_bytes.0),
            "max_record_bytes",
            "it must be from 1KiB to 256MiB",
        );
        check(self.until.is_none() || self.mode == Mode::Once, "until", "it belongs to `mode: once`");
        let until = self.until.as_ref().map(|text| text.parse::<Timestamp>());
        check(!matches!(until, Some(Err(_))), "until", "expected a time such as 2026-01-05T08:00:00Z");
        errors.extend(self.recover.and_then(|backend| backend.check("recover", &self.cloud)));
        for (index, content_type) in self.content_types.iter().enumerate() {
            if self.content_types[..index].contains(content_type) {
                errors
                    .push(ConfigError::at(format!("content_types.{index}"), "this content type is in the list twice"));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Options {
            start: self.start.0,
            interval: self.interval.0,
            overlap: self.overlap.0,
            relist: self.relist.0,
            mode: self.mode,
            until: until.and_then(Result::ok),
            concurrency: self.concurrency,
            buffer: usize::try_from(self.buffer.0).unwrap_or(usize::MAX),
            max_record_bytes: usize::try_from(self.max_record_bytes.0).unwrap_or(usize::MAX),
            spool_before: self.spool_before.0,
            spool_max: self.spool_max.0,
            recover: self.recover,
        })
    }
}

impl Component for Office365ManagementConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "office365_management";

    const EXAMPLE: &'static str = "tenant_id: 00000000-0000-0000-0000-000000000000\n\
         auth: { client_id: 11111111-1111-1111-1111-111111111111, client_secret: secret }\n\
         content_types: [Audit.AzureActiveDirectory, Audit.Exchange, Audit.SharePoint, Audit.General, DLP.All]\n\
         start: 7d\n\
         interval: 1m\n";

    fn access(&self) -> Option<Box<dyn Access>> {
        let of = |any| Permission::needed(Service::Management, "Office 365 Management APIs", any);
        let mut permissions = vec![of(&["ActivityFeed.Read"])];
        if self.content_types.contains(&ContentType::Dlp) {
            let lack = "records of DLP.All come without the values that were detected";
            permissions.push(Permission { optional: Some(lack), ..of(&["ActivityFeed.ReadDlp"]) });
        }
        let content_types = self.content_types.iter().map(|content_type| content_type.as_str().to_owned()).collect();
        let mut services = vec![(Service::Management, Api::Management)];
        let mut probes: Vec<Box<dyn Probe>> = vec![Box::new(Subscriptions { content_types })];
        if let Some(search) = self.recover.map(Backend::needs) {
            services.push(search.service);
            permissions.push(search.permission);
            probes.push(search.probe);
        }
        checks(self.common(), services, permissions, probes)
    }

    fn repeats(&self) -> Option<&'static str> {
        self.recover.map(|_| "recover")
    }

    fn plan(self) -> Result<Build<Self::Stage>, Vec<ConfigError>> {
        let options = self.options();
        let setup = self.common().plan();
        let content_types = self.content_types;
        match (options, setup) {
            (Ok(options), Ok(setup)) => Ok(Box::new(move |context| {
                Ok(Box::new(Office365Management { options, setup, content_types, context, clock: None }))
            })),
            (options, setup) => Err(options.err().into_iter().chain(setup.err()).flatten().collect()),
        }
    }
}

/// The running source.
#[derive(Debug)]
struct Office365Management {
    options: Options,
    setup: Setup,
    content_types: Vec<ContentType>,
    context: Context,
    /// A test's time.
    clock: Option<Clock>,
}

#[async_trait]
impl Source for Office365Management {
    async fn run(self: Box<Self>, output: Output, shutdown: Shutdown) -> Result<(), StageError> {
        let Office365Management { options, setup, content_types, context, clock } = *self;
        let connections = match &clock {
            Some(clock) => setup.connect_at(&context, &crate::client::http_client(None)?, clock)?,
            None => setup.connect(&context).await?,
        };
        let mode = options.mode;
        let shared = Arc::new(Shared {
            lags: Default::default(),
            spooled: Default::default(),
            output,
            options,
            context: context.clone(),
        });
        let (mut feeds, mut recoveries) = (Vec::new(), Vec::new());
        let tenants = connections.len();
        for connection in connections {
            let share = Share::new(&shared.options, tenants);
            let mut own = Vec::new();
            for content_type in &content_types {
                let (shared, share, connection) = (Arc::clone(&shared), share.clone(), connection.clone());
                own.push(Arc::new(Feed::open(shared, share, connection, *content_type)?));
            }
            feeds.extend(own.iter().cloned());
            recoveries.extend(shared.options.recover.map(|backend| Recovery::new(&shared, connection, own, backend)));
        }
        let reading = run_each(&context, feeds, mode, &shutdown, Feed::run);
        match mode {
            Mode::Follow => tokio::select! {
                read = reading => read,
                never = recover::run(&recoveries) => match never {},
            },
            Mode::Once => {
                // A tenant that cannot be read keeps no other from what it misses.
                let read = reading.await;
                tokio::select! {
                    recovered = recover::run_once(&recoveries) => read.and(recovered),
                    () = async { shutdown.clone().wait().await } => read,
                }
            }
        }
    }
}
