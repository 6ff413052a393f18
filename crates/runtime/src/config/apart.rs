//! Values that stand in a file of their own: `tenants: ./tenants.yaml` in place of the list itself.

use std::path::Path;

use super::interpolate::Interpolator;
use super::load::{Env, read};
use super::{Diagnostic, Diagnostics, Node, SourceMap, parse};

/// Puts what a file holds in the place of its path, wherever `key` of a component of `section` is a text. The file is
/// YAML (JSON is), `${...}` is filled in, and errors name it. Its path is relative to where the process runs, as that of
/// every file that a component reads.
///
/// Gives everything that is wrong with the files themselves, and the paths of the components that these keep unread.
pub fn read_apart(
    sources: &SourceMap,
    root: &mut Node,
    section: &str,
    key: &str,
    env: &Env<'_>,
) -> (Diagnostics, Vec<String>) {
    let mut sources = sources.clone();
    let (mut problems, mut unread) = (Vec::new(), Vec::new());
    for component in root.get_mut(section).map_or(&mut [][..], Node::entries_mut) {
        let Some(value) = component.value.get_mut(key) else { continue };
        let Some(path) = value.as_str().map(str::to_owned) else { continue };
        match held(&mut sources, &path, value, env) {
            Ok(held) => *value = held,
            Err(found) => {
                problems.extend(found);
                unread.push(format!("{section}.{}", component.key));
            }
        }
    }
    (Diagnostics::from_list(&sources, problems), unread)
}

/// What a file holds. `value`: the path, in its place.
fn held(sources: &mut SourceMap, path: &str, value: &Node, env: &Env<'_>) -> Result<Node, Vec<Diagnostic>> {
    let index = match sources.find(path) {
        Some(index) => index,
        None => {
            // The path may be a secret that was put into the wrong place.
            let unread = |problem: Diagnostic| vec![value.problem("", "", &problem.message, problem.help.as_deref())];
            let file = read(Path::new(path)).map_err(unread)?;
            *sources = sources.with(file);
            sources.files().len() - 1
        }
    };
    let text = sources.files().get(index).map_or("", |file| &file.text);
    let mut held = parse::parse(index, text)?;
    if held.is_null() {
        return Err(vec![Diagnostic::new("the file is empty").at(held.span)]);
    }
    let mut problems = Vec::new();
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    Interpolator::new(folder, env, &mut problems).run(&mut held);
    if problems.is_empty() { Ok(held) } else { Err(problems) }
}
