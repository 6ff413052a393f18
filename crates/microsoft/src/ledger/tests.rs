//! Windows, progress and gaps of a ledger, and what is read of it again.

use super::window::MOST_WINDOWS;
use super::*;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_767_571_200 + minute * 60).unwrap()
}

fn empty() -> Ledger {
    Ledger { key: Vec::new(), state: State::default() }
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
    assert_eq!(ledger.state.listed_until(), Some(at(40)));
    store.write_all(&[ledger.write()]).unwrap();
    let all = read_all(&store).unwrap();
    assert_eq!((all[0].source.as_str(), all[0].tenant.as_str(), all[0].feed.as_str()), ("m365", "t", "DLP.All"));
    assert_eq!(all[0].state, ledger.state);
}

#[test]
fn windows_are_listed_then_fetched_then_acknowledged() {
    let mut ledger = empty();
    for number in 0..3 {
        ledger.listed(at(number), at(number + 1));
        ledger.unit(at(number), number as u64 + 1);
    }
    ledger.listed(at(3), at(4));
    let told = |ledger: &Ledger, acknowledged| {
        let (source, tenant, feed) = ("m365".to_owned(), "t".to_owned(), "f".to_owned());
        let feed = FeedLedger { source, tenant, feed, state: ledger.state.clone(), acknowledged, to_do: Vec::new() };
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
    let mut ledger = empty();
    ledger.listed(at(0), at(10));
    ledger.listed(at(20), at(30));
    ledger.listed(at(5), at(40));
    assert_eq!(shown(&ledger), ["0-10:0/0", "10-20:0/0", "20-30:0/0", "30-40:0/0"]);
}

#[test]
fn gaps_are_told_once_and_close() {
    let mut ledger = empty();
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
fn units_that_are_found_first_belong_to_the_window_that_is_listed_then() {
    let mut ledger = empty();
    // The order in which sources do it. Nothing is listed before the window is, whatever was found.
    ledger.unit(at(7), 1);
    ledger.unit(at(3), 2);
    assert_eq!((ledger.state.listed_from(), ledger.state.listed_until()), (None, None));
    ledger.listed(at(0), at(10));
    ledger.unit(at(12), 3);
    assert_eq!(shown(&ledger), ["0-10:2/2"]);
    ledger.listed(at(10), at(20));
    ledger.listed(at(20), at(30));
    assert_eq!(shown(&ledger), ["0-10:2/2", "10-20:1/3", "20-30:0/0"]);
    assert_eq!(ledger.state.found, None);
    // One from just before the first window is its as well.
    let mut ledger = empty();
    ledger.unit(at(-1), 1);
    ledger.unit(at(5), 2);
    ledger.listed(at(0), at(10));
    assert_eq!((shown(&ledger), ledger.state.found), (vec!["0-10:2/2".to_owned()], None));
}

#[test]
fn gaps_that_a_third_joins_are_one() {
    let mut ledger = empty();
    let gap = |from, to| Window { start: at(from), end: at(to), units: 0, last: 0 };
    for window in [gap(0, 10), gap(20, 30), gap(40, 50), gap(10, 20)] {
        let Window { start, end, .. } = window;
        let detail = String::new();
        ledger.gap(Gap { start, end, reason: Reason::Expired, detail, items: 0, filled_by: None });
    }
    let found: Vec<_> = ledger.open().map(|gap| (gap.start, gap.end)).collect();
    assert_eq!(found, [(at(0), at(30)), (at(40), at(50))]);
}

#[test]
fn a_gap_is_filled_piece_by_piece_whatever_the_pieces() {
    let mut ledger = empty();
    let (reason, detail) = (Reason::Incomplete, "cut".to_owned());
    ledger.gap(Gap { start: at(10), end: at(40), reason, detail: detail.clone(), items: 0, filled_by: None });
    ledger.gap(Gap { start: at(12), end: at(14), reason, detail, items: 2, filled_by: None });
    let told = |ledger: &Ledger| {
        let minute = |time: Timestamp| (time.as_second() - at(0).as_second()) / 60;
        let show = |gap: &Gap| format!("{}-{} {}", minute(gap.start), minute(gap.end), gap.is_open());
        ledger.state.gaps.iter().map(show).collect::<Vec<_>>()
    };
    ledger.read_again(at(0), at(10));
    assert_eq!(told(&ledger), ["10-40 true", "12-14 true"]);
    // What has a number of items is closed as a whole only.
    ledger.read_again(at(5), at(13));
    assert_eq!(told(&ledger), ["10-13 false", "12-14 true", "13-40 true"]);
    ledger.read_again(at(20), at(25));
    assert_eq!(told(&ledger), ["10-13 false", "12-14 true", "13-20 true", "20-25 false", "25-40 true"]);
    ledger.read_again(at(12), at(60));
    assert_eq!(ledger.open().count(), 0);
    // What was not recorded is not there at a second reading either.
    let (reason, detail) = (Reason::NotAvailable, "auditing is off".to_owned());
    ledger.gap(Gap { start: at(50), end: at(60), reason, detail, items: 0, filled_by: None });
    ledger.read_again(at(0), at(99));
    assert_eq!(ledger.open().count(), 1);
    ledger.fill(at(0), at(99), "a recovery");
    assert_eq!(ledger.open().count(), 0);
}

#[test]
fn gaps_are_bounded_whatever_their_reasons_and_what_is_unknown_stays_so() {
    let mut ledger = empty();
    for minute in 0..5000 {
        let reason = if minute % 2 == 0 { Reason::Damaged } else { Reason::ForeignAddress };
        let (start, end, detail) = (at(2 * minute), at(2 * minute), format!("content {minute}"));
        ledger.gap(Gap { start, end, reason, detail, items: u64::from(minute != 6), filled_by: None });
    }
    assert!(ledger.state.gaps.len() <= 1001, "{}", ledger.state.gaps.len());
    let sixth = ledger.open().find(|gap| gap.start <= at(12) && at(12) <= gap.end).unwrap();
    assert_eq!(sixth.items, 0);
    assert_eq!(ledger.open().map(|gap| gap.end).max(), Some(at(9998)));
}

#[test]
fn the_ledger_is_bounded() {
    let mut ledger = empty();
    for minute in 0..3000 {
        ledger.listed(at(minute), at(minute + 1));
        ledger.unit(at(minute), minute as u64 + 1);
    }
    ledger.settle(0);
    assert!(ledger.state.windows.len() <= MOST_WINDOWS);
    assert_eq!(ledger.state.windows.iter().map(|window| window.units).sum::<u64>(), 3000);
}
