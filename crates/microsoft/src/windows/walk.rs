//! From page to page of one window, and how it may go wrong.
//!
//! Paging is the services' word against ours: a link may lead back to where it came from, a page may come twice in
//! place of the next one, links may never end. What is seen here is only what proves that: the same link again, the
//! same records in the same order again, or more pages than any window has.

use std::collections::HashSet;

use super::feed::{Page, Target};
use super::seen::{Hash, hash};

/// More pages than that are not followed; a shorter window is asked for instead.
pub(super) const MOST_PAGES: usize = 2000;

/// Why a page is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strange {
    /// Its link was followed before.
    LinkAgain,
    /// Its records came before, all of them, in that order.
    PageAgain,
    /// There are too many pages.
    TooMany,
}

impl Strange {
    /// What the operator is told.
    pub(super) fn told(self) -> &'static str {
        match self {
            Strange::LinkAgain => "a page's link leads back to an earlier page",
            Strange::PageAgain => "a page came again in place of the next one",
            Strange::TooMany => "the pages do not end",
        }
    }
}

/// What was met on the way through a window.
#[derive(Debug, Default)]
pub(super) struct Walk {
    followed: HashSet<Hash>,
    pages: HashSet<Hash>,
}

impl Walk {
    /// How many pages were believed.
    pub(super) fn pages(&self) -> usize {
        self.followed.len()
    }

    /// Takes the page that `target` gave; `text` is its answer. A page that is not believed leaves no trace, so the
    /// same target can be asked again.
    pub(super) fn take(&mut self, target: &Target, text: &[u8], page: &Page) -> Result<(), Strange> {
        if self.pages() >= MOST_PAGES {
            return Err(Strange::TooMany);
        }
        let link = |target: &Target| {
            let (Target::Path(text) | Target::Link(text)) = target;
            hash(text.as_bytes())
        };
        let here = link(target);
        let next = page.next.as_ref().map(link);
        if next.is_some_and(|next| next == here || self.followed.contains(&next)) {
            return Err(Strange::LinkAgain);
        }
        if let (Some(first), Some(last)) = (page.records.first(), page.records.last()) {
            // Everything between the first and the last record is one piece of the answer.
            let content = hash(&text[first.start..last.end]);
            if !self.pages.insert(content) {
                return Err(Strange::PageAgain);
            }
        }
        self.followed.insert(here);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target::Link(name.to_owned())
    }

    fn page(text: &str, next: Option<&str>) -> Page {
        Page {
            records: (!text.is_empty()).then_some(0..text.len()).into_iter().collect(),
            next: next.map(target),
            cut: false,
        }
    }

    #[test]
    fn pages_that_cannot_be_are_not_believed_and_may_be_asked_for_again() {
        let mut walk = Walk::default();
        let mut take = |here: &str, text: &str, next| walk.take(&target(here), text.as_bytes(), &page(text, next));
        assert_eq!(take("1", "a", Some("2")), Ok(()));
        assert_eq!(take("2", "a", Some("3")), Err(Strange::PageAgain));
        assert_eq!(take("2", "b", Some("2")), Err(Strange::LinkAgain));
        assert_eq!(take("2", "b", Some("1")), Err(Strange::LinkAgain));
        assert_eq!(take("2", "b", Some("3")), Ok(()));
        assert_eq!(take("3", "", Some("4")), Ok(()));
        assert_eq!(take("4", "", Some("5")), Ok(()));
        assert_eq!(take("5", "c", None), Ok(()));
    }

    #[test]
    fn pages_end() {
        let mut walk = Walk::default();
        for number in 0..MOST_PAGES {
            let (here, next) = (number.to_string(), (number + 1).to_string());
            assert_eq!(walk.take(&target(&here), b"", &page("", Some(&next))), Ok(()));
        }
        assert_eq!(walk.take(&target("x"), b"", &page("", Some("y"))), Err(Strange::TooMany));
    }
}
