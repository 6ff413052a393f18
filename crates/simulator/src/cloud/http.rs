//! Requests and answers as the simulated services see them, and bodies that can break in the middle.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;

/// One request, routed.
#[derive(Debug)]
pub(crate) struct Call {
    /// The URL by which the service was addressed, without its path: links in answers begin with it.
    pub(crate) origin: String,
    /// The true host name of the service.
    pub(crate) host: String,
    pub(crate) method: Method,
    /// The path below the origin, as sent.
    pub(crate) path: String,
    /// The query as sent, without `?`.
    pub(crate) raw_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Simulated time at which it came in.
    pub(crate) now: Timestamp,
}

impl Call {
    /// The path's segments, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decode_path).collect()
    }

    /// The query's parameters, decoded.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        pairs(&self.raw_query)
    }

    /// One parameter of the query, by its name in any case.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters().into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// One header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as form fields.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// `a=b&c=d` as pairs, decoded.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_query(name), decode_query(value))
        })
        .collect()
}

fn decode_query(text: &str) -> String {
    decode_path(&text.replace('+', " "))
}

/// Takes percent signs apart; what is not valid stays as it is.
pub(crate) fn decode_path(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.filter(|_| bytes[at] == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Escapes everything that means something in a query.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'$' | b',' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// What a service answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content: Content,
}

/// The bytes of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    /// As they are.
    Plain(Bytes),
    /// Compressed already; taken apart for clients that do not know gzip.
    Gzip(Bytes),
    /// Made while they are sent. Compressed if the flag says so.
    Stream(mpsc::Receiver<Bytes>, bool),
}

impl Answer {
    /// No body.
    pub(crate) fn empty(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), content: Content::Plain(Bytes::new()) }
    }

    /// A JSON body.
    pub(crate) fn json(status: u16, body: &Value) -> Answer {
        Answer::text(status, "application/json; charset=utf-8", body.to_string())
    }

    /// A body of the given media type.
    pub(crate) fn text(status: u16, media: &str, body: impl Into<Bytes>) -> Answer {
        Answer { status, headers: vec![("content-type", media.to_owned())], content: Content::Plain(body.into()) }
    }

    /// The same answer with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The bytes, taken out of their compression. Streams have none to look at.
    pub(crate) fn plain(&self) -> Option<Bytes> {
        match &self.content {
            Content::Plain(bytes) => Some(bytes.clone()),
            Content::Gzip(bytes) => gunzip(bytes).ok().map(Bytes::from),
            Content::Stream(..) => None,
        }
    }
}

/// Compresses fast: the simulator should not be what a measurement measures.
pub(crate) fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8 + 64), Compression::fast());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(bytes);
    Bytes::from(encoder.finish().unwrap_or_default())
}

/// Takes bytes of our own compression apart.
pub(crate) fn gunzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() * 8);
    GzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}

/// A body on its way out.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it at once.
    Whole(Option<Bytes>),
    /// Promises `length` bytes (where it is known), gives fewer, then breaks the connection.
    Broken { part: Option<Bytes>, length: Option<u64>, paused: bool },
    /// Piece by piece.
    Stream(mpsc::Receiver<Bytes>),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Body::Whole(bytes) => {
                Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(|b| Ok(Frame::data(b))))
            }
            Body::Broken { part, paused, .. } => match part.take() {
                Some(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ if !*paused => {
                    // While it waits, the connection sends what it has: the break shall come after the first half.
                    *paused = true;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                _ => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset)))),
            },
            Body::Stream(receiver) => receiver.poll_recv(context).map(|bytes| bytes.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Body::Broken { length: Some(length), .. } => SizeHint::with_exact(*length),
            Body::Broken { length: None, .. } | Body::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_both_ways() {
        let text = "a b&c=d'%$e+ü/;";
        assert_eq!(pairs(&format!("x={}", encode(text))), [("x".to_owned(), text.to_owned())]);
        assert_eq!(decode_path("100%"), "100%");
        assert_eq!(pairs("a=b+c&d"), [("a".into(), "b c".into()), ("d".into(), String::new())]);
    }

    #[test]
    fn gzip_and_back() {
        let text = "abc".repeat(1000);
        assert_eq!(gunzip(&gzip(text.as_bytes())).unwrap(), text.as_bytes());
    }
}
