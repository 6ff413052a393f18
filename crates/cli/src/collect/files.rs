//! The files of a collection: what is in the folder, with size and SHA-256, so that nobody can change one unseen.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A file that was collected.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Collected {
    /// Relative to the collection's folder, with `/`.
    pub(crate) path: String,
    /// How many records (of `requests.ndjson`: requests) it holds, if it is a file of these.
    pub(crate) records: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Every file below `root` but those that are named, in the order of their paths. Names that begin with a dot are
/// state, not evidence.
pub(crate) fn inventory(root: &Path, but: &[&str]) -> io::Result<Vec<Collected>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with('.') {
                continue;
            }
            let path = folder.join(&name);
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && !but.iter().any(|but| Path::new(but) == path) {
                found.push(collected(root, &path)?);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collected(root: &Path, path: &Path) -> io::Result<Collected> {
    let mut file = File::open(root.join(path))?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 256 << 10];
    let (mut bytes, mut lines) = (0, 0);
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        lines += block[..count].iter().filter(|byte| **byte == b'\n').count() as u64;
        digest.update(&block[..count]);
    }
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let records = match path.extension().and_then(OsStr::to_str) {
        Some("ndjson") => Some(lines),
        // A file that cannot be read is listed all the same: its hash says what it is.
        Some("parquet") => SerializedFileReader::new(file).ok().map(|file| rows(&file)),
        _ => None,
    };
    let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    Ok(Collected { path: parts.join("/"), records, bytes, sha256 })
}

fn rows(file: &SerializedFileReader<File>) -> u64 {
    file.metadata().file_metadata().num_rows().unsigned_abs()
}

/// Writes a file whole or not at all, durably.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    io::Write::write_all(&mut file, content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix lets folders be synced; elsewhere the file system orders such changes itself.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_with_their_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("source=a/date=2026-11-22")).unwrap();
        std::fs::create_dir_all(root.join(".downspout")).unwrap();
        std::fs::write(root.join(".downspout/state.redb"), "x").unwrap();
        std::fs::write(root.join("manifest.json"), "x").unwrap();
        write_whole(&root.join("source=a/date=2026-11-22/1.ndjson"), b"a\nb\n").unwrap();
        let expected = Collected {
            path: "source=a/date=2026-11-22/1.ndjson".to_owned(),
            records: Some(2),
            bytes: 4,
            sha256: "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2".to_owned(),
        };
        assert_eq!(inventory(root, &["manifest.json"]).unwrap(), [expected]);
    }
}
