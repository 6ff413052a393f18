//! Expressions as text.

use std::fmt::{self, Display, Formatter, Write};

use super::cursor::is_bare;
use super::{Check, Comparison, Expression, Literal, Test};

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expression::All(parts) => {
                join(parts, " and ", |part| matches!(part, Expression::All(_) | Expression::Any(_)), f)
            }
            Expression::Any(parts) => join(parts, " or ", |part| matches!(part, Expression::Any(_)), f),
            Expression::Not(inner) => match &**inner {
                Expression::Test(Test { field, check: Check::Equals(literal) }) => {
                    write!(f, "{} != {literal}", Name(field))
                }
                inner => {
                    f.write_str("not ")?;
                    operand(inner, matches!(inner, Expression::All(_) | Expression::Any(_)), f)
                }
            },
            Expression::Test(test) => test.fmt(f),
        }
    }
}

fn join(
    parts: &[Expression],
    word: &str,
    needs_parentheses: impl Fn(&Expression) -> bool,
    f: &mut Formatter<'_>,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        operand(part, needs_parentheses(part), f)?;
    }
    Ok(())
}

fn operand(part: &Expression, parentheses: bool, f: &mut Formatter<'_>) -> fmt::Result {
    if parentheses { write!(f, "({part})") } else { part.fmt(f) }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let field = Name(&self.field);
        match &self.check {
            Check::Equals(literal) => write!(f, "{field} == {literal}"),
            Check::Compares(comparison, literal) => write!(f, "{field} {comparison} {literal}"),
            Check::Contains(text) => write!(f, "{field} contains {}", Quoted(text)),
            Check::StartsWith(text) => write!(f, "{field} startswith {}", Quoted(text)),
            Check::EndsWith(text) => write!(f, "{field} endswith {}", Quoted(text)),
            Check::Matches(pattern) => write!(f, "{field} matches {}", Quoted(pattern)),
            Check::In(literals) => {
                write!(f, "{field} in [")?;
                for (index, literal) in literals.iter().enumerate() {
                    write!(f, "{}{literal}", if index > 0 { ", " } else { "" })?;
                }
                f.write_char(']')
            }
            Check::Exists => write!(f, "exists({field})"),
            Check::Cidr(networks) => {
                write!(f, "cidr({field}")?;
                for network in networks {
                    write!(f, ", \"{network}\"")?;
                }
                f.write_char(')')
            }
        }
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::Greater => ">",
            Comparison::AtLeast => ">=",
        })
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Text(text) => Quoted(text).fmt(f),
            Literal::Number(number) => f.write_str(number),
            Literal::Bool(value) => value.fmt(f),
            Literal::Null => f.write_str("null"),
        }
    }
}

struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_bare(self.0) { f.write_str(self.0) } else { write!(f, "`{}`", self.0.replace('`', "``")) }
    }
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
