//! What tests share: a pipeline's surroundings, and a scripted service on loopback.

use std::path::Path;
use std::sync::{Arc, Mutex};

use downspout_core::metrics::ComponentMetrics;
use downspout_core::{Context, FieldTable, Shared, Store};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a source with that id is built with, whose store lies in a folder.
pub(crate) fn context(id: &str, folder: &Path) -> Context {
    Context {
        id: id.into(),
        store: Arc::new(Store::open(folder).unwrap()),
        fields: Arc::new(FieldTable::default()),
        metrics: ComponentMetrics::detached(id, "source", "test").unwrap(),
        progress: Arc::default(),
        threads: 1,
        shared: Shared::default(),
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `GET` or `POST`.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// Host and port of the service itself.
    pub(crate) host: String,
    /// The body, if it is JSON.
    pub(crate) body: Value,
}

/// Serves until the test's runtime ends; `answer` gives status and body. Gives the base URL.
pub(crate) async fn serve<F>(answer: Arc<Mutex<F>>) -> String
where
    F: FnMut(&Asked) -> (u16, String) + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let base = format!("http://{host}");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, host.clone(), Arc::clone(&answer)));
        }
    });
    base
}

async fn connection<F: FnMut(&Asked) -> (u16, String)>(stream: TcpStream, host: String, answer: Arc<Mutex<F>>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if read.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        read.read_exact(&mut body).await.unwrap();
        let mut words = head.split(' ');
        let asked = Asked {
            method: words.next().unwrap().to_owned(),
            path: words.next().unwrap().to_owned(),
            host: host.clone(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        };
        let (status, text) = answer.lock().unwrap()(&asked);
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
