//! Any bytes as a record: nothing panics, the budget holds, the record can be rebuilt, and reading it by a shape that was
//! learnt from it makes no difference.
#![no_main]

use std::sync::Arc;

use downspout_core::decode::{Records, Span};
use downspout_core::json::{Home, parse};
use downspout_core::metrics::ComponentMetrics;
use downspout_core::print::LineWriter;
use downspout_core::stage::Outputs;
use downspout_core::{Batch, FieldTable, Origin, Transform};
use downspout_transforms::flatten::{Flatten, FlattenConfig, rebuild};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|record: &[u8]| {
    let fields = Arc::new(FieldTable::bounded(100, 10_000));
    let span = Span { start: 0, len: record.len(), position: 0 };
    let records = Records { text: record.to_vec().into(), spans: vec![span] };
    let origin = Origin { source: "fuzz".into(), shard: "fuzz".into() };
    let (mut batch, _) = Batch::decode(records.clone(), origin.clone(), Arc::clone(&fields));
    let config = FlattenConfig { max_fields: 50, ..FlattenConfig::default() };
    let Ok(metrics) = ComponentMetrics::detached("flat", "transform", "flatten") else { return };
    let mut flatten = Flatten::new(&config, &fields, metrics);
    if flatten.apply(&mut batch, &mut Outputs::default()).is_err() {
        return;
    }
    for _ in 0..2 {
        let Ok((known, _)) = flatten.decode(records.clone(), &origin, &fields) else { return };
        assert_eq!(printed(&known), printed(&batch));
    }
    let Some(event) = batch.events().next() else { return };
    let Ok(value) = serde_json::from_slice::<Value>(record) else { return };
    // A member that stands twice has no room in a JSON object of serde_json, so such a record cannot be compared.
    if nodes(event.raw()) == nodes(&value.to_string()) {
        assert!(event.fields().count() <= config.max_fields);
        assert_eq!(rebuild(event), value);
    }
});

fn printed(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::new();
    for event in batch.events() {
        LineWriter::default().write_flat(event, &batch.names(), &mut out);
    }
    out
}

fn nodes(json: &str) -> usize {
    let mut nodes = Vec::new();
    let _ = parse(json, 0, json.len(), Home::Raw, &mut nodes);
    nodes.len()
}
