//! What a collection was ordered to collect: remembered in its folder, so that the same command goes on and another
//! one is refused.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::args::{CollectArguments, Profile, When};
use super::files::write_whole;

/// For so long Microsoft keeps the unified audit log of every tenant: Audit (Standard).
const KEPT_AT_LEAST: SignedDuration = SignedDuration::from_hours(180 * 24);

/// So long records may take to appear in Microsoft's logs.
const LATE: SignedDuration = SignedDuration::from_hours(24);

/// Everything that decides which records are collected and how they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// From when on.
    pub(crate) since: Timestamp,
    /// Up to when.
    pub(crate) until: Timestamp,
    /// The end that was asked for. It is behind `until` while it lies ahead of now.
    asked: Timestamp,
    /// When `until` was set.
    set: Timestamp,
    /// Up to when was collected before, where the end that was asked for lay ahead.
    parts: Vec<Timestamp>,
    /// What was wrong with this machine's clock when the order was given.
    #[serde(default)]
    clock: Option<String>,
    /// The options as typed, secrets aside. `since` and `until` stand here as typed, too: "90 days ago" moves.
    pub(crate) options: Value,
}

impl Order {
    /// The order of these arguments at this time of the service. `clock`: what is wrong with this machine's.
    pub(crate) fn new(arguments: &CollectArguments, now: Timestamp, clock: Option<String>) -> Order {
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
        let (now, asked) = (second(now), second(until.map_or(now, |until| until.end(now))));
        Order {
            since: second(since.start(now)),
            until: asked.min(now),
            asked,
            set: now,
            parts: Vec::new(),
            clock,
            options,
        }
    }

    /// The order that the folder was begun with, and true; or `new` if it is a new one, and false. An order whose end lay
    /// ahead goes on to where `new` ends.
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
            Ok((old.extended(&new), true))
        } else {
            Err(format!(
                "{} holds a collection that was ordered with other options ({} differ): repeat that command to go on with \
                 it, or choose another --out",
                folder.display(),
                differ.join(", ")
            ))
        }
    }

    fn extended(mut self, new: &Order) -> Order {
        let until = new.until.min(self.asked);
        if self.until < until {
            self.parts.push(self.until);
            self.until = until;
            self.set = new.set;
            self.clock = self.clock.or_else(|| new.clock.clone());
        }
        self
    }

    /// What whoever reads the collection should know of its time.
    pub(crate) fn notes(&self, arguments: &CollectArguments) -> Vec<String> {
        let searches = profiles(arguments).into_iter().any(Profile::searches);
        let beyond = searches && self.set.duration_since(self.since) > KEPT_AT_LEAST;
        let kept = beyond.then(|| {
            "Microsoft keeps the unified audit log for 180 days, unless a licence or a retention policy says longer: that \
             nothing is found from before does not mean that nothing happened"
                .to_owned()
        });
        self.clock.clone().into_iter().chain(kept).collect()
    }

    /// That the end lies ahead, if it does, and what to do.
    pub(crate) fn ahead(&self) -> Option<String> {
        (self.until < self.asked).then(|| {
            format!(
                "--until {} lies ahead: collected up to {}; repeat the command later for the rest",
                self.asked, self.until
            )
        })
    }

    /// What may be missing because it was asked for before it had appeared.
    pub(crate) fn late(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.parts.is_empty() {
            let parts: Vec<String> = self.parts.iter().map(Timestamp::to_string).collect();
            notes.push(format!(
                "collected in parts, first up to {}: of the day before, what appeared later is not in the results of \
                 searches (the unified audit log, mailboxes); collect it again, into another folder",
                parts.join(", then up to ")
            ));
        }
        if self.set.duration_since(self.until) < LATE {
            notes.push(format!(
                "Microsoft's logs fill up late, some by a day: of the day before {} more records may appear; collect it \
                 again later, into another folder",
                self.until
            ));
        }
        notes
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
        let first = Order::new(&arguments(&["--since", "3d"]), at("2026-11-22T10:00:00.5Z"), None);
        assert_eq!(first.since, at("2026-11-19T10:00:00Z"));
        assert_eq!(first.until, at("2026-11-22T10:00:00Z"));
        assert_eq!(Order::take_up(folder.path(), first.clone()).unwrap(), (first.clone(), false));
        first.keep(folder.path()).unwrap();
        let later = Order::new(&arguments(&["--since", "3d"]), at("2026-11-23T10:00:00Z"), None);
        assert_eq!(Order::take_up(folder.path(), later).unwrap(), (first, true));
        let other = Order::new(&arguments(&["--since", "3d", "--profile", "full"]), at("2026-11-22T10:00:00Z"), None);
        let refused = Order::take_up(folder.path(), other).unwrap_err();
        assert!(refused.contains("(--profile differ)"), "{refused}");
    }

    #[test]
    fn a_folder_of_other_things_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let order = Order::new(&arguments(&[]), "2026-11-22T10:00:00Z".parse().unwrap(), None);
        std::fs::create_dir(state_folder(folder.path())).unwrap();
        assert!(Order::take_up(folder.path(), order.clone()).is_ok());
        std::fs::write(folder.path().join("holiday.jpg"), "x").unwrap();
        assert!(Order::take_up(folder.path(), order).unwrap_err().contains("is not empty"));
    }

    #[test]
    fn what_lies_ahead_is_told_and_collected_by_a_later_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let ordered =
            |now: &str| Order::new(&arguments(&["--since", "2026-11-01", "--until", "2026-11-22"]), at(now), None);
        let repeated = |now: &str| {
            let (order, _) = Order::take_up(folder.path(), ordered(now)).unwrap();
            order.keep(folder.path()).unwrap();
            order
        };
        let first = repeated("2026-11-22T10:00:00Z");
        assert_eq!((first.since, first.until), (at("2026-11-01T00:00:00Z"), at("2026-11-22T10:00:00Z")));
        let told = "--until 2026-11-23T00:00:00Z lies ahead: collected up to 2026-11-22T10:00:00Z; repeat";
        assert!(first.ahead().unwrap().starts_with(told), "{first:?}");
        assert!(first.late()[0].contains("of the day before 2026-11-22T10:00:00Z more"), "{first:?}");
        let second = repeated("2026-11-22T12:00:00Z");
        assert!(second.ahead().unwrap().contains("collected up to 2026-11-22T12:00:00Z"), "{second:?}");
        let whole = repeated("2026-11-23T06:00:00Z");
        assert_eq!((whole.until, whole.ahead()), (at("2026-11-23T00:00:00Z"), None));
        let late = whole.late();
        assert!(late[0].contains("first up to 2026-11-22T10:00:00Z, then up to 2026-11-22T12:00:00Z:"), "{late:?}");
        assert!(late[1].contains("of the day before 2026-11-23T00:00:00Z more"), "{late:?}");
        // Nothing more is asked for, so what was late when it was asked for stays told.
        assert_eq!(repeated("2026-11-30T00:00:00Z"), whole);
    }

    #[test]
    fn what_was_asked_for_late_enough_is_whole() {
        let order = |now: &str| Order::new(&arguments(&["--until", "2026-11-22"]), now.parse().unwrap(), None);
        assert_eq!(order("2026-11-23T23:59:59Z").late().len(), 1);
        assert_eq!(order("2026-11-24T00:00:00Z").late(), [""; 0]);
        assert_eq!(order("2026-11-24T00:00:00Z").ahead(), None);
    }
}
