//! Records as templates: text with holes, compiled once, so that a record is written straight into a string.
//!
//! Syntax: `${name}` and `${name argument}` stand for values ([`Value`]); `${repeat LOW HIGH}..${end}` writes its body
//! several times with commas between, `${maybe PERCENT}..${end}` sometimes, `${json}..${end}` as JSON inside a JSON
//! string, `${or NAME}..${end}` unless the scene has an argument of that name, which is then written instead.
//! A letter after a colon (`${uuid:a}`, `${int:b 1 9}`, `${pick:c x|y}`) makes all values of that letter in a scene the
//! same, in all of its records.

use super::calendar::Form;
use super::value::{Value, parse_value};

/// A compiled template.
#[derive(Debug)]
pub(super) struct Template(pub(super) Vec<Piece>);

/// A part of a template.
#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Value(Value),
    Repeat { low: i64, high: i64, body: Vec<Piece> },
    Maybe { percent: u32, body: Vec<Piece> },
    Or { name: String, body: Vec<Piece> },
}

impl Template {
    /// Compiles a text.
    ///
    /// # Errors
    /// What was wrong with it.
    pub(super) fn new(text: &str) -> Result<Template, String> {
        let mut rest = text;
        let pieces = parse(&mut rest, false, 0)?;
        if rest.is_empty() {
            Ok(Template(pieces))
        } else {
            Err(format!("`${{end}}` without a beginning before {rest}"))
        }
    }
}

/// Reads pieces until the end of the text or of the block.
fn parse(rest: &mut &str, quoted: bool, depth: usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    loop {
        let Some(start) = rest.find("${") else {
            if depth > 0 {
                return Err("a block without `${end}`".to_owned());
            }
            push_text(&mut pieces, rest, quoted);
            *rest = "";
            return Ok(pieces);
        };
        push_text(&mut pieces, &rest[..start], quoted);
        let after = &rest[start + 2..];
        let end = after.find('}').ok_or_else(|| format!("`${{` without `}}`: {after}"))?;
        let tag = &after[..end];
        *rest = &after[end + 1..];
        let (name, arguments) = tag.split_once(' ').unwrap_or((tag, ""));
        let number = |index: usize| -> Result<i64, String> {
            let text = arguments.split(' ').nth(index).unwrap_or_default();
            text.parse().map_err(|_| format!("`{tag}`: `{text}` is no number"))
        };
        match name {
            "end" if depth > 0 => return Ok(pieces),
            "json" => pieces.extend(parse(rest, true, depth + 1)?),
            "repeat" => {
                let (low, high) = (number(0)?, number(1)?);
                pieces.push(Piece::Repeat { low, high, body: parse(rest, quoted, depth + 1)? });
            }
            "maybe" => {
                let percent = u32::try_from(number(0)?).map_err(|_| format!("`{tag}`: no percentage"))?;
                pieces.push(Piece::Maybe { percent, body: parse(rest, quoted, depth + 1)? });
            }
            "or" => {
                pieces.push(Piece::Or { name: arguments.to_owned(), body: parse(rest, quoted, depth + 1)? });
            }
            _ => pieces.push(Piece::Value(parse_value(name, arguments, quoted)?)),
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, quoted: bool) {
    if text.is_empty() {
        return;
    }
    let text = if quoted { escape(text) } else { text.to_owned() };
    match pieces.last_mut() {
        Some(Piece::Text(before)) => before.push_str(&text),
        _ => pieces.push(Piece::Text(text)),
    }
}

/// The text as it stands inside a JSON string.
pub(super) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The time's form of a name, as in `${time.z}`.
pub(super) fn form_of(name: &str) -> Option<Form> {
    Some(match name {
        "time" => Form::Plain,
        "time.z" => Form::Zulu,
        "time.7" => Form::Fine,
        "time.offset" => Form::Offset,
        "date" => Form::Date,
        _ => return None,
    })
}
