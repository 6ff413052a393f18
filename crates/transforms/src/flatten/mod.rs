//! `flatten`: every nested object, array and JSON text of a record as flat fields.
//!
//! # What it does
//! A record of Microsoft's nests what one searches for: in arrays of name/value pairs, in objects, in strings that
//! hold JSON again. This transform gives each of these values a field whose name is the path to it.
//!
//! | in the record | fields |
//! |---|---|
//! | `"Item":{"ParentFolder":{"Path":"\\Inbox"}}` | `Item.ParentFolder.Path` |
//! | `"Parameters":[{"Name":"ForwardTo","Value":"eve"}]` | `Parameters.ForwardTo` = `eve` |
//! | `"ModifiedProperties":[{"Name":"Role.DisplayName","NewValue":"Admin","OldValue":""}]` | `ModifiedProperties[Role.DisplayName].NewValue`, `….OldValue` |
//! | `"additionalDetails":[{"key":"User-Agent","value":"curl"}]` | `additionalDetails.User-Agent` |
//! | `"Actor":[{"ID":"ada","Type":5},{"ID":"1003","Type":3}]` | `Actor.ID` = `ada`, `1003`; `Actor.Type` = `5`, `3` |
//! | `"Folders":[{"Path":"\\Inbox","FolderItems":[{"InternetMessageId":"<a>"}]}]` | `Folders.Path`, `Folders.FolderItems.InternetMessageId` |
//! | `"Data":"{\"f3u\":\"ada\"}"` | `Data.f3u` |
//! | `"Parameters":"-Identity \"x\" -PurgeType \"HardDelete\" -Force"` | `Parameters.Identity`, `Parameters.PurgeType` = `HardDelete`, `Parameters.Force` = the empty string |
//!
//! * An element of an array is a name/value pair if it has one member `Name`, `Key` or `DisplayName` (or `name`,
//!   `key`, `displayName`) that is a string, and `Value`, `NewValue` or `OldValue` in the same case. `Value` stands
//!   at the name itself, everything else in the element beneath it. All other elements share the array's path.
//! * A name that occurs twice keeps both values, in their order. A field that stood in an array prints as an array
//!   even with one value, so that readers see one shape.
//! * Names keep Microsoft's spelling. One that holds dots or brackets, or is empty, prints in brackets; see
//!   [`downspout_core::field`].
//! * A string whose text is a JSON object or array is opened; strings within it too. The string itself can still be
//!   looked up by its name (`Data`), and is left out where the flattened form is printed.
//! * The command line of a Security & Compliance cmdlet (`Parameters` as one string) is taken apart. Values are what
//!   stands between the quotes, as it stands; a list (`"a","b"`) keeps its text; a switch has the empty string.
//! * Values are never changed: numbers as they were written, strings with every `=`, quote, blank and newline.
//! * The raw record stays with the event, and [`rebuild`] gives it back from the flat fields.
//!
//! Past `max_fields`, and past fixed limits for the length of paths (1 KiB), for nesting (128) and for the strings
//! opened in one event (1 MiB), what is nested stays as it is: one field that holds its JSON text. A record that has more
//! than `max_fields` members at its top keeps the first ones as fields, and the rest as one object of JSON text in the
//! field whose path is empty: the record's own. It prints as the name `""`, which no member has: a member without a name
//! prints as `[]`.
//!
//! # Example
//! ```yaml
//! transforms:
//!   flat: { type: flatten, inputs: [m365] }
//! ```
//!
//! # Metrics
//! Those of every transform. `downspout_component_errors_total{error_type="budget"}` counts the events of which
//! something stayed closed because a limit was reached.

mod bag;
mod cmdlet;
mod rebuild;
mod walk;

use std::sync::Arc;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::rewrite::Rewrite;
use downspout_core::stage::Outputs;
use downspout_core::{
    Batch, Build, Component, ConfigError, FieldId, FieldTable, Origin, Records, Rejected, Shapes, StageError, Transform,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use rebuild::rebuild;
use walk::{Limits, Walk};

/// Opens nested objects, arrays, name/value lists and JSON texts into flat fields.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlattenConfig {
    /// How many fields an event may have. What is nested and finds no room stays as one field of JSON text, and so do
    /// further members at the top, in the field `""`.
    pub max_fields: usize,
    /// Whether strings that hold a JSON object or array are opened too.
    pub open_json_strings: bool,
}

impl Default for FlattenConfig {
    fn default() -> Self {
        FlattenConfig { max_fields: 2_000, open_json_strings: true }
    }
}

impl Component for FlattenConfig {
    type Stage = Box<dyn Transform>;
    const TYPE: &'static str = "flatten";
    const EXAMPLE: &'static str = "max_fields: 2000\nopen_json_strings: true\n";

    fn plan(self) -> Result<Build<Box<dyn Transform>>, Vec<ConfigError>> {
        if self.max_fields == 0 {
            return Err(vec![ConfigError::at("max_fields", "must be at least 1").help("leave it out for 2000")]);
        }
        Ok(Box::new(move |context| Ok(Box::new(Flatten::new(&self, &context.fields, context.metrics)))))
    }
}

/// The running transform.
#[derive(Debug, Clone)]
pub struct Flatten {
    limits: Limits,
    shapes: Shapes,
    metrics: ComponentMetrics,
}

impl Flatten {
    /// A flatten for batches whose names stand in `fields`.
    pub fn new(config: &FlattenConfig, fields: &FieldTable, metrics: ComponentMetrics) -> Flatten {
        let parameters = fields.intern(FieldId::ROOT, "Parameters");
        let limits = Limits { max_fields: config.max_fields, open_strings: config.open_json_strings, parameters };
        let shapes = Shapes::new(config.open_json_strings.then_some(walk::MAX_OPENED_BYTES), parameters);
        Flatten { limits, shapes, metrics }
    }

    fn walk(limits: Limits, metrics: &ComponentMetrics, mut rewrite: Rewrite<'_>) {
        for event in 0..rewrite.len() {
            if Walk::event(&mut rewrite, event, limits) {
                metrics.error("budget");
            }
        }
        rewrite.finish();
    }
}

impl Transform for Flatten {
    fn apply(&mut self, batch: &mut Batch, _outputs: &mut Outputs) -> Result<(), StageError> {
        // No parse tree: a flatten before this one has opened everything.
        if let Some(rewrite) = batch.rewrite(None) {
            Self::walk(self.limits, &self.metrics, rewrite);
        }
        Ok(())
    }

    fn decode(
        &mut self,
        records: Records,
        origin: &Origin,
        fields: &Arc<FieldTable>,
    ) -> Result<(Batch, Vec<Rejected>), Records> {
        let (mut batch, rejected) = Batch::decode_known(records, origin.clone(), Arc::clone(fields), &mut self.shapes);
        if let Some(rewrite) = batch.rewrite(Some(&mut self.shapes)) {
            Self::walk(self.limits, &self.metrics, rewrite);
        }
        Ok((batch, rejected))
    }

    fn fork(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
