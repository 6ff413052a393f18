//! Conditions over the fields of an event: the small language of `filter` and `route`.
//!
//! # The language
//! ```text
//! Operation == "New-InboxRule" and not cidr(ClientIP, "10.0.0.0/8")
//! Workload in ["Exchange", "SharePoint"] or Parameters.ForwardTo contains "@evil.example"
//! ```
//!
//! | test | holds if a value of the field |
//! | --- | --- |
//! | `F == X`, `F != X` | is X; `!=` is the opposite of `==`, so it also holds if there is no such field |
//! | `F < X`, `<=`, `>`, `>=` | comes before X, and so on |
//! | `F contains "x"`, `F startswith "x"`, `F endswith "x"` | holds the text there |
//! | `F matches "x*y?"` | is of that form: `*` is any text, `?` any one character, a backslash takes the next as it is |
//! | `F in [X, Y]` | is one of them |
//! | `exists(F)` | is there, even if it is null |
//! | `cidr(F, "10.0.0.0/8", ...)` | is an address of one of these networks, with or without a port |
//!
//! Tests are combined with `and`, `or`, `not` and parentheses; `not` binds closest, then `and`, then `or`.
//!
//! - A field with several values passes a test if any of them does.
//! - **Texts compare without regard to case**, as in Sigma: Microsoft writes the same user, operation and header in
//!   several spellings. `"alice@example.com"` is `Alice@Example.com` to every test.
//! - X is a text in quotes, a number, `true`, `false` or `null`. With a number, values that are numbers (or texts
//!   that hold one) compare by size, others do not pass. With a text, everything compares as text: so
//!   `CreationTime >= "2026-11-01"` works, and `RecordType == "8"` finds the number 8. `true` finds `"True"` too.
//!   `null` finds null alone, and has no order.
//! - A text stands in double quotes, with the escapes `\"`, `\\`, `\n`, `\r`, `\t` and `\u{1F4A9}`; or in single
//!   quotes, where only a quote is written twice and everything else stands for itself: `'C:\Windows\*'`.
//! - A field is written in its printed form: `ModifiedProperties[Role.DisplayName].NewValue`. One that holds blanks
//!   or signs stands in backticks: `` `ExtendedProperties.Included Updated Properties` ``.
//! - Words of the language may be written in any case. At most 64 KiB, 64 levels and 1,000 tests.

mod compiled;
mod cursor;
mod error;
mod network;
mod number;
mod parse;
mod print;
mod text;

pub use compiled::Conditions;
pub use error::ParseError;
pub use network::Network;
pub use parse::{MAX_DEPTH, MAX_LENGTH, MAX_TESTS};

use std::str::FromStr;

/// A condition, as parsed. It prints as text that parses to the same condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// `a and b and ...`
    All(Vec<Expression>),
    /// `a or b or ...`
    Any(Vec<Expression>),
    /// `not a`
    Not(Box<Expression>),
    /// A test of one field.
    Test(Test),
}

/// A test of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The field's printed name.
    pub field: String,
    /// What a value must be to pass.
    pub check: Check,
}

/// What a value must be to pass a test.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// `==`
    Equals(Literal),
    /// `<`, `<=`, `>` and `>=`
    Compares(Comparison, Literal),
    /// `contains`
    Contains(String),
    /// `startswith`
    StartsWith(String),
    /// `endswith`
    EndsWith(String),
    /// `matches`
    Matches(String),
    /// `in`
    In(Vec<Literal>),
    /// `exists`
    Exists,
    /// `cidr`
    Cidr(Vec<Network>),
}

/// An operator of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// A value in a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A text in quotes.
    Text(String),
    /// A number, as it was written.
    Number(String),
    /// `true` or `false`
    Bool(bool),
    /// `null`
    Null,
}

impl FromStr for Expression {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }
}

#[cfg(test)]
mod tests;
