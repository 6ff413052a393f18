//! "Did you mean ...?"

/// Longer names are not typos of anything, and comparing them costs the product of the lengths.
const LONGEST: usize = 64;

/// The candidate that `name` was most likely meant to be, or none if nothing is close.
///
/// Case and `-` against `_` do not count as differences. Roughly one typo in three letters is forgiven.
#[must_use]
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let wanted = normalise(name);
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&wanted, &normalise(candidate));
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The help line for a name that is not known: the likely one if there is one, and all that there are.
///
/// `what` says what is listed, in the plural: `keys`, `component types`.
#[must_use]
pub fn help_for_unknown(name: &str, what: &str, candidates: &[&str]) -> Option<String> {
    if candidates.is_empty() {
        return None;
    }
    let known = format!("known {what}: {}", candidates.join(", "));
    Some(match suggest(name, candidates.iter().copied()) {
        Some(likely) => format!("did you mean `{likely}`? ({known})"),
        None => known,
    })
}

fn normalise(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}
