//! Rows that answers left out, for the links that lead to them.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::cloud::{random, time};

/// How long a link works, and how many do.
const LIFE_SECONDS: i64 = 1_800;
const KEPT: usize = 64;

/// A tenant's rows that wait for their link to be followed.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    waiting: VecDeque<(String, Timestamp, Vec<String>)>,
    links: u64,
}

impl LeftOut {
    /// Keeps rows, and gives the token of their link.
    pub(super) fn keep(&mut self, rows: Vec<String>, now: Timestamp) -> String {
        if self.waiting.len() >= KEPT {
            self.waiting.pop_front();
        }
        self.links += 1;
        let token = random::guid(self.links, "left out");
        self.waiting.push_back((token.clone(), time::plus(now, LIFE_SECONDS), rows));
        token
    }

    /// The rows of a link that still works, however often it is followed: an answer may be lost on its way.
    pub(super) fn of(&self, token: &str, now: Timestamp) -> Option<Vec<String>> {
        let link = self.waiting.iter().find(|(known, until, _)| known == token && now < *until);
        link.map(|(_, _, rows)| rows.clone())
    }
}
