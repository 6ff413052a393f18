//! Batches from bytes, and what can be done with them.

use super::*;
use crate::print::LineWriter;
use crate::value::Value;

fn records(lines: &[&[u8]]) -> Records {
    let mut text = Vec::new();
    let mut spans = Vec::new();
    for line in lines {
        let position = text.len() as u64;
        spans.push(Span { start: text.len(), len: line.len(), position });
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    Records { text: text.into(), spans }
}

fn origin() -> Origin {
    Origin { source: "s".into(), shard: "x".into() }
}

fn batch(lines: &[&str]) -> Batch {
    let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
    let (batch, rejected) = Batch::decode(records(&lines), origin(), Arc::default());
    assert_eq!(rejected, []);
    batch
}

fn print(batch: &Batch, flat: bool) -> String {
    let mut out = Vec::new();
    let mut writer = LineWriter::default();
    for event in batch.events() {
        if flat {
            writer.write_flat(event, &batch.names(), &mut out);
        } else {
            writer.write_raw(event, &batch.names(), &mut out);
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn the_top_level_is_named_and_nested_values_stay_closed() {
    let batch = batch(&[r#"{"a":1.50,"b":"x\ny","c":[1, 2],"d":{},"e":null,"k\u0041":true}"#]);
    let event = batch.event(0);
    let names = batch.names();
    let fields: Vec<_> = event.fields().map(|field| (names.printed(field.id).into_owned(), field.value)).collect();
    let expected = [
        ("a", Value::Number("1.50")),
        ("b", Value::String("x\ny")),
        ("c", Value::Json("[1, 2]")),
        ("d", Value::EmptyObject),
        ("e", Value::Null),
        ("kA", Value::Bool(true)),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn bad_records_are_refused_one_by_one() {
    let lines: [&[u8]; 5] = [b"{\"a\":1}", b"{\"a\":", b"{\"a\":\"\xff\"}", b"[1]", b"{\"a\":2}"];
    let (batch, rejected) = Batch::decode(records(&lines), origin(), Arc::default());
    assert_eq!(batch.events().map(|event| event.raw()).collect::<Vec<_>>(), ["{\"a\":1}", "{\"a\":2}"]);
    let mut reasons: Vec<_> = rejected.iter().map(|r| (r.position, r.reason.as_str())).collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            (8, "not JSON: the record ends early, at byte 5: a value"),
            (14, "not UTF-8: invalid byte at offset 6 of the record"),
            (24, "a record must be a JSON object"),
        ]
    );
    assert!(rejected.iter().any(|r| r.raw == lines[2]));
}

#[test]
fn names_beyond_the_table_live_in_the_batch() {
    let fields = Arc::new(FieldTable::bounded(1, 1000));
    let (batch, _) = Batch::decode(records(&[b"{\"a\":1,\"b.c\":2}", b"{\"b.c\":3}"]), origin(), Arc::clone(&fields));
    assert_eq!(fields.len(), 1);
    assert_eq!(print(&batch, true), "{\"a\":1,\"[b.c]\":2}\n{\"[b.c]\":3}\n");
}

#[test]
fn additions_are_spliced_into_the_raw_record() {
    let mut batch = batch(&[r#"{"a": 1 }"#, "{ }", r#"{"a":2}"#]);
    let geo = batch.fields().intern_path(&["geo", "country"]).unwrap();
    let city = batch.fields().intern_path(&["geo", "city"]).unwrap();
    batch.add(0, geo, Value::String("N\"L"));
    batch.add(1, geo, Value::Number("7"));
    batch.add(0, city, Value::String("Delft"));
    assert_eq!(
        print(&batch, false),
        "{\"a\": 1,\"geo.country\":\"N\\\"L\",\"geo.city\":\"Delft\"}\n{\"geo.country\":7}\n{\"a\":2}\n"
    );
}

#[test]
fn a_pretty_printed_record_becomes_one_line() {
    assert_eq!(print(&batch(&["{\n  \"a\": 1\r\n}"]), false), "{   \"a\": 1  }\n");
}

#[test]
fn selecting_and_retaining_copies_what_is_kept_whole() {
    let mut batch = batch(&[r#"{"a":"x\ty","l":[1]}"#, r#"{"a":"second"}"#, r#"{"a":"third","n":null}"#]);
    let geo = batch.fields().intern_path(&["geo"]).unwrap();
    batch.add(0, geo, Value::String("here"));
    batch.add(2, geo, Value::String("there"));
    batch.add(2, geo, Value::String("twice"));
    let selected = batch.select(&[2, 0]);
    assert_eq!(
        print(&selected, true),
        "{\"a\":\"third\",\"n\":null,\"geo\":[\"there\",\"twice\"]}\n{\"a\":\"x\\ty\",\"l\":[1],\"geo\":\"here\"}\n"
    );
    assert_eq!(selected.event(1).position(), 0);
    batch.retain(|event| event.index() == 0);
    assert_eq!(print(&batch, true), "{\"a\":\"x\\ty\",\"l\":[1],\"geo\":\"here\"}\n");
    assert!(batch.raw_bytes() * 2 >= batch.text.len());
}

/// The names find no room in the field table. Looking for each among all before it would take minutes.
#[test]
fn a_record_of_ever_new_names_is_printed_in_linear_time() {
    let members: Vec<String> = (0..300_000).map(|number| format!("\"n{number}\":{number}")).collect();
    let record = format!("{{{},\"n7\":8,\"n299999\":9}}", members.join(","));
    let fields = Arc::new(FieldTable::bounded(10, 1_000));
    let (batch, _) = Batch::decode(records(&[record.as_bytes(), b"{\"n299999\":1}"]), origin(), fields);
    let expected = format!("{{{}}}\n{{\"n299999\":1}}\n", members.join(","));
    let expected =
        expected.replace("\"n7\":7,", "\"n7\":[7,8],").replace("\"n299999\":299999", "\"n299999\":[299999,9]");
    assert!(print(&batch, true) == expected);
}

#[test]
fn what_was_added_hides_the_records_own() {
    let mut batch = batch(&[r#"{"a":"own","b":1,"a":"own too"}"#, r#"{"a":"own"}"#]);
    let field = batch.fields().intern(FieldId::ROOT, "a").unwrap();
    batch.add(0, field, Value::String("added"));
    batch.add(0, field, Value::String("added too"));
    assert_eq!(print(&batch, true), "{\"b\":1,\"a\":[\"added\",\"added too\"]}\n{\"a\":\"own\"}\n");
    let event = batch.event(0);
    let added = [Value::String("added"), Value::String("added too")];
    assert_eq!(event.get(field), Some(added[0]));
    assert_eq!(event.all(field).collect::<Vec<_>>(), added);
    assert_eq!(event.fields().filter(|found| found.id == field).map(|found| found.value).collect::<Vec<_>>(), added);
    assert_eq!(batch.event(1).get(field), Some(Value::String("own")));
    assert!(event.raw().contains("own"));
}

#[test]
fn a_batch_knows_its_memory_and_lets_go_of_its_parse_tree() {
    // Names of its own count.
    let record = format!("{{{}\"z\":1}}", (0..1_000).map(|n| format!("\"{n}\":1,")).collect::<String>());
    let memory = |table: FieldTable| Batch::decode(records(&[record.as_bytes()]), origin(), Arc::new(table)).0.memory();
    assert!(memory(FieldTable::bounded(1, 1_000)) > memory(FieldTable::default()) + 20_000);

    let mut batch = batch(&[&format!("{{\"a\":[{}0]}}", "0,".repeat(10_000))]);
    let before = batch.memory();
    batch.forget_parse_tree();
    assert!(before > 10_000 * size_of::<crate::json::Node>() && batch.memory() < before / 4);
    assert!(batch.rewrite(None).is_none());
}

#[test]
fn a_pretty_printed_record_is_one_line_in_every_form() {
    let batch = batch(&["{\"a\": {\r\n\"x\": [1,\n2]},\n\"b\": \"y\\n\"}"]);
    assert_eq!(print(&batch, true), "{\"a\":{  \"x\": [1, 2]},\"b\":\"y\\n\"}\n");
    assert_eq!(print(&batch, false), "{\"a\": {  \"x\": [1, 2]}, \"b\": \"y\\n\"}\n");
}
