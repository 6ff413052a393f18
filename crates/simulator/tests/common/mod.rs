//! A plain HTTP client and a cloud to talk to: no code of the server is used to check the server.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::Read;

use downspout_simulator::{Config, Running, TenantConfig, start};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The tenant of these tests.
pub(crate) const TENANT: &str = "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90";

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether the connection ended before the body did.
    pub(crate) broken: bool,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request on a connection of its own.
pub(crate) async fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(authority).await.expect("the cloud listens");
    let mut text = format!("{method} /{path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        text += &format!("host: {authority}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    text += body;
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let broken = stream.read_to_end(&mut bytes).await.is_err();
    parse(&bytes, broken)
}

fn parse(bytes: &[u8], mut broken: bool) -> Reply {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = bytes[end + 4..].to_vec();
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        let mut whole = Vec::new();
        loop {
            let Some(line) = body.windows(2).position(|two| two == b"\r\n") else {
                broken = true;
                break;
            };
            let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap().trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            whole.extend_from_slice(&body[line + 2..line + 2 + size]);
            body.drain(..line + 4 + size);
        }
        body = whole;
    } else if let Some(length) = headers.get("content-length").and_then(|value| value.parse::<usize>().ok()) {
        broken |= body.len() < length;
    }
    if headers.get("content-encoding").is_some_and(|value| value == "gzip") && !broken {
        let mut plain = Vec::new();
        if flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).is_ok() {
            body = plain;
        }
    }
    Reply { status, headers, body, broken }
}

/// A running cloud and a token for each service that was asked for.
pub(crate) struct Client {
    pub(crate) running: Running,
    pub(crate) base: String,
}

impl Client {
    pub(crate) async fn new(config: Config) -> Client {
        let running = start(config).await.expect("the cloud starts");
        let base = running.base_url.clone();
        Client { running, base }
    }

    /// A token of the default tenant, with everything granted.
    pub(crate) async fn token(&self, resource: &str) -> String {
        let reply = self.token_reply(TENANT, &form("any", "secret", resource)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn token_reply(&self, tenant: &str, body: &str) -> Reply {
        let url = format!("{}/login.microsoftonline.com/{tenant}/oauth2/v2.0/token", self.base);
        send("POST", &url, &[("content-type", "application/x-www-form-urlencoded")], body).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        self.request("GET", path, token, "").await
    }

    /// A request below the base, or to a whole URL that came in an answer.
    pub(crate) async fn request(&self, method: &str, path: &str, token: &str, body: &str) -> Reply {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}/{path}", self.base) };
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        send(method, &url.replace(' ', "%20"), &headers, body).await
    }

    /// A request to the control plane.
    pub(crate) async fn control(&self, method: &str, path: &str, body: &str) -> Reply {
        send(method, &format!("{}/simulator/{path}", self.base), &[], body).await
    }

    /// The ids that the ledger holds for a feed.
    pub(crate) async fn ledger(&self, feed: &str) -> Vec<String> {
        let text = self.control("GET", &format!("ledger?feed={feed}"), "").await.text();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How often a fault has happened.
    pub(crate) async fn happened(&self, kind: &str) -> u64 {
        let stats = self.control("GET", "stats", "").await.json();
        let list = stats["faults"].as_array().unwrap();
        list.iter().filter(|fault| fault["kind"] == kind).filter_map(|fault| fault["happened"].as_u64()).sum()
    }
}

pub(crate) fn form(client: &str, secret: &str, resource: &str) -> String {
    let scope = format!("{resource}/.default");
    format!("grant_type=client_credentials&client_id={client}&client_secret={secret}&scope={scope}")
}

/// A stopped clock in the middle of a week, two days of life, one small tenant.
pub(crate) fn config() -> Config {
    let mut config = Config { history_days: 2.0, tenants: vec![TenantConfig::default()], ..Config::default() };
    config.clock.start = Some("2026-01-07T12:00:00Z".parse().unwrap());
    config.clock.rate = 0.0;
    config.tenants[0].events_per_day = 1_000;
    config.tenants[0].users = 10;
    config
}
