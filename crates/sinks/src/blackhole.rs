//! The sink that throws away: to measure everything before it, and to try a config out.
//!
//! # What it does
//! Takes every event and forgets it.
//!
//! # Example
//! ```yaml
//! sinks:
//!   nowhere: { type: blackhole, inputs: [flat] }
//! ```
//!
//! # Metrics
//! Those of every sink; `downspout_component_received_events_total` counts what it threw away.

use std::sync::Arc;

use async_trait::async_trait;
use downspout_core::stage::Delivery;
use downspout_core::{Batch, Build, Component, ConfigError, Sink, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

/// Throws events away. It has no keys.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlackholeConfig {}

impl Component for BlackholeConfig {
    type Stage = Box<dyn Sink>;
    const TYPE: &'static str = "blackhole";
    const EXAMPLE: &'static str = "{}";

    fn plan(self) -> Result<Build<Box<dyn Sink>>, Vec<ConfigError>> {
        Ok(Box::new(|_| Ok(Box::new(Blackhole))))
    }
}

#[derive(Debug)]
struct Blackhole;

#[async_trait]
impl Sink for Blackhole {
    async fn deliver(&mut self, _batch: &Arc<Batch>) -> Result<Delivery, StageError> {
        Ok(Delivery::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{self, Subject, Workbench};

    impl Subject for Workbench {
        fn open(&self) -> Box<dyn Sink> {
            Workbench::open(self, BlackholeConfig::default())
        }
        fn arrived(&self) -> Option<Vec<String>> {
            None
        }
    }

    #[tokio::test]
    async fn passes_the_suite() {
        suite::passes(Workbench::new).await;
    }
}
