//! Problems of a config, each with its place, collected so that a user can repair all of them in one go.
//!
//! This is the one place that prints them (see `render`), so that every message looks the same and secrets
//! are masked once for all.

use std::fmt;

use super::render;
use super::text::printable;
use super::{SourceMap, Span};

/// More are counted, not printed.
const MOST_SHOWN: usize = 50;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong: lowercase, no full stop.
    pub message: String,
    /// Where; none if it lies in no file (a file that cannot be read).
    pub span: Option<Span>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that matter, each with a few words on why.
    pub secondary: Vec<(Span, String)>,
}

impl Diagnostic {
    /// A problem without a place.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, help: None, secondary: Vec::new() }
    }

    /// The same with its place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// The same with advice, if there is any.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// The same with another place that matters.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push((span, label.into()));
        self
    }

    /// Message and advice in one line, for logs.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        printable(&format!("{}{help}", self.message))
    }
}

/// One problem with its place in words, for readers that are programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<'d> {
    /// The file's name, if the problem lies in one.
    pub file: Option<&'d str>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The column, counted from 1 in characters.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// All problems of a config. Displays as the full report, ordered by place.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    sources: SourceMap,
    list: Vec<Diagnostic>,
    /// What each is called: `error`, or `warning`.
    word: &'static str,
}

impl Diagnostics {
    /// An empty list for problems in `sources`.
    #[must_use]
    pub fn new(sources: &SourceMap) -> Self {
        Self::from_list(sources, Vec::new())
    }

    /// An empty list for what is probably wrong in `sources`, and hinders nothing.
    #[must_use]
    pub fn warnings(sources: &SourceMap) -> Self {
        Self { word: "warning", ..Self::new(sources) }
    }

    pub(super) fn from_list(sources: &SourceMap, list: Vec<Diagnostic>) -> Self {
        let mut problems = Self { sources: sources.clone(), list: Vec::new(), word: "error" };
        list.into_iter().for_each(|diagnostic| problems.push(diagnostic));
        problems
    }

    /// Adds a problem. What an alias repeats is one problem, and told once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let known = self.list.iter().rev().take(MOST_SHOWN).any(|known| *known == diagnostic);
        if !known {
            self.list.push(diagnostic);
        }
    }

    /// Keeps the problem, if it is one, and gives the value otherwise.
    pub fn collect<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|diagnostic| self.push(diagnostic)).ok()
    }

    /// `value` if there was no problem, all problems otherwise.
    ///
    /// # Errors
    /// This list, if it holds anything.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.list.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Whether there is no problem.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many problems there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The problems in the order of their places, as many of them as are displayed.
    pub fn told(&self) -> impl Iterator<Item = Told<'_>> {
        self.sorted().into_iter().take(MOST_SHOWN).map(|diagnostic| Told {
            file: diagnostic.span.map(|span| self.sources.name(span)),
            line: diagnostic.span.map(|span| span.line),
            column: diagnostic.span.map(|span| span.column),
            message: render::message_text(&diagnostic.message),
            help: diagnostic.help.as_deref().map(render::message_text),
        })
    }

    fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.list.iter().collect();
        sorted.sort_by_key(|diagnostic| diagnostic.span);
        sorted
    }

    /// The problems in the order of finding.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.sorted();
        for (index, diagnostic) in sorted.iter().take(MOST_SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            render::write(f, self.word, &self.sources, diagnostic)?;
        }
        match sorted.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "\n... and {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}
