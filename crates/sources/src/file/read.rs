//! Reads one file from where it was left to where it ends, batch by batch.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use downspout_core::Records;
use downspout_core::progress::Progress;
use downspout_core::stage::SourceBatch;

use super::shard::Shard;
use downspout_core::framing::stream::{self, Packing};
use downspout_core::framing::{End, Framed, Framer, Limits};

/// Takes batches away; refuses when the source shall stop.
pub(super) type Emit<'e> = dyn FnMut(SourceBatch) -> Result<(), Stopped> + 'e;

/// The pipeline stops, or wants to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// How to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) limits: Limits,
    /// Whether the file's end is the end: then what is not whole is given too, and the checkpoint says "done".
    /// Compressed files that end where an archive may end count so anyway.
    pub(super) to_the_end: bool,
    /// After so many batches others shall have their turn.
    pub(super) batches: usize,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything that is there was given.
    Read,
    /// There is more.
    Paused,
    /// A compressed file ends in the middle; the rest may come.
    Incomplete,
    /// A compressed file is damaged; what came before that was given, and the damage was reported as a reject.
    Damaged(String),
    /// There are no records in it, and why.
    Refused(String),
    /// The system does not let it be read.
    Failed(String),
    /// The pipeline stops.
    Stopped,
}

/// How much of a file was read, for progress: it only grows, however often parts are read again.
#[derive(Debug, Default)]
pub(super) struct Meter {
    reached: AtomicU64,
    progress: Arc<Progress>,
}

impl Meter {
    /// A meter that adds to the progress of all sources.
    pub(super) fn new(progress: &Arc<Progress>) -> Arc<Meter> {
        Arc::new(Meter { reached: AtomicU64::new(0), progress: Arc::clone(progress) })
    }

    /// The file was read up to there.
    pub(super) fn reach(&self, offset: u64) {
        let before = self.reached.fetch_max(offset, Ordering::Relaxed);
        self.progress.read.fetch_add(offset.saturating_sub(before), Ordering::Relaxed);
    }

    /// The file is not read up to there: it was before, or it cannot be.
    pub(super) fn skip(&self, offset: u64) {
        let before = self.reached.fetch_max(offset, Ordering::Relaxed);
        self.progress.skipped.fetch_add(offset.saturating_sub(before), Ordering::Relaxed);
    }

    /// The file begins anew.
    pub(super) fn restart(&self) {
        self.reached.store(0, Ordering::Relaxed);
    }

    /// How much of the file was read.
    pub(super) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }
}

/// Reads a file from an offset on, whoever else reads it.
struct Cursor {
    file: Arc<File>,
    offset: u64,
    meter: Arc<Meter>,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        self.meter.reach(self.offset);
        Ok(count)
    }
}

/// Reads on in a file. `shard` moves along.
pub(super) fn read(
    file: &Arc<File>,
    path: &Path,
    shard: &mut Shard,
    reading: Reading,
    meter: &Arc<Meter>,
    emit: &mut Emit<'_>,
) -> Ended {
    let framer = Framer::new(path.to_string_lossy().into(), reading.limits, shard.checkpoint.resume);
    let patient = !reading.to_the_end;
    let mut session = Session { path, shard, framer, reading, meter, held: None, sent: 0, emit };
    let ended = session.open(file).map_err(Halt::Trouble).and_then(|mut stream| session.run(&mut stream));
    let ended = match ended {
        Err(Halt::Trouble(error)) => session.trouble(&error, patient),
        other => other,
    };
    ended.unwrap_or_else(|halt| match halt {
        Halt::Stopped => Ended::Stopped,
        Halt::Trouble(error) => Ended::Failed(format!("cannot read {}: {error}", path.display())),
    })
}

/// Why a pass ends early.
enum Halt {
    Stopped,
    Trouble(io::Error),
}

impl From<Stopped> for Halt {
    fn from(_: Stopped) -> Halt {
        Halt::Stopped
    }
}

/// One pass over a file.
struct Session<'s, 'e> {
    path: &'s Path,
    shard: &'s mut Shard,
    framer: Framer,
    reading: Reading,
    meter: &'s Arc<Meter>,
    /// The newest batch waits until it is known whether it is the last, whose checkpoint says "done".
    held: Option<Framed>,
    sent: usize,
    emit: &'s mut Emit<'e>,
}

impl Session<'_, '_> {
    /// The text from where it was left.
    fn open(&mut self, file: &Arc<File>) -> io::Result<Box<dyn Read>> {
        let cursor = |offset| Cursor { file: Arc::clone(file), offset, meter: Arc::clone(self.meter) };
        let start = self.shard.checkpoint.resume.offset;
        let mut opened = stream::open(cursor(0))?;
        if opened.packing == Packing::Plain {
            self.meter.skip(start);
            return Ok(Box::new(cursor(start)));
        }
        // To come back to it means to unpack it from the start.
        self.reading.batches = usize::MAX;
        self.reading.to_the_end |= opened.packing == Packing::Compressed;
        io::copy(&mut opened.stream.by_ref().take(start), &mut io::sink())?;
        Ok(opened.stream)
    }

    fn run(&mut self, stream: &mut dyn Read) -> Result<Ended, Halt> {
        let mut end = End::More;
        loop {
            match self.framer.next(end) {
                Err(problem) => return Ok(Ended::Refused(problem)),
                Ok(Some(framed)) => {
                    self.hold(framed)?;
                    if self.sent >= self.reading.batches {
                        self.flush()?;
                        return Ok(Ended::Paused);
                    }
                }
                Ok(None) if end != End::More => break,
                Ok(None) if self.framer.fill(stream).map_err(Halt::Trouble)? > 0 => {}
                Ok(None) if self.reading.to_the_end => end = End::Final,
                Ok(None) => end = End::Pause,
            }
        }
        if self.reading.to_the_end {
            self.done()?;
        }
        self.flush()?;
        Ok(Ended::Read)
    }

    /// The file cannot be read on.
    fn trouble(&mut self, error: &io::Error, patient: bool) -> Result<Ended, Halt> {
        let damaged = stream::is_damage(error);
        while let Ok(Some(framed)) = self.framer.next(End::Pause) {
            self.hold(framed)?;
        }
        if !damaged || (patient && error.kind() == io::ErrorKind::UnexpectedEof) {
            self.flush()?;
            let failed = || Ended::Failed(format!("cannot read {}: {error}", self.path.display()));
            return Ok(if damaged { Ended::Incomplete } else { failed() });
        }
        let problem = format!(
            "the compressed data is damaged or cut off within its first {} bytes ({error}): what follows is not read; get \
             the file again",
            self.meter.reached()
        );
        let last = self.framer.fail(&problem);
        self.hold(last)?;
        self.done()?;
        Ok(Ended::Damaged(format!("{}: {problem}", self.path.display())))
    }

    fn hold(&mut self, framed: Framed) -> Result<(), Stopped> {
        self.flush()?;
        self.held = Some(framed);
        Ok(())
    }

    /// Sends the last batch, with a checkpoint that says so. If there was nothing to send, the checkpoint goes alone.
    fn done(&mut self) -> Result<(), Stopped> {
        let resume = self.framer.resume();
        if self.held.is_none() && resume.offset > 0 {
            self.held = Some(Framed { records: Records::default(), rejected: Vec::new(), resume });
        }
        self.shard.checkpoint.done = true;
        self.shard.checkpoint.size = self.shard.checkpoint.size.max(self.meter.reached());
        self.flush()
    }

    /// Sends the batch that waits.
    fn flush(&mut self) -> Result<(), Stopped> {
        let Some(Framed { records, rejected, resume }) = self.held.take() else { return Ok(()) };
        self.shard.checkpoint.resume = resume;
        self.sent += 1;
        let checkpoint = self.shard.checkpoint.to_json();
        (self.emit)(SourceBatch { shard: self.shard.name.clone(), records, rejected, checkpoint, provenance: None })
    }
}
