//! What the command tells of a store, and of a config.

use downspout_core::stage::checkpoint_key;
use downspout_core::store::{Write, key};
use downspout_microsoft::ledger::{Gap, Ledger, Reason, State, Window};

use super::*;

fn at(hour: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_767_571_200 + hour * 3600).unwrap()
}

/// A store with a feed that is whole up to the second window, and one with a gap and a window still to be searched.
fn store(folder: &Path) {
    let store = Store::open(folder).unwrap();
    let mut whole = Ledger::load(&store, "m365", "t1", "DLP.All").unwrap();
    for (window, unit) in [(0, 1), (1, 2), (2, 3)] {
        whole.listed(at(window), at(window + 1));
        whole.unit(at(window), unit);
    }
    let mut broken = Ledger::load(&store, "m365", "t2", "DLP.All").unwrap();
    broken.listed(at(5), at(6));
    for (reason, items, filled_by) in [(Reason::Expired, 0, None), (Reason::Damaged, 1, Some("audit".to_owned()))] {
        let detail = "said\nso".to_owned();
        broken.gap(Gap { start: at(0), end: at(5), reason, detail, items, filled_by });
    }
    let checkpoint = Write::set(checkpoint_key("m365", "t1/DLP.All"), 2u64.to_be_bytes());
    let work = json!({ "cursors": { "levels": [] }, "open": [{ "start": at(6), "end": at(7) }] });
    let work = Write::set(key(&[b"search-work", b"m365", b"t2/DLP.All"]), work.to_string());
    store.write_all(&[whole.write(), broken.write(), checkpoint, work]).unwrap();
}

const TENANT: &str = "0a1b2c3d-0000-1111-2222-333344445555";
const OTHER: &str = "0a1b2c3d-0000-1111-2222-333344446666";

/// What is told of a config with the sources `m365` and `signins` of these tenants, and one that keeps no ledger.
fn report_of(tenants: &[&str], feeds: Vec<FeedLedger>) -> Report {
    let tenants: Vec<String> = tenants.iter().map(|id| format!("{{ tenant_id: {id} }}")).collect();
    let common = format!("tenants: [{}], auth: {{ client_id: app, client_secret: word }}", tenants.join(", "));
    let text = format!(
        "data_dir: d\nsources:\n  m365: {{ type: office365_management, {common} }}\n  signins: {{ type: \
         entra_signins, {common} }}\n  lines: {{ type: stdin }}\nsinks:\n  out: {{ type: blackhole, inputs: [m365, \
         signins, lines] }}\n"
    );
    Report::new(&Plan::from_text("config.yaml", &text, &|_| None).unwrap(), feeds)
}

fn report(feeds: Vec<FeedLedger>) -> Report {
    report_of(&[TENANT], feeds)
}

fn feed(source: &str, state: State, to_do: Vec<(Timestamp, Timestamp)>) -> FeedLedger {
    let (source, tenant, feed) = (source.to_owned(), TENANT.to_owned(), "f".to_owned());
    FeedLedger { source, tenant, feed, state, acknowledged: 0, to_do }
}

fn listed() -> State {
    State { windows: vec![Window { start: at(0), end: at(1), units: 0, last: 0 }], ..State::default() }
}

#[test]
fn a_source_without_a_ledger_is_missing() {
    let nothing = report(Vec::new());
    assert!(!nothing.complete());
    assert!(to_text(&nothing).ends_with("\n2 never listed\n"), "{}", to_text(&nothing));
    let one = report(vec![feed("m365", listed(), Vec::new())]);
    assert!(!one.complete());
    let text = to_text(&one);
    assert!(text.contains("entra_signins)\n  MISSING   never listed: run the config"), "{text}");
    assert!(text.ends_with("\n1 never listed\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&to_json(&one)).unwrap();
    assert_eq!(json["complete"], false);
    assert_eq!(json["never_listed"], json!([{ "source": "signins", "type": "entra_signins", "tenant": TENANT }]));
    let both = report(vec![feed("m365", listed(), Vec::new()), feed("signins", listed(), Vec::new())]);
    assert!(both.complete());
    assert!(to_text(&both).ends_with("\nnothing is missing in 2 feeds of 1 tenant\n"), "{}", to_text(&both));
}

#[test]
fn a_tenant_that_was_never_listed_is_missing_though_others_were() {
    let feeds = vec![feed("m365", listed(), Vec::new()), feed("signins", listed(), Vec::new())];
    let one = report_of(&[TENANT, OTHER], feeds);
    assert!(!one.complete());
    let text = to_text(&one);
    assert!(text.contains(&format!("m365  {OTHER}  (office365_management)\n  MISSING   never listed")), "{text}");
    assert!(text.ends_with("\n2 never listed\n"), "{text}");
}

#[test]
fn what_the_config_names_no_longer_is_left_out() {
    let mut gone = feed("m365", State::default(), Vec::new());
    gone.tenant = OTHER.to_owned();
    let found = report(vec![feed("m365", listed(), Vec::new()), feed("signins", listed(), Vec::new()), gone]);
    assert!(found.complete());
    let text = to_text(&found);
    assert!(text.contains(&format!("m365  {OTHER}\n  left out  the config names it no longer\n")), "{text}");
    assert!(text.ends_with("\nnothing is missing in 2 feeds of 1 tenant\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&to_json(&found)).unwrap();
    assert_eq!(json["former"], json!([{ "source": "m365", "tenant": OTHER }]));
}

#[test]
fn an_empty_ledger_and_open_windows_are_missing() {
    let windows = vec![(at(2), at(3)), (at(1), at(2))];
    let some = report(vec![feed("m365", listed(), windows), feed("signins", State::default(), Vec::new())]);
    assert!(some.feeds.iter().all(|feed| !feed.complete()));
    let text = to_text(&some);
    let span = "MISSING   2026-01-05 01:00:00 to 2026-01-05 03:00:00  2 windows still to be searched";
    assert!(text.contains(span), "{text}");
    assert!(!text.contains("missing   nothing"), "{text}");
    assert!(text.ends_with("\n2 windows still to be searched, 1 never listed\n"), "{text}");
}

#[test]
fn what_is_missing_is_told_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(folder.path(), None), Ok(Vec::new()));
    store(folder.path());
    let found = Report { feeds: read(folder.path(), None).unwrap(), never_listed: Vec::new(), former: BTreeSet::new() };
    let text = to_text(&found);
    assert!(text.contains("delivered up to 2026-01-05 02:00:00"), "{text}");
    assert!(
        text.contains("MISSING   2026-01-05 00:00:00 to 2026-01-05 05:00:00  expired before it could be read: saidso")
    );
    assert!(text.contains("filled    1 gap from elsewhere"), "{text}");
    assert!(text.ends_with("\n1 gap in 1 of 2 feeds, 1 window still to be searched\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&to_json(&found)).unwrap();
    assert_eq!((&json["feeds"][0]["complete"], &json["feeds"][1]["complete"]), (&json!(true), &json!(false)));
    assert_eq!(json["feeds"][1]["gaps"][0]["reason"], "expired");
}

#[test]
fn windows_are_told_with_how_far_they_have_come() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let mut feeds = read(folder.path(), None).unwrap();
    feeds[0].acknowledged = 1;
    feeds[0].state.fetched = Some(2);
    let found = Report { feeds, never_listed: Vec::new(), former: BTreeSet::new() };
    let text = to_text(&found);
    assert!(
        text.contains(
            "listed    2026-01-05 00:00:00 to 2026-01-05 03:00:00 (UTC)\n  fetched   up to 2026-01-05 02:00:00\n  \
             delivered up to 2026-01-05 01:00:00"
        ),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&to_json(&found)).unwrap();
    assert_eq!(json["feeds"][0]["fetched_until"], "2026-01-05T02:00:00Z");
    let windows = json["feeds"][0]["windows"].as_array().unwrap();
    let progress: Vec<&serde_json::Value> = windows.iter().map(|window| &window["progress"]).collect();
    assert_eq!(progress, ["acknowledged", "fetched", "listed"]);
}

#[test]
fn a_running_pipeline_is_asked_or_told_of() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let _running = Store::open(folder.path()).unwrap();
    assert!(read(folder.path(), None).unwrap_err().contains("a pipeline runs on"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").unwrap();
    });
    assert_eq!(read(folder.path(), Some(address)), Ok(Vec::new()));
    server.join().unwrap();
}
