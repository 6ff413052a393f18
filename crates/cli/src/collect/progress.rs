//! The progress of a collection: a bar for each source, by how much of the ordered time has been asked for.
//!
//! Below the bars stands what is waited for, and how long yet.
//!
//! What fills a bar stands in the ledgers, so it is as true as they are, and right again after an interruption. The time
//! that is left is told only once enough of this run is past to say so, and never from what earlier runs did. Sources that
//! learn only while they read how many mailboxes or subscriptions there are have no bar: it would say too much.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use downspout_core::metrics::{ComponentLabels, ComponentMetrics};
use downspout_microsoft::client::{Lanes, in_words};
use downspout_microsoft::ledger::{self, FeedLedger};
use downspout_runtime::Pipeline;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::config::SNAPSHOT;
use super::order::Order;
use crate::logging::Bar;

/// How often the ledgers are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A bar is that long, in parts.
const PARTS: u64 = 1000;

/// An estimate needs that much of the whole to be done in this run, and that much time.
const LEAST: (f64, Duration) = (0.02, Duration::from_secs(10));

/// The types of sources that learn only while they read how many feeds they have, and what these are.
const UNCOUNTED: [(&str, &str); 3] =
    [("mailbox_audit", "mailboxes"), ("azure_activity", "subscriptions"), ("azure_devops_audit", "organisations")];

/// Bars that are being drawn.
#[derive(Debug)]
pub(crate) struct Drawing {
    task: JoinHandle<()>,
    bars: MultiProgress,
}

impl Drawing {
    /// Takes the bars away.
    pub(crate) fn stop(self) {
        self.task.abort();
        // A terminal that is gone needs no clearing.
        let _ = self.bars.clear();
    }
}

/// One source's bar.
struct Line {
    id: String,
    bar: ProgressBar,
    metrics: ComponentMetrics,
    first: Option<f64>,
    /// What its feeds are, if nobody knows how many there are.
    uncounted: Option<&'static str>,
}

/// How far a source has come.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Done {
    /// How much of the ordered time it has asked for, from 0 to 1; of several feeds, on average.
    fraction: f64,
    /// Its feeds of which that is all.
    whole: usize,
}

/// Draws until it is stopped.
pub(crate) fn draw(order: &Order, sources: &[(String, &'static str)], pipeline: &Pipeline, shared: &Bar) -> Drawing {
    let (store, metrics, lanes) = (pipeline.store(), pipeline.metrics(), pipeline.shared().get::<Lanes>());
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:<24} [{bar:30}] {percent:>3} % {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let plain = ProgressStyle::with_template("{prefix:<24} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let width = (order.since, order.until);
    let mut lines: Vec<Line> = Vec::new();
    for (id, kind) in sources {
        let bar = bars.add(ProgressBar::new(PARTS)).with_prefix(id.clone());
        let uncounted = UNCOUNTED.iter().find(|(of, _)| of == kind).map(|(_, feeds)| *feeds);
        bar.set_style(if uncounted.is_some() { plain.clone() } else { style.clone() });
        let labels = ComponentLabels { id: id.clone(), kind: "source", component_type: (*kind).to_owned() };
        lines.push(Line { id: id.clone(), bar, metrics: metrics.component(labels), first: None, uncounted });
    }
    if let Some(line) = lines.first() {
        // Log lines find their way above all bars through any of them.
        let _ = shared.set(line.bar.clone());
    }
    let waiting = bars.add(ProgressBar::new(0));
    waiting.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
    let started = Instant::now();
    let task = tokio::spawn(async move {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let Ok(ledgers) = ledger::read_all(&store) else { continue };
            let done = done(&ledgers, width);
            for line in &mut lines {
                line.show(done.get(&line.id).copied().unwrap_or_default(), started.elapsed());
            }
            let waits = lanes.waits().into_iter().map(|wait| format!("waiting {}: {}", in_words(wait.left), wait.why));
            waiting.set_message(waits.collect::<Vec<_>>().join("\n"));
        }
    });
    Drawing { task, bars }
}

impl Line {
    fn show(&mut self, Done { fraction: done, whole }: Done, elapsed: Duration) {
        let first = *self.first.get_or_insert(done);
        let records = HumanCount(self.metrics.received_events.get());
        if let Some(feeds) = self.uncounted {
            let read = HumanCount(whole as u64);
            return self
                .bar
                .set_message(format!("{records} records; {feeds} read: {read}, how many follow is not known yet"));
        }
        let left = estimate(first, done, elapsed);
        let left = match left {
            _ if done >= 1.0 => String::new(),
            Some(left) => format!(", about {} left", in_words(left)),
            None => ", time left not known yet".to_owned(),
        };
        self.bar.set_position((done * PARTS as f64) as u64);
        self.bar.set_message(format!("{records} records{left}"));
    }
}

/// How far each source has come with the ordered time.
fn done(ledgers: &[FeedLedger], (since, until): (Timestamp, Timestamp)) -> BTreeMap<String, Done> {
    let whole = (until.as_second() - since.as_second()).max(1) as f64;
    let mut sums: BTreeMap<String, (f64, usize, usize)> = BTreeMap::new();
    for feed in ledgers {
        let listed = feed.state.windows.iter().map(|window| {
            let (start, end) = (window.start.max(since), window.end.min(until));
            // Of a snapshot, which is of one moment, there is nothing between none and all.
            if feed.source == SNAPSHOT { whole } else { (end.as_second() - start.as_second()).max(0) as f64 }
        });
        let sum = sums.entry(feed.source.clone()).or_default();
        let fraction = (listed.sum::<f64>() / whole).min(1.0);
        sum.0 += fraction;
        sum.1 += usize::from(fraction >= 1.0);
        sum.2 += 1;
    }
    let average = |(sum, whole, feeds): (f64, usize, usize)| Done { fraction: sum / feeds as f64, whole };
    sums.into_iter().map(|(id, sum)| (id, average(sum))).collect()
}

/// The time left, if enough of this run is past to tell.
fn estimate(first: f64, done: f64, elapsed: Duration) -> Option<Duration> {
    let progress = done - first;
    (progress >= LEAST.0 && elapsed >= LEAST.1).then(|| elapsed.mul_f64(((1.0 - done) / progress).clamp(0.0, 1e6)))
}

#[cfg(test)]
mod tests {
    use downspout_microsoft::ledger::{State, Window};

    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn feed(source: &str, windows: &[(i64, i64)]) -> FeedLedger {
        let windows = windows.iter().map(|(start, end)| Window { start: at(*start), end: at(*end), units: 0, last: 0 });
        let state = State { windows: windows.collect(), ..State::default() };
        let (source, tenant, feed) = (source.to_owned(), "t".to_owned(), "f".to_owned());
        FeedLedger { source, tenant, feed, state, acknowledged: 0, to_do: Vec::new() }
    }

    #[test]
    fn bars_show_how_much_of_the_time_was_asked_for() {
        let ledgers = [
            feed("a", &[(90, 120), (150, 160)]),
            feed("a", &[(0, 300)]),
            feed(SNAPSHOT, &[(250, 251)]),
            feed("c", &[]),
        ];
        let done = done(&ledgers, (at(100), at(200)));
        let of = |fraction, whole| Done { fraction, whole };
        assert_eq!(
            done.into_iter().collect::<Vec<_>>(),
            [("a".into(), of(0.65, 1)), ("c".into(), of(0.0, 0)), (SNAPSHOT.into(), of(1.0, 1))]
        );
    }

    #[test]
    fn nothing_is_estimated_before_there_is_something_to_go_by() {
        let minute = Duration::from_secs(60);
        assert_eq!(estimate(0.5, 0.51, minute), None);
        assert_eq!(estimate(0.0, 0.5, Duration::from_secs(1)), None);
        assert_eq!(estimate(0.5, 0.75, minute), Some(minute));
    }
}
