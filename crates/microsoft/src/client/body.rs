//! Bodies: read whole and bounded, or in chunks as they come, unpacked; and what broken connections mean.

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::HeaderMap;

use super::PoliteClient;
use super::api::Api;
use super::proxy;
use super::verdict::{Trouble, Verdict};

/// An answer that is read whole is given so many times as long as a service may be silent.
const PATIENCE: u32 = 4;

/// The body of a good answer, chunk by chunk.
#[derive(Debug)]
pub struct Body {
    response: Response,
    api: Api,
    progress: Progress,
}

/// Whether a body comes on. A slow line passes; what trickles is given up, though it is never silent for long.
#[derive(Debug)]
struct Progress {
    /// How long may be waited for the next [`STEP`] bytes.
    patience: Duration,
    /// How long was waited for them, and how many there are.
    waited: Duration,
    bytes: usize,
}

/// So much has to come within [`STEPS`] times as long as a service may be silent: 2 kB a second, mostly.
const STEP: usize = 1 << 20;

/// See [`STEP`].
const STEPS: u32 = 6;

impl Progress {
    fn new(silence: Duration) -> Progress {
        Progress { patience: silence * STEPS, waited: Duration::ZERO, bytes: 0 }
    }

    /// How much longer may be waited.
    fn left(&self) -> Duration {
        self.patience.saturating_sub(self.waited)
    }

    fn add(&mut self, bytes: usize, waited: Duration) {
        self.waited += waited;
        self.bytes += bytes;
        if self.bytes >= STEP {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
    }
}

impl Body {
    /// `silence`: how long the service may be silent.
    pub(super) fn new(response: Response, api: Api, silence: Duration) -> Body {
        Body { response, api, progress: Progress::new(silence) }
    }

    /// The answer's headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next bytes, unpacked; `None` at the end.
    ///
    /// # Errors
    /// [`Verdict::Retry`] when the connection broke, fell silent or trickles: the whole body must be asked for again.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        // Only waiting counts: what the reader does between two chunks is no fault of the service.
        let started = Instant::now();
        let read = tokio::time::timeout(self.progress.left(), self.response.chunk()).await.map_err(|_| {
            let (bytes, seconds) = (self.progress.bytes, self.progress.patience.as_secs_f64());
            slow(self.api, format!("the answer trickles: {bytes} bytes in {seconds} s"))
        })?;
        let chunk = read.map_err(|error| connection(&error, self.api))?;
        self.progress.add(chunk.as_ref().map_or(0, Bytes::len), started.elapsed());
        Ok(chunk)
    }
}

/// The trouble of an answer that does not come to its end.
pub(super) fn slow(api: Api, told: String) -> Trouble {
    Trouble::new(Verdict::Retry, api, "timeout", told, "the service, a proxy or the network is slow")
}

impl PoliteClient {
    /// Reads an answer whole, within a bounded time: one that trickles is never silent for long, and never ends.
    ///
    /// # Errors
    /// A [`Trouble`] with the code `timeout` and [`Verdict::Retry`]; otherwise as `read`.
    pub(crate) async fn in_time<T>(
        &self,
        api: Api,
        read: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let patience = self.cloud().timeout() * PATIENCE;
        tokio::time::timeout(patience, read)
            .await
            .unwrap_or_else(|_| Err(slow(api, format!("no whole answer within {} s", patience.as_secs_f64()))))
    }
}

/// The whole body.
pub(crate) async fn whole(mut response: Response, most: usize, api: Api) -> Result<Bytes, Trouble> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| connection(&error, api))? {
        if bytes.len() + chunk.len() > most {
            let told = format!("more than {} MiB", most >> 20);
            return Err(Trouble::new(Verdict::Skip, api, "too_large", told, "the answer is larger than memory allows"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// The first part of an error's body, as far as it can be had within a few seconds.
pub(super) async fn first(mut response: Response, most: usize) -> Bytes {
    let mut bytes = BytesMut::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk[..chunk.len().min(most - bytes.len())]);
            if bytes.len() >= most {
                break;
            }
        }
    };
    // What is there by then is enough to judge by.
    let _ = tokio::time::timeout(Duration::from_secs(10), read).await;
    bytes.freeze()
}

/// What a failure of the connection means.
pub(crate) fn connection(error: &reqwest::Error, api: Api) -> Trouble {
    // The URL may hold secrets, and is told elsewhere.
    let mut told = String::new();
    let mut source = error.source();
    while let Some(inner) = source {
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&inner.to_string());
        source = inner.source();
    }
    let lower = told.to_ascii_lowercase();
    let trouble = |verdict, code, meaning: &str| Trouble::new(verdict, api, code, &told, meaning);
    if lower.contains("certificate") {
        return trouble(
            Verdict::Stop,
            "certificate",
            "the certificate of the other side is not trusted: if a proxy opens TLS here, put its CA certificate (PEM) into \
             a file that `ca_file` of the source (`collect --ca-file`) or the variable SSL_CERT_FILE names; if the certificate is \
             expired or not yet valid, check this machine's clock",
        );
    }
    let way = error.url().map(proxy::note).unwrap_or_default();
    if error.is_timeout() && !error.is_connect() {
        let meaning = format!("the service, a proxy or the network is slow{way}");
        return trouble(Verdict::Retry, "timeout", &meaning);
    }
    if lower.contains("proxy auth") {
        return trouble(
            Verdict::Stop,
            "proxy",
            "the proxy wants a user and a password: write them into HTTPS_PROXY, as http://USER:PASSWORD@HOST:PORT",
        );
    }
    let proxy = error.url().and_then(proxy::on_the_way_to);
    if let Some(proxy) = proxy.filter(|_| error.is_connect()) {
        let meaning = format!(
            "requests to this host go through {proxy}, which cannot be reached, or does not let them through; check that \
             it runs, correct the variable, or put the host into NO_PROXY"
        );
        return trouble(Verdict::Retry, "connection", &meaning);
    }
    if lower.contains("dns") || lower.contains("resolve") {
        return trouble(
            Verdict::Retry,
            "dns",
            "the host's name cannot be resolved; check DNS, and the address in `cloud`",
        );
    }
    if error.is_connect() {
        return trouble(
            Verdict::Retry,
            "connection",
            "the host cannot be reached; check the network, the firewall and HTTPS_PROXY",
        );
    }
    trouble(Verdict::Retry, "broken", &format!("the connection broke while the answer was under way{way}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_line_passes_and_a_trickle_does_not() {
        let silence = Duration::from_secs(90);
        for (bytes_a_second, passes) in [(20_000, true), (2_000, true), (1_000, false), (1, false)] {
            let mut progress = Progress::new(silence);
            let lasted = (0..86_400).take_while(|_| {
                progress.add(bytes_a_second, Duration::from_secs(1));
                !progress.left().is_zero()
            });
            assert_eq!(lasted.count() == 86_400, passes, "{bytes_a_second}");
        }
    }
}
