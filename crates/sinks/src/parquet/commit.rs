//! Files that become visible exactly once: hidden names, the manifest, the rename.
//!
//! The files of a commit are written to a folder of its own in `.downspout-tmp/`, which readers of Hive folders pass
//! over, and synced. Their final names hold the lake's id and the number of the commit, so the same commit never makes
//! two files and no other writer makes the same. Publishing renames them one by one and removes the folder at last.
//! So it can be repeated after a crash at any instant, and once the folder is gone the files belong to the user, who
//! may merge or remove them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use downspout_core::StageError;
use downspout_core::failpoint::{Point, hit};
use serde::{Deserialize, Serialize};

use crate::io::{failed, make_folder, make_folder_in, sync_folder};

/// The folder of files that are not visible yet. Readers ignore names that begin with a dot.
const HIDDEN: &str = ".downspout-tmp";

/// How many files are written before they are synced: one sync of many is cheaper than many of one.
const SYNCED_TOGETHER: usize = 64;

/// A file of a commit, not yet written.
#[derive(Debug)]
pub(super) struct NewFile {
    /// Its folder, relative to the lake's.
    pub(super) folder: String,
    pub(super) content: Vec<u8>,
}

/// What must be renamed to make a commit visible.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The commit's hidden folder, relative to the lake's.
    hidden: String,
    files: Vec<Rename>,
}

/// Paths relative to the lake's folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    temporary: String,
    name: String,
}

/// A lake's folder as one sink sees it.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    /// The id of this sink's lake: its files' names begin with it.
    lake: String,
    extension: &'static str,
}

impl Folder {
    /// Makes the folder if it does not exist.
    pub(super) fn open(root: PathBuf, lake: String, extension: &'static str) -> Result<Folder, StageError> {
        let hidden = root.join(HIDDEN);
        make_folder(&hidden).map_err(|error| failed("make the folder", &hidden, &error))?;
        Ok(Folder { root, lake, extension })
    }

    /// Writes the files of a commit under hidden names, durably. Gives the manifest.
    pub(super) fn write(&self, commit: u64, files: &[NewFile]) -> Result<Vec<u8>, StageError> {
        let stem = format!("{}-{commit:010}", self.lake);
        let mut manifest = Manifest { hidden: format!("{HIDDEN}/{stem}"), files: Vec::new() };
        let hidden = self.root.join(&manifest.hidden);
        // What an earlier try left there is of no use.
        remove_folder(&hidden).map_err(|error| failed("remove", &hidden, &error))?;
        make_folder(&hidden).map_err(|error| failed("make the folder", &hidden, &error))?;
        for (block, files) in files.chunks(SYNCED_TOGETHER).enumerate() {
            let mut written = Vec::new();
            for (index, file) in files.iter().enumerate() {
                let name = format!("{stem}-{}.{}", block * SYNCED_TOGETHER + index, self.extension);
                let path = hidden.join(&name);
                let write = || {
                    let mut output = File::create(&path)?;
                    output.write_all(&file.content)?;
                    Ok(output)
                };
                written.push((write().map_err(|error| failed("write", &path, &error))?, path));
                let temporary = format!("{}/{name}", manifest.hidden);
                let name = if file.folder.is_empty() { name } else { format!("{}/{name}", file.folder) };
                manifest.files.push(Rename { temporary, name });
                hit(Point::DuringPrepare);
            }
            for (output, path) in written {
                output.sync_all().map_err(|error| failed("sync", &path, &error))?;
            }
        }
        sync_folder(&hidden).map_err(|error| failed("sync", &hidden, &error))?;
        serde_json::to_vec(&manifest).map_err(|error| StageError::stop("internal", format!("a manifest: {error}")))
    }

    /// Renames the files of a manifest, those that are not renamed yet; does nothing if all of that was done before.
    pub(super) fn publish(&self, manifest: &[u8]) -> Result<(), StageError> {
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| {
            StageError::stop("foreign", format!("the store holds a commit that this version cannot read: {error}"))
        })?;
        let hidden = self.root.join(&manifest.hidden);
        if !hidden.exists() {
            return Ok(());
        }
        let folder_of = |name: &str| self.root.join(name).parent().unwrap_or(&self.root).to_owned();
        let folders: BTreeSet<PathBuf> = manifest.files.iter().map(|file| folder_of(&file.name)).collect();
        // Folders are durable before files move into them; one sync of a folder serves all that were made in it.
        let mut changed = BTreeSet::new();
        for folder in &folders {
            make_folder_in(folder, &mut changed).map_err(|error| failed("make the folder", folder, &error))?;
        }
        for folder in changed {
            sync_folder(&folder).map_err(|error| failed("sync", &folder, &error))?;
        }
        for Rename { temporary, name } in &manifest.files {
            let (from, to) = (self.root.join(temporary), self.root.join(name));
            hit(Point::BeforeRename);
            match (from.exists(), to.exists()) {
                (true, false) => fs::rename(&from, &to).map_err(|error| failed("rename to", &to, &error))?,
                (false, true) => {}
                (true, true) => return Err(taken(&to)),
                (false, false) => return Err(lost(&from, &to)),
            }
            hit(Point::AfterRename);
        }
        for folder in folders {
            sync_folder(&folder).map_err(|error| failed("sync", &folder, &error))?;
        }
        remove_folder(&hidden).map_err(|error| failed("remove", &hidden, &error))
    }

    /// Removes what this sink wrote under hidden names. To be called when no commit is waiting to be published.
    pub(super) fn clean(&self) -> Result<(), StageError> {
        let hidden = self.root.join(HIDDEN);
        let own = format!("{}-", self.lake);
        let remove = || {
            for entry in fs::read_dir(&hidden)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(&own) {
                    remove_folder(&entry.path())?;
                }
            }
            Ok(())
        };
        remove().map_err(|error| failed("clean", &hidden, &error))
    }
}

/// Removes a folder with what is in it, durably; one that is not there is no error.
fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => folder.parent().map_or(Ok(()), sync_folder),
    }
}

fn taken(path: &Path) -> StageError {
    StageError::stop(
        "foreign",
        format!("{} exists, and this sink did not write it: move it away, and start again", path.display()),
    )
}

fn lost(temporary: &Path, path: &Path) -> StageError {
    StageError::stop(
        "foreign",
        format!(
            "{} was committed, but neither it nor {} is there: bring one of them back, or, to do without its events, \
             make an empty file of the first name, start, and remove it",
            path.display(),
            temporary.display()
        ),
    )
}
