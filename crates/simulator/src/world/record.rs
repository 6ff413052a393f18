//! Turning a scene into the records that it leaves.

use jiff::Timestamp;

use super::catalog::{Operation, View};
use super::feed::{Feed, Happening};
use super::rng::Rng;
use super::scene::Scene;

/// A record that has not been handed out yet.
#[derive(Debug)]
pub(super) struct Entry {
    /// Milliseconds since 1970.
    pub(super) at: i64,
    /// Tells entries of one time apart: the order in which they were made.
    pub(super) order: u64,
    pub(super) happening: Happening,
}

/// The records that have not been handed out yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) entries: Vec<Entry>,
    made: u64,
}

impl Pending {
    /// Writes all records of an operation and says how many these were.
    pub(super) fn leave(
        &mut self,
        operation: &Operation,
        scene: &mut Scene<'_>,
        rng: &mut Rng,
        attack: Option<u32>,
    ) -> usize {
        let (before, began) = (self.entries.len(), scene.at);
        for view in &operation.views {
            if view.share < 100 && !rng.chance(view.share) {
                continue;
            }
            scene.at = began + rng.range(view.after.0, view.after.1);
            let times = if view.each { scene.recipients.len() } else { 1 };
            for recipient in 0..times {
                scene.recipient = recipient;
                self.write(view, scene, rng, attack);
            }
        }
        scene.at = began;
        self.entries.len() - before
    }

    fn write(&mut self, view: &View, scene: &mut Scene<'_>, rng: &mut Rng, attack: Option<u32>) {
        let mut id = String::with_capacity(40);
        scene.write(&view.id.0, rng, &mut id);
        scene.id = id;
        let mut record = String::with_capacity(view.size);
        scene.write(&view.body.0, rng, &mut record);
        let id = match &view.key {
            None => std::mem::take(&mut scene.id),
            Some(key) => {
                let mut id = String::with_capacity(80);
                scene.write(&key.0, rng, &mut id);
                id
            }
        };
        let feed = match &view.feed {
            Feed::AzureActivity { .. } => Feed::AzureActivity { subscription: scene.subscription.id.clone() },
            Feed::AzureDevOps { .. } => Feed::AzureDevOps { organization: scene.organization.name.clone() },
            feed => feed.clone(),
        };
        // Out of a timestamp's range only if the world was told to start there.
        let time = Timestamp::from_millisecond(scene.at).unwrap_or(Timestamp::MAX);
        self.entries.push(Entry {
            at: scene.at,
            order: self.made,
            happening: Happening { time, feed, id, record, attack },
        });
        self.made += 1;
    }

    /// Takes out what happened before a time, in order.
    pub(super) fn take_before(&mut self, until: i64) -> Vec<Happening> {
        self.entries.sort_unstable_by_key(|entry| (entry.at, entry.order));
        let count = self.entries.partition_point(|entry| entry.at < until);
        self.entries.drain(..count).map(|entry| entry.happening).collect()
    }
}
