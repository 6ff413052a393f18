//! A feed: one content type of one tenant. Three loops that meet in the backlog: listing, fetching, and keeping house.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use downspout_core::metrics::FeedMetrics;
use downspout_core::stage::Output;
use downspout_core::{Context, StageError};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use url::Url;

use super::backlog::{Backlog, Entry};
use super::fetch::Halt;
use super::stretch::Missing;
use super::{ContentType, Options, fetch, keeper, listing, spool};
use crate::client::{Api, PoliteClient, Trouble, Verdict};
use crate::clock::{Clock, between, seconds};
use crate::config::{Connection, Job};

/// What all feeds of a source share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) context: Context,
    pub(super) output: Output,
    /// The lag of each feed, in seconds.
    pub(super) lags: Mutex<BTreeMap<String, i64>>,
    /// Bytes on the disk.
    pub(super) spooled: AtomicU64,
}

/// What the feeds of a tenant share, and no other tenant: one that hangs keeps nobody else waiting.
#[derive(Debug, Clone)]
pub(super) struct Share {
    /// Blobs that may be under way.
    pub(super) places: Arc<Semaphore>,
    /// Bytes of blobs that may wait for their turn.
    pub(super) buffer: Arc<Semaphore>,
    /// How many bytes `buffer` has when nothing waits.
    pub(super) buffer_bytes: usize,
}

impl Share {
    /// The share of one of so many tenants. Since seldom all of them are busy, the shares are twice what is there.
    pub(super) fn new(options: &Options, tenants: usize) -> Share {
        let share = |all: usize, least: usize| (2 * all / tenants.max(1)).clamp(least.min(all), all);
        let buffer_bytes = share(options.buffer, LEAST_BUFFER).min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(share(options.concurrency, LEAST_PLACES)));
        Share { places, buffer: Arc::new(Semaphore::new(buffer_bytes)), buffer_bytes }
    }
}

/// The least that a tenant's share has.
const LEAST_PLACES: usize = 2;
const LEAST_BUFFER: usize = 1 << 20;

/// One content type of one tenant.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) shared: Arc<Shared>,
    pub(super) share: Share,
    pub(super) client: PoliteClient,
    pub(super) clock: Clock,
    pub(super) content_type: ContentType,
    pub(super) backlog: Backlog,
    pub(super) metrics: FeedMetrics,
    /// How many blobs were read to their end.
    pub(super) read: AtomicU64,
    /// By number, what is wrong with blobs that cannot be had now.
    troubles: Mutex<BTreeMap<u64, String>>,
    tenant_id: String,
    label: String,
    /// Everything there is to list is listed.
    all_listed: AtomicBool,
}

impl Job for Arc<Feed> {
    fn label(&self) -> String {
        self.place()
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn was_answered(&self) -> bool {
        self.client.was_answered()
    }
}

impl Feed {
    pub(super) fn open(
        shared: Arc<Shared>,
        share: Share,
        connection: Connection,
        content_type: ContentType,
    ) -> Result<Feed, StageError> {
        let Connection { tenant, client, clock } = connection;
        let context = &shared.context;
        let backlog = Backlog::open(Arc::clone(&context.store), &context.id, &tenant.id, content_type.as_str())?;
        let metrics = context.metrics.feed(tenant.label(), content_type.as_str());
        let label = tenant.label().to_owned();
        let all_listed = AtomicBool::new(false);
        let tenant_id = tenant.id;
        let (read, troubles) = Default::default();
        let feed = Feed {
            shared,
            share,
            client,
            clock,
            content_type,
            backlog,
            metrics,
            read,
            troubles,
            tenant_id,
            label,
            all_listed,
        };
        spool::count(&feed);
        Ok(feed)
    }

    /// Runs until the source ends, or something does not work.
    pub(super) async fn run(self: Arc<Feed>) -> Result<(), StageError> {
        self.all_listed.store(false, Ordering::Relaxed);
        self.lock_troubles().clear();
        let listing = async {
            listing::run(&self).await?;
            self.all_listed.store(true, Ordering::Relaxed);
            self.backlog.news.notify_one();
            Ok::<(), Halt>(())
        };
        let work = async { tokio::try_join!(listing, fetch::run(&self)).map(drop) };
        tokio::select! {
            done = work => match done {
                Ok(()) | Err(Halt::Closed) => Ok(()),
                Err(Halt::Failed(error)) => Err(error),
            },
            failed = keeper::run(&self) => failed,
        }
    }

    /// Notes why a blob cannot be had now, or, with `None`, that this is over.
    pub(super) fn set_trouble(&self, sequence: u64, trouble: Option<String>) {
        let mut troubles = self.lock_troubles();
        match trouble {
            Some(trouble) => troubles.insert(sequence, trouble),
            None => troubles.remove(&sequence),
        };
    }

    /// Why a blob cannot be had now.
    pub(super) fn trouble(&self, sequence: u64) -> Option<String> {
        self.lock_troubles().get(&sequence).cloned()
    }

    fn lock_troubles(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        // Nothing that holds the lock can panic half way.
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What messages call the tenant.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Where something happened, for messages.
    pub(super) fn place(&self) -> String {
        format!("tenant {}, {}", self.label, self.backlog.feed())
    }

    /// What is open.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let content_type = self.content_type;
        self.backlog.missing().into_iter().map(|(start, end)| Missing { start, end, content_type }).collect()
    }

    /// Whether no more blobs come.
    pub(super) fn is_all_listed(&self) -> bool {
        self.all_listed.load(Ordering::Relaxed)
    }

    /// A URL of this feed.
    pub(super) fn url(&self, operation: &str, query: &[(&str, String)]) -> Result<Url, Trouble> {
        let path = format!("/api/v1.0/{}/activity/feed/{operation}", self.tenant_id);
        let mut url = self.base(&path)?;
        if operation != "subscriptions/list" {
            url.query_pairs_mut().append_pair("contentType", self.backlog.feed());
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Where a blob is. The token goes to no foreign address that the service gave; but where a blob with that id is, we
    /// know ourselves.
    pub(super) fn blob_url(&self, entry: &Entry) -> Result<Url, Trouble> {
        self.client.accept(Api::Management, &entry.uri).or_else(|_| self.content_url(&entry.id))
    }

    fn content_url(&self, id: &str) -> Result<Url, Trouble> {
        let mut escaped = String::new();
        for byte in id.bytes() {
            // Ids hold `$`, which must stay as it is.
            if byte.is_ascii_alphanumeric() || b"$-_.~".contains(&byte) {
                escaped.push(char::from(byte));
            } else {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
        self.base(&format!("/api/v1.0/{}/activity/feed/audit/{escaped}", self.tenant_id))
    }

    fn base(&self, path: &str) -> Result<Url, Trouble> {
        self.client.cloud().url(Api::Management.service(), path).map_err(|foreign| {
            Trouble::new(Verdict::Stop, Api::Management, "cloud", foreign.to_string(), "check `cloud`")
        })
    }

    /// Tells how far back the time is up to which everything was listed.
    pub(super) fn measure_lag(&self, now: Timestamp) {
        let until = self.backlog.listed_until().unwrap_or(now);
        let lag = seconds(between(until, now));
        self.metrics.lag_seconds.set(lag);
        let mut lags = self.shared.lags.lock().unwrap_or_else(PoisonError::into_inner);
        lags.insert(self.backlog.shard().to_owned(), lag);
        let most = lags.values().max().copied().unwrap_or(0);
        self.shared.context.metrics.lag_seconds().set(most);
    }
}
