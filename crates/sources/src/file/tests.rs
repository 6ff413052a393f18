//! Tests of the source `file` in mode `once`, of its config, and over real records where they are at hand.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use downspout_core::store::key;
use serde_json::Value;

use super::shard::KEPT;
use super::*;
use crate::suite::{Bench, Stop, resumes_behind_every_batch, sent, texts};

mod follow;

const SMALL: Limits = Limits { max_record_bytes: 2000, batch_records: 3, batch_bytes: 300, read_bytes: 50 };

fn source(bench: &Bench, include: &[&str]) -> Box<dyn Source> {
    let globs = Globs::new(include.iter().map(|&pattern| pattern.to_owned()).collect(), &["*.log".to_owned()]).unwrap();
    let (mode, poll_interval) = (FileMode::Once, Duration::from_secs(1));
    let context = bench.context.clone();
    Box::new(FileSource { globs, limits: SMALL, mode, from_end: false, poll_interval, context })
}

fn source_of(bench: &Bench, folder: &Path) -> Box<dyn Source> {
    // Patterns may overlap.
    source(bench, &[&format!("{}/**/*", folder.display()), &format!("{}/*", folder.display())])
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn lines(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// A folder with a file of each kind.
fn write_archive(folder: &Path) {
    fs::create_dir(folder.join("deep")).unwrap();
    let page = format!("{{\"value\":[{}]}}", lines(20, 30).trim_end().replace('\n', ","));
    let rows: String = (30..40).map(|n| format!("{n},\"{{\"\"n\"\":{n}}}\"\r\n")).collect();
    let utf16 =
        "\u{feff}".encode_utf16().chain(lines(50, 60).encode_utf16()).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    fs::write(folder.join("a.json"), lines(0, 10)).unwrap();
    fs::write(folder.join("b.json"), format!("[\n{}\n{{\"cut", lines(10, 20).trim_end().replace('\n', ",\n"))).unwrap();
    fs::write(folder.join("c"), gzip(&page)).unwrap();
    fs::write(folder.join("d.csv"), format!("Id,AuditData\r\n{rows}40\r\n")).unwrap();
    fs::write(folder.join("deep/e"), zstd::encode_all(lines(40, 50).as_bytes(), 1).unwrap()).unwrap();
    fs::write(folder.join("deep/f.json"), utf16).unwrap();
    fs::write(
        folder.join("deep/g.json"),
        format!("{}{{\"x\":\"{}\"}}\n{}", lines(60, 62), "x".repeat(5000), lines(62, 65)),
    )
    .unwrap();
    fs::write(folder.join("deep/empty"), "").unwrap();
    fs::write(folder.join("deep/text.log"), "not read").unwrap();
    symlink(folder.join("a.json"), folder.join("z-link-to-a")).unwrap();
    symlink(folder.join("nowhere"), folder.join("z-link-to-nothing")).unwrap();
}

#[test]
fn every_file_is_read_once_in_the_order_of_names() {
    let files = tempfile::tempdir().unwrap();
    write_archive(files.path());
    let bench = Bench::new();
    let run = bench.run(source_of(&bench, files.path()), Stop::AtEnd);
    run.result.unwrap();
    let found = texts(&run.batches);
    let numbers: Vec<u64> = found
        .iter()
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .map(|record| record["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..65).collect::<Vec<u64>>());
    let name = files.path().display().to_string();
    let rejected: Vec<String> = found
        .iter()
        .filter(|text| text.starts_with("rejected"))
        .map(|text| text.replace(&name, "").chars().take(100).collect())
        .collect();
    insta::assert_snapshot!(rejected.join("\n"), @r#"
    rejected: /b.json, byte 101: 5 bytes of broken JSON: the text ends before the record does: {"cut
    rejected: /b.json, byte 106: the text ends inside a JSON array: records may be missing: 
    rejected: /d.csv, byte 184: a row that ends with cell 1, where AuditData is column 2: 40
    rejected: /deep/g.json, byte 18: a record of 5008 bytes is longer than max_record_bytes, 2000: {"x":
    "#);
    let progress = &bench.context.progress;
    let whole = progress.read.load(Ordering::Relaxed);
    assert!(whole > 1000 && whole == progress.total.load(Ordering::Relaxed));
    let again = bench.run(source_of(&bench, files.path()), Stop::AtEnd);
    again.result.unwrap();
    assert!(again.batches.is_empty());
    // What was read before is not read now.
    let now = [&progress.read, &progress.skipped, &progress.total].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(now, [whole, whole, 2 * whole]);
}

#[test]
fn the_suite() {
    let files = tempfile::tempdir().unwrap();
    write_archive(files.path());
    resumes_behind_every_batch(|bench| source_of(bench, files.path()));
}

#[test]
fn following_ends_when_it_is_asked_to() {
    let files = tempfile::tempdir().unwrap();
    write_archive(files.path());
    for stop in [Stop::Asked(0), Stop::Asked(3), Stop::Killed(3)] {
        let bench = Bench::new();
        let config = serde_json::json!({"include": [format!("{}/**/*", files.path().display())], "mode": "follow"});
        let config: FileConfig = serde_json::from_value(config).unwrap();
        bench.run(config.plan().unwrap()(bench.context.clone()).unwrap(), stop).result.unwrap();
    }
}

#[test]
fn a_file_that_has_grown_is_read_on_by_the_next_run() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a.json");
    let bench = Bench::new();
    let run = |content: &[u8]| {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        file.write_all(content).unwrap();
        texts(&bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches)
    };
    assert_eq!(run(b""), Vec::<String>::new());
    assert_eq!(run(b"{\"n\":0}\n{\"n\":"), ["{\"n\":0}", "{\"n\":"]);
    assert_eq!(run(b""), Vec::<String>::new());
    assert_eq!(run(b"1}\n{\"n\":2}"), ["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(run(b"\n{\"n\":3}\n"), ["{\"n\":3}"]);
}

#[test]
fn a_file_that_was_truncated_or_replaced_is_another_shard() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a.json");
    let bench = Bench::new();
    let run = || sent(&bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches);
    fs::write(&path, lines(0, 3)).unwrap();
    let first = run();
    fs::write(&path, lines(0, 2)).unwrap();
    let second = run();
    fs::write(&path, lines(5, 9)).unwrap();
    let third = run();
    let other = files.path().join("b");
    fs::write(&other, lines(5, 9)).unwrap();
    fs::rename(&other, &path).unwrap();
    let fourth = run();
    assert_eq!([first.len(), second.len(), third.len(), fourth.len()], [3, 2, 4, 4]);
    let mut shards: Vec<&String> = [&first, &second, &third, &fourth].iter().map(|run| &run[0].0).collect();
    shards.dedup();
    assert_eq!(shards.len(), 4);
    assert_eq!(first[0].1, second[0].1);
}

#[test]
fn a_renamed_file_is_known_by_its_new_name() {
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("a.json"), lines(0, 3)).unwrap();
    let bench = Bench::new();
    assert_eq!(bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches.len(), 1);
    fs::rename(files.path().join("a.json"), files.path().join("b.json")).unwrap();
    assert_eq!(bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches.len(), 0);
}

#[test]
fn what_cannot_be_read_is_named_and_keeps_nothing_else_from_being_read() {
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name);
    fs::write(at("a.json"), lines(0, 3)).unwrap();
    fs::write(at("b.csv"), "RecordId,Operation\n1,2\n").unwrap();
    symlink(at("loop"), at("loop")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let bench = Bench::new();
    let run = bench.run(source_of(&bench, files.path()), Stop::AtEnd);
    assert_eq!(texts(&run.batches).len(), 3);
    let error = run.result.unwrap_err().to_string().replace(&files.path().display().to_string(), "");
    insta::assert_snapshot!(error, @r#"3 problems with files: /socket is no regular file; cannot read /loop: Too many levels of symbolic links (os error 40); /b.csv: neither JSON nor a CSV with a column AuditData; as a CSV, its first line names the columns `RecordId`, `Operation`; export it again with the column AuditData, or leave the file out"#);
}

#[test]
fn a_damaged_archive_gives_what_is_whole_and_a_reject() {
    let files = tempfile::tempdir().unwrap();
    let whole = gzip(&lines(0, 500));
    fs::write(files.path().join("a.gz"), &whole[..whole.len() - 200]).unwrap();
    let bench = Bench::new();
    let run = bench.run(source_of(&bench, files.path()), Stop::AtEnd);
    let told = run.result.unwrap_err().to_string();
    assert!(told.contains("/a.gz: ") && told.contains("within its first ") && told.ends_with("get the file again"));
    let found = texts(&run.batches);
    let (last, records) = found.split_last().unwrap();
    assert!(records.len() > 100 && records.concat() == lines(0, records.len()).replace('\n', ""));
    assert!(last.contains("/a.gz, byte ") && last.contains("the compressed data is damaged or cut off"), "{last}");
    assert!(bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches.is_empty());
    // The rest arrives in place.
    let mut file = fs::OpenOptions::new().append(true).open(files.path().join("a.gz")).unwrap();
    file.write_all(&whole[whole.len() - 200..]).unwrap();
    let rest = texts(&bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches);
    assert_eq!(rest.concat(), lines(records.len(), 500).replace('\n', ""));
}

#[test]
fn patterns_that_name_nothing_are_errors_that_help() {
    let files = tempfile::tempdir().unwrap();
    let name = files.path().display().to_string();
    fs::write(files.path().join("a.log"), "x").unwrap();
    symlink("nowhere", files.path().join("link.json")).unwrap();
    let bench = Bench::new();
    let error = |pattern: &str| {
        let error = bench.run(source(&bench, &[pattern]), Stop::AtEnd).result.unwrap_err().to_string();
        let folder = std::env::current_dir().unwrap().display().to_string();
        error.replace(&name, "DIR").replace(&folder, "CWD")
    };
    insta::assert_snapshot!(error(&format!("{name}/*.json")), @r#"no file matches `DIR/*.json` (working directory: CWD); check the path and the pattern"#);
    insta::assert_snapshot!(error(&name), @r#"`DIR` names a folder; to read the files in it, write a pattern such as `DIR/**/*.json`"#);
    insta::assert_snapshot!(error(&format!("{name}/*")), @r#"`DIR/*` names only files that `exclude` leaves out"#);
}

#[test]
fn configs_are_checked() {
    let errors = |config: Value| -> String {
        match serde_json::from_value::<FileConfig>(config).map(FileConfig::plan) {
            Ok(Ok(_)) => "good".to_owned(),
            Ok(Err(errors)) => errors.into_iter().map(|error| format!("{}: {}\n", error.key, error.message)).collect(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(errors(serde_json::json!({"include": ["a/**/*.json"], "mode": "follow", "read_from": "end"})), "good");
    let wrong = serde_json::json!({
        "include": ["[a", "b"], "exclude": ["x", "***"], "read_from": "end", "max_record_bytes": "1B", "poll_interval": "1ms"
    });
    insta::assert_snapshot!(errors(wrong), @r#"
    include.0: `[a` is no pattern: invalid range pattern, at character 1
    exclude.1: `***` is no pattern: wildcards are either regular `*` or recursive `**`, at character 3
    max_record_bytes: 1B is not from 1KiB to 256MiB
    read_from: `end` is for mode `follow`: in mode `once` nothing would be read
    poll_interval: expected at least 10ms
    "#);
    insta::assert_snapshot!(errors(serde_json::json!({"include": []})), @r#"include: names no file: expected at least one path or pattern"#);
}

/// What a source knows at a time, with `file` alone among what its patterns name.
fn known_at(bench: &Bench, file: &Path, now: u64) -> Known {
    let listed = fs::metadata(file).map(|data| FileId::of(&data)).into_iter().collect();
    let output = Output::new("in".into(), Arc::clone(&bench.context.store), tokio::sync::mpsc::channel(1).0);
    Known::load(&bench.context.store, "in", output.checkpoints().unwrap(), &listed, now).unwrap()
}

#[test]
fn only_what_is_gone_for_weeks_is_forgotten() {
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name);
    for name in ["a", "b", "c"] {
        fs::write(at(name), lines(0, 3)).unwrap();
    }
    let bench = Bench::new();
    bench.run(source_of(&bench, files.path()), Stop::AtEnd).result.unwrap();
    let kept = || bench.context.store.list(&key(&[b"checkpoint", b"in"])).unwrap().len();
    // One is gone, one has another name, and one is no longer named by the patterns.
    fs::remove_file(at("a")).unwrap();
    fs::rename(at("b"), at("renamed")).unwrap();
    let load = |now: u64| {
        known_at(&bench, &at("renamed"), now);
        kept()
    };
    assert_eq!([load(1000), load(1000 + KEPT), load(1001 + KEPT), load(9 * KEPT)], [3, 3, 2, 2]);
    assert!(bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches.is_empty());
}

#[test]
fn a_file_that_came_back_is_not_forgotten() {
    let files = tempfile::tempdir().unwrap();
    let (here, away) = (files.path().join("a"), files.path().join("away.log"));
    fs::write(&here, lines(0, 3)).unwrap();
    let bench = Bench::new();
    bench.run(source_of(&bench, files.path()), Stop::AtEnd).result.unwrap();
    fs::rename(&here, &away).unwrap();
    known_at(&bench, &here, 1000);
    fs::rename(&away, &here).unwrap();
    known_at(&bench, &here, 2000);
    known_at(&bench, &here, 9 * KEPT);
    assert!(bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches.is_empty());
}

#[test]
fn no_file_gets_the_shard_of_a_forgotten_one() {
    let files = tempfile::tempdir().unwrap();
    let (here, away) = (files.path().join("a"), files.path().join("away.log"));
    fs::write(&here, lines(0, 3)).unwrap();
    let bench = Bench::new();
    let first = sent(&bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches);
    // The same file, so that nothing but what was forgotten can tell the shards apart.
    fs::rename(&here, &away).unwrap();
    known_at(&bench, &here, 1000);
    known_at(&bench, &here, 1001 + KEPT);
    fs::rename(&away, &here).unwrap();
    let again = sent(&bench.run(source_of(&bench, files.path()), Stop::AtEnd).batches);
    assert_eq!((first.len(), again.len()), (3, 3));
    assert_ne!(first[0].0, again[0].0);
}

/// The corpora beside the workspace, if they are there.
fn corpus(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/ual").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn real_records_are_framed() {
    let read = |path: &Path| {
        let bench = Bench::new();
        let config = FileConfig {
            include: vec![path.display().to_string()],
            exclude: Vec::new(),
            mode: FileMode::Once,
            read_from: None,
            max_record_bytes: limit::default_max_record_bytes(),
            poll_interval: default_poll_interval(),
        };
        let source = config.plan().unwrap()(bench.context.clone()).unwrap();
        let run = bench.run(source, Stop::AtEnd);
        run.result.unwrap();
        texts(&run.batches)
    };
    let Some(path) = corpus("ual-2021.ndjson.zst") else { return };
    let all = read(&path);
    assert_eq!(all.len(), 9608);
    let unpacked = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(all.join("\n") + "\n", String::from_utf8(unpacked).unwrap());
    let Some(path) = corpus("purview-export-500.csv") else { return };
    let rows = read(&path);
    assert_eq!(rows.len(), 500);
    let parse = |text: &String| serde_json::from_str::<Value>(text).unwrap().to_string();
    let known: std::collections::BTreeSet<String> = all.iter().map(parse).collect();
    assert!(rows.iter().map(parse).all(|row| known.contains(&row)));
}
