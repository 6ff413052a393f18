//! Making text from outside fit to be printed: no control characters, no endless lines.

/// Longest piece of a key or value that is quoted in a message, in characters.
const QUOTED: usize = 60;

/// `text` cut to a length that suits a message; a cut is marked by `…`.
pub(super) fn clip(text: &str) -> String {
    clip_to(text, QUOTED)
}

/// `text` cut to `limit` characters; a cut is marked by `…`.
pub(super) fn clip_to(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How one character is printed: control and invisible characters as escapes, so that nothing in a config can
/// move the cursor, start a new line or reverse the reading direction of a terminal.
pub(super) fn printable_char(c: char) -> String {
    match c {
        '"' | '\'' | '\\' => c.to_string(),
        _ => c.escape_debug().to_string(),
    }
}

/// `text` with every character made printable.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(printable_char).collect()
}

/// `text` as messages quote it: printable, and not endless.
pub(crate) fn quote(text: &str) -> String {
    printable(&clip(text))
}
