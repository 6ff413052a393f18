//! The sources of downspout that are not Microsoft's own: files and standard input.
//!
//! Both find records in bytes the same way, which is the business of [`downspout_core::framing`].

pub mod file;
mod limit;
pub mod stdin;
#[cfg(test)]
mod suite;

pub use file::FileConfig;
pub use stdin::StdinConfig;
