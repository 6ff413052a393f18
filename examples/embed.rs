//! A pipeline inside another program: a value that is planned, opened, run and gone.
//!
//! ```text
//! cargo run -p downspout-examples --example embed
//! ```

use std::error::Error;

use downspout_runtime::{Pipeline, Plan, Report};
use tokio::sync::watch;

const CONFIG: &str = "
data_dir: ${FOLDER}/data
sources: { samples: { type: file, include: ['${SAMPLES}/unified-audit.ndjson'] } }
transforms:
  flat: { type: flatten, inputs: [samples] }
  rules: { type: filter, inputs: [flat], condition: 'Operation == \"New-InboxRule\"' }
sinks: { out: { type: file, inputs: [rules], path: '${FOLDER}/inbox-rules.ndjson', format: flat } }
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let report = inbox_rules(&folder.path().display().to_string()).await?;
    print!("{}", std::fs::read_to_string(folder.path().join("inbox-rules.ndjson"))?);
    for component in report.components {
        eprintln!("{} {}: {} in, {} out", component.kind, component.id, component.received, component.sent);
    }
    Ok(())
}

/// Writes the inbox rules of the sample records to `inbox-rules.ndjson` in a folder.
async fn inbox_rules(folder: &str) -> Result<Report, Box<dyn Error>> {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines/samples");
    let plan = Plan::from_text("embedded", CONFIG, &|name| match name {
        "FOLDER" => Some(folder.to_owned()),
        "SAMPLES" => Some(samples.to_owned()),
        _ => None,
    })?;
    // Sending `true` would ask the pipeline to drain and return.
    let (_stop, stopping) = watch::channel(false);
    let report = Pipeline::open(plan).await?.run(stopping).await;
    match report.errors.first() {
        Some(error) => Err(error.clone().into()),
        None => Ok(report),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_has_inbox_rules() {
    let folder = tempfile::tempdir().unwrap();
    let report = inbox_rules(&folder.path().display().to_string()).await.unwrap();
    let rules = std::fs::read_to_string(folder.path().join("inbox-rules.ndjson")).unwrap();
    assert!(rules.lines().count() > 0);
    assert!(rules.lines().all(|line| line.contains("\"Operation\":\"New-InboxRule\"")));
    assert_eq!(report.components.last().map(|sink| sink.sent), Some(rules.lines().count() as u64));
}
