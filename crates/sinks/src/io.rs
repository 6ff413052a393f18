//! Errors of the file system, in words that help, and the durable steps that the file sinks share.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use downspout_core::StageError;

/// The error of doing `what` (`write`, `rename`, ...) to `path`.
///
/// What an operator can mend while the pipeline waits is to be retried: a full disk, missing rights, a vanished
/// mount. Only a path of the wrong kind stops the pipeline: the config must change. What follows when it is mended is
/// said by whoever waits for it, or does not: a pipeline that is only about to start does not wait.
pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> StageError {
    let path = path.display();
    let message = |remedy: &str| format!("cannot {what} {path}: {error}; {remedy}");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StageError::retry("disk_full", message("make room")),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StageError::retry("permission", message("let the user that runs downspout write there"))
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            StageError::stop("path", message("a part of this path is a file: choose another `path`"))
        }
        ErrorKind::IsADirectory => StageError::stop("path", message("this is a folder: give the path of a file")),
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => {
            StageError::stop("path", message("this is no valid path here: choose another `path`"))
        }
        _ => StageError::retry("io", message("check the disk")),
    }
}

/// Makes names in a folder durable: files made, renamed or removed in it.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix lets folders be synced; elsewhere the file system orders such changes itself.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Makes a folder and those above it, durably.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut changed = BTreeSet::new();
    make_folder_in(folder, &mut changed)?;
    changed.iter().try_for_each(|folder| sync_folder(folder))
}

/// Makes a folder and those above it. Folders in which that made a name are put into `changed`: they have to be synced.
pub(crate) fn make_folder_in(folder: &Path, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_folder_in(parent, changed)?;
    match std::fs::create_dir(folder) {
        // Another process may be as quick as this one.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            changed.insert(parent.to_owned());
            Ok(())
        }
    }
}

/// Runs blocking work beside the async workers.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StageError> + Send + 'static,
) -> Result<T, StageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StageError::stop("internal", format!("a worker of the sink died: {error}"))),
    }
}
