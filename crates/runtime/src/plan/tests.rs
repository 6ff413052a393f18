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
