//! What is told of a whole config, beside each component's own mistakes.

use super::*;

/// The problems of a config, or its warnings.
fn told(config: &str) -> Result<String, String> {
    let planned = Plan::from_text("p.yaml", config, &|_| None);
    planned.map(|plan| plan.warnings.to_string()).map_err(|problems| problems.to_string())
}

fn assert_tells(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[test]
fn settings_are_checked() {
    let rest = "sources: { in: { type: stdin } }\nsinks: { out: { type: blackhole, inputs: [in] } }\n";
    for (settings, problem) in [
        ("data_dir: ''", "data_dir is empty"),
        ("data_dir: d\nthreads: 0", "threads must be at least 1"),
        ("data_dir: d\ncheckpoint_interval: 0s", "checkpoint_interval must be more than nothing"),
    ] {
        assert_tells(&told(&format!("{settings}\n{rest}")).unwrap_err(), &[problem, "p.yaml:"]);
    }
    assert_eq!(told(&format!("data_dir: d\n{rest}")).unwrap(), "");
}

#[test]
fn standard_input_has_one_reader() {
    let problems = told(
        "data_dir: d
sources: { a: { type: stdin }, b: { type: stdin, max_record_bytes: 1MiB } }
sinks: { out: { type: blackhole, inputs: [a, b] } }
",
    );
    let problems = problems.unwrap_err();
    assert_tells(
        &problems,
        &["p.yaml:2:43", "sources.b.type", "sources.a reads standard input already", "write `a` into"],
    );
}

#[test]
fn a_file_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let absolute = std::env::current_dir().unwrap().join("out/x");
    let config = |first: &str, second: &str| {
        format!(
            "data_dir: d
sources: {{ in: {{ type: stdin }} }}
sinks:
  a: {{ type: file, inputs: [in], path: '{first}' }}
  b: {{ type: file, inputs: [in], path: '{second}', format: flat }}
"
        )
    };
    for (first, second) in [
        ("out/x", "out/x"),
        ("./out/x", "out/../out/x"),
        ("out/x", absolute.to_str().unwrap()),
        ("not/../out/x", "out/x"),
    ] {
        let problems = told(&config(first, second)).unwrap_err();
        assert_tells(&problems, &["p.yaml:5:40", "sinks.b.path", "sinks.a writes to this file already", "to a"]);
    }
    assert_eq!(told(&config("out/x", "out/y")).unwrap(), "");
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let (way, other) = (link.join("x"), folder.path().join("x"));
        told(&config(way.to_str().unwrap(), other.to_str().unwrap())).unwrap_err();
    }
}

#[test]
fn a_source_that_reads_what_comes_of_its_records_is_warned_of() {
    for (include, path, inputs, warned) in [
        ("out/*.ndjson", "./out/x.ndjson", "follows", true),
        ("**/*", "out/x.ndjson", "flat", true),
        ("in/*.ndjson", "out/x.ndjson", "flat", false),
        // Another source's records: they come round once.
        ("out/*.ndjson", "out/x.ndjson", "in", false),
    ] {
        let warnings = told(&format!(
            "data_dir: d
sources:
  in: {{ type: stdin }}
  follows: {{ type: file, include: ['{include}'], mode: follow }}
transforms:
  flat: {{ type: flatten, inputs: [follows] }}
sinks:
  lines: {{ type: file, inputs: [{inputs}], path: {path} }}
  rest: {{ type: blackhole, inputs: [in, flat] }}
"
        ));
        let warnings = warnings.unwrap();
        assert_eq!(!warnings.is_empty(), warned, "{include} {path} {inputs}: {warnings}");
        if warned {
            assert_tells(
                &warnings,
                &["warning: ", "p.yaml:4:", "follows reads the file that lines writes to", "`exclude`"],
            );
        }
    }
}

/// What is said of a config, where `${SEC}` is a secret.
fn problems(config: &str) -> String {
    let env = |name: &str| (name == "SEC").then(|| "hunter2-hunter2".to_owned());
    Plan::from_text("p.yaml", config, &env).map_or_else(|problems| problems.to_string(), |_| "good".to_owned())
}

const SINK: &str = "data_dir: d\nsources: { m: { type: stdin } }\nsinks: { out: { type: blackhole, inputs: ";

#[test]
fn inputs_that_came_from_outside_are_not_shown() {
    for (inputs, more, told) in [
        ("[m, \"${SEC}\"] } }", "", "no component gives `***`, an input of sinks.out"),
        ("[m, \"${SEC}.x\"] } }", "", "no component gives `***`, an input of sinks.out"),
        ("[m, \"${SEC}\"] } }", "\nno_such_key: 1", "no component gives `***`, an input of sinks.out"),
        ("[m, \"${SEC}\", \"${SEC}\"], x: 1 } }", "", "no component gives `***`, an input of sinks.out"),
        ("[m, \"${M:-m}\"] } }", "", "`***` stands twice in sinks.out.inputs"),
    ] {
        let found = problems(&format!("{SINK}{inputs}{more}\n"));
        assert!(found.contains(told) && !found.contains("hunter2"), "{found}");
    }
    let tenants = "data_dir: d\nsources: { m: { type: entra_audits, tenants: \"${SEC}\" } }\n";
    let found = problems(tenants);
    assert!(found.contains("cannot read the config file ***: ") && !found.contains("hunter2"), "{found}");
}

#[test]
fn a_bad_id_is_shortened_and_no_input() {
    let long = "x".repeat(3000);
    let config = format!(
        "data_dir: d\nsources: {{ good: {{ type: stdin }}, {long}: {{}} }}\nsinks: {{ out: {{ type: blackhole, inputs: [other] }} }}\n"
    );
    let found = problems(&config);
    let messages: Vec<&str> =
        found.lines().filter(|line| line.contains("error: ") || line.contains("help: ")).collect();
    assert!(messages.iter().all(|line| line.len() < 200), "{found}");
    assert!(found.contains("xxx…` cannot be an id") && found.contains("help: known inputs: good\n"), "{found}");
}

#[test]
fn where_to_listen_is_said_by_example() {
    for listen in ["localhost:9598", ":9598"] {
        let found = problems(&format!("{SINK}[m] }} }}\nadmin: {{ listen: \"{listen}\" }}\n"));
        let told = format!("expected an IP address and a port, such as 127.0.0.1:9598, found the string {listen:?}");
        assert!(found.contains(&told), "{found}");
    }
}
