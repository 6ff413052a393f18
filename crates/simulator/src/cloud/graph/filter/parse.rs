//! From a filter's text to its tree.

use super::{Expression, Function, Literal, Operator};
use crate::cloud::time;

/// The deepest nesting of a filter.
const DEEPEST: usize = 32;

impl Expression {
    /// Reads a filter; the error says what is wrong, in the service's words.
    pub(crate) fn parse(text: &str) -> Result<Expression, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
        let expression = parser.or()?;
        match parser.tokens.get(parser.at) {
            None => Ok(expression),
            Some(token) => Err(format!("Syntax error at '{}' in filter.", token.text())),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

impl Token {
    fn text(&self) -> String {
        match self {
            Token::Word(text) | Token::Text(text) => text.clone(),
            Token::Sign(sign) => sign.to_string(),
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word))
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' => {
                chars.next();
            }
            '(' | ')' | ',' => {
                chars.next();
                tokens.push(Token::Sign(c));
            }
            '\'' => {
                chars.next();
                tokens.push(Token::Text(quoted(&mut chars)?));
            }
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.peek().filter(|c| !" \t(),'".contains(**c)) {
                    word.push(c);
                    chars.next();
                    // The variable of a lambda ends with a colon, which a time holds inside.
                    if c == ':' && word.chars().all(|c| c.is_ascii_alphabetic() || c == ':') {
                        break;
                    }
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

/// A text in single quotes, in which a doubled quote stands for one.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match chars.next() {
            None => return Err("There is an unterminated string literal in the filter.".to_owned()),
            Some('\'') if chars.peek() == Some(&'\'') => {
                chars.next();
                text.push('\'');
            }
            Some('\'') => return Ok(text),
            Some(c) => text.push(c),
        }
    }
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("Syntax error: unexpected end of filter.")?;
        self.at += 1;
        Ok(token)
    }

    fn sign(&mut self, sign: char) -> Result<(), String> {
        match self.next()? {
            Token::Sign(found) if found == sign => Ok(()),
            other => Err(format!("Syntax error: '{sign}' expected at '{}'.", other.text())),
        }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => Err(format!("Syntax error: a property expected at '{}'.", other.text())),
        }
    }

    fn list(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Expression, String>,
    ) -> Result<Vec<Expression>, String> {
        let mut parts = vec![part(self)?];
        while self.peek().is_some_and(|token| token.is_word(word)) {
            self.at += 1;
            parts.push(part(self)?);
        }
        Ok(parts)
    }

    fn or(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("The filter is nested too deeply.".to_owned());
        }
        let mut parts = self.list("or", Self::and)?;
        self.depth -= 1;
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Expression::Or(parts) })
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut parts = self.list("and", Self::unary)?;
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        // `(a and b) and c` says the same as `a and b and c`.
        let flat = parts.into_iter().flat_map(|part| match part {
            Expression::And(inner) => inner,
            other => vec![other],
        });
        Ok(Expression::And(flat.collect()))
    }

    fn unary(&mut self) -> Result<Expression, String> {
        match self.peek() {
            Some(Token::Sign('(')) => {
                self.at += 1;
                let inner = self.or()?;
                self.sign(')')?;
                Ok(inner)
            }
            Some(token) if token.is_word("not") => {
                self.at += 1;
                Ok(Expression::Not(Box::new(self.unary()?)))
            }
            _ => self.property(),
        }
    }

    fn property(&mut self) -> Result<Expression, String> {
        let name = self.word()?;
        if self.peek() == Some(&Token::Sign('(')) {
            return self.call(&name);
        }
        let path = steps(&name);
        let operator = self.word()?;
        let operator = match operator.to_ascii_lowercase().as_str() {
            "eq" => Operator::Equal,
            "ne" => Operator::NotEqual,
            "lt" => Operator::Less,
            "le" => Operator::LessOrEqual,
            "gt" => Operator::Greater,
            "ge" => Operator::GreaterOrEqual,
            other => return Err(format!("Unrecognized operator '{other}' in filter.")),
        };
        let value = match self.next()? {
            Token::Text(text) => Literal::Text(text),
            Token::Word(word) => literal(&word)?,
            Token::Sign(sign) => return Err(format!("Syntax error: a value expected at '{sign}'.")),
        };
        Ok(Expression::Compare { path, operator, value })
    }

    fn call(&mut self, name: &str) -> Result<Expression, String> {
        self.sign('(')?;
        if let Some((path, _)) = name.rsplit_once('/').filter(|(_, last)| last.eq_ignore_ascii_case("any")) {
            let variable = self.word()?;
            let Some(variable) = variable.strip_suffix(':') else {
                return Err(format!("Syntax error: a variable and ':' expected at '{variable}'."));
            };
            let inner = Box::new(self.or()?);
            self.sign(')')?;
            return Ok(Expression::Any { path: steps(path), variable: variable.to_owned(), inner });
        }
        let function = match name.to_ascii_lowercase().as_str() {
            "startswith" => Function::StartsWith,
            "endswith" => Function::EndsWith,
            "contains" => Function::Contains,
            _ => return Err(format!("An unknown function with name '{name}' was found.")),
        };
        let path = steps(&self.word()?);
        self.sign(',')?;
        let text = self.next()?.text();
        self.sign(')')?;
        Ok(Expression::Function { name: function, path, text })
    }
}

fn steps(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

fn literal(word: &str) -> Result<Literal, String> {
    match word {
        "true" => return Ok(Literal::Boolean(true)),
        "false" => return Ok(Literal::Boolean(false)),
        "null" => return Ok(Literal::Null),
        _ => {}
    }
    if let Some(time) = word.contains('-').then(|| time::parse(word)).flatten() {
        return Ok(Literal::Time(time));
    }
    word.parse().map(Literal::Number).map_err(|_| format!("Invalid value '{word}' in filter."))
}
