//! A scripted service on a real socket: what the test says is what goes over the wire, broken bodies included.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    /// In lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Hit {
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// A field of a form.
    pub(crate) fn form(&self, name: &str) -> String {
        let pairs = url::form_urlencoded::parse(self.body.as_bytes());
        pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
    }
}

/// What is sent back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection breaks behind the body, which was said to be longer.
    pub(crate) cut: bool,
    /// More of the body comes for ever, byte by byte.
    pub(crate) trickles: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, headers: Vec::new(), body: body.into(), cut: false, trickles: false }
    }

    pub(crate) fn json(value: &serde_json::Value) -> Reply {
        Reply::new(200, value.to_string())
    }

    pub(crate) fn token(text: &str, seconds: u64) -> Reply {
        Reply::json(&serde_json::json!({ "access_token": text, "expires_in": seconds, "token_type": "Bearer" }))
    }

    pub(crate) fn af(status: u16, code: &str) -> Reply {
        let body = serde_json::json!({ "error": { "code": code, "message": format!("This is {code}.") } });
        Reply::new(status, body.to_string())
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn cut(self) -> Reply {
        Reply { cut: true, ..self }
    }

    pub(crate) fn trickles(self) -> Reply {
        Reply { trickles: true, ..self }
    }
}

/// A running service.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) base: String,
    hits: Arc<Mutex<Vec<Hit>>>,
}

impl Server {
    /// Serves until the test's runtime ends.
    pub(crate) async fn start(answer: impl FnMut(&Hit) -> Reply + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let hits = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new(answer));
        let seen = Arc::clone(&hits);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&seen), Arc::clone(&answer)));
            }
        });
        Server { base, hits }
    }

    /// An address where nobody listens.
    pub(crate) fn dead() -> Server {
        Server { base: "http://127.0.0.1:9".to_owned(), hits: Arc::default() }
    }

    /// What was asked so far, as `METHOD path`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.hits.lock().unwrap().iter().map(|hit| format!("{} {}", hit.method, hit.path)).collect()
    }

    /// Every request so far.
    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().clone()
    }
}

async fn connection<F>(stream: TcpStream, seen: Arc<Mutex<Vec<Hit>>>, answer: Arc<Mutex<F>>)
where
    F: FnMut(&Hit) -> Reply,
{
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Some(hit) = request(&mut read).await {
        seen.lock().unwrap().push(hit.clone());
        let reply = answer.lock().unwrap()(&hit);
        let more = if reply.trickles { 1 << 20 } else { usize::from(reply.cut) * 100 };
        let length = reply.body.len() + more;
        let mut head = format!("HTTP/1.1 {} x\r\ncontent-length: {length}\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let sent = async {
            write.write_all(head.as_bytes()).await?;
            write.write_all(&reply.body).await?;
            write.flush().await
        };
        if sent.await.is_err() {
            return;
        }
        if reply.trickles {
            while write.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            return;
        }
        if reply.cut {
            // What was written shall arrive before the end does.
            tokio::time::sleep(Duration::from_millis(5)).await;
            return;
        }
    }
}

async fn request(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Hit> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if read.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    let url = url::Url::parse(&format!("http://x{target}")).ok()?;
    let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    Some(Hit { method, path: url.path().to_owned(), query, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
