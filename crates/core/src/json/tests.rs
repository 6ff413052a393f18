//! The reader against serde_json, and where the two are meant to differ.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The value that nodes stand for.
fn tree(text: &str, nodes: &[Node], at: u32) -> Value {
    let node = nodes[at as usize];
    let slice = &text[node.start as usize..(node.start + node.len) as usize];
    let string = |node: Node| {
        let slice = &text[node.start as usize..(node.start + node.len) as usize];
        let mut out = String::new();
        match node.tag {
            Tag::String => out.push_str(slice),
            Tag::EscapedString => unescape_into(slice, &mut out),
            other => panic!("not a string: {other:?}"),
        }
        out
    };
    match node.tag {
        Tag::Null => Value::Null,
        Tag::True => Value::Bool(true),
        Tag::False => Value::Bool(false),
        Tag::Number => serde_json::from_str(slice).unwrap(),
        Tag::String | Tag::EscapedString => Value::String(string(node)),
        Tag::Object => {
            let mut object = serde_json::Map::new();
            let mut key = at + 1;
            while key < node.end {
                object.insert(string(nodes[key as usize]), tree(text, nodes, key + 1));
                key = nodes[key as usize + 1].end;
            }
            Value::Object(object)
        }
        Tag::Array => {
            let mut array = Vec::new();
            let mut element = at + 1;
            while element < node.end {
                array.push(tree(text, nodes, element));
                element = nodes[element as usize].end;
            }
            Value::Array(array)
        }
    }
}

fn read(text: &str) -> Result<Value, JsonError> {
    let mut nodes = Vec::new();
    let root = parse(text, 0, text.len(), Home::Raw, &mut nodes)?;
    Ok(tree(text, &nodes, root))
}

#[test]
fn what_is_not_json_says_where_and_why() {
    for (text, message) in [
        ("", "the record ends early, at byte 0: a value"),
        ("{\"a\":", "the record ends early, at byte 5: a value"),
        ("{\"a\":\"b", "the record ends early, at byte 7: inside a string"),
        ("{\"a\" 1}", "byte 5: expected `:`, found `1`"),
        ("{\"a\":1,}", "byte 7: expected a member's name in quotes, found `}`"),
        ("[1,]", "byte 3: expected a value, found `]`"),
        ("[01]", "byte 2: expected `,` or `]`, found `1`"),
        ("[1.]", "byte 3: expected a digit, found `]`"),
        ("[\"\\x\"]", "byte 3: expected an escape such as `\\n`, found `x`"),
        ("[\"\\u12g4\"]", "byte 6: expected four hex digits behind `\\u`, found `g`"),
        ("[\"a\tb\"]", "byte 3: expected no bare control character in a string, found byte 0x09"),
        ("\"a\0\"", "byte 2: expected no bare control character in a string, found byte 0x00"),
        ("{} {}", "byte 3: expected the end of the record, found `{`"),
        ("nul", "byte 0: expected `true`, `false` or `null`, found `n`"),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), message, "{text:?}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(read(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(read(&nested(MAX_DEPTH + 1)).unwrap_err(), JsonError::TooDeep(MAX_DEPTH));
    assert_eq!(read(&"{\"a\":".repeat(100_000)).unwrap_err(), JsonError::TooDeep(5 * MAX_DEPTH));
}

#[test]
fn an_error_leaves_no_nodes() {
    let mut nodes = Vec::new();
    assert!(parse("[1,2,", 0, 5, Home::Raw, &mut nodes).is_err());
    assert!(nodes.is_empty());
}

#[test]
fn lone_surrogates_read_as_replacement_characters() {
    assert_eq!(read(r#""a\ud83d\ude00b""#).unwrap(), "a😀b");
    assert_eq!(read(r#""a\ud83db""#).unwrap(), "a\u{fffd}b");
    assert_eq!(read(r#""\ude00""#).unwrap(), "\u{fffd}");
    assert_eq!(read(r#""\ud83d\u0041""#).unwrap(), "\u{fffd}A");
}

#[test]
fn numbers_keep_their_text() {
    let mut nodes = Vec::new();
    let text = "[1.10,12345678901234567890123,-0,1E+5]";
    parse(text, 0, text.len(), Home::Raw, &mut nodes).unwrap();
    let written: Vec<&str> = nodes[1..].iter().map(|n| &text[n.start as usize..(n.start + n.len) as usize]).collect();
    assert_eq!(written, ["1.10", "12345678901234567890123", "-0", "1E+5"]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~\u{0}-\u{1f}é€😀]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z.\\\\\"]{0,9}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reads_what_serde_json_reads(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(read(&text).unwrap(), value);
    }

    #[test]
    fn damaged_json_gets_the_same_verdict_as_from_serde_json(value in any_json(), at in any::<prop::sample::Index>(), byte in 0u8..128) {
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        let Ok(text) = String::from_utf8(text) else { return Ok(()) };
        let theirs = serde_json::from_str::<Value>(&text);
        let ours = parse(&text, 0, text.len(), Home::Raw, &mut Vec::new());
        // Numbers beyond f64 and lone surrogates are what serde_json alone refuses.
        if theirs.is_ok() || !text.contains(['e', 'E', '\\']) {
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
        }
    }

    #[test]
    fn written_strings_read_back(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&text, &mut out);
        prop_assert_eq!(read(std::str::from_utf8(&out).unwrap()).unwrap(), text);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = read(&text);
    }
}
