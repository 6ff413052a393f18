//! What well-formed configs are read as.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Mode, env, load_one, read};
use crate::config::{load, load_texts};

fn read_as<T: serde::de::DeserializeOwned>(value: &str) -> T {
    let (_, root) = load_one(&format!("v: {value}\n")).unwrap_or_else(|problems| panic!("{problems}"));
    let node = root.get("v").unwrap();
    node.deserialize("v").unwrap_or_else(|problem| panic!("{}", problem.message))
}

#[test]
fn what_is_asked_for_decides() {
    assert_eq!(read_as::<String>("123"), "123");
    assert_eq!(read_as::<String>("1.10"), "1.10");
    assert_eq!(read_as::<String>("true"), "true");
    assert_eq!(read_as::<String>("\"\""), "");
    assert_eq!(read_as::<String>("'null'"), "null");
    assert_eq!(read_as::<u64>("18446744073709551615"), u64::MAX);
    assert_eq!(read_as::<i64>("-9223372036854775808"), i64::MIN);
    assert_eq!(read_as::<u8>("0xff"), 255);
    assert_eq!(read_as::<f64>("3"), 3.0);
    assert_eq!(read_as::<f32>("1e3"), 1000.0);
    assert_eq!(read_as::<char>("','"), ',');
    assert_eq!(read_as::<Option<u8>>("~"), None);
    assert_eq!(read_as::<Option<u8>>("7"), Some(7));
    assert_eq!(read_as::<(u8, String)>("[1, 2]"), (1, "2".to_owned()));
    assert_eq!(read_as::<BTreeMap<u16, bool>>("{ 1: true, 2: false }"), BTreeMap::from([(1, true), (2, false)]));
    assert_eq!(read_as::<BTreeMap<String, u8>>("{ 1: 1, true: 2, null: 3 }").len(), 3);
    assert_eq!(read_as::<Mode>("follow"), Mode::Follow);
    assert_eq!(read_as::<Mode>("{ every: 5 }"), Mode::Every(5));
    assert_eq!(read_as::<Value>("[1, -1, 1.5, a, 'b', true, null, {x: []}]"), {
        json!([1, -1, 1.5, "a", "b", true, null, {"x": []}])
    });
    assert_eq!(read_as::<String>("|\n  two\n  lines\n"), "two\nlines\n");
}

#[test]
fn custom_structs_and_ignored_values() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Deserialize)]
    struct Newtype(u8);
    #[derive(Debug, PartialEq, Deserialize)]
    struct Loose {
        kept: Newtype,
    }
    assert_eq!(read_as::<Unit>(""), Unit);
    assert_eq!(read_as::<Loose>("{ kept: 1, other: { a: [1] } }"), Loose { kept: Newtype(1) });
}

#[test]
fn an_alias_repeats_a_value() {
    let (_, root) = load_one("a: &a { x: [1, 2] }\nb: *a\nc: [*a, *a]\n").unwrap();
    let value: Value = root.deserialize("").unwrap();
    let a = json!({ "x": [1, 2] });
    assert_eq!(value, json!({ "a": a, "b": a, "c": [a, a] }));
}

#[test]
fn references_are_filled_in() {
    let cases = [
        ("${WORD}", json!("abc-hunter2")),
        ("${NUMBER}", json!(4)),
        ("\"${NUMBER}\"", json!("4")),
        ("'${NUMBER}'", json!("4")),
        ("${NUMBER}${NUMBER}", json!(44)),
        ("v${NUMBER}", json!("v4")),
        ("${UNSET:-true}", json!(true)),
        ("${UNSET:-}", json!(null)),
        ("\"${UNSET:-}\"", json!("")),
        ("${EMPTY}", json!(null)),
        ("${EMPTY:-x}", json!("x")),
        ("${UNSET:-a:-b}", json!("a:-b")),
        ("$${WORD}", json!("${WORD}")),
        ("$$${WORD}", json!("$${WORD}")),
        ("$${WORD} ${NUMBER}", json!("${WORD} 4")),
        ("$5 and $WORD", json!("$5 and $WORD")),
        ("${TRICKY}", json!("a: \"b\", {c} # d\n")),
        ("${REFERENCE}", json!("${WORD}")),
        ("[\"${WORD}\"]", json!(["abc-hunter2"])),
        ("{ \"${WORD}\": 1 }", json!({ "${WORD}": 1 })),
    ];
    for (text, expected) in cases {
        assert_eq!(read_as::<Value>(text), expected, "{text}");
    }
}

#[test]
fn secret_files_lie_beside_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    let contents: [(&[u8], &str); 4] =
        [(b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b"a\n\n", "a\n"), (b"", "")];
    let config = folder.path().join("pipeline.yaml");
    write("pipeline.yaml", b"v: \"${file:secret}\"\n");
    for (content, expected) in contents {
        write("secret", content);
        let (_, root) = load(std::slice::from_ref(&config), &env).unwrap();
        assert_eq!(root.get("v").unwrap().deserialize::<String>("v").unwrap(), expected);
    }
    let bad: [(Vec<u8>, &str); 2] =
        [(vec![b'x'; (64 << 10) + 1], "is larger than 64 KiB"), (vec![0xff], "is not UTF-8")];
    for (content, expected) in bad {
        write("secret", &content);
        let problems = load(std::slice::from_ref(&config), &env).unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems}");
    }
    write("secret", &[b'x'; 64 << 10]);
    assert!(load(std::slice::from_ref(&config), &env).is_ok());
    write("pipeline.yaml", format!("v: \"{}\"\n", "${file:secret}".repeat(300)).as_bytes());
    let problems = load(&[config], &env).unwrap_err().to_string();
    assert!(problems.contains("more than 16 MiB of values"), "{problems}");
}

#[test]
fn several_files_are_merged() {
    let a = "threads: 2\nsources:\nsinks:\n  lake: { path: a }\n";
    let b = "data_dir: x\nsources: { in: {} }\nsinks: { soc: { path: b } }\n";
    let (_, root) = load_texts(&[("a", a), ("b", b), ("c", "sinks:\n")], &env).unwrap();
    let value: Value = root.deserialize("").unwrap();
    let expected = json!({
        "threads": 2, "data_dir": "x", "sources": { "in": {} },
        "sinks": { "lake": { "path": "a" }, "soc": { "path": "b" } },
    });
    assert_eq!(value, expected);
}

#[test]
fn whole_configs_are_read() {
    let config = read("threads: ${NUMBER}\nsinks:\n  lake:\n    path: 7\n    columns: [a, 1]\n").unwrap();
    assert_eq!(config.threads, Some(4));
    assert_eq!(config.sinks["lake"].columns, ["a", "1"]);
}

#[test]
fn the_values_of_core_are_read() {
    use downspout_core::config_values::{ByteSize, HumanDuration, Secret};
    assert_eq!(read_as::<HumanDuration>("30s").to_string(), "30s");
    assert_eq!(read_as::<ByteSize>("64MiB"), ByteSize(64 << 20));
    assert_eq!(read_as::<ByteSize>("65536"), ByteSize(65_536));
    assert_eq!(read_as::<Secret>("0123").expose(), "0123");
    let cases = [
        (
            "30",
            "expected a duration: a whole number and its unit (ms, s, m, h or d), such as `30s`, found the number 30",
        ),
        (
            "30x",
            "expected a duration: a whole number and its unit (ms, s, m, h or d), such as `30s`, found the string \"30x\"",
        ),
        (
            "\"${WORD}\"",
            "expected a duration: a whole number and its unit (ms, s, m, h or d), such as `30s`, found `***`",
        ),
    ];
    for (text, expected) in cases {
        let (_, root) = load_one(&format!("v: {text}\n")).unwrap();
        let problem = root.get("v").unwrap().deserialize::<HumanDuration>("v").unwrap_err();
        assert_eq!(problem.message, format!("v: {expected}"), "{text}");
    }
}
