//! A sink that takes nothing for longer than the content lives: what nears its end is on our disk in time, and arrives
//! when the sink takes again, although Microsoft has it no longer and the collector was killed meanwhile.

use std::collections::BTreeSet;
use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::microsoft::{
    CONTENT_TYPES, Cloud, Collector, Published, START, TENANT, admin_address, audit_ids, check, gaps, pipeline_into,
    small, source,
};
use crate::support::Scratch;

/// A collector whose sink finds the disk full until there is room.
struct Stalled {
    scratch: Scratch,
    admin: String,
    collector: Option<Collector>,
}

impl Stalled {
    fn start(cloud: &Cloud, keys: &str) -> Stalled {
        let (scratch, admin) = (Scratch::new(), admin_address());
        let keys = source(cloud, "office365_management", &format!("start: 7d, interval: 5m{keys}"));
        let config = pipeline_into(&[("m365", keys)], "type: file, path: ./out.ndjson");
        scratch.write("pipeline.yaml", format!("{config}\nadmin: {{ listen: '{admin}' }}\n"));
        std::os::unix::fs::symlink("/dev/full", scratch.path("out.ndjson")).unwrap();
        let collector = Some(Collector::start(&scratch));
        Stalled { scratch, admin, collector }
    }

    fn running(&mut self) -> (&mut Collector, &Scratch, &str) {
        (self.collector.as_mut().unwrap(), &self.scratch, &self.admin)
    }

    fn until_listed(&mut self, time: Timestamp) {
        let (collector, scratch, admin) = self.running();
        collector.until_listed(scratch, admin, CONTENT_TYPES.len(), time);
    }

    /// How many blobs have a copy on the disk.
    fn copies(&self) -> usize {
        let folders = CONTENT_TYPES.map(|feed| self.scratch.path("data/spool/m365").join(TENANT).join(feed));
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "zst")).count()
    }

    fn until_copied(&mut self, blobs: usize) {
        let collector = self.collector.take();
        let mut collector = collector.unwrap();
        collector.until(&self.scratch, &format!("{blobs} copies on the disk"), || self.copies() >= blobs);
        self.collector = Some(collector);
    }

    /// Kills it in the middle of its work, and starts it again: its sink is as it was.
    fn restart(&mut self) {
        let failures = || fs::read_to_string(self.scratch.path("log")).unwrap().matches("trying again").count();
        let before = failures();
        assert!(before > 0, "the sink was never asked");
        self.collector.take().unwrap().kill();
        let mut collector = Collector::start(&self.scratch);
        collector.until(&self.scratch, "a delivery that fails again", || failures() > before);
        self.collector = Some(collector);
    }

    /// There is room again: everything is delivered, and the collector stopped.
    fn recover(&mut self, now: Timestamp) {
        fs::remove_file(self.scratch.path("out.ndjson")).unwrap();
        let (collector, scratch, admin) = self.running();
        collector.until_delivered(scratch, admin, CONTENT_TYPES.len(), now);
        self.collector.take().unwrap().stop();
    }

    /// Up to when each feed is delivered, as `downspout gaps` says.
    fn delivered(&self) -> Vec<Option<Timestamp>> {
        let output = self.scratch.downspout(&["gaps", "--json", "pipeline.yaml"]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let feeds = report["feeds"].as_array().unwrap();
        feeds.iter().map(|feed| Some(feed["delivered_until"].as_str()?.parse().unwrap())).collect()
    }

    /// The ids of what arrived, sorted, doubles and all.
    fn arrived(&self) -> Vec<String> {
        let text = fs::read_to_string(self.scratch.path("out.ndjson")).unwrap();
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["Id"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = text.lines().map(id).collect();
        ids.sort();
        ids
    }
}

/// How many blobs are gone at a time, or will be soon.
fn blobs(ledger: &[Published], until: Timestamp) -> usize {
    let due = ledger.iter().filter(|line| CONTENT_TYPES.contains(&line.feed.as_str()) && line.expires <= until);
    due.map(|line| (line.feed.as_str(), line.available)).collect::<BTreeSet<_>>().len()
}

#[test]
fn content_that_expires_while_the_sink_takes_nothing() {
    let mut config = small();
    // Fewer blobs, each of several records; and none of which a second blob would live on.
    config.publishing.interval_seconds = 1_800;
    config.publishing.doubled_share = 0.0;
    let cloud = Cloud::start(config);
    let mut kept = Stalled::start(&cloud, "");
    // The same without a spool: it shows what would be missing, and that this is told.
    let mut lost = Stalled::start(&cloud, ", spool_before: 0s");
    for leap in [4.0 * 24.0, 12.0, 12.0, 12.0, 12.0, 12.0, 12.0] {
        let now = cloud.now();
        kept.until_listed(now);
        lost.until_listed(now);
        // What ends before the next look is on the disk; a day ahead it is due.
        kept.until_copied(blobs(&cloud.ledger(), now + SignedDuration::from_hours(20)));
        cloud.leap(leap);
    }
    kept.restart();
    lost.restart();
    // Nothing is delivered but the stretch of time before the tenant's first content, half an hour after it began to live.
    let born = START.parse::<Timestamp>().unwrap() - SignedDuration::from_mins(48 * 60 - 30);
    assert!(kept.delivered().iter().all(|until| until.is_none_or(|until| until < born)), "{:?}", kept.delivered());
    assert_eq!(lost.copies(), 0);

    let now = cloud.now();
    let before = cloud.ledger();
    let gone = audit_ids(&before, |line| line.expires <= now);
    assert!(gone.len() > 200, "only {} records have expired", gone.len());
    kept.recover(now);
    lost.recover(now);
    let ledger = cloud.ledger();
    let published = audit_ids(&ledger, |_| true);
    let found = kept.arrived();
    let arrived: BTreeSet<String> = found.iter().filter(|id| published.contains(*id)).cloned().collect();
    check("with a spool", &found, &arrived);
    let missing: Vec<_> =
        before.iter().filter(|line| published.contains(&line.id) && !arrived.contains(&line.id)).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), published.len());
    assert_eq!(gaps(&kept.scratch), (true, Vec::new()));
    assert!(kept.delivered().iter().all(|until| *until >= Some(now)));
    eprintln!("{} records, of which {} had expired", arrived.len(), gone.len());

    // Without it, what had expired is missing, and nothing else; each blob stands in the ledger with its reason.
    let found: BTreeSet<String> = lost.arrived().into_iter().collect();
    assert!(gone.is_disjoint(&found));
    let (complete, gaps) = gaps(&lost.scratch);
    assert!(!complete && gaps.iter().all(|gap| gap["reason"] == "expired"), "{gaps:?}");
    let told: BTreeSet<Timestamp> = gaps.iter().map(|gap| gap["start"].as_str().unwrap().parse().unwrap()).collect();
    let untold: Vec<_> = before
        .iter()
        .filter(|line| published.contains(&line.id) && !found.contains(&line.id) && !told.contains(&line.available))
        .collect();
    assert!(untold.is_empty(), "{untold:?}");
}
