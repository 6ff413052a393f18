//! Mode `follow`: reads what is there, then looks again and again for what has come.
//!
//! One look is [`Follower::poll`], and it does not wait. Between looks a file is an open handle and a place to read on:
//! the handle keeps a renamed or deleted file readable to its end, and nothing else of a file at rest takes memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use downspout_core::Context;
use downspout_core::stage::SourceBatch;
use downspout_core::store::StoreError;

use super::list::Globs;
use super::now;
use super::once::explain;
use super::read::{Emit, Ended, Meter, Reading, Stopped, read};
use super::shard::{FileId, Known, Shard};
use downspout_core::framing::Limits;

/// How many batches of a file are read before the next one has its turn.
const TURN_BATCHES: usize = 8;

/// How many files at rest are held open. What is renamed out of sight while it is not held open is lost sight of.
const MAX_OPEN: usize = 256;

/// After how many looks that show nothing new a file that no pattern names any more is given up. Writers often hold
/// a renamed file open for a while.
const PATIENCE: u32 = 60;

/// How often files that are long gone are forgotten, in seconds.
const TIDY_EVERY: u64 = 24 * 3600;

/// What is known of a file at rest.
#[derive(Debug)]
struct Followed {
    /// In which order files were found: a rotated file comes before its successor.
    order: u64,
    path: PathBuf,
    file: Option<Arc<File>>,
    /// Its shard; an empty file has none yet.
    shard: Option<Shard>,
    meter: Arc<Meter>,
    /// Size and time of change when it was last read.
    seen: Option<(u64, Option<SystemTime>)>,
    /// Whether the patterns still name it.
    listed: bool,
    /// How many looks have shown nothing new.
    idle: u32,
    /// Whether what is there at first is to be passed by.
    from_end: bool,
    /// Whether there is nothing in it that this source understands.
    refused: bool,
}

/// Follows files.
#[derive(Debug)]
pub(super) struct Follower {
    globs: Globs,
    limits: Limits,
    known: Known,
    context: Context,
    files: BTreeMap<FileId, Followed>,
    found: u64,
    /// Whether files are to be read from their ends: those that are there at the very first look.
    from_end: bool,
    /// Whether it was said that there are no files.
    waiting: bool,
    /// The problems that the last look met: each is reported when it begins.
    problems: BTreeSet<String>,
    /// When files that are long gone were last forgotten.
    tidied: u64,
}

impl Follower {
    pub(super) fn new(globs: Globs, limits: Limits, from_end: bool, known: Known, context: Context) -> Follower {
        let from_end = from_end && known.is_empty();
        let (files, problems) = (BTreeMap::new(), BTreeSet::new());
        Follower { globs, limits, known, context, files, found: 0, from_end, waiting: false, problems, tidied: now() }
    }

    /// Looks once, and reads everything there is.
    pub(super) fn poll(&mut self, emit: &mut Emit<'_>) -> Result<(), Stopped> {
        let mut problems = BTreeSet::new();
        let mut states = self.list(&mut problems);
        let mut due: Vec<(u64, FileId)> = self.files.iter().map(|(id, followed)| (followed.order, *id)).collect();
        due.sort_unstable();
        while !due.is_empty() {
            let mut unfinished = Vec::new();
            for (order, id) in due {
                match self.turn(id, states.remove(&id), emit) {
                    Ok(Ended::Stopped) => return Err(Stopped),
                    Ok(Ended::Paused) => unfinished.push((order, id)),
                    Ok(Ended::Failed(problem)) => drop(problems.insert(problem)),
                    Ok(Ended::Refused(problem)) => self.report("unknown_format", &problem),
                    Ok(Ended::Damaged(problem)) => self.report("damaged_file", &problem),
                    Ok(Ended::Read | Ended::Incomplete) => {}
                    Err(problem) => drop(problems.insert(problem)),
                }
            }
            due = unfinished;
        }
        self.close_some();
        if let Err(problem) = self.tidy(now()) {
            self.report("store", &problem.to_string());
        }
        for problem in problems.difference(&self.problems) {
            self.report("unreadable_file", problem);
        }
        self.problems = problems;
        Ok(())
    }

    /// Forgets files that are long gone, once a day.
    pub(super) fn tidy(&mut self, now: u64) -> Result<(), StoreError> {
        if now.saturating_sub(self.tidied) < TIDY_EVERY {
            return Ok(());
        }
        self.tidied = now;
        let Follower { known, context, files, .. } = self;
        known.forget(&context.store, &context.id, |id| files.contains_key(id), now)
    }

    fn report(&self, error_type: &'static str, problem: &str) {
        self.context.metrics.error(error_type);
        tracing::error!(component = %self.context.id, "{problem}");
    }

    /// Looks for files. Gives the state of those that are there.
    fn list(&mut self, problems: &mut BTreeSet<String>) -> BTreeMap<FileId, Metadata> {
        let listing = self.globs.list();
        problems.extend(listing.problems);
        if listing.files.is_empty() && !self.waiting {
            self.waiting = true;
            for pattern in listing.unmatched {
                tracing::warn!(component = %self.context.id, "{pattern}; waiting for files");
            }
        }
        for followed in self.files.values_mut() {
            followed.listed = false;
        }
        let mut states = BTreeMap::new();
        for (path, data) in listing.files {
            let id = FileId::of(&data);
            match self.files.get_mut(&id) {
                Some(followed) => {
                    followed.listed = true;
                    followed.path = path;
                }
                None => self.add(id, path),
            }
            states.insert(id, data);
        }
        self.from_end = false;
        states
    }

    fn add(&mut self, id: FileId, path: PathBuf) {
        self.found += 1;
        let followed = Followed {
            order: self.found,
            path,
            file: None,
            shard: None,
            meter: Meter::new(&self.context.progress),
            seen: None,
            listed: true,
            idle: 0,
            from_end: self.from_end,
            refused: false,
        };
        self.files.insert(id, followed);
    }

    /// Reads a file if there is something new in it. `listed` is its state, if the patterns name it.
    fn turn(&mut self, id: FileId, listed: Option<Metadata>, emit: &mut Emit<'_>) -> Result<Ended, String> {
        let Some(followed) = self.files.get_mut(&id) else { return Ok(Ended::Read) };
        let state = match (&followed.file, listed) {
            (Some(file), _) => file.metadata().map_err(|error| explain(&followed.path, &error))?,
            (None, Some(data)) => data,
            (None, None) => {
                // At rest, not held open, and out of sight.
                return Ok(self.give_up(id, emit));
            }
        };
        let changed = followed.seen != Some(look_of(&state));
        followed.idle = if changed { 0 } else { followed.idle + 1 };
        let to_the_end = !followed.listed && followed.idle >= PATIENCE;
        if !changed && !to_the_end {
            return Ok(Ended::Read);
        }
        let ended = followed
            .read(&self.known, self.limits, to_the_end, emit)
            .map_err(|error| explain(&followed.path, &error))?;
        if to_the_end && self.give_up(id, emit) == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        Ok(ended)
    }

    /// Looks for a file no more; its shard stays known for a time, in case that its inode comes back. Whatever of it is
    /// under way goes before the note that it is gone.
    fn give_up(&mut self, id: FileId, emit: &mut Emit<'_>) -> Ended {
        let Some(mut shard) = self.files.remove(&id).and_then(|followed| followed.shard) else { return Ended::Read };
        shard.checkpoint.gone = Some(now());
        let stored = shard.checkpoint.done || shard.checkpoint.resume.offset > 0;
        let note =
            SourceBatch { shard: shard.name.clone(), checkpoint: shard.checkpoint.to_json(), ..SourceBatch::default() };
        self.known.add(shard);
        if stored && emit(note).is_err() { Ended::Stopped } else { Ended::Read }
    }

    /// Closes files at rest when too many are open, those that have been idle longest first.
    fn close_some(&mut self) {
        let mut open: Vec<&mut Followed> =
            self.files.values_mut().filter(|followed| followed.file.is_some() && followed.listed).collect();
        let excess = open.len().saturating_sub(MAX_OPEN);
        open.sort_by_key(|followed| std::cmp::Reverse(followed.idle));
        for followed in open.into_iter().take(excess) {
            followed.file = None;
        }
    }
}

impl Followed {
    fn read(&mut self, known: &Known, limits: Limits, to_the_end: bool, emit: &mut Emit<'_>) -> io::Result<Ended> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(File::open(&self.path)?))),
        };
        let data = file.metadata()?;
        if data.len() == 0 && self.shard.is_none() {
            self.seen = Some(look_of(&data));
            self.from_end = false;
            return Ok(Ended::Read);
        }
        let mut shard = match self.shard.take() {
            Some(shard) => shard,
            None => known.find(&file, &self.path, &data)?,
        };
        let looked = shard.look(&file, &self.path, &data);
        let shard = self.shard.insert(shard);
        if looked? {
            tracing::info!("{} was truncated or replaced; it is read from its start", self.path.display());
            self.meter.restart();
            self.refused = false;
        }
        if shard.checkpoint.done || self.refused {
            self.seen = Some(look_of(&data));
            return Ok(Ended::Read);
        }
        let ended = if self.from_end {
            pass_by(&file, &self.path, shard, limits, &self.meter, emit)
        } else {
            let reading = Reading { limits, to_the_end, batches: TURN_BATCHES };
            read(&file, &self.path, shard, reading, &self.meter, emit)
        };
        self.refused |= matches!(ended, Ended::Refused(_));
        if !matches!(ended, Ended::Paused | Ended::Stopped | Ended::Failed(_)) {
            self.seen = Some(look_of(&data));
            self.from_end = false;
        }
        Ok(ended)
    }
}

/// Passes by what is in a file; only where it ends goes on.
fn pass_by(
    file: &Arc<File>,
    path: &Path,
    shard: &mut Shard,
    limits: Limits,
    meter: &Arc<Meter>,
    emit: &mut Emit<'_>,
) -> Ended {
    let mut last = None;
    let reading = Reading { limits, to_the_end: false, batches: usize::MAX };
    let mut keep_checkpoint = |batch: SourceBatch| {
        last = Some(SourceBatch { shard: batch.shard, checkpoint: batch.checkpoint, ..SourceBatch::default() });
        Ok(())
    };
    let ended = read(file, path, shard, reading, meter, &mut keep_checkpoint);
    match last.map(emit) {
        Some(Err(Stopped)) => Ended::Stopped,
        _ => ended,
    }
}

/// What changes when a file changes.
fn look_of(data: &Metadata) -> (u64, Option<SystemTime>) {
    (data.len(), data.modified().ok())
}
