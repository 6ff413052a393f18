//! One piece of content that Microsoft will not give out: the feed goes on, and what is missing is told.

use std::collections::BTreeSet;
use std::fs;

use jiff::Timestamp;

use crate::microsoft::{
    CONTENT_TYPES, Cloud, Collector, Published, START, admin_address, audit_ids, check, gaps, pipeline, rows, small,
    source,
};
use crate::support::Scratch;

/// A collector that follows a cloud in which content has trouble.
struct Poisoned {
    cloud: Cloud,
    scratch: Scratch,
    admin: String,
    collector: Collector,
    /// When the content in trouble became available.
    time: Timestamp,
    ledger: Vec<Published>,
}

impl Poisoned {
    /// `code`: the number of Microsoft's refusal.
    fn start(code: u32) -> Poisoned {
        let mut config = small();
        // Of each record there is one blob alone.
        config.publishing.doubled_share = 0.0;
        let cloud = Cloud::start(config);
        let ledger = cloud.ledger();
        let feed = |line: &&Published| line.feed == "Audit.Exchange" && line.available < START.parse().unwrap();
        let times: BTreeSet<Timestamp> = ledger.iter().filter(feed).map(|line| line.available).collect();
        let time = *times.iter().nth(times.len() / 2).unwrap();
        // Ids begin with the moment.
        let path = format!("/audit/{}", time.strftime("%Y%m%d%H%M%S%3f"));
        cloud.faults(&format!(r#"[{{"kind":"error_code","api":"management","path":"{path}","code":{code}}}]"#));
        let (scratch, admin) = (Scratch::new(), admin_address());
        let keys = source(&cloud, "office365_management", "start: 7d, interval: 5m");
        let config = pipeline(&[("m365", keys)]);
        scratch.write("pipeline.yaml", format!("{config}\nadmin: {{ listen: '{admin}' }}\n"));
        let collector = Collector::start(&scratch);
        Poisoned { cloud, scratch, admin, collector, time, ledger }
    }

    fn until_logged(&mut self, words: &str) {
        let log = self.scratch.path("log");
        let logged = || fs::read_to_string(&log).unwrap().contains(words);
        self.collector.until(&self.scratch, &format!("\"{words}\" in the log"), logged);
    }

    /// Everything else is delivered; what is missing has this reason and these words.
    fn end(self, reason: &str, words: &str) {
        let Poisoned { cloud, scratch, admin, mut collector, time, ledger } = self;
        collector.until_delivered(&scratch, &admin, CONTENT_TYPES.len(), cloud.now());
        assert!(cloud.happened("error_code") > 0, "it was configured, and never happened");
        collector.stop();
        let found = rows(&scratch).remove("m365").unwrap();
        let expected = audit_ids(&ledger, |line| line.available != time);
        let old: Vec<String> = found.into_iter().filter(|id| ledger.iter().any(|line| line.id == *id)).collect();
        check(reason, &old, &expected);
        let (complete, gaps) = gaps(&scratch);
        let told = |gap: &serde_json::Value| {
            let start: Timestamp = gap["start"].as_str().unwrap().parse().unwrap();
            start == time && gap["reason"] == reason && gap["detail"].as_str().unwrap().contains(words)
        };
        assert!(!complete && !gaps.is_empty() && gaps.iter().all(told), "{gaps:?}");
    }
}

#[test]
fn content_that_is_refused_is_told_and_the_feed_goes_on() {
    for code in [20_020, 29_999] {
        Poisoned::start(code).end("not_available", &format!("AF{code}"));
    }
}

#[test]
fn content_that_stays_in_trouble_is_told_after_an_hour_and_when_it_expires() {
    let mut poisoned = Poisoned::start(50_000);
    poisoned.until_logged("this content could not be had for an hour");
    // What waits behind it is kept before it expires.
    let content = poisoned.ledger.iter().find(|line| line.available == poisoned.time).unwrap();
    let left = content.expires.duration_since(poisoned.cloud.now()).as_secs_f64() / 3_600.0;
    poisoned.cloud.leap(left - 12.0);
    poisoned.until_logged("the feed waits for one blob (content ");
    let log = fs::read_to_string(poisoned.scratch.path("log")).unwrap();
    assert!(!log.contains("the sinks are behind"), "{log}");
    poisoned.cloud.leap(13.0);
    poisoned.end("expired", "AF50000");
}
