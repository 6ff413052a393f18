//! Every component there is: the one line that a new one adds outside its own folder.
//!
//! The lists are sorted by name. A config's `type` key is looked up here by hand, and the rest of the component is
//! then read into its plain struct: serde's tagged enums would lose the positions that errors need.

use downspout_core::{Build, Component, ConfigError, Sink, Source, Transform};
use schemars::{Schema, SchemaGenerator};

use crate::config::{Diagnostic, Node, help_for_unknown};

/// The sources.
pub static SOURCES: &[ComponentType<Box<dyn Source>>] = &[];

/// The transforms.
pub static TRANSFORMS: &[ComponentType<Box<dyn Transform>>] =
    &[];

/// The sinks.
pub static SINKS: &[ComponentType<Box<dyn Sink>>] =
    &[];

/// The keys of a component that the pipeline itself reads.
pub(crate) const TAKEN: [&str; 2] = ["type", "inputs"];

/// A type of component: what its config struct says about itself.
#[derive(Debug)]
pub struct ComponentType<Stage: 'static> {
    /// The name that the `type` key uses.
    pub name: &'static str,
    /// A working example of its keys, as YAML.
    pub example: &'static str,
    /// The JSON Schema of its keys.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) plan: PlanComponent<Stage>,
}

type PlanComponent<Stage> = fn(&Node, &str) -> Result<PlannedComponent<Stage>, Vec<Diagnostic>>;

/// A component whose config was found good.
pub(crate) struct PlannedComponent<Stage> {
    pub(crate) build: Build<Stage>,
    pub(crate) outputs: Vec<String>,
    pub(crate) has_main_output: bool,
}

const fn of<C: Component>() -> ComponentType<C::Stage> {
    ComponentType {
        name: C::TYPE,
        example: C::EXAMPLE,
        schema: |generator| generator.subschema_for::<C>(),
        plan: plan::<C>,
    }
}

fn plan<C: Component>(node: &Node, path: &str) -> Result<PlannedComponent<C::Stage>, Vec<Diagnostic>> {
    let config: C = node.deserialize_without(path, &TAKEN).map_err(|problem| vec![problem])?;
    let outputs = config.outputs();
    let has_main_output = config.has_main_output();
    let build = config.plan().map_err(|errors| errors.into_iter().map(|error| locate(node, path, error)).collect::<Vec<_>>())?;
    Ok(PlannedComponent { build, outputs, has_main_output })
}

/// Gives a component's own complaint its place.
fn locate(node: &Node, path: &str, error: ConfigError) -> Diagnostic {
    let mut at = node;
    for segment in error.key.split('.').filter(|segment| !segment.is_empty()) {
        let item = segment.parse().ok().and_then(|index: usize| at.items().get(index));
        match at.get(segment).or(item) {
            Some(found) => at = found,
            None => break,
        }
    }
    let place = if error.key.is_empty() { path.to_owned() } else { format!("{path}.{}", error.key) };
    Diagnostic::new(format!("{} in {place}", error.message)).at(at.span).help(error.help)
}

/// Finds the type that a component names.
pub(crate) fn find<'l, Stage>(
    list: &'l [ComponentType<Stage>],
    kind: &str,
    node: &Node,
    path: &str,
) -> Result<&'l ComponentType<Stage>, Diagnostic> {
    let name = node.required_str(path, "type")?;
    list.iter().find(|entry| entry.name == name.value).ok_or_else(|| {
        let names: Vec<&str> = list.iter().map(|entry| entry.name).collect();
        Diagnostic::new(format!("unknown type of {kind} `{}` in {path}", name.value.escape_debug()))
            .at(name.span)
            .help(help_for_unknown(name.value, "types", &names))
    })
}
