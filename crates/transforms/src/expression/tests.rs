//! What conditions say, how mistakes in them are told, and laws that hold for all of them.

use std::sync::Arc;

use downspout_core::{Batch, FieldTable, Value, field::parse_name};
use proptest::prelude::*;

use super::*;
use crate::testing;

fn parse(text: &str) -> Expression {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A record whose nested fields stand as `flatten` leaves them.
fn event() -> (Arc<FieldTable>, Batch) {
    let fields = Arc::new(FieldTable::default());
    let record = r#"{"Operation":"New-InboxRule","RecordType":8,"Size":"1024","Flag":"True","ok":true,"gone":null,
        "ClientIP":"203.0.113.7:443","Peer":"[2001:db8::1]:25","big":12345678901234567890,"Item":{"Id":"x"},"none":""}"#;
    let mut batch = testing::batch(&fields, &[record]);
    for (name, value) in [
        ("Parameters.ForwardTo", Value::String("a@Example.com")),
        ("Parameters.ForwardTo", Value::String("b@example.org")),
        ("Mod[Role.DisplayName].New", Value::String("Gl\u{f6}bal Admin")),
        ("Ext.Included Updated", Value::String("C:\\Users\\x")),
    ] {
        let field = fields.intern_path(&parse_name(name).unwrap()).unwrap();
        batch.add(0, field, value);
    }
    (fields, batch)
}

fn holds(text: &str) -> bool {
    let (fields, batch) = event();
    let mut conditions = Conditions::new(&[parse(text)], &fields).unwrap();
    conditions.read(batch.event(0));
    conditions.holds(0)
}

#[test]
fn conditions_that_hold() {
    for text in [
        r#"Operation == "new-inboxrule""#,
        "Operation == 'New-InboxRule'",
        r#"Operation != "Send""#,
        r#"Nowhere != "Send""#,
        "RecordType == 8",
        "RecordType == 8.0",
        r#"RecordType == "8""#,
        "RecordType < 9 and RecordType >= 8 and RecordType <= 8 and RecordType > -1",
        "Size > 999",
        "big > 12345678901234567889 and not big == 12345678901234567891",
        "Flag == true and ok == true and ok == 'TRUE'",
        "gone == null and exists(gone)",
        "gone != 'null'",
        r#"Operation > "NEW-A" and Operation < "new-z""#,
        r#"Parameters.ForwardTo endswith "@EXAMPLE.org""#,
        r#"Parameters.ForwardTo startswith "A@""#,
        r#"Parameters.ForwardTo contains "@example.""#,
        r#"Parameters.ForwardTo in ["x", "b@example.org"]"#,
        "RecordType in [7, 8]",
        r#"Operation matches "new-*rul?""#,
        r#"Mod[Role.DisplayName].New == "GL\u{d6}BAL admin""#,
        r#"Mod[Role.DisplayName].New contains "\u{d6}BAL""#,
        r"`Ext.Included Updated` startswith 'c:\users\'",
        r#"`Ext.Included Updated` matches "*\\\\x""#,
        "exists(Parameters.ForwardTo) and not exists(Parameters.Nope)",
        r#"cidr(ClientIP, "10.0.0.0/8", "203.0.113.0/24")"#,
        r#"cidr(Peer, "2001:db8::/32")"#,
        r#"Item contains "\"Id\"""#,
        "none == ''",
        "NOT (Operation == 'x' OR Operation == 'y') AND RecordType == 8",
        "exists(Nowhere) and exists(Nowhere) or exists(ok)",
        "not not exists(ok)",
        "RecordType in[8]",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn conditions_that_do_not_hold() {
    for text in [
        r#"Operation == "New""#,
        r#"Nowhere == "x""#,
        "Nowhere < 5",
        "Operation < 5",
        "Operation > 5",
        "exists(operation)",
        "exists(Parameters)",
        "gone == 'null'",
        "Parameters.ForwardTo != 'b@example.org'",
        r#"cidr(ClientIP, "10.0.0.0/8")"#,
        r#"cidr(Operation, "0.0.0.0/0")"#,
        "RecordType in []",
        "exists(ok) and (exists(ok) and exists(Nowhere) or exists(Nowhere))",
        "none contains 'x'",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn precedence() {
    assert_eq!(
        parse("not exists(a) and exists(b) or exists(c)"),
        parse("((not exists(a)) and exists(b)) or exists(c)")
    );
    assert_eq!(parse("exists(a) or exists(b) and exists(c)").to_string(), "exists(a) or exists(b) and exists(c)");
    assert_eq!(parse("(exists(a) or exists(b)) and exists(c)").to_string(), "(exists(a) or exists(b)) and exists(c)");
    assert_eq!(parse("not (a == 1)").to_string(), "a != 1");
}

fn error(text: &str) -> String {
    let error = text.parse::<Expression>().unwrap_err();
    match &error.help {
        Some(help) => format!("{error}\nhelp: {help}"),
        None => error.to_string(),
    }
}

#[test]
fn mistakes_are_shown_with_a_mark_and_a_remedy() {
    let mistakes = [
        "",
        "Operation = \"x\"",
        "Operation == New",
        "a == 1 && b == 2",
        "!exists(a)",
        "a start_with 'x'",
        "exist(a)",
        "a == 1\nand b not in [1]",
        "a == \"C:\\Windows\"",
        "(a == 1",
        "cidr(a, \"10.0.0.0/33\")",
        "a..b == 1",
        "a == 'x",
        "a in [1 2]",
        "a < null",
        "a == 1 b == 2",
        "\u{e9}\u{e9} == 1 or or b == 2",
    ];
    let shown = mistakes.map(error).join("\n\n");
    insta::assert_snapshot!(shown, @r#"
    column 1: the expression is empty
    help: write a test, such as Operation == "New-InboxRule"

    column 11: expected an operator (==, !=, <, <=, >, >=, contains, startswith, endswith, matches or in), found `=`
      Operation = "x"
                ^
    help: did you mean `==`?

    column 14: expected a text in quotes, a number, true, false or null, found `New`
      Operation == New
                   ^^^
    help: texts stand in quotes: "New"

    column 8: expected `and`, `or` or the end, found `&&`
      a == 1 && b == 2
             ^^
    help: did you mean `and`?

    column 1: expected a field, a test or `not`, found `!`
      !exists(a)
      ^
    help: did you mean `not`?

    column 3: expected an operator (==, !=, <, <=, >, >=, contains, startswith, endswith, matches or in), found `start_with`
      a start_with 'x'
        ^^^^^^^^^^
    help: did you mean `startswith`?

    column 1: unknown function `exist`
      exist(a)
      ^^^^^
    help: did you mean `exists`?

    line 2, column 7: expected an operator (==, !=, <, <=, >, >=, contains, startswith, endswith, matches or in), found `not`
      and b not in [1]
            ^^^
    help: `not` stands before the whole test: not b ...

    column 9: unknown escape
      a == "C:\Windows"
              ^^
    help: write `\\` for a backslash, or use single quotes, where a backslash stands for itself

    column 8: expected `and`, `or` or `)`, found the end
      (a == 1
             ^

    column 9: `10.0.0.0/33` is no network, such as 10.0.0.0/8 or 2001:db8::/32
      cidr(a, "10.0.0.0/33")
              ^^^^^^^^^^^^^

    column 1: `a..b` is no field
      a..b == 1
      ^^^^
    help: names are joined by dots, and a name that holds `.`, `[`, `]` or `\` stands in brackets: `A[b.c].d`

    column 6: this ' is never closed
      a == 'x
           ^

    column 9: expected `,` or `]`, found `2`
      a in [1 2]
              ^

    column 5: `<` needs a number or a text
      a < null
          ^^^^

    column 8: expected `and`, `or` or the end, found `b`
      a == 1 b == 2
             ^

    column 12: expected a field, a test or `not`, found `or`
      éé == 1 or or b == 2
                 ^^
    "#);
}

#[test]
fn everything_is_bounded() {
    let deep = "not ".repeat(10_000) + "exists(a)";
    assert!(deep.parse::<Expression>().is_err());
    assert!(("(".repeat(60_000)).parse::<Expression>().is_err());
    assert!((vec!["a == 1"; MAX_TESTS + 1].join(" or ")).parse::<Expression>().is_err());
    assert!((vec!["a == 1"; MAX_TESTS].join(" or ")).parse::<Expression>().is_ok());
    assert!(("a == '".to_owned() + &"x".repeat(MAX_LENGTH) + "'").parse::<Expression>().is_err());
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![prop::sample::select(vec![
        "a",
        "b",
        "c.d",
        "[x.y].z",
        "in",
        "not",
        "with blank",
        "tick`",
        "9",
        "a[]",
        "exists",
        "\u{e9}"
    ]),]
    .prop_map(str::to_owned)
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        "[ab\"'\\\\\n\u{7}\u{e9}]{0,4}".prop_map(Literal::Text),
        prop::sample::select(vec!["0", "1", "-2.5e3"]).prop_map(|number| Literal::Number(number.to_owned())),
        any::<bool>().prop_map(Literal::Bool),
        Just(Literal::Null),
    ]
}

fn check() -> impl Strategy<Value = Check> {
    let comparison =
        prop::sample::select(vec![Comparison::Less, Comparison::AtMost, Comparison::Greater, Comparison::AtLeast]);
    let networks = prop::sample::select(vec!["10.0.0.0/8", "::/0"]).prop_map(|text| text.parse::<Network>().unwrap());
    prop_oneof![
        literal().prop_map(Check::Equals),
        (comparison, "[ab1]{0,2}").prop_map(|(comparison, text)| Check::Compares(comparison, Literal::Text(text))),
        "[ab]{0,2}".prop_map(Check::Contains),
        "[ab]{0,2}".prop_map(Check::StartsWith),
        "[ab]{0,2}".prop_map(Check::EndsWith),
        "[ab*?\\\\]{0,3}".prop_map(Check::Matches),
        prop::collection::vec(literal(), 0..3).prop_map(Check::In),
        Just(Check::Exists),
        prop::collection::vec(networks, 1..3).prop_map(Check::Cidr),
    ]
}

fn expression() -> impl Strategy<Value = Expression> {
    let test = (field(), check()).prop_map(|(field, check)| Expression::Test(Test { field, check }));
    test.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::All),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::Any),
            inner.prop_map(|inner| Expression::Not(Box::new(inner))),
        ]
    })
}

fn not(expression: &Expression) -> Expression {
    Expression::Not(Box::new(expression.clone()))
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_panic(text in ".{0,60}", signs in "[a-c()\\[\\]<>=!&|\"'`\\\\ ,.0-9*]{0,60}") {
        let _ = text.parse::<Expression>().map_err(|error| error.to_string());
        let _ = signs.parse::<Expression>().map_err(|error| error.to_string());
    }

    #[test]
    fn pieces_in_any_order_are_parsed_without_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "a", "and", "or", "not", "(", ")", "==", "in", "[", "]", ",", "\"x\"", "'y'", "`z w`", "1", "null", "exists(", "cidr(", "contains", "\u{e9}", "\n",
    ]), 0..14), blank in prop::bool::ANY) {
        let _ = pieces.join(if blank { " " } else { "" }).parse::<Expression>().map_err(|error| error.to_string());
    }

    #[test]
    fn what_is_printed_is_parsed_again(expression in expression()) {
        let printed = expression.to_string();
        let parsed = printed.parse::<Expression>();
        prop_assert_eq!(parsed.as_ref(), Ok(&expression), "{}", printed);
    }

    #[test]
    fn de_morgan(a in expression(), b in expression(), values in prop::collection::vec((field(), "[ab1]{0,2}"), 0..5)) {
        let fields = Arc::new(FieldTable::default());
        let mut batch = testing::batch(&fields, &["{}"]);
        for (name, value) in &values {
            let field = fields.intern_path(&parse_name(name).unwrap()).unwrap();
            batch.add(0, field, Value::String(value));
        }
        let all = Expression::All(vec![a.clone(), b.clone()]);
        let any = Expression::Any(vec![a.clone(), b.clone()]);
        let equal = [
            not(&all), Expression::Any(vec![not(&a), not(&b)]),
            not(&any), Expression::All(vec![not(&a), not(&b)]),
            not(&not(&a)), a.clone(),
        ];
        let mut conditions = Conditions::new(&equal, &fields).unwrap();
        conditions.read(batch.event(0));
        for pair in [0, 2, 4] {
            prop_assert_eq!(conditions.holds(pair), conditions.holds(pair + 1));
        }
        // Compiled alone or together, a condition says the same.
        let mut alone = Conditions::new(&[a], &fields).unwrap();
        alone.read(batch.event(0));
        prop_assert_eq!(alone.holds(0), conditions.holds(5));
    }
}
