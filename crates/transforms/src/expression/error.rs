//! What is wrong with an expression, and where.

use std::fmt::{self, Display, Formatter};

/// How much of a long line is shown on either side of the mistake, in characters.
const CONTEXT: usize = 60;

/// Why a text is not an expression. Prints as a message, the line and a mark under the mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, and what was expected.
    pub message: String,
    /// What to write instead, if that can be guessed.
    pub help: Option<String>,
    /// The line of the expression that holds the mistake, from 1.
    pub line: usize,
    /// Where the mistake begins on its line, in characters from 1.
    pub column: usize,
    excerpt: String,
    mark: String,
}

impl ParseError {
    /// A mistake in `text` from byte `start` to `end`.
    pub(super) fn at(text: &str, start: usize, end: usize, message: String, help: Option<String>) -> ParseError {
        let before = text.get(..start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].split('\n').next().unwrap_or_default();
        let column = before[line_start..].chars().count();
        let wide = text.get(start..end).unwrap_or_default().split('\n').next().unwrap_or_default().chars().count();
        let skipped = column.saturating_sub(CONTEXT);
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let excerpt = line.chars().skip(skipped).take(2 * CONTEXT).map(visible).collect();
        let mark = " ".repeat(column - skipped) + &"^".repeat(wide.clamp(1, CONTEXT));
        let number = before.matches('\n').count() + 1;
        ParseError { message, help, line: number, column: column + 1, excerpt, mark }
    }

    /// Place and message in one line, for where the expression itself is shown anyway.
    pub fn summary(&self) -> String {
        let line = if self.line > 1 { format!("line {}, ", self.line) } else { String::new() };
        format!("{line}column {}: {}", self.column, self.message)
    }
}

impl Display for ParseError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        if self.excerpt.trim().is_empty() { Ok(()) } else { write!(f, "\n  {}\n  {}", self.excerpt, self.mark) }
    }
}

impl std::error::Error for ParseError {}
