//! Values that stand in a file of their own: `tenants: ./tenants.yaml` in place of the list itself.

use std::path::Path;

use super::interpolate::Interpolator;
use super::load::{Env, read};
use super::{Diagnostic, Diagnostics, Node, SourceMap, parse};

/// Puts what a file holds in the place of its path, wherever `key` of a component of `section` is a text. The file is
/// YAML (JSON is), `${...}` is filled in, and errors name it. Its path is relative to where the process runs, as that of
/// every file that a component reads.
///
/// # Errors
/// Everything that is wrong with the files themselves.
pub fn read_apart(
    sources: &SourceMap,
    root: &mut Node,
    section: &str,
    key: &str,
    env: &Env<'_>,
) -> Result<SourceMap, Diagnostics> {
    let mut sources = sources.clone();
    let mut problems = Vec::new();
    let components = root.get_mut(section).map_or(&mut [][..], Node::entries_mut);
    for value in components.iter_mut().filter_map(|component| component.value.get_mut(key)) {
        let Some(path) = value.as_str().map(str::to_owned) else { continue };
        let index = match sources.find(&path) {
            Some(index) => index,
            None => match read(Path::new(&path)) {
                Ok(file) => {
                    sources = sources.with(file);
                    sources.files().len() - 1
                }
                Err(problem) => {
                    problems.push(Diagnostic { span: Some(value.span), ..problem });
                    continue;
                }
            },
        };
        let text = sources.files().get(index).map_or("", |file| &file.text);
        match parse::parse(index, text) {
            Ok(held) if held.is_null() => problems.push(Diagnostic::new("the file is empty").at(held.span)),
            Ok(mut held) => {
                let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
                Interpolator::new(folder, env, &mut problems).run(&mut held);
                *value = held;
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(Diagnostics::from_list(&sources, problems)) }
}
