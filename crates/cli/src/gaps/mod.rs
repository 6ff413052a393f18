//! `downspout gaps`: how far each feed is listed, fetched and delivered, and what of it is missing, and why.
//!
//! The ledgers stand in the store under `data_dir`. While a pipeline runs on it, the store is locked; then the pipeline's
//! own admin endpoint is asked, if the config has one.
//!
//! A tenant of a source of the config without a ledger was never listed, and nothing of it is there. A ledger of a source
//! or tenant that the config names no longer is left out: what is missing there, nobody will fetch.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use downspout_core::Store;
use downspout_core::store::StoreError;
use downspout_microsoft::ledger::{self, FeedLedger};
use downspout_runtime::Plan;
use jiff::Timestamp;
use serde_json::json;

use crate::print;

/// How long the admin endpoint may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of a gap's detail the table shows.
const SHOWN: usize = 160;

/// What is told of something that was never listed.
const NEVER_LISTED: &str =
    "never listed: run the config; if that was done, `downspout check-access` tells what it lacks";

/// All that is known.
struct Report {
    feeds: Vec<FeedLedger>,
    never_listed: Vec<NeverListed>,
    /// Source and tenant of ledgers that the config no longer speaks of: what is missing there, nobody will fetch.
    former: BTreeSet<(String, String)>,
}

/// A tenant of a source of the config that has no ledger.
struct NeverListed {
    source: String,
    component_type: &'static str,
    tenant: String,
}

impl Report {
    fn new(plan: &Plan, feeds: Vec<FeedLedger>) -> Report {
        let mut never_listed = Vec::new();
        let mut named = BTreeSet::new();
        for planned in &plan.sources {
            // The sources that keep ledgers are those that need access to a service.
            for tenant in planned.access.iter().flat_map(|access| access.tenants()) {
                named.insert((planned.id.clone(), tenant.clone()));
                let is_its = |feed: &FeedLedger| feed.source == planned.id && feed.tenant == tenant;
                if !feeds.iter().any(is_its) {
                    let (source, component_type) = (planned.id.clone(), planned.component_type);
                    never_listed.push(NeverListed { source, component_type, tenant });
                }
            }
        }
        let owner = |feed: &FeedLedger| (feed.source.clone(), feed.tenant.clone());
        let (feeds, others): (Vec<_>, Vec<_>) = feeds.into_iter().partition(|feed| named.contains(&owner(feed)));
        Report { feeds, never_listed, former: others.iter().map(owner).collect() }
    }

    fn complete(&self) -> bool {
        self.never_listed.is_empty() && self.feeds.iter().all(FeedLedger::complete)
    }
}

/// Runs the command.
pub(crate) fn run(plan: &Plan, as_json: bool) -> ExitCode {
    let admin = plan.settings.admin.as_ref().map(|admin| admin.listen);
    let report = match read(&plan.settings.data_dir, admin) {
        Ok(feeds) => Report::new(plan, feeds),
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let printed = print(&if as_json { to_json(&report) } else { to_text(&report) });
    if report.feeds.is_empty() {
        eprintln!("nothing was collected yet into {}", plan.settings.data_dir.display());
    }
    if report.complete() { printed } else { ExitCode::FAILURE }
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

fn to_json(report: &Report) -> String {
    let feeds: Vec<_> = report
        .feeds
        .iter()
        .map(|feed| {
            let to_do: Vec<_> = feed.to_do.iter().map(|(start, end)| json!({ "start": start, "end": end })).collect();
            let gaps: Vec<_> = feed
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
            let windows: Vec<_> = feed
                .state
                .windows
                .iter()
                .map(|window| {
                    let progress = feed.progress(window);
                    json!({ "start": window.start, "end": window.end, "units": window.units, "progress": progress })
                })
                .collect();
            json!({
                "source": feed.source, "tenant": feed.tenant, "feed": feed.feed,
                "listed_from": feed.state.listed_from(), "listed_until": feed.state.listed_until(),
                "fetched_until": feed.fetched_until(), "delivered_until": feed.delivered_until(),
                "units": feed.state.units(), "windows": windows,
                "complete": feed.complete(), "gaps": gaps, "to_do": to_do,
            })
        })
        .collect();
    let never_listed: Vec<_> = report
        .never_listed
        .iter()
        .map(|never| json!({ "source": never.source, "type": never.component_type, "tenant": never.tenant }))
        .collect();
    let former: Vec<_> =
        report.former.iter().map(|(source, tenant)| json!({ "source": source, "tenant": tenant })).collect();
    let report =
        json!({ "complete": report.complete(), "feeds": feeds, "never_listed": never_listed, "former": former });
    format!("{}\n", serde_json::to_string_pretty(&report).unwrap_or_default())
}

fn to_text(report: &Report) -> String {
    let mut text = String::new();
    for feed in &report.feeds {
        write_feed(&mut text, feed);
    }
    for NeverListed { source, component_type, tenant } in &report.never_listed {
        // Writing into a string never fails.
        let _ = writeln!(text, "{source}  {tenant}  ({component_type})\n  MISSING   {NEVER_LISTED}");
    }
    for (source, tenant) in &report.former {
        let _ = writeln!(text, "{source}  {tenant}\n  left out  the config names it no longer");
    }
    let summary = summary(report);
    if !summary.is_empty() {
        let _ = writeln!(text, "\n{summary}");
    }
    text
}

fn write_feed(text: &mut String, feed: &FeedLedger) {
    let name = format!("{}  {}  {}", feed.source, feed.tenant, feed.feed);
    let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| time.strftime("%F %T").to_string());
    // Writing into a string never fails.
    let _ = writeln!(text, "{name}");
    let _ = writeln!(
        text,
        "  listed    {} to {} (UTC)\n  fetched   up to {}\n  delivered up to {}",
        time(feed.state.listed_from()),
        time(feed.state.listed_until()),
        time(feed.fetched_until()),
        time(feed.delivered_until())
    );
    let filled = feed.state.gaps.len() - feed.open().count();
    if filled > 0 {
        let _ = writeln!(text, "  filled    {filled} gap{} from elsewhere", if filled == 1 { "" } else { "s" });
    }
    if feed.complete() {
        let _ = writeln!(text, "  missing   nothing");
    }
    if feed.never_listed() {
        let _ = writeln!(text, "  MISSING   {NEVER_LISTED}");
    }
    if !feed.to_do.is_empty() {
        let start = feed.to_do.iter().map(|(start, _)| *start).min();
        let end = feed.to_do.iter().map(|(_, end)| *end).max();
        let windows = count(feed.to_do.len(), "window");
        let _ = writeln!(text, "  MISSING   {} to {}  {windows} still to be searched", time(start), time(end));
    }
    for gap in feed.open() {
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

/// The last line; empty if there is nothing to tell of.
fn summary(report: &Report) -> String {
    let feeds = &report.feeds;
    let gaps: usize = feeds.iter().map(|feed| feed.open().count()).sum();
    let windows: usize = feeds.iter().map(|feed| feed.to_do.len()).sum();
    let never = report.never_listed.len() + feeds.iter().filter(|feed| feed.never_listed()).count();
    let mut parts = Vec::new();
    if gaps > 0 {
        let broken = feeds.iter().filter(|feed| feed.open().next().is_some()).count();
        parts.push(format!("{} in {broken} of {}", count(gaps, "gap"), count(feeds.len(), "feed")));
    }
    if windows > 0 {
        parts.push(format!("{} still to be searched", count(windows, "window")));
    }
    if never > 0 {
        parts.push(format!("{never} never listed"));
    }
    if parts.is_empty() && !feeds.is_empty() {
        let tenants: BTreeSet<&str> = feeds.iter().map(|feed| feed.tenant.as_str()).collect();
        let (feeds, tenants) = (count(feeds.len(), "feed"), count(tenants.len(), "tenant"));
        parts.push(format!("nothing is missing in {feeds} of {tenants}"));
    }
    parts.join(", ")
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
