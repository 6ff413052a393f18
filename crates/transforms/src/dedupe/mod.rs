//! `dedupe`: drops records that came before.
//!
//! # What it does
//! Microsoft delivers records more than once, by design; overlapping exports do so too. A record whose id was let
//! through before, inside the `horizon`, is dropped. Only that: **a record that is not proven to be a duplicate
//! passes**, so records without an id all do.
//!
//! How a record's id is found is said by `keys`: the first entry whose fields all hold something makes the id, from
//! the texts of its `fields`. Fields in `with` must be there too, but are no part of the id. With `content: true` the
//! record itself, byte for byte, is a part of it too. Ids that were found in different ways are different. The default
//! knows all of Microsoft's feeds:
//!
//! | feed | id | recognised by |
//! | --- | --- | --- |
//! | unified audit log | `Id` | `CreationTime`, `Operation` |
//! | Entra sign-ins | `id` and the content | `createdDateTime`, `correlationId` |
//! | Entra risk detections | `id`, `lastUpdatedDateTime` | `riskEventType` |
//! | Entra audits | `id` | `activityDateTime` |
//! | both, as diagnostic logs | `properties.id` | `properties.createdDateTime` and `properties.correlationId`; `properties.activityDateTime` |
//! | Azure DevOps | `id` | `actionId`, `timestamp` |
//! | Azure activity | `eventDataId`, or `id` | `eventTimestamp` |
//! | Azure activity, PowerShell | `EventDataId` | `EventTimestamp` |
//! | Azure activity, diagnostic log | `properties.eventDataId` | `time` |
//! | message trace | `id`, `recipientAddress`, `status` | `receivedDateTime` |
//! | message trace, PowerShell | `MessageTraceId`, `RecipientAddress`, `Status` | `Received` |
//! | mailbox audit | `Identity` | `LastAccessed`, `Operation` |
//!
//! Microsoft changes sign-ins after it has given them out (their risk, their review, how a sign-in that was interrupted
//! ended), and nothing in them says so. The changed record is news and passes; read again unchanged it is the same bytes,
//! and a duplicate. So several records may have the `id` of one sign-in, of which the one that arrived last says most;
//! and sign-ins that two programs wrote in spellings of their own are not known to be the same. In diagnostic logs the
//! `id` alone counts, for the envelope around a record differs between its copies: to let changed ones pass there, name
//! the fields that matter (`properties.riskState`) in a key of your own.
//!
//! The index of ids lives in the pipeline's store, so it survives restarts, and it is exact: a record that was let
//! through but had not arrived when the process died passes again, and only that one. An id takes 24 bytes on disk for
//! as long as the horizon, and the store's file may be twice as large as what is in it.
//!
//! `memory` bounds what the index takes in memory, however many ids there are. 32 MiB are enough for 5 million ids
//! inside the horizon; with more, it has to ask the disk about new records too, first about few, at 10 million about
//! one in twenty, which costs some 100 microseconds each. So give it memory in proportion: 64 MiB for 10 million.
//! (For an archive of years in one go, a horizon of an hour does.) At the start the index is read once: half a second
//! for 10 million ids.
//!
//! Records are compared as they reach this transform: put `flatten` before it, so that nested ids have names. The
//! same record that reaches one `dedupe` on two paths of the same pipeline is one occurrence to it and passes twice.
//!
//! # Example
//! ```yaml
//! transforms:
//!   unique:
//!     type: dedupe
//!     inputs: [flat]
//!     horizon: 7d
//! ```
//!
//! # Metrics it emits
//! `downspout_component_discarded_events_total`: the duplicates that were dropped.

mod bloom;
mod horizon;
mod index;
mod key;
mod recent;
mod run;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::field::parse_name;
use downspout_core::metrics::ComponentMetrics;
use downspout_core::stage::{Outputs, State};
use downspout_core::{Batch, Build, Component, ConfigError, Context, StageError, Transform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use index::{Candidate, Index};
use key::{Keys, Places, place};
use recent::{Recent, TABLES};
use run::Known;

const MIN_MEMORY: ByteSize = ByteSize(1 << 20);
const MIN_HORIZON: HumanDuration = HumanDuration(Duration::from_secs(60));

/// Drops records that came before, by their id.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DedupeConfig {
    /// How to find a record's id: the first of these whose fields all hold a value. The default knows all of
    /// Microsoft's feeds. Changing it starts with an empty index.
    #[serde(default = "default_keys")]
    pub keys: Vec<KeyConfig>,
    /// For how long an id is remembered, at least; at most for an eighth longer. Behind a source with `recover`: `30d`,
    /// for what was missing is looked for again weeks later, beside what had arrived.
    #[serde(default = "default_horizon")]
    pub horizon: HumanDuration,
    /// About how much memory the index takes, however many ids it holds.
    #[serde(default = "default_memory")]
    pub memory: ByteSize,
}

/// A way to find a record's id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The fields whose values together are the id.
    pub fields: Vec<String>,
    /// Fields that the record must have too: they tell its feed.
    #[serde(default)]
    pub with: Vec<String>,
    /// Whether the record's bytes are a part of its id: one that has changed is then another one.
    #[serde(default)]
    pub content: bool,
}

/// The ids of Microsoft's feeds. `id` alone means too many things: lists of users and resources have one too.
fn default_keys() -> Vec<KeyConfig> {
    let key = |fields: &[&str], with: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        KeyConfig { fields: owned(fields), with: owned(with), content: false }
    };
    vec![
        key(&["Id"], &["CreationTime", "Operation"]),
        // A sign-in changes later, under the same id, and does not say when.
        KeyConfig { content: true, ..key(&["id"], &["createdDateTime", "correlationId"]) },
        // A risk changes its state later, under the same id.
        key(&["id", "lastUpdatedDateTime"], &["riskEventType"]),
        key(&["id"], &["activityDateTime"]),
        key(&["properties.id"], &["properties.createdDateTime", "properties.correlationId"]),
        key(&["properties.id"], &["properties.activityDateTime"]),
        key(&["id"], &["actionId", "timestamp"]),
        key(&["eventDataId"], &["eventTimestamp"]),
        key(&["id"], &["eventTimestamp"]),
        key(&["EventDataId"], &["EventTimestamp"]),
        key(&["properties.eventDataId"], &["time"]),
        key(&["id", "recipientAddress", "status"], &["receivedDateTime"]),
        key(&["MessageTraceId", "RecipientAddress", "Status"], &["Received"]),
        key(&["Identity"], &["LastAccessed", "Operation"]),
    ]
}

fn default_horizon() -> HumanDuration {
    HumanDuration(Duration::from_secs(7 * 24 * 3600))
}

fn default_memory() -> ByteSize {
    ByteSize(32 << 20)
}

impl Component for DedupeConfig {
    type Stage = Box<dyn Transform>;

    const TYPE: &'static str = "dedupe";
    const EXAMPLE: &'static str = "horizon: 7d\nmemory: 32MiB\n";

    fn remembers(&self) -> Option<Duration> {
        Some(self.horizon.0)
    }

    fn plan(self) -> Result<Build<Box<dyn Transform>>, Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        if self.keys.is_empty() {
            mistakes.push(ConfigError::at("keys", "expected at least one way to find a record's id"));
        }
        for (index, key) in self.keys.iter().enumerate() {
            if key.fields.is_empty() {
                mistakes.push(ConfigError::at(format!("keys.{index}.fields"), "expected at least one field"));
            }
            for (list, names) in [("fields", &key.fields), ("with", &key.with)] {
                for (place, name) in names.iter().enumerate() {
                    if parse_name(name).is_none_or(|segments| segments.is_empty()) {
                        mistakes.push(ConfigError::at(
                            format!("keys.{index}.{list}.{place}"),
                            format!("`{name}` is no field"),
                        ));
                    }
                }
            }
        }
        let parts: BTreeSet<&String> = self.keys.iter().flat_map(|key| &key.fields).collect();
        let all: BTreeSet<&String> = self.keys.iter().flat_map(|key| key.fields.iter().chain(&key.with)).collect();
        if parts.len() > key::MAX_PARTS || all.len() > key::MAX_FIELDS {
            let (parts, all, max_parts, max) = (parts.len(), all.len(), key::MAX_PARTS, key::MAX_FIELDS);
            let message =
                format!("{parts} different fields in ids, {all} in all; at most {max_parts} and {max} are allowed");
            mistakes.push(ConfigError::at("keys", message));
        }
        if self.memory < MIN_MEMORY {
            mistakes.push(ConfigError::at("memory", format!("{} is too little; at least {MIN_MEMORY}", self.memory)));
        }
        if self.horizon < MIN_HORIZON {
            mistakes.push(ConfigError::at("horizon", format!("{} is too short; at least {MIN_HORIZON}", self.horizon)));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Box::new(|context| Ok(Box::new(Dedupe::new(self, context, Clock::system())?))))
    }
}

#[derive(Debug)]
struct Dedupe {
    index: Arc<Index>,
    keys: Keys,
    places: Places,
    metrics: ComponentMetrics,
    /// The candidates of a batch, by table; kept for their memory.
    candidates: Vec<Vec<Candidate>>,
    /// Which events of a batch must not pass; kept for its memory.
    refused: Vec<bool>,
}

impl Dedupe {
    fn new(config: DedupeConfig, context: Context, clock: Clock) -> Result<Dedupe, StageError> {
        let keys = Keys::new(&config.keys, &context.fields)?;
        let memory = usize::try_from(config.memory.0).unwrap_or(usize::MAX);
        let index = Index::open(context.store, &context.id, config.horizon.0, memory, clock)?;
        Ok(Dedupe::over(Arc::new(index), keys, context.metrics))
    }

    fn over(index: Arc<Index>, keys: Keys, metrics: ComponentMetrics) -> Dedupe {
        let candidates = vec![Vec::new(); TABLES];
        Dedupe { index, keys, places: Places::default(), metrics, candidates, refused: Vec::new() }
    }
}

impl Transform for Dedupe {
    fn apply(&mut self, batch: &mut Batch, _outputs: &mut Outputs) -> Result<(), StageError> {
        let now = self.index.begin(batch.len())?;
        let shard = self.places.shard(batch.origin());
        self.candidates.iter_mut().for_each(Vec::clear);
        for event in batch.events() {
            let Some(key) = self.keys.of(event) else { continue };
            let hash = self.index.hash(key);
            let known = Known::new(key, place(shard, event.position()));
            self.candidates[Recent::table_of(hash)].push(Candidate { known, hash, event: event.index() });
        }
        let mut refusals = 0;
        self.refused.clear();
        self.refused.resize(batch.len(), false);
        for (table, candidates) in self.candidates.iter().enumerate().filter(|(_, candidates)| !candidates.is_empty()) {
            self.index.admit(table, candidates, now, |candidate| {
                self.refused[candidate.event] = true;
                refusals += 1;
            })?;
        }
        if refusals > 0 {
            batch.retain(|event| !self.refused[event.index()]);
            self.metrics.discarded_events.inc_by(refusals);
        }
        Ok(())
    }

    fn fork(&self) -> Box<dyn Transform> {
        Box::new(Dedupe::over(Arc::clone(&self.index), self.keys.clone(), self.metrics.clone()))
    }

    fn state(&self) -> Option<Arc<dyn State>> {
        Some(Arc::clone(&self.index) as Arc<dyn State>)
    }
}

#[cfg(test)]
mod tests;
