//! The sinks that belong to no product: the Parquet lake, files, the console, and nowhere.
//!
//! Each sink is a module of its own with its config, documentation, code and tests. They do not know each other, nor
//! the pipeline: they implement [`downspout_core::Sink`].

pub mod blackhole;
pub mod console;
pub mod file;
mod io;
pub mod lines;
pub mod parquet;

#[cfg(test)]
mod suite;
