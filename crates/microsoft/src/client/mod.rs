//! The polite client: one for each source and tenant, for all APIs.
//!
//! A request waits for its budget and a free place, which all sources of a pipeline share. It carries a token and (where
//! it belongs) the `PublisherIdentifier`, goes only to the hosts of the configured cloud, and follows no redirect save
//! those inside Exchange. What is no answer gets a verdict ([`Trouble`]): transient trouble is repeated here, quietly and
//! with growing pauses; a 401 fetches one new token and repeats the request; everything else goes to the source.
//!
//! ```text
//! let page = client.get(Request::get(Api::GraphReports, url)).await?;      // Answer<Bytes>, whole, bounded
//! let json = client.get_json(Request::get(Api::Exchange, url)).await?;     // Answer<serde_json::Value>
//! let body = client.stream(Request::get(Api::Management, url)).await?;     // Body: chunks, unpacked
//! ```
//!
//! Every method may be dropped at any await: nothing is kept that a half-done request could spoil.

pub mod api;
mod attempt;
mod backoff;
mod body;
mod budget;
mod http;
mod lanes;
pub(crate) mod proxy;
mod region;
mod request;
mod skew;
mod tables;
mod verdict;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use downspout_core::metrics::ComponentMetrics;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

pub use self::api::{Api, Limit};
pub use self::attempt::time_at;
pub use self::backoff::Backoff;
pub use self::body::Body;
pub(crate) use self::body::connection;
pub(crate) use self::body::whole;
pub use self::budget::Budget;
pub(crate) use self::http::pinned_client;
pub use self::http::{client as http_client, client_for as http_client_for, direct_client};
use self::lanes::{Lane, Quota};
pub use self::lanes::{Lanes, Wait, in_words};
use self::region::Region;
pub use self::request::{Answer, Request};
use self::skew::Skew;
pub use self::skew::SkewTold;
pub(crate) use self::skew::{SET_RIGHT, told as skew_told};
pub use self::tables::{Refusal, is_html};
pub(crate) use self::verdict::{HTML, SIGN_IN};
pub use self::verdict::{INVALID_JSON, Trouble, Verdict, one_line};
use crate::auth::{Token, Tokens};
use crate::clock::Clock;
use crate::cloud::{Cloud, Service};

/// How many tokens one request may use up. Tokens die early now and then; one that was never accepted, twice in a row,
/// says that the permission is missing.
const REFUSED: u32 = 4;

/// Pauses between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The most of an answer that is read whole. Pages of a thousand sign-ins have some megabytes.
const ANSWER_BYTES: usize = 128 << 20;

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ClientSetup {
    /// The HTTP client beneath, shared by all tenants.
    pub http: reqwest::Client,
    /// Where the services are.
    pub cloud: Cloud,
    /// The time.
    pub clock: Clock,
    /// The tenant's tokens.
    pub tokens: Tokens,
    /// The tenant's id, or the name that the config gives it: the `tenant` label of metrics.
    pub tenant: String,
    /// The GUID that the Management Activity API counts requests by.
    pub publisher_id: String,
    /// A number of requests a minute in place of the API's own limit.
    pub requests_per_minute: Option<u32>,
    /// The budgets of the pipeline.
    pub lanes: Arc<Lanes>,
    /// Whether the operator knows already that the clock is wrong.
    pub skew_told: Arc<SkewTold>,
    /// The source's metrics.
    pub metrics: ComponentMetrics,
}

/// The polite client of one tenant.
#[derive(Debug, Clone)]
pub struct PoliteClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    setup: ClientSetup,
    /// Those of the pipeline's that this client uses.
    lanes: Mutex<BTreeMap<Api, Arc<Lane>>>,
    skew: Skew,
    region: Region,
    /// Whether a request got a good answer.
    answered: AtomicBool,
}

impl PoliteClient {
    /// A client that has asked nothing yet.
    pub fn new(setup: ClientSetup) -> PoliteClient {
        PoliteClient {
            inner: Arc::new(Inner {
                setup,
                lanes: Mutex::default(),
                skew: Skew::default(),
                region: Region::default(),
                answered: AtomicBool::new(false),
            }),
        }
    }

    /// The `tenant` label.
    pub fn tenant(&self) -> &str {
        &self.inner.setup.tenant
    }

    /// The time.
    pub fn clock(&self) -> &Clock {
        &self.inner.setup.clock
    }

    /// Where the services are.
    pub fn cloud(&self) -> &Cloud {
        &self.inner.setup.cloud
    }

    /// The tenant's tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.inner.setup.tokens
    }

    /// Whether any request got a good answer.
    pub fn was_answered(&self) -> bool {
        self.inner.answered.load(Ordering::Relaxed)
    }

    /// What time it is at the service, by the `Date` of its last answer: the time to plan windows with.
    pub fn service_now(&self) -> Timestamp {
        self.inner.skew.service_now(self.clock())
    }

    /// Requests a minute that the budget of an API allows at present.
    pub fn requests_per_minute(&self, api: Api) -> f64 {
        self.lane(api).budget.per_minute()
    }

    /// A URL that a service gave, to be asked with a token. What a regional host of Exchange gave is asked where the
    /// tenant lives.
    ///
    /// # Errors
    /// A [`Trouble`] with the code `foreign_url` and [`Verdict::Skip`] if it is not below the service's base.
    pub fn accept(&self, api: Api, text: &str) -> Result<Url, Trouble> {
        let accepted = self.cloud().accept(api.service(), text).or_else(|foreign| {
            let regional = Url::parse(text).ok().filter(|_| api.service() == Service::Exchange).ok_or(foreign)?;
            self.cloud().moved(&regional, &self.cloud().url(Service::Exchange, "/")?)
        });
        accepted.map_err(|foreign| {
            self.inner.setup.metrics.error("foreign_url");
            Trouble::new(
                Verdict::Skip,
                api,
                "foreign_url",
                foreign.to_string(),
                "the service gave a URL outside of the configured cloud, which gets no token; if the address is right, set it \
                 in `cloud`",
            )
        })
    }

    /// Asks, and reads the whole answer.
    ///
    /// # Errors
    /// [`Trouble`], when repeating did not help.
    pub async fn get(&self, request: Request) -> Result<Answer<Bytes>, Trouble> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let (response, place) = self.head(&request, &mut backoff).await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let read = self.in_time(request.api, body::whole(response, ANSWER_BYTES, request.api)).await;
            drop(place);
            match read {
                Ok(body) if is_html(&body) => {
                    let trouble = Refusal::read(status, &body).judge(request.api);
                    self.pause(&request, trouble, &mut backoff).await?;
                }
                Ok(body) => return Ok(Answer { status, headers, body }),
                Err(trouble) => self.pause(&request, trouble, &mut backoff).await?,
            }
        }
    }

    /// Asks for JSON.
    ///
    /// # Errors
    /// As [`PoliteClient::get_read`].
    pub async fn get_json(&self, request: Request) -> Result<Answer<serde_json::Value>, Trouble> {
        // Some services answer a POST with nothing.
        self.get_read(request, |body| serde_json::from_slice(if body.is_empty() { b"null" } else { body })).await
    }

    /// Asks until the answer can be read: what cannot was mostly damaged on its way.
    ///
    /// # Errors
    /// [`Trouble`], when repeating did not help; also, with the code `invalid_json`, for what could not be read.
    pub async fn get_read<T, E: Display>(
        &self,
        request: Request,
        read: impl Fn(&Bytes) -> Result<T, E>,
    ) -> Result<Answer<T>, Trouble> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let Answer { status, headers, body } = self.get(request.clone()).await?;
            match read(&body) {
                Ok(body) => return Ok(Answer { status, headers, body }),
                Err(error) => {
                    let told = format!("{error}; {}", String::from_utf8_lossy(&body[..body.len().min(80)]));
                    let meaning = "the answer is broken JSON";
                    let trouble = Trouble::new(Verdict::Retry, request.api, INVALID_JSON, told, meaning);
                    self.pause(&request, trouble, &mut backoff).await?;
                }
            }
        }
    }

    /// Sends JSON and asks for JSON.
    ///
    /// # Errors
    /// As [`PoliteClient::get_json`].
    pub async fn post_json(
        &self,
        request: Request,
        body: &serde_json::Value,
    ) -> Result<Answer<serde_json::Value>, Trouble> {
        self.get_json(Request { method: Method::POST, ..request.json(body) }).await
    }

    /// Asks, and gives the body as it comes, unpacked. What breaks while it is read is the caller's to repeat.
    ///
    /// # Errors
    /// [`Trouble`] before the body began, when repeating did not help.
    pub async fn stream(&self, request: Request) -> Result<Body, Trouble> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let (response, _place) = self.head(&request, &mut backoff).await?;
        Ok(Body::new(response, request.api, self.cloud().timeout()))
    }

    /// Makes a request until the head of a good answer is there, or the trouble is the source's.
    async fn head(
        &self,
        request: &Request,
        backoff: &mut Backoff,
    ) -> Result<(Response, OwnedSemaphorePermit), Trouble> {
        // Tokens that were refused, and those of them that never worked.
        let (mut refused, mut never) = (0, 0);
        loop {
            let token = match self.token(request).await {
                Ok(token) => token,
                Err(trouble) => {
                    self.pause(request, trouble, backoff).await?;
                    continue;
                }
            };
            let trouble = match self.attempt(request, &token).await {
                Ok(good) => {
                    token.set_worked();
                    self.inner.answered.store(true, Ordering::Relaxed);
                    return Ok(good);
                }
                Err(trouble) => trouble,
            };
            if trouble.verdict == Verdict::Reauth {
                self.tokens().forget(&token).await;
                refused += 1;
                never += u32::from(!token.has_worked());
                if never > 1 || refused > REFUSED {
                    return Err(Trouble { verdict: Verdict::Stop, ..trouble });
                }
                continue;
            }
            self.pause(request, trouble, backoff).await?;
        }
    }

    async fn token(&self, request: &Request) -> Result<Token, Trouble> {
        let resource = self.cloud().resource(request.service);
        self.tokens().get(&resource).await.map_err(|error| error.into_trouble(request.api))
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The trouble itself, if no further attempt helps.
    async fn pause(&self, request: &Request, trouble: Trouble, backoff: &mut Backoff) -> Result<(), Trouble> {
        let own = backoff.next();
        let trouble = self.on_the_way(request, trouble);
        if !trouble.is_transient() {
            return Err(trouble);
        }
        let lane = self.lane(request.api);
        let is_last = backoff.failures() >= request.attempts;
        let wait = match trouble.verdict {
            // A throttled request waits with everybody else, in the budget.
            Verdict::Throttled => lane.budget.pause_left(),
            _ if is_last => Duration::ZERO,
            _ => trouble.retry_after.map_or(own, |asked| asked.max(own)),
        };
        lane.tell(self.tenant(), wait, &trouble);
        if is_last {
            // Who asks once repeats it himself.
            return Err(if request.attempts > 1 { trouble.lasting() } else { trouble });
        }
        tracing::debug!(
            tenant = self.tenant(),
            api = request.api.name(),
            attempt = backoff.failures(),
            "{trouble}; trying again"
        );
        if trouble.verdict != Verdict::Throttled {
            self.clock().sleep(wait).await;
        }
        Ok(())
    }

    /// The trouble, with the proxy that may have made it. That a host cannot be reached is told at the first try: it
    /// seldom passes, and trying again takes minutes.
    fn on_the_way(&self, request: &Request, mut trouble: Trouble) -> Trouble {
        let login = self.cloud().address(Service::Login);
        let url = if trouble.is_sign_in() { Url::parse(login).ok() } else { Some(request.url.clone()) };
        let Some(url) = url else { return trouble };
        if trouble.is_in_the_way() {
            trouble.meaning += &proxy::note(&url);
        }
        let unreached = trouble.is_in_the_way() || matches!(&*trouble.code, "connection" | "dns");
        let host = url.host_str().unwrap_or_default();
        let setup = &self.inner.setup;
        if unreached && trouble.is_transient() && setup.lanes.is_news(self.tokens().identity().0, host, &trouble.code) {
            tracing::warn!(tenant = self.tenant(), host, "{trouble}; trying again");
        }
        trouble
    }

    /// Tells a wait that is not the client's own.
    pub(crate) fn tell_wait(&self, api: Api, wait: Duration, why: &dyn Display) {
        self.lane(api).tell(self.tenant(), wait, why);
    }

    fn lane(&self, api: Api) -> Arc<Lane> {
        // Nothing that holds the lock can panic half way.
        let mut lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(api).or_insert_with(|| {
            let (tenant_id, app) = self.tokens().identity();
            let quota = Quota {
                api,
                base: self.cloud().address(api.service()).to_owned(),
                tenant_id: tenant_id.to_owned(),
                app: api.counts_apps().then(|| app.to_owned()),
            };
            self.inner.setup.lanes.get(quota, self.inner.setup.requests_per_minute, self.clock())
        });
        Arc::clone(lane)
    }
}

/// `Retry-After`: seconds, or a date, which counts from `now` at the service.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    const MOST: Duration = Duration::from_secs(3600);
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => crate::clock::between(now, http_date(text)?),
    };
    Some(asked.min(MOST))
}

/// A date of HTTP: `Mon, 05 Jan 2026 08:00:00 GMT`.
pub fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix("GMT").map(|front| format!("{front}+0000"))?;
    jiff::fmt::rfc2822::parse(&text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
pub(crate) mod tests;
