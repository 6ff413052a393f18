//! Lines in a file: appended, torn ones cut off, and what is told when it cannot be written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use downspout_core::ErrorKind;

use super::*;
use crate::suite::{self, Subject, Workbench};

struct Place(Workbench, Format);

impl Place {
    fn path(&self) -> PathBuf {
        self.0.folder.path().join("a/b/out.ndjson")
    }
    fn config(&self) -> FileSinkConfig {
        FileSinkConfig { path: self.path(), format: self.1 }
    }
}

impl Subject for Place {
    fn open(&self) -> Box<dyn Sink> {
        self.0.open(self.config())
    }
    fn arrived(&self) -> Option<Vec<String>> {
        Some(suite::ids_of_lines(&fs::read(self.path()).unwrap()))
    }
}

#[tokio::test]
async fn passes_the_suite() {
    suite::passes(|| Place(Workbench::new(), Format::Raw)).await;
    suite::passes(|| Place(Workbench::new(), Format::Flat)).await;
}

fn open_over(content: &str) -> (Place, Result<Box<dyn Sink>, StageError>) {
    let place = Place(Workbench::new(), Format::Raw);
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    fs::write(place.path(), content).unwrap();
    let sink = place.config().plan().unwrap()(place.0.context.clone());
    (place, sink)
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    let long = format!("{{\"a\":1}}\n{{\"b\":\"{}", "x".repeat(200_000));
    for (content, kept) in [
        ("", ""),
        ("{\"a\":1}\n", "{\"a\":1}\n"),
        ("{\"a\":1}\n{\"b\":", "{\"a\":1}\n"),
        ("{\"a\":", ""),
        (&long, "{\"a\":1}\n"),
    ] {
        let (place, sink) = open_over(content);
        sink.unwrap().deliver(&place.0.batch(&["{\"c\":3}"])).await.unwrap();
        assert_eq!(fs::read_to_string(place.path()).unwrap(), format!("{kept}{{\"c\":3}}\n"));
    }
}

#[tokio::test]
async fn another_programs_file_is_left_alone() {
    let (place, sink) = open_over("first line\nno newline");
    let error = sink.err().unwrap();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Stop, "foreign"));
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "first line\nno newline");
}

#[tokio::test]
async fn a_renamed_file_is_followed_by_a_new_one() {
    let place = Place(Workbench::new(), Format::Raw);
    let mut sink = place.open();
    sink.deliver(&place.0.batch(&["{\"a\":1}"])).await.unwrap();
    fs::rename(place.path(), place.path().with_extension("1")).unwrap();
    sink.deliver(&place.0.batch(&["{\"a\":2}"])).await.unwrap();
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "{\"a\":2}\n");
}

#[tokio::test]
async fn a_file_has_one_writer_at_a_time() {
    let place = Place(Workbench::new(), Format::Raw);
    let mut sink = place.open();
    sink.deliver(&place.0.batch(&["{\"a\":1}"])).await.unwrap();
    // A line that the first writer has not finished, as the second one sees it.
    fs::OpenOptions::new().append(true).open(place.path()).unwrap().write_all(b"{\"a\":").unwrap();
    let error = place.config().plan().unwrap()(place.0.context.clone()).err().unwrap();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Stop, "in_use"), "{error}");
    assert!(error.to_string().contains("give this sink another `path`"), "{error}");
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "{\"a\":1}\n{\"a\":");
    drop(sink);
    place.open().deliver(&place.0.batch(&["{\"a\":2}"])).await.unwrap();
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
}

#[tokio::test]
async fn what_another_program_appends_is_not_overwritten() {
    let place = Place(Workbench::new(), Format::Raw);
    let mut sink = place.open();
    sink.deliver(&place.0.batch(&["{\"a\":1}"])).await.unwrap();
    fs::OpenOptions::new().append(true).open(place.path()).unwrap().write_all(b"theirs\n").unwrap();
    let error = sink.deliver(&place.0.batch(&["{\"a\":2}"])).await.unwrap_err();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Stop, "foreign"), "{error}");
    assert!(error.to_string().contains("has 15 bytes where this sink has written 8"), "{error}");
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "{\"a\":1}\ntheirs\n");
}

#[tokio::test]
async fn a_truncated_file_is_told_and_written_from_its_new_end() {
    for kept in ["", "{\"a\":1}\n"] {
        let place = Place(Workbench::new(), Format::Raw);
        let mut sink = place.open();
        sink.deliver(&place.0.batch(&["{\"a\":1}", "{\"a\":2}"])).await.unwrap();
        fs::OpenOptions::new().write(true).open(place.path()).unwrap().set_len(kept.len() as u64).unwrap();
        let batch = place.0.batch(&["{\"a\":3}"]);
        let error = sink.deliver(&batch).await.unwrap_err();
        assert_eq!((error.kind(), error.error_type()), (ErrorKind::Retry, "truncated"), "{error}");
        sink.deliver(&batch).await.unwrap();
        assert_eq!(fs::read_to_string(place.path()).unwrap(), format!("{kept}{{\"a\":3}}\n"));
    }
}

#[test]
fn what_the_config_must_change_stops_the_pipeline() {
    let bench = Workbench::new();
    fs::write(bench.folder.path().join("plain"), "").unwrap();
    for path in [bench.folder.path().join("plain/out.ndjson"), bench.folder.path().to_owned()] {
        let config = FileSinkConfig { path, format: Format::Raw };
        let error = config.plan().unwrap()(bench.context.clone()).err().unwrap();
        assert_eq!((error.kind(), error.error_type()), (ErrorKind::Stop, "path"), "{error}");
    }
}

#[tokio::test]
async fn a_full_disk_is_retried() {
    if !std::path::Path::new("/dev/full").exists() {
        return eprintln!("SKIPPED: no /dev/full here");
    }
    let bench = Workbench::new();
    let mut sink = bench.open(FileSinkConfig { path: "/dev/full".into(), format: Format::Raw });
    let error = sink.deliver(&bench.batch(&["{}"])).await.unwrap_err();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Retry, "disk_full"), "{error}");
}

#[test]
fn a_folder_without_rights_is_retried() {
    let bench = Workbench::new();
    let folder = bench.folder.path().join("locked");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(folder.join("probe"), "").is_ok() {
        return eprintln!("SKIPPED: this user may write everywhere");
    }
    let config = FileSinkConfig { path: folder.join("out"), format: Format::Raw };
    let error = config.plan().unwrap()(bench.context.clone()).err().unwrap();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Retry, "permission"), "{error}");
}
