//! What a search still has to do, over restarts, and what it proves.

use super::super::cut::halves;
use super::*;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(1_767_571_200 + hour * 3600).unwrap()
}

fn range(until: Option<i64>) -> Range {
    let hour = Duration::from_secs(3600);
    let schedule = Schedule::new(hour, Duration::ZERO, Duration::ZERO, hour * 24 * 180);
    let mode = if until.is_some() { Mode::Once } else { Mode::Follow };
    let until = until.map(|until| Moment::At(at(until)));
    let timing = Timing { start: Moment::At(at(6)), until, interval: hour, overlap: None, mode };
    Range { schedule, timing, window: hour * 24 }
}

fn searched(window: Window, missing: Option<&str>) -> Searched {
    Searched {
        start: window.start,
        end: window.end,
        records: 5,
        counted: Some(5),
        passes: 2,
        missing: missing.map(str::to_owned),
        reason: None,
    }
}

#[test]
fn a_restart_goes_on_with_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let range = range(Some(60));
    let open = || Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
    let mut books = open();
    books.plan(&range, at(100)).unwrap();
    let days = [(6, 24), (24, 48), (48, 60)].map(|(start, end)| Window { start: at(start), end: at(end) });
    assert_eq!(books.to_do(), days);
    books.enter(searched(days[1], None), &[1, 2], 0, vec!["Nonsense".to_owned()]).unwrap();
    // The first day is not searched, and the units of the second have not arrived.
    let standing = |until, waiting: &[(Timestamp, u64)], gaps| Standing {
        searched_until: until,
        finished: false,
        waiting: waiting.to_vec(),
        gaps,
    };
    assert_eq!(books.standing(1), standing(at(6), &[(at(24), 2)], 0));
    assert_eq!(books.standing(2), standing(at(6), &[], 0));
    books.split(&days[0], halves(&days[0]).unwrap()).unwrap();
    let mut books = open();
    books.plan(&range, at(200)).unwrap();
    let left: Vec<Window> = books.to_do().into();
    assert_eq!(left.iter().map(|window| window.length().as_secs() / 3600).collect::<Vec<_>>(), [9, 9, 12]);
    assert!(!books.finished());
    for window in left {
        books.enter(searched(window, (window == days[2]).then_some("lost")), &[], 2, Vec::new()).unwrap();
    }
    assert_eq!(books.standing(2), Standing { finished: true, ..standing(at(60), &[], 1) });
    assert_eq!(refused(&store, "in", "t/f").unwrap(), ["Nonsense"]);
    assert!(open().finished());
    let results = results(&store, "in", "t/f").unwrap();
    assert_eq!((results.len(), results[0].start, results[0].end), (4, at(24), at(48)));
    let ledger = Ledger::load(&store, "in", "t", "f").unwrap();
    assert_eq!(ledger.open().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>(), [(at(48), at(60))]);
    assert_eq!(ledger.state().windows.len(), 1);
}

#[test]
fn a_later_end_is_searched_for_and_an_earlier_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let planned = |until: i64| {
        let range = range(Some(until));
        let mut books = Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
        books.plan(&range, at(100)).unwrap();
        books
    };
    let mut books = planned(12);
    books.enter(searched(books.to_do()[0], None), &[], 0, Vec::new()).unwrap();
    assert!(books.finished());
    assert_eq!(planned(20).to_do(), [Window { start: at(12), end: at(20) }]);
    assert_eq!(planned(10).to_do(), [Window { start: at(12), end: at(20) }]);
}

#[test]
fn a_start_that_was_moved_back_is_told_and_one_that_is_still_to_come_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let range = range(Some(60));
    let mut books = Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
    assert_eq!(books.began_later(at(0)), None);
    books.plan(&range, at(100)).unwrap();
    let windows = books.to_do();
    books.enter(searched(windows[1], None), &[], 0, Vec::new()).unwrap();
    assert_eq!(books.began_later(windows[0].start), None);
    assert!(books.began_later(at(0)).is_some());
    books.enter(searched(windows[0], None), &[], 0, Vec::new()).unwrap();
    assert_eq!(books.began_later(windows[0].start), None);
}

#[test]
fn a_search_that_is_forgotten_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let range = range(Some(24));
    let open = || Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
    let mut books = open();
    books.plan(&range, at(100)).unwrap();
    let day = books.to_do()[0];
    books.enter(searched(day, Some("lost")), &[], 0, Vec::new()).unwrap();
    assert!(open().finished());
    forget(&store, "in", "t", "f").unwrap();
    let mut books = open();
    books.plan(&range, at(100)).unwrap();
    assert_eq!(books.to_do(), [day]);
    assert_eq!(results(&store, "in", "t/f").unwrap(), []);
    assert_eq!(Ledger::load(&store, "in", "t", "f").unwrap().open().count(), 0);
}

#[test]
fn what_was_forgotten_unread_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let range = range(None);
    let mut books = Books::open(&store, "in", "t", "f", &range, at(100)).unwrap();
    books.plan(&range, at(24 * 181)).unwrap();
    let ledger = Ledger::load(&store, "in", "t", "f").unwrap();
    assert_eq!(ledger.open().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>(), [(at(6), at(24))]);
    assert_eq!(books.to_do()[0].start, at(24));
}
