//! A file of whole lines that is only appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use downspout_core::StageError;

use crate::io::{failed, make_folder, sync_folder};

/// A torn line longer than this is not looked through: records are far smaller.
const LONGEST_TORN_LINE: u64 = 256 << 20;

/// The open file, and where its whole lines end.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    file: File,
    end: u64,
}

impl Appender {
    /// Opens the file, makes it and its folders if needed, and cuts off a torn last line.
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
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), StageError> {
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
