//! What a collection was ordered to collect: remembered in its folder, so that the same command goes on and another
//! one is refused.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::args::{CollectArguments, Profile, When};
use super::files::write_whole;

/// Everything that decides which records are collected and how they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// From when on.
    pub(crate) since: Timestamp,
    /// Up to when.
    pub(crate) until: Timestamp,
    /// The options as typed, secrets aside. `since` and `until` stand here as typed, too: "90 days ago" moves.
    pub(crate) options: Value,
}

impl Order {
    /// The order of these arguments at this time.
    pub(crate) fn new(arguments: &CollectArguments, now: Timestamp) -> Order {
        let CollectArguments { tenant_id, cloud, since, until, user, ip, text, operations, .. } = arguments;
        let CollectArguments { record_types, organization, backend, format, .. } = arguments;
        let options = json!({
            "tenant_id": tenant_id.to_ascii_lowercase(),
            "cloud": cloud,
            "since": shown(*since),
            "until": until.map(shown),
            "profile": profiles(arguments),
            "user": user,
            "ip": ip,
            "text": text,
            "operations": operations,
            "record_types": record_types,
            "organization": organization,
            "backend": backend,
            "format": format,
        });
        let second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        let until = until.map_or(now, |until| until.end(now).min(now));
        Order { since: second(since.start(now)), until: second(until), options }
    }

    /// The order that the folder was begun with, and true; or `new` if it is a new one, and false.
    ///
    /// # Errors
    /// If the folder belongs to another order or holds something else, or cannot be read.
    pub(crate) fn take_up(folder: &Path, new: Order) -> Result<(Order, bool), String> {
        let path = path(folder);
        let old = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice::<Order>(&text)
                .map_err(|error| format!("cannot understand {}: {error}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Evidence and other files do not mix: the manifest would name them all.
                return if holds_something(folder) {
                    Err(format!("{} is not empty, and holds no collection: choose another --out", folder.display()))
                } else {
                    Ok((new, false))
                };
            }
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let differ: Vec<String> = match (&old.options, &new.options) {
            (Value::Object(old), Value::Object(new)) => {
                let differing = new.iter().filter(|(name, value)| old.get(*name) != Some(value));
                differing.map(|(name, _)| format!("--{}", name.replace('_', "-"))).collect()
            }
            _ => Vec::new(),
        };
        if old.options == new.options {
            Ok((old, true))
        } else {
            Err(format!(
                "{} holds a collection that was ordered with other options ({} differ): repeat that command to go on with \
                 it, or choose another --out",
                folder.display(),
                differ.join(", ")
            ))
        }
    }

    /// Remembers the order in the folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(crate) fn keep(&self, folder: &Path) -> Result<(), String> {
        let path = path(folder);
        let write = || {
            std::fs::create_dir_all(state_folder(folder))?;
            write_whole(&path, &serde_json::to_vec_pretty(self)?)
        };
        write().map_err(|error: std::io::Error| format!("cannot write {}: {error}", path.display()))
    }
}

/// Whether something but a collection's state lies in a folder.
fn holds_something(folder: &Path) -> bool {
    let state = state_folder(folder);
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| entry.path() != state))
}

fn path(folder: &Path) -> PathBuf {
    state_folder(folder).join("order.json")
}

/// Where a collection's state lives.
pub(crate) fn state_folder(folder: &Path) -> PathBuf {
    folder.join(".downspout")
}

/// The profiles without repeats; `all` is spelled out.
pub(crate) fn profiles(arguments: &CollectArguments) -> Vec<Profile> {
    use Profile::{Apps, Azure, Devices, Devops, Entra, Full, Mailbox, Users};
    let mut profiles = arguments.profile.clone();
    if profiles.contains(&Profile::All) {
        profiles = vec![Full, Entra, Apps, Devices, Users, Azure, Devops, Mailbox];
    }
    profiles.sort_unstable();
    profiles.dedup();
    profiles
}

fn shown(when: When) -> String {
    match when {
        When::At(at) => at.to_string(),
        When::Day(day) => day.to_string(),
        When::Ago(ago) => format!("{ago:#} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::arguments;
    use super::*;

    #[test]
    fn the_same_command_goes_on_and_another_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |text: &str| text.parse().unwrap();
        let first = Order::new(&arguments(&["--since", "3d"]), at("2026-11-22T10:00:00.5Z"));
        assert_eq!(first.since, at("2026-11-19T10:00:00Z"));
        assert_eq!(first.until, at("2026-11-22T10:00:00Z"));
        assert_eq!(Order::take_up(folder.path(), first.clone()).unwrap(), (first.clone(), false));
        first.keep(folder.path()).unwrap();
        let later = Order::new(&arguments(&["--since", "3d"]), at("2026-11-23T10:00:00Z"));
        assert_eq!(Order::take_up(folder.path(), later).unwrap(), (first, true));
        let other = Order::new(&arguments(&["--since", "3d", "--profile", "full"]), at("2026-11-22T10:00:00Z"));
        let refused = Order::take_up(folder.path(), other).unwrap_err();
        assert!(refused.contains("(--profile differ)"), "{refused}");
    }

    #[test]
    fn a_folder_of_other_things_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let order = Order::new(&arguments(&[]), "2026-11-22T10:00:00Z".parse().unwrap());
        std::fs::create_dir(state_folder(folder.path())).unwrap();
        assert!(Order::take_up(folder.path(), order.clone()).is_ok());
        std::fs::write(folder.path().join("holiday.jpg"), "x").unwrap();
        assert!(Order::take_up(folder.path(), order).unwrap_err().contains("is not empty"));
    }

    #[test]
    fn what_lies_ahead_cannot_be_collected() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let order = Order::new(&arguments(&["--since", "2026-11-01", "--until", "2026-11-30"]), now);
        assert_eq!((order.since.to_string().as_str(), order.until), ("2026-11-01T00:00:00Z", now));
    }
}
