//! The JSON Schema of a config, computed from the config structs, for editors.
//!
//! Components are told apart by `type`: each becomes one variant of `anyOf`, with `type` as a constant. Unknown keys
//! are refused, as the loader does.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::components::{ComponentType, SINKS, SOURCES, TRANSFORMS};
use crate::plan::Settings;

/// The schema of a whole config file.
pub fn config_schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let sources = section(SOURCES, false, "Where events come from, by id.", &mut generator);
    let transforms = section(TRANSFORMS, true, "What happens to them, by id.", &mut generator);
    let sinks = section(SINKS, true, "Where they go, by id.", &mut generator);
    let mut root: Schema = generator.root_schema_for::<Settings>();
    root.insert("title".into(), json!("downspout pipeline"));
    // A config may be spread over several files, so no key must be in each of them.
    root.remove("required");
    let properties = root.ensure_object().entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        for (name, section) in [("sources", sources), ("transforms", transforms), ("sinks", sinks)] {
            properties.insert(name.into(), section);
        }
    }
    // Interpolation makes any scalar a string in the file.
    root.to_value()
}

fn section<Stage>(
    list: &[ComponentType<Stage>],
    inputs: bool,
    description: &str,
    generator: &mut SchemaGenerator,
) -> Value {
    let variants: Vec<Value> = list
        .iter()
        .map(|component| {
            let schema = (component.schema)(generator);
            let mut schema = resolve(schema, generator);
            let mut properties = Map::new();
            properties.insert("type".into(), json!({ "const": component.name }));
            if inputs {
                let description = "Ids of the sources and transforms that it reads; `id.output` for a named output.";
                properties.insert("inputs".into(), json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "description": description }));
            }
            if let Some(own) = schema.get("properties").and_then(Value::as_object) {
                properties.extend(own.clone());
            }
            let mut required = vec![json!("type")];
            if inputs {
                required.push(json!("inputs"));
            }
            required.extend(schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
            schema.insert("properties".into(), Value::Object(properties));
            schema.insert("required".into(), Value::Array(required));
            schema.insert("additionalProperties".into(), json!(false));
            schema.insert("type".into(), json!("object"));
            Value::Object(schema)
        })
        .collect();
    json!({ "type": "object", "description": description, "additionalProperties": { "anyOf": variants } })
}

/// The struct's own schema in place of a reference to it.
fn resolve(schema: Schema, generator: &SchemaGenerator) -> Map<String, Value> {
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let found = reference.and_then(|name| generator.definitions().get(name)).cloned();
    let value = found.unwrap_or_else(|| json_schema_value(schema));
    value.as_object().cloned().unwrap_or_default()
}

fn json_schema_value(schema: Schema) -> Value {
    if schema.as_object().is_some() { schema.to_value() } else { json_schema!({}).to_value() }
}
