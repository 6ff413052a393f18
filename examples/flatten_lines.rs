//! The flatten transform alone: NDJSON on stdin, flattened NDJSON on stdout, no pipeline around it.
//!
//! ```text
//! cargo run -p downspout-examples --example flatten_lines < pipelines/samples/unified-audit.ndjson
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;

use downspout_core::metrics::ComponentMetrics;
use downspout_core::print::LineWriter;
use downspout_core::stage::Outputs;
use downspout_core::{Batch, FieldTable, Origin, Records, Span, Transform};
use downspout_transforms::flatten::{Flatten, FlattenConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    std::io::stdout().write_all(&flatten(text)?)?;
    Ok(())
}

/// Flattens lines of JSON; lines that are none are told on stderr.
fn flatten(text: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut spans = Vec::new();
    let mut start = 0;
    for line in text.split(|byte| *byte == b'\n') {
        if !line.is_empty() {
            spans.push(Span { start, len: line.len(), position: start as u64 + 1 });
        }
        start += line.len() + 1;
    }
    let fields = Arc::new(FieldTable::default());
    let origin = Origin { source: "stdin".into(), shard: "stdin".into() };
    let records = Records { text: text.into(), spans };
    let (mut batch, rejected) = Batch::decode(records, origin, Arc::clone(&fields));
    for record in rejected {
        eprintln!("byte {}: {}", record.position, record.reason);
    }

    let metrics = ComponentMetrics::detached("flat", "transform", "flatten")?;
    Flatten::new(&FlattenConfig::default(), &fields, metrics).apply(&mut batch, &mut Outputs::default())?;

    let mut lines = Vec::new();
    let mut writer = LineWriter::default();
    for event in batch.events() {
        writer.write_flat(event, &batch.names(), &mut lines);
    }
    Ok(lines)
}

#[test]
fn parameters_become_fields() {
    let lines = flatten(br#"{"Parameters":[{"Name":"ForwardTo","Value":"a=b@fabrikam.example"}]}"#.to_vec()).unwrap();
    assert_eq!(String::from_utf8(lines).unwrap(), "{\"Parameters.ForwardTo\":\"a=b@fabrikam.example\"}\n");
}
