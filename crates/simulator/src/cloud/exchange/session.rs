//! Sessions of Search-UnifiedAuditLog: the same call again and again, and each time the next rows.

use std::collections::VecDeque;
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

/// A tenant's sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions(VecDeque<Session>);

impl Sessions {
    /// The session of that id, if it lives.
    pub(super) fn find(&mut self, id: &str, now: Timestamp) -> Option<&mut Session> {
        self.0.retain(|session| time::plus(session.since, LIFE_SECONDS) > now);
        self.0.iter_mut().find(|session| session.id == id)
    }

    /// Begins a session.
    pub(super) fn begin(&mut self, id: &str, command: &str, rows: Rows, cap: usize, now: Timestamp) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        let session =
            Session { id: id.to_owned(), command: command.to_owned(), rows, given: 0, cap, dead: false, since: now };
        self.0.push_back(session);
    }
}
