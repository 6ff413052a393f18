//! Every component there is: the one line that a new one adds outside its own folder.
//!
//! The lists are sorted by name. A config's `type` key is looked up here by hand, and the rest of the component is
//! then read into its plain struct: serde's tagged enums would lose the positions that errors need.

use std::time::Duration;

use downspout_core::access::Access;
use downspout_core::{Build, Claim, Component, ConfigError, Reads, Sink, Source, Transform};
use downspout_microsoft::{
    audit_search::UnifiedAuditSearchConfig, azure_activity::AzureActivityConfig,
    azure_devops_audit::AzureDevopsAuditConfig, entra_audits::EntraAuditsConfig, entra_signins::EntraSigninsConfig,
    entra_snapshot::EntraSnapshotConfig, mailbox_audit::MailboxAuditConfig, message_trace::MessageTraceConfig,
    office365_management::Office365ManagementConfig,
};
use downspout_sinks::{
    blackhole::BlackholeConfig, console::ConsoleConfig, file::FileSinkConfig, parquet::ParquetConfig,
    parquet::ndjson::NdjsonConfig,
};
use downspout_sources::{file::FileConfig, stdin::StdinConfig};
use downspout_transforms::{
    dedupe::DedupeConfig, filter::FilterConfig, flatten::FlattenConfig, geoip::GeoIpConfig, route::RouteConfig,
};
use schemars::{Schema, SchemaGenerator};

use crate::config::{Diagnostic, Node, help_for_unknown, quote};

/// The sources.
pub static SOURCES: &[ComponentType<Box<dyn Source>>] = &[
    of::<AzureActivityConfig>(),
    of::<AzureDevopsAuditConfig>(),
    of::<EntraAuditsConfig>(),
    of::<EntraSigninsConfig>(),
    of::<EntraSnapshotConfig>(),
    of::<FileConfig>(),
    of::<MailboxAuditConfig>(),
    of::<MessageTraceConfig>(),
    of::<Office365ManagementConfig>(),
    of::<StdinConfig>(),
    of::<UnifiedAuditSearchConfig>(),
];

/// The transforms.
pub static TRANSFORMS: &[ComponentType<Box<dyn Transform>>] =
    &[of::<DedupeConfig>(), of::<FilterConfig>(), of::<FlattenConfig>(), of::<GeoIpConfig>(), of::<RouteConfig>()];

/// The sinks.
pub static SINKS: &[ComponentType<Box<dyn Sink>>] = &[
    of::<BlackholeConfig>(),
    of::<ConsoleConfig>(),
    of::<FileSinkConfig>(),
    of::<NdjsonConfig>(),
    of::<ParquetConfig>(),
];

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
    pub(crate) access: Option<Box<dyn Access>>,
    pub(crate) repeats: Option<&'static str>,
    pub(crate) remembers: Option<Duration>,
    pub(crate) claim: Option<Claim>,
    pub(crate) reads: Option<Reads>,
    pub(crate) warnings: Vec<Diagnostic>,
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
    let access = config.access();
    let repeats = config.repeats();
    let remembers = config.remembers();
    let claim = config.claim();
    let reads = config.reads();
    let warnings = locate(node, path, &config.warnings());
    let build = config.plan().map_err(|errors| locate(node, path, &errors))?;
    Ok(PlannedComponent { build, outputs, has_main_output, access, repeats, remembers, claim, reads, warnings })
}

/// Gives a component's own complaints their places.
fn locate(node: &Node, path: &str, errors: &[ConfigError]) -> Vec<Diagnostic> {
    errors.iter().map(|error| node.problem(path, &error.key, &error.message, error.help.as_deref())).collect()
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
        let message = format!("unknown type of {kind} `{}`", quote(name.value));
        node.problem(path, "type", &message, help_for_unknown(name.value, "types", &names).as_deref())
    })
}

#[cfg(test)]
mod tests {
    //! What must hold for every component, checked over the list of all.

    use super::*;
    use crate::Plan;

    struct Entry {
        section: &'static str,
        name: &'static str,
        example: &'static str,
    }

    fn all() -> Vec<Entry> {
        fn entries<S>(section: &'static str, list: &'static [ComponentType<S>]) -> impl Iterator<Item = Entry> {
            list.iter().map(move |entry| Entry { section, name: entry.name, example: entry.example })
        }
        entries("sources", SOURCES).chain(entries("transforms", TRANSFORMS)).chain(entries("sinks", SINKS)).collect()
    }

    /// A whole config around a component's keys.
    fn config(entry: &Entry, keys: &str) -> String {
        let keys: String = keys.lines().filter(|line| *line != "{}").map(|line| format!("    {line}\n")).collect();
        let component = |inputs: &str| format!("  it:\n    type: {}\n{inputs}{keys}", entry.name);
        let source = "sources:\n  in: { type: stdin }\n";
        match entry.section {
            "sources" => {
                format!("data_dir: d\nsources:\n{}sinks:\n  out: {{ type: blackhole, inputs: [it] }}\n", component(""))
            }
            "sinks" => format!("data_dir: d\n{source}sinks:\n{}", component("    inputs: [in]\n")),
            _ => format!(
                "data_dir: d\n{source}transforms:\n{}sinks:\n  out: {{ type: blackhole, inputs: [{}] }}\n",
                component("    inputs: [in]\n"),
                if entry.name == "route" { "it.unmatched" } else { "it" }
            ),
        }
    }

    #[test]
    fn names_are_sorted_unique_and_plain() {
        fn check<S>(list: &[ComponentType<S>]) {
            let names: Vec<&str> = list.iter().map(|entry| entry.name).collect();
            assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
            assert!(
                names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')),
                "{names:?}"
            );
        }
        check(SOURCES);
        check(TRANSFORMS);
        check(SINKS);
    }

    #[test]
    fn every_example_is_a_good_config() {
        for entry in all() {
            let text = config(&entry, entry.example);
            if let Err(problems) = Plan::from_text("example.yaml", &text, &|_| None) {
                panic!("{}: {problems}\n{text}", entry.name);
            }
        }
    }

    #[test]
    fn every_component_refuses_unknown_keys() {
        for entry in all() {
            let text = config(&entry, &format!("{}\nno_such_key: 1", entry.example));
            let problems = Plan::from_text("example.yaml", &text, &|_| None).unwrap_err().to_string();
            assert!(problems.contains("unknown key `no_such_key`"), "{}: {problems}", entry.name);
        }
    }

    #[test]
    fn every_key_is_documented_in_the_schema() {
        let schema = crate::schema::config_schema();
        for section in ["sources", "transforms", "sinks"] {
            let variants = schema["properties"][section]["additionalProperties"]["anyOf"].as_array().unwrap();
            for variant in variants {
                for (key, property) in variant["properties"].as_object().unwrap() {
                    let documented = key == "type" || property.get("description").is_some();
                    assert!(documented, "{section}: {key} of {} has no description", variant["properties"]["type"]);
                }
            }
        }
    }

    #[test]
    fn every_definition_of_the_schema_has_a_name_of_its_own() {
        let schema = crate::schema::config_schema();
        let names: Vec<&String> = schema["$defs"].as_object().unwrap().keys().collect();
        let vague = |name: &str| name == "Config" || name.ends_with(|c: char| c.is_ascii_digit());
        assert!(!names.iter().any(|name| vague(name)), "{names:?}");
    }
}
