//! The windows of a ledger: they are listed, units are counted for them, and neighbours are merged when all has arrived.
//!
//! They stand alone because they have nothing to do with gaps: a window says what was found, a gap what was not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Ledger;

/// More windows than that are merged, acknowledged or not.
pub(super) const MOST_WINDOWS: usize = 1000;

/// A stretch of a feed's time that was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant behind it.
    pub end: Timestamp,
    /// How many units were found in it.
    pub units: u64,
    /// The highest number of a unit in it; 0 if there is none.
    pub last: u64,
}

impl Ledger {
    /// A window was listed. What of it was listed before stays as it is; the units that were found while it was listed
    /// are its.
    pub fn listed(&mut self, start: Timestamp, end: Timestamp) {
        let mut from = start;
        let mut fresh = Vec::new();
        for window in &self.state.windows {
            if window.end <= from {
                continue;
            }
            if window.start >= end {
                break;
            }
            if window.start > from {
                fresh.push((from, window.start));
            }
            from = window.end;
        }
        if from < end {
            fresh.push((from, end));
        }
        let windows = &mut self.state.windows;
        windows.extend(fresh.into_iter().map(|(start, end)| Window { start, end, units: 0, last: 0 }));
        windows.sort_by_key(|window| window.start);
        // Services list some of what came just before a window, too.
        if let Some(found) = self.state.found.take_if(|found| found.start <= end) {
            let at = found.start.max(start);
            if let Some(window) = windows.iter_mut().rfind(|window| window.start <= at) {
                window.units += found.units;
                window.last = window.last.max(found.last);
            }
        }
    }

    /// A unit of that time was numbered. Units are found before it is known that nothing of their window is missing: until
    /// then they are counted by themselves.
    pub fn unit(&mut self, at: Timestamp, sequence: u64) {
        let windows = &mut self.state.windows;
        let behind = windows.partition_point(|window| window.start <= at);
        let listed = windows[..behind].last_mut().filter(|window| at < window.end);
        let found = Window { start: at, end: at, units: 0, last: 0 };
        let window = listed.unwrap_or_else(|| self.state.found.get_or_insert(found));
        window.units += 1;
        window.last = window.last.max(sequence);
    }

    /// Merges what a checkpoint has reached. Whether anything changed.
    pub fn settle(&mut self, acknowledged: u64) -> bool {
        let before = self.state.windows.len();
        let windows = std::mem::take(&mut self.state.windows);
        let crowded = windows.len() > MOST_WINDOWS;
        for window in windows {
            match self.state.windows.last_mut() {
                Some(last)
                    if last.end == window.start
                        && ((last.last <= acknowledged && window.last <= acknowledged) || crowded) =>
                {
                    last.end = window.end;
                    last.units += window.units;
                    last.last = last.last.max(window.last);
                }
                _ => self.state.windows.push(window),
            }
        }
        before != self.state.windows.len()
    }
}
