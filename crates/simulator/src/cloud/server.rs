//! Sockets: listeners, connections, and what every request goes through.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::clock::Clock;
use super::faults::{FaultKind, Faults};
use super::http::{Answer, Body, Call, Content, gunzip, gzip};
use super::route::{Api, Target, front, resolve};
use super::stats::{Stats, count};
use super::tenant::Tenant;
use super::token::{Tokens, tenant_of};
use super::{Cloud, control, services, time, tls};
use crate::config::{Config, TenantConfig};
use crate::world::Truth;

/// The largest request body.
const LARGEST_REQUEST: usize = 4 << 20;

/// How long a request hangs when it meets a time-out without a length: longer than any client waits.
const HANG: Duration = Duration::from_secs(600);

/// Bodies below this are not worth compressing.
const COMPRESS_FROM: usize = 1_024;

/// Why a cloud could not start.
#[derive(Debug)]
pub struct StartError(String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// A cloud that serves. It ends when this is dropped, or by [`Running::stop`].
#[derive(Debug)]
pub struct Running {
    /// The URL of plain HTTP, such as `http://127.0.0.1:8600`; services stand under `BASE/HOST/`.
    pub base_url: String,
    /// The URL of HTTPS, where it was asked for.
    pub tls_url: Option<String>,
    /// All addresses that are listened on: HTTP, then HTTPS.
    pub addresses: Vec<SocketAddr>,
    /// The URL of the host that no token may ever reach.
    pub foreign_url: String,
    /// The private CA's certificate (PEM), where there is HTTPS.
    pub ca_pem: Option<String>,
    cloud: Arc<Cloud>,
    truth_file: Option<PathBuf>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

impl Running {
    /// How many records each feed has published, over all tenants. Lets the worlds live until now, which takes its
    /// time: for a thread that may block.
    pub fn published(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for tenant in &self.cloud.tenants {
            tenant.live(self.cloud.clock.now()).publisher.ledger(|record| *counts.entry(record.feed).or_default() += 1);
        }
        counts
    }

    /// The attacks that are over, tenant by tenant.
    pub fn attacks(&self) -> Vec<Truth> {
        let tenants = self.cloud.tenants.iter();
        tenants.flat_map(|tenant| tenant.live(self.cloud.clock.now()).publisher.truth().to_vec()).collect()
    }

    /// Closes all listeners and connections, and writes the truth where the config says.
    ///
    /// # Errors
    ///
    /// The file of the truth could not be written.
    pub async fn stop(mut self) -> std::io::Result<()> {
        // Nobody listens any more if the tasks have ended by themselves.
        let _ = self.stop.send(true);
        for listener in self.listeners.drain(..) {
            let _ = listener.await;
        }
        match self.truth_file.take() {
            Some(file) => std::fs::write(file, control::truth(&self.cloud)),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// Starts a cloud on the current runtime.
///
/// # Errors
///
/// An address that is not on loopback or taken, a config that contradicts itself, or files that cannot be written.
pub async fn start(mut config: Config) -> Result<Running, StartError> {
    if config.tenants.is_empty() {
        config.tenants.push(TenantConfig::default());
    }
    let plain = listen(&config.listen).await?;
    let foreign = match TcpListener::bind("127.0.0.2:0").await {
        Ok(listener) => listener,
        // Not every system has more than one loopback address.
        Err(_) => listen("127.0.0.1:0").await?,
    };
    let secure = match &config.tls {
        Some(tls) => Some((listen(&tls.listen).await?, tls::Identity::new().map_err(StartError)?)),
        None => None,
    };
    let address = |listener: &TcpListener| listener.local_addr().map_err(|error| StartError(error.to_string()));
    let mut addresses = vec![address(&plain)?];
    let foreign_url = format!("http://{}", address(&foreign)?);
    let base_url = format!("http://{}", addresses[0]);
    let mut tls_url = None;
    let mut ca_pem = None;
    if let Some((listener, identity)) = &secure {
        addresses.push(address(listener)?);
        tls_url = Some(format!("https://{}", address(listener)?));
        ca_pem = Some(identity.ca_pem.clone());
        if let Some(file) = config.tls.as_ref().and_then(|tls| tls.ca_file.as_ref()) {
            std::fs::write(file, &identity.ca_pem)
                .map_err(|error| StartError(format!("cannot write the CA to {}: {error}", file.display())))?;
        }
    }
    let truth_file = config.truth_file.clone();
    let cloud = Arc::new(build(config, foreign_url.clone())?);
    let (stop, stopping) = watch::channel(false);
    let mut listeners = vec![
        tokio::spawn(accept(plain, None, Kind::Services(Arc::clone(&cloud)), stopping.clone())),
        tokio::spawn(accept(foreign, None, Kind::Foreign(Arc::clone(&cloud)), stopping.clone())),
    ];
    if let Some((listener, identity)) = secure {
        let acceptor = identity.acceptor;
        listeners.push(tokio::spawn(accept(listener, Some(acceptor), Kind::Services(Arc::clone(&cloud)), stopping)));
    }
    Ok(Running { base_url, tls_url, addresses, foreign_url, ca_pem, cloud, truth_file, stop, listeners })
}

fn build(config: Config, foreign: String) -> Result<Cloud, StartError> {
    let started = config.clock.start.unwrap_or_else(jiff::Timestamp::now);
    let faults = Arc::new(Faults::new(config.seed, &config.faults));
    let mut tenants: Vec<Arc<Tenant>> = Vec::new();
    for tenant in &config.tenants {
        if !super::is_guid(&tenant.tenant_id) {
            return Err(StartError(format!("tenant_id `{}` is not a GUID", tenant.tenant_id)));
        }
        if tenants.iter().any(|other| other.is_called(&tenant.tenant_id) || other.is_called(&tenant.domain)) {
            return Err(StartError(format!("two tenants share the id or domain of {}", tenant.tenant_id)));
        }
        tenants.push(Arc::new(Tenant::new(tenant, &config, started, &faults).map_err(StartError)?));
    }
    Ok(Cloud {
        clock: Clock::new(started, config.clock.rate),
        tokens: Tokens::new(super::random::mix(config.seed ^ 0x70_6b_65_6e)),
        stats: Stats::default(),
        outages: Default::default(),
        devices: Default::default(),
        faults,
        tenants,
        foreign,
        config,
    })
}

async fn listen(address: &str) -> Result<TcpListener, StartError> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    // It hands out tokens to anybody and invents a company: nothing for a network.
    if host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return Err(StartError(format!("`{address}` is not on loopback, where alone the simulated cloud listens")));
    }
    let failed = |error| StartError(format!("cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(failed)
}

#[derive(Debug, Clone)]
enum Kind {
    Services(Arc<Cloud>),
    Foreign(Arc<Cloud>),
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, kind: Kind, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = stream {
            // Small answers must not wait for more.
            let _ = stream.set_nodelay(true);
            connections.spawn(connection(stream, tls.clone(), kind.clone()));
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, kind: Kind) {
    let authority = stream.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let service = service_fn(move |request| {
        let (kind, authority) = (kind.clone(), authority.clone());
        async move {
            Ok::<_, Infallible>(match kind {
                Kind::Services(cloud) => serve(cloud, scheme, &authority, request).await,
                Kind::Foreign(cloud) => foreign(&cloud, &request),
            })
        }
    });
    let server = hyper::server::conn::http1::Builder::new();
    // A connection that ends early is the client's affair, or a fault that was asked for.
    let _ = match tls {
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => return,
        },
        None => server.serve_connection(TokioIo::new(stream), service).await,
    };
}

fn foreign(cloud: &Cloud, request: &Request<Incoming>) -> Response<Body> {
    count(&cloud.stats.foreign_requests);
    if request.headers().contains_key("authorization") || request.uri().query().is_some_and(|q| q.contains("token=")) {
        count(&cloud.stats.foreign_tokens);
    }
    response(Answer::text(200, "application/json", "[]"), false, cloud)
}

async fn serve(cloud: Arc<Cloud>, scheme: &str, authority: &str, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_REQUEST).collect().await.map(|body| body.to_bytes()) else {
        return response(Answer::empty(413), false, &cloud);
    };
    let gzip = accepts_gzip(&head.headers);
    let query = head.uri.query().unwrap_or_default().to_owned();
    match resolve(scheme, authority, &head.headers, head.uri.path()) {
        Target::Nowhere => {
            let hint = "No service here. Put a host name in front of the path, such as /graph.microsoft.com/v1.0/...";
            response(Answer::text(404, "text/plain", hint), gzip, &cloud)
        }
        Target::Control(path) => {
            let shared = Arc::clone(&cloud);
            let method = head.method.clone();
            let work = move || control::answer(&shared, &method, &path, &query, &body);
            let answer = tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Answer::empty(500));
            response(answer, gzip, &cloud)
        }
        Target::Service { api, host, origin, path } => {
            let now = cloud.clock.now();
            let (method, headers) = (head.method, head.headers);
            let call = Call { origin, host, method, path, raw_query: query, headers, body, now };
            api_request(cloud, api, call, gzip).await
        }
    }
}

async fn api_request(cloud: Arc<Cloud>, api: Api, call: Call, gzip: bool) -> Response<Body> {
    if cloud.config.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(cloud.config.latency_ms)).await;
    }
    let named = services::tenant_in(api, &call).or_else(|| tenant_of(call.header("authorization")));
    let tenant = named.map(|name| cloud.tenant(&name).map_or(name, |tenant| tenant.id().to_owned()));
    let path = call.path.clone();
    let strikes = |kind| cloud.faults.strikes(kind, api, tenant.as_deref(), &path);
    if let Some(tenant) = tenant.as_deref().filter(|tenant| api != Api::Login && cloud.tokens.may_die(tenant, api))
        && strikes(FaultKind::TokenDies).is_some()
    {
        cloud.tokens.kill(tenant, api);
    }
    let mut answer = if cloud.is_out(api, tenant.as_deref()) {
        services::problem(api, 503, "ServiceUnavailable", "The service is unavailable.", call.now)
    } else if let Some(strike) = strikes(FaultKind::Timeout) {
        tokio::time::sleep(strike.seconds.map_or(HANG, Duration::from_secs)).await;
        services::problem(api, 504, "GatewayTimeout", "The service did not answer in time.", call.now)
    } else if let Some(strike) = strikes(FaultKind::Throttle) {
        count(&cloud.stats.storms);
        services::storm(&cloud, api, &call, strike)
    } else if let Some(strike) = strikes(FaultKind::ServerError) {
        let status = strike.status.unwrap_or([500, 502, 503, 504][strike.number as usize % 4]);
        services::problem(api, status, "InternalServerError", "An internal server error occurred.", call.now)
    } else if let Some(strike) = strikes(FaultKind::Html) {
        let page = "<!DOCTYPE html><html><head><title>Service gateway</title></head><body>Error</body></html>";
        Answer::text(strike.status.unwrap_or(403), "text/html", page)
    } else if let Some(strike) = (front(&call.host) == call.host).then(|| strikes(FaultKind::Redirect)).flatten() {
        let root = strike.host.map_or_else(|| cloud.foreign.clone(), |host| call.origin.replacen(&call.host, &host, 1));
        let query = if call.raw_query.is_empty() { String::new() } else { format!("?{}", call.raw_query) };
        Answer::empty(302).with("location", format!("{root}{}{query}", call.path))
    } else {
        let shared = Arc::clone(&cloud);
        let work = move || services::answer(&shared, api, &call);
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Answer::empty(500))
    };
    cloud.stats.request(api, tenant.as_deref(), answer.status);
    if answer.status != 200 {
        return response(answer, gzip, &cloud);
    }
    let plain = answer.plain();
    if plain.as_ref().is_none_or(|bytes| bytes.len() > 2) && strikes(FaultKind::Reset).is_some() {
        return broken(answer, gzip, &cloud).await;
    }
    // A list in CSV that is cut off between two lines looks whole to anybody.
    let json = answer.headers.iter().any(|(name, value)| *name == "content-type" && value.contains("json"));
    if let Some(bytes) = plain.filter(|bytes| bytes.len() > 2 && json) {
        if strikes(FaultKind::Truncate).is_some() {
            answer.content = Content::Plain(bytes.slice(..bytes.len() * 2 / 3));
        } else if strikes(FaultKind::InvalidJson).is_some() {
            let mut spoiled = bytes.to_vec();
            spoiled.splice(bytes.len() / 2..bytes.len() / 2, *b"<\"oops>{\x01");
            answer.content = Content::Plain(spoiled.into());
        } else if strikes(FaultKind::BadEncoding).is_some() {
            answer.content = Content::Plain(bytes);
            return response(answer.with("content-encoding", "gzip"), false, &cloud);
        }
    }
    response(answer, gzip, &cloud)
}

/// The first half of an answer, then the end of the connection.
async fn broken(answer: Answer, gzip_welcome: bool, cloud: &Cloud) -> Response<Body> {
    let half = |bytes: Bytes| (bytes.slice(..bytes.len() / 2), Some(bytes.len() as u64));
    let ((part, length), compressed) = match answer.content {
        Content::Plain(bytes) => (half(bytes), false),
        Content::Gzip(bytes) if gzip_welcome => (half(bytes), true),
        Content::Gzip(bytes) => (half(gunzip(&bytes).unwrap_or_default().into()), false),
        Content::Stream(mut pieces, compressed) => ((pieces.recv().await.unwrap_or_default(), None), compressed),
    };
    let mut answer = Answer { content: Content::Plain(Bytes::new()), ..answer };
    if compressed {
        answer = answer.with("content-encoding", "gzip");
    }
    let mut response = response(answer, false, cloud);
    *response.body_mut() = Body::Broken { part: Some(part), length, paused: false };
    response
}

fn response(answer: Answer, gzip_welcome: bool, cloud: &Cloud) -> Response<Body> {
    let Answer { status, headers, content } = answer;
    let (body, compressed) = match content {
        Content::Plain(bytes) if gzip_welcome && bytes.len() >= COMPRESS_FROM => {
            (Body::Whole(Some(gzip(&bytes))), true)
        }
        Content::Plain(bytes) => (Body::Whole(Some(bytes)), false),
        Content::Gzip(bytes) if gzip_welcome => (Body::Whole(Some(bytes)), true),
        Content::Gzip(bytes) => (Body::Whole(gunzip(&bytes).ok().map(Bytes::from)), false),
        Content::Stream(pieces, compressed) => (Body::Stream(pieces), compressed),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut add = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    };
    for (name, value) in &headers {
        add(name, value);
    }
    if compressed {
        add("content-encoding", "gzip");
    }
    add("date", &time::http_date(cloud.clock.now()));
    response
}

pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get("accept-encoding").and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("gzip"))
}

/// A body that is made by a thread while it is sent.
pub(crate) fn stream(compressed: bool, make: impl FnOnce(&mpsc::Sender<Bytes>) + Send + 'static) -> Content {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || make(&sender));
    Content::Stream(receiver, compressed)
}
