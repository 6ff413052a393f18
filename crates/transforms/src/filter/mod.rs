//! `filter`: lets through the events for which a condition holds.
//!
//! # What it does
//! Events for which the condition does not hold end here, on purpose; their acknowledgement counts as delivered. The
//! condition's language is the one of [`crate::expression`]. Put `flatten` before it: without, only the members at
//! the top of a record have names.
//!
//! What a transform before it added (`geo.ClientIP.country_iso_code`) hides what the record itself has of the same name,
//! so a record cannot pose as what was found out about it. Where nothing was added, the record's own field counts.
//!
//! # Example
//! ```yaml
//! transforms:
//!   interesting:
//!     type: filter
//!     inputs: [flat]
//!     condition: Workload == "Exchange" and not (Operation in ["MailItemsAccessed", "Send"])
//! ```
//!
//! # Metrics it emits
//! `downspout_component_discarded_events_total`: the events for which the condition did not hold.

use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::Outputs;
use downspout_core::{Batch, Build, Component, ConfigError, StageError, Transform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::expression::{Conditions, Expression, ParseError};

/// Lets through the events for which a condition holds.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// What an event must be to pass, such as `Workload == "Exchange" and exists(Parameters.ForwardTo)`. Operators:
    /// `==`, `!=`, `<`, `<=`, `>`, `>=`, `contains`, `startswith`, `endswith`, `matches` (`*` and `?`), `in [...]`,
    /// `exists(Field)`, `cidr(Field, "10.0.0.0/8")`, `and`, `or`, `not`. Texts compare without regard to case.
    pub condition: String,
}

impl Component for FilterConfig {
    type Stage = Box<dyn Transform>;

    const TYPE: &'static str = "filter";
    const EXAMPLE: &'static str = "condition: Operation == \"New-InboxRule\" and exists(Parameters.ForwardTo)\n";

    fn plan(self) -> Result<Build<Box<dyn Transform>>, Vec<ConfigError>> {
        let condition: Expression = self.condition.parse().map_err(|error| vec![config_error("condition", error)])?;
        Ok(Box::new(move |context| {
            let conditions = Conditions::new(&[condition], &context.fields)?;
            Ok(Box::new(Filter { conditions, metrics: context.metrics }))
        }))
    }
}

/// A mistake in the condition that stands at `key`.
pub(crate) fn config_error(key: &str, error: ParseError) -> ConfigError {
    let found = ConfigError::at(key, error.summary());
    match error.help {
        Some(help) => found.help(help),
        None => found,
    }
}

#[derive(Debug, Clone)]
struct Filter {
    conditions: Conditions,
    metrics: ComponentMetrics,
}

impl Transform for Filter {
    fn apply(&mut self, batch: &mut Batch, _outputs: &mut Outputs) -> Result<(), StageError> {
        let before = batch.len();
        batch.retain(|event| {
            self.conditions.read(event);
            self.conditions.holds(0)
        });
        self.metrics.discarded_events.inc_by((before - batch.len()) as u64);
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
    fn what_does_not_hold_is_dropped_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let context = testing::context(dir.path(), "filter");
        let batch = testing::batch(
            &context.fields,
            &[
                r#"{"Operation":"Send","n":1}"#,
                r#"{"Operation":"send","n":2}"#,
                r#"{"Operation":"Create"}"#,
                r#"{"n":4}"#,
            ],
        );
        let config = json!({ "condition": "Operation == 'SEND' or n == 4" });
        let build = || testing::build::<FilterConfig>(config.clone(), context.clone()).unwrap();
        let given = testing::run_batchings(build, &batch);
        assert_eq!(given, [[r#"{"Operation":"Send","n":1}"#, r#"{"Operation":"send","n":2}"#, r#"{"n":4}"#]]);
        let runs = testing::batchings(&batch).len() as u64;
        assert_eq!(context.metrics.discarded_events.get(), runs);
    }

    #[test]
    fn a_record_does_not_speak_for_a_transform() {
        let dir = tempfile::tempdir().unwrap();
        let context = testing::context(dir.path(), "filter");
        let mut batch = testing::batch(&context.fields, &[r#"{"country":"ZZ","n":1}"#, r#"{"country":"ZZ","n":2}"#]);
        let field = context.fields.intern(downspout_core::FieldId::ROOT, "country").unwrap();
        batch.add(0, field, downspout_core::Value::String("XC"));
        for (condition, passes) in [("country == 'ZZ'", [2].as_slice()), ("country == 'XC'", &[1]), ("n < 3", &[1, 2])]
        {
            let mut filter =
                testing::build::<FilterConfig>(json!({ "condition": condition }), context.clone()).unwrap();
            let mut batch = batch.clone();
            filter.apply(&mut batch, &mut Outputs::default()).unwrap();
            let passed: Vec<_> = batch.events().map(|event| event.position() + 1).collect();
            assert_eq!(passed, passes, "{condition}");
        }
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        let config = FilterConfig { condition: "Operation contain \"x\"".to_owned() };
        let errors = config.plan().err().unwrap();
        assert!(errors[0].message.starts_with("column 11: expected an operator (==, "), "{}", errors[0].message);
        assert!(errors[0].message.ends_with("found `contain`"), "{}", errors[0].message);
        assert_eq!(errors[0].help.as_deref(), Some("did you mean `contains`?"));
        assert_eq!(errors[0].key, "condition");
    }

    #[test]
    fn the_example_is_a_config() {
        let dir = tempfile::tempdir().unwrap();
        let condition = FilterConfig::EXAMPLE.strip_prefix("condition: ").unwrap().trim();
        testing::build::<FilterConfig>(json!({ "condition": condition }), testing::context(dir.path(), "filter"))
            .unwrap();
    }
}
