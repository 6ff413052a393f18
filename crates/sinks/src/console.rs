//! The sink that prints events on standard output, one line of JSON each.
//!
//! # What it does
//! Data goes to stdout and everything else that downspout says to stderr, so `downspout run ... | jq` works. A batch
//! counts as delivered once stdout took it; a closed stdout (`| head`) stops the pipeline.
//!
//! # Example
//! ```yaml
//! sinks:
//!   out: { type: console, inputs: [flat], format: flat }
//! ```
//!
//! # Metrics
//! Those of every sink.

use std::io::ErrorKind;
use std::sync::Arc;

use async_trait::async_trait;
use downspout_core::stage::Delivery;
use downspout_core::{Batch, Build, Component, ConfigError, Sink, StageError};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::lines::{Format, Lines};

/// Prints events on standard output, one line of JSON each.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// `raw`: the record as received, with what transforms added as further members. `flat`: one flat object with
    /// dotted names.
    #[serde(default)]
    pub format: Format,
}

impl Component for ConsoleConfig {
    type Stage = Box<dyn Sink>;
    const TYPE: &'static str = "console";
    const EXAMPLE: &'static str = "format: flat";

    fn plan(self) -> Result<Build<Box<dyn Sink>>, Vec<ConfigError>> {
        Ok(Box::new(move |_| Ok(Box::new(Console { lines: Lines::new(self.format), output: tokio::io::stdout() }))))
    }
}

#[derive(Debug)]
struct Console<W> {
    lines: Lines,
    output: W,
}

#[async_trait]
impl<W: AsyncWrite + Unpin + Send> Sink for Console<W> {
    async fn deliver(&mut self, batch: &Arc<Batch>) -> Result<Delivery, StageError> {
        let text = self.lines.render(batch);
        let written = match self.output.write_all(text).await {
            Ok(()) => self.output.flush().await,
            Err(error) => Err(error),
        };
        written.map_err(|error| {
            let reader_gone = if error.kind() == ErrorKind::BrokenPipe { " (its reader has gone)" } else { "" };
            StageError::stop("stdout", format!("cannot write to standard output{reader_gone}: {error}"))
        })?;
        Ok(Delivery::default())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll};

    use super::*;
    use crate::suite::{self, Subject, Workbench};

    #[derive(Debug, Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl AsyncWrite for Shared {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Subject for (Format, Shared) {
        fn open(&self) -> Box<dyn Sink> {
            Box::new(Console { lines: Lines::new(self.0), output: self.1.clone() })
        }
        fn arrived(&self) -> Option<Vec<String>> {
            Some(suite::ids_of_lines(&self.1.0.lock().unwrap()))
        }
    }

    #[tokio::test]
    async fn passes_the_suite() {
        suite::passes(|| (Format::Raw, Shared::default())).await;
        suite::passes(|| (Format::Flat, Shared::default())).await;
    }

    #[tokio::test]
    async fn prints_one_line_for_each_event() {
        let bench = Workbench::new();
        let mut batch = bench.batch(&["{\"a\":\n1}", "{\"b\":[1,2]}"]);
        let extra = bench.context.fields.intern_path(&["geo", "asn"]).unwrap();
        Arc::get_mut(&mut batch).unwrap().add(1, extra, downspout_core::Value::Number("64500"));
        for (format, expected) in [
            (Format::Raw, "{\"a\": 1}\n{\"b\":[1,2],\"geo.asn\":64500}\n"),
            (Format::Flat, "{\"a\":1}\n{\"b\":[1,2],\"geo.asn\":64500}\n"),
        ] {
            let shared = Shared::default();
            let mut sink = Console { lines: Lines::new(format), output: shared.clone() };
            sink.deliver(&batch).await.unwrap();
            assert_eq!(String::from_utf8(shared.0.lock().unwrap().clone()).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_closed_output_stops_the_pipeline() {
        let (ours, theirs) = tokio::io::duplex(64);
        drop(theirs);
        let mut sink = Console { lines: Lines::new(Format::Raw), output: ours };
        let error = sink.deliver(&Workbench::new().batch(&["{}"])).await.unwrap_err();
        assert_eq!(error.kind(), downspout_core::ErrorKind::Stop);
    }
}
