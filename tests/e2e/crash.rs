//! The process is killed, again and again, while it copies files into the lake. In the end every record is there
//! exactly once.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Random, Scratch, lake_ids, record, records, stderr};

const CONFIG: &str = "
data_dir: ./data
threads: 2
checkpoint_interval: 5ms
sources:
  files: { type: file, include: ['in/*'] }
transforms:
  flat: { type: flatten, inputs: [files] }
  unique: { type: dedupe, inputs: [flat] }
sinks:
  lake: { type: parquet, inputs: [unique], path: ./lake, roll: { max_rows: 700 } }
";

const FILES: usize = 4;
const PER_FILE: usize = 3_000;

/// Files with distinct records, and in each some records of the file before it, once more.
fn fill(scratch: &Scratch) -> Vec<String> {
    for file in 0..FILES {
        let first = file * PER_FILE;
        let mut text = records(first..first + PER_FILE);
        text += &records((first.saturating_sub(500)..first).step_by(3));
        scratch.write(&format!("in/{file}.ndjson"), text);
    }
    scratch.write("pipeline.yaml", CONFIG);
    let id = |number| {
        let record: serde_json::Value = serde_json::from_str(&record(number)).unwrap();
        record["Id"].as_str().unwrap().to_owned()
    };
    let mut ids: Vec<String> = (0..FILES * PER_FILE).map(id).collect();
    ids.sort();
    ids
}

/// Runs to the end, and compares what is in the lake.
fn finish(scratch: &Scratch, expected: &[String]) {
    let output = scratch.downspout(&["run", "pipeline.yaml"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let found = lake_ids(&scratch.path("lake"));
    let doubled: Vec<_> = found.windows(2).filter(|pair| pair[0] == pair[1]).take(3).collect();
    let missing: Vec<_> = expected.iter().filter(|id| found.binary_search(id).is_err()).take(3).collect();
    assert!(doubled.is_empty() && missing.is_empty(), "doubled: {doubled:?}, missing: {missing:?}");
    assert_eq!(found.len(), expected.len());
    let left_over = fs::read_dir(scratch.path("lake")).unwrap().map(|entry| entry.unwrap().path());
    let hidden: Vec<_> =
        left_over.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(['.', '_'])).collect();
    for folder in hidden {
        let files = if folder.is_dir() { fs::read_dir(&folder).unwrap().count() } else { 1 };
        assert_eq!(files, 0, "temporary files are left in {}", folder.display());
    }
}

#[test]
fn killed_at_every_fail_point() {
    const POINTS: [&str; 8] = [
        "before-store-commit",
        "after-store-commit",
        "during-prepare",
        "after-prepare",
        "before-rename",
        "after-rename",
        "after-publish",
        "before-checkpoint",
    ];
    let mut random = Random::seeded();
    let mut fired = BTreeSet::new();
    for round in 0..3 {
        let scratch = Scratch::new();
        let expected = fill(&scratch);
        for turn in 0..POINTS.len() {
            // Another order each round: what comes late in a round may find nothing left to do.
            let point = POINTS[(turn + 3 * round) % POINTS.len()];
            let count = 1 + random.below(3);
            let mut command = scratch.downspout(&["run", "pipeline.yaml"]);
            let output = command.env("DOWNSPOUT_FAILPOINT", format!("{point}:{count}")).output().unwrap();
            // A run may find too little left to pass the point often enough.
            let died = output.status.signal().is_some();
            assert!(died || output.status.success(), "round {round}, {point}: {}", stderr(&output));
            if died {
                fired.insert(point);
            }
        }
        finish(&scratch, &expected);
    }
    assert_eq!(fired, BTreeSet::from(POINTS), "a fail point never fired");
}

#[test]
fn killed_at_random_moments() {
    let mut random = Random::seeded();
    let mut kills = 0;
    let mut rounds = 0;
    // How long a run lasts depends on the machine and on what is left to do: this follows it.
    let mut longest = 400;
    while kills < 50 {
        rounds += 1;
        assert!(rounds < 60, "the process ends before it can be killed");
        let scratch = Scratch::new();
        let expected = fill(&scratch);
        for _ in 0..8 {
            let mut child = scratch.downspout(&["run", "pipeline.yaml"]).stderr(Stdio::null()).spawn().unwrap();
            // A random moment is the very thing under test, so this one wait is by the clock.
            std::thread::sleep(Duration::from_millis(5 + random.below(longest)));
            let running = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            kills += usize::from(running);
            longest = if running { (longest * 5 / 4 + 1).min(400) } else { (longest * 3 / 4).max(20) };
        }
        finish(&scratch, &expected);
    }
    eprintln!("{kills} kills in {rounds} rounds");
}
