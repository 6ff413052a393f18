//! What users see for every kind of mistake, and what no text may do.

mod apart;
mod messages;
mod properties;
mod secrets;
mod values;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Diagnostics, Node, SourceMap, load_texts};

/// A config of the shape that the real ones have, four levels deep.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    threads: Option<u16>,
    data_dir: Option<String>,
    sinks: BTreeMap<String, Sink>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sink {
    path: String,
    #[serde(default)]
    max_rows: Option<u64>,
    #[serde(default)]
    ratio: f64,
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    writer: Writer,
    #[serde(default, alias = "hec_token")]
    token: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Once,
    Follow,
    Every(u32),
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Writer {
    options: WriterOptions,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WriterOptions {
    level: i8,
    bloom_filters: Vec<String>,
}

/// The environment of all tests.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "NUMBER" => "4",
        "WORD" => "abc-hunter2",
        "EMPTY" => "",
        "TRICKY" => "a: \"b\", {c} # d\n",
        "REFERENCE" => "${WORD}",
        _ => return None,
    };
    Some(value.to_owned())
}

fn load_one(text: &str) -> Result<(SourceMap, Node), Diagnostics> {
    load_texts(&[("pipeline.yaml", text)], &env)
}

/// Reads the text as a [`Config`].
fn read(text: &str) -> Result<Config, Diagnostics> {
    let (sources, root) = load_one(text)?;
    let mut problems = Diagnostics::new(&sources);
    let config = problems.collect(root.deserialize(""));
    problems.into_result(config.unwrap_or_default())
}

/// What is printed for a text that is not a [`Config`].
fn report(text: &str) -> String {
    match read(text) {
        Ok(config) => format!("no error: {config:?}"),
        Err(problems) => problems.to_string(),
    }
}

/// What is printed for files that cannot be merged.
fn report_files(texts: &[(&str, &str)]) -> String {
    match load_texts(texts, &env) {
        Ok((_, root)) => format!("no error: {root:?}"),
        Err(problems) => problems.to_string(),
    }
}
