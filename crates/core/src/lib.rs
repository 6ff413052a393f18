//! The ground that all of downspout stands on: events and batches, acknowledgements, the stage traits, the store,
//! metrics and errors.
//!
//! Nothing here knows a component, opens a socket or reads a config. Types here change rarely and on purpose;
//! component crates change daily.

pub mod access;
pub mod ack;
pub mod address;
pub mod batch;
pub mod component;
pub mod config_values;
pub mod decode;
pub mod error;
pub mod failpoint;
pub mod field;
pub mod framing;
mod interner;
pub mod json;
pub mod metrics;
mod names;
pub mod path;
pub mod print;
pub mod progress;
pub mod refused;
pub mod rewrite;
pub mod shape;
pub mod shared;
pub mod stage;
pub mod store;
pub mod value;

pub use ack::{Ack, Acks};
pub use address::parse_address;
pub use batch::{Batch, EventRef, Field, Origin};
pub use component::{Build, Claim, Component, ConfigError, Reads};
pub use decode::{Records, Rejected, Span};
pub use error::{ErrorKind, StageError};
pub use field::{FieldId, FieldTable};
pub use names::BatchNames;
pub use shape::Shapes;
pub use shared::Shared;
pub use stage::{Context, Sink, Source, Transform};
pub use store::Store;
pub use value::Value;
