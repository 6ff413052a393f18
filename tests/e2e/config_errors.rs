//! Mistakes in configs, as a user sees them.

use crate::support::{Scratch, stderr};

/// What `validate` says about a config.
fn validate(config: &str) -> (Option<i32>, String) {
    let scratch = Scratch::new();
    scratch.write("p.yaml", config);
    let output = scratch.downspout(&["validate", "p.yaml"]).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn every_mistake_names_its_place_and_a_remedy() {
    let (code, log) = validate(
        "data_dir: ./data
sources:
  files: { type: file, includ: ['in/*'] }
transforms:
  flat: { type: flaten, inputs: [files] }
sinks:
  lake: { type: parquet, inputs: [flatt], path: ./lake }
",
    );
    assert_eq!(code, Some(2));
    for part in [
        "p.yaml:3:24",
        "did you mean `include`?",
        "p.yaml:5:17",
        "did you mean `flatten`?",
        "p.yaml:7:35",
        "did you mean `flat`?",
    ] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
}

#[test]
fn a_mistake_in_a_condition_is_told_in_one_line() {
    let (code, log) = validate(
        "data_dir: ./data
sources:
  files: { type: file, include: ['in/*'] }
transforms:
  keep: { type: filter, inputs: [files], condition: 'Operation = \"x\"' }
sinks:
  out: { type: console, inputs: [keep] }
",
    );
    assert_eq!(code, Some(2));
    for part in ["p.yaml:5:53", "column 11: expected an operator", "found `=`", "did you mean `==`?"] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
    assert!(!log.contains("\\n"), "{log}");
}

#[test]
fn dangling_inputs_cycles_and_losses() {
    let (code, log) = validate(
        "data_dir: ./data
sources:
  files: { type: file, include: ['in/*'] }
  unused: { type: file, include: ['in/*'] }
transforms:
  a: { type: flatten, inputs: [files, b] }
  b: { type: flatten, inputs: [a] }
sinks:
  lake: { type: parquet, inputs: [b], path: ./lake }
",
    );
    assert_eq!(code, Some(2));
    for part in ["nothing reads from `unused`", "p.yaml:4:3", "in a cycle: a -> b -> a"] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
}

#[test]
fn recovered_records_without_dedupe_are_warned_of() {
    let config = |transforms: &str, inputs: &str| {
        format!(
            "data_dir: ./data
sources:
  m365:
    type: office365_management
    tenant_id: 7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90
    auth: {{ client_id: app, client_secret: word }}
    recover: graph
transforms:
  flat: {{ type: flatten, inputs: [m365] }}
{transforms}sinks:
  lake: {{ type: parquet, inputs: [{inputs}], path: ./lake }}
"
        )
    };
    let unique = "  unique: { type: dedupe, inputs: [flat] }\n";
    let warning = "`recover` brings records that may have arrived before, and no `dedupe` stands between m365 and lake";
    for (transforms, inputs, warned) in
        [("", "flat", true), (unique, "unique", false), (unique, "unique, m365", true), (unique, "unique, flat", true)]
    {
        let (code, log) = validate(&config(transforms, inputs));
        assert_eq!((code, log.contains(warning)), (Some(0), warned), "{inputs}: {log}");
    }
    let short = "`recover` of m365 brings records that may have arrived weeks before, and unique forgets them after";
    for (horizon, forgets) in [("", Some("7d")), (", horizon: 20d", Some("20d")), (", horizon: 30d", None)] {
        let unique = format!("  unique: {{ type: dedupe, inputs: [flat]{horizon} }}\n");
        let (code, log) = validate(&config(&unique, "unique"));
        let told = forgets.map(|forgets| format!("{short} {forgets}: they will be in lake twice"));
        assert_eq!((code, log.contains(short)), (Some(0), told.is_some()), "{horizon}: {log}");
        let Some(told) = told else { continue };
        for part in [&told, "p.yaml:10:", "`horizon: 30d`"] {
            assert!(log.contains(part), "{part} is not in\n{log}");
        }
    }
    let (_, log) = validate(&config(
        "  unique: { type: dedupe, inputs: [flat] }\n  more: { type: dedupe, inputs: [unique], horizon: 40d }\n",
        "more",
    ));
    assert!(!log.contains("warning: "), "{log}");
}

#[test]
fn an_operation_that_is_nearly_a_known_one_is_warned_of() {
    let (code, log) = validate(
        "data_dir: ./data
sources:
  search:
    type: unified_audit_search
    tenant_id: 7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90
    auth: { client_id: app, client_secret: s }
    operations: [New-InboxRule, Set-InboxRlue, ANewOperation]
sinks:
  out: { type: blackhole, inputs: [search] }
",
    );
    assert_eq!(code, Some(0), "{log}");
    for part in ["warning: ", "p.yaml:7:33", "did you mean `Set-InboxRule`?", "ok: 1 source, 0 transforms, 1 sink"] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
    assert_eq!(log.matches("warning: ").count(), 1, "{log}");
}

#[test]
fn a_missing_config_and_a_missing_argument_are_wrong_usage() {
    let scratch = Scratch::new();
    let missing = scratch.downspout(&["run", "nowhere.yaml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("nowhere.yaml"));
    assert_eq!(scratch.downspout(&["run"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn machines_read_mistakes_as_they_read_the_log() {
    let scratch = Scratch::new();
    scratch.write(
        "p.yaml",
        "data_dir: ./data\nsources: { in: { type: stdin } }\nsinks: { out: { type: bloc, inputs: [in] } }\n",
    );
    let said = |arguments: &[&str]| {
        let output = scratch.downspout(&[&["--log-format", "json"], arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let lines: Vec<serde_json::Value> =
            stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().all(|line| line["level"] == "ERROR"));
        assert_eq!(lines.last().unwrap()["message"], "1 problem in the config");
        lines[0].clone()
    };
    for command in ["run", "validate", "check-access", "gaps"] {
        let missing = said(&[command, "nope.yaml"]);
        assert!(
            missing["message"].as_str().unwrap().starts_with("cannot read the config file nope.yaml: "),
            "{missing}"
        );
        assert_eq!(missing.get("file").or(missing.get("line")), None);
    }
    let wrong = said(&["validate", "p.yaml"]);
    let place = ["file", "line", "column"].map(|field| wrong[field].to_string());
    assert_eq!(place, ["\"p.yaml\"", "3", "23"]);
    assert_eq!(wrong["message"], "sinks.out.type: unknown type of sink `bloc`");
    assert!(wrong["help"].as_str().unwrap().starts_with("known types: "), "{wrong}");
}

#[test]
fn secrets_never_reach_messages() {
    let (code, log) = validate(
        "data_dir: ./data
threads: ${SECRET_VALUE:-hunter2}
sources:
  files: { type: file, include: ['in/*'] }
sinks:
  lake: { type: console, inputs: [files] }
",
    );
    assert_eq!(code, Some(2));
    assert!(!log.replace("${SECRET_VALUE:-hunter2}", "").contains("hunter2"), "{log}");
}

#[test]
fn the_pipeline_for_a_tenant_is_good_and_asks_for_what_it_needs_once() {
    let scratch = Scratch::new();
    let pipeline = crate::support::root().join("pipelines/microsoft365.yaml");
    let mut command = scratch.downspout(&["validate", pipeline.to_str().unwrap()]);
    for name in ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"] {
        command.env_remove(name);
    }
    let log = stderr(&command.output().unwrap());
    assert_eq!(log.matches("`AZURE_CLIENT_SECRET` is not set").count(), 1, "{log}");
    command.env("AZURE_TENANT_ID", "7d4f3c2a-5b61-4e0e-9a57-0c2f6a1b8d90");
    command.env("AZURE_CLIENT_ID", "11111111-2222-4333-8444-555555555555").env("AZURE_CLIENT_SECRET", "secret");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
