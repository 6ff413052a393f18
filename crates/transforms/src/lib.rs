//! The transforms: what changes events between sources and sinks. One folder each; they do not know each other.

pub mod expression;
pub mod filter;
pub mod flatten;
pub mod route;
mod slots;
#[cfg(test)]
mod testing;
