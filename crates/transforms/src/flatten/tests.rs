//! Flattening shape by shape, within budgets, and back.

use std::sync::Arc;

use downspout_core::decode::{Records, Span};
use downspout_core::print::LineWriter;
use downspout_core::{Origin, Value};

use super::*;

mod budgets;
mod known;
mod properties;
mod shapes;

fn origin() -> Origin {
    Origin { source: "s".into(), shard: "x".into() }
}

fn framed(records: &[&str]) -> Records {
    let mut text = String::new();
    let mut spans = Vec::new();
    for record in records {
        spans.push(Span { start: text.len(), len: record.len(), position: text.len() as u64 });
        text.push_str(record);
        text.push('\n');
    }
    Records { text: text.into(), spans }
}

fn decode(records: &[&str], fields: &Arc<FieldTable>) -> Batch {
    let (batch, rejected) = Batch::decode(framed(records), origin(), Arc::clone(fields));
    assert_eq!(rejected, []);
    batch
}

fn transform(config: &FlattenConfig, fields: &FieldTable) -> Flatten {
    Flatten::new(config, fields, ComponentMetrics::detached("flat", "transform", "flatten").unwrap())
}

/// The flattened batch of the records. Records whose shape is known give the same: so much is tested with each.
fn flatten_with(config: &FlattenConfig, records: &[&str]) -> Batch {
    let fields = Arc::default();
    let mut batch = decode(records, &fields);
    let mut flatten = transform(config, &fields);
    flatten.apply(&mut batch, &mut Outputs::default()).unwrap();
    for _ in 0..3 {
        let (known, rejected) = flatten.decode(framed(records), &origin(), &fields).unwrap();
        assert_eq!((known::contents(&known), rejected), (known::contents(&batch), Vec::new()), "{records:?}");
    }
    batch
}

fn flatten(record: &str) -> Batch {
    flatten_with(&FlattenConfig::default(), &[record])
}

/// The printed flat form of all events, a line each.
fn print(batch: &Batch) -> String {
    let mut out = Vec::new();
    let mut writer = LineWriter::default();
    for event in batch.events() {
        writer.write_flat(event, &batch.names(), &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn flat(record: &str) -> String {
    print(&flatten(record)).trim_end().to_owned()
}
