//! What is told when a pipeline cannot start.

use super::*;

/// Opens a pipeline with one sink.
async fn open(data_dir: &std::path::Path, sink: &str) -> Result<Pipeline, StageError> {
    let config = format!(
        "data_dir: '{}'\nsources: {{ in: {{ type: stdin }} }}\nsinks: {{ out: {{ inputs: [in], {sink} }} }}\n",
        data_dir.display()
    );
    Pipeline::open(Plan::from_text("p.yaml", &config, &|_| None).unwrap()).await
}

/// Nobody tries again by itself then, whatever the sink would do later on.
#[cfg(unix)]
#[tokio::test]
async fn what_passes_is_to_be_mended_before_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let circle = folder.path().join("circle");
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    let sink = format!("type: file, path: '{}'", circle.display());
    let error = open(&folder.path().join("data"), &sink).await.unwrap_err();
    assert_eq!((error.kind(), error.error_type()), (ErrorKind::Stop, "io"));
    let told = error.to_string();
    assert!(
        told.starts_with("sink out: cannot open ") && told.ends_with("; check the disk; then start again"),
        "{told}"
    );
}

#[tokio::test]
async fn what_the_config_must_change_is_told_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "").unwrap();
    for kind in ["file", "parquet", "ndjson"] {
        let sink = format!("type: {kind}, path: '{}'", folder.path().join("plain/out").display());
        let told = open(&folder.path().join("data"), &sink).await.unwrap_err().to_string();
        assert!(told.starts_with("sink out: cannot ") && told.ends_with("choose another `path`"), "{told}");
    }
}

#[test]
fn what_was_not_delivered_is_told_as_the_source_is() {
    let told = [(1, true), (2, true), (1, false), (3, false)].map(|(batches, replay)| undelivered(batches, replay));
    insta::assert_snapshot!(told.join("\n"), @r#"
    1 batch was not delivered; the next run reads it again
    2 batches were not delivered; the next run reads them again
    1 batch was not delivered; no run can read it again: feed this input once more, or keep it in a file
    3 batches were not delivered; no run can read them again: feed this input once more, or keep it in a file
    "#);
}
