//! What holds for any text and any value.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use super::{Config, load_one, report, report_files};

/// Pieces that together often make something close to a config.
fn yaml_like() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "threads",
        "sinks",
        "path",
        "token",
        "lake",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "|",
        ">-",
        "&x ",
        "*x",
        "!t ",
        "<<",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "# c",
        "\t",
        "\r",
        "${WORD}",
        "${",
        "}",
        "$${",
        "${file:x}",
        "${UNSET:-1}",
        "1",
        "-1.5",
        "true",
        "~",
        "\u{feff}",
        "é",
        "\u{2028}",
        "\\",
        "\u{85}",
        "@",
        "`",
    ];
    vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |n| Number::from_f64(n).map(Value::Number)),
        any::<String>().prop_map(Value::from),
        "[-+0-9.eExo_~a-z ]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(key(), inner, 0..6).prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[-0-9.a-z ]{0,4}", Just("null".to_owned())]
}

/// The same with `${` escaped in all values.
fn with_escapes(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(text.replace("${", "$${")),
        Value::Array(items) => items.iter().map(with_escapes).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), with_escapes(value))).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        report(&text);
    }

    #[test]
    fn no_text_close_to_yaml_panics_or_shows_a_secret(text in yaml_like(), other in yaml_like()) {
        // The value of `${WORD}` ends so, and no piece of the text does.
        prop_assert!(!report(&text).contains("hunter2"));
        report_files(&[("a", &text), ("b", &other)]);
    }

    #[test]
    fn json_is_read_as_itself(value in json(), pretty in any::<bool>()) {
        let wrapped = serde_json::json!({ "v": value });
        let escaped = with_escapes(&wrapped);
        let text = if pretty { serde_json::to_string_pretty(&escaped) } else { serde_json::to_string(&escaped) };
        let (_, root) = load_one(&text.unwrap()).map_err(|p| TestCaseError::fail(p.to_string()))?;
        let read: Value = root.deserialize("").map_err(|p| TestCaseError::fail(p.message))?;
        prop_assert_eq!(read, wrapped);
    }

    #[test]
    fn every_place_lies_in_the_text(text in yaml_like()) {
        let Err(problems) = load_one(&text).and_then(|(sources, root)| {
            let mut problems = crate::config::Diagnostics::new(&sources);
            problems.collect(root.deserialize::<Config>(""));
            problems.into_result(())
        }) else {
            return Ok(());
        };
        let lines = text.split(['\n', '\r']).count();
        for problem in problems.iter() {
            let places = problem.span.iter().chain(problem.secondary.iter().map(|(span, _)| span));
            for span in places {
                prop_assert!(span.line >= 1 && span.line <= lines + 1 && span.column >= 1 && span.width >= 1);
            }
        }
    }
}
