//! `requests.ndjson`: a line for every request that was made, so that others can see how the evidence was got.
//!
//! The client speaks of each request in a log event of its own; here those events go into a file, whatever the log
//! level on the terminal is. Tokens and secrets are in none of them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Where the log events about requests come from: the client, and who signs in.
pub(crate) const TARGET: &str = "downspout_microsoft";

/// What the client's event about a request says.
const MESSAGE: &str = "request";

/// Writes request events into a file.
#[derive(Debug)]
pub(crate) struct RequestLog(Mutex<File>);

impl RequestLog {
    /// Goes on behind what the file holds.
    pub(crate) fn open(path: &Path) -> io::Result<RequestLog> {
        Ok(RequestLog(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }
}

impl<S: Subscriber> Layer<S> for RequestLog {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Members(Map::new());
        event.record(&mut line);
        if line.0.remove("message").is_none_or(|message| message != MESSAGE) {
            return;
        }
        line.0.insert("logged".to_owned(), jiff::Timestamp::now().to_string().into());
        let mut line = Value::Object(line.0).to_string();
        line.push('\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written must not end the collection; the manifest's hash will show what is there.
        let _ = file.write_all(line.as_bytes());
    }
}

struct Members(Map<String, Value>);

impl Visit for Members {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
