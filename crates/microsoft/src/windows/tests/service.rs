//! A service with logs that are asked for by time, on loopback, with the defects of the real ones on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::{Clock, plus};

/// A record of a log.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) log: &'static str,
    pub(super) at: Timestamp,
    pub(super) visible: Timestamp,
    /// Gone again then: it comes back changed, as a record of its own.
    pub(super) until: Timestamp,
    pub(super) text: String,
}

/// What goes wrong, and how often: counted down.
#[derive(Debug, Default, Clone)]
pub(super) struct Faults {
    /// The page before comes again in place of a further one.
    pub(super) repeated: u32,
    /// A link leads to its own page.
    pub(super) loops: u32,
    /// A page is cut off.
    pub(super) cut: u32,
    /// A record is not JSON.
    pub(super) garbled: u32,
    /// A link leads to another host.
    pub(super) foreign: u32,
    /// A link is refused as too old.
    pub(super) stale: u32,
    /// A request is answered with 503.
    pub(super) unavailable: u32,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) records: Vec<Record>,
    pub(super) page: usize,
    pub(super) faults: Faults,
    /// Logs that are refused: name, status and body.
    pub(super) refused: Vec<(&'static str, u16, String)>,
    /// Path and query of every request for records.
    pub(super) asked: Vec<String>,
    /// Whether sign-ins are refused.
    pub(super) locked: bool,
    /// Answers about logs with this in their names begin and never end.
    pub(super) trickling: Option<&'static str>,
}

pub(super) type Service = Arc<Mutex<State>>;

/// Starts a service; gives its base URL.
pub(super) async fn start(clock: Clock) -> (String, Service) {
    let state = State {
        clock,
        records: Vec::new(),
        page: 3,
        faults: Faults::default(),
        refused: Vec::new(),
        asked: Vec::new(),
        locked: false,
        trickling: None,
    };
    let service = Arc::new(Mutex::new(state));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (shared, at) = (Arc::clone(&service), base.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&shared), at.clone()));
        }
    });
    (base, service)
}

async fn serve(stream: TcpStream, service: Service, base: String) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    if stream.read_line(&mut first).await.is_err() {
        return;
    }
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|count| count > 2) {
        line.clear();
    }
    let target = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let (status, body) = service.lock().unwrap().answer(&base, &target);
    let trickles = service.lock().unwrap().trickling.is_some_and(|name| target.contains(name));
    let length = body.len() + usize::from(trickles);
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
    if trickles {
        std::future::pending::<()>().await;
    }
    let _ = stream.shutdown().await;
}

fn decode(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={text}").as_bytes()).next().unwrap().1.into_owned()
}

fn take(count: &mut u32) -> bool {
    let is = *count > 0;
    *count = count.saturating_sub(1);
    is
}

impl State {
    pub(super) fn add(&mut self, log: &'static str, at: Timestamp, late: Duration, id: &str) {
        let text = format!(r#"{{"id":"{id}","t":"{at}"}}"#);
        self.records.push(Record { log, at, visible: plus(at, late), until: Timestamp::MAX, text });
    }

    fn answer(&mut self, base: &str, target: &str) -> (u16, String) {
        if target.ends_with("/token") && self.locked {
            return (401, r#"{"error":"invalid_client","error_description":"AADSTS7000215: no"}"#.to_owned());
        }
        if target.ends_with("/token") {
            return (200, r#"{"token_type":"Bearer","expires_in":3599,"access_token":"x"}"#.to_owned());
        }
        self.asked.push(target.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).map(decode);
        let filter = parameter("$filter=").unwrap_or_default().replace('\'', "");
        let words: Vec<&str> = filter.split(' ').collect();
        let [_, "ge", start, "and", _, "le", end, ..] = words[..] else { return (400, "what filter?".to_owned()) };
        let (start, end): (Timestamp, Timestamp) = (start.parse().unwrap(), end.parse().unwrap());
        let skip: usize = parameter("$skiptoken=").map_or(0, |token| token.parse().unwrap());
        if let Some((_, status, body)) = self.refused.iter().find(|(log, ..)| path.contains(log)) {
            return (*status, body.clone());
        }
        if take(&mut self.faults.unavailable) {
            return (503, "busy".to_owned());
        }
        let now = self.clock.now();
        let inside = |record: &&Record| {
            path.contains(record.log)
                && record.at >= start
                && record.at <= end
                && record.visible <= now
                && now < record.until
        };
        let mut found: Vec<&Record> = self.records.iter().filter(inside).collect();
        found.sort_by_key(|record| record.visible);
        let more = found.len() > skip + self.page;
        let Faults { repeated, loops, cut, garbled, foreign, stale, .. } = &mut self.faults;
        if skip > 0 && take(stale) {
            return (400, r#"{"error":{"code":"BadRequest","message":"skip token expired"}}"#.to_owned());
        }
        let from = if skip > 0 && take(repeated) { skip - self.page } else { skip };
        let page: Vec<&str> = found.iter().skip(from).take(self.page).map(|record| record.text.as_str()).collect();
        let mut next = skip + self.page;
        if more && skip > 0 && take(loops) {
            next = skip;
        }
        let (first, _) = query.split_once("&$skiptoken=").unwrap_or((query, ""));
        let host = if more && take(foreign) { "https://evil.example" } else { base };
        let link = format!("{host}{path}?{first}&$skiptoken={next}");
        let link = if more { format!(r#","@odata.nextLink":"{link}","nextLink":"{link}""#) } else { String::new() };
        let mut body = format!(r#"{{"value":[{}]{link}}}"#, page.join(","));
        if !page.is_empty() && take(cut) {
            body.truncate(body.len() / 2);
        }
        if !page.is_empty() && take(garbled) {
            body = body.replacen("\"t\"", "\"t\" is", 1);
        }
        (200, body)
    }
}
