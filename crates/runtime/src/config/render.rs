//! How a problem is printed: the message, the line it is about with the place underlined, the advice.

use std::fmt::{self, Formatter};

use super::mask::{self, Shown};
use super::text::{clip_to, printable, printable_char};
use super::{Diagnostic, SourceMap, Span};

/// Longest part of a line that is shown, in characters of the source.
const LINE_SHOWN: usize = 120;
/// How much of a longer line is shown left of the place.
const LEFT_SHOWN: usize = 40;
/// Longest message or advice, in characters. Components write their own messages, and may quote much.
const MESSAGE: usize = 2_000;

pub(super) fn write(f: &mut Formatter<'_>, word: &str, sources: &SourceMap, diagnostic: &Diagnostic) -> fmt::Result {
    let spans = diagnostic.span.iter().copied();
    let others = diagnostic.secondary.iter().map(|(span, _)| *span);
    let widest = spans.chain(others).map(|span| span.line).max().unwrap_or(0);
    let gutter = widest.to_string().len();

    writeln!(f, "{word}: {}", message_text(&diagnostic.message))?;
    if let Some(span) = diagnostic.span {
        snippet(f, sources, span, gutter, '^', "")?;
    }
    for (span, label) in &diagnostic.secondary {
        snippet(f, sources, *span, gutter, '-', &message_text(label))?;
    }
    if let Some(help) = &diagnostic.help {
        writeln!(f, "{:gutter$} = help: {}", "", message_text(help))?;
    }
    Ok(())
}

/// A message or advice as it is printed.
pub(super) fn message_text(text: &str) -> String {
    printable(&clip_to(text, MESSAGE))
}

fn snippet(
    f: &mut Formatter<'_>,
    sources: &SourceMap,
    span: Span,
    gutter: usize,
    mark: char,
    label: &str,
) -> fmt::Result {
    let position = printable(&sources.position(span));
    writeln!(f, "{:gutter$}--> {position}", "")?;
    let lines = sources.lines(span);
    let index = span.line.saturating_sub(1);
    if index >= lines.len() {
        return Ok(());
    }
    let (line, underline) = excerpt(&mask::show(&lines, index), span, mark);
    writeln!(f, "{:gutter$} |", "")?;
    writeln!(f, "{}", format!("{:gutter$} | {line}", span.line).trim_end())?;
    writeln!(f, "{}", format!("{:gutter$} | {underline} {label}", "").trim_end())
}

/// The part of a line around the place, and the marks to print below it.
fn excerpt(line: &[Shown], span: Span, mark: char) -> (String, String) {
    let start = span.column.saturating_sub(1).min(line.len());
    let end = start.saturating_add(span.width.max(1)).min(line.len());
    let from = if line.len() > LINE_SHOWN { start.saturating_sub(LEFT_SHOWN) } else { 0 };
    let to = from.saturating_add(LINE_SHOWN).min(line.len());
    let before = if from > 0 { "…" } else { "" };
    let after = if to < line.len() { "…" } else { "" };

    let text = format!("{before}{}{after}", display(&line[from..to]));
    let indent = before.chars().count() + width(&line[from..start]);
    let marks = width(&line[start..end.min(to)]).max(1);
    let underline = " ".repeat(indent) + &mark.to_string().repeat(marks);
    (text, underline)
}

fn display(cells: &[Shown]) -> String {
    cells.iter().map(display_cell).collect()
}

fn width(cells: &[Shown]) -> usize {
    cells.iter().map(|cell| display_cell(cell).chars().count()).sum()
}

fn display_cell(cell: &Shown) -> String {
    match cell {
        Shown::Char(c) => printable_char(*c),
        Shown::Mask => "***".to_owned(),
        Shown::Hidden => String::new(),
    }
}
