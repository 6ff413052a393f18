//! The sink that appends events to a file, one line of JSON each.
//!
//! # What it does
//! Appends each batch to `path` and syncs it to the disk before the batch counts as delivered. A batch that could not
//! be written whole is cut off again, so the file holds whole lines only; a line that a crash tore is cut off at the
//! next start. Its events were never acknowledged, so they come again. Folders of the path are made. When the file is
//! renamed or removed (logrotate), the next batch begins a new one.
//!
//! The file is this sink's alone: while it is open it is locked, and a second sink on it, of this process or another, is
//! refused. A program that does not ask for the lock can still write there. If it has made the file longer, the sink
//! stops; if it has made it shorter (logrotate's `copytruncate`), that is told, and the sink goes on at the new end. What
//! stood there is never overwritten.
//!
//! Events of a batch that was under way in a crash may stand in the file twice: this sink delivers at least once.
//!
//! # Example
//! ```yaml
//! sinks:
//!   lines: { type: file, inputs: [flat], path: ./out/audit.ndjson, format: flat }
//! ```
//!
//! # Metrics
//! Those of every sink. `error_type`: `disk_full`, `permission`, `path`, `foreign`, `in_use`, `truncated`, `io`.

mod append;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use downspout_core::path::resolve;
use downspout_core::stage::Delivery;
use downspout_core::{Batch, Build, Claim, Component, ConfigError, Sink, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::io::blocking;
use crate::lines::{Format, Lines};
use append::Appender;

/// Appends events to a file, one line of JSON each.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSinkConfig {
    /// The file. It is made, with its folders, if it does not exist; else it is appended to. No other sink and no other
    /// program may write to it meanwhile.
    pub path: PathBuf,
    /// `raw`: the record as received, with what transforms added as further members. `flat`: one flat object with
    /// dotted names.
    #[serde(default)]
    pub format: Format,
}

impl Component for FileSinkConfig {
    type Stage = Box<dyn Sink>;
    const TYPE: &'static str = "file";
    const EXAMPLE: &'static str = "path: ./out/audit.ndjson\nformat: flat";

    fn plan(self) -> Result<Build<Box<dyn Sink>>, Vec<ConfigError>> {
        if self.path.file_name().is_none() {
            return Err(vec![
                ConfigError::at("path", "this is not the path of a file").help("such as ./out/audit.ndjson"),
            ]);
        }
        Ok(Box::new(move |_| {
            // A path that cannot work is told at the start, not with the first event.
            let appender = Appender::open(&self.path)?;
            let writer = Writer { lines: Lines::new(self.format), appender };
            Ok(Box::new(FileSink { writer: Some(writer), path: self.path, format: self.format }))
        }))
    }

    fn claim(&self) -> Option<Claim> {
        Some(Claim::File(resolve(&self.path)))
    }
}

#[derive(Debug)]
struct Writer {
    lines: Lines,
    appender: Appender,
}

#[derive(Debug)]
struct FileSink {
    path: PathBuf,
    format: Format,
    /// Lent to the blocking worker during a delivery. `None` after an error: the file is then opened anew.
    writer: Option<Writer>,
}

#[async_trait]
impl Sink for FileSink {
    async fn deliver(&mut self, batch: &Arc<Batch>) -> Result<Delivery, StageError> {
        let (path, format, batch) = (self.path.clone(), self.format, Arc::clone(batch));
        let writer = self.writer.take();
        let writer = blocking(move || {
            // One that is not current gives its lock back before the file is opened anew.
            let mut writer = match writer.filter(|writer| writer.appender.is_current()) {
                Some(writer) => writer,
                None => Writer { lines: Lines::new(format), appender: Appender::open(&path)? },
            };
            writer.appender.append(writer.lines.render(&batch))?;
            Ok(writer)
        });
        self.writer = Some(writer.await?);
        Ok(Delivery::default())
    }
}

#[cfg(test)]
mod tests;
