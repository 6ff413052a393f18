//! Mode `once`: every file to its end, one after another, by name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use downspout_core::{Context, StageError};

use super::list::Globs;
use super::read::{Emit, Ended, Meter, Reading, read};
use super::shard::{Known, Shard};
use downspout_core::framing::Limits;

/// How many files an error names.
const NAMED: usize = 10;

/// Reads all files. Files that cannot be read do not keep the others from being read.
///
/// # Errors
/// If there are no files, or if some could not be read.
pub(super) fn run(
    globs: &Globs,
    limits: Limits,
    known: &Known,
    context: &Context,
    emit: &mut Emit<'_>,
) -> Result<(), StageError> {
    let listing = globs.list();
    let mut problems: Vec<String> = Vec::new();
    let mut report = |error_type: &'static str, problem: String| {
        context.metrics.error(error_type);
        tracing::error!(component = %context.id, "{problem}");
        problems.push(problem);
    };
    for problem in listing.problems {
        report("unreadable_file", problem);
    }
    if listing.files.is_empty() {
        for problem in listing.unmatched {
            report("no_file", problem);
        }
    } else {
        for pattern in listing.unmatched {
            tracing::warn!(component = %context.id, "{pattern}");
        }
    }
    let total: u64 = listing.files.iter().map(|(_, data)| data.len()).sum();
    context.progress.total.fetch_add(total, Ordering::Relaxed);
    for (path, data) in listing.files {
        let meter = Meter::new(&context.progress);
        match read_file(&path, limits, known, &meter, emit) {
            Ok(Ended::Stopped) => return Ok(()),
            Ok(Ended::Refused(problem)) => report("unknown_format", problem),
            Ok(Ended::Failed(problem)) => report("unreadable_file", problem),
            // The dead letters say where it broke; what came behind is in no file of ours.
            Ok(Ended::Damaged(problem)) => report("damaged_file", problem),
            Ok(Ended::Read | Ended::Paused | Ended::Incomplete) => {}
            Err(error) => report("unreadable_file", explain(&path, &error)),
        }
        meter.skip(data.len());
    }
    if problems.is_empty() { Ok(()) } else { Err(StageError::stop("unreadable_file", summary(&problems))) }
}

/// Reads one file to its end, unless it was already.
fn read_file(path: &Path, limits: Limits, known: &Known, meter: &Arc<Meter>, emit: &mut Emit<'_>) -> io::Result<Ended> {
    let file = Arc::new(File::open(path)?);
    let mut shard: Shard = known.find(&file, path, &file.metadata()?)?;
    if shard.checkpoint.done {
        tracing::info!("{} was read already; it is skipped", path.display());
        return Ok(Ended::Read);
    }
    let reading = Reading { limits, to_the_end: true, batches: usize::MAX };
    Ok(read(&file, path, &mut shard, reading, meter, emit))
}

/// What keeps a file from being opened, and what to do.
pub(super) fn explain(path: &Path, error: &io::Error) -> String {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => "; let the user that runs downspout read it, or leave it out by `exclude`",
        _ => "",
    };
    format!("cannot read {}: {error}{help}", PathBuf::from(path).display())
}

fn summary(problems: &[String]) -> String {
    let named = problems.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    match problems.len() {
        1 => named,
        count if count > NAMED => format!("{count} problems with files: {named}; and more, see the log"),
        count => format!("{count} problems with files: {named}"),
    }
}
