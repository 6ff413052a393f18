//! Texts compared without regard to case.
//!
//! A character stands for its lower case, as Unicode maps it without looking at its neighbours. What a condition
//! asks for is put into that form once; the texts of events are folded while they are read, so that nothing is
//! copied. Nearly all of them are ASCII, and those take the short way.

use std::cmp::Ordering;
use std::iter::FlatMap;
use std::str::Chars;

type Fold<'a> = FlatMap<Chars<'a>, std::char::ToLowercase, fn(char) -> std::char::ToLowercase>;

fn fold(text: &str) -> Fold<'_> {
    text.chars().flat_map(char::to_lowercase)
}

/// A text that a condition asks for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    folded: String,
    ascii: bool,
}

impl Wanted {
    pub(super) fn new(text: &str) -> Wanted {
        let folded: String = fold(text).collect();
        Wanted { ascii: folded.is_ascii(), folded }
    }

    #[inline]
    pub(super) fn is(&self, text: &str) -> bool {
        if self.ascii && text.is_ascii() {
            return text.eq_ignore_ascii_case(&self.folded);
        }
        fold(text).eq(self.folded.chars())
    }

    pub(super) fn starts(&self, text: &str) -> bool {
        if self.ascii && text.is_ascii() {
            return text.get(..self.folded.len()).is_some_and(|start| start.eq_ignore_ascii_case(&self.folded));
        }
        begins(fold(text), self.folded.chars())
    }

    pub(super) fn ends(&self, text: &str) -> bool {
        if self.ascii && text.is_ascii() {
            let start = text.len().checked_sub(self.folded.len());
            return start.is_some_and(|start| text[start..].eq_ignore_ascii_case(&self.folded));
        }
        let backwards = text.chars().rev().flat_map(|c| c.to_lowercase().rev());
        begins(backwards, self.folded.chars().rev())
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        let wanted = self.folded.as_bytes();
        let Some(&first) = wanted.first() else { return true };
        if !(self.ascii && text.is_ascii()) {
            return text.char_indices().any(|(at, _)| begins(fold(&text[at..]), self.folded.chars()));
        }
        let text = text.as_bytes();
        let starts = |at: usize| text.get(at..at + wanted.len()).is_some_and(|part| part.eq_ignore_ascii_case(wanted));
        memchr::memchr2_iter(first, first.to_ascii_uppercase(), text).any(starts)
    }

    /// How a text stands to the wanted one.
    pub(super) fn order(&self, text: &str) -> Ordering {
        fold(text).cmp(self.folded.chars())
    }
}

fn begins(mut text: impl Iterator<Item = char>, mut wanted: impl Iterator<Item = char>) -> bool {
    wanted.all(|c| text.next() == Some(c))
}

/// A form with `*` and `?`.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Character(char),
    One,
    Some,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Glob {
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            match c {
                '*' if parts.last() == Some(&Part::Some) => {}
                '*' => parts.push(Part::Some),
                '?' => parts.push(Part::One),
                // A backslash at the end stands for itself.
                '\\' => parts.extend(characters.next().unwrap_or('\\').to_lowercase().map(Part::Character)),
                c => parts.extend(c.to_lowercase().map(Part::Character)),
            }
        }
        Glob { parts }
    }

    /// Each star takes as little as it can, and gets more only when what follows does not fit: only the last star
    /// ever needs that, so the work is at most text times pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut rest = fold(text);
        let mut at = 0;
        let mut star: Option<(usize, Fold<'_>)> = None;
        loop {
            if self.parts.get(at) == Some(&Part::Some) {
                at += 1;
                if at == self.parts.len() {
                    return true;
                }
                star = Some((at, rest.clone()));
                continue;
            }
            match (self.parts.get(at), rest.next()) {
                (None, None) => return true,
                (Some(_), None) => return false,
                (Some(Part::One), Some(_)) => at += 1,
                (Some(Part::Character(wanted)), Some(c)) if *wanted == c => at += 1,
                _ => {
                    let Some((behind, from)) = &mut star else { return false };
                    from.next();
                    at = *behind;
                    rest = from.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("*", "", true),
            ("a*", "ABC", true),
            ("*c", "abC", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*ab*ab*", "xabyabz", true),
            ("*ab*ab*", "xaby", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("STRASSE ?", "strasse \u{e9}", true),
            ("\u{c9}*", "\u{e9}t\u{e9}", true),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_form_ends_in_time() {
        let pattern = "*a".repeat(200);
        assert!(!Glob::new(&pattern).matches(&"a".repeat(199)));
        assert!(!Glob::new(&(pattern + "b")).matches(&"a".repeat(20_000)));
    }

    proptest! {
        #[test]
        fn tests_agree_with_lower_case_copies(text in "[aAbBsS\u{e9}\u{c9}\u{130}\u{212a}k]{0,8}", wanted in "[aAbB\u{e9}\u{c9}kK]{0,3}") {
            let lower: String = text.chars().flat_map(char::to_lowercase).collect();
            let sought: String = wanted.chars().flat_map(char::to_lowercase).collect();
            let compiled = Wanted::new(&wanted);
            prop_assert_eq!(compiled.is(&text), lower == sought);
            prop_assert_eq!(compiled.starts(&text), lower.starts_with(&sought));
            prop_assert_eq!(compiled.ends(&text), lower.ends_with(&sought));
            prop_assert_eq!(compiled.is_in(&text), lower.contains(&sought));
            prop_assert_eq!(compiled.order(&text), lower.cmp(&sought));
            prop_assert_eq!(Glob::new(&format!("*{wanted}*")).matches(&text), lower.contains(&sought));
            prop_assert_eq!(Glob::new(&format!("{wanted}*")).matches(&text), lower.starts_with(&sought));
        }
    }
}
