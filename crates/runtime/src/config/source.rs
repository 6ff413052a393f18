//! The texts that a config was read from, and places in them.
//!
//! A place is four small numbers, so every node of the tree can carry one; the text it refers to is kept
//! once, here, and is only looked at when an error is printed.

use std::fmt;
use std::sync::Arc;

/// A place in one of the config files. Lines and columns count from 1, columns and widths in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Index of the file in the [`SourceMap`].
    pub source: usize,
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// How many characters to underline; at least 1.
    pub width: usize,
}

/// One config file as it was read.
pub(super) struct SourceFile {
    pub(super) name: String,
    pub(super) text: String,
}

/// The config files of one pipeline. Cheap to clone.
#[derive(Clone)]
pub struct SourceMap {
    files: Arc<[Arc<SourceFile>]>,
}

impl SourceMap {
    pub(super) fn new(files: Vec<SourceFile>) -> Self {
        Self { files: files.into_iter().map(Arc::new).collect() }
    }

    pub(super) fn files(&self) -> &[Arc<SourceFile>] {
        &self.files
    }

    /// These files and one more, whose index is the last.
    pub(super) fn with(&self, file: SourceFile) -> Self {
        Self { files: self.files.iter().cloned().chain([Arc::new(file)]).collect() }
    }

    /// The index of the file with that name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.files.iter().position(|file| file.name == name)
    }

    /// The name of the file that `span` lies in, as it was given on the command line.
    #[must_use]
    pub fn name(&self, span: Span) -> &str {
        self.files.get(span.source).map_or("", |file| &file.name)
    }

    /// `file:line:column` of `span`, for messages outside of [`Diagnostics`](super::Diagnostics).
    #[must_use]
    pub fn position(&self, span: Span) -> String {
        format!("{}:{}:{}", self.name(span), span.line, span.column)
    }

    /// All lines of the file that `span` lies in, broken where YAML breaks lines.
    pub(super) fn lines(&self, span: Span) -> Vec<&str> {
        self.files.get(span.source).map_or_else(Vec::new, |file| split_lines(&file.text))
    }
}

/// Prints the names alone: the texts may hold secrets.
impl fmt::Debug for SourceMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(|file| &file.name)).finish()
    }
}

/// Splits at `\n`, `\r\n` and a lone `\r`, as YAML does (`str::lines` knows only the first two).
pub(super) fn split_lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}
