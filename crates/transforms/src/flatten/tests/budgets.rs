//! Hostile records: what finds no room stays closed, nothing is dropped, and the cost stays linear.

use std::fmt::Write;

use super::*;

#[track_caller]
fn rebuilds(batch: &Batch, record: &str) {
    assert_eq!(rebuild(batch.event(0)), serde_json::from_str::<serde_json::Value>(record).unwrap());
}

fn fields_of(batch: &Batch) -> usize {
    batch.event(0).fields().count()
}

/// `{"name0": <value>, "name1": <value> ...}`
fn object(count: usize, value: &str) -> String {
    let mut text = String::from("{");
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        write!(text, "{comma}\"name{number}\":{value}").unwrap();
    }
    text + "}"
}

/// `[<value>, <value> ...]`
fn array(count: usize, value: &str) -> String {
    format!("[{}]", vec![value; count].join(","))
}

#[test]
fn what_finds_no_room_stays_closed() {
    let config = FlattenConfig { max_fields: 6, ..FlattenConfig::default() };
    let cases = [
        (
            r#"{"a":{"x":1,"y":2,"z":3},"b":{"x":1,"y":2,"z":3,"u":4},"c":5}"#,
            r#"{"a.x":1,"a.y":2,"a.z":3,"b":{"x":1,"y":2,"z":3,"u":4},"c":5}"#,
        ),
        (r#"{"a":[1,2,3,4,5],"b":{"x":{"y":1}}}"#, r#"{"a":[1,2,3,4,5],"b.x.y":1}"#),
        (r#"{"a":[1,2,3,4,5,6],"b":{"x":{"y":1}}}"#, r#"{"a":[1,2,3,4,5,6],"b.x.y":1}"#),
        (
            r#"{"a":[{"Name":"n","Value":1,"NewValue":2,"OldValue":3},{"Name":"m","Value":1},{"k":1}]}"#,
            r#"{"a.n":1,"a.n.NewValue":2,"a.n.OldValue":3,"a":[{"Name":"m","Value":1}],"a.k":[1]}"#,
        ),
        (r#"{"a":"[1,2,3]","b":"[1,2,3,4,5,6,7]"}"#, r#"{"a":"[1,2,3]","b":"[1,2,3,4,5,6,7]"}"#),
        (r#"{"Parameters":"-a 1 -b 2 -c 3 -d 4 -e 5"}"#, r#"{"Parameters":"-a 1 -b 2 -c 3 -d 4 -e 5"}"#),
    ];
    for (record, expected) in cases {
        let batch = flatten_with(&config, &[record]);
        assert_eq!(print(&batch).trim_end(), expected);
        rebuilds(&batch, record);
    }
}

#[test]
fn hostile_records_stay_bounded_and_whole() {
    let max = FlattenConfig::default().max_fields;
    let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let cases = [
        format!("{{\"a\":{}}}", object(10_000, "1")),
        format!("{{\"a\":{}}}", object(1_500, "{\"x\":[1,2,3]}")),
        format!("{{\"a\":{}}}", array(100_000, "1")),
        format!("{{\"a\":{}}}", array(1_000, &array(50, "{\"Name\":\"n\",\"Value\":\"v\"}"))),
        format!("{{\"a\":{},\"b\":{}}}", array(1_990, "[]"), array(100, "{\"x\":1}")),
        format!("{{\"a\":{}1{}}}", "[".repeat(126), "]".repeat(126)),
        deep(127),
        format!("{{\"{}\":{}}}", "long".repeat(10_000), object(100, "{\"x\":1}")),
        format!("{{\"a\":{}}}", array(500, "\"[[1,2],[3,4]]\"")),
        format!("{{\"a\":\"{}\"}}", array(3_000, "1")),
        format!("{{\"Parameters\":\"{}\"}}", "-a b ".repeat(5_000)),
    ];
    for record in cases {
        let batch = flatten(&record);
        assert!(fields_of(&batch) <= max, "{} fields of {:.60}", fields_of(&batch), record);
        rebuilds(&batch, &record);
        let printed = print(&batch).len();
        assert!(printed < 4 * record.len() + max * 1_100, "{printed} bytes of {record:.60}");
    }
}

#[test]
fn members_at_the_top_that_find_no_room_are_one_field() {
    let config = |max_fields| FlattenConfig { max_fields, ..FlattenConfig::default() };
    let cases = [
        (3, r#"{"a":1,"b":{"x":1,"y":2},"c":3}"#, r#"{"a":1,"b":{"x":1,"y":2},"c":3}"#),
        (2, r#"{"a":1,"b":{"x":1,"y":2},"c":3}"#, r#"{"a":1,"":{"b":{"x":1,"y":2},"c":3}}"#),
        (2, r#"{"a":{"x":1},"b":[2],"c":"[3]"}"#, r#"{"a.x":1,"":{"b":[2],"c":"[3]"}}"#),
        (2, r#"{"a":"[1]","b":1,"":2}"#, r#"{"a":"[1]","":{"b":1,"":2}}"#),
        (2, r#"{"":1,"b\u0041":1,"c":2 } "#, r#"{"[]":1,"":{"b\u0041":1,"c":2 }}"#),
        (1, r#"{ "a" :1,"b":2}"#, r#"{"":{"a" :1,"b":2}}"#),
        (1, r#"{"a":1}"#, r#"{"a":1}"#),
        (1, "{}", "{}"),
    ];
    for (max_fields, record, expected) in cases {
        let batch = flatten_with(&config(max_fields), &["{\"first\":1}", record, "{\"last\":1}"]);
        assert_eq!(print(&batch), format!("{{\"first\":1}}\n{expected}\n{{\"last\":1}}\n"), "{record}");
        assert_eq!(rebuild(batch.event(1)), serde_json::from_str::<serde_json::Value>(record).unwrap());
    }
    let record = object(50_002, "{\"x\":1}");
    let batch = flatten(&record);
    assert_eq!(fields_of(&batch), FlattenConfig::default().max_fields);
    rebuilds(&batch, &record);
}

#[test]
fn names_past_the_table_are_read_like_others() {
    let fields = Arc::new(FieldTable::bounded(10, 1_000));
    let record = format!("{{\"a\":{},\"P\":[{{\"Name\":\"b.c\",\"Value\":\"[{{}}]\"}}]}}", object(100, "1"));
    let mut batch = decode(&[&record, &record], &fields);
    transform(&FlattenConfig::default(), &fields).apply(&mut batch, &mut Outputs::default()).unwrap();
    assert_eq!(fields.len(), 10);
    rebuilds(&batch, &record);
    let printed = print(&batch);
    let (first, second) = printed.trim_end().split_once('\n').unwrap();
    assert_eq!(first, second);
    assert!(first.ends_with(r#""a.name99":1,"P[b.c]":[{}]}"#), "{first}");
}

#[test]
fn opened_strings_are_bounded_in_bytes_and_depth() {
    // Of three strings of 400 kB, two are read.
    let string = format!("\"[\\\"{}\\\"]\"", "x".repeat(400_000));
    let record = format!("{{\"a\":{string},\"b\":{string},\"c\":{string}}}");
    let batch = flatten(&record);
    let opened: Vec<bool> = batch.event(0).fields().map(|field| field.opened).collect();
    assert_eq!(opened, [true, false, true, false, false]);
    rebuilds(&batch, &record);

    // A string in a string in a string.
    let mut value = serde_json::json!([1]);
    for _ in 0..12 {
        value = serde_json::json!([value.to_string()]);
    }
    let record = serde_json::json!({ "a": value }).to_string();
    let batch = flatten(&record);
    assert_eq!(fields_of(&batch), 13);
    rebuilds(&batch, &record);

    // What is opened counts on from where it stood: 127 deep in all, and no deeper.
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let record = format!("{{\"a\":{}\"{}\"{}}}", "[".repeat(100), nested(100), "]".repeat(100));
    let batch = flatten(&record);
    let closed = batch.event(0).fields().last().unwrap().value;
    assert!(matches!(closed, Value::Json(text) if text.len() > 100), "{closed:?}");
    rebuilds(&batch, &record);
}

#[test]
fn a_spent_budget_is_counted() {
    let fields = Arc::default();
    let metrics = downspout_core::metrics::Metrics::new().unwrap();
    let labels = downspout_core::metrics::ComponentLabels {
        id: "flat".into(),
        kind: "transform",
        component_type: "flatten".into(),
    };
    let config = FlattenConfig { max_fields: 3, ..FlattenConfig::default() };
    let records = [r#"{"a":1}"#, r#"{"a":[1,2,3,4]}"#, r#"{"a":"[1,2,3]"}"#, r#"{"a":1,"b":1,"c":1,"d":1}"#];
    let mut batch = decode(&records, &fields);
    let mut flatten = Flatten::new(&config, &fields, metrics.component(labels));
    flatten.apply(&mut batch, &mut Outputs::default()).unwrap();
    let rendered = metrics.render();
    let line = rendered.lines().find(|line| line.contains("errors_total{") && line.contains("budget")).unwrap();
    assert!(line.ends_with(" 3"), "{line}");
}
