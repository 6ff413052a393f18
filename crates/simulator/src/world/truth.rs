//! The ground truth of attacks: what a detection should have found.

use jiff::Timestamp;

/// One attack as it really was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Its index in [`super::WorldConfig::attacks`].
    pub attack: u32,
    /// The name of its kind, such as `password_spray`.
    pub kind: String,
    /// The time of its first record.
    pub start: Timestamp,
    /// The time of its last record.
    pub end: Timestamp,
    /// The accounts that acted: user principal names, or names of applications.
    pub actors: Vec<String>,
    /// The addresses that it came from.
    pub addresses: Vec<String>,
    /// What it was done to: accounts, mailboxes, files, applications.
    pub targets: Vec<String>,
    /// The ids of all its records ([`super::Happening::id`]), each once, in the order of time.
    pub record_ids: Vec<String>,
    /// What happened, in a sentence.
    pub description: String,
}
