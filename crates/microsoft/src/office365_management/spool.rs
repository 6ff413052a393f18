//! Copies of blobs on our disk: what would expire at Microsoft before a sink takes it.
//!
//! `data_dir/spool/SOURCE/TENANT/FEED/NUMBER.zst`, written under another name, made durable, then renamed. A copy is read in
//! place of the service's answer and removed when the blob is acknowledged.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use downspout_core::StageError;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::backlog::Entry;
use super::feed::Feed;
use crate::client::{Api, Request, Trouble, Verdict};

/// How much of a copy is read at once.
const CHUNK: usize = 128 << 10;

type Decoder = zstd::Decoder<'static, BufReader<File>>;

/// A copy that is being read.
pub(super) struct Copy {
    decoder: Option<Decoder>,
}

impl Copy {
    /// The next bytes; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        let wrong = |error: String| {
            Trouble::new(
                Verdict::Retry,
                Api::Management,
                "spool",
                error,
                "a copy on the disk cannot be read; check data_dir",
            )
        };
        let Some(mut decoder) = self.decoder.take() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK];
            let read = decoder.read(&mut chunk);
            read.map(|count| {
                chunk.truncate(count);
                (decoder, chunk)
            })
        });
        let (decoder, chunk) =
            read.await.map_err(|error| wrong(error.to_string()))?.map_err(|error| wrong(error.to_string()))?;
        if chunk.is_empty() {
            return Ok(None);
        }
        self.decoder = Some(decoder);
        Ok(Some(chunk.into()))
    }
}

/// Where the copies of a feed are.
fn folder(feed: &Feed) -> PathBuf {
    // Ids of components could be anything that YAML can write; tenants and feeds are checked names.
    let plain: String = feed
        .shared
        .context
        .id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' })
        .collect();
    let spool = feed.shared.context.store.folder().join("spool");
    spool.join(plain).join(feed.backlog.tenant()).join(feed.backlog.feed())
}

fn path(feed: &Feed, sequence: u64) -> PathBuf {
    folder(feed).join(format!("{sequence}.zst"))
}

/// The copy of a blob, if there is one.
pub(super) async fn open(feed: &Feed, sequence: u64) -> Option<Copy> {
    let path = path(feed, sequence);
    let opened = tokio::task::spawn_blocking(move || zstd::Decoder::new(File::open(path)?)).await;
    let decoder = opened.ok()?.ok()?;
    Some(Copy { decoder: Some(decoder) })
}

/// Makes a copy.
pub(super) async fn keep(feed: &Feed, entry: &Entry) -> Result<(), StageError> {
    let url = match feed.client.accept(Api::Management, &entry.uri) {
        Ok(url) => url,
        Err(_) => feed.content_url(&entry.id).map_err(|trouble| trouble.at(&feed.place()))?,
    };
    let failed = |trouble: Trouble| trouble.at(&feed.place());
    let mut body = feed.client.stream(Request::get(Api::Management, url)).await.map_err(failed)?;
    let (folder, path) = (folder(feed), path(feed, entry.sequence));
    let disk = |error: io::Error| {
        let message = format!("cannot keep a copy in {}: {error}; make room, or the folder writable", folder.display());
        StageError::retry("spool", message)
    };
    std::fs::create_dir_all(&folder).map_err(disk)?;
    let temporary = path.with_extension("new");
    let mut encoder = zstd::Encoder::new(File::create(&temporary).map_err(disk)?, 1).map_err(disk)?;
    while let Some(chunk) = body.chunk().await.map_err(failed)? {
        encoder.write_all(&chunk).map_err(disk)?;
    }
    let file = encoder.finish().map_err(disk)?;
    file.sync_all().map_err(disk)?;
    let size = file.metadata().map_err(disk)?.len();
    // A copy is for the time when nothing else is left, so one that is damaged is none.
    let checked = temporary.clone();
    let whole = tokio::task::spawn_blocking(move || is_whole(checked)).await.unwrap_or(false);
    if !whole {
        let problem = format!("{}: the copy of content {} is damaged; it is made again", feed.place(), entry.id);
        return Err(StageError::retry("damaged_content", problem));
    }
    std::fs::rename(&temporary, &path).map_err(disk)?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(disk)?;
    feed.backlog.spooled(entry)?;
    feed.shared.spooled.fetch_add(size, Ordering::Relaxed);
    Ok(())
}

/// Whether a copy is a JSON array.
fn is_whole(path: PathBuf) -> bool {
    let read = || -> io::Result<bool> {
        let reader = BufReader::new(zstd::Decoder::new(File::open(path)?)?);
        let array: Result<Whole, _> = serde_json::from_reader(reader);
        Ok(array.is_ok())
    };
    read().unwrap_or(false)
}

/// A JSON array that is read and forgotten, element by element.
struct Whole;

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Whole, A::Error> {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Whole)
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

/// Removes a copy whose blob is acknowledged.
pub(super) fn remove(feed: &Feed, sequence: u64) {
    let path = path(feed, sequence);
    let size = std::fs::metadata(&path).map_or(0, |data| data.len());
    match std::fs::remove_file(&path) {
        Ok(()) => {
            let held = feed.shared.spooled.load(Ordering::Relaxed);
            feed.shared.spooled.store(held.saturating_sub(size), Ordering::Relaxed);
        }
        // A crash between removing and forgetting.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), "cannot remove a copy that is no longer needed: {error}"),
    }
}

/// Counts what earlier runs left, and removes what they did not finish.
pub(super) fn count(feed: &Feed) {
    let Ok(files) = std::fs::read_dir(folder(feed)) else { return };
    let unfinished = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|kind| kind == "new");
    let (unfinished, files): (Vec<_>, Vec<_>) = files.flatten().partition(unfinished);
    for file in unfinished {
        // It will be written over if it stays.
        let _ = std::fs::remove_file(file.path());
    }
    let sizes = files.into_iter().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum();
    feed.shared.spooled.fetch_add(sizes, Ordering::Relaxed);
}
