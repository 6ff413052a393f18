//! Several config files become one: components are merged by id, everything else may stand in one file only.

use std::collections::HashMap;

use super::text::clip;
use super::tree::Entry;
use super::{Diagnostic, Node, NodeValue};

/// The keys whose mappings are merged.
const SECTIONS: [&str; 3] = ["sources", "transforms", "sinks"];

/// Merges the top-level mappings; none if there is no file. What stands twice becomes a problem that names both
/// places.
pub(super) fn merge(roots: Vec<Node>, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut roots = roots.into_iter();
    let mut merged = roots.next()?;
    for root in roots {
        if let (NodeValue::Mapping(into), NodeValue::Mapping(from)) = (&mut merged.value, root.value) {
            merge_top_level(into, from, problems);
        }
    }
    Some(merged)
}

fn merge_top_level(into: &mut Vec<Entry>, from: Vec<Entry>, problems: &mut Vec<Diagnostic>) {
    let known = positions(into);
    for entry in from {
        match known.get(&entry.key).map(|index| &mut into[*index]) {
            None => into.push(entry),
            Some(known) if SECTIONS.contains(&entry.key.as_str()) => {
                merge_section(known, entry, problems);
            }
            Some(known) => {
                let message = format!("`{}` stands in two config files", clip(&entry.key));
                problems.push(conflict(message, &entry, known));
            }
        }
    }
}

fn merge_section(known: &mut Entry, entry: Entry, problems: &mut Vec<Diagnostic>) {
    if entry.value.is_null() {
        return;
    }
    if known.value.is_null() {
        *known = entry;
        return;
    }
    let section = known.key.clone();
    match (&mut known.value.value, entry.value.value) {
        (NodeValue::Mapping(into), NodeValue::Mapping(from)) => {
            merge_components(&section, into, from, problems);
        }
        // Not a mapping of components: this mistake must not be lost by merging.
        (NodeValue::Mapping(_), _) => problems.push(not_components(&section, entry.value.span)),
        _ => problems.push(not_components(&section, known.value.span)),
    }
}

fn merge_components(section: &str, into: &mut Vec<Entry>, from: Vec<Entry>, problems: &mut Vec<Diagnostic>) {
    let known = positions(into);
    for entry in from {
        match known.get(&entry.key) {
            None => into.push(entry),
            Some(index) => {
                let id = clip(&entry.key);
                let message = format!("`{id}` stands in two config files under `{section}`");
                let problem = conflict(message, &entry, &into[*index])
                    .help("ids are unique over all files: rename one of them".to_owned());
                problems.push(problem);
            }
        }
    }
}

/// Where each key stands in `entries`; there may be too many for a linear search.
fn positions(entries: &[Entry]) -> HashMap<String, usize> {
    let keys = entries.iter().map(|entry| entry.key.clone());
    keys.zip(0..).collect()
}

fn conflict(message: String, second: &Entry, first: &Entry) -> Diagnostic {
    Diagnostic::new(message).at(second.key_span).also(first.key_span, "first here")
}

fn not_components(section: &str, span: super::Span) -> Diagnostic {
    Diagnostic::new(format!("`{section}` must be a mapping from ids to components")).at(span)
}
