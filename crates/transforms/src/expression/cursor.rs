//! Reading an expression's text piece by piece: blanks, words, names, quoted texts, numbers.

use super::error::ParseError;

/// The characters besides letters and digits that a field may hold without backticks.
const NAME_SIGNS: [char; 8] = ['_', '.', '-', '@', '#', '$', ':', '/'];

/// Words that mean something where a field may stand, so that a field of that name needs backticks.
pub(super) const RESERVED: [&str; 8] = ["and", "or", "not", "in", "contains", "startswith", "endswith", "matches"];

/// A place in an expression's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Cursor<'t> {
        Cursor { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The character that is next, blanks skipped.
    pub(super) fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at = self.text.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Takes `sign` if it is next.
    pub(super) fn eat(&mut self, sign: &str) -> bool {
        self.peek();
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// The longest run of characters that are next and pass.
    pub(super) fn take(&mut self, pass: impl Fn(char) -> bool) -> &'t str {
        self.peek();
        let rest = self.rest();
        let len = rest.find(|c| !pass(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// The word that is next, without taking it.
    pub(super) fn word(mut self) -> &'t str {
        self.take(|c| c.is_alphanumeric() || NAME_SIGNS.contains(&c))
    }

    /// Takes `keyword` if that is the next word.
    pub(super) fn eat_word(&mut self, keyword: &str) -> bool {
        let word = self.word();
        let found = word.eq_ignore_ascii_case(keyword);
        if found {
            self.peek();
            self.at += word.len();
        }
        found
    }

    /// The field that is next, in its printed form.
    pub(super) fn field(&mut self) -> Result<String, ParseError> {
        let start = self.skip();
        let name = if self.rest().starts_with('`') { self.quoted('`')? } else { self.bare_field()?.to_owned() };
        if name.is_empty() {
            return Err(self.error(start, self.at, "expected a field, a test or `not`".to_owned(), None));
        }
        if downspout_core::field::parse_name(&name).is_none() {
            let help =
                "names are joined by dots, and a name that holds `.`, `[`, `]` or `\\` stands in brackets: `A[b.c].d`";
            return Err(self.error(start, self.at, format!("`{name}` is no field"), Some(help.to_owned())));
        }
        Ok(name)
    }

    fn bare_field(&mut self) -> Result<&'t str, ParseError> {
        let start = self.at;
        while let Some(c) = self.rest().chars().next() {
            if c == '[' && !self.text[start..self.at].eq_ignore_ascii_case("in") {
                self.brackets()?;
            } else if c.is_alphanumeric() || NAME_SIGNS.contains(&c) {
                self.at += c.len_utf8();
            } else {
                break;
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn brackets(&mut self) -> Result<(), ParseError> {
        let open = self.at;
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices() {
            if c == ']' && !escaped {
                self.at += offset + 1;
                return Ok(());
            }
            escaped = c == '\\' && !escaped;
        }
        Err(self.error(open, open + 1, "this bracket is never closed".to_owned(), None))
    }

    /// What stands between a quote, which is next, and its partner, where a quote is written twice.
    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let open = self.at;
        let mut content = String::new();
        self.at += quote.len_utf8();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(quote) else {
                return Err(self.error(open, open + 1, format!("this {quote} is never closed"), None));
            };
            content.push_str(&rest[..end]);
            self.at += end + quote.len_utf8();
            if !self.rest().starts_with(quote) {
                return Ok(content);
            }
            content.push(quote);
            self.at += quote.len_utf8();
        }
    }

    /// The quoted text that is next; `None` if something else is.
    pub(super) fn string(&mut self) -> Result<Option<String>, ParseError> {
        match self.peek() {
            Some('\'') => self.quoted('\'').map(Some),
            Some('"') => self.escaped().map(Some),
            _ => Ok(None),
        }
    }

    fn escaped(&mut self) -> Result<String, ParseError> {
        let open = self.at;
        let mut content = String::new();
        self.at += 1;
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(content),
                '\\' => content.push(self.escape(start)?),
                c => content.push(c),
            }
        }
        Err(self.error(open, open + 1, "this \" is never closed".to_owned(), None))
    }

    /// The character that an escape stands for; the backslash at `start` was taken.
    fn escape(&mut self, start: usize) -> Result<char, ParseError> {
        let code = self.rest().chars().next();
        self.at += code.map_or(0, char::len_utf8);
        let unicode = || {
            let digits = self.rest().strip_prefix('{')?.split_once('}')?.0;
            let code = u32::from_str_radix(digits, 16).ok()?;
            Some((char::from_u32(code)?, digits.len() + 2))
        };
        match code {
            Some(c @ ('"' | '\'' | '\\')) => Ok(c),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') if let Some((c, len)) = unicode() => {
                self.at += len;
                Ok(c)
            }
            _ => {
                let help = r#"write `\\` for a backslash, or use single quotes, where a backslash stands for itself"#;
                Err(self.error(start, self.at, "unknown escape".to_owned(), Some(help.to_owned())))
            }
        }
    }

    /// What stands next, for messages.
    pub(super) fn found(&mut self) -> (usize, usize, String) {
        let start = self.skip();
        let word = self.word();
        let len = if word.is_empty() { self.peek().map_or(0, char::len_utf8) } else { word.len() };
        let found = match self.rest().get(..len) {
            None | Some("") => "the end".to_owned(),
            Some(text) => format!("`{text}`"),
        };
        (start, start + len, found)
    }

    /// Skips blanks and says where it then is.
    pub(super) fn skip(&mut self) -> usize {
        self.peek();
        self.at
    }

    pub(super) fn error(&self, start: usize, end: usize, message: String, help: Option<String>) -> ParseError {
        ParseError::at(self.text, start, end, message, help)
    }
}

/// Whether a printed name may stand without backticks.
pub(super) fn is_bare(name: &str) -> bool {
    let mut cursor = Cursor::new(name);
    let starts = name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '@' | '$' | '['));
    starts
        && !RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word))
        && cursor.bare_field().is_ok_and(|field| field.len() == name.len())
}
