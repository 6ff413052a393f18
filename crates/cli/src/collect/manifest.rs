//! `manifest.json`: what was ordered, what came, what is missing and why, and the hash of every file.

use std::path::Path;

use downspout_core::Store;
use downspout_microsoft::audit_search::{self, Searched};
use downspout_microsoft::ledger::{self, FeedLedger, Gap};
use downspout_runtime::Report;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::args::CollectArguments;
use super::config;
use super::files::{Collected, inventory, write_whole};
use super::order::Order;

/// Its name in the output folder.
pub(super) const NAME: &str = "manifest.json";

/// What is written.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    /// Which program wrote it.
    program: String,
    /// When.
    written: Timestamp,
    /// Whether everything that was ordered was asked for; if not, the same command goes on.
    finished: bool,
    since: Timestamp,
    until: Timestamp,
    options: Value,
    /// What of the options means less, or something else, than somebody might think.
    notes: Vec<String>,
    /// In which order the records stand in the files.
    order: &'static str,
    /// What the last run did, component by component: a resumed collection has more.
    last_run: Vec<Component>,
    /// What went wrong in the last run.
    errors: Vec<String>,
    feeds: Vec<Feed>,
    files: Vec<Collected>,
}

/// What one component did in the last run.
#[derive(Debug, Serialize)]
struct Component {
    id: String,
    kind: &'static str,
    received: u64,
    sent: u64,
    refused: u64,
    dropped: u64,
}

/// A feed of a tenant.
#[derive(Debug, Serialize)]
struct Feed {
    source: String,
    tenant_id: String,
    feed: String,
    /// Before this time, and after the beginning of what was ordered, the service keeps nothing that could be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_kept_before: Option<Timestamp>,
    /// The stretches that were asked for and answered.
    listed: Vec<Stretch>,
    /// What is missing, and why.
    gaps: Vec<Gap>,
    /// Of searches: what each window gave, and how often it was read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    windows: Vec<Searched>,
    /// Of searches: the record types that were ordered and that Microsoft does not know. Nothing can be found of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_record_types: Vec<String>,
}

/// A stretch of a feed's time.
#[derive(Debug, Serialize)]
struct Stretch {
    start: Timestamp,
    end: Timestamp,
    /// How many pages of records were found in it.
    units: u64,
    /// Whether all of them have arrived in the files.
    arrived: bool,
}

impl Manifest {
    /// Reads everything together.
    ///
    /// # Errors
    /// If the store or a file cannot be read.
    pub(crate) fn new(
        arguments: &CollectArguments,
        order: &Order,
        notes: &[String],
        store: &Store,
        report: &Report,
        finished: bool,
    ) -> Result<Manifest, String> {
        let ledgers = ledger::read_all(store).map_err(|error| error.to_string())?;
        let feed = |ledger| feed(store, ledger, order);
        let feeds = ledgers.into_iter().map(feed).collect::<Result<_, _>>()?;
        let files = inventory(&arguments.out, &[NAME])
            .map_err(|error| format!("cannot read {}: {error}", arguments.out.display()))?;
        let component = |component: &downspout_runtime::ComponentReport| Component {
            id: component.id.clone(),
            kind: component.kind,
            received: component.received,
            sent: component.sent,
            refused: component.rejected,
            dropped: component.discarded,
        };
        Ok(Manifest {
            program: format!("downspout {}", env!("CARGO_PKG_VERSION")),
            written: Timestamp::now(),
            finished: finished && order.ahead().is_none(),
            since: order.since,
            until: order.until,
            options: order.options.clone(),
            notes: notes.to_owned(),
            order: arguments.format.order(finished),
            last_run: report.components.iter().map(component).collect(),
            errors: report.errors.clone(),
            feeds,
            files,
        })
    }

    /// How many gaps are open.
    pub(crate) fn open_gaps(&self) -> usize {
        open_gaps(&self.feeds)
    }

    /// How many files there are of a source, how many records in them, and how many gaps are open.
    pub(crate) fn collected(&self, source: &str) -> (usize, u64, usize) {
        let folder = format!("source={source}/");
        let files = self.files.iter().filter(|file| file.path.starts_with(&folder));
        let (files, records) =
            files.fold((0, 0), |(files, records), file| (files + 1, records + file.records.unwrap_or(0)));
        (files, records, open_gaps(self.feeds.iter().filter(|feed| feed.source == source)))
    }

    /// The feeds that go less far back than what was ordered, by source and name, and where they begin.
    pub(crate) fn not_kept(&self) -> impl Iterator<Item = (&str, &str, Timestamp)> {
        self.feeds.iter().filter_map(|feed| Some((feed.source.as_str(), feed.feed.as_str(), feed.not_kept_before?)))
    }

    /// Writes it into the folder.
    ///
    /// # Errors
    /// If that is impossible.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        let path = folder.join(NAME);
        write_whole(&path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

/// What of a manifest is needed to see whether its files are still there.
#[derive(Deserialize)]
struct Known {
    finished: bool,
    files: Vec<Collected>,
}

/// Sees that the files of a finished collection are what its manifest says: evidence that is gone or has changed must not
/// be covered up by a new manifest.
///
/// # Errors
/// If one is not, or cannot be read.
pub(crate) fn check(folder: &Path) -> Result<(), String> {
    let path = folder.join(NAME);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let known: Known =
        serde_json::from_slice(&text).map_err(|error| format!("cannot understand {}: {error}", path.display()))?;
    if !known.finished {
        return Ok(());
    }
    let found = inventory(folder, &[NAME]).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let sound = |known: &&Collected| {
        // Every run goes on writing down its requests.
        known.path == super::REQUESTS || found.iter().any(|file| file.path == known.path && file.sha256 == known.sha256)
    };
    match known.files.iter().find(|file| !sound(file)) {
        None => Ok(()),
        Some(lost) => Err(format!(
            "{} of the finished collection is gone or has changed since {} was written: put it back, or collect into another \
             folder",
            folder.join(&lost.path).display(),
            path.display()
        )),
    }
}

fn open_gaps<'f>(feeds: impl IntoIterator<Item = &'f Feed>) -> usize {
    feeds.into_iter().flat_map(|feed| &feed.gaps).filter(|gap| gap.is_open()).count()
}

fn feed(store: &Store, ledger: FeedLedger, order: &Order) -> Result<Feed, String> {
    let shard = format!("{}/{}", ledger.tenant, ledger.feed);
    let windows = audit_search::results(store, &ledger.source, &shard).map_err(|error| error.to_string())?;
    let unknown = audit_search::refused(store, &ledger.source, &shard).map_err(|error| error.to_string())?;
    let stretch = |window: &ledger::Window| Stretch {
        start: window.start,
        end: window.end,
        units: window.units,
        arrived: window.last <= ledger.acknowledged,
    };
    // Whatever became of other feeds: one that was read to its end has nothing more to ask for.
    let ended = ledger.to_do.is_empty() && ledger.state.listed_until().is_some_and(|end| end >= order.until);
    let begins = ledger.state.listed_from().filter(|begin| {
        let gap = ledger.state.gaps.iter().any(|gap| gap.start < *begin);
        // A snapshot is of one moment, and not of what was ordered; and what is a gap is told as one.
        ended && ledger.source != config::SNAPSHOT && order.since < *begin && !gap
    });
    Ok(Feed {
        not_kept_before: begins,
        listed: ledger.state.windows.iter().map(stretch).collect(),
        gaps: ledger.state.gaps,
        windows,
        unknown_record_types: unknown,
        source: ledger.source,
        tenant_id: ledger.tenant,
        feed: ledger.feed,
    })
}
