//! Names of operations that are probably typos.
//!
//! A service that is asked for an operation that it does not know finds nothing, and does not say why. No list of
//! operations is complete, Microsoft adds some every week: so a name is doubted only if it is nearly one that is known
//! (`operations.txt`), and doubt is a warning and never an error.

use std::collections::HashSet;

use downspout_core::ConfigError;

/// What is known of the unified audit log.
const KNOWN: &str = include_str!("operations.txt");

/// How many near names are told.
const MOST_NEAR: usize = 3;

/// Longer names than any that is known are compared with none.
const LONGEST: usize = 128;

/// The operations of the unified audit log that are known.
pub(crate) fn known() -> Vec<String> {
    let lines = KNOWN.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.strip_suffix("\\s").map_or_else(|| line.to_owned(), |line| format!("{line} "))).collect()
}

/// Warnings about those names under the key `operations` that are nearly, and not quite, known ones.
pub(crate) fn doubts(names: &[String], known: &[String]) -> Vec<ConfigError> {
    let exact: HashSet<&str> = known.iter().map(String::as_str).collect();
    let doubted = names.iter().enumerate().filter(|(_, name)| !exact.contains(name.as_str()));
    let doubts = doubted.filter_map(|(index, name)| {
        let near = near(name, known);
        let near: Vec<String> = near.iter().take(MOST_NEAR).map(|name| format!("`{name}`")).collect();
        (!near.is_empty()).then(|| {
            let message = format!("`{}` is no operation that is known, and nearly one", name.escape_debug());
            let help = format!(
                "did you mean {}? For a name that it does not know, Microsoft finds nothing and does not tell",
                near.join(" or ")
            );
            ConfigError::at(format!("operations.{index}"), message).help(help)
        })
    });
    doubts.collect()
}

/// The known names that a name was probably meant to be, the nearest first.
fn near<'k>(name: &str, known: &'k [String]) -> Vec<&'k str> {
    if name.len() > LONGEST || is_likely_cmdlet(name, known) {
        return Vec::new();
    }
    let (letters, lower) = (letters(name), name.to_lowercase());
    // In a short name more than one letter makes another word.
    let most = if lower.chars().count() < 10 { 1 } else { 2 };
    let mut near: Vec<(usize, &str)> = Vec::new();
    for known in known {
        if self::letters(known) == letters {
            near.push((0, known));
        } else if lower.len() > 4 && known.len().abs_diff(lower.len()) <= 4 {
            let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
            near.extend((distance <= most).then_some((distance, known.as_str())));
        }
    }
    near.sort_unstable();
    near.into_iter().map(|(_, name)| name).collect()
}

/// Whether it is a cmdlet that is not in the list, of parts that are: `Get-InboxRule` is no typo of `Set-InboxRule`.
fn is_likely_cmdlet(name: &str, known: &[String]) -> bool {
    let Some((verb, noun)) = name.split_once('-') else { return false };
    let parts = || known.iter().filter_map(|known| known.split_once('-'));
    (verb == "Get" || parts().any(|(known, _)| known == verb)) && parts().any(|(_, known)| known == noun)
}

/// What is left of a name without case, blanks and punctuation.
fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubted(name: &str) -> Option<String> {
        doubts(&[name.to_owned()], &known()).pop().and_then(|doubt| doubt.help)
    }

    #[test]
    fn typos_are_told_with_what_was_meant() {
        for (typo, meant) in [
            ("new-inboxrule", "`New-InboxRule`"),
            ("New-InboxRuel", "`New-InboxRule`"),
            ("NewInboxRule", "`New-InboxRule`"),
            ("Add member to role", "`Add member to role.`"),
            (" FileAccessed", "`FileAccessed`"),
            ("FileAcessed", "`FileAccessed`"),
        ] {
            let help = doubted(typo).unwrap_or_else(|| panic!("{typo}"));
            assert!(help.contains(meant), "{typo}: {help}");
        }
    }

    #[test]
    fn what_may_be_new_is_not_doubted() {
        let known = known();
        for name in known.iter().map(String::as_str).chain([
            "Get-InboxRule",
            "QuantumMailboxEntangled",
            "Approve quantum access.",
            "Sand",
            "",
        ]) {
            assert_eq!(doubted(name), None, "{name}");
        }
        assert_eq!(doubted(&"x".repeat(100_000)), None);
        let sorted = known.is_sorted() && known.windows(2).all(|two| two[0] != two[1]);
        assert!(sorted && known.len() > 500);
    }
}
