//! Taking typed pieces out of the tree.

use serde::de::DeserializeOwned;

use super::de::NodeDeserializer;
use super::de_error::{DeError, Step, describe};
use super::suggest::suggest;
use super::{Diagnostic, Node, NodeValue, Spanned};

impl Node {
    /// Reads this value as a `T`. `path` is how errors call it: `sinks.lake`, or nothing for the whole config.
    ///
    /// # Errors
    /// The first thing that does not fit, with its place and path.
    pub fn deserialize<T: DeserializeOwned>(&self, path: &str) -> Result<T, Diagnostic> {
        self.deserialize_without(path, &[])
    }

    /// The same for a mapping some of whose keys the caller deals with: they are skipped, and errors about
    /// unknown keys list them too. That is how `type` and `inputs` are kept out of a component's own struct.
    ///
    /// # Errors
    /// As [`Node::deserialize`].
    pub fn deserialize_without<T: DeserializeOwned>(&self, path: &str, taken: &[&str]) -> Result<T, Diagnostic> {
        T::deserialize(NodeDeserializer::without(self, taken)).map_err(|error| error.at(self).into_diagnostic(path))
    }

    /// Reads every item of a list as a `T` and keeps its place.
    ///
    /// # Errors
    /// Not a list, or the first item that does not fit.
    pub fn deserialize_items<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<Spanned<T>>, Diagnostic> {
        let NodeValue::Sequence(items) = &self.value else {
            let error = DeError::mismatch("a list", describe(self)).at(self);
            return Err(error.into_diagnostic(path));
        };
        let read = |(index, item): (usize, &Node)| {
            let value = item.deserialize(&format!("{path}[{index}]"))?;
            let span = item.span;
            Ok(Spanned { value, span })
        };
        items.iter().enumerate().map(read).collect()
    }

    /// The text of a key that this mapping must have, such as `type`, with the place of the text.
    ///
    /// # Errors
    /// Not a mapping, the key is missing (a similar one is pointed at), or its value is not a string.
    pub fn required_str(&self, path: &str, key: &str) -> Result<Spanned<&str>, Diagnostic> {
        if !matches!(self.value, NodeValue::Mapping(_)) && !self.is_null() {
            let error = DeError::mismatch("a mapping", describe(self)).at(self);
            return Err(error.into_diagnostic(path));
        }
        let Some(node) = self.get(key) else {
            return Err(self.missing(path, key));
        };
        match node.as_str() {
            Some(value) => Ok(Spanned { value, span: node.span }),
            None => {
                let error = DeError::mismatch("a string", describe(node)).at(node);
                Err(error.into_diagnostic(&format!("{path}.{key}")))
            }
        }
    }

    /// A problem that a component's own check has found. `key` is relative to this value, with dots between
    /// nested keys and list indexes (`include.0`), or empty for the value as a whole. It points at the innermost
    /// value that exists; what quotes a secret is left out.
    #[must_use]
    pub fn problem(&self, path: &str, key: &str, message: &str, help: Option<&str>) -> Diagnostic {
        let mut node = self;
        let mut steps = Vec::new();
        let mut rest = key;
        while let Some((step, inner, further)) = descend(node, rest) {
            steps.push(step);
            (node, rest) = (inner, further);
        }
        if !rest.is_empty() {
            steps.push(Step::Key(rest.to_owned()));
        }
        let error = <DeError as serde::de::Error>::custom(message);
        let error = help.into_iter().fold(error, DeError::help).at(node);
        let error = steps.into_iter().rev().fold(error, DeError::below);
        error.into_diagnostic(path)
    }

    fn missing(&self, path: &str, key: &str) -> Diagnostic {
        let problem = Diagnostic::new(format!("missing key `{key}` in {path}")).at(self.span);
        let similar = |written: &str| suggest(written, [key]).is_some();
        match self.entries().iter().find(|entry| similar(&entry.key)) {
            Some(entry) => problem.also(entry.key_span, format!("did you mean `{key}`?")),
            None => problem,
        }
    }
}

/// The first step of the dotted path `key` that exists below `node`: the step, its value, and the rest of the path.
fn descend<'a, 'k>(node: &'a Node, key: &'k str) -> Option<(Step, &'a Node, &'k str)> {
    if key.is_empty() {
        return None;
    }
    if let NodeValue::Sequence(items) = &node.value {
        let (index, rest) = key.split_once('.').unwrap_or((key, ""));
        let index: usize = index.parse().ok()?;
        return Some((Step::Index(index), items.get(index)?, rest));
    }
    // A key may itself contain dots, so the longest one that fits is taken.
    let rest_behind = |written: &str| match key.strip_prefix(written)? {
        "" => Some(""),
        rest => rest.strip_prefix('.'),
    };
    let fitting = node.entries().iter().filter_map(|entry| Some((entry, rest_behind(&entry.key)?)));
    let (entry, rest) = fitting.max_by_key(|(entry, _)| entry.key.len())?;
    Some((Step::Key(entry.key.clone()), &entry.value, rest))
}
