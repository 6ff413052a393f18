//! A file of whole lines that is only appended to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use downspout_core::StageError;

use crate::io::{failed, make_folder, sync_folder};

/// A torn line longer than this is not looked through: records are far smaller.
const LONGEST_TORN_LINE: u64 = 256 << 20;

/// The open file, locked, and where its whole lines end.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    file: File,
    end: u64,
}

impl Appender {
    /// Opens the file, makes it and its folders if needed, and cuts off a torn last line. Nobody else may have it open.
    pub(super) fn open(path: &Path) -> Result<Appender, StageError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        make_folder(folder).map_err(|error| failed("make the folder", folder, &error))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| failed("open", path, &error))?;
        // Before anything is cut: what looks torn may be a line that another writer is about to finish.
        lock(&file, path)?;
        let (end, torn) = match whole_lines(&mut file).map_err(|error| failed("read", path, &error))? {
            Tail::Whole(end) => (end, false),
            Tail::Torn(end) => (end, true),
            Tail::Foreign => {
                return Err(StageError::stop(
                    "foreign",
                    format!("{} does not hold lines of JSON: give the sink a file of its own", path.display()),
                ));
            }
        };
        let cut = if torn { file.set_len(end) } else { Ok(()) };
        cut.and_then(|()| sync_folder(folder)).map_err(|error| failed("open", path, &error))?;
        Ok(Appender { path: path.to_owned(), file, end })
    }

    /// Appends whole lines, durably. After an error the file is as it was, or `open` makes it so.
    ///
    /// # Errors
    /// Somebody else has changed the file, or it cannot be written.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), StageError> {
        self.check_end()?;
        let mut write = || {
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.write_all(lines)?;
            self.file.sync_data()
        };
        if let Err(error) = write() {
            // If even this fails, opening the file again cuts what is torn.
            let _ = self.file.set_len(self.end);
            return Err(failed("write", &self.path, &error));
        }
        self.end += lines.len() as u64;
        Ok(())
    }

    /// The lock holds off only those who ask for it: a shell's `>>` does not, nor does a logrotate that truncates.
    fn check_end(&self) -> Result<(), StageError> {
        let found = self.file.metadata().map_err(|error| failed("look at", &self.path, &error))?;
        let (path, len, end) = (self.path.display(), found.len(), self.end);
        // A device has no length.
        if !found.is_file() || len == end {
            return Ok(());
        }
        let told = |what: &str| format!("{path} has {len} bytes where this sink has written {end}: {what}");
        if len > end {
            let remedy = "another program writes to it; give the sink a file of its own";
            return Err(StageError::stop("foreign", told(remedy)));
        }
        let remedy = "another program has cut it, and what follows goes to its new end; to rotate the file, rename it";
        Err(StageError::retry("truncated", told(remedy)))
    }

    /// Whether the path still leads to this file.
    pub(super) fn is_current(&self) -> bool {
        let Ok(found) = std::fs::metadata(&self.path) else { return false };
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            self.file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
        }
        #[cfg(not(unix))]
        found.is_file()
    }
}

/// Takes the file for this writer alone, as long as it is open.
fn lock(file: &File, path: &Path) -> Result<(), StageError> {
    let is_file = file.metadata().is_ok_and(|data| data.is_file());
    // A device may have any number of writers; and where it is not Unix a lock would keep readers away, too.
    if !is_file || !cfg!(unix) {
        return Ok(());
    }
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let path = path.display();
            let message = format!(
                "another process, or another sink of this one, writes to {path}: give this sink another `path`"
            );
            Err(StageError::stop("in_use", message))
        }
        // A file system without locks: before each batch it is still looked whether somebody else has written.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(failed("lock", path, &error)),
    }
}

enum Tail {
    /// Whole lines up to that offset, the end.
    Whole(u64),
    /// Whole lines up to that offset, and the beginning of one more.
    Torn(u64),
    /// What follows the last newline is not the beginning of a record: another program's file.
    Foreign,
}

/// Where the last whole line ends.
fn whole_lines(file: &mut File) -> io::Result<Tail> {
    let len = file.metadata()?.len();
    let mut end = len;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(1 << 16);
        block.resize((end - start) as usize, 0);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        if let Some(newline) = block.iter().rposition(|byte| *byte == b'\n') {
            end = start + newline as u64 + 1;
            break;
        }
        end = start;
        if len - end > LONGEST_TORN_LINE {
            return Ok(Tail::Foreign);
        }
    }
    if end == len {
        return Ok(Tail::Whole(end));
    }
    let mut first = [0];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut first)?;
    Ok(if first == [b'{'] { Tail::Torn(end) } else { Tail::Foreign })
}
