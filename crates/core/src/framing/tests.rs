//! Table and property tests of framing: each format, packed in each way, read in pieces of each size.

use std::io::{Cursor, Write};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::stream;
use super::*;

/// Everything that framing gave for a text.
#[derive(Debug, Default, Clone, PartialEq)]
struct Outcome {
    /// Position and text of each record.
    records: Vec<(u64, String)>,
    /// Position, reason and text of what was rejected.
    rejected: Vec<(u64, String, String)>,
    refused: Option<String>,
    resumes: Vec<Resume>,
}

impl Outcome {
    fn add(&mut self, framed: Framed) {
        for span in &framed.records.spans {
            let record = &framed.records.text[span.start..span.start + span.len];
            self.records.push((span.position, String::from_utf8_lossy(record).into_owned()));
        }
        for rejected in framed.rejected {
            self.rejected.push((
                rejected.position,
                rejected.reason,
                String::from_utf8_lossy(&rejected.raw).into_owned(),
            ));
        }
        self.resumes.push(framed.resume);
    }

    fn texts(&self) -> Vec<&str> {
        self.records.iter().map(|(_, text)| text.as_str()).collect()
    }

    fn values(&self) -> Vec<Value> {
        self.records.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect()
    }

    /// Without what depends on where batches were cut.
    fn essence(mut self) -> Outcome {
        self.resumes.clear();
        self
    }

    fn reasons(&self) -> String {
        self.rejected.iter().map(|(position, reason, raw)| format!("{position} {reason} <{raw}>\n")).collect()
    }
}

fn limits(read_bytes: usize) -> Limits {
    Limits { max_record_bytes: 1 << 20, batch_records: 3, batch_bytes: 200, read_bytes }
}

/// Frames a text from `resume` on, in reads of `limits.read_bytes`.
fn frame_from(text: &[u8], limits: Limits, resume: Resume) -> Outcome {
    let mut framer = Framer::new("t".into(), limits, resume);
    let mut stream = Cursor::new(&text[resume.offset as usize..]);
    let mut outcome = Outcome::default();
    let mut end = End::More;
    loop {
        match framer.next(end) {
            Ok(Some(framed)) => outcome.add(framed),
            Ok(None) if end == End::Final => break,
            Ok(None) if framer.fill(&mut stream).unwrap() == 0 => end = End::Final,
            Ok(None) => {}
            Err(problem) => {
                outcome.refused = Some(problem);
                break;
            }
        }
    }
    outcome.resumes.push(framer.resume());
    outcome
}

fn frame(text: &[u8], limits: Limits) -> Outcome {
    frame_from(text, limits, Resume::default())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    // Two members, cut anywhere.
    let (first, second) = text.split_at(text.len() / 3);
    let member = |part: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    };
    [member(first), member(second)].concat()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    let (first, second) = text.split_at(text.len() / 2);
    [zstd::encode_all(first, 1).unwrap(), zstd::encode_all(second, 1).unwrap()].concat()
}

fn unpack(packed: Vec<u8>) -> Vec<u8> {
    let mut text = Vec::new();
    stream::open(Cursor::new(packed)).unwrap().stream.read_to_end(&mut text).unwrap();
    text
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
}

/// The layouts, each with the records `{"a":1}`, `{"b":"x,\"y\" {[ é"}` and `{"c":[{"d":{}}]}`.
fn layouts() -> Vec<(&'static str, &'static str)> {
    vec![
        ("lines", "{\"a\":1}\n{\"b\":\"x,\\\"y\\\" {[ é\"}\n\n{\"c\":[{\"d\":{}}]}\n"),
        ("lines, crlf, no last newline", "{\"a\":1}\r\n{\"b\":\"x,\\\"y\\\" {[ é\"}\r\n{\"c\":[{\"d\":{}}]}"),
        ("byte order mark", "\u{feff}{\"a\":1}\n{\"b\":\"x,\\\"y\\\" {[ é\"}\n\u{feff}{\"c\":[{\"d\":{}}]}\n"),
        ("array", "[{\"a\":1},{\"b\":\"x,\\\"y\\\" {[ é\"},{\"c\":[{\"d\":{}}]}]"),
        (
            "pretty array",
            "[\n  {\n    \"a\": 1\n  },\n  {\n    \"b\": \"x,\\\"y\\\" {[ é\"\n  },\n  {\"c\": [{\"d\": {}}]}\n]\n",
        ),
        ("arrays", "\u{feff}[{\"a\":1}]\n[]\r\n[{\"b\":\"x,\\\"y\\\" {[ é\"} , {\"c\":[{\"d\":{}}]}]\n"),
        ("objects", "{\n\"a\":1\n}\n{\"b\":\"x,\\\"y\\\" {[ é\"}{\n  \"c\":[{\"d\":{}}]}\n"),
        ("objects with commas", "{\"a\":1},\n{\"b\":\"x,\\\"y\\\" {[ é\"},\n{\"c\":[{\"d\":{}}]}\n"),
        ("objects on one line", "{\"a\":1}{\"b\":\"x,\\\"y\\\" {[ é\"} {\"c\":[{\"d\":{}}]}"),
        (
            "graph page",
            "{\"@odata.context\":\"https://g/$metadata#x\",\"@odata.count\": 3 ,\"@odata.nextLink\":\"https://g/?a=\\\"\",\
             \"value\":[{\"a\":1},{\"b\":\"x,\\\"y\\\" {[ é\"},{\"c\":[{\"d\":{}}]}]}",
        ),
        (
            "pretty graph page, link behind",
            "{\n  \"@odata.context\": \"https://g\",\n  \"value\": [\n    {\"a\": 1},\n    {\"b\": \"x,\\\"y\\\" {[ é\"},\n    \
             {\"c\": [{\"d\": {}}]}\n  ],\n  \"@odata.nextLink\": \"https://g/]}\"\n}\n",
        ),
        (
            "azure page",
            "{\"nextLink\":\"x\",\"value\":[{\"a\":1},{\"b\":\"x,\\\"y\\\" {[ é\"},{\"c\":[{\"d\":{}}]}],\"e\":{\"f\":[]}}",
        ),
        (
            "pages by line",
            "{\"records\":[{\"a\":1},{\"b\":\"x,\\\"y\\\" {[ é\"}]}\r\n{\"records\":[]}\n{\"records\":[{\"c\":[{\"d\":{}}]}]}\n",
        ),
        (
            "devops page",
            "{\"decoratedAuditLogEntries\":[{\"a\":1},{\"b\":\"x,\\\"y\\\" {[ é\"},{\"c\":[{\"d\":{}}]}],\"hasMore\":false}",
        ),
        (
            "csv",
            "RecordId,AuditData,More\r\n1,\"{\"\"a\"\":1}\",x\r\n2,\"{\"\"b\"\":\"\"x,\\\"\"y\\\"\" {[ é\"\"}\",\r\n3,\"{\"\"c\"\":[{\"\"d\"\":{}}]}\",\r\n",
        ),
        (
            "old csv with semicolons",
            "\u{feff}#TYPE Deserialized.Something\n\"RecordId\";\"auditData\"\n\"1\";\"{\"\"a\"\":1}\"\n\n\"2\n3\";\"{\"\"b\"\":\"\"x,\\\"\"y\\\"\" {[ é\"\"}\"\n4;{\"c\":[{\"d\":{}}]}",
        ),
        (
            "tabs",
            "AuditData2\tAuditData\tauditdata\n\t{\"a\":1}\t\n\t\"{\"\"b\"\":\"\"x,\\\"\"y\\\"\" {[ é\"\"}\"\t\n\t{\"c\":[{\"d\":{}}]}\n",
        ),
    ]
}

#[test]
fn every_layout_packed_in_every_way_and_read_in_pieces_gives_the_same_records() {
    let wanted = vec![json!({"a": 1}), json!({"b": "x,\"y\" {[ é"}), json!({"c": [{"d": {}}]})];
    for (layout, text) in layouts() {
        let plain = frame(text.as_bytes(), limits(64 << 10));
        assert_eq!(plain.values(), wanted, "{layout}");
        assert_eq!((&plain.rejected, &plain.refused), (&vec![], &None), "{layout}");
        for (position, record) in &plain.records {
            let at = *position as usize - 1;
            let is_cell = text.contains("uditData");
            assert!(is_cell || text[at..].starts_with(record), "{layout}: {record} is not at {at}");
        }
        let packed = [text.as_bytes().to_vec(), unpack(gzip(text.as_bytes())), unpack(zstd(text.as_bytes()))];
        for (packing, unpacked) in packed.iter().enumerate() {
            for read_bytes in [1, 7, 64 << 10] {
                let found = frame(unpacked, limits(read_bytes));
                assert_eq!(
                    found.essence(),
                    plain.clone().essence(),
                    "{layout}, packing {packing}, {read_bytes} bytes a read"
                );
            }
        }
        let text = text.trim_start_matches('\u{feff}');
        for unpacked in [unpack(utf16(text, u16::to_le_bytes)), unpack(utf16(text, u16::to_be_bytes))] {
            assert_eq!(frame(&unpacked, limits(64)).values(), wanted, "{layout} in UTF-16");
        }
    }
}

#[test]
fn reading_on_behind_any_batch_gives_the_rest_with_the_same_positions() {
    for (layout, text) in layouts() {
        let one = Limits { batch_records: 1, ..limits(5) };
        let all = frame(text.as_bytes(), one);
        for resume in all.resumes.clone() {
            let stored: Resume = serde_json::from_slice(&serde_json::to_vec(&resume).unwrap()).unwrap();
            let rest = frame_from(text.as_bytes(), one, stored);
            let expected: Vec<_> =
                all.records.iter().filter(|(position, _)| *position > resume.offset.max(resume.covered)).collect();
            assert_eq!(rest.records.iter().collect::<Vec<_>>(), expected, "{layout} from {resume:?}");
        }
    }
}

#[test]
fn a_broken_line_ends_at_its_newline() {
    let text = b"{\"a\":1}\n{\"b\":\"\n}}]\n\0\0\n{\"c\":{\n{\"d\":2}\n";
    let found = frame(text, limits(3));
    assert_eq!(found.texts(), ["{\"a\":1}", "{\"b\":\"", "}}]", "\0\0", "{\"c\":{", "{\"d\":2}"]);
    assert_eq!(found.reasons(), "");
}

#[test]
fn broken_json_is_rejected_and_the_next_record_found() {
    let cases = [
        ("lost quote on the first line", "{\"a\":\"x}\n{\"b\":1}\n{\"c\":2}\n", vec!["{\"b\":1}", "{\"c\":2}"]),
        ("lost bracket on the first line", "{\"a\":{}\n{\"b\":1}\n{\"c\":2}\n", vec!["{\"b\":1}", "{\"c\":2}"]),
        (
            "lost bracket among elements",
            "[\n  {\n    \"a\": {\n  },\n  {\n    \"b\": 1\n  }\n]\n",
            vec!["{\n    \"b\": 1\n  }"],
        ),
        ("wrong bracket", "[\n {\"a\":[1}},\n {\"b\":1}\n]", vec!["{\"b\":1}"]),
        ("text in front", "export of today\n\n[{\"b\":1}]\n", vec!["{\"b\":1}"]),
        ("text between", "{\"a\":1}\n{\n}\nnull\n{\"b\":\n1}", vec!["{\"a\":1}", "{", "}", "null", "{\"b\":", "1}"]),
        ("text between objects", "{\"a\":\n1}\nnull\n{\"b\":\n1}", vec!["{\"a\":\n1}", "{\"b\":\n1}"]),
        (
            "page, then junk, then page",
            "{\"value\":[{\"a\":1},{\"x]}\n{\"value\":[{\"b\":1}]}\n",
            vec!["{\"a\":1}", "{\"b\":1}"],
        ),
        ("scalars in an array", "[1,\"x\", null ,{\"a\":1}]", vec!["1", "\"x\"", "null", "{\"a\":1}"]),
        ("a value of its own", "{\"value\":[1,2]}\n", vec!["{\"value\":[1,2]}"]),
        ("not closed", "[{\"a\":1},\n", vec!["{\"a\":1}"]),
        ("cut off", "[{\"a\":1},\n{\"b\":", vec!["{\"a\":1}"]),
    ];
    for (what, text, wanted) in cases {
        let whole = frame(text.as_bytes(), limits(1000));
        assert_eq!(whole.texts(), wanted, "{what}");
        for read_bytes in [1, 2, 7] {
            assert_eq!(frame(text.as_bytes(), limits(read_bytes)).essence(), whole.clone().essence(), "{what}");
        }
    }
}

#[test]
fn reasons_say_what_and_where() {
    let text = "junk\n{\"a\":\n1}\n{\"b\":\"x}\n{\"c\":[\n1}\n}\n{\"d\":\n";
    insta::assert_snapshot!(frame(text.as_bytes(), limits(1000)).reasons(), @r#"
    1 t, byte 0: 5 bytes between records that are no JSON <junk>
    15 t, byte 14: 9 bytes of broken JSON: a string is not closed on its line <{"b":"x}>
    24 t, byte 23: 12 bytes of broken JSON: a bracket closes another kind of bracket <{"c":[
    1}
    }>
    36 t, byte 35: 6 bytes of broken JSON: the text ends before the record does <{"d":>
    "#);
    insta::assert_snapshot!(frame(b"[{\"a\":1}", limits(1000)).reasons(), @"9 t, byte 8: the text ends inside a JSON array: records may be missing <>");
    insta::assert_snapshot!(frame(b"A,AuditData\nx\ny,\nz,{}\n", limits(1000)).reasons(), @r"
    13 t, byte 12: a row that ends with cell 1, where AuditData is column 2 <x>
    15 t, byte 14: the cell AuditData is empty <y,>
    ");
    insta::assert_snapshot!(frame(b"RecordId,Operation,UserId\n1,2,3\n", limits(1000)).refused.unwrap(), @"t: neither JSON nor a CSV with a column AuditData; as a CSV, its first line names the columns `RecordId`, `Operation`, `UserId`; export it again with the column AuditData, or leave the file out");
    insta::assert_snapshot!(frame(b"\x7fELF\x02\x01\x01\0\0\0", limits(1000)).refused.unwrap(), @r"t: neither JSON nor a CSV with a column AuditData; as a CSV, its first line names the columns `\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0`; export it again with the column AuditData, or leave the file out");
}

#[test]
fn rows_around_records_are_unwrapped() {
    let text = r#"{"RecordType":8,"AuditData":"{\"a\":\"\\u00e9 \\\\\"}","Identity":"x"}
{"id": "1", "auditData": {"a": [1]} , "x": [{"auditData": 1}]}
{"c":3,"x":"\"AuditData\":"}
{"d":4,"x":{"AuditData":{"no":1}}}
{"AuditData":"","e":5}
{"AuditData":{"f":
{"AuditData":"no object"}
"#;
    let wanted = [r#"{"a":"\u00e9 \\"}"#, r#"{"a": [1]}"#].into_iter().chain(text.lines().skip(2)).collect::<Vec<_>>();
    let whole = frame(text.as_bytes(), Limits { batch_records: 100, batch_bytes: 10_000, ..limits(5) });
    assert_eq!(whole.texts(), wanted);
    assert_eq!(frame(text.as_bytes(), limits(3)).essence(), whole.clone().essence());
    let starts: Vec<u64> = text.match_indices('\n').map(|(at, _)| at as u64 + 2).collect();
    assert_eq!(whole.records[1..].iter().map(|(at, _)| *at).collect::<Vec<_>>(), starts[..6]);
    let array = format!("[{},\n{}]", text.lines().nth(2).unwrap(), text.lines().next().unwrap());
    assert_eq!(frame(array.as_bytes(), Limits::new(1000)).texts(), [wanted[2], wanted[0]]);
}

#[test]
fn a_record_over_the_limit_is_passed_by_without_being_held() {
    let small = |read_bytes| Limits { max_record_bytes: 1000, ..limits(read_bytes) };
    let long = "x".repeat(200_000);
    let cases = [
        ("line", format!("{{\"a\":1}}\n{{\"b\":\"{long}\"}}\n{{\"c\":2}}\n")),
        ("first line", format!("{{\"b\":\"{long}\"}}\n{{\"a\":1}}\n{{\"c\":2}}\n")),
        ("element", format!("[{{\"a\":1}},{{\"b\":\"{long}\"}},{{\"c\":2}}]")),
        ("pretty element", format!("[\n  {{\"a\":1}},\n  {{\n    \"b\":\"{long}\"\n  }},\n  {{\"c\":2}}\n]")),
        ("csv", format!("AuditData\n{{\"a\":1}}\n\"{long}\n{{\"c\":2}}\n")),
    ];
    for (what, text) in cases {
        let whole = frame(text.as_bytes(), small(1 << 20));
        assert_eq!(whole.texts(), ["{\"a\":1}", "{\"c\":2}"], "{what}");
        let (_, reason, raw) = &whole.rejected[0];
        assert!(
            reason.contains("longer than max_record_bytes, 1000; its first 65536 bytes are kept"),
            "{what}: {reason}"
        );
        assert_eq!((whole.rejected.len(), raw.len()), (1, 64 << 10), "{what}");
        for read_bytes in [999, 4096] {
            assert_eq!(frame(text.as_bytes(), small(read_bytes)).essence(), whole.clone().essence(), "{what}");
        }
        let mut framer = Framer::new("t".into(), small(4096), Resume::default());
        let mut stream = Cursor::new(text.as_bytes());
        let mut most = 0;
        while framer.fill(&mut stream).unwrap() > 0 {
            while framer.next(End::More).unwrap().is_some() {}
            most = most.max(framer.window.held());
        }
        assert!(most < 20_000, "{what}: held {most} bytes");
    }
}

#[test]
fn nesting_of_100_000_levels_is_framed() {
    let bomb = "[".repeat(100_000) + &"]".repeat(100_000);
    let text = format!("[{{\"a\":{bomb}}},{{\"b\":1}}]");
    let found = frame(text.as_bytes(), limits(1 << 16));
    assert_eq!((found.records.len(), found.texts()[1]), (2, "{\"b\":1}"));
    let open = frame("{\n".repeat(100_000).as_bytes(), limits(1 << 16));
    assert!(open.records.is_empty() && !open.rejected.is_empty());
}

#[test]
fn a_text_that_ends_inside_a_record_goes_on_when_it_grows() {
    let cases = [
        ("line", "{\"a\":1}\n{\"b\":", "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n", vec!["{\"b\":2}", "{\"c\":3}"]),
        ("whole line", "{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n", vec!["{\"c\":3}"]),
        ("element", "[{\"a\":1},{\"b\":", "[{\"a\":1},{\"b\":2},{\"c\":3}]", vec!["{\"b\":2}", "{\"c\":3}"]),
        ("array", "[{\"a\":1},{\"b\":2}", "[{\"a\":1},{\"b\":2},{\"c\":3}]", vec!["{\"c\":3}"]),
        (
            "row",
            "AuditData\n\"{\"\"b\"\":",
            "AuditData\n\"{\"\"b\"\":2}\"\n{\"c\":3}\n",
            vec!["{\"b\":2}", "{\"c\":3}"],
        ),
        ("whole row", "AuditData\n{\"b\":2}", "AuditData\n{\"b\":2}\r\n{\"c\":3}\r\n", vec!["{\"c\":3}"]),
    ];
    for (what, before, after, wanted) in cases {
        let first = frame(before.as_bytes(), limits(9));
        let resume = *first.resumes.last().unwrap();
        assert_eq!(frame_from(before.as_bytes(), limits(9), resume).essence(), Outcome::default(), "{what}: not grown");
        let second = frame_from(after.as_bytes(), limits(9), resume);
        assert_eq!(second.texts(), wanted, "{what}");
        let used =
            first.records.iter().map(|(at, _)| *at).chain(first.rejected.iter().map(|(at, ..)| *at)).max().unwrap_or(0);
        let positions: Vec<u64> = second.records.iter().map(|(at, _)| *at).collect();
        assert!(
            positions.iter().all(|at| *at > used) && positions.is_sorted_by(|a, b| a < b),
            "{what}: {used} {positions:?}"
        );
    }
}

#[test]
fn damaged_archives_give_what_is_whole_and_an_error() {
    let text: String = (0..5000).map(|n| format!("{{\"n\":{n},\"x\":{}}}\n", n * 7919 % 10_007)).collect();
    for packed in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
        let cut = packed[..packed.len() - 100].to_vec();
        let mut stream = stream::open(Cursor::new(cut)).unwrap().stream;
        let mut framer = Framer::new("t".into(), Limits::new(1 << 20), Resume::default());
        let mut outcome = Outcome::default();
        let error = loop {
            match framer.fill(&mut stream) {
                Ok(0) => panic!("the damage was not seen"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(stream::is_damage(&error));
        while let Some(framed) = framer.next(End::Pause).unwrap() {
            outcome.add(framed);
        }
        assert!(outcome.records.len() > 2000);
        for (n, record) in outcome.values().iter().enumerate() {
            assert_eq!(record["n"], n);
        }
        outcome.add(framer.fail("the data is cut off"));
        let (position, reason, raw) = &outcome.rejected[0];
        assert!(reason.contains("the data is cut off"));
        assert!(*position > outcome.records.last().unwrap().0 && text.contains(raw.as_str()));
    }
}

#[test]
fn utf16_that_is_not_well_formed_becomes_replacement_characters() {
    let units = [0xfeff, 0x61, 0xd800, 0x62, 0xdc00, 0xd83d, 0xde00, 0xd83d];
    let mut bytes: Vec<u8> = units.into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.push(0);
    assert_eq!(String::from_utf8(unpack(bytes)).unwrap(), "\u{feff}a\u{fffd}b\u{fffd}😀\u{fffd}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é\n\"\\\\{}\\[\\],:]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z\"\\\\{@.]{0,6}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_record() -> impl Strategy<Value = Value> {
    // The first member keeps a record from looking like a page.
    any_json().prop_map(|value| json!({"0": value}))
}

fn write_all(records: &[Value], layout: usize) -> String {
    let compact = |separator: &str| records.iter().map(Value::to_string).collect::<Vec<_>>().join(separator);
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    match layout {
        0 => compact("\n") + "\n",
        1 => format!("[{}]", compact(",")),
        2 => pretty(&json!(records)),
        3 => records.iter().map(|record| pretty(record) + "\n").collect(),
        4 => format!("{{\"value\":[{}],\"nextLink\":null}}", compact(" , ")),
        5 => pretty(&json!({"records": records})),
        6 => records.iter().map(|record| format!("[{record}]\n")).collect(),
        7 => records.iter().map(|record| format!("{{\"@odata.a\":1,\"value\":[{record}]}}\n")).collect(),
        _ => {
            let row = |record: &Value| format!("x,\"{}\"\r\n", record.to_string().replace('"', "\"\""));
            "Id,AuditData\r\n".to_owned() + &records.iter().map(row).collect::<String>()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_survive_every_layout(
        records in prop::collection::vec(any_record(), 0..8),
        layout in 0..9usize,
        read_bytes in 1..200usize,
    ) {
        let text = write_all(&records, layout);
        let found = frame(text.as_bytes(), limits(read_bytes));
        prop_assert_eq!(found.values(), records, "{}", text);
        prop_assert_eq!(found.reasons(), "");
        prop_assert!(found.records.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn any_text_is_accounted_for_in_any_pieces(
        parts in prop::collection::vec(prop_oneof![
            "[ \n{}\\[\\]\",:\\\\a1\r]{0,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..8),
            Just(b"{\"a\":1}\n".to_vec()),
            Just(b"{\"value\":[".to_vec()),
            Just(b"\xef\xbb\xbf".to_vec()),
        ], 0..12),
        read_bytes in 1..40usize,
        max_record_bytes in 1..60usize,
    ) {
        let text = parts.concat();
        let bounded = |read_bytes| Limits { max_record_bytes, ..limits(read_bytes) };
        let whole = frame(&text, bounded(4096));
        prop_assert_eq!(frame(&text, bounded(read_bytes)).essence(), whole.clone().essence());
        prop_assert!(whole.records.is_sorted_by(|a, b| a.0 < b.0));
        prop_assert!(whole.rejected.is_sorted_by(|a, b| a.0 < b.0));
        let has_page = text.windows(7).any(|part| part == b"\"value\"");
        if whole.refused.is_none() && !has_page {
            let mut covered = vec![false; text.len() + 1];
            let records = whole.records.iter().map(|(at, text)| (*at, text.len()));
            for (position, len) in records.chain(whole.rejected.iter().map(|(at, _, raw)| (*at, raw.len()))) {
                let start = position as usize - 1;
                let end = (start + len).min(covered.len());
                covered[start..end].fill(true);
            }
            let left: Vec<u8> = text.iter().zip(&covered).filter(|(_, covered)| !**covered).map(|(byte, _)| *byte).collect();
            prop_assert!(left.iter().all(|byte| b" \t\r\n,[]\xef\xbb\xbf\x0c".contains(byte)), "{:?} of {:?}", left, whole);
        }
    }

    #[test]
    fn reading_on_anywhere_gives_the_rest(
        records in prop::collection::vec(any_record(), 0..12),
        layout in 0..9usize,
        at in any::<prop::sample::Index>(),
    ) {
        let text = write_all(&records, layout);
        let all = frame(text.as_bytes(), limits(11));
        let resume = *at.get(&all.resumes);
        let rest = frame_from(text.as_bytes(), limits(13), resume);
        let expected: Vec<_> = all.records.into_iter().filter(|(position, _)| *position > resume.offset.max(resume.covered)).collect();
        prop_assert_eq!(rest.records, expected);
    }
}
