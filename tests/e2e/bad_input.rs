//! Bad input: a clear message, the record in the dead-letter file with its reason, the good ones delivered.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Scratch, lake_ids, record, records, stderr, stdout};

fn config(include: &str) -> String {
    format!(
        "
data_dir: ./data
sources:
  files: {{ type: file, include: ['{include}'] }}
transforms:
  flat: {{ type: flatten, inputs: [files] }}
sinks:
  out: {{ type: console, inputs: [flat], format: raw }}
"
    )
}

/// Three good records around `bad`.
fn around(bad: &[u8]) -> Vec<u8> {
    let mut text = records(0..2).into_bytes();
    text.extend_from_slice(bad);
    text.push(b'\n');
    text.extend_from_slice(records(2..3).as_bytes());
    text
}

#[test]
fn bad_records_are_set_aside_with_their_reason() {
    let deep = "{\"a\":".repeat(100_000);
    let nul = "{\"a\":\"x\0y\"}";
    for (bad, reason) in [
        (&b"{\"a\":1,}"[..], "not JSON: byte 7: expected a member's name in quotes, found `}`"),
        (b"{\"a\":\"\xff\xfe\"}", "not UTF-8: invalid byte at offset 6 of the record"),
        (b"{\"CreationTime\":\"2026-", "not JSON: the record ends early, at byte 22: inside a string"),
        (deep.as_bytes(), "not JSON: nested deeper than 128 levels, at byte 640"),
        (nul.as_bytes(), "not JSON: byte 7: expected no bare control character in a string, found byte 0x00"),
        (b"\"just a string\"", "a record must be a JSON object"),
    ] {
        let scratch = Scratch::new();
        scratch.write("in/a.ndjson", around(bad));
        let output = scratch.run_well(&config("in/*"));
        assert_eq!(stdout(&output), records(0..3), "{reason}");
        let letters = scratch.dead_letters("data");
        assert_eq!(letters.len(), 1, "{reason}");
        assert_eq!(letters[0]["reason"], reason);
        assert_eq!(letters[0]["component"], "files");
        assert!(letters[0]["position"].as_u64() > Some(0));
        if let Some(raw) = letters[0]["raw"].as_str() {
            assert_eq!(raw.as_bytes(), bad);
        }
        assert!(stderr(&output).contains("dead-letter"), "{}", stderr(&output));
    }
}

#[test]
fn a_line_of_200_mb_is_passed_over_in_bounded_memory() {
    let scratch = Scratch::new();
    scratch.write("in/.keep", "");
    let mut file = std::io::BufWriter::new(fs::File::create(scratch.path("in/a.ndjson")).unwrap());
    file.write_all(records(0..2).as_bytes()).unwrap();
    file.write_all(b"{\"a\":\"").unwrap();
    for _ in 0..200 {
        file.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    file.write_all(b"\"}\n").unwrap();
    file.write_all(records(2..3).as_bytes()).unwrap();
    drop(file);
    scratch.write("pipeline.yaml", config("in/*.ndjson"));
    // 400 MB of address space hold the program and its threads' stacks, not the line.
    let limited = format!("ulimit -v 1500000; exec {} run pipeline.yaml", crate::support::binary().display());
    let output =
        std::process::Command::new("sh").args(["-c", &limited]).current_dir(scratch.path("")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), records(0..3));
    let letters = scratch.dead_letters("data");
    assert_eq!(letters.len(), 1);
    let reason = letters[0]["reason"].as_str().unwrap();
    assert!(reason.contains("209715208") && reason.contains("max_record_bytes"), "{reason}");
}

#[test]
fn a_truncated_gzip_gives_what_it_holds_and_is_told() {
    let scratch = Scratch::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(records(0..500).as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    scratch.write("in/a.gz", &whole[..whole.len() / 2]);
    let output = scratch.run(&config("in/*"));
    let lines = stdout(&output).lines().count();
    assert!((1..500).contains(&lines), "{lines} records");
    // What came behind the break is neither delivered nor in the dead letters.
    assert_eq!(output.status.code(), Some(1));
    let log = stderr(&output);
    assert!(log.contains("a.gz: the compressed data is damaged") && log.contains("get the file again"), "{log}");
    let letters = scratch.dead_letters("data");
    assert!(
        letters.iter().any(|letter| letter["reason"].as_str().unwrap().contains("damaged or cut off")),
        "{letters:?}"
    );
}

#[test]
fn a_csv_without_the_column_names_the_columns_it_has() {
    let scratch = Scratch::new();
    scratch.write("in/a.csv", "Date,User\r\n2026-11-01,x\r\n");
    scratch.write("in/b.ndjson", records(0..1));
    let output = scratch.run(&config("in/*"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), records(0..1));
    let log = stderr(&output);
    assert!(log.contains("a.csv") && log.contains("AuditData") && log.contains("Date"), "{log}");
}

#[test]
fn an_unreadable_file_fails_the_run_and_spares_the_others() {
    let scratch = Scratch::new();
    scratch.write("in/a.ndjson", records(0..1));
    scratch.write("in/c.ndjson", records(1..2));
    // Root reads everything, so a link to itself stands in for missing permissions.
    let link = scratch.path("in/b.ndjson");
    std::os::unix::fs::symlink(&link, &link).unwrap();
    let output = scratch.run(&config("in/*"));
    let log = stderr(&output);
    assert_eq!(stdout(&output), records(0..2), "{log}");
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("b.ndjson"), "{log}");
}

#[test]
fn no_file_at_all_is_an_error_that_names_the_pattern() {
    let scratch = Scratch::new();
    let output = scratch.run(&config("nowhere/*.json"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nowhere/*.json"), "{}", stderr(&output));
}

#[test]
fn a_lake_that_cannot_be_written_is_told_with_its_path() {
    let scratch = Scratch::new();
    scratch.write("in/a.ndjson", records(0..1));
    scratch.write("lake", "a file, not a folder");
    let output = scratch.run(
        "
data_dir: ./data
sources: { files: { type: file, include: ['in/*'] } }
sinks: { lake: { type: parquet, inputs: [files], path: ./lake } }
",
    );
    let log = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("lake"), "{log}");
    assert_eq!(fs::read_to_string(scratch.path("lake")).unwrap(), "a file, not a folder");
}

#[test]
fn a_missing_or_broken_mmdb_is_told_before_anything_is_read() {
    for (name, content) in [("missing.mmdb", None), ("broken.mmdb", Some("no database"))] {
        let scratch = Scratch::new();
        scratch.write("in/a.ndjson", records(0..1));
        if let Some(content) = content {
            scratch.write(name, content);
        }
        let output = scratch.run(&format!(
            "
data_dir: ./data
sources: {{ files: {{ type: file, include: ['in/*'] }} }}
transforms: {{ geo: {{ type: geoip, inputs: [files], database: {name} }} }}
sinks: {{ out: {{ type: console, inputs: [geo] }} }}
"
        ));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_read_only_data_dir_is_told() {
    let scratch = Scratch::new();
    scratch.write("in/a.ndjson", records(0..1));
    scratch.write("data", "a file where the folder should be");
    let output = scratch.run(&config("in/*"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("data"), "{}", stderr(&output));
    let mode = fs::metadata(scratch.path("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
}

/// A small file system at a path, where the machine lets a test make one.
fn small_disk(scratch: &Scratch, name: &str, size: &str) -> Option<PathBuf> {
    scratch.write(&format!("{name}/.keep"), "");
    let mount = scratch.path(name);
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
        .arg(&mount)
        .stderr(std::process::Stdio::null())
        .status();
    if mounted.is_ok_and(|status| status.success()) {
        return Some(mount);
    }
    eprintln!("SKIPPED: this machine lets a test mount no file system");
    None
}

fn make_room(mount: &Path) {
    let grown = std::process::Command::new("mount").args(["-o", "remount,size=64m"]).arg(mount).status().unwrap();
    assert!(grown.success());
}

#[test]
fn a_full_disk_under_data_dir_ends_the_run_and_the_next_one_goes_on() {
    let scratch = Scratch::new();
    let Some(mount) = small_disk(&scratch, "data", "250k") else { return };
    let files = 3_000;
    for number in 0..files {
        scratch.write(&format!("in/{number:04}.ndjson"), record(number) + "\n");
    }
    let config = config("in/*").replace("data_dir", "checkpoint_interval: 1ms\ndata_dir");
    let full = scratch.run(&config);
    make_room(&mount);
    let next = scratch.run(&config);
    std::process::Command::new("umount").arg(&mount).status().unwrap();
    assert_eq!(full.status.code(), Some(1));
    let log = stderr(&full);
    assert!(log.contains("data/state.redb failed") && log.contains("make room on its disk"), "{log}");
    assert!(next.status.success(), "{}", stderr(&next));
    let delivered = stdout(&full) + &stdout(&next);
    let delivered: std::collections::BTreeSet<&str> = delivered.lines().collect();
    assert_eq!(delivered.len(), files);
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost_once_there_is_room() {
    let scratch = Scratch::new();
    let Some(mount) = small_disk(&scratch, "full", "100k") else { return };
    let numbers = 0..3_000;
    scratch.write("in/a.ndjson", records(numbers.clone()));
    scratch.write(
        "pipeline.yaml",
        "
data_dir: ./data
sources: { files: { type: file, include: ['in/*'] } }
sinks: { lake: { type: parquet, inputs: [files], path: ./full/lake, raw: true } }
",
    );
    let filler = mount.join("filler");
    fs::write(&filler, vec![b'x'; 90 << 10]).unwrap();
    let mut child = scratch.downspout(&["run", "pipeline.yaml"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut log = String::new();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let told = lines.find(|line| {
        let line = line.as_ref().unwrap();
        log += line;
        line.contains("trying again")
    });
    fs::remove_file(&filler).unwrap();
    make_room(&mount);
    lines.for_each(drop);
    let status = child.wait().unwrap();
    let ids = lake_ids(&mount.join("lake"));
    std::process::Command::new("umount").arg(&mount).status().unwrap();
    assert!(told.is_some_and(|line| line.unwrap().contains("full/lake")), "{log}");
    assert!(status.success());
    assert_eq!(ids.len(), numbers.len());
    assert!(record(0).contains(&ids[0]));
}
