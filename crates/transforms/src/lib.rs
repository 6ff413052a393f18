//! The transforms: what changes events between sources and sinks. One folder each; they do not know each other.

pub mod flatten;
