//! What holds for every record: it can be rebuilt, and batching makes no difference.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// Names as Microsoft writes them, and as nobody should.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "Name", "Value", "NewValue", "OldValue", "Key", "DisplayName", "name", "value", "key", "displayName",
            "newValue", "oldValue", "ID", "Type", "Parameters", "a", "b", "Role.DisplayName", "MethodExecutionResult.",
            "Included Updated Properties", "", "[x]", "a\\b", "http://schemas/claims/upn", "tab\there", "é",
        ]).prop_map(str::to_owned),
        1 => "[a-c.\\[\\]\\\\ =\n\"]{0,5}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "x",
            "a=b",
            "a=b=c; d",
            "line\r\nline\r\n",
            "\"quoted\"",
            " blanks ",
            "[] => [[Id: 1]]",
            "{",
            "[1",
            "null",
            "-Identity \"x\" -PurgeType \"HardDelete\" -Confirm:$false",
            "-Name \"a",
            "-",
            "<a>1</a>",
            "true",
            "{guid}",
        ])
        .prop_map(str::to_owned),
        "[ -~é\n\r\t\u{0}]{0,12}",
    ]
}

pub(super) fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(json!({})),
        Just(json!([])),
    ]
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((name(), value), 0..5).prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// An element that names itself, or nearly so.
fn name_value(value: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    let spelling = prop::sample::select(vec![
        ("Name", vec!["Value"]),
        ("Name", vec!["NewValue", "OldValue"]),
        ("Name", vec!["NewValue"]),
        ("Name", vec!["Value", "Extra"]),
        ("Key", vec!["Value"]),
        ("key", vec!["value"]),
        ("name", vec!["value", "NewValue"]),
        ("displayName", vec!["newValue", "oldValue"]),
        ("ID", vec!["Type"]),
    ]);
    (spelling, prop_oneof![9 => name().prop_map(Value::from), 1 => leaf()], prop::collection::vec(value, 2)).prop_map(
        |((name, values), called, held)| {
            let mut element = Map::from_iter([(name.to_owned(), called)]);
            element.extend(values.iter().map(|value| (*value).to_owned()).zip(held));
            Value::Object(element)
        },
    )
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            3 => object(inner.clone()),
            2 => prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            4 => prop::collection::vec(name_value(inner.clone()), 0..5).prop_map(Value::from),
            2 => prop::collection::vec(prop_oneof![name_value(inner.clone()), inner.clone()], 0..5).prop_map(Value::from),
            2 => (inner, any::<bool>()).prop_map(|(held, pretty)| {
                Value::from(if pretty { format!("{held:#}").replace('\n', "\r\n") } else { held.to_string() })
            }),
        ]
    })
}

pub(super) fn record() -> impl Strategy<Value = Value> {
    (object(value()), prop::option::of(value())).prop_map(|(mut record, parameters)| {
        if let Some(parameters) = parameters {
            record["Parameters"] = parameters;
        }
        record
    })
}

proptest! {
    #[test]
    fn the_record_can_be_rebuilt(record in record(), pretty in any::<bool>(), max_fields in prop_oneof![Just(2_000), 1..30usize]) {
        let text = if pretty { format!("{record:#}") } else { record.to_string() };
        let batch = flatten_with(&FlattenConfig { max_fields, ..FlattenConfig::default() }, &[&text]);
        prop_assert_eq!(rebuild(batch.event(0)), record);
    }

    #[test]
    fn budgets_hold(record in record(), max_fields in 1..30usize) {
        let batch = flatten_with(&FlattenConfig { max_fields, ..FlattenConfig::default() }, &[&record.to_string()]);
        prop_assert!(batch.event(0).fields().count() <= max_fields);
    }

    #[test]
    fn batching_makes_no_difference(records in prop::collection::vec(record(), 1..6)) {
        let texts: Vec<String> = records.iter().map(Value::to_string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let config = FlattenConfig::default();
        let whole = print(&flatten_with(&config, &texts));
        for border in 0..=texts.len() {
            let (left, right) = texts.split_at(border);
            prop_assert_eq!(&(print(&flatten_with(&config, left)) + &print(&flatten_with(&config, right))), &whole);
        }
        let alone: String = texts.iter().map(|text| print(&flatten_with(&config, &[text]))).collect();
        prop_assert_eq!(alone, whole);
    }

    #[test]
    fn no_command_line_makes_it_panic(line in "(-[A-Za-z1_]{0,3}|[ \n\u{a0}]|:|\"|\\(\"|\"\\)|,|[a-cé{}\\[\\]0])*") {
        let record = json!({ "Parameters": line });
        prop_assert_eq!(rebuild(flatten(&record.to_string()).event(0)), record);
    }

    #[test]
    fn no_json_makes_it_panic(text in "(\\{|\\}|\\[|\\]|,|:|\"(Name|Value|a|\\\\u0041|\\\\\"|\\{|\\[1\\])?\"|1|null)*") {
        let record = format!("{{\"a\":{text}}}");
        if serde_json::from_str::<Value>(&record).is_ok() {
            print(&flatten(&record));
        }
    }
}

#[test]
fn every_real_record_can_be_rebuilt() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/ual/ual-2021.ndjson.zst");
    let Ok(packed) = std::fs::read(path) else {
        eprintln!("SKIPPED: {path} is not there, so no real record was rebuilt");
        return;
    };
    let text = String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap();
    let records: Vec<&str> = text.lines().collect();
    let mut closed = 0;
    for records in records.chunks(1_000) {
        let batch = flatten_with(&FlattenConfig::default(), records);
        for (event, record) in batch.events().zip(records) {
            assert_eq!(rebuild(event), serde_json::from_str::<Value>(record).unwrap());
            closed += event.fields().filter(|field| matches!(field.value, downspout_core::Value::Json(_))).count();
        }
    }
    assert_eq!((records.len(), closed), (9_608, 0));
}
