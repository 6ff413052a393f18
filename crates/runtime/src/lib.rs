//! Runs pipelines: reads configs, wires components, schedules, keeps checkpoints, stops in good order.
//!
//! A pipeline is a value. A program can build, run and drop one, twice in one process:
//! `Plan::load` (pure checks) -> `Pipeline::open` (files, ports) -> `Pipeline::run`.

mod admin;
mod backoff;
mod committer;
pub mod components;
pub mod config;
mod dead_letter;
mod graph;
mod pipeline;
mod plan;
mod queue;
pub mod schema;
mod sink_driver;
mod source_driver;
mod worker;

pub use graph::{Consumer, Consumers, Graph};
pub use pipeline::{ComponentReport, Pipeline, Report};
pub use plan::{AdminSettings, Plan, Planned, Settings};
