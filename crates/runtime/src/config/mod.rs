//! Config loading, the generic half: YAML text becomes a tree that keeps positions, and pieces of the tree
//! become plain serde structs, with errors that name the file, line and column.
//!
//! ```text
//! files -> parse -> interpolate -> merge -> Node -> deserialize::<T>()
//! ```
//!
//! Nothing here knows what a source or a sink is, except that components of several files are merged by id.
//! A config is trusted less than it seems: it may be generated, and it holds secrets. So everything that can
//! grow is bounded (file size, depth, nodes after aliases, interpolated text), nothing panics, and a value that
//! came through `${...}` or stands under a key such as `password` is never part of a message.

mod apart;
mod component;
mod de;
mod de_error;
mod diagnostic;
mod interpolate;
mod load;
mod mask;
mod merge;
mod parse;
mod render;
mod scalar;
mod source;
mod suggest;
mod text;
mod tree;

pub use apart::read_apart;
pub use diagnostic::{Diagnostic, Diagnostics, Told};
pub use load::{Env, load, load_texts};
pub use source::{SourceMap, Span};
pub use suggest::{help_for_unknown, suggest};
pub(crate) use text::quote;
pub use tree::{Entry, Node, NodeValue, Scalar, Spanned};

#[cfg(test)]
mod tests;
