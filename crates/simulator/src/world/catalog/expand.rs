//! Slots and shorthands: what stands in a pack becomes the text of a template.

use std::collections::HashMap;

/// What names stand for.
#[derive(Debug, Default, Clone)]
pub(super) struct Words {
    pub(super) lets: HashMap<String, String>,
    pub(super) slots: HashMap<String, String>,
}

/// How deep texts may stand in texts: more is a circle.
const DEEPEST: usize = 12;

/// Replaces slots, texts and shorthands; leaves the values of templates as they are.
pub(super) fn expand(text: &str, words: &Words, depth: usize) -> Result<String, String> {
    if depth > DEEPEST {
        return Err(format!("texts stand in each other: {text}"));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let end = after.find('}').ok_or_else(|| format!("`${{` without `}}`: {after}"))?;
        let tag = &after[..end];
        let slot = |name: &str| words.slots.get(name).ok_or_else(|| format!("no slot `{name}`"));
        // A list's texts are put in before it is taken apart: they may hold entries of their own.
        let list = |name: &str| expand(slot(name)?, words, depth + 1);
        rest = &after[end + 1..];
        let replaced = if let Some(name) = tag.strip_prefix(':') {
            slot(name)?.clone()
        } else if let Some(name) = tag.strip_prefix('=') {
            words.lets.get(name).ok_or_else(|| format!("no text `{name}`"))?.clone()
        } else if let Some(name) = tag.strip_prefix("pairs:") {
            pairs(&list(name)?)?
        } else if let Some(name) = tag.strip_prefix("changes:") {
            changes(&list(name)?, unified)?
        } else if let Some(name) = tag.strip_prefix("graph:") {
            changes(&list(name)?, graph)?
        } else if let Some(name) = tag.strip_prefix("if ") {
            let (body, behind) = rest.split_once("${fi}").ok_or_else(|| format!("`{tag}` without `${{fi}}`"))?;
            rest = behind;
            if words.slots.contains_key(name) { body.to_owned() } else { String::new() }
        } else {
            out.push_str("${");
            out.push_str(tag);
            out.push('}');
            continue;
        };
        out.push_str(&expand(&replaced, words, depth + 1)?);
    }
    out.push_str(rest);
    Ok(out)
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(" ; ").map(str::trim).filter(|entry| !entry.is_empty())
}

fn pairs(list: &str) -> Result<String, String> {
    let mut out = Vec::new();
    for entry in entries(list) {
        let (name, value) = entry.split_once('=').ok_or_else(|| format!("`{entry}`: expected NAME=VALUE"))?;
        out.push(format!(r#"{{"Name":"{name}","Value":"{value}"}}"#));
    }
    Ok(out.join(","))
}

/// How a value of a modified property is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// A list of one string.
    Words,
    /// A list of one JSON value.
    Json,
}

fn changes(list: &str, write: fn(&str, Kind, Option<&str>, &str) -> String) -> Result<String, String> {
    let mut out = Vec::new();
    let mut included = Vec::new();
    for entry in entries(list) {
        let (name, value) = entry.split_once('=').ok_or_else(|| format!("`{entry}`: expected NAME=VALUE"))?;
        let (name, kind) = match name.as_bytes().last() {
            Some(b'[') => (&name[..name.len() - 1], Kind::Words),
            Some(b'#') => (&name[..name.len() - 1], Kind::Json),
            _ => (name, Kind::Plain),
        };
        let (old, new) = match value.split_once("=>") {
            Some((old, new)) => (Some(old), new),
            None => (None, value),
        };
        if kind != Kind::Plain {
            included.push(name);
        }
        out.push(write(name, kind, old, new));
    }
    if !included.is_empty() {
        out.push(write("Included Updated Properties", Kind::Plain, None, &included.join(", ")));
    }
    Ok(out.join(","))
}

/// The unified audit log's way: lists are JSON on several lines.
fn unified(name: &str, kind: Kind, old: Option<&str>, new: &str) -> String {
    let value = |text: &str| match kind {
        Kind::Plain => text.to_owned(),
        Kind::Words => format!(r#"[\r\n  ${{json}}"{text}"${{end}}\r\n]"#),
        Kind::Json => format!(r"[\r\n  ${{json}}{text}${{end}}\r\n]"),
    };
    let old = old.map_or_else(|| if kind == Kind::Plain { String::new() } else { "[]".to_owned() }, value);
    format!(r#"{{"Name":"{name}","NewValue":"{}","OldValue":"{old}"}}"#, value(new))
}

/// Graph's way: every value is JSON in a string, or null.
fn graph(name: &str, kind: Kind, old: Option<&str>, new: &str) -> String {
    let value = |text: &str| match kind {
        Kind::Plain => format!(r#""${{json}}"{text}"${{end}}""#),
        Kind::Words => format!(r#""${{json}}["{text}"]${{end}}""#),
        Kind::Json => format!(r#""${{json}}[{text}]${{end}}""#),
    };
    let old = old.map_or_else(|| if kind == Kind::Plain { "null" } else { "\"[]\"" }.to_owned(), value);
    format!(r#"{{"displayName":"{name}","oldValue":{old},"newValue":{}}}"#, value(new))
}
