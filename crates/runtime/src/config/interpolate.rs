//! Fills in `${VAR}`, `${VAR:-default}` and `${file:PATH}`.
//!
//! This happens in the tree, behind the YAML parser, so that a value can never change the structure of the
//! config: a password that contains `: ` or a quote stays a password. Keys are left as they are. What was filled
//! in is not looked at again, and is marked as a secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::load::Env;
use super::text::clip;
use super::tree::Scalar;
use super::{Diagnostic, Node, NodeValue, Span};

/// Largest secret file, in bytes.
const LARGEST_SECRET: u64 = 64 << 10;
/// All text that is filled into one file, in bytes.
const MOST_TEXT: usize = 16 << 20;

/// Fills in the values of one file.
pub(super) struct Interpolator<'a> {
    folder: &'a Path,
    env: &'a Env<'a>,
    problems: &'a mut Vec<Diagnostic>,
    text: usize,
}

impl<'a> Interpolator<'a> {
    /// `folder` is what the paths of `${file:PATH}` are relative to: where the config file lies.
    pub(super) fn new(folder: &'a Path, env: &'a Env<'a>, problems: &'a mut Vec<Diagnostic>) -> Self {
        Self { folder, env, problems, text: 0 }
    }

    /// Fills in everything below `node`; what cannot be filled in becomes a problem.
    pub(super) fn run(&mut self, node: &mut Node) {
        match &mut node.value {
            NodeValue::Scalar(scalar) => self.scalar(scalar, node.span),
            NodeValue::Sequence(items) => items.iter_mut().for_each(|item| self.run(item)),
            NodeValue::Mapping(entries) => {
                for entry in entries {
                    self.run(&mut entry.value);
                }
            }
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, span: Span) {
        if !scalar.text.contains("${") {
            return;
        }
        match self.expand(&scalar.text) {
            Ok((text, references)) => {
                scalar.text = text;
                scalar.secret |= references > 0;
            }
            Err(problem) => self.problems.push(problem.at(span)),
        }
    }

    /// The text with everything filled in, and how many references there were.
    fn expand(&mut self, text: &str) -> Result<(String, usize), Diagnostic> {
        let mut result = String::with_capacity(text.len());
        let mut references = 0;
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, reference) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                result.push_str(before);
                result.push_str("${");
                rest = &reference[2..];
                continue;
            }
            result.push_str(before);
            let inner = &reference[2..];
            let end = inner.find('}').ok_or_else(|| {
                Diagnostic::new("a `${` without its `}`")
                    .help("write `$${` for a `${` that is meant as text".to_owned())
            })?;
            result.push_str(&self.value(&inner[..end])?);
            references += 1;
            rest = &inner[end + 1..];
        }
        result.push_str(rest);
        Ok((result, references))
    }

    /// What stands for the text between `${` and `}`.
    fn value(&mut self, reference: &str) -> Result<String, Diagnostic> {
        let value = match reference.strip_prefix("file:") {
            Some(path) => self.secret_file(path)?,
            None => self.variable(reference)?,
        };
        self.text = self.text.saturating_add(value.len());
        if self.text > MOST_TEXT {
            let limit = MOST_TEXT >> 20;
            let message = format!("more than {limit} MiB of values are filled into this file");
            return Err(Diagnostic::new(message));
        }
        Ok(value)
    }

    fn variable(&self, reference: &str) -> Result<String, Diagnostic> {
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_variable_name(name) || default.is_some_and(|text| text.contains("${")) {
            let message = format!("`${{{}}}` is not a reference", clip(reference));
            let help = "use `${VAR}`, `${VAR:-default}` or `${file:PATH}`, \
                        and `$${` for a `${` that is meant as text";
            return Err(Diagnostic::new(message).help(help.to_owned()));
        }
        // As in a shell, the default of `:-` also replaces an empty value.
        match ((self.env)(name), default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => {
                let name = clip(name);
                let message = format!("the environment variable `{name}` is not set");
                let help = format!("set it, or give a default: `${{{name}:-value}}`");
                Err(Diagnostic::new(message).help(help))
            }
        }
    }

    fn secret_file(&self, path: &str) -> Result<String, Diagnostic> {
        let shown = clip(path);
        let full = self.folder.join(path);
        let mut bytes = Vec::new();
        File::open(&full).and_then(|file| file.take(LARGEST_SECRET + 1).read_to_end(&mut bytes)).map_err(|error| {
            let help = match Path::new(path).is_absolute() {
                true => "check that it exists and that this user may read it",
                false => "the path is relative to the folder of the config file",
            };
            Diagnostic::new(format!("cannot read the secret file `{shown}`: {error}")).help(help.to_owned())
        })?;
        if bytes.len() as u64 > LARGEST_SECRET {
            let limit = LARGEST_SECRET >> 10;
            let message = format!("the secret file `{shown}` is larger than {limit} KiB");
            return Err(Diagnostic::new(message));
        }
        let mut text =
            String::from_utf8(bytes).map_err(|_| Diagnostic::new(format!("the secret file `{shown}` is not UTF-8")))?;
        let newline = if text.ends_with("\r\n") { 2 } else { usize::from(text.ends_with('\n')) };
        text.truncate(text.len() - newline);
        // Some editors put a mark in front, which nobody sees and no service takes.
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Ok(text)
    }
}

fn is_variable_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_part)
}
