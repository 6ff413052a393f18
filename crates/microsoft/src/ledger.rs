//! The ledger: per source, tenant and feed, which windows of time were listed, how far their units have arrived, and
//! what is missing and why.
//!
//! A window knows how many units were found in it and the highest number among them. Since a shard's units are fetched
//! and acknowledged in order, that one number says it all: the window is acknowledged when the shard's checkpoint has
//! reached it, and fetched when the last unit that we have has ([`Progress`]). Neighbouring acknowledged windows are
//! merged, so the ledger of a quiet year is one window. What can never be had is a [`Gap`], expired or for another
//! [`Reason`]; a gap that was filled from elsewhere is closed, and says by what.
//!
//! The ledger of a feed is one value in the store ([`Ledger::write`]), written in the same transaction as what it tells
//! about. `downspout gaps` reads all of them ([`read_all`]).

use downspout_core::store::{Store, StoreError, Write, key};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::unit;

/// More windows than that are merged, acknowledged or not.
const MOST_WINDOWS: usize = 1000;

/// More gaps than that are merged with their neighbours.
const MOST_GAPS: usize = 1000;

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

/// How far the units of a window have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// They are known.
    Listed,
    /// They are here: in the pipeline, in the journal, or as copies on the disk.
    Fetched,
    /// Every sink has them. So it is also where there are none.
    Acknowledged,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was no longer to be had when it was asked for: an outage longer than the service keeps it.
    Expired,
    /// The service said that it does not exist, or never will.
    NotAvailable,
    /// The service's answer stayed broken; what could be read was delivered.
    Damaged,
    /// The service gave an address outside of the configured cloud.
    ForeignAddress,
    /// More than the service gives out for one question, or its answers did not agree.
    Incomplete,
    /// There was no subscription then, so nothing was collected.
    NotSubscribed,
}

impl Reason {
    /// What messages and `downspout gaps` call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Expired => "expired before it could be read",
            Reason::NotAvailable => "the service does not have it",
            Reason::Damaged => "the answer stayed damaged",
            Reason::ForeignAddress => "the address was outside of the configured cloud",
            Reason::Incomplete => "the service did not give everything",
            Reason::NotSubscribed => "there was no subscription",
        }
    }
}

/// Something that is missing: a stretch of time, or one item of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first instant that may be concerned.
    pub start: Timestamp,
    /// The first instant behind it. Of an item that has just a time, that time.
    pub end: Timestamp,
    /// Why.
    pub reason: Reason,
    /// What the service said, and which item it is.
    pub detail: String,
    /// How many items; 0 if it is not known (a stretch of time that could not be listed).
    pub items: u64,
    /// What filled it; `None` while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled_by: Option<String>,
}

/// The ledger of one feed of one tenant.
#[derive(Debug, Clone)]
pub struct Ledger {
    key: Vec<u8>,
    state: State,
}

/// What is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Listed windows, by time; they do not overlap.
    pub windows: Vec<Window>,
    /// What is, or was, missing, by time.
    pub gaps: Vec<Gap>,
    /// The last unit up to which all were fetched. `None` where units are numbered only when they are in the journal, and
    /// so are fetched from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<u64>,
}

/// A feed's ledger as `downspout gaps` sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedLedger {
    /// The source's id in the config.
    pub source: String,
    /// The tenant's id.
    pub tenant: String,
    /// The feed.
    pub feed: String,
    /// Windows and gaps.
    pub state: State,
    /// The last unit that was acknowledged.
    pub acknowledged: u64,
}

impl FeedLedger {
    /// From when on it was listed.
    pub fn listed_from(&self) -> Option<Timestamp> {
        self.state.windows.first().map(|window| window.start)
    }

    /// Up to when it was listed.
    pub fn listed_until(&self) -> Option<Timestamp> {
        self.state.windows.last().map(|window| window.end)
    }

    /// Up to when everything that was listed has been fetched.
    pub fn fetched_until(&self) -> Option<Timestamp> {
        let fetched = self.state.windows.iter().take_while(|window| self.progress(window) != Progress::Listed);
        fetched.last().map(|window| window.end)
    }

    /// Up to when everything that was listed has been delivered.
    pub fn delivered_until(&self) -> Option<Timestamp> {
        let delivered = self.state.windows.iter().take_while(|window| self.progress(window) == Progress::Acknowledged);
        delivered.last().map(|window| window.end)
    }

    /// How far one of the windows has come.
    pub fn progress(&self, window: &Window) -> Progress {
        if window.last <= self.acknowledged {
            Progress::Acknowledged
        } else if self.state.fetched.is_none_or(|fetched| window.last <= fetched) {
            Progress::Fetched
        } else {
            Progress::Listed
        }
    }

    /// How many units were found.
    pub fn units(&self) -> u64 {
        self.state.windows.iter().map(|window| window.units).sum()
    }
}

impl Ledger {
    /// The ledger as the last run left it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn load(store: &Store, source: &str, tenant: &str, feed: &str) -> Result<Ledger, StoreError> {
        let key = key(&[b"ledger", source.as_bytes(), tenant.as_bytes(), feed.as_bytes()]);
        // An unreadable value is that of a version to come; what it said is told again by what follows.
        let state = store.get(&key)?.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default();
        Ok(Ledger { key, state })
    }

    /// The write that makes it durable.
    pub fn write(&self) -> Write {
        Write::set(self.key.clone(), serde_json::to_vec(&self.state).unwrap_or_default())
    }

    /// The write that removes it.
    pub fn remove(&self) -> Write {
        Write::remove(self.key.clone())
    }

    /// Windows and gaps.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// From when on it was listed. `None` before the first window.
    pub fn listed_from(&self) -> Option<Timestamp> {
        self.state.windows.first().map(|window| window.start)
    }

    /// Up to when everything was listed, without a hole since the first window. `None` before the first.
    pub fn listed_until(&self) -> Option<Timestamp> {
        self.state.windows.last().map(|window| window.end)
    }

    /// A window was listed. What of it was listed before stays as it is.
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
    }

    /// A unit with a time inside of the listed windows was numbered. A time outside counts for the nearest window.
    pub fn unit(&mut self, at: Timestamp, sequence: u64) {
        let windows = &mut self.state.windows;
        if windows.is_empty() {
            windows.push(Window { start: at, end: at, units: 0, last: 0 });
        }
        let behind = windows.partition_point(|window| window.start <= at);
        let index = behind.saturating_sub(1);
        let window = &mut windows[index];
        window.units += 1;
        window.last = window.last.max(sequence);
    }

    /// All units up to that number are fetched, and for all that is known none behind it: a restart has to fetch again
    /// what was in the pipeline alone. It becomes durable with the next write.
    pub fn fetched(&mut self, sequence: u64) {
        self.state.fetched = Some(sequence);
    }

    /// Something is missing.
    pub fn gap(&mut self, gap: Gap) {
        let gaps = &mut self.state.gaps;
        // The same stretch, found missing again, is one gap.
        let same = |known: &&mut Gap| {
            known.reason == gap.reason
                && known.filled_by.is_none()
                && gap.items == 0
                && known.items == 0
                && known.start <= gap.end
                && gap.start <= known.end
        };
        if let Some(known) = gaps.iter_mut().find(same) {
            known.start = known.start.min(gap.start);
            known.end = known.end.max(gap.end);
            return;
        }
        // A restart finds the same item missing again.
        let item = |gap: &Gap| gap.detail.split(':').next().map(str::to_owned);
        let known = |known: &Gap| {
            (known.reason, known.start, known.end) == (gap.reason, gap.start, gap.end) && item(known) == item(&gap)
        };
        if gap.items > 0 && gaps.iter().any(known) {
            return;
        }
        let at = gaps.partition_point(|known| known.start <= gap.start);
        gaps.insert(at, gap);
        if gaps.len() > MOST_GAPS {
            merge_gaps(gaps);
        }
    }

    /// The open gaps, by time.
    pub fn open(&self) -> impl Iterator<Item = &Gap> {
        self.state.gaps.iter().filter(|gap| gap.filled_by.is_none())
    }

    /// A stretch of time was filled from elsewhere: the open gaps that lie in it wholly are closed.
    pub fn fill(&mut self, start: Timestamp, end: Timestamp, by: &str) {
        let inside = |gap: &&mut Gap| gap.filled_by.is_none() && gap.start >= start && gap.end <= end;
        for gap in self.state.gaps.iter_mut().filter(inside) {
            gap.filled_by = Some(by.to_owned());
        }
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

/// Halves a list of gaps that has become too long, by merging neighbours of the same reason.
fn merge_gaps(gaps: &mut Vec<Gap>) {
    let mut merged: Vec<Gap> = Vec::with_capacity(gaps.len());
    for gap in gaps.drain(..) {
        match merged.last_mut() {
            Some(last) if last.reason == gap.reason && last.filled_by == gap.filled_by && last.items < 1000 => {
                last.end = last.end.max(gap.end);
                last.items += gap.items;
            }
            _ => merged.push(gap),
        }
    }
    *gaps = merged;
}

/// Every ledger in a store, by source, tenant and feed.
///
/// # Errors
/// If the store cannot be read.
pub fn read_all(store: &Store) -> Result<Vec<FeedLedger>, StoreError> {
    let mut found = Vec::new();
    for (entry, value) in store.list(&key(&[b"ledger"]))? {
        let parts = parts(&entry);
        let [_, source, tenant, feed] = &parts[..] else { continue };
        let Ok(state) = serde_json::from_slice(&value) else { continue };
        let acknowledged = unit::acknowledged(store, source, &format!("{tenant}/{feed}"))?;
        let (source, tenant, feed) = (source.clone(), tenant.clone(), feed.clone());
        found.push(FeedLedger { source, tenant, feed, state, acknowledged });
    }
    found.sort_by(|a, b| (&a.source, &a.tenant, &a.feed).cmp(&(&b.source, &b.tenant, &b.feed)));
    Ok(found)
}

/// The parts of a key of the store.
fn parts(mut key: &[u8]) -> Vec<String> {
    let mut parts = Vec::new();
    while let Some((len, tail)) = key.split_first_chunk::<4>() {
        let len = (u32::from_be_bytes(*len) as usize).min(tail.len());
        parts.push(String::from_utf8_lossy(&tail[..len]).into_owned());
        key = &tail[len..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_767_571_200 + minute * 60).unwrap()
    }

    fn shown(ledger: &Ledger) -> Vec<String> {
        let minute = |time: Timestamp| (time.as_second() - at(0).as_second()) / 60;
        let show = |w: &Window| format!("{}-{}:{}/{}", minute(w.start), minute(w.end), w.units, w.last);
        ledger.state.windows.iter().map(show).collect()
    }

    #[test]
    fn windows_merge_behind_acknowledgements_and_reopen_for_late_units() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut ledger = Ledger::load(&store, "m365", "t", "DLP.All").unwrap();
        ledger.listed(at(0), at(10));
        ledger.unit(at(3), 1);
        ledger.unit(at(7), 2);
        ledger.listed(at(5), at(20));
        ledger.unit(at(15), 3);
        ledger.listed(at(20), at(30));
        assert_eq!(shown(&ledger), ["0-10:2/2", "10-20:1/3", "20-30:0/0"]);
        assert!(!ledger.settle(1));
        assert!(ledger.settle(3));
        assert_eq!(shown(&ledger), ["0-30:3/3"]);
        ledger.unit(at(4), 4);
        ledger.listed(at(30), at(40));
        assert!(!ledger.settle(3));
        assert_eq!(ledger.listed_until(), Some(at(40)));
        store.write_all(&[ledger.write()]).unwrap();
        let all = read_all(&store).unwrap();
        assert_eq!((all[0].source.as_str(), all[0].tenant.as_str(), all[0].feed.as_str()), ("m365", "t", "DLP.All"));
        assert_eq!(all[0].state, ledger.state);
    }

    #[test]
    fn windows_are_listed_then_fetched_then_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::load(&Store::open(folder.path()).unwrap(), "m365", "t", "f").unwrap();
        for number in 0..3 {
            ledger.listed(at(number), at(number + 1));
            ledger.unit(at(number), number as u64 + 1);
        }
        ledger.listed(at(3), at(4));
        let told = |ledger: &Ledger, acknowledged| {
            let (source, tenant, feed) = ("m365".to_owned(), "t".to_owned(), "f".to_owned());
            let feed = FeedLedger { source, tenant, feed, state: ledger.state.clone(), acknowledged };
            let progress: Vec<Progress> = feed.state.windows.iter().map(|window| feed.progress(window)).collect();
            (progress, feed.fetched_until(), feed.delivered_until())
        };
        use Progress::{Acknowledged, Fetched, Listed};
        // A source that journals what it numbers says nothing of it.
        assert_eq!(told(&ledger, 0), (vec![Fetched, Fetched, Fetched, Acknowledged], Some(at(4)), None));
        ledger.fetched(2);
        assert_eq!(told(&ledger, 1), (vec![Acknowledged, Fetched, Listed, Acknowledged], Some(at(2)), Some(at(1))));
        assert_eq!(told(&ledger, 3), (vec![Acknowledged; 4], Some(at(4)), Some(at(4))));
    }

    #[test]
    fn holes_between_windows_are_listed_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::load(&Store::open(folder.path()).unwrap(), "m365", "t", "f").unwrap();
        ledger.listed(at(0), at(10));
        ledger.listed(at(20), at(30));
        ledger.listed(at(5), at(40));
        assert_eq!(shown(&ledger), ["0-10:0/0", "10-20:0/0", "20-30:0/0", "30-40:0/0"]);
    }

    #[test]
    fn gaps_are_told_once_and_close() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::load(&Store::open(folder.path()).unwrap(), "m365", "t", "f").unwrap();
        let gap = |from, to, items| Gap {
            start: at(from),
            end: at(to),
            reason: Reason::Expired,
            detail: String::new(),
            items,
            filled_by: None,
        };
        ledger.gap(gap(0, 10, 0));
        ledger.gap(gap(5, 20, 0));
        ledger.gap(gap(30, 30, 1));
        // Found again after a restart, in other words; and another item of the same time.
        for detail in ["content a: gone", "content a: gone, says request 2", "content b: gone"] {
            ledger.gap(Gap { detail: detail.to_owned(), ..gap(31, 31, 1) });
        }
        assert_eq!(ledger.open().map(|gap| gap.end).collect::<Vec<_>>(), [at(20), at(30), at(31), at(31)]);
        ledger.fill(at(0), at(20), "unified_audit_search");
        assert_eq!(ledger.open().count(), 3);
        assert_eq!(ledger.state.gaps.len(), 4);
    }

    #[test]
    fn the_ledger_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::load(&Store::open(folder.path()).unwrap(), "m365", "t", "f").unwrap();
        for minute in 0..3000 {
            ledger.listed(at(minute), at(minute + 1));
            ledger.unit(at(minute), minute as u64 + 1);
        }
        ledger.settle(0);
        assert!(ledger.state.windows.len() <= MOST_WINDOWS);
        assert_eq!(ledger.state.windows.iter().map(|window| window.units).sum::<u64>(), 3000);
    }
}
