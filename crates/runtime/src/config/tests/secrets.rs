//! A secret is in no message, and in no line that is shown.

use insta::assert_snapshot;
use serde::Deserialize;

use super::{load_one, report};
use crate::config::Diagnostics;

#[test]
fn interpolated_values_are_not_shown() {
    assert_snapshot!(report("threads: ${WORD}\n"), @r#"
    error: threads: expected a whole number, found `***`
     --> pipeline.yaml:1:10
      |
    1 | threads: ${WORD}
      |          ^^^^^^^
    "#);
    assert_snapshot!(report("threads: \"${NUMBER}\"\n"), @r#"
    error: threads: expected a whole number, found `***`
     --> pipeline.yaml:1:10
      |
    1 | threads: "${NUMBER}"
      |          ^^^^^^^^^^^
      = help: leave out the quotes: what stands in quotes is a string
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, mode: \"${WORD}\" } }\n"), @r#"
    error: sinks.lake.mode: unknown value `***`
     --> pipeline.yaml:1:33
      |
    1 | sinks: { lake: { path: x, mode: "${WORD}" } }
      |                                 ^^^^^^^^^^
      = help: known values: once, follow, every
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, columns: \"${WORD}\" } }\n"), @r#"
    error: sinks.lake.columns: expected a list, found `***`
     --> pipeline.yaml:1:36
      |
    1 | sinks: { lake: { path: x, columns: "${WORD}" } }
      |                                    ^^^^^^^^^^
      = help: put it into brackets to make a list of one: [ ... ]
    "#);
    assert_snapshot!(report("sinks: \"${WORD}\"\n"), @r#"
    error: sinks: expected a mapping, found `***`
     --> pipeline.yaml:1:8
      |
    1 | sinks: "${WORD}"
      |        ^^^^^^^^^
    "#);
    let (sources, root) = load_one("a: \"${WORD}\"\npassword: hunter2\n").unwrap();
    assert!(!format!("{root:?} {sources:?}").contains("hunter2"));
}

#[test]
fn reasons_that_components_give_are_not_trusted() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Picky;
    impl TryFrom<String> for Picky {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            Err(format!("cannot use {}", text.to_uppercase()))
        }
    }
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Pair")]
    struct Checked;
    #[derive(Debug, Deserialize)]
    struct Pair {
        a: String,
        b: String,
    }
    impl TryFrom<Pair> for Checked {
        type Error = String;
        fn try_from(pair: Pair) -> Result<Self, String> {
            Err(format!("{} and {:?} do not go together", pair.a, pair.b))
        }
    }
    let (sources, root) =
        load_one("word: \"${WORD}\"\nplain: text\npair: { a: \"${WORD}\", b: \"${TRICKY}\" }\n").unwrap();
    let mut problems = Diagnostics::new(&sources);
    problems.collect(root.get("word").unwrap().deserialize::<Picky>("word"));
    problems.collect(root.get("plain").unwrap().deserialize::<Picky>("plain"));
    problems.collect(root.get("pair").unwrap().deserialize::<Checked>("pair"));
    assert_snapshot!(problems, @r#"
    error: word: the value `***` is not accepted (why is not shown, since the reason quotes a part of it)
     --> pipeline.yaml:1:7
      |
    1 | word: "${WORD}"
      |       ^^^^^^^^^

    error: plain: cannot use TEXT
     --> pipeline.yaml:2:8
      |
    2 | plain: text
      |        ^^^^

    error: pair: *** and "***" do not go together
     --> pipeline.yaml:3:7
      |
    3 | pair: { a: "${WORD}", b: "${TRICKY}" }
      |       ^
    "#);
}

#[test]
fn secrets_in_plain_text_are_masked_in_shown_lines() {
    assert_snapshot!(report("token: hunter2\n"), @r#"
    error: unknown key `token` at the top level
     --> pipeline.yaml:1:1
      |
    1 | token: ***
      | ^^^^^
      = help: known keys: threads, data_dir, sinks
    "#);
    assert_snapshot!(report("max_token: { a: hunter2 }\nthreads: x\n"), @r#"
    error: unknown key `max_token` at the top level
     --> pipeline.yaml:1:1
      |
    1 | max_token: { a: hunter2 }
      | ^^^^^^^^^
      = help: known keys: threads, data_dir, sinks
    "#);
    assert_snapshot!(report("sinks: { x: { path: a, nope: 1, \"token\": \"hunter2\", mode: once } }\n"), @r#"
    error: unknown key `nope` in sinks.x
     --> pipeline.yaml:1:24
      |
    1 | sinks: { x: { path: a, nope: 1, "token": ***, mode: once } }
      |                        ^^^^
      = help: known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token
    "#);
    assert_snapshot!(report("sinks: { x: { path: a, token: [hunter2] } }\n"), @r#"
    error: sinks.x.token: expected a string, found a list
     --> pipeline.yaml:1:31
      |
    1 | sinks: { x: { path: a, token: ***
      |                               ^^^
    "#);
    assert_snapshot!(report("sinks: { x: { path: a, token: \"${WORD}\", nope: 1 } }\n"), @r#"
    error: unknown key `nope` in sinks.x
     --> pipeline.yaml:1:42
      |
    1 | sinks: { x: { path: a, token: "${WORD}", nope: 1 } }
      |                                          ^^^^
      = help: known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token
    "#);
    assert_snapshot!(report("sinks: { x: { path: a, token: \"${UNSET:-hunter2}\", nope: 1 } }\n"), @r#"
    error: unknown key `nope` in sinks.x
     --> pipeline.yaml:1:52
      |
    1 | sinks: { x: { path: a, token: ***, nope: 1 } }
      |                                    ^^^^
      = help: known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token
    "#);
}

#[test]
fn a_mistake_behind_a_secret_on_the_same_line_is_shown() {
    let long = "x".repeat(150);
    let line = format!("sinks: {{ x: {{ token: 'it''s', columns: [\"{long}\"], path: a, nope: 1 }} }}\n");
    assert_snapshot!(report(&line), @r#"
    error: unknown key `nope` in sinks.x
     --> pipeline.yaml:1:205
      |
    1 | …xxxxxxxxxxxxxxxxxxxxxxxxxxx"], path: a, nope: 1 } }
      |                                          ^^^^
      = help: known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token
    "#);
    let line = format!("sinks: {{ y: {{ path: a, token: {long} }}, x: {{ token: ${{WORD}}, path: a, nope: 1 }} }}\n");
    assert_snapshot!(report(&line), @r#"
    error: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
     --> pipeline.yaml:1:198
      |
    1 | … }, x: { token: ${WORD}, path: a, nope: 1 } }
      |                   ^
      = help: put quotes around "${...}" inside of { } and [ ]
    "#);
}

#[test]
fn no_line_of_a_secret_is_shown() {
    // Each is a mistake in, behind or before a secret; most are not even YAML.
    let texts = [
        "password: hunter2: x\n",
        "password: \"hunter2\n",
        "password: 'hunter2' hunter2\n",
        "password: '${WORD}''hunter2' x\n",
        "password: !tag hunter2\n",
        "password: hunter2\n  hunter2: x\n",
        "threads: x # password: hunter2\n",
        "client-secret: |\n  first\n  hunter2: x\n\ta\n",
        "client-secret: |\n  first\n    hunter2\n hunter2\n",
        "client_secret:\n  hunter2 \n  b: c\n",
        "tokens:\n- a\n- hunter2: b: c\n",
        "tokens:\n  - hunter2\n  b\n c: d\n",
        "tokens: [hunter2, {]\n",
        "auth: { api_key: hunter2, x: [ }\n",
        "auth: { Authorization: Bearer hunter2, x: ${UNSET} }\n",
        "auth: { password: \"a, b: hunter2\", x: ${UNSET} }\n",
        "auth: { password: \"a\\\", b: hunter2\", x: ${UNSET} }\n",
        "auth: { password: 'a'', b: hunter2', x: ${UNSET} }\n",
        "auth: { password: 'a' hunter2, x: ${UNSET} }\n",
        "auth: { password: a,hunter2}hunter2, x: ${UNSET} }\n",
        "auth: { password: !tag \"a, b: hunter2\", x: ${UNSET} }\n",
        "auth: { tokens: [a, hunter2], x: ${UNSET} }\n",
        "auth: { token: ${WORD}hunter2, token: hunter2, x: ${UNSET} }\n",
        "{\"password\":\"hunter2\", \"password\":\"hunter2\"}",
        "private_key: &a hunter2\nx: *b\n",
        "private_key: \"hunter2 ${UNSET}\"\n",
        "  - password: hunter2\n    b: c\n   d: e\n",
    ];
    for text in texts {
        let shown = report(text);
        assert!(shown.starts_with("error: "), "{text}: {shown}");
        assert!(!shown.contains("hunter2"), "{text}: {shown}");
    }
}
