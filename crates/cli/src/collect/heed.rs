//! Which filters which profiles heed: none is ignored in silence.
//!
//! A filter that none of the profiles heeds is refused: whoever typed it believes that it does something. One that only
//! some heed is told, on the terminal and in the manifest.

use clap::ValueEnum;

use super::args::{Backend, CollectArguments, Profile};
use super::order::profiles;

/// An option that not every profile heeds.
struct Filter {
    option: &'static str,
    given: bool,
    heeds: fn(Profile) -> bool,
    /// Whether it is meant for all profiles: then it is told which do not heed it.
    general: bool,
}

fn filters(arguments: &CollectArguments) -> [Filter; 7] {
    let filter = |option, given, heeds, general| Filter { option, given, heeds, general };
    [
        filter("--user", !arguments.user.is_empty(), Profile::is_log, true),
        filter("--ip", !arguments.ip.is_empty(), Profile::is_log, true),
        filter("--text", arguments.text.is_some(), Profile::searches, true),
        filter("--operations", !arguments.operations.is_empty(), Profile::searches, true),
        filter("--record-types", !arguments.record_types.is_empty(), Profile::searches, true),
        filter("--organization", !arguments.organization.is_empty(), |profile| profile == Profile::Devops, false),
        filter("--backend exchange", arguments.backend == Backend::Exchange, Profile::searches, false),
    ]
}

/// Whether every option does something.
///
/// # Errors
/// Those that do nothing, a line each, with what to do.
pub(super) fn check(arguments: &CollectArguments) -> Result<(), String> {
    let profiles = profiles(arguments);
    let idle =
        filters(arguments).into_iter().filter(|filter| filter.given && !profiles.iter().any(|p| (filter.heeds)(*p)));
    let told: Vec<String> = idle
        .map(|filter| {
            let heeding = Profile::value_variants().iter().filter(|p| **p != Profile::All && (filter.heeds)(**p));
            format!(
                "{} does nothing with --profile {}: leave it out, or add a profile that heeds it ({})",
                filter.option,
                names(&profiles, ","),
                names(heeding, ", ")
            )
        })
        .collect();
    if told.is_empty() { Ok(()) } else { Err(told.join("\nerror: ")) }
}

/// What of the arguments means less, or something else, than somebody might think.
pub(super) fn notes(arguments: &CollectArguments) -> Vec<String> {
    let profiles = profiles(arguments);
    let mut notes = Vec::new();
    for filter in filters(arguments).into_iter().filter(|filter| filter.given && filter.general) {
        let deaf: Vec<&Profile> = profiles.iter().filter(|profile| !(filter.heeds)(**profile)).collect();
        if !deaf.is_empty() {
            let (option, deaf) = (filter.option, names(deaf, ", "));
            notes.push(format!("{option} cannot be asked of {deaf}: what these collect is not filtered by it"));
        }
    }
    let nameless: Vec<&str> = arguments.user.iter().map(String::as_str).filter(|user| !user.contains('@')).collect();
    if !nameless.is_empty() {
        let names = nameless.join(", ");
        notes.push(format!("--user {names}: there is no `@` in it, and users are found by their user principal names"));
    }
    let states: Vec<&Profile> = profiles.iter().filter(|profile| !profile.is_log()).collect();
    if !states.is_empty() {
        let states = names(states, ", ");
        notes.push(format!("{states}: the state of now is collected; --since and --until do not concern it"));
    }
    let searches: Vec<&Profile> = profiles.iter().filter(|profile| profile.searches()).collect();
    if searches.len() > 1 && profiles.contains(&Profile::Full) {
        notes.push("full holds all that light and defender would find: it alone is searched for".to_owned());
    } else if searches.len() > 1 && filters_itself(arguments) {
        notes.push("with --operations or --record-types, light and defender are one search".to_owned());
    }
    notes
}

/// Whether operations or record types are named, which then stand in place of a profile's.
pub(super) fn filters_itself(arguments: &CollectArguments) -> bool {
    !arguments.operations.is_empty() || !arguments.record_types.is_empty()
}

fn names<'p>(profiles: impl IntoIterator<Item = &'p Profile>, between: &str) -> String {
    let names: Vec<String> = profiles.into_iter().map(ToString::to_string).collect();
    names.join(between)
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::arguments;
    use super::*;

    #[test]
    fn what_no_profile_heeds_is_refused() {
        for (given, words) in [
            (&["--profile", "entra", "--operations", "Send"][..], "--operations does nothing with --profile entra"),
            (&["--profile", "azure,apps", "--text", "x"], "--text does nothing with --profile apps,azure"),
            (&["--profile", "devops", "--record-types", "ExchangeAdmin"], "(light, full, defender)"),
            (&["--profile", "apps", "--user", "ada@contoso.com"], "--user"),
            (&["--profile", "devices", "--ip", "203.0.113.7"], "--ip"),
            (&["--organization", "contoso"], "(devops)"),
            (&["--profile", "mailbox", "--backend", "exchange"], "--backend exchange"),
        ] {
            let refused = check(&arguments(given)).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
        assert_eq!(check(&arguments(&["--profile", "all", "--text", "x", "--organization", "contoso"])), Ok(()));
    }

    #[test]
    fn what_some_profiles_do_not_heed_is_told() {
        assert_eq!(notes(&arguments(&["--user", "ada@contoso.com", "--text", "x"])), [""; 0]);
        let mixed =
            notes(&arguments(&["--profile", "full,entra,azure,apps", "--text", "x", "--user", "ada@contoso.com"]));
        assert_eq!(mixed.len(), 3, "{mixed:?}");
        assert!(mixed[0].starts_with("--user cannot be asked of apps:"), "{mixed:?}");
        assert!(mixed[1].starts_with("--text cannot be asked of entra, apps, azure:"), "{mixed:?}");
        assert!(mixed[2].starts_with("apps: the state of now"), "{mixed:?}");
        assert_eq!(notes(&arguments(&["--profile", "light,defender"])), [""; 0]);
        assert_eq!(notes(&arguments(&["--profile", "light,defender", "--operations", "Send"])).len(), 1);
        assert_eq!(notes(&arguments(&["--profile", "light,full"])).len(), 1);
    }
}
