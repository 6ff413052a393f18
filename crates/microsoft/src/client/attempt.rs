//! One attempt at a request: over the wire, and what came back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, HeaderMap, HeaderValue};
use reqwest::{Method, Response};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::lanes::Lane;
use super::region::{MOST_REDIRECTS, is_redirect};
use super::skew::{SET_RIGHT, told};
use super::{Api, PoliteClient, Refusal, Request, Trouble, Verdict, body, http_date, retry_after};
use crate::auth::Token;
use crate::clock::Clock;
use crate::cloud::{Cloud, Foreign, Service};

/// The most of an error's body that is read.
const ERROR_BYTES: usize = 64 << 10;

impl PoliteClient {
    /// One request, and the redirects that it meets.
    pub(super) async fn attempt(
        &self,
        request: &Request,
        token: &Token,
    ) -> Result<(Response, OwnedSemaphorePermit), Trouble> {
        let api = request.api;
        let foreign = |foreign: Foreign| {
            Trouble::new(Verdict::Skip, api, "foreign_url", foreign.to_string(), "it is not followed")
        };
        let url = self.cloud().accept(request.service, request.url.as_str()).map_err(foreign)?;
        let url = self.with_publisher(request, url);
        let lane = self.lane(api);
        let place = Arc::clone(&lane.places)
            .acquire_owned()
            .await
            .map_err(|_| Trouble::new(Verdict::Stop, api, "internal", "the client is closed", "please report it"))?;
        let region = Some(&self.inner.region).filter(|_| request.service == Service::Exchange);
        let mut redirects = 0;
        let trouble = loop {
            let (asked, cookies) = match region {
                Some(region) => region.locate(self.cloud(), &url).map_err(foreign)?,
                None => (url.clone(), None),
            };
            lane.budget.take().await;
            let response = match self.send(request, asked.clone(), cookies, token).await {
                Ok(response) if response.status().is_success() => return Ok((response, place)),
                Ok(response) => response,
                Err(trouble) => break trouble,
            };
            let Some(region) = region.filter(|_| is_redirect(response.status()) && redirects < MOST_REDIRECTS) else {
                break self.judge(response, api, &lane).await;
            };
            redirects += 1;
            if let Err(foreign) = region.learn(self.cloud(), &asked, response.headers()) {
                let meaning = "a redirect that is not followed: a token could go astray; if Exchange is at that address, put \
                               it into `cloud`";
                let trouble = Trouble::new(Verdict::Retry, api, "redirect", foreign.to_string(), meaning);
                break Trouble { status: Some(response.status().as_u16()), ..trouble };
            }
        };
        if let Some(region) = region.filter(|_| !matches!(trouble.verdict, Verdict::Throttled | Verdict::Reauth)) {
            region.forget();
        }
        Err(trouble)
    }

    /// Sends a request to where it shall go, and waits for the head of an answer.
    async fn send(
        &self,
        request: &Request,
        url: Url,
        cookies: Option<HeaderValue>,
        token: &Token,
    ) -> Result<Response, Trouble> {
        let api = request.api;
        let started = Instant::now();
        let mut built = self.build(request, url.clone(), token);
        if let Some(cookies) = cookies {
            built = built.header(COOKIE, cookies);
        }
        let timeout = self.cloud().timeout();
        let answered = match tokio::time::timeout(timeout, built.send()).await {
            Err(_) => Err(Trouble::new(
                Verdict::Retry,
                api,
                "timeout",
                format!("no answer within {} s", timeout.as_secs_f64()),
                "the service, a proxy or the network is slow",
            )),
            Ok(Err(error)) => Err(body::connection(&error, api)),
            Ok(Ok(response)) => Ok(response),
        };
        self.log(request, &url, &answered, started.elapsed());
        let response = answered?;
        self.learn_skew(response.headers());
        Ok(response)
    }

    /// What an answer that is none means.
    async fn judge(&self, response: Response, api: Api, lane: &Lane) -> Trouble {
        let retry_after = retry_after(response.headers(), self.service_now());
        let status = response.status().as_u16();
        let body = body::first(response, ERROR_BYTES).await;
        let mut trouble = Refusal::read(status, &body).judge(api);
        trouble.retry_after = retry_after;
        if trouble.verdict == Verdict::Throttled {
            let pause = lane.budget.refused(retry_after);
            self.inner.setup.metrics.throttled(self.tenant(), api.name());
            tracing::debug!(tenant = self.tenant(), api = api.name(), pause = pause.as_secs(), "throttled");
        }
        trouble
    }

    fn build(&self, request: &Request, url: Url, token: &Token) -> reqwest::RequestBuilder {
        let mut built = self.inner.setup.http.request(request.method.clone(), url).headers(request.headers.clone());
        // The header is marked as sensitive, so that nothing prints it.
        if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) {
            value.set_sensitive(true);
            built = built.header(AUTHORIZATION, value);
        }
        match &request.body {
            Some(body) => built.header(CONTENT_TYPE, "application/json").body(body.clone()),
            // A POST without a body must say so.
            None if request.method == Method::POST => built.header(CONTENT_LENGTH, 0),
            None => built,
        }
    }

    fn with_publisher(&self, request: &Request, mut url: Url) -> Url {
        const NAME: &str = "PublisherIdentifier";
        let has = url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case(NAME));
        if request.api == Api::Management && !has && !self.inner.setup.publisher_id.is_empty() {
            url.query_pairs_mut().append_pair(NAME, &self.inner.setup.publisher_id);
        }
        url
    }

    fn log(&self, request: &Request, url: &Url, answered: &Result<Response, Trouble>, took: Duration) {
        let status = match answered {
            Ok(response) => response.status().as_str().to_owned(),
            Err(trouble) => trouble.code.clone(),
        };
        self.inner.setup.metrics.request(self.tenant(), request.api.name(), &status);
        tracing::debug!(
            tenant = self.tenant(),
            api = request.api.name(),
            method = %request.method,
            host = url.host_str().unwrap_or(""),
            path = url.path(),
            query = url.query().unwrap_or(""),
            status,
            milliseconds = took.as_millis() as u64,
            "request"
        );
    }

    fn learn_skew(&self, headers: &HeaderMap) {
        let date = date(headers);
        let Some(ahead) = date.map(|date| self.inner.skew.learn(date, self.clock())) else { return };
        // Of a simulated cloud that runs at a speed of its own, no answer is from the time at which it is read.
        if self.clock().is_in_step()
            && let Some(told) = self.inner.setup.skew_told.tell(ahead)
        {
            tracing::warn!("{told}; {SET_RIGHT}");
        }
    }

    /// How far the service's clock is ahead of ours: by its last answer, or by one of the login service, which needs no
    /// token.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(crate) async fn ahead(&self) -> Result<SignedDuration, String> {
        if let Some(ahead) = self.inner.skew.last() {
            return Ok(ahead);
        }
        ahead(&self.inner.setup.http, self.cloud(), self.clock()).await
    }
}

/// How far the login service's clock is ahead of ours, which takes no token to know.
async fn ahead(http: &reqwest::Client, cloud: &Cloud, clock: &Clock) -> Result<SignedDuration, String> {
    let request = http.head(cloud.address(Service::Login)).timeout(cloud.timeout());
    let response = request.send().await.map_err(|error| body::connection(&error, Api::Management).to_string())?;
    let date = date(response.headers()).ok_or_else(|| "its answer has no `Date`".to_owned())?;
    Ok(date.duration_since(clock.now()))
}

/// What time it is in a cloud, for whoever has no token yet; and what is wrong with our own clock, if it is that. Where
/// the cloud does not tell, our clock is believed.
pub async fn time_at(http: &reqwest::Client, cloud: &Cloud, clock: &Clock) -> (Timestamp, Option<String>) {
    let now = clock.now();
    // Of a simulated cloud that runs at a speed of its own, no answer is from the time at which it is read.
    let ahead = if clock.is_in_step() { ahead(http, cloud, clock).await.ok() } else { None };
    match ahead.and_then(|ahead| told(ahead).zip(now.checked_add(ahead).ok())) {
        Some((told, there)) => (there, Some(told)),
        None => (now, None),
    }
}

/// What time an answer says it is.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    headers.get(DATE).and_then(|value| value.to_str().ok()).and_then(http_date)
}
