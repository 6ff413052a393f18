//! From files to one tree.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::interpolate::Interpolator;
use super::source::SourceFile;
use super::{Diagnostic, Diagnostics, Node, NodeValue, SourceMap};
use super::{merge, parse};

/// Largest config file, in bytes.
const LARGEST_FILE: u64 = 4 << 20;

/// Looks up an environment variable. Injected, so that tests and embedders decide what the environment is.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads the config files, fills in `${...}` and merges them into one mapping.
///
/// # Errors
/// Everything that is wrong with the files themselves: unreadable, not YAML, a key twice, an unset variable.
pub fn load(paths: &[PathBuf], env: &Env<'_>) -> Result<(SourceMap, Node), Diagnostics> {
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match read(path) {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    build(files, problems, env)
}

/// The same for texts that lie in no file (an example that is built in, a test), each with the name that errors
/// show. Paths of `${file:PATH}` are relative to the folder that the name gives.
///
/// # Errors
/// As [`load`].
pub fn load_texts(texts: &[(&str, &str)], env: &Env<'_>) -> Result<(SourceMap, Node), Diagnostics> {
    let file =
        |(name, text): &(&str, &str)| SourceFile { name: (*name).to_owned(), text: without_bom(text).to_owned() };
    build(texts.iter().map(file).collect(), Vec::new(), env)
}

fn build(
    files: Vec<SourceFile>,
    mut problems: Vec<Diagnostic>,
    env: &Env<'_>,
) -> Result<(SourceMap, Node), Diagnostics> {
    if files.is_empty() && problems.is_empty() {
        problems.push(Diagnostic::new("no config file was given"));
    }
    let sources = SourceMap::new(files);
    let mut roots = Vec::new();
    for (index, file) in sources.files().iter().enumerate() {
        match parse::parse(index, &file.text).and_then(require_mapping) {
            Ok(mut root) => {
                let folder = Path::new(&file.name).parent().unwrap_or(Path::new(""));
                Interpolator::new(folder, env, &mut problems).run(&mut root);
                roots.push(root);
            }
            Err(found) => problems.extend(found),
        }
    }
    match merge::merge(roots, &mut problems) {
        Some(root) if problems.is_empty() => Ok((sources, root)),
        _ => Err(Diagnostics::from_list(&sources, problems)),
    }
}

fn require_mapping(root: Node) -> Result<Node, Vec<Diagnostic>> {
    let problem = match &root.value {
        NodeValue::Mapping(_) => return Ok(root),
        _ if root.is_null() => Diagnostic::new("the config is empty")
            .at(root.span)
            .help("a config has at least `sources:` and `sinks:`".to_owned()),
        _ => Diagnostic::new("a config is a mapping of keys such as `sources:` and `sinks:`").at(root.span),
    };
    Err(vec![problem])
}

pub(super) fn read(path: &Path) -> Result<SourceFile, Diagnostic> {
    let name = path.display().to_string();
    let bytes =
        read_bounded(path).map_err(|error| Diagnostic::new(format!("cannot read the config file {name}: {error}")))?;
    if bytes.len() as u64 > LARGEST_FILE {
        let limit = LARGEST_FILE >> 20;
        let message = format!("the config file {name} is larger than {limit} MiB");
        return Err(Diagnostic::new(message));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count();
        Diagnostic::new(format!("the config file {name} is not UTF-8 in line {line}"))
            .help("save it with the encoding UTF-8".to_owned())
    })?;
    Ok(SourceFile { name, text: without_bom(&text).to_owned() })
}

/// One byte more than allowed tells that there is too much.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A byte order mark is no part of the text, and would shift the columns of the first line.
fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
