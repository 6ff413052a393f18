//! The source `file`: records from files, once or as they come.
//!
//! # What it does
//! Reads all files that the patterns name. The format of each is told by its content: one JSON record a line, JSON
//! arrays, pages of Graph and Azure (`value`, `records`), objects over several lines, CSV exports of the audit log
//! (the record is the cell `AuditData`), all of them plain, gzip or zstd, in UTF-8 or UTF-16. JSON rows with a member
//! `AuditData` (`Search-UnifiedAuditLog | ConvertTo-Json`, Graph's audit log query) are unwrapped to the record in it.
//! So the files of DFIR-O365RC, of Purview's audit search and of `Search-UnifiedAuditLog` are read as they are.
//!
//! In mode `once` every file is read to its end, in the order of their names. A file that was read to its end is not
//! read again by the next run; one that has grown is read on. Files that cannot be read, and archives that are damaged
//! or cut off, do not stop the others, but the run fails in the end and names them.
//!
//! In mode `follow` the patterns and files are looked at every `poll_interval`. A last line waits for its newline. A
//! renamed file is read on under its new name, or, if no pattern names that, from its open handle to its end. A
//! truncated file is read from its start. While downspout does not run it cannot hold files open: let `include` name
//! rotated files too. A copy of a file is another file: leave copies out by `exclude`. Compressed files are read when
//! they are complete.
//!
//! What is no record goes to the dead-letter file with the file's name, the offset and the reason: text between
//! records, records over `max_record_bytes`, a cut-off end, a damaged archive.
//!
//! What is known of a file is forgotten when the file has been gone for 30 days: it would be read again if it came back
//! later.
//!
//! A shard is a file, whatever its name, and a position the offset in its unpacked text and one, so both are the same
//! after a restart.
//!
//! # Example
//! ```yaml
//! type: file
//! include: [./exports/**/*.json, ./exports/*.csv]
//! exclude: ["*.log"]
//! ```
//!
//! # Metrics
//! `downspout_component_errors_total` with `error_type` `unreadable_file`, `unknown_format`, `damaged_file` or
//! `no_file`, beside those that every source has.

mod follow;
mod list;
mod once;
mod read;
mod shard;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::stage::{Output, Shutdown, SourceBatch};
use downspout_core::{Build, Component, ConfigError, Context, Reads, Source, StageError};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use self::follow::Follower;
use self::list::Globs;
use self::read::Stopped;
use self::shard::{FileId, Known};
use crate::limit;
use downspout_core::framing::Limits;

/// When to stop reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileMode {
    /// When all files were read to their ends.
    #[default]
    Once,
    /// Never: what is added to files, and new files, are read as they come.
    Follow,
}

/// Where to begin with files that are there at the first start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    /// At their start.
    #[default]
    Start,
    /// At their end: only what comes later is read.
    End,
}

/// Reads records from files: NDJSON, JSON arrays, pages and objects, and CSV exports of the audit log; plain, gzip or
/// zstd. Formats are told by content.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The files: paths or patterns. `*` matches in a name, `**` any folders, `[ab]` one of these. Relative paths
    /// begin at the working directory.
    pub include: Vec<String>,
    /// Files to leave out, by the same patterns. A pattern without `/` speaks about names in any folder.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// `once` reads all files to their ends; `follow` goes on to wait for more.
    #[serde(default)]
    pub mode: FileMode,
    /// In mode `follow`: whether files that are there at the very first start are read from their `start` or from
    /// their `end`. `start` if left out.
    #[serde(default)]
    pub read_from: Option<ReadFrom>,
    /// A longer record is not read, but put into the dead-letter file with its first 64 KiB.
    #[serde(default = "limit::default_max_record_bytes")]
    pub max_record_bytes: ByteSize,
    /// In mode `follow`: how often files are looked at.
    #[serde(default = "default_poll_interval")]
    pub poll_interval: HumanDuration,
}

fn default_poll_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(1))
}

/// The shortest time between two looks: a look lists folders.
const MIN_POLL: Duration = Duration::from_millis(10);

impl Component for FileConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "file";

    const EXAMPLE: &'static str = "include: [./exports/**/*.json, ./exports/*.csv]\nexclude: [\"*.log\"]\nmode: once\n";

    fn plan(self) -> Result<Build<Self::Stage>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let globs = Globs::new(self.include, &self.exclude).map_err(|wrong| errors.extend(wrong)).ok();
        let max_record_bytes = limit::check(self.max_record_bytes).map_err(|wrong| errors.push(wrong)).ok();
        if self.mode == FileMode::Once && self.read_from == Some(ReadFrom::End) {
            errors
                .push(ConfigError::at("read_from", "`end` is for mode `follow`: in mode `once` nothing would be read"));
        }
        if self.poll_interval.0 < MIN_POLL {
            errors.push(ConfigError::at("poll_interval", "expected at least 10ms"));
        }
        let (Some(globs), Some(max_record_bytes)) = (globs, max_record_bytes) else { return Err(errors) };
        if !errors.is_empty() {
            return Err(errors);
        }
        let limits = Limits::new(max_record_bytes);
        let from_end = self.read_from == Some(ReadFrom::End);
        let (mode, poll_interval) = (self.mode, self.poll_interval.0);
        Ok(Box::new(move |context| Ok(Box::new(FileSource { globs, limits, mode, from_end, poll_interval, context }))))
    }

    fn reads(&self) -> Option<Reads> {
        let globs = Globs::new(self.include.clone(), &self.exclude).ok()?;
        Some(Box::new(move |path| globs.cover(path)))
    }
}

/// The running source.
#[derive(Debug)]
struct FileSource {
    globs: Globs,
    limits: Limits,
    mode: FileMode,
    from_end: bool,
    poll_interval: Duration,
    context: Context,
}

#[async_trait]
impl Source for FileSource {
    async fn run(self: Box<Self>, output: Output, mut shutdown: Shutdown) -> Result<(), StageError> {
        let FileSource { globs, limits, mode, from_end, poll_interval, context } = *self;
        let checkpoints = output.checkpoints()?;
        let output = Arc::new(output);
        let load = move || {
            let listed = globs.list().files.iter().map(|(_, data)| FileId::of(data)).collect();
            let known = Known::load(&context.store, &context.id, checkpoints, &listed, now())?;
            Ok::<_, StageError>((globs, context, known))
        };
        let (globs, context, known) = spawn_blocking(load).await.map_err(died)??;
        if mode == FileMode::Once {
            let read = move || once::run(&globs, limits, &known, &context, &mut emit_to(&output, &shutdown));
            return spawn_blocking(read).await.map_err(died)?;
        }
        let mut follower = Follower::new(globs, limits, from_end, known, context);
        loop {
            let (to, stop) = (Arc::clone(&output), shutdown.clone());
            let poll = move || {
                let polled = follower.poll(&mut emit_to(&to, &stop));
                (follower, polled)
            };
            let (back, polled) = spawn_blocking(poll).await.map_err(died)?;
            follower = back;
            if polled == Err(Stopped) {
                return Ok(());
            }
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                () = tokio::time::sleep(poll_interval) => {}
            }
        }
    }
}

/// Sends batches until the pipeline stops, or wants to.
fn emit_to(output: &Output, shutdown: &Shutdown) -> impl FnMut(SourceBatch) -> Result<(), Stopped> {
    move |batch| {
        if shutdown.requested() {
            return Err(Stopped);
        }
        output.blocking_send(batch).map_err(|_| Stopped)
    }
}

/// The time in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn died(error: tokio::task::JoinError) -> StageError {
    StageError::stop("internal", format!("the reader of files died: {error}"))
}

#[cfg(test)]
mod tests;
