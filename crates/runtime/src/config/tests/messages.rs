//! The whole printed message for every kind of mistake.

use insta::assert_snapshot;

use super::{Config, load_one, report, report_files};
use crate::config::{Diagnostic, Diagnostics, load, suggest};

#[test]
fn unknown_keys() {
    assert_snapshot!(report("sinks:\n  lake:\n    path: ./lake\n    colums: [a]\n"), @r#"
    error: unknown key `colums` in sinks.lake
     --> pipeline.yaml:4:5
      |
    4 |     colums: [a]
      |     ^^^^^^
      = help: did you mean `columns`? (known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token)
    "#);
    assert_snapshot!(report("thread: 3\n"), @r#"
    error: unknown key `thread` at the top level
     --> pipeline.yaml:1:1
      |
    1 | thread: 3
      | ^^^^^^
      = help: did you mean `threads`? (known keys: threads, data_dir, sinks)
    "#);
    assert_snapshot!(report("sinks:\n  lake:\n    path: x\n    writer:\n      options:\n        bloom-filter: [id]\n"), @r#"
    error: unknown key `bloom-filter` in sinks.lake.writer.options
     --> pipeline.yaml:6:9
      |
    6 |         bloom-filter: [id]
      |         ^^^^^^^^^^^^
      = help: did you mean `bloom_filters`? (known keys: level, bloom_filters)
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, quite_different: 1 } }\n"), @r#"
    error: unknown key `quite_different` in sinks.lake
     --> pipeline.yaml:1:27
      |
    1 | sinks: { lake: { path: x, quite_different: 1 } }
      |                           ^^^^^^^^^^^^^^^
      = help: known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token
    "#);
}

#[test]
fn wrong_types() {
    assert_snapshot!(report("sinks:\n  lake:\n    path: x\n    max_rows: abc\n"), @r#"
    error: sinks.lake.max_rows: expected a whole number, found the string "abc"
     --> pipeline.yaml:4:15
      |
    4 |     max_rows: abc
      |               ^^^
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, max_rows: \"12\" } }"), @r#"
    error: sinks.lake.max_rows: expected a whole number, found the string "12"
     --> pipeline.yaml:1:37
      |
    1 | sinks: { lake: { path: x, max_rows: "12" } }
      |                                     ^^^^^
      = help: leave out the quotes: what stands in quotes is a string
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, max_rows: 1.5 } }"), @r#"
    error: sinks.lake.max_rows: expected a whole number, found the number 1.5
     --> pipeline.yaml:1:37
      |
    1 | sinks: { lake: { path: x, max_rows: 1.5 } }
      |                                     ^^^
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, max_rows: [1] } }"), @r#"
    error: sinks.lake.max_rows: expected a whole number, found a list
     --> pipeline.yaml:1:37
      |
    1 | sinks: { lake: { path: x, max_rows: [1] } }
      |                                     ^
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, ratio: high } }"), @r#"
    error: sinks.lake.ratio: expected a number, found the string "high"
     --> pipeline.yaml:1:34
      |
    1 | sinks: { lake: { path: x, ratio: high } }
      |                                  ^^^^
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, raw: yes } }"), @r#"
    error: sinks.lake.raw: expected `true` or `false`, found the string "yes"
     --> pipeline.yaml:1:32
      |
    1 | sinks: { lake: { path: x, raw: yes } }
      |                                ^^^
    "#);
    assert_snapshot!(report("sinks: { lake: { path: [x] } }"), @r#"
    error: sinks.lake.path: expected a string, found a list
     --> pipeline.yaml:1:24
      |
    1 | sinks: { lake: { path: [x] } }
      |                        ^
    "#);
    assert_snapshot!(report("sinks:\n  lake:\n    path:\n"), @r#"
    error: sinks.lake.path: expected a string, found nothing (null)
     --> pipeline.yaml:3:5
      |
    3 |     path:
      |     ^^^^
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, columns: a } }"), @r#"
    error: sinks.lake.columns: expected a list, found the string "a"
     --> pipeline.yaml:1:36
      |
    1 | sinks: { lake: { path: x, columns: a } }
      |                                    ^
      = help: put it into brackets to make a list of one: [ ... ]
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, columns: [a, [b]] } }"), @r#"
    error: sinks.lake.columns[1]: expected a string, found a list
     --> pipeline.yaml:1:40
      |
    1 | sinks: { lake: { path: x, columns: [a, [b]] } }
      |                                        ^
    "#);
    assert_snapshot!(report("sinks:\n  lake:\n    path: x\n    columns:\n      a: string\n"), @r#"
    error: sinks.lake.columns: expected a list, found a mapping
     --> pipeline.yaml:4:5
      |
    4 |     columns:
      |     ^^^^^^^
    "#);
    assert_snapshot!(report("sinks:\n- lake\n"), @r#"
    error: sinks: expected a mapping, found a list
     --> pipeline.yaml:1:1
      |
    1 | sinks:
      | ^^^^^
    "#);
    assert_snapshot!(report("sinks:\n  lake:\n"), @r#"
    error: sinks.lake: expected a mapping, found nothing (null)
     --> pipeline.yaml:2:3
      |
    2 |   lake:
      |   ^^^^
    "#);
}

#[test]
fn numbers_out_of_range() {
    assert_snapshot!(report("threads: 70000"), @r#"
    error: threads: expected a whole number of at most 65535, found the number 70000
     --> pipeline.yaml:1:10
      |
    1 | threads: 70000
      |          ^^^^^
    "#);
    assert_snapshot!(report("threads: -1"), @r#"
    error: threads: expected a whole number of at least 0, found the number -1
     --> pipeline.yaml:1:10
      |
    1 | threads: -1
      |          ^^
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, max_rows: 99999999999999999999999 } }"), @r#"
    error: sinks.lake.max_rows: expected a whole number of at most 18446744073709551615, found the number 99999999999999999999999
     --> pipeline.yaml:1:37
      |
    1 | sinks: { lake: { path: x, max_rows: 99999999999999999999999 } }
      |                                     ^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, writer: { options: { level: -129 } } } }"), @r#"
    error: sinks.lake.writer.options.level: expected a whole number of at least -128, found the number -129
     --> pipeline.yaml:1:55
      |
    1 | sinks: { lake: { path: x, writer: { options: { level: -129 } } } }
      |                                                       ^^^^
    "#);
}

#[test]
fn missing_and_repeated_keys() {
    assert_snapshot!(report("threads: 2\nsinks:\n  lake:\n    max_rows: 1\n"), @r#"
    error: missing key `path` in sinks.lake
     --> pipeline.yaml:3:3
      |
    3 |   lake:
      |   ^^^^
    "#);
    assert_snapshot!(report("sinks: { lake: { raw: true } }"), @r#"
    error: missing key `path` in sinks.lake
     --> pipeline.yaml:1:16
      |
    1 | sinks: { lake: { raw: true } }
      |                ^
    "#);
    assert_snapshot!(report("threads: 2\ndata_dir: a\nthreads: 3\ndata_dir: b\n"), @r#"
    error: the key `threads` stands twice in the same mapping
     --> pipeline.yaml:3:1
      |
    3 | threads: 3
      | ^^^^^^^
     --> pipeline.yaml:1:1
      |
    1 | threads: 2
      | ------- first here

    error: the key `data_dir` stands twice in the same mapping
     --> pipeline.yaml:4:1
      |
    4 | data_dir: b
      | ^^^^^^^^
     --> pipeline.yaml:2:1
      |
    2 | data_dir: a
      | -------- first here
    "#);
    assert_snapshot!(report("sinks: { lake: { path: x, token: a, hec_token: b } }"), @r#"
    error: the key `token` stands twice in sinks.lake, in two spellings
     --> pipeline.yaml:1:37
      |
    1 | sinks: { lake: { path: x, token: ***, hec_token: ***
      |                                       ^^^^^^^^^
    "#);
}

#[test]
fn unknown_variants() {
    assert_snapshot!(report("sinks:\n  lake: { path: x, mode: folow }\n"), @r#"
    error: sinks.lake.mode: unknown value `folow`
     --> pipeline.yaml:2:26
      |
    2 |   lake: { path: x, mode: folow }
      |                          ^^^^^
      = help: did you mean `follow`? (known values: once, follow, every)
    "#);
    assert_snapshot!(report("sinks:\n  lake: { path: x, mode: 3 }\n"), @r#"
    error: sinks.lake.mode: unknown value `3`
     --> pipeline.yaml:2:26
      |
    2 |   lake: { path: x, mode: 3 }
      |                          ^
      = help: known values: once, follow, every
    "#);
    assert_snapshot!(report("sinks:\n  lake: { path: x, mode: [once] }\n"), @r#"
    error: sinks.lake.mode: expected one of once, follow, every, found a list
     --> pipeline.yaml:2:26
      |
    2 |   lake: { path: x, mode: [once] }
      |                          ^
    "#);
    assert_snapshot!(report("sinks:\n  lake: { path: x, mode: { evry: 3 } }\n"), @r#"
    error: sinks.lake.mode: unknown value `evry`
     --> pipeline.yaml:2:28
      |
    2 |   lake: { path: x, mode: { evry: 3 } }
      |                            ^^^^
      = help: did you mean `every`? (known values: once, follow, every)
    "#);
    assert_snapshot!(report("sinks:\n  lake: { path: x, mode: { every: x } }\n"), @r#"
    error: sinks.lake.mode.every: expected a whole number, found the string "x"
     --> pipeline.yaml:2:35
      |
    2 |   lake: { path: x, mode: { every: x } }
      |                                   ^
    "#);
    assert_snapshot!(report("sinks:\n  lake: { path: x, mode: { once: 1 } }\n"), @r#"
    error: sinks.lake.mode.once: expected nothing, found the number 1
     --> pipeline.yaml:2:34
      |
    2 |   lake: { path: x, mode: { once: 1 } }
      |                                  ^
    "#);
}

#[test]
fn text_that_is_not_yaml() {
    assert_snapshot!(report("a: [1, 2\nb: 3\n"), @r#"
    error: not valid YAML: illegal placement of ':' indicator
     --> pipeline.yaml:2:2
      |
    2 | b: 3
      |  ^
      = help: a list or mapping further up may lack its `]` or `}`
    "#);
    assert_snapshot!(report("sinks:\n\tlake: x\n"), @r#"
    error: not valid YAML: tabs disallowed within this context (block indentation)
     --> pipeline.yaml:2:2
      |
    2 | \tlake: x
      |   ^
      = help: indent with blanks: YAML does not allow tabs
    "#);
    assert_snapshot!(report("sinks:\n  a: 1\n c: 2\n"), @r#"
    error: not valid YAML: while parsing a block mapping, did not find expected key
     --> pipeline.yaml:3:2
      |
    3 |  c: 2
      |  ^
    "#);
    assert_snapshot!(report("note: this: that\n"), @r#"
    error: not valid YAML: mapping values are not allowed in this context
     --> pipeline.yaml:1:11
      |
    1 | note: this: that
      |           ^
      = help: put quotes around a text that contains `: `
    "#);
    assert_snapshot!(report("include: *.ndjson\n"), @r#"
    error: not valid YAML: while parsing node, found unknown anchor
     --> pipeline.yaml:1:10
      |
    1 | include: *.ndjson
      |          ^
      = help: put quotes around a text that begins with `*`
    "#);
    assert_snapshot!(report("a: @home\n"), @r#"
    error: not valid YAML: unexpected character: `@'
     --> pipeline.yaml:1:4
      |
    1 | a: @home
      |    ^
      = help: put quotes around a text that begins with this character
    "#);
    assert_snapshot!(report("auth: { id: ${WORD}, x: 1 }\n"), @r#"
    error: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
     --> pipeline.yaml:1:14
      |
    1 | auth: { id: ${WORD}, x: 1 }
      |              ^
      = help: put quotes around "${...}" inside of { } and [ ]
    "#);
    assert_snapshot!(report("a: \"never closed\n"), @r#"
    error: not valid YAML: while scanning a quoted scalar, found unexpected end of stream
     --> pipeline.yaml:1:4
      |
    1 | a: "never closed
      |    ^
      = help: the quote that begins here may lack its end
    "#);
    assert_snapshot!(report("path: \"C:\\data\"\n"), @r#"
    error: not valid YAML: while parsing a quoted scalar, found unknown escape character
     --> pipeline.yaml:1:7
      |
    1 | path: "C:\data"
      |       ^
      = help: in double quotes, `\` begins an escape: write `\\`, or use single quotes
    "#);
    assert_snapshot!(report("a: 1\nb: x\0y\n"), @r#"
    error: not valid YAML: a control character
     --> pipeline.yaml:2:5
      |
    2 | b: x\0y
      |     ^^
      = help: remove it, or write it as an escape such as "\u0001" in double quotes
    "#);
}

#[test]
fn yaml_that_is_not_supported() {
    assert_snapshot!(report(""), @r#"
    error: the config is empty
     --> pipeline.yaml:1:1
      |
    1 |
      | ^
      = help: a config has at least `sources:` and `sinks:`
    "#);
    assert_snapshot!(report("# nothing\n"), @r#"
    error: the config is empty
     --> pipeline.yaml:1:1
      |
    1 | # nothing
      | ^
      = help: a config has at least `sources:` and `sinks:`
    "#);
    assert_snapshot!(report("- a\n"), @r#"
    error: a config is a mapping of keys such as `sources:` and `sinks:`
     --> pipeline.yaml:1:1
      |
    1 | - a
      | ^
    "#);
    assert_snapshot!(report("threads: 1\n---\nthreads: 2\n"), @r#"
    error: a second document begins in the same file
     --> pipeline.yaml:2:1
      |
    2 | ---
      | ^^^
      = help: remove the `---`, or split the file: several config files are merged
    "#);
    assert_snapshot!(report("threads: !!int 1\n"), @r#"
    error: the tag `!!int` is not supported
     --> pipeline.yaml:1:10
      |
    1 | threads: !!int 1
      |          ^^^^^^^
      = help: leave it out; quotes make a value a string
    "#);
    assert_snapshot!(report("data_dir: !env X\n"), @r#"
    error: the tag `!env` is not supported
     --> pipeline.yaml:1:11
      |
    1 | data_dir: !env X
      |           ^^^^^^
      = help: leave it out; quotes make a value a string
    "#);
    assert_snapshot!(report("? [a]\n: b\n"), @r#"
    error: a key must be a text, not a list or mapping
     --> pipeline.yaml:1:3
      |
    1 | ? [a]
      |   ^
    "#);
    assert_snapshot!(report(": b\n"), @r#"
    error: a key is missing before the `:`
     --> pipeline.yaml:1:1
      |
    1 | : b
      | ^
    "#);
    assert_snapshot!(report("a: &x { b: 1 }\nc:\n  <<: *x\n"), @r#"
    error: the merge key `<<` is not supported
     --> pipeline.yaml:3:3
      |
    3 |   <<: *x
      |   ^^
      = help: write the keys out, or use an alias for a whole value
    "#);
    assert_snapshot!(report("a: &x [*x]\n"), @r#"
    error: an alias inside of the value that it stands for
     --> pipeline.yaml:1:8
      |
    1 | a: &x [*x]
      |        ^^
    "#);
}

#[test]
fn bombs() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        let aliases = vec![alias; 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert_snapshot!(report(&text), @r#"
    error: the config has more than 200000 values or 16 MiB of text
     --> pipeline.yaml:5:5
      |
    5 | a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]
      |     ^
      = help: aliases (`*name`) count as often as they are used
    "#);

    let long_text = "x".repeat(1 << 20);
    let aliases = "*a, ".repeat(1000);
    let report_of_text = report(&format!("b: &a {long_text}\nc: [{aliases}]\n"));
    assert!(report_of_text.contains("more than 200000 values or 16 MiB of text"));

    let nested = report(&format!("a: {}{}", "[".repeat(100), "]".repeat(100)));
    assert_snapshot!(nested, @r#"
    error: values are nested deeper than 64 levels
     --> pipeline.yaml:1:67
      |
    1 | …[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]…
      |                                          ^
    "#);
    let by_alias = format!("a: &a {}{}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert!(report(&by_alias).contains("values are nested deeper than 64 levels"));
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
        assert!(report(&text).starts_with("error: "), "{text:.10}");
    }
}

#[test]
fn several_files() {
    let a = "threads: 2\nsinks:\n  lake: { path: a }\n";
    assert_snapshot!(report_files(&[("a.yaml", a), ("b.yaml", "sinks:\n  lake:\n    path: b\n")]), @r#"
    error: `lake` stands in two config files under `sinks`
     --> b.yaml:2:3
      |
    2 |   lake:
      |   ^^^^
     --> a.yaml:3:3
      |
    3 |   lake: { path: a }
      |   ---- first here
      = help: ids are unique over all files: rename one of them
    "#);
    assert_snapshot!(report_files(&[("a.yaml", a), ("b.yaml", "data_dir: x\nthreads: 2\n")]), @r#"
    error: `threads` stands in two config files
     --> b.yaml:2:1
      |
    2 | threads: 2
      | ^^^^^^^
     --> a.yaml:1:1
      |
    1 | threads: 2
      | ------- first here
    "#);
    assert_snapshot!(report_files(&[("a.yaml", a), ("b.yaml", "sinks: [x]\n")]), @r#"
    error: `sinks` must be a mapping from ids to components
     --> b.yaml:1:8
      |
    1 | sinks: [x]
      |        ^
    "#);
    assert_snapshot!(report_files(&[("a.yaml", a), ("b.yaml", "x: [\n"), ("c.yaml", "")]), @r#"
    error: not valid YAML: while parsing a node, did not find expected node content
     --> b.yaml:2:1
      |
    2 |
      | ^

    error: the config is empty
     --> c.yaml:1:1
      |
    1 |
      | ^
      = help: a config has at least `sources:` and `sinks:`
    "#);
    assert_snapshot!(report_files(&[]), @"error: no config file was given");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("latin1.yaml"), b"a: 1\nb: \xe9\n").unwrap();
    std::fs::write(folder.path().join("huge.yaml"), vec![b'#'; (4 << 20) + 1]).unwrap();
    let paths = ["absent.yaml", "latin1.yaml", "huge.yaml"].map(|name| folder.path().join(name));
    let problems = load(&paths, &super::env).unwrap_err().to_string();
    let shown = problems.replace(&format!("{}/", folder.path().display()), "");
    assert_snapshot!(shown, @r#"
    error: cannot read the config file absent.yaml: No such file or directory (os error 2)

    error: the config file latin1.yaml is not UTF-8 in line 2
      = help: save it with the encoding UTF-8

    error: the config file huge.yaml is larger than 4 MiB
    "#);
}

#[test]
fn variables_and_secret_files() {
    assert_snapshot!(report("data_dir: ${NOT_SET}/data\n"), @r#"
    error: the environment variable `NOT_SET` is not set
     --> pipeline.yaml:1:11
      |
    1 | data_dir: ${NOT_SET}/data
      |           ^^^^^^^^^^^^^^^
      = help: set it, or give a default: `${NOT_SET:-value}`
    "#);
    assert_snapshot!(report("data_dir: ${file:run/absent}\n"), @r#"
    error: cannot read the secret file `run/absent`: No such file or directory (os error 2)
     --> pipeline.yaml:1:11
      |
    1 | data_dir: ${file:run/absent}
      |           ^^^^^^^^^^^^^^^^^^
      = help: the path is relative to the folder of the config file
    "#);
    assert_snapshot!(report("data_dir: ${WORD\n"), @r#"
    error: a `${` without its `}`
     --> pipeline.yaml:1:11
      |
    1 | data_dir: ${WORD
      |           ^^^^^^
      = help: write `$${` for a `${` that is meant as text
    "#);
    assert_snapshot!(report("data_dir: ${my-var}\n"), @r#"
    error: `${my-var}` is not a reference
     --> pipeline.yaml:1:11
      |
    1 | data_dir: ${my-var}
      |           ^^^^^^^^^
      = help: use `${VAR}`, `${VAR:-default}` or `${file:PATH}`, and `$${` for a `${` that is meant as text
    "#);
    assert_snapshot!(report("data_dir: \"${WORD:-${OTHER}}\"\n"), @r#"
    error: `${WORD:-${OTHER}` is not a reference
     --> pipeline.yaml:1:11
      |
    1 | data_dir: "${WORD:-${OTHER}}"
      |           ^^^^^^^^^^^^^^^^^^^
      = help: use `${VAR}`, `${VAR:-default}` or `${file:PATH}`, and `$${` for a `${` that is meant as text
    "#);
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_file() {
    let text = "threads: ${UNSET_1}\nsinks:\n  a: { path: \"${UNSET_2}\" }\n";
    assert_snapshot!(report(text), @r#"
    error: the environment variable `UNSET_1` is not set
     --> pipeline.yaml:1:10
      |
    1 | threads: ${UNSET_1}
      |          ^^^^^^^^^^
      = help: set it, or give a default: `${UNSET_1:-value}`

    error: the environment variable `UNSET_2` is not set
     --> pipeline.yaml:3:14
      |
    3 |   a: { path: "${UNSET_2}" }
      |              ^^^^^^^^^^^^^
      = help: set it, or give a default: `${UNSET_2:-value}`
    "#);

    let (sources, root) = load_one("b: { path: 1, raw: 2 }\na: { pth: 1 }\nok: { path: x }\n").unwrap();
    let mut problems = Diagnostics::new(&sources);
    let read: Vec<_> = ["a", "ok", "b"]
        .into_iter()
        .filter_map(|id| problems.collect(root.get(id)?.deserialize::<super::Sink>(&format!("sinks.{id}"))))
        .collect();
    assert_eq!((read.len(), problems.len()), (1, 2));
    assert_snapshot!(problems.into_result(()).unwrap_err(), @r#"
    error: sinks.b.raw: expected `true` or `false`, found the number 2
     --> pipeline.yaml:1:20
      |
    1 | b: { path: 1, raw: 2 }
      |                    ^

    error: unknown key `pth` in sinks.a
     --> pipeline.yaml:2:6
      |
    2 | a: { pth: 1 }
      |      ^^^
      = help: did you mean `path`? (known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token)
    "#);
}

#[test]
fn the_keys_of_the_caller_are_left_out() {
    let text =
        "lake: { type: parquet, inputs: [flat, geo.out], path: x }\ntypo: { typ: parquet, input: [flat] }\nbare:\n";
    let (sources, root) = load_one(text).unwrap();
    let taken = ["type", "inputs"];
    let lake = root.get("lake").unwrap();
    assert!(lake.deserialize_without::<super::Sink>("sinks.lake", &taken).is_ok());
    assert_eq!(lake.required_str("sinks.lake", "type").unwrap().value, "parquet");
    let inputs = lake.get("inputs").unwrap().deserialize_items::<String>("sinks.lake.inputs").unwrap();
    assert_eq!(sources.position(inputs[1].span), "pipeline.yaml:1:39");
    assert_eq!(inputs[1].value, "geo.out");

    let typo = root.get("typo").unwrap();
    let mut problems = Diagnostics::new(&sources);
    problems.collect(typo.required_str("sinks.typo", "type"));
    problems.collect(typo.deserialize_without::<super::Sink>("sinks.typo", &taken));
    problems.collect(root.get("bare").unwrap().required_str("sinks.bare", "type"));
    problems.collect(lake.deserialize_items::<String>("sinks.lake"));
    assert_snapshot!(problems, @r#"
    error: sinks.lake: expected a list, found a mapping
     --> pipeline.yaml:1:7
      |
    1 | lake: { type: parquet, inputs: [flat, geo.out], path: x }
      |       ^

    error: missing key `type` in sinks.typo
     --> pipeline.yaml:2:7
      |
    2 | typo: { typ: parquet, input: [flat] }
      |       ^
     --> pipeline.yaml:2:9
      |
    2 | typo: { typ: parquet, input: [flat] }
      |         --- did you mean `type`?

    error: unknown key `typ` in sinks.typo
     --> pipeline.yaml:2:9
      |
    2 | typo: { typ: parquet, input: [flat] }
      |         ^^^
      = help: did you mean `type`? (known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token, type, inputs)

    error: missing key `type` in sinks.bare
     --> pipeline.yaml:3:1
      |
    3 | bare:
      | ^^^^
    "#);
}

#[test]
fn problems_that_components_find() {
    let text = "lake:\n  include: [a, b]\n  columns:\n    Parameters.X: text\n  url: \"http://${WORD}\"\n";
    let (sources, root) = load_one(text).unwrap();
    let lake = root.get("lake").unwrap();
    let mut problems = Diagnostics::new(&sources);
    problems.push(lake.problem("sinks.lake", "include.1", "not a glob", Some("write `*`")));
    problems.push(lake.problem("sinks.lake", "columns.Parameters.X", "no such type", None));
    problems.push(lake.problem("sinks.lake", "writer.level", "must be set", None));
    problems.push(lake.problem("sinks.lake", "", "`path` or `url http://abc-hunter2` must be set", None));
    problems.push(lake.problem("sinks.lake", "url", "must begin with https", None));
    problems.push(lake.problem("sinks.lake", "url", "no such host: HUNTER2", None));
    assert_snapshot!(problems, @r#"
    error: sinks.lake.writer.level: must be set
     --> pipeline.yaml:1:1
      |
    1 | lake:
      | ^^^^

    error: sinks.lake: `path` or `url ***` must be set
     --> pipeline.yaml:1:1
      |
    1 | lake:
      | ^^^^

    error: sinks.lake.include[1]: not a glob
     --> pipeline.yaml:2:16
      |
    2 |   include: [a, b]
      |                ^
      = help: write `*`

    error: sinks.lake.columns.Parameters.X: no such type
     --> pipeline.yaml:4:19
      |
    4 |     Parameters.X: text
      |                   ^^^^

    error: sinks.lake.url: must begin with https
     --> pipeline.yaml:5:8
      |
    5 |   url: "http://${WORD}"
      |        ^^^^^^^^^^^^^^^^

    error: sinks.lake.url: the value `***` is not accepted (why is not shown, since the reason quotes a part of it)
     --> pipeline.yaml:5:8
      |
    5 |   url: "http://${WORD}"
      |        ^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn hostile_text_is_printed_harmlessly() {
    assert_snapshot!(report("\"a\\e[31m\\nb\\u202e\": 1\n"), @r#"
    error: unknown key `a\u{1b}[31m\nb\u{202e}` at the top level
     --> pipeline.yaml:1:1
      |
    1 | "a\e[31m\nb\u202e": 1
      | ^^^^^^^^^^^^^^^^^^
      = help: known keys: threads, data_dir, sinks
    "#);
    let long = format!("{}: 1", "k".repeat(500));
    assert_snapshot!(report(&long), @r#"
    error: unknown key `kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk…` at the top level
     --> pipeline.yaml:1:1
      |
    1 | kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk…
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: known keys: threads, data_dir, sinks
    "#);
    let far = format!("sinks: {{ lake: {{ path: {}, nope: 1, more: {} }} }}", "x".repeat(300), "y".repeat(300));
    assert_snapshot!(report(&far), @r#"
    error: unknown key `nope` in sinks.lake
     --> pipeline.yaml:1:326
      |
    1 | …xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, nope: 1, more: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
      |                                          ^^^^
      = help: known keys: path, max_rows, ratio, raw, columns, mode, writer, hec_token, token
    "#);
    let many: String = (0..80).map(|n| format!("k{n}: ${{UNSET_{n}}}\n")).collect();
    assert!(report(&many).ends_with("\n... and 30 more\n"));
    let dups: String = (0..5000).map(|_| "k: 1\n").collect();
    assert!(report(&dups).ends_with("\n... and 50 more\n"));
}

#[test]
fn lines_are_counted_as_yaml_does() {
    assert_snapshot!(report("data_dir: a\r\n\r\nthreads: x\r\n"), @r#"
    error: threads: expected a whole number, found the string "x"
     --> pipeline.yaml:3:10
      |
    3 | threads: x
      |          ^
    "#);
    assert_snapshot!(report("\u{feff}threads: x"), @r#"
    error: threads: expected a whole number, found the string "x"
     --> pipeline.yaml:1:10
      |
    1 | threads: x
      |          ^
    "#);
    assert_snapshot!(report("threads: 1\rdata_dir: [ä, ö]"), @r#"
    error: data_dir: expected a string, found a list
     --> pipeline.yaml:2:11
      |
    2 | data_dir: [ä, ö]
      |           ^
    "#);
}

#[test]
fn suggestions_are_close() {
    let keys = ["columns", "max_rows", "path", "inputs"];
    let cases = [
        ("colums", Some("columns")),
        ("max-rows", Some("max_rows")),
        ("MaxRows", Some("max_rows")),
        ("input", Some("inputs")),
        ("paht", Some("path")),
        ("x", None),
        ("completely", None),
        ("", None),
    ];
    for (name, expected) in cases {
        assert_eq!(suggest(name, keys), expected, "{name}");
    }
    assert_eq!(suggest(&"a".repeat(100_000), keys), None);
}

#[test]
fn a_problem_without_a_place_is_printed_too() {
    let (sources, _) = load_one("a: 1").unwrap();
    let mut problems = Diagnostics::new(&sources);
    problems.push(Diagnostic::new("no sinks").help("add one".to_owned()));
    assert_snapshot!(problems, @r#"
    error: no sinks
      = help: add one
    "#);
    assert!(Diagnostics::new(&sources).into_result(Config::default()).is_ok());
}
