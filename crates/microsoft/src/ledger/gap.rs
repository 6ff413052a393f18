//! The gaps of a ledger: what is missing, told once however often it is found, and closed when it was had from elsewhere.
//!
//! They stand alone because their rules are their own: which two gaps are the same one, and what is lost of them when
//! there are very many.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Ledger;

/// More gaps than that are merged with their neighbours.
const MOST_GAPS: usize = 1000;

/// What fills a gap where the service gave at a later reading what it did not give before.
const AGAIN: &str = "reading it again";

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

impl Gap {
    /// Whether nothing has filled it.
    pub fn is_open(&self) -> bool {
        self.filled_by.is_none()
    }
}

impl Ledger {
    /// Something is missing.
    pub fn gap(&mut self, mut gap: Gap) {
        let gaps = &mut self.state.gaps;
        if gap.items == 0 {
            // Stretches that touch are one gap, however often it is found and in however many pieces.
            gaps.retain(|known| {
                let same = known.reason == gap.reason && known.is_open() && known.items == 0;
                let touch = same && known.start <= gap.end && gap.start <= known.end;
                if touch {
                    gap.start = known.start.min(gap.start);
                    gap.end = known.end.max(gap.end);
                    gap.detail.clone_from(&known.detail);
                }
                !touch
            });
        } else {
            // A restart finds the same item missing again.
            let item = |gap: &Gap| gap.detail.split(':').next().map(str::to_owned);
            let known = |known: &Gap| {
                (known.reason, known.start, known.end) == (gap.reason, gap.start, gap.end) && item(known) == item(&gap)
            };
            if gaps.iter().any(known) {
                return;
            }
        }
        let at = gaps.partition_point(|known| known.start <= gap.start);
        gaps.insert(at, gap);
        bound(gaps);
    }

    /// The open gaps, by time.
    pub fn open(&self) -> impl Iterator<Item = &Gap> {
        self.state.gaps.iter().filter(|gap| gap.is_open())
    }

    /// A stretch of time was had after all: what of the open gaps lies in it is closed. Of a gap whose items are counted it
    /// is not known which of them lie in a part of it, so it is closed as a whole or not at all.
    pub fn fill(&mut self, start: Timestamp, end: Timestamp, by: &str) {
        self.close(start, end, by, |_| true);
    }

    /// A stretch of time was read anew, to its end. That fills gaps that a bad answer left. It does not give what was never
    /// recorded, or is not shown to this tenant: such a gap is found empty again.
    pub fn read_again(&mut self, start: Timestamp, end: Timestamp) {
        use Reason::{Damaged, Expired, ForeignAddress, Incomplete, NotAvailable, NotSubscribed};
        self.close(start, end, AGAIN, |reason| match reason {
            Damaged | ForeignAddress | Incomplete => true,
            Expired | NotAvailable | NotSubscribed => false,
        });
    }

    fn close(&mut self, start: Timestamp, end: Timestamp, by: &str, concerns: impl Fn(Reason) -> bool) {
        let mut rest = Vec::new();
        for gap in self.state.gaps.iter_mut().filter(|gap| gap.is_open() && concerns(gap.reason)) {
            let inside = gap.start >= start && gap.end <= end;
            let apart = gap.end <= start || gap.start >= end;
            if !inside && (apart || gap.items > 0) {
                continue;
            }
            if gap.start < start {
                rest.push(Gap { end: start, ..gap.clone() });
            }
            if gap.end > end {
                rest.push(Gap { start: end, ..gap.clone() });
            }
            (gap.start, gap.end) = (gap.start.max(start), gap.end.min(end));
            gap.filled_by = Some(by.to_owned());
        }
        let gaps = &mut self.state.gaps;
        gaps.extend(rest);
        gaps.sort_by_key(|gap| gap.start);
        // The pieces of one gap that was filled piece by piece are one again.
        gaps.dedup_by(|gap, last| {
            let whole = !gap.is_open() && gap.items == 0 && last.items == 0 && last.end == gap.start;
            let joined = whole && (&last.filled_by, last.reason) == (&gap.filled_by, gap.reason);
            if joined {
                last.end = gap.end;
            }
            joined
        });
        bound(gaps);
    }
}

/// Keeps a list of gaps from growing for ever.
fn bound(gaps: &mut Vec<Gap>) {
    if gaps.len() > MOST_GAPS {
        merge_gaps(gaps, |one, other| one.reason == other.reason);
    }
    if gaps.len() > MOST_GAPS {
        merge_gaps(gaps, |_, _| true);
    }
}

/// Merges neighbours in a list of gaps that has become too long, open ones with open ones, if `alike` says so.
fn merge_gaps(gaps: &mut Vec<Gap>, alike: impl Fn(&Gap, &Gap) -> bool) {
    let mut merged: Vec<Gap> = Vec::with_capacity(gaps.len());
    for gap in gaps.drain(..) {
        match merged.last_mut() {
            Some(last) if last.filled_by == gap.filled_by && alike(last, &gap) && last.items < 1000 => {
                last.end = last.end.max(gap.end);
                // How many there are of both is only known if it is known of each.
                last.items = if last.items == 0 || gap.items == 0 { 0 } else { last.items + gap.items };
            }
            _ => merged.push(gap),
        }
    }
    *gaps = merged;
}
