//! The command line itself: help, schema, completions, exit codes.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::process::{Command, Output};

fn downspout(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_downspout")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn help_teaches() {
    let output = downspout(&["--help"]);
    assert!(output.status.success());
    for part in ["run", "validate", "schema", "completions", "Exit codes: 0 done, 1 failed, 2 wrong usage or config"] {
        assert!(stdout(&output).contains(part), "{part}");
    }
    assert!(stdout(&downspout(&["run", "--help"])).contains("Examples:"));
}

#[test]
fn no_argument_is_wrong_usage() {
    assert_eq!(downspout(&[]).status.code(), Some(2));
    assert_eq!(downspout(&["fly"]).status.code(), Some(2));
}

#[test]
fn the_schema_knows_every_component_and_refuses_unknown_keys() {
    let schema: serde_json::Value = serde_json::from_slice(&downspout(&["schema"]).stdout).unwrap();
    let sinks = schema["properties"]["sinks"]["additionalProperties"]["anyOf"].as_array().unwrap();
    let parquet = sinks.iter().find(|sink| sink["properties"]["type"]["const"] == "parquet").unwrap();
    assert_eq!(parquet["additionalProperties"], false);
    assert!(parquet["properties"]["path"]["description"].is_string());
    assert!(parquet["required"].as_array().unwrap().contains(&"inputs".into()));
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = downspout(&["completions", shell]);
        assert!(output.status.success() && stdout(&output).contains("downspout"), "{shell}");
    }
}
