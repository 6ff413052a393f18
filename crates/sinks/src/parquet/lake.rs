//! The sink: collects batches, and hands them over as jobs that write files.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use downspout_core::stage::{Delivery, Due, Prepared, Sealed};
use downspout_core::store::{Write, key};
use downspout_core::{Batch, Context, FieldTable, Sink, StageError};
use tokio::time::Instant;

use super::Roll;
use super::commit::{Folder, NewFile};
use super::encode::Encoder;
use super::ndjson::LineEncoder;
use super::schema::Schema;
use super::table::Table;
use crate::io::blocking;
use crate::lines::Format;

/// What a lake's files hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// The columns of the table.
    Parquet,
    /// A line of JSON for each event.
    Lines(Format),
}

/// The sink.
#[derive(Debug)]
pub(super) struct Lake {
    shared: Arc<Shared>,
    fields: Arc<FieldTable>,
    roll: Roll,
    batches: Vec<Arc<Batch>>,
    rows: usize,
    bytes: u64,
    /// When the first of `batches` came.
    since: Option<Instant>,
}

/// What the sink and its jobs share.
#[derive(Debug)]
struct Shared {
    folder: Folder,
    /// Locked while a job encodes; jobs come one at a time.
    encoder: Mutex<Encode>,
}

#[derive(Debug)]
enum Encode {
    Parquet(Encoder),
    Lines(LineEncoder),
}

impl Encode {
    fn encode(&mut self, batches: &[Arc<Batch>]) -> Result<Vec<NewFile>, StageError> {
        match self {
            Encode::Parquet(encoder) => encoder.encode(batches),
            Encode::Lines(encoder) => Ok(encoder.encode(batches)),
        }
    }
}

impl Lake {
    pub(super) fn open(
        path: PathBuf,
        roll: Roll,
        content: Content,
        table: Table,
        context: Context,
    ) -> Result<Lake, StageError> {
        let schema = Schema::new(&context.fields, &table.promoted_fields)
            .ok_or_else(|| StageError::stop("internal", "the field table is too small for the lake's columns"))?;
        let (encode, extension) = match content {
            Content::Parquet => (Encode::Parquet(Encoder::new(table, schema, context.threads)), "parquet"),
            Content::Lines(format) => (Encode::Lines(LineEncoder::new(format, table, schema)), "ndjson"),
        };
        let folder = Folder::open(path, lake_id(&context)?, extension)?;
        let shared = Shared { folder, encoder: Mutex::new(encode) };
        let fields = context.fields;
        Ok(Lake { shared: Arc::new(shared), fields, roll, batches: Vec::new(), rows: 0, bytes: 0, since: None })
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
            self.rows += batch.len();
            self.bytes += batch.bytes() as u64;
            self.batches.push(Arc::clone(batch));
        }
        Ok(Delivery::default())
    }

    fn collects(&self) -> bool {
        true
    }

    fn due(&self) -> Due {
        match self.since {
            None => Due::Never,
            Some(_) if self.rows >= self.roll.max_rows || self.bytes >= self.roll.max_bytes.0 => Due::Now,
            // An age beyond the clock's end is as good as none.
            Some(since) => since.checked_add(self.roll.max_age.0).map_or(Due::Never, Due::At),
        }
    }

    fn seal(&mut self, commit: u64) -> Option<Box<dyn Sealed>> {
        self.since.take()?;
        self.rows = 0;
        self.bytes = 0;
        let work = Work::Collected(std::mem::take(&mut self.batches));
        Some(Box::new(Job { shared: Arc::clone(&self.shared), commit, work: Arc::new(Mutex::new(work)) }))
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
    work: Arc<Mutex<Work>>,
}

/// How far a job has come: what a failed step leaves behind is enough to repeat it.
#[derive(Debug)]
enum Work {
    Collected(Vec<Arc<Batch>>),
    Encoded(Vec<NewFile>),
    Written(Vec<u8>),
}

#[async_trait]
impl Sealed for Job {
    async fn prepare(&mut self) -> Result<Prepared, StageError> {
        let (shared, work, commit) = (Arc::clone(&self.shared), Arc::clone(&self.work), self.commit);
        blocking(move || {
            let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
            if let Work::Collected(batches) = &*work {
                let files = shared.encoder.lock().unwrap_or_else(PoisonError::into_inner).encode(batches)?;
                *work = Work::Encoded(files);
            }
            if let Work::Encoded(files) = &*work {
                let manifest = shared.folder.write(commit, files)?;
                *work = Work::Written(manifest);
            }
            match &*work {
                Work::Written(manifest) => Ok(Prepared { manifest: manifest.clone() }),
                _ => Err(StageError::stop("internal", "a commit was neither encoded nor written")),
            }
        })
        .await
    }
}
