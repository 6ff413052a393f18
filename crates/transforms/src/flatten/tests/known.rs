//! Records that are read by their shape: the same comes of them as of any other.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// All that an event is: its record and, in order, each field's name, steps, value and whether it was opened.
pub(super) fn contents(batch: &Batch) -> Vec<(String, Vec<String>)> {
    let names = batch.names();
    let event = |event: downspout_core::EventRef<'_>| {
        let fields = event.own_fields().map(|field| {
            let steps: Vec<_> = event.steps(field.trail).iter().map(|step| (step.depth, step.step)).collect();
            format!("{} {steps:?} {:?} {}", names.printed(field.id), field.value, field.opened)
        });
        (event.raw().to_owned(), fields.collect())
    };
    batch.events().map(event).collect()
}

fn known(batch: &Batch) -> usize {
    batch.events().filter(|event| event.shape().is_some()).count()
}

/// What comes of records that are parsed and walked through.
fn walked(records: &[&str]) -> (Vec<(String, Vec<String>)>, Vec<Rejected>) {
    let fields = Arc::default();
    let (mut batch, rejected) = Batch::decode(framed(records), origin(), Arc::clone(&fields));
    transform(&FlattenConfig::default(), &fields).apply(&mut batch, &mut Outputs::default()).unwrap();
    (contents(&batch), rejected)
}

#[test]
fn a_shape_is_learnt_once_and_names_its_events() {
    let fields = Arc::default();
    let mut flatten = transform(&FlattenConfig::default(), &fields);
    let mut shapes = |records: &[&str]| -> Vec<Option<u32>> {
        let (batch, _) = flatten.decode(framed(records), &origin(), &fields).unwrap();
        batch.events().map(|event| event.shape()).collect()
    };
    let [a, other] = [r#"{"Id":"1","Parameters":[{"Name":"x","Value":"2"}]}"#, r#"{"Id":"1","Size":2}"#];
    let first = shapes(&[a, other, a]);
    assert_eq!(first[0], first[2]);
    assert!(first[0].is_some() && first[1].is_some() && first[0] != first[1]);
    let again = r#"{"Id":null,"Parameters":[{"Name":"x","Value":"a \"quoted\" \u0041"}]}"#;
    assert_eq!(shapes(&[again, other]), first[..2]);
}

#[test]
fn what_depends_on_values_is_walked_through_each_time() {
    let fields = Arc::default();
    let mut flatten = transform(&FlattenConfig::default(), &fields);
    for (taught, asked, is_known) in [
        (r#"{"a":"x"}"#, r#"{"a":-1.5e3}"#, true),
        (r#"{"a":"x"}"#, r#"{"a":""}"#, true),
        (r#"{"a":"x"}"#, r#"{"a":[]}"#, false),
        (r#"{"a":"x"}"#, r#"{"a":{"b":1}}"#, false),
        (r#"{"a":"x"}"#, r#"{"a": "x"}"#, false),
        // A string that holds JSON, and one that does not.
        (r#"{"b":"x"}"#, r#"{"b":"[1]"}"#, false),
        (r#"{"b":"[1]"}"#, r#"{"b":"[\"\"]"}"#, true),
        (r#"{"b":"[1]"}"#, r#"{"b":"[1,2]"}"#, false),
        (r#"{"b":"[1]"}"#, r#"{"b":"[1}"}"#, true),
        (r#"{"b":"[1]"}"#, r#"{"b":"[x]"}"#, false),
        // A command line, and a text that is none.
        (r#"{"Parameters":"x"}"#, r#"{"Parameters":"y"}"#, true),
        (r#"{"Parameters":"x"}"#, r#"{"Parameters":"-Force"}"#, false),
        (r#"{"Parameters":"-Force"}"#, r#"{"Parameters":"-Force"}"#, false),
        // An element names itself by a string only.
        (r#"{"e":[{"Name":7,"Value":1}]}"#, r#"{"e":[{"Name":"n","Value":1}]}"#, false),
        (r#"{"e":[{"Name":"n","Value":1}]}"#, r#"{"e":[{"Name":"m","Value":1}]}"#, false),
        // What tells an element's name may come last.
        (r#"{"e":[{"Value":1,"Name":"n"}]}"#, r#"{"e":[{"Value":1,"Game":"n"}]}"#, false),
        (r#"{"e":[{"Value":1,"Game":"n"}]}"#, r#"{"e":[{"Value":2,"Game":"n"}]}"#, true),
        (r#"{"e":[{"Name":"n","Size":1}]}"#, r#"{"e":[{"Name":7,"Size":1}]}"#, true),
    ] {
        flatten.decode(framed(&[taught]), &origin(), &fields).unwrap();
        let mut shapes = flatten.shapes.clone();
        let (batch, _) = Batch::decode_known(framed(&[asked]), origin(), Arc::clone(&fields), &mut shapes);
        assert_eq!(known(&batch), usize::from(is_known), "{taught} then {asked}");
        let (batch, rejected) = flatten.decode(framed(&[asked]), &origin(), &fields).unwrap();
        assert_eq!((contents(&batch), rejected), walked(&[asked]), "{taught} then {asked}");
    }
}

/// Steps, literals and trails are bounded; where hardly anything comes twice nothing is tried, and later it is again.
#[test]
fn a_flood_of_new_shapes_is_borne() {
    let fields = Arc::new(FieldTable::bounded(100_000, 8 << 20));
    let mut flatten = transform(&FlattenConfig::default(), &fields);
    let usual = r#"{"Id":"1","list":[{"a":1},{"a":2}]}"#;
    let mut known_in_flood = 0;
    for batch in 0..400 {
        let flood: Vec<String> = (0..100)
            .map(|number| format!(r#"{{"n{batch}-{number}":[[1],[2],{}3],"o":1,"p":"{{}}"}}"#, "1,".repeat(batch)))
            .collect();
        let records: Vec<&str> = std::iter::once(usual).chain(flood.iter().map(String::as_str)).collect();
        let (batch, _) = flatten.decode(framed(&records), &origin(), &fields).unwrap();
        assert_eq!(batch.len(), 101);
        known_in_flood += known(&batch);
    }
    assert!(known_in_flood < 400 * 101 / 4, "{known_in_flood}");
    let calm = |flatten: &mut Flatten| known(&flatten.decode(framed(&[usual; 100]), &origin(), &fields).unwrap().0);
    let after: Vec<usize> = (0..700).map(|_| calm(&mut flatten)).collect();
    assert_eq!(after[690..], [100; 10]);
}

#[test]
fn real_records_are_of_few_shapes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/ual/ual-2021.ndjson.zst");
    let Ok(packed) = std::fs::read(path) else {
        eprintln!("SKIPPED: {path} is not there, so no real record was read by its shape");
        return;
    };
    let text = String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap();
    let records: Vec<&str> = text.lines().collect();
    let fields = Arc::default();
    let mut flatten = transform(&FlattenConfig::default(), &fields);
    let mut seen = [0; 2];
    for seen in &mut seen {
        for records in records.chunks(500) {
            let (batch, rejected) = flatten.decode(framed(records), &origin(), &fields).unwrap();
            assert_eq!((contents(&batch), rejected), walked(records));
            let (again, _) = Batch::decode_known(framed(records), origin(), Arc::clone(&fields), &mut flatten.shapes);
            *seen += known(&again);
        }
    }
    assert!(seen[1] > 9_500, "{seen:?}");
}

/// A record, and another that differs in some of its values.
fn alike() -> impl Strategy<Value = (Value, Value)> {
    let pick = prop_oneof![4 => Just(None), 1 => super::properties::leaf().prop_map(Some)];
    (super::properties::record(), prop::collection::vec(pick, 40)).prop_map(|(record, picks)| {
        let mut other = record.clone();
        change(&mut other, &mut picks.into_iter());
        (record, other)
    })
}

fn change(value: &mut Value, picks: &mut impl Iterator<Item = Option<Value>>) {
    match value {
        Value::Array(elements) if !elements.is_empty() => elements.iter_mut().for_each(|value| change(value, picks)),
        Value::Object(members) if !members.is_empty() => members.values_mut().for_each(|value| change(value, picks)),
        leaf => {
            if let Some(Some(other)) = picks.next() {
                *leaf = other;
            }
        }
    }
}

proptest! {
    #[test]
    fn other_values_in_the_same_shape((record, other) in alike()) {
        let fields = Arc::default();
        let mut flatten = transform(&FlattenConfig::default(), &fields);
        let (record, other) = (record.to_string(), other.to_string());
        for records in [[record.as_str(), &other], [&other, &record]] {
            let (batch, rejected) = flatten.decode(framed(&records), &origin(), &fields).unwrap();
            prop_assert_eq!((contents(&batch), rejected), walked(&records));
        }
    }

    #[test]
    fn a_broken_record_of_a_known_shape_is_refused((record, _) in alike(), at in any::<prop::sample::Index>(), byte in "[ -~]") {
        let fields = Arc::default();
        let mut flatten = transform(&FlattenConfig::default(), &fields);
        let record = record.to_string();
        let mut broken = record.clone();
        let border = (0..=at.index(record.len())).rev().find(|at| record.is_char_boundary(*at)).unwrap_or(0);
        let len = record[border..].chars().next().map_or(0, char::len_utf8);
        broken.replace_range(border..border + len, &byte);
        let cut = &record[..border];
        for records in [[record.as_str(), &broken, cut], [&record, &broken, cut]] {
            let (batch, rejected) = flatten.decode(framed(&records), &origin(), &fields).unwrap();
            prop_assert_eq!((contents(&batch), rejected), walked(&records));
        }
    }
}
