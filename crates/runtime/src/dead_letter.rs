//! The dead-letter file: records that cannot be parsed, or that a sink refuses for good, each with its reason.
//!
//! One JSON object a line, one file a day (UTC), under `data_dir/dead-letter`. Lines are on the disk before the
//! record counts as dealt with. After a crash a record may stand there twice, never not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use downspout_core::json::write_string;
use downspout_core::{Origin, Rejected, StageError};

/// A record's first bytes that are kept; what is longer can be fetched again from where it came.
const MAX_RAW: usize = 1 << 20;

/// The dead-letter file of a pipeline.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    folder: PathBuf,
    open: Mutex<Option<(String, File)>>,
}

impl DeadLetters {
    /// The dead letters of a `data_dir`. Nothing is opened before the first one comes.
    pub(crate) fn new(data_dir: &Path) -> DeadLetters {
        DeadLetters { folder: data_dir.join("dead-letter"), open: Mutex::new(None) }
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes records and the reasons, durably. `component` is the one that refused them.
    ///
    /// # Errors
    /// [`downspout_core::ErrorKind::Retry`] when the file cannot be written.
    pub(crate) fn write(
        &self,
        component: &str,
        origin: &Origin,
        rejected: &[Rejected],
        now: SystemTime,
    ) -> Result<(), StageError> {
        if rejected.is_empty() {
            return Ok(());
        }
        let now = jiff::Timestamp::try_from(now).unwrap_or_default();
        let mut lines = Vec::new();
        for record in rejected {
            write_line(&now.to_string(), component, origin, record, &mut lines);
        }
        let day = now.strftime("%Y-%m-%d").to_string();
        self.append(&day, &lines).map_err(|error| {
            StageError::retry(
                "dead_letter",
                format!(
                    "cannot write the dead-letter file in {}: {error}; make room or make the folder writable",
                    self.folder.display()
                ),
            )
        })
    }

    fn append(&self, day: &str, lines: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match open.take() {
            Some((opened, file)) if opened == day => (opened, file),
            _ => {
                fs::create_dir_all(&self.folder)?;
                let path = self.folder.join(format!("{day}.ndjson"));
                (day.to_owned(), OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let (_, file) = open.insert(current);
        file.write_all(lines)?;
        file.sync_data()
    }
}

fn write_line(time: &str, component: &str, origin: &Origin, record: &Rejected, out: &mut Vec<u8>) {
    let kept = &record.raw[..record.raw.len().min(MAX_RAW)];
    let position = record.position.to_string();
    let mut separator = b'{';
    let mut member = |name: &str, value: &str, quoted: bool| {
        out.push(separator);
        separator = b',';
        write_string(name, out);
        out.push(b':');
        if quoted {
            write_string(value, out);
        } else {
            out.extend_from_slice(value.as_bytes());
        }
    };
    member("time", time, true);
    member("component", component, true);
    member("source", &origin.source, true);
    member("shard", &origin.shard, true);
    member("position", &position, false);
    member("reason", &record.reason, true);
    match std::str::from_utf8(kept) {
        Ok(text) => member("raw", text, true),
        Err(_) => member("raw_hex", &kept.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), true),
    }
    out.extend_from_slice(b"}\n");
}
