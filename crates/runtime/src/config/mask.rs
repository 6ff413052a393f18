//! Hides secrets that were written in plain text into a config, when a line of it is shown in an error.
//!
//! This works on lines, not on the tree, because a line is also shown when the file is not even YAML. In doubt
//! it hides too much: the position is printed anyway. Only where the next key of a mapping on the same line follows, what
//! stands behind a secret is shown again, since a mistake may be there. What a reference such as `${TOKEN}` stands for never
//! gets here, since lines are shown as they were written.

use std::ops::Range;

/// What stands in the place of one character of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The character itself.
    Char(char),
    /// `***`, in the place of the first character of a secret.
    Mask,
    /// Nothing, in the place of its further characters.
    Hidden,
}

/// Parts of key names whose values are secrets, in lowercase, with `_` for `-`.
const SECRET_NAMES: [&str; 12] = [
    "secret",
    "token",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "authorization",
    "api_key",
    "apikey",
    "access_key",
    "account_key",
    "private_key",
];

/// Whether values of a key with this name are not to be shown.
pub(super) fn is_secret_name(key: &str) -> bool {
    let name = key.to_ascii_lowercase().replace('-', "_");
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// The line at `index` (which must exist) with its secrets masked, one cell for each character.
pub(super) fn show(lines: &[&str], index: usize) -> Vec<Shown> {
    let chars: Vec<char> = lines[index].chars().collect();
    let mut cells: Vec<Shown> = chars.iter().map(|c| Shown::Char(*c)).collect();
    if continues_secret(lines, index) {
        hide(&mut cells, key_indent(lines[index])..chars.len());
        return cells;
    }
    let mut hidden = 0;
    for colon in 0..chars.len() {
        let key = if chars[colon] == ':' && colon >= hidden { key_before(&chars, colon) } else { None };
        if key.is_some_and(|key| is_secret_name(&key))
            && let Some(secret) = secret_value(&chars, colon + 1)
        {
            hidden = secret.end;
            hide(&mut cells, secret);
        }
    }
    cells
}

fn hide(cells: &mut [Shown], secret: Range<usize>) {
    for (offset, cell) in cells[secret].iter_mut().enumerate() {
        *cell = if offset == 0 { Shown::Mask } else { Shown::Hidden };
    }
}

/// The key that ends before the colon, quoted or not.
fn key_before(chars: &[char], colon: usize) -> Option<String> {
    let before = &chars[..colon];
    let end = before.iter().rposition(|c| !c.is_whitespace())?;
    let (last, rest) = (before[end], &before[..end]);
    let start = if matches!(last, '"' | '\'') {
        rest.iter().rposition(|c| *c == last)? + 1
    } else {
        rest.iter().rposition(|c| !is_name(*c)).map_or(0, |at| at + 1)
    };
    Some(before[start..=end].iter().collect())
}

/// The value after a secret key that has to be hidden; none if there is nothing to hide.
fn secret_value(chars: &[char], after_colon: usize) -> Option<Range<usize>> {
    let blanks = chars[after_colon..].iter().position(|c| !c.is_whitespace())?;
    let start = after_colon + blanks;
    let value: String = chars[start..].iter().collect();
    let harmless = match value.chars().next() {
        // The keys of an inner mapping are looked at on their own.
        Some('{') => true,
        Some(quote @ ('"' | '\'')) => {
            let closed = value[1..].split_once(quote);
            // Two quotes in a row are an escaped one: the value goes on.
            closed.is_some_and(|(text, rest)| !rest.starts_with(quote) && after_reference(text) == Some(""))
        }
        _ => after_reference(&value).is_some_and(|rest| {
            let next: Vec<char> = rest.chars().collect();
            rest.trim().is_empty() || rest.starts_with(" #") || (is_in_braces(chars, start) && leads_to_key(&next))
        }),
    };
    (!harmless).then(|| start..secret_end(chars, start))
}

/// Where a secret has ended for sure: before the next key of a mapping in braces. Whatever else follows may be a part of
/// it, since only the YAML parser could tell.
fn secret_end(chars: &[char], start: usize) -> usize {
    let all = chars.len();
    if !is_in_braces(chars, start) {
        return all;
    }
    match chars[start] {
        quote @ ('"' | '\'') => closing_quote(chars, start, quote)
            .map(|at| at + 1)
            .filter(|end| leads_to_key(&chars[*end..]))
            .unwrap_or(all),
        // What begins here may hold quotes and keys of its own.
        '[' | '!' | '&' | '*' | '|' | '>' => all,
        _ => (start..all).find(|at| is_next_key(&chars[*at..])).map_or(all, |comma| {
            // Closing brackets before the comma are not the secret's.
            let last = chars[start..comma].iter().rposition(|c| !is_closing(*c));
            last.map_or(comma, |last| start + last + 1)
        }),
    }
}

/// Whether a brace of this line is open at a place.
fn is_in_braces(chars: &[char], place: usize) -> bool {
    let count = |brace| chars[..place].iter().filter(|c| **c == brace).count();
    count('{') > count('}')
}

/// Where the quoted text that begins at `start` ends.
fn closing_quote(chars: &[char], start: usize, quote: char) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match (*chars.get(at)?, quote) {
            ('\\', '"') => at += 2,
            ('\'', '\'') if chars.get(at + 1) == Some(&'\'') => at += 2,
            (c, quote) if c == quote => return Some(at),
            _ => at += 1,
        }
    }
}

/// Whether nothing but closing brackets stands before the next key.
fn leads_to_key(text: &[char]) -> bool {
    let comma = text.iter().position(|c| !is_closing(*c)).unwrap_or(text.len());
    is_next_key(&text[comma..])
}

fn is_closing(c: char) -> bool {
    c.is_whitespace() || matches!(c, '}' | ']')
}

/// Whether a text begins with a comma and a key.
fn is_next_key(text: &[char]) -> bool {
    let Some((',', rest)) = text.split_first() else { return false };
    let blanks = rest.iter().take_while(|c| c.is_whitespace()).count();
    let rest = &rest[blanks..];
    let quote = rest.first().copied().filter(|c| matches!(c, '"' | '\''));
    let colon = match quote {
        Some(quote) => closing_quote(rest, 0, quote).map(|end| end + 1),
        None => rest.iter().position(|c| !is_name(*c)).filter(|end| *end > 0),
    };
    let Some(colon) = colon.filter(|at| rest.get(*at) == Some(&':')) else { return false };
    quote.is_some() || rest.get(colon + 1).is_none_or(|c| c.is_whitespace())
}

/// Whether keys without quotes may hold it.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// What follows the `${...}` that the text begins with; none if there is no such reference, or one with a default.
fn after_reference(text: &str) -> Option<&str> {
    let (name, rest) = text.strip_prefix("${")?.split_once('}')?;
    (!name.contains(":-") && !name.contains("${")).then_some(rest)
}

/// Whether the line is a later line of a secret that began further up: a block scalar, a quoted text over
/// several lines, or a list of secrets.
fn continues_secret(lines: &[&str], index: usize) -> bool {
    let own_key = block_key(lines[index]).is_some() && !is_item(lines[index]);
    let mut inner = indent(lines[index]);
    for line in lines[..index].iter().rev() {
        let outer = key_indent(line);
        if line.trim().is_empty() || outer >= inner {
            continue;
        }
        inner = outer;
        if let Some((key, value)) = block_key(line)
            && is_secret_name(&key)
        {
            match value.chars().next() {
                None | Some('#') if own_key => {}
                Some('{') => {}
                _ => return true,
            }
        }
        if inner == 0 {
            break;
        }
    }
    false
}

/// Blanks before the text of a line. Items of a list count as deeper, since they may stand right below their key.
fn indent(line: &str) -> usize {
    let blanks = line.chars().take_while(|c| c.is_whitespace()).count();
    blanks + usize::from(is_item(line))
}

fn is_item(line: &str) -> bool {
    line.trim_start().starts_with("- ")
}

/// Blanks before the key of a line; the `- ` of a list item counts as blanks.
fn key_indent(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace() || *c == '-').count()
}

/// The key that a line begins with, and what follows on that line.
fn block_key(line: &str) -> Option<(String, &str)> {
    let text = line.trim_start_matches(|c: char| c.is_whitespace() || c == '-');
    let (key, value) = text.split_once(':')?;
    if !value.is_empty() && !value.starts_with(char::is_whitespace) {
        return None;
    }
    let key = key.trim().trim_matches(['"', '\'']);
    key.chars().all(is_name).then(|| (key.to_owned(), value.trim()))
}
