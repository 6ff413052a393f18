//! `downspout gaps`: what is missing of each feed, and why.
//!
//! The ledgers stand in the store under `data_dir`. While a pipeline runs on it, the store is locked; then the pipeline's
//! own admin endpoint is asked, if the config has one.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use downspout_core::Store;
use downspout_core::store::StoreError;
use downspout_microsoft::ledger::{self, FeedLedger, Gap};
use downspout_runtime::Plan;
use serde_json::json;

use crate::print;

/// How long the admin endpoint may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of a gap's detail the table shows.
const SHOWN: usize = 160;

/// Runs the command.
pub(crate) fn run(plan: &Plan, as_json: bool) -> ExitCode {
    let admin = plan.settings.admin.as_ref().map(|admin| admin.listen);
    let ledgers = match read(&plan.settings.data_dir, admin) {
        Ok(ledgers) => ledgers,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let complete = ledgers.iter().all(|ledger| open(ledger).next().is_none());
    let printed = print(&if as_json { to_json(&ledgers, complete) } else { to_text(&ledgers) });
    if ledgers.is_empty() {
        eprintln!("nothing was collected yet into {}", plan.settings.data_dir.display());
    }
    if complete { printed } else { ExitCode::FAILURE }
}

fn read(data_dir: &Path, admin: Option<SocketAddr>) -> Result<Vec<FeedLedger>, String> {
    // Looking must not make a store where there is none.
    if !data_dir.join(downspout_core::store::FILE_NAME).exists() {
        return Ok(Vec::new());
    }
    match (Store::open(data_dir), admin) {
        (Ok(store), _) => ledger::read_all(&store).map_err(|error| error.to_string()),
        (Err(StoreError::InUse(_)), Some(address)) => ask(address)
            .map_err(|problem| format!("a pipeline runs on {}, and its admin endpoint {problem}", data_dir.display())),
        (Err(StoreError::InUse(_)), None) => Err(format!(
            "a pipeline runs on {}: stop it, or give the config an `admin: {{ listen: 127.0.0.1:9598 }}`, which can be asked \
             while it runs",
            data_dir.display()
        )),
        (Err(error), _) => Err(error.to_string()),
    }
}

/// Asks a running pipeline.
fn ask(address: SocketAddr) -> Result<Vec<FeedLedger>, String> {
    let failed = |error: std::io::Error| format!("{address} does not answer: {error}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let request = format!("GET /ledger HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let (head, body) = answer.split_at(end);
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(format!("{address} gives no ledger; is another program listening there?"));
    }
    let body = body.get(4..).unwrap_or_default();
    serde_json::from_slice(body).map_err(|error| format!("{address} gives no ledger ({error})"))
}

fn open(ledger: &FeedLedger) -> impl Iterator<Item = &Gap> {
    ledger.state.gaps.iter().filter(|gap| gap.filled_by.is_none())
}

fn to_json(ledgers: &[FeedLedger], complete: bool) -> String {
    let feeds: Vec<_> = ledgers
        .iter()
        .map(|ledger| {
            let gaps: Vec<_> = ledger
                .state
                .gaps
                .iter()
                .map(|gap| {
                    json!({
                        "start": gap.start, "end": gap.end, "reason": gap.reason, "meaning": gap.reason.as_str(),
                        "detail": gap.detail, "items": gap.items, "filled_by": gap.filled_by,
                    })
                })
                .collect();
            json!({
                "source": ledger.source, "tenant": ledger.tenant, "feed": ledger.feed,
                "listed_from": ledger.listed_from(), "listed_until": ledger.listed_until(),
                "delivered_until": ledger.delivered_until(), "units": ledger.units(),
                "complete": open(ledger).next().is_none(), "gaps": gaps,
            })
        })
        .collect();
    let report = json!({ "complete": complete, "feeds": feeds });
    format!("{}\n", serde_json::to_string_pretty(&report).unwrap_or_default())
}

fn to_text(ledgers: &[FeedLedger]) -> String {
    let mut text = String::new();
    for ledger in ledgers {
        let name = format!("{}  {}  {}", ledger.source, ledger.tenant, ledger.feed);
        let time =
            |time: Option<jiff::Timestamp>| time.map_or("-".to_owned(), |time| time.strftime("%F %T").to_string());
        // Writing into a string never fails.
        let _ = writeln!(text, "{name}");
        let _ = writeln!(
            text,
            "  listed    {} to {} (UTC)\n  delivered up to {}",
            time(ledger.listed_from()),
            time(ledger.listed_until()),
            time(ledger.delivered_until())
        );
        let gaps: Vec<&Gap> = open(ledger).collect();
        let filled = ledger.state.gaps.len() - gaps.len();
        if filled > 0 {
            let _ = writeln!(text, "  filled    {filled} gap{} from elsewhere", if filled == 1 { "" } else { "s" });
        }
        if gaps.is_empty() {
            let _ = writeln!(text, "  missing   nothing");
        }
        for gap in gaps {
            let span = if gap.start == gap.end {
                time(Some(gap.start))
            } else {
                format!("{} to {}", time(Some(gap.start)), time(Some(gap.end)))
            };
            let items = match gap.items {
                0 => String::new(),
                1 => "  1 item".to_owned(),
                more => format!("  {more} items"),
            };
            let detail: String = gap.detail.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            let _ = writeln!(text, "  MISSING   {span}{items}  {}: {detail}", gap.reason.as_str());
        }
    }
    let feeds = ledgers.iter().filter(|ledger| open(ledger).next().is_some()).count();
    let gaps: usize = ledgers.iter().map(|ledger| open(ledger).count()).sum();
    if gaps > 0 {
        let _ = writeln!(text, "\n{gaps} gaps in {feeds} of {} feeds", ledgers.len());
    } else if !ledgers.is_empty() {
        let _ = writeln!(text, "\nnothing is missing in {} feeds", ledgers.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use downspout_core::stage::checkpoint_key;
    use downspout_core::store::Write;
    use downspout_microsoft::ledger::{Ledger, Reason};

    use super::*;

    fn at(hour: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_767_571_200 + hour * 3600).unwrap()
    }

    /// A store with a feed that is whole up to the second window, and one with a gap.
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
        store.write_all(&[whole.write(), broken.write(), checkpoint]).unwrap();
    }

    #[test]
    fn what_is_missing_is_told_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), None), Ok(Vec::new()));
        store(folder.path());
        let ledgers = read(folder.path(), None).unwrap();
        let text = to_text(&ledgers);
        assert!(text.contains("delivered up to 2026-01-05 02:00:00"), "{text}");
        assert!(
            text.contains(
                "MISSING   2026-01-05 00:00:00 to 2026-01-05 05:00:00  expired before it could be read: saidso"
            )
        );
        assert!(text.contains("filled    1 gap from elsewhere"), "{text}");
        assert!(text.ends_with("1 gaps in 1 of 2 feeds\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&to_json(&ledgers, false)).unwrap();
        assert_eq!((&json["feeds"][0]["complete"], &json["feeds"][1]["complete"]), (&json!(true), &json!(false)));
        assert_eq!(json["feeds"][1]["gaps"][0]["reason"], "expired");
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
}
