//! Learning the shape of a record from the walk that flattened it.

use super::{Fork, MOST_ALTERNATIVES, MOST_LITERALS, MOST_STEPS, MOST_STEPS_OF_A_SHAPE, ROOT, Shapes, Step, What};
use crate::field::FieldTable;
use crate::json::Home;
use crate::value::Entry;

/// A token that a walk passed, in the order of the text. Offsets count from the start of the text that it stands in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Token {
    /// A value that became an entry: a scalar, its quotes included, or an empty container.
    Value { start: u32, end: u32 },
    /// The content of the string that the value before this was: what follows stands in it.
    Opened { home: Home, start: u32, end: u32 },
    /// The end of that content: what follows stands behind the string.
    Closed,
}

/// A record that was walked through.
pub(crate) struct Lesson<'a> {
    /// The texts: as received, and the batch's arena.
    pub(crate) raw: &'a str,
    pub(crate) arena: &'a str,
    /// Where the record stands in `raw`.
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) tokens: &'a [Token],
    /// The entries that came of it: one for each value among the tokens, in the same order.
    pub(crate) entries: &'a [Entry],
}

/// A text under way.
#[derive(Clone, Copy)]
struct Text {
    home: Home,
    /// Behind the last token.
    at: u32,
    end: u32,
}

impl Lesson<'_> {
    fn literal(&self, text: Text, end: u32) -> &str {
        let home = match text.home {
            Home::Raw => self.raw,
            Home::Arena => self.arena,
        };
        &home[text.at as usize..end as usize]
    }
}

impl Shapes {
    /// Remembers a record's shape. Gives its number; `None` if there is no room for it.
    pub(crate) fn learn(&mut self, lesson: &Lesson<'_>, fields: &FieldTable) -> Option<u32> {
        if lesson.tokens.len() > MOST_STEPS_OF_A_SHAPE
            || lesson.entries.iter().any(|entry| entry.field.index().is_none())
        {
            return None;
        }
        let mut entries = lesson.entries.iter();
        let mut fork = Fork::ROOT;
        let mut text = Text { home: Home::Raw, at: lesson.start, end: lesson.end };
        let mut around = Vec::new();
        for token in lesson.tokens {
            let step = match *token {
                Token::Value { start, end } => {
                    let Entry { field, trail, slot } = *entries.next()?;
                    let (literal, what) = if slot.kind.is_empty() {
                        let what = What::Empty { field, trail, kind: slot.kind, len: end - start };
                        (lesson.literal(text, end), what)
                    } else {
                        (lesson.literal(text, start), What::Scalar { field, trail })
                    };
                    text.at = end;
                    self.find(fork, literal, what).or_else(|| self.add(fork, literal, what))?
                }
                Token::Opened { home, start, end } => {
                    around.push(text);
                    text = Text { home, at: start, end };
                    fork = Fork::inside(fork.step);
                    continue;
                }
                Token::Closed => {
                    let (literal, what) = (lesson.literal(text, text.end), What::EndOfContent);
                    text = around.pop()?;
                    self.find(fork, literal, what).or_else(|| self.add(fork, literal, what))?
                }
            };
            fork = Fork::behind(step);
        }
        let literal = lesson.literal(text, text.end);
        if let Some(last) = self.find(fork, literal, What::End { shape: 0 })
            && let What::End { shape } = self.steps[last as usize].what
        {
            return Some(shape);
        }
        let shape = fields.number_shape()?;
        self.add(fork, literal, What::End { shape })?;
        Some(shape)
    }

    /// The step with that literal and that behind it. The same literal may have different fields behind it: what an
    /// element's members stand under is told by its member `Name`, which may come later.
    fn find(&mut self, fork: Fork, literal: &str, what: What) -> Option<u32> {
        let mut index = *fork.first(&mut self.steps);
        while index != ROOT {
            let step = &self.steps[index as usize];
            let known = &self.literals[step.start as usize..(step.start + step.len) as usize];
            let alike = step.what == what || matches!((step.what, what), (What::End { .. }, What::End { .. }));
            if alike && known == literal.as_bytes() {
                return Some(index);
            }
            index = step.other;
        }
        None
    }

    /// A new step. `None` if there is no room for it.
    fn add(&mut self, fork: Fork, literal: &str, what: What) -> Option<u32> {
        if self.steps.len() >= MOST_STEPS || self.literals.len() + literal.len() > MOST_LITERALS {
            return None;
        }
        let mut alternatives = 0;
        let mut index = *fork.first(&mut self.steps);
        while index != ROOT {
            index = self.steps[index as usize].other;
            alternatives += 1;
        }
        if alternatives >= MOST_ALTERNATIVES {
            return None;
        }
        let (start, len) = (self.literals.len() as u32, literal.len() as u32);
        self.literals.extend_from_slice(literal.as_bytes());
        let new = self.steps.len() as u32;
        let first = std::mem::replace(fork.first(&mut self.steps), new);
        self.steps.push(Step { start, len, what, next: ROOT, inside: ROOT, other: first });
        Some(new)
    }
}
