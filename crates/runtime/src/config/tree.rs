//! The config as a tree in which every key and value knows where it was written.
//!
//! serde's own tagged and flattened enums buffer what they read and lose positions on the way, so the config
//! is first read into this tree; whoever knows what a piece means then deserialises that piece into a plain
//! struct (see `de`).

use std::fmt;

use super::Span;
use super::scalar::{self, Plain};
use super::text::quote;

/// A value of the config with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value stands. A list or mapping that begins below its key is pointed at by its key, and so is
    /// a value that was left out.
    pub span: Span,
    /// The value itself.
    pub value: NodeValue,
}

/// The three shapes a value can have.
#[derive(Clone, Debug)]
pub enum NodeValue {
    /// A string, number, boolean or null; which of them is decided when it is asked for.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the order of writing; keys are unique.
    Mapping(Vec<Entry>),
}

/// A scalar as it was written.
#[derive(Clone)]
pub struct Scalar {
    /// The text, without quotes and escapes, after interpolation.
    pub text: String,
    /// Written without quotes: such a scalar may be a number, a boolean or null. Anything else is a string.
    pub plain: bool,
    /// The text must never be shown: it was interpolated, or stands under a key such as `password`.
    pub secret: bool,
}

/// Prints `***` in place of a secret.
impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scalar")
            .field("text", if self.secret { &"***" } else { &self.text })
            .field("plain", &self.plain)
            .finish_non_exhaustive()
    }
}

/// One key of a mapping and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// A value that was taken out of the tree, with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stood.
    pub span: Span,
}

impl Node {
    /// The value of `key`, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of `key`, if this is a mapping that has it.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a mapping in the order of writing; nothing for any other value.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            NodeValue::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// As [`Node::entries`], to be changed.
    pub(super) fn entries_mut(&mut self) -> &mut [Entry] {
        match &mut self.value {
            NodeValue::Mapping(entries) => entries,
            _ => &mut [],
        }
    }

    /// As [`Node::get`], to be changed.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries_mut().iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }

    /// The items of a list; nothing for any other value.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.value {
            NodeValue::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar that is not null.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(scalar) if !self.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// The text of a scalar as messages quote it, and `***` for one that must not be shown.
    pub(crate) fn quoted(&self) -> String {
        match &self.value {
            NodeValue::Scalar(scalar) if scalar.secret => "***".to_owned(),
            NodeValue::Scalar(scalar) => quote(&scalar.text),
            _ => String::new(),
        }
    }

    /// Whether the value was left out or is a plain `null` or `~`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match &self.value {
            NodeValue::Scalar(scalar) => scalar.plain && scalar::classify(&scalar.text) == Plain::Null,
            _ => false,
        }
    }

    /// The texts of all secrets inside of this value.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.collect_secrets(&mut found);
        found
    }

    fn collect_secrets<'a>(&'a self, found: &mut Vec<&'a str>) {
        match &self.value {
            NodeValue::Scalar(scalar) if scalar.secret => found.push(&scalar.text),
            NodeValue::Scalar(_) => {}
            NodeValue::Sequence(items) => {
                items.iter().for_each(|item| item.collect_secrets(found));
            }
            NodeValue::Mapping(entries) => {
                for entry in entries {
                    entry.value.collect_secrets(found);
                }
            }
        }
    }

    /// Marks the scalar, or the scalars of the list, as not to be shown. Mappings are left alone: their keys
    /// speak for themselves.
    pub(super) fn mark_secret(&mut self) {
        match &mut self.value {
            NodeValue::Scalar(scalar) => scalar.secret = true,
            NodeValue::Sequence(items) => items.iter_mut().for_each(Node::mark_secret),
            NodeValue::Mapping(_) => {}
        }
    }
}
