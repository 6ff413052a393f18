//! `route`: sends events to the outputs whose conditions hold.
//!
//! # What it does
//! Each route has a name and a condition in the language of [`crate::expression`]. An event goes to every route whose
//! condition holds, so it may go to several; one for which none holds goes to the output `unmatched`. Other
//! components take an output as `id.route`. An output that nobody takes ends there.
//!
//! # Example
//! ```yaml
//! transforms:
//!   by_kind:
//!     type: route
//!     inputs: [flat]
//!     routes:
//!       mail: Workload == "Exchange"
//!       logons: Operation in ["UserLoggedIn", "UserLoginFailed"]
//! sinks:
//!   archive: { type: parquet, inputs: [by_kind.mail, by_kind.unmatched], path: ./lake }
//! ```
//!
//! # Metrics it emits
//! None of its own.

use std::collections::BTreeMap;

use downspout_core::stage::Outputs;
use downspout_core::{Batch, Build, Component, ConfigError, StageError, Transform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::expression::{Conditions, Expression};
use crate::filter::config_error;

/// The output for events that no route takes.
const UNMATCHED: &str = "unmatched";

/// Sends events to the outputs whose conditions hold.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The routes: name and condition, such as `mail: Workload == "Exchange"`. Each is an output, `id.name`; an event
    /// goes to every route whose condition holds, or else to `id.unmatched`. Names are letters, digits, `_` and `-`.
    pub routes: BTreeMap<String, String>,
}

impl RouteConfig {
    fn output_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.routes.keys().cloned().chain([UNMATCHED.to_owned()]).collect();
        names.sort_unstable();
        names
    }
}

impl Component for RouteConfig {
    type Stage = Box<dyn Transform>;

    const TYPE: &'static str = "route";
    const EXAMPLE: &'static str =
        "routes:\n  mail: Workload == \"Exchange\"\n  logons: Operation startswith \"UserLog\"\n";

    fn plan(self) -> Result<Build<Box<dyn Transform>>, Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        if self.routes.is_empty() {
            mistakes.push(ConfigError::at("routes", "expected at least one route"));
        }
        let names = self.output_names();
        let mut routes: Vec<(usize, Expression)> = Vec::new();
        for (name, condition) in &self.routes {
            let key = format!("routes.{name}");
            if name == UNMATCHED {
                mistakes.push(
                    ConfigError::at(&key, "`unmatched` is the output for events that no route takes")
                        .help("choose another name"),
                );
            } else if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
                mistakes.push(ConfigError::at(&key, "a route's name consists of letters, digits, `_` and `-`"));
            }
            match condition.parse() {
                Ok(expression) => routes.push((names.binary_search(name).unwrap_or_default(), expression)),
                Err(error) => mistakes.push(config_error(&key, error)),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let unmatched = names.iter().position(|name| name == UNMATCHED).unwrap_or_default();
        Ok(Box::new(move |context| {
            let (outputs, expressions): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
            let conditions = Conditions::new(&expressions, &context.fields)?;
            Ok(Box::new(Route { conditions, outputs, unmatched, chosen: vec![Vec::new(); names.len()] }))
        }))
    }

    fn outputs(&self) -> Vec<String> {
        self.output_names()
    }

    fn has_main_output(&self) -> bool {
        false
    }
}

#[derive(Debug, Clone)]
struct Route {
    conditions: Conditions,
    /// The output of each condition.
    outputs: Vec<usize>,
    unmatched: usize,
    /// For each output the events of a batch that go there; kept for its memory.
    chosen: Vec<Vec<usize>>,
}

impl Transform for Route {
    fn apply(&mut self, batch: &mut Batch, outputs: &mut Outputs) -> Result<(), StageError> {
        self.chosen.iter_mut().for_each(Vec::clear);
        for event in batch.events() {
            self.conditions.read(event);
            let mut matched = false;
            for (condition, &output) in self.outputs.iter().enumerate() {
                if self.conditions.holds(condition) {
                    self.chosen[output].push(event.index());
                    matched = true;
                }
            }
            if !matched {
                self.chosen[self.unmatched].push(event.index());
            }
        }
        for (output, chosen) in self.chosen.iter().enumerate() {
            if chosen.len() == batch.len() {
                outputs.push(output, batch.clone());
            } else if !chosen.is_empty() {
                outputs.push(output, batch.select(chosen));
            }
        }
        batch.retain(|_| false);
        Ok(())
    }

    fn fork(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[test]
    fn an_event_goes_to_every_route_that_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let context = testing::context(dir.path(), "route");
        let lines = [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, r#"{"b":1}"#];
        let batch = testing::batch(&context.fields, &lines);
        let config = json!({ "routes": { "small": "a < 3", "zeta": "a > 1" } });
        let names = serde_json::from_value::<RouteConfig>(config.clone()).unwrap().outputs();
        assert_eq!(names, ["small", "unmatched", "zeta"]);
        let build = || testing::build::<RouteConfig>(config.clone(), context.clone()).unwrap();
        let given = testing::run_batchings(build, &batch);
        assert_eq!(given, [vec![], lines[..2].to_vec(), lines[3..].to_vec(), lines[1..3].to_vec()]);
    }

    #[test]
    fn a_route_may_take_all() {
        let dir = tempfile::tempdir().unwrap();
        let context = testing::context(dir.path(), "route");
        let lines = [r#"{"a":1}"#, r#"{"a":2}"#];
        let batch = testing::batch(&context.fields, &lines);
        let config = json!({ "routes": { "all": "exists(a)", "none": "not exists(a)" } });
        let build = || testing::build::<RouteConfig>(config.clone(), context.clone()).unwrap();
        assert_eq!(testing::run_batchings(build, &batch), [vec![], lines.to_vec()]);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let routes = [("unmatched", "a == 1"), ("a.b", "a == 1"), ("bad", "a =")];
        let routes = routes.map(|(name, condition)| (name.to_owned(), condition.to_owned())).into();
        let errors = RouteConfig { routes }.plan().err().unwrap();
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["routes.a.b", "routes.bad", "routes.unmatched"]);
        assert!(RouteConfig { routes: BTreeMap::new() }.plan().is_err());
    }
}
