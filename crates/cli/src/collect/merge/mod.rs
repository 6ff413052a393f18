//! One file for each source and day, in place of one for each commit.
//!
//! The sink writes new files at every commit, which is what makes them exact. When everything is collected, the files
//! of a folder are put together: lines are sorted by time and id ([`sort`]), so that the same records make the same file
//! however often the collection was interrupted; row groups of Parquet, each of which is sorted, stand in the order of
//! their first times, and nothing in them is decoded ([`append`]).
//!
//! A crash at any instant loses and doubles nothing. In the folder of the state, on the same disk:
//! 1. `part` is written: the files, put together.
//! 2. `plan.json` says whose place it takes. With it the merge has happened; before it, `part` is thrown away.
//! 3. The files are removed, and `part` gets its name.
//! 4. The plan is removed.
//!
//! What an interruption left is finished before anything else ([`Merger::finish`]), which can be interrupted again.

mod append;
mod sort;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::args::Format;
use super::files::{sync_folder, write_whole};
use super::order::state_folder;

/// Where the sink keeps commits that are not finished.
const UNFINISHED: &str = ".downspout-tmp";

/// Puts the files of a collection together.
pub(super) struct Merger<'a> {
    root: &'a Path,
    scratch: PathBuf,
    format: Format,
    /// Whether to go on; asked before each step.
    go_on: &'a dyn Fn() -> bool,
}

/// What takes whose place. Paths are relative to the collection's folder, which may be moved.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    replaced: Vec<PathBuf>,
    name: PathBuf,
}

impl<'a> Merger<'a> {
    pub(super) fn new(root: &'a Path, format: Format, go_on: &'a dyn Fn() -> bool) -> Merger<'a> {
        Merger { root, scratch: state_folder(root).join("merge"), format, go_on }
    }

    /// Brings each source and day to one sorted file. A folder that cannot be merged stays as it is, and does not keep others.
    ///
    /// # Errors
    /// What kept folders from being merged.
    pub(super) fn merge(&self) -> Result<(), Vec<String>> {
        let told = |error: io::Error| vec![error.to_string()];
        let unfinished = fs::read_dir(self.root.join(UNFINISHED)).is_ok_and(|mut entries| entries.next().is_some());
        if unfinished {
            return Err(vec!["the last files are not in their place yet".to_owned()]);
        }
        let mut problems = Vec::new();
        for source in folders(self.root, "source=").map_err(told)? {
            for day in folders(&source, "date=").map_err(told)? {
                match self.merge_day(&day) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => return Err(told(error)),
                    Err(error) => problems.push(error.to_string()),
                    Ok(()) => {}
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Finishes the merge that was interrupted, if one was.
    ///
    /// # Errors
    /// If the files cannot be moved.
    pub(super) fn finish(&self) -> io::Result<()> {
        let (part, path) = (self.scratch.join("part"), self.scratch.join("plan.json"));
        let plan: Plan = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return remove(&part),
            Err(error) => return Err(at(&path, &error)),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| at(&path, &error.into()))?,
        };
        // Without the part it has its name already, and only the plan is left.
        if part.exists() {
            let name = self.root.join(&plan.name);
            for replaced in plan.replaced.iter().filter(|replaced| **replaced != plan.name) {
                self.step()?;
                remove(&self.root.join(replaced))?;
            }
            self.step()?;
            fs::rename(&part, &name).map_err(|error| at(&name, &error))?;
            self.sync(name.parent().unwrap_or(self.root))?;
        }
        self.step()?;
        remove(&path)?;
        // The plan must be gone for good before another part is begun.
        self.sync(&self.scratch)
    }

    fn merge_day(&self, folder: &Path) -> io::Result<()> {
        self.finish()?;
        let name = folder.join(self.name(folder));
        let files = self.files(folder, &name)?;
        match &files[..] {
            [] => return Ok(()),
            [only] if *only == name => return Ok(()),
            [only] if self.format == Format::Parquet => {
                self.step()?;
                fs::rename(only, &name).map_err(|error| at(&name, &error))?;
                return self.sync(folder);
            }
            _ => {}
        }
        fs::create_dir_all(&self.scratch).map_err(|error| at(&self.scratch, &error))?;
        let part = self.scratch.join("part");
        let written = || {
            let output = File::create(&part)?;
            match self.format {
                Format::Ndjson => sort::lines(&files, &output, &self.scratch, sort::BOUNDS, &|| self.step())?,
                Format::Parquet => append::row_groups(&files, &output, &|| self.step())?,
            }
            output.sync_all()
        };
        written().map_err(|error| at(folder, &error))?;
        self.sync(&self.scratch)?;
        let relative = |path: &Path| path.strip_prefix(self.root).unwrap_or(path).to_owned();
        let plan = Plan { replaced: files.iter().map(|file| relative(file)).collect(), name: relative(&name) };
        let path = self.scratch.join("plan.json");
        self.step()?;
        write_whole(&path, &serde_json::to_vec(&plan)?).map_err(|error| at(&path, &error))?;
        self.finish()
    }

    /// The name of a folder's one file: `entra_signins_2026-11-22.ndjson`, which still says what it is when copied
    /// elsewhere.
    fn name(&self, folder: &Path) -> String {
        let value = |folder: Option<&Path>| {
            let name = folder.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            let value = name.split_once('=').map_or(&*name, |(_, value)| value);
            if value == "__HIVE_DEFAULT_PARTITION__" { "none".to_owned() } else { value.to_owned() }
        };
        format!("{}_{}.{}", value(folder.parent()), value(Some(folder)), self.format.extension())
    }

    /// The files of a folder in the order of their commits; what was merged before comes first.
    fn files(&self, folder: &Path, merged: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| at(folder, &error))? {
            let path = entry?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if !hidden && path.is_file() && path.extension().is_some_and(|it| it == self.format.extension()) {
                files.push(path);
            }
        }
        files.sort_by(|a, b| (a != merged, a).cmp(&(b != merged, b)));
        Ok(files)
    }

    fn step(&self) -> io::Result<()> {
        let interrupted = || io::Error::new(ErrorKind::Interrupted, "interrupted");
        if (self.go_on)() { Ok(()) } else { Err(interrupted()) }
    }

    fn sync(&self, folder: &Path) -> io::Result<()> {
        sync_folder(folder).map_err(|error| at(folder, &error))
    }
}

/// The folders in `folder` whose names begin so, sorted.
fn folders(folder: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| at(folder, &error))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Removes a file; one that is not there is no error.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(at(path, &error)),
        _ => Ok(()),
    }
}

/// The error with the path that it is about.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
