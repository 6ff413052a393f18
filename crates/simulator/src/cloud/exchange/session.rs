//! Sessions of Search-UnifiedAuditLog: the same call again and again, and each time the next rows.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::cloud::publish::Place;
use crate::cloud::time;
use crate::world::Feed;

/// How long a session lives, and how many are kept.
const LIFE_SECONDS: i64 = 1_800;
const KEPT: usize = 64;

/// The rows of a search, in the order in which they are given.
pub(super) type Rows = Arc<Vec<(Feed, Place)>>;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) command: String,
    pub(super) rows: Rows,
    /// How many rows were given.
    pub(super) given: usize,
    /// How many will be given at most.
    pub(super) cap: usize,
    /// A fault has ended it: it gives nothing more.
    pub(super) dead: bool,
    since: Timestamp,
}

impl Session {
    /// Whether all its rows were given.
    pub(super) fn is_over(&self) -> bool {
        self.given >= self.rows.len().min(self.cap)
    }
}

/// A tenant's sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: VecDeque<Session>,
    /// Searches that were answered with nothing although there was something.
    emptied: HashSet<String>,
}

impl Sessions {
    /// The session of that id, if it lives.
    pub(super) fn find(&mut self, id: &str, now: Timestamp) -> Option<&mut Session> {
        self.sessions.retain(|session| time::plus(session.since, LIFE_SECONDS) > now);
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// Begins a session.
    pub(super) fn begin(&mut self, id: &str, command: &str, rows: Rows, cap: usize, now: Timestamp) {
        if self.sessions.len() >= KEPT {
            self.sessions.pop_front();
        }
        let session =
            Session { id: id.to_owned(), command: command.to_owned(), rows, given: 0, cap, dead: false, since: now };
        self.sessions.push_back(session);
    }

    /// Whether that search was always answered with what there was.
    pub(super) fn was_never_emptied(&self, search: &str) -> bool {
        !self.emptied.contains(search)
    }

    /// Ends a session, and remembers what it searched for.
    pub(super) fn empty(&mut self, id: &str, search: String) {
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
            session.dead = true;
        }
        self.emptied.insert(search);
    }
}
