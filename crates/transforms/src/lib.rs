//! The transforms: what changes events between sources and sinks. One folder each; they do not know each other.

mod clock;
pub mod dedupe;
pub mod expression;
pub mod filter;
pub mod flatten;
pub mod geoip;
pub mod route;
mod slots;
#[cfg(test)]
mod testing;
