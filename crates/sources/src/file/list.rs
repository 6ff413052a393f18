//! Which files a source reads: those that the patterns name.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use downspout_core::ConfigError;
use downspout_core::path::resolve;
use glob::{MatchOptions, Pattern};

use super::shard::FileId;

/// As shells do it: `*` stays inside a folder and does not match hidden names.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The patterns of a source.
#[derive(Debug, Clone)]
pub(super) struct Globs {
    include: Vec<String>,
    exclude: Vec<Pattern>,
}

/// What the patterns name at the moment.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The files, each once, by name.
    pub(super) files: Vec<(PathBuf, Metadata)>,
    /// What could not be listed, and why.
    pub(super) problems: BTreeSet<String>,
    /// The patterns that name nothing that can be read, and why.
    pub(super) unmatched: Vec<String>,
}

impl Globs {
    /// Checks the patterns.
    pub(super) fn new(include: Vec<String>, exclude: &[String]) -> Result<Globs, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut check = |key: &str, index: usize, pattern: &str| {
            let checked = Pattern::new(pattern.strip_prefix("./").unwrap_or(pattern));
            let wrong = |error: &glob::PatternError| {
                let message = format!(
                    "`{}` is no pattern: {}, at character {}",
                    pattern.escape_debug(),
                    error.msg,
                    error.pos + 1
                );
                ConfigError::at(format!("{key}.{index}"), message)
                    .help("`*` matches in a name, `**` any folders, `[ab]` one of these")
            };
            checked.inspect_err(|error| errors.push(wrong(error))).ok()
        };
        for (index, pattern) in include.iter().enumerate() {
            check("include", index, pattern);
        }
        let exclude =
            exclude.iter().enumerate().filter_map(|(index, pattern)| check("exclude", index, pattern)).collect();
        if include.is_empty() {
            errors.push(ConfigError::at("include", "names no file: expected at least one path or pattern"));
        }
        if errors.is_empty() { Ok(Globs { include, exclude }) } else { Err(errors) }
    }

    /// Looks for the files.
    pub(super) fn list(&self) -> Listing {
        let mut listing = Listing::default();
        let mut seen = BTreeSet::new();
        for pattern in &self.include {
            let (mut matched, mut folders, mut excluded, mut gone) = (0, 0, 0, 0);
            // The pattern was checked when the config was.
            for found in glob::glob_with(pattern, MATCHING).into_iter().flatten() {
                matched += 1;
                let problem = match found.map(|path| (path.metadata(), path)) {
                    Ok((_, path)) if self.excludes(&path) => {
                        excluded += 1;
                        None
                    }
                    Ok((Ok(data), _)) if data.is_dir() => {
                        folders += 1;
                        None
                    }
                    Ok((Ok(data), path)) if !data.is_file() => Some(format!("{} is no regular file", path.display())),
                    Ok((Ok(data), path)) => {
                        if seen.insert(path.clone()) {
                            listing.files.push((path, data));
                        }
                        None
                    }
                    // It has just gone, or is a link to nowhere.
                    Ok((Err(error), _)) if error.kind() == ErrorKind::NotFound => {
                        gone += 1;
                        None
                    }
                    Ok((Err(error), path)) => Some(format!("cannot read {}: {error}", path.display())),
                    Err(error) => Some(format!("cannot list {}: {}", error.path().display(), error.error())),
                };
                listing.problems.extend(problem);
            }
            if matched == folders + excluded + gone {
                listing.unmatched.push(unmatched(pattern, folders, excluded));
            }
        }
        listing.files.sort_by(|a, b| a.0.cmp(&b.0));
        // Two names of one file: its records come once.
        let mut ids = BTreeSet::new();
        listing.files.retain(|(_, data)| ids.insert(FileId::of(data)));
        listing
    }

    /// Whether the patterns name the file of a path, as [`resolve`] gives it. It need not be there yet.
    pub(super) fn cover(&self, path: &Path) -> bool {
        let matches =
            |pattern: &str| anchored(pattern).is_some_and(|pattern| pattern.matches_path_with(path, MATCHING));
        let excluded = |pattern: &Pattern| pattern.as_str().contains('/') && matches(pattern.as_str());
        self.include.iter().any(|pattern| matches(pattern))
            && !self.excludes(path)
            && !self.exclude.iter().any(excluded)
    }

    /// A pattern without a folder speaks about names in any folder.
    fn excludes(&self, path: &Path) -> bool {
        let name = path.file_name().map(Path::new);
        self.exclude.iter().any(|pattern| {
            let subject = if pattern.as_str().contains('/') { Some(path) } else { name };
            subject.is_some_and(|subject| pattern.matches_path_with(subject, MATCHING))
        })
    }
}

/// The pattern from the root: what stands before its first part with `*` and the like is resolved as paths are.
fn anchored(pattern: &str) -> Option<Pattern> {
    let wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let parts: Vec<Component<'_>> = Path::new(pattern).components().collect();
    let plain = parts.iter().take_while(|part| !wild(part)).count();
    let start = resolve(&Path::new(".").join(parts[..plain].iter().collect::<PathBuf>()));
    let mut anchored = PathBuf::from(Pattern::escape(start.to_str()?));
    anchored.extend(&parts[plain..]);
    Pattern::new(anchored.to_str()?).ok()
}

fn unmatched(pattern: &str, folders: usize, excluded: usize) -> String {
    let folder = std::env::current_dir().map_or_else(|_| "unknown".to_owned(), |path| path.display().to_string());
    if folders > 0 {
        let inside = format!("{}/**/*.json", pattern.trim_end_matches('/'));
        format!("`{pattern}` names a folder; to read the files in it, write a pattern such as `{inside}`")
    } else if excluded > 0 {
        format!("`{pattern}` names only files that `exclude` leaves out")
    } else {
        format!("no file matches `{pattern}` (working directory: {folder}); check the path and the pattern")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_paths_however_they_are_written() {
        let here = std::env::current_dir().unwrap().display().to_string();
        for (include, exclude, covered) in [
            ("out/*.ndjson", "", true),
            ("./out/*.ndjson", "", true),
            ("in/../out/audit.ndjson", "", true),
            ("**/*.ndjson", "", true),
            ("*/audit.ndjson", "", true),
            (&format!("{here}/out/*"), "", true),
            ("/**/audit.ndjson", "", true),
            ("*.ndjson", "", false),
            ("in/*.ndjson", "", false),
            ("out", "", false),
            ("out/*", "*.ndjson", false),
            ("out/*", "./out/audit.*", false),
            ("out/*", "in/*", true),
        ] {
            let exclude: Vec<String> =
                Some(exclude.to_owned()).filter(|exclude| !exclude.is_empty()).into_iter().collect();
            let globs = Globs::new(vec![include.to_owned()], &exclude).unwrap();
            let path = resolve(Path::new("out/audit.ndjson"));
            assert_eq!(globs.cover(&path), covered, "{include} without {exclude:?}");
        }
    }
}
