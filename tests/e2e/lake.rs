//! What is in the lake, by a reader that is not ours, against an independent computation.

use std::path::Path;

use crate::support::{Scratch, corpus, duckdb, root, stderr, stdout};

/// Runs `tests/tools/check_lake.py` over a lake and the files that it was made from.
fn check(lake: &Path, files: &[&Path]) {
    let Some(mut python) = duckdb() else { return };
    let output = python
        .arg(root().join("tests/tools/check_lake.py"))
        .arg(lake)
        .args(files)
        .args(["--additions", "geo."])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    eprintln!("{}", stdout(&output).trim());
}

fn config(include: &Path) -> String {
    let database = root().join("pipelines/samples/documentation.mmdb");
    format!(
        "
data_dir: ./data
sources:
  files: {{ type: file, include: ['{}'] }}
transforms:
  flat: {{ type: flatten, inputs: [files] }}
  unique: {{ type: dedupe, inputs: [flat] }}
  geo: {{ type: geoip, inputs: [unique], database: '{}' }}
sinks:
  lake: {{ type: parquet, inputs: [geo], path: ./lake }}
",
        include.display(),
        database.display()
    )
}

#[test]
fn the_quickstart() {
    let scratch = Scratch::new();
    let samples = root().join("pipelines/samples");
    let text = std::fs::read_to_string(root().join("pipelines/quickstart.yaml")).unwrap();
    // The pipeline as it is shipped, with the samples where they are and the output in a folder of the test's own.
    let text = text.replace("pipelines/samples", samples.to_str().unwrap());
    let output = scratch.run_well(&text);
    assert!(stderr(&output).contains("records are in the dead-letter file"), "{}", stderr(&output));
    assert_eq!(scratch.dead_letters("quickstart/state").len(), 4);
    let mut files: Vec<_> = std::fs::read_dir(&samples).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.to_string_lossy().ends_with(".mmdb") && !file.to_string_lossy().ends_with(".md"));
    files.sort();
    check(&scratch.path("quickstart/lake"), &files.iter().map(|file| file.as_path()).collect::<Vec<_>>());

    // A second run has nothing to do.
    scratch.run_well(&text);
    check(&scratch.path("quickstart/lake"), &files.iter().map(|file| file.as_path()).collect::<Vec<_>>());
}

#[test]
fn the_real_records() {
    let Some(records) = corpus("ual-2021.ndjson.zst") else { return };
    let scratch = Scratch::new();
    scratch.run_well(&config(&records));
    check(&scratch.path("lake"), &[&records]);
}

#[test]
fn the_real_csv_export() {
    let Some(export) = corpus("purview-export-500.csv") else { return };
    let scratch = Scratch::new();
    scratch.run_well(&config(&export));
    check(&scratch.path("lake"), &[&export]);
}
