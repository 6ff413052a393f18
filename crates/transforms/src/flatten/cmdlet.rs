//! The command line of a Security & Compliance cmdlet, which its records carry as one text.
//!
//! `-Name "invoice hunt" -PurgeType "HardDelete" -Confirm:$false -Force`. The text is not PowerShell: the service puts
//! quotes around a value and does not escape the quotes inside it (`-ContentMatchQuery "subject:"a b" AND x"`), and
//! it cuts long lines (`("{"MaxConfid`). So a quoted value ends at the first quote behind which the next parameter
//! begins or the text ends. All of it is a rule over the text as it stands: nothing is unescaped, so no value can be
//! changed by it.

use std::ops::Range;

/// One parameter: where its name and its value stand in the text. The value of a switch is empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// Whether a text is a command line: it starts with a parameter.
pub(super) fn is_command_line(text: &str) -> bool {
    name_at(text, 0).is_some()
}

/// The parameter that starts at `at`, and where the next one starts. `None` at the end.
pub(super) fn parameter(text: &str, at: usize) -> Option<(Parameter, usize)> {
    let name = name_at(text, at)?;
    let start = if text[name.end..].starts_with(':') {
        name.end + 1
    } else {
        let start = past_blanks(text, name.end);
        if name_at(text, start).is_some() {
            return Some((Parameter { name, value: start..start }, start));
        }
        start
    };
    let (value, end) = value_at(text, start);
    Some((Parameter { name, value }, past_blanks(text, end)))
}

/// A parameter's name at `at`, where its `-` stands: letters, digits and underscores, a letter first.
fn name_at(text: &str, at: usize) -> Option<Range<usize>> {
    let name = text[at..].strip_prefix('-')?;
    let first = name.bytes().next()?;
    let len = name.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    first.is_ascii_alphabetic().then_some(at + 1..at + 1 + len)
}

/// The value that starts at `at`, without the quotes or the quotes and parentheses around it, and where it ends.
/// A list (`"a","b"`) and an unterminated value keep theirs.
fn value_at(text: &str, at: usize) -> (Range<usize>, usize) {
    let rest = &text[at..];
    let (opening, closing) = if rest.starts_with("(\"") {
        (2, "\")")
    } else if rest.starts_with('"') {
        (1, "\"")
    } else {
        let end = end_of_bare(text, at);
        return (at..end, end);
    };
    let inside = at + opening;
    let mut closings = text[inside..].match_indices(closing).map(|(offset, _)| inside + offset);
    match closings.find(|close| is_boundary(text, close + closing.len())) {
        None => (at..text.len(), text.len()),
        Some(close) if is_list(&text[inside..close]) => (at..close + closing.len(), close + closing.len()),
        Some(close) => (inside..close, close + closing.len()),
    }
}

/// Where a value without quotes ends.
fn end_of_bare(text: &str, at: usize) -> usize {
    let mut from = at;
    while let Some(offset) = text[from..].find(char::is_whitespace) {
        if is_boundary(text, from + offset) {
            return from + offset;
        }
        from = past_blanks(text, from + offset);
    }
    text.len()
}

/// Whether a value can end at `at`: the text ends there, or blanks and the next parameter follow.
fn is_boundary(text: &str, at: usize) -> bool {
    let next = past_blanks(text, at);
    next == text.len() || (next > at && name_at(text, next).is_some())
}

/// Whether what stands between the outer quotes is a list: `a","b`.
fn is_list(inside: &str) -> bool {
    inside.match_indices('"').any(|(at, _)| {
        let behind = inside[at + 1..].trim_start();
        behind.strip_prefix(',').is_some_and(|item| item.trim_start().starts_with('"'))
    })
}

fn past_blanks(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start().len()
}
