//! The sink: collects events, and hands them over as jobs that write files.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use downspout_core::stage::{Delivery, Due, Prepared, Sealed};
use downspout_core::store::{Write, key};
use downspout_core::{Batch, Context, FieldTable, Sink, StageError};
use tokio::time::Instant;

use super::Roll;
use super::collect::{Collected, Collector, Content, Form};
use super::commit::{Folder, NewFile};
use super::encode::Encoder;
use super::schema::Schema;
use super::table::Table;
use crate::io::blocking;

/// The sink.
#[derive(Debug)]
pub(super) struct Lake {
    shared: Arc<Shared>,
    fields: Arc<FieldTable>,
    roll: Roll,
    collector: Collector,
    /// When the first of the collected batches came.
    since: Option<Instant>,
}

/// What the sink and its jobs share.
#[derive(Debug)]
struct Shared {
    folder: Folder,
    encoder: Arc<Encoder>,
}

impl Lake {
    pub(super) fn open(
        path: PathBuf,
        roll: Roll,
        form: Form,
        table: Table,
        context: Context,
    ) -> Result<Lake, StageError> {
        let schema = Schema::new(&context.fields, &table.promoted_fields)
            .ok_or_else(|| StageError::stop("internal", "the field table is too small for the lake's columns"))?;
        let extension = match form {
            Form::Parquet => "parquet",
            Form::Lines(_) => "ndjson",
        };
        let folder = Folder::open(path, lake_id(&context)?, extension)?;
        let table = Arc::new(table);
        let encoder = Arc::new(Encoder::new(Arc::clone(&table), context.threads));
        let collector = Collector::new(table, schema, form);
        let shared = Arc::new(Shared { folder, encoder });
        Ok(Lake { shared, fields: context.fields, roll, collector, since: None })
    }
}

/// The id that names this sink's files. It lives in the store, like the numbers of its commits: a new `data_dir`
/// counts from the beginning, and must not meet the files of the old one.
fn lake_id(context: &Context) -> Result<String, StageError> {
    let key = key(&[b"sink", context.id.as_bytes(), b"lake"]);
    if let Some(id) = context.store.get(&key)? {
        return Ok(String::from_utf8_lossy(&id).into_owned());
    }
    // The standard library seeds each RandomState from the system's random numbers.
    let id = format!("{:08x}", RandomState::new().hash_one(&context.id) as u32);
    context.store.write_all(&[Write::set(key, id.as_str())])?;
    Ok(id)
}

#[async_trait]
impl Sink for Lake {
    async fn deliver(&mut self, batch: &Arc<Batch>) -> Result<Delivery, StageError> {
        if !Arc::ptr_eq(batch.fields(), &self.fields) {
            let message = "a batch of another pipeline: its fields have other numbers than the lake's columns";
            return Err(StageError::stop("internal", message));
        }
        if !batch.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            self.collector.add(batch);
        }
        Ok(Delivery::default())
    }

    fn collects(&self) -> bool {
        true
    }

    fn due(&self) -> Due {
        match self.since {
            None => Due::Never,
            Some(_) if self.collector.rows() >= self.roll.max_rows => Due::Now,
            Some(_) if self.collector.bytes() as u64 >= self.roll.max_bytes.0 => Due::Now,
            // An age beyond the clock's end is as good as none.
            Some(since) => since.checked_add(self.roll.max_age.0).map_or(Due::Never, Due::At),
        }
    }

    fn seal(&mut self, commit: u64) -> Option<Box<dyn Sealed>> {
        self.since.take()?;
        let collected = Some(self.collector.take(self.shared.encoder.spare_columns()));
        Some(Box::new(Job {
            shared: Arc::clone(&self.shared),
            commit,
            collected,
            files: Arc::default(),
            manifest: None,
        }))
    }

    async fn publish(&mut self, manifest: &[u8]) -> Result<(), StageError> {
        let (shared, manifest) = (Arc::clone(&self.shared), manifest.to_owned());
        blocking(move || shared.folder.publish(&manifest)).await
    }

    async fn clean(&mut self) -> Result<(), StageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.folder.clean()).await
    }
}

/// A commit's events on their way to being durable.
#[derive(Debug)]
struct Job {
    shared: Arc<Shared>,
    commit: u64,
    /// What is left to be encoded, written and published: what a failed step leaves is enough to repeat it.
    collected: Option<Collected>,
    files: Arc<Vec<NewFile>>,
    manifest: Option<Vec<u8>>,
}

#[async_trait]
impl Sealed for Job {
    async fn encode(&mut self) -> Result<(), StageError> {
        if let Some(collected) = self.collected.take() {
            let partitions = collected.partitions();
            self.files = Arc::new(match collected.content {
                Content::Columns(columns) => self.shared.encoder.encode(columns, partitions).await?,
                Content::Lines(lines) => blocking(move || Ok(lines.files(partitions))).await?,
            });
        }
        Ok(())
    }

    async fn prepare(&mut self) -> Result<Prepared, StageError> {
        self.encode().await?;
        let manifest = match self.manifest.take() {
            Some(manifest) => manifest,
            None => {
                let (shared, files, commit) = (Arc::clone(&self.shared), Arc::clone(&self.files), self.commit);
                let manifest = blocking(move || shared.folder.write(commit, &files)).await?;
                if let Some(files) = Arc::into_inner(std::mem::take(&mut self.files)) {
                    self.shared.encoder.take_back(files);
                }
                manifest
            }
        };
        Ok(Prepared { manifest: self.manifest.insert(manifest).clone() })
    }

    async fn publish(&mut self, prepared: &Prepared) -> Result<(), StageError> {
        let (shared, manifest) = (Arc::clone(&self.shared), prepared.manifest.clone());
        blocking(move || shared.folder.publish(&manifest)).await
    }
}
