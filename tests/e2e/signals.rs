//! Stopping in good order.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::support::{Scratch, lake_ids, records, stderr};

/// Sends a signal to a process of ours.
pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

const FOLLOW: &str = "
data_dir: ./data
sources:
  files: { type: file, include: ['in/*'], mode: follow, poll_interval: 10ms }
sinks:
  lake: { type: parquet, inputs: [files], path: ./lake }
  out: { type: console, inputs: [files], format: raw }
";

#[test]
fn a_signal_drains_and_the_next_run_goes_on_from_there() {
    for (round, name) in ["INT", "TERM"].into_iter().enumerate() {
        let scratch = Scratch::new();
        scratch.write("in/a.ndjson", records(0..100));
        scratch.write("pipeline.yaml", FOLLOW);
        let start = || {
            let mut child = scratch
                .downspout(&["run", "pipeline.yaml"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            (child, lines)
        };
        let (mut child, mut lines) = start();
        for _ in 0..100 {
            lines.next().unwrap().unwrap();
        }
        signal(&child, name);
        assert!(child.wait().unwrap().success(), "round {round}");
        assert_eq!(lake_ids(&scratch.path("lake")).len(), 100);

        let mut file = std::fs::OpenOptions::new().append(true).open(scratch.path("in/a.ndjson")).unwrap();
        file.write_all(records(100..150).as_bytes()).unwrap();
        let (mut child, mut lines) = start();
        assert!(lines.next().unwrap().unwrap().contains("000000000100"));
        for _ in 0..49 {
            lines.next().unwrap().unwrap();
        }
        signal(&child, name);
        assert!(child.wait().unwrap().success());
        let ids = lake_ids(&scratch.path("lake"));
        assert_eq!((ids.len(), ids.last().map(|id| id.ends_with("000000000149"))), (150, Some(true)));
    }
}

#[test]
fn a_second_process_on_the_same_data_dir_is_refused() {
    let scratch = Scratch::new();
    scratch.write("in/a.ndjson", records(0..1));
    scratch.write("pipeline.yaml", FOLLOW);
    let mut child =
        scratch.downspout(&["run", "pipeline.yaml"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let second = scratch.downspout(&["run", "pipeline.yaml"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another downspout process is using the data_dir"), "{}", stderr(&second));
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());
}
