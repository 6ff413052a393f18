//! From text to expression, by recursive descent.

use super::cursor::{Cursor, RESERVED};
use super::error::ParseError;
use super::number::is_number;
use super::{Check, Comparison, Expression, Literal, Network, Test};

/// How long an expression may be, in bytes.
pub const MAX_LENGTH: usize = 64 << 10;
/// How deeply `not` and parentheses may nest.
pub const MAX_DEPTH: usize = 64;
/// How many tests an expression may hold.
pub const MAX_TESTS: usize = 1_000;

const WORD_OPERATORS: [&str; 5] = ["contains", "startswith", "endswith", "matches", "in"];
const SIGN_OPERATORS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];
/// What other languages write, and what it is here.
const FOREIGN: [(&str, &str); 11] = [
    ("=", "=="),
    ("===", "=="),
    ("=~", "matches"),
    ("<>", "!="),
    ("&&", "and"),
    ("||", "or"),
    ("!", "not"),
    ("is", "=="),
    ("eq", "=="),
    ("ne", "!="),
    ("like", "matches"),
];

pub(super) fn parse(text: &str) -> Result<Expression, ParseError> {
    let mut parser = Parser { cursor: Cursor::new(text), tests: 0, depth: 0 };
    if text.len() > MAX_LENGTH {
        let message = format!("the expression has {} bytes; at most {MAX_LENGTH} are allowed", text.len());
        return Err(ParseError::at("", 0, 0, message, None));
    }
    if text.trim().is_empty() {
        let help = r#"write a test, such as Operation == "New-InboxRule""#;
        return Err(ParseError::at(text, 0, 0, "the expression is empty".to_owned(), Some(help.to_owned())));
    }
    let expression = parser.any()?;
    match parser.cursor.peek() {
        None => Ok(expression),
        Some(_) => Err(parser.unexpected("`and`, `or` or the end", &["and", "or"])),
    }
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    tests: usize,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Expression, ParseError> {
        let mut parts = vec![self.all()?];
        while self.cursor.eat_word("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, ParseError> {
        let mut parts = vec![self.unary()?];
        while self.cursor.eat_word("and") {
            parts.push(self.unary()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn unary(&mut self) -> Result<Expression, ParseError> {
        if self.depth == MAX_DEPTH {
            let at = self.cursor.skip();
            let message = format!("`not` and parentheses nest deeper than {MAX_DEPTH} levels");
            return Err(self.cursor.error(at, at + 1, message, None));
        }
        self.depth += 1;
        let expression = if self.cursor.eat_word("not") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.cursor.eat("(") {
            let inner = self.any()?;
            self.expect(")", "`and`, `or` or `)`")?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn test(&mut self) -> Result<Expression, ParseError> {
        self.tests += 1;
        if self.tests > MAX_TESTS {
            let at = self.cursor.skip();
            return Err(self.cursor.error(at, at + 1, format!("more than {MAX_TESTS} tests"), None));
        }
        if let Some(function) = self.function()? {
            return Ok(Expression::Test(function));
        }
        let word = self.cursor.word();
        if matches!(self.cursor.peek(), Some('!' | '&' | '|'))
            || RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
        {
            return Err(self.unexpected("a field, a test or `not`", &["not"]));
        }
        let field = self.cursor.field()?;
        let start = self.cursor.skip();
        if self.cursor.eat_word("contains") {
            return self.text_test(field, Check::Contains);
        }
        if self.cursor.eat_word("startswith") {
            return self.text_test(field, Check::StartsWith);
        }
        if self.cursor.eat_word("endswith") {
            return self.text_test(field, Check::EndsWith);
        }
        if self.cursor.eat_word("matches") {
            return self.text_test(field, Check::Matches);
        }
        if self.cursor.eat_word("in") {
            let list = self.list()?;
            return Ok(Expression::Test(Test { field, check: Check::In(list) }));
        }
        let sign = self.cursor.take(|c| matches!(c, '=' | '!' | '<' | '>' | '~' | '&' | '|'));
        let comparison = match sign {
            "==" | "!=" => {
                let literal = self.literal()?;
                let test = Expression::Test(Test { field, check: Check::Equals(literal) });
                return Ok(if sign == "==" { test } else { Expression::Not(Box::new(test)) });
            }
            "<" => Comparison::Less,
            "<=" => Comparison::AtMost,
            ">" => Comparison::Greater,
            ">=" => Comparison::AtLeast,
            _ => return Err(self.no_operator(start, sign, &field)),
        };
        let before = self.cursor.skip();
        match self.literal()? {
            Literal::Null | Literal::Bool(_) => {
                let message = format!("`{comparison}` needs a number or a text");
                Err(self.cursor.error(before, self.cursor.at(), message, None))
            }
            literal => Ok(Expression::Test(Test { field, check: Check::Compares(comparison, literal) })),
        }
    }

    /// `exists(...)` or `cidr(...)`, if that is next.
    fn function(&mut self) -> Result<Option<Test>, ParseError> {
        let mut ahead = self.cursor;
        let start = ahead.skip();
        let name = ahead.take(|c| c.is_ascii_alphanumeric() || c == '_');
        let end = ahead.at();
        if name.is_empty() || RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word)) || !ahead.eat("(") {
            return Ok(None);
        }
        self.cursor = ahead;
        if name.eq_ignore_ascii_case("exists") {
            let field = self.cursor.field()?;
            self.expect(")", "`)`")?;
            return Ok(Some(Test { field, check: Check::Exists }));
        }
        if name.eq_ignore_ascii_case("cidr") {
            let field = self.cursor.field()?;
            let mut networks = Vec::new();
            self.expect(",", "`,` and a network in quotes")?;
            loop {
                networks.push(self.network()?);
                if !self.cursor.eat(",") {
                    break;
                }
            }
            self.expect(")", "`,` or `)`")?;
            return Ok(Some(Test { field, check: Check::Cidr(networks) }));
        }
        let help = guess(name, &["exists", "cidr"])
            .unwrap_or("there are `exists(Field)` and `cidr(Field, \"10.0.0.0/8\")`".to_owned());
        Err(self.cursor.error(start, end, format!("unknown function `{name}`"), Some(help)))
    }

    fn network(&mut self) -> Result<Network, ParseError> {
        let start = self.cursor.skip();
        let Some(text) = self.cursor.string()? else {
            return Err(self.unexpected("a network in quotes, such as \"10.0.0.0/8\"", &[]));
        };
        text.parse().map_err(|_| {
            let message = format!("`{text}` is no network, such as 10.0.0.0/8 or 2001:db8::/32");
            self.cursor.error(start, self.cursor.at(), message, None)
        })
    }

    fn text_test(&mut self, field: String, check: fn(String) -> Check) -> Result<Expression, ParseError> {
        match self.cursor.string()? {
            Some(text) => Ok(Expression::Test(Test { field, check: check(text) })),
            None => Err(self.unexpected("a text in quotes", &[])),
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>, ParseError> {
        self.expect("[", "a list, such as [\"a\", \"b\"]")?;
        let mut literals = Vec::new();
        while !self.cursor.eat("]") {
            if !literals.is_empty() {
                self.expect(",", "`,` or `]`")?;
            }
            literals.push(self.literal()?);
        }
        Ok(literals)
    }

    fn literal(&mut self) -> Result<Literal, ParseError> {
        if let Some(text) = self.cursor.string()? {
            return Ok(Literal::Text(text));
        }
        let mut ahead = self.cursor;
        let word = ahead.take(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'));
        let literal = match word.to_ascii_lowercase().as_str() {
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            "null" => Literal::Null,
            _ if is_number(word) => Literal::Number(word.to_owned()),
            _ => {
                let (start, end, found) = self.cursor.found();
                let help = (!word.is_empty()).then(|| format!("texts stand in quotes: \"{word}\""));
                let message = format!("expected a text in quotes, a number, true, false or null, found {found}");
                return Err(self.cursor.error(start, end, message, help));
            }
        };
        self.cursor = ahead;
        Ok(literal)
    }

    fn expect(&mut self, sign: &str, expected: &str) -> Result<(), ParseError> {
        if self.cursor.eat(sign) { Ok(()) } else { Err(self.unexpected(expected, &[])) }
    }

    fn unexpected(&mut self, expected: &str, words: &[&str]) -> ParseError {
        let (start, end, found) = self.cursor.found();
        let mut ahead = self.cursor;
        let signs = ahead.take(|c| matches!(c, '&' | '|' | '!' | '='));
        let (written, found, end) = match signs {
            "" => (self.cursor.word(), found, end),
            signs => (signs, format!("`{signs}`"), start + signs.len()),
        };
        self.cursor.error(start, end, format!("expected {expected}, found {found}"), guess(written, words))
    }

    fn no_operator(&mut self, start: usize, sign: &str, field: &str) -> ParseError {
        let word = if sign.is_empty() { self.cursor.word() } else { sign };
        let known = "==, !=, <, <=, >, >=, contains, startswith, endswith, matches or in";
        let help = match word {
            "" => None,
            "not" => Some(format!("`not` stands before the whole test: not {field} ...")),
            word => guess(word, &[&WORD_OPERATORS[..], &SIGN_OPERATORS].concat()),
        };
        let (_, end, found) =
            if sign.is_empty() { self.cursor.found() } else { (0, start + sign.len(), format!("`{sign}`")) };
        self.cursor.error(start, end, format!("expected an operator ({known}), found {found}"), help)
    }
}

fn one_or(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// The word that was probably meant.
fn guess(written: &str, words: &[&str]) -> Option<String> {
    let lower = written.to_ascii_lowercase().replace('_', "");
    let foreign = FOREIGN.iter().find(|(name, _)| *name == lower).map(|(_, word)| *word);
    let near = |word: &&&str| strsim::osa_distance(&lower, word) <= word.len() / 3;
    let word =
        foreign.or_else(|| words.iter().filter(near).min_by_key(|word| strsim::osa_distance(&lower, word)).copied())?;
    Some(format!("did you mean `{word}`?"))
}
