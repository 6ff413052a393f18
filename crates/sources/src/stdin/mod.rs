//! The source `stdin`: records from standard input.
//!
//! # What it does
//! Finds records in standard input as the source `file` does in files: the same formats, told by content, plain, gzip
//! or zstd. It ends when the input ends.
//!
//! Standard input cannot be read again. What was read and not delivered when downspout is killed is lost; asked to
//! stop, downspout delivers what it has read. Where that is not enough, write into a file and follow that.
//!
//! Every run is a shard of its own (`stdin#7`), with a number that the store keeps: positions begin again in each run,
//! and no run's records may be taken for those of another.
//!
//! # Example
//! ```yaml
//! type: stdin
//! ```
//!
//! # Metrics
//! `downspout_component_errors_total` with `error_type` `unknown_format`, `unreadable_input` or `damaged_input`,
//! beside those that every source has.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use downspout_core::config_values::ByteSize;
use downspout_core::progress::Progress;
use downspout_core::stage::{Closed, Output, Shutdown, SourceBatch};
use downspout_core::store::{StoreError, Write, key, last_part};
use downspout_core::{Build, Claim, Component, ConfigError, Context, Source, StageError, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::limit;
use downspout_core::framing::{End, Framed, Framer, Limits, Resume, stream};

/// How much is read at once: what a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// How many chunks may wait while the pipeline is busy.
const CHUNKS: usize = 16;

/// Reads records from standard input, in every format that the source `file` reads. It cannot be read again after a
/// crash: where that matters, write into a file and follow that.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdinConfig {
    /// A longer record is not read, but put into the dead-letter file with its first 64 KiB.
    #[serde(default = "limit::default_max_record_bytes")]
    pub max_record_bytes: ByteSize,
}

impl Component for StdinConfig {
    type Stage = Box<dyn Source>;

    const TYPE: &'static str = "stdin";

    const EXAMPLE: &'static str = "max_record_bytes: 4MiB\n";

    fn plan(self) -> Result<Build<Self::Stage>, Vec<ConfigError>> {
        let limits = Limits::new(limit::check(self.max_record_bytes).map_err(|wrong| vec![wrong])?);
        Ok(Box::new(move |context| Ok(Box::new(StdinSource { input: Box::new(io::stdin()), limits, context }))))
    }

    fn claim(&self) -> Option<Claim> {
        Some(Claim::StandardInput)
    }
}

/// What the names of its shards begin with.
const SHARDS: &[u8] = b"stdin#";

/// The running source.
struct StdinSource {
    input: Box<dyn Read + Send>,
    limits: Limits,
    context: Context,
}

/// What the store remembers of a run.
#[derive(Debug, Serialize)]
struct Checkpoint {
    /// How far its text was read, in bytes.
    offset: u64,
}

#[async_trait]
impl Source for StdinSource {
    async fn run(self: Box<Self>, output: Output, mut shutdown: Shutdown) -> Result<(), StageError> {
        let StdinSource { input, limits, context } = *self;
        let shard = format!("stdin#{}", next_run(&context.store, &context.id)?);
        let (sender, mut chunks) = mpsc::channel(CHUNKS);
        let input = Counted { reader: input, progress: Arc::clone(&context.progress) };
        // A thread of its own, which nobody waits for: a read of standard input cannot be interrupted.
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || pump(input, &sender)).map_err(|error| {
            StageError::stop("internal", format!("cannot start a thread to read standard input: {error}"))
        })?;
        let mut framing =
            Framing { framer: Framer::new("standard input".into(), limits, Resume::default()), shard, output };
        loop {
            let chunk = tokio::select! {
                chunk = chunks.recv() => chunk,
                () = shutdown.wait(), if !chunks.is_closed() => {
                    // What was read is still delivered.
                    chunks.close();
                    continue;
                }
            };
            let sent = match chunk {
                Some(Ok(bytes)) => {
                    framing.framer.push(&bytes);
                    let end = if chunks.is_empty() { End::Pause } else { End::More };
                    framing.send_all(end).await?
                }
                Some(Err(error)) => return framing.trouble(&error).await,
                None => return framing.send_all(End::Final).await.map(|_| ()),
            };
            if sent == Err(Closed) {
                return Ok(());
            }
        }
    }

    fn can_replay(&self) -> bool {
        false
    }
}

struct Framing {
    framer: Framer,
    shard: String,
    output: Output,
}

impl Framing {
    /// Sends every batch there is.
    async fn send_all(&mut self, end: End) -> Result<Result<(), Closed>, StageError> {
        loop {
            match self.framer.next(end) {
                Ok(None) => return Ok(Ok(())),
                Ok(Some(framed)) => {
                    if self.send(framed).await.is_err() {
                        return Ok(Err(Closed));
                    }
                }
                Err(problem) => return Err(StageError::stop("unknown_format", problem)),
            }
        }
    }

    async fn send(&self, framed: Framed) -> Result<(), Closed> {
        let Framed { records, rejected, resume } = framed;
        let checkpoint = serde_json::to_vec(&Checkpoint { offset: resume.offset }).unwrap_or_default();
        let shard = self.shard.clone();
        self.output.send(SourceBatch { shard, records, rejected, checkpoint, provenance: None }).await
    }

    /// The input cannot be read on.
    async fn trouble(&mut self, error: &io::Error) -> Result<(), StageError> {
        if self.send_all(End::Pause).await?.is_err() {
            return Ok(());
        }
        if !stream::is_damage(error) {
            return Err(StageError::stop("unreadable_input", format!("cannot read standard input: {error}")));
        }
        let problem = format!("the compressed data is damaged or cut off ({error}): what follows is not read");
        let last = self.framer.fail(&problem);
        let offset = last.resume.offset;
        // Nobody is left to take it when the pipeline has stopped.
        let _ = self.send(last).await;
        let place = format!("standard input, behind byte {offset} of the unpacked text");
        Err(StageError::stop("damaged_input", format!("{place}: {problem}; get the data again, and feed it whole")))
    }
}

/// The number of this run, which no other has. What the store remembers of earlier runs is of use to nobody.
fn next_run(store: &Store, id: &str) -> Result<u64, StoreError> {
    let run = key(&[b"stdin-run", id.as_bytes()]);
    let last = store.get(&run)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
    let earlier = store.list(&key(&[b"checkpoint", id.as_bytes()]))?.into_iter().map(|(key, _)| key);
    let mut writes: Vec<Write> = earlier.filter(|key| last_part(key).starts_with(SHARDS)).map(Write::remove).collect();
    writes.push(Write::set(run, (last + 1).to_be_bytes()));
    store.write_all(&writes)?;
    Ok(last + 1)
}

/// Reads the input, unpacked, until it ends or nobody takes it.
fn pump(input: Counted, sender: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut opened = match stream::open(input) {
        Ok(opened) => opened,
        Err(error) => return drop(sender.blocking_send(Err(error))),
    };
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let chunk = match opened.stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                chunk.truncate(count);
                Ok(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if sender.blocking_send(chunk).is_err() || failed {
            return;
        }
    }
}

/// Counts what is read.
struct Counted {
    reader: Box<dyn Read + Send>,
    progress: Arc<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.progress.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
