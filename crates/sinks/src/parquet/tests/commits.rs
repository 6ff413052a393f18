//! Commits: names, crashes between the steps, files of others.

use std::fs;

use downspout_core::ErrorKind;
use downspout_core::stage::Due;

use super::*;

#[tokio::test]
async fn passes_the_suite() {
    suite::passes(|| Place::new(json!({}))).await;
    suite::passes(|| Place::new(json!({ "partition_by": [] }))).await;
}

/// A prepared commit of two files in two folders, not yet published.
async fn prepared(place: &Place) -> (Box<dyn Sink>, Vec<u8>) {
    let mut sink = place.open();
    let records = [
        r#"{"CreationTime":"2026-11-21T10:00:00","Operation":"x","Id":"1","Workload":"A"}"#,
        r#"{"CreationTime":"2026-11-22T10:00:00","Operation":"x","Id":"2","Workload":"A"}"#,
    ];
    sink.deliver(&Arc::new(place.batch(&records))).await.unwrap();
    let manifest = sink.seal(7).unwrap().prepare().await.unwrap().manifest;
    (sink, manifest)
}

fn manifest_paths(place: &Place, manifest: &[u8]) -> Vec<(PathBuf, PathBuf)> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let path = |value: &Value| place.path().join(value.as_str().unwrap());
    manifest["files"].as_array().unwrap().iter().map(|file| (path(&file["temporary"]), path(&file["name"]))).collect()
}

#[tokio::test]
async fn names_come_from_the_lake_and_the_commit() {
    let place = Place::new(json!({}));
    let (mut sink, manifest) = prepared(&place).await;
    sink.publish(&manifest).await.unwrap();
    let files = read::files(&place.path());
    let names: Vec<&str> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    let lake = names[0].split('-').next().unwrap();
    assert!(lake.len() == 8 && lake.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(names, [format!("{lake}-0000000007-0.parquet"), format!("{lake}-0000000007-1.parquet")]);
    // A new store is a new lake: its first commits cannot meet these files.
    let other = Place::new(json!({}));
    let (_sink, manifest) = prepared(&other).await;
    let (_, name) = &manifest_paths(&other, &manifest)[0];
    assert!(!name.file_name().unwrap().to_str().unwrap().starts_with(lake));
}

/// Commits records of a kind: every kind has other fields, and texts that the others have elsewhere. Gives the file.
async fn file_of(place: &Place, sink: &mut dyn Sink, commit: u64, kind: u64) -> Vec<u8> {
    let record = |number: u64| {
        let (time, repeated) = (format!("2026-11-22T10:{:02}:00", (number * 7) % 60), number % (kind + 2));
        let mut record = json!({
            "CreationTime": time, "Id": format!("{kind}-{number}"), "Operation": format!("o{repeated}"), "Workload": "A",
            format!("Field{kind}"): format!("text {repeated}"), "Item": { format!("Part{repeated}"): kind, "o1": number },
        });
        if kind != 1 {
            record["Names"] = json!(["o0", format!("{number}"), null]);
        }
        record.to_string()
    };
    let records: Vec<String> = (0..100 * kind).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    sink.deliver(&Arc::new(place.batch(&records))).await.unwrap();
    suite::commit(sink, commit).await.unwrap();
    fs::read(read::files(&place.path()).last().unwrap()).unwrap()
}

#[tokio::test]
async fn a_commit_is_the_same_whatever_came_before() {
    // A slow level is encoded by threads of its own.
    for level in [1, 9] {
        let place = || Place::new(json!({ "partition_by": [], "compression_level": level }));
        let used = place();
        let mut sink = used.open();
        for (commit, kind) in (1..).zip([3, 1, 2, 3, 1]) {
            let after_others = file_of(&used, &mut *sink, commit, kind).await;
            let fresh = place();
            let alone = file_of(&fresh, &mut *fresh.open(), 1, kind).await;
            assert!(after_others == alone, "level {level}, commit {commit}");
        }
    }
}

#[tokio::test]
async fn an_interrupted_publish_is_finished() {
    let place = Place::new(json!({}));
    let (sink, manifest) = prepared(&place).await;
    drop(sink);
    let (temporary, name) = &manifest_paths(&place, &manifest)[0];
    fs::create_dir_all(name.parent().unwrap()).unwrap();
    fs::rename(temporary, name).unwrap();
    let mut sink = place.open();
    sink.publish(&manifest).await.unwrap();
    sink.clean().await.unwrap();
    assert_eq!(place.arrived().unwrap(), ["1", "2"]);
}

#[tokio::test]
async fn a_foreign_file_is_never_overwritten() {
    let place = Place::new(json!({}));
    let (mut sink, manifest) = prepared(&place).await;
    let (_, name) = &manifest_paths(&place, &manifest)[1];
    fs::create_dir_all(name.parent().unwrap()).unwrap();
    fs::write(name, "foreign").unwrap();
    let error = sink.publish(&manifest).await.unwrap_err();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Stop, "foreign"), "{error}");
    assert_eq!(fs::read_to_string(name).unwrap(), "foreign");
}

#[tokio::test]
async fn a_lost_file_stops_the_pipeline_and_can_be_given_up() {
    let place = Place::new(json!({}));
    let (mut sink, manifest) = prepared(&place).await;
    let (temporary, name) = &manifest_paths(&place, &manifest)[0];
    fs::remove_file(temporary).unwrap();
    let error = sink.publish(&manifest).await.unwrap_err();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Stop, "foreign"), "{error}");
    fs::write(name, "").unwrap();
    sink.publish(&manifest).await.unwrap();
    fs::remove_file(name).unwrap();
    assert_eq!(place.arrived().unwrap(), ["2"]);
}

#[tokio::test]
async fn published_files_belong_to_the_user() {
    let place = Place::new(json!({}));
    let (mut sink, manifest) = prepared(&place).await;
    sink.publish(&manifest).await.unwrap();
    drop(sink);
    for file in read::files(&place.path()) {
        fs::remove_file(file).unwrap();
    }
    // After a restart the pipeline publishes its last commit once more.
    let mut sink = place.open();
    sink.publish(&manifest).await.unwrap();
    sink.clean().await.unwrap();
    assert_eq!(read::files(&place.path()), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn clean_removes_only_what_this_sink_wrote() {
    let place = Place::new(json!({}));
    let (sink, manifest) = prepared(&place).await;
    drop(sink);
    let hidden = place.path().join(".downspout-tmp");
    let foreign = hidden.join("00000000-0000000001");
    fs::create_dir(&foreign).unwrap();
    place.open().clean().await.unwrap();
    let left: Vec<_> = fs::read_dir(&hidden).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["00000000-0000000001"]);
    assert!(manifest_paths(&place, &manifest).iter().all(|(temporary, _)| !temporary.exists()));
}

#[tokio::test]
async fn a_commit_is_due_when_it_is_full_or_old() {
    let batch = |place: &Place| Arc::new(place.batch(&[r#"{"Id":"1"}"#, r#"{"Id":"2"}"#]));
    for (roll, due) in [
        (json!({ "max_rows": 2 }), true),
        (json!({ "max_rows": 3 }), false),
        (json!({ "max_bytes": 10 }), true),
        (json!({ "max_age": "1h" }), false),
    ] {
        let place = Place::new(json!({ "roll": roll }));
        let mut sink = place.open();
        assert_eq!(sink.due(), Due::Never);
        let before = tokio::time::Instant::now();
        sink.deliver(&batch(&place)).await.unwrap();
        match sink.due() {
            Due::Now => assert!(due, "{roll}"),
            Due::At(time) => assert!(!due && time > before, "{roll}"),
            Due::Never => panic!("it holds events: {roll}"),
        }
    }
}

#[tokio::test]
async fn a_failed_write_can_be_repeated() {
    let place = Place::new(json!({}));
    let mut sink = place.open();
    sink.deliver(&Arc::new(place.batch(&[r#"{"CreationTime":"2026-11-21T10:00:00","Operation":"x","Id":"1"}"#])))
        .await
        .unwrap();
    let mut sealed = sink.seal(1).unwrap();
    let hidden = place.path().join(".downspout-tmp");
    fs::remove_dir_all(&hidden).unwrap();
    fs::write(&hidden, "in the way").unwrap();
    let error = sealed.prepare().await.unwrap_err();
    assert!(error.to_string().contains(".downspout-tmp"), "{error}");
    fs::remove_file(&hidden).unwrap();
    let manifest = sealed.prepare().await.unwrap().manifest;
    sink.publish(&manifest).await.unwrap();
    assert_eq!(place.arrived().unwrap(), ["1"]);
}

#[test]
fn a_path_that_is_a_file_stops_the_pipeline() {
    let place = Place::new(json!({}));
    fs::write(place.path(), "").unwrap();
    let build = config(place.path(), json!({})).plan().unwrap();
    let error = build(place.bench.context.clone()).err().unwrap();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Stop, "path"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_no_manifest_is_an_error() {
    let place = Place::new(json!({}));
    let error = place.open().publish(b"{}").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stop);
}
