//! Copies of blobs on our disk: what would expire at Microsoft before a sink takes it.
//!
//! `data_dir/spool/SOURCE/TENANT/FEED/NUMBER.zst`, written under another name, made durable, then renamed. A copy is read in
//! place of the service's answer and removed when the blob is acknowledged.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use downspout_core::StageError;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use tokio::sync::mpsc;

use super::backlog::Entry;
use super::feed::Feed;
use crate::client::{Api, Request, Trouble, Verdict};

/// How much of a copy is read at once.
const CHUNK: usize = 128 << 10;

/// The code of trouble with a copy that cannot be read.
pub(super) const UNREADABLE: &str = "spool";

/// How many chunks of a body wait for the disk.
const QUEUE: usize = 4;

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
                UNREADABLE,
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
    let failed = |trouble: Trouble| trouble.at(&feed.place());
    let url = feed.blob_url(entry).map_err(failed)?;
    let mut body = feed.client.stream(Request::get(Api::Management, url)).await.map_err(failed)?;
    let path = path(feed, entry.sequence);
    let temporary = path.with_extension("new");
    let (chunks, waiting) = mpsc::channel(QUEUE);
    let written = on_disk(feed, {
        let temporary = temporary.clone();
        move || write(&temporary, waiting)
    });
    let read = async {
        while let Some(chunk) = body.chunk().await.map_err(failed)? {
            if chunks.send(chunk).await.is_err() {
                // The disk has failed, which the other side tells.
                break;
            }
        }
        drop(chunks);
        Ok::<_, StageError>(())
    };
    let (size, ()) = tokio::try_join!(written, read)?;
    // A copy is for the time when nothing else is left, so one that is damaged is none.
    if !on_disk(feed, move || publish(&temporary, &path)).await? {
        let problem = format!("{}: the copy of content {} is damaged; it is made again", feed.place(), entry.id);
        return Err(StageError::retry("damaged_content", problem));
    }
    feed.backlog.spooled(entry)?;
    feed.shared.spooled.fetch_add(size, Ordering::Relaxed);
    Ok(())
}

/// Works on the disk, on a thread that may wait for it.
async fn on_disk<T: Send + 'static>(
    feed: &Feed,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|died| Err(io::Error::other(died))).map_err(|error| {
        let folder = folder(feed).display().to_string();
        let message = format!("cannot keep a copy in {folder}: {error}; make room, or the folder writable");
        StageError::retry("spool", message)
    })
}

/// Writes a file of chunks, as they come, and makes it durable; gives its size.
fn write(path: &Path, mut chunks: mpsc::Receiver<Bytes>) -> io::Result<u64> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut encoder = zstd::Encoder::new(File::create(path)?, 1)?;
    while let Some(chunk) = chunks.blocking_recv() {
        encoder.write_all(&chunk)?;
    }
    let file = encoder.finish()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Gives a copy its name, durably, if it is whole; gives whether it is.
fn publish(temporary: &Path, path: &Path) -> io::Result<bool> {
    let whole = is_whole(temporary);
    if whole {
        std::fs::rename(temporary, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()?;
    }
    Ok(whole)
}

/// Whether a copy is a JSON array.
fn is_whole(path: &Path) -> bool {
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

/// Removes copies whose blobs are acknowledged.
pub(super) async fn remove(feed: &Feed, sequences: Vec<u64>) {
    let paths: Vec<PathBuf> = sequences.into_iter().map(|sequence| path(feed, sequence)).collect();
    if paths.is_empty() {
        return;
    }
    let removed = tokio::task::spawn_blocking(move || paths.iter().map(|path| remove_one(path)).sum());
    // Nothing in it panics; what it did not count is counted at the next start.
    let removed: u64 = removed.await.unwrap_or(0);
    let less = |held: u64| Some(held.saturating_sub(removed));
    // It never refuses.
    let _ = feed.shared.spooled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
}

/// Removes a copy; gives how many bytes that freed.
fn remove_one(path: &Path) -> u64 {
    let size = std::fs::metadata(path).map_or(0, |data| data.len());
    match std::fs::remove_file(path) {
        Ok(()) => size,
        // A crash between removing and forgetting.
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => {
            tracing::warn!(path = %path.display(), "cannot remove a copy that is no longer needed: {error}");
            0
        }
    }
}

/// Counts what earlier runs left, and removes what they did not finish, or did not come to remove.
pub(super) fn count(feed: &Feed) {
    let Ok(files) = std::fs::read_dir(folder(feed)) else { return };
    let reached = feed.backlog.acknowledged().unwrap_or(0);
    let useless = |file: &std::fs::DirEntry| {
        let path = file.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        path.extension().is_some_and(|kind| kind == "new") || number.is_some_and(|number| number <= reached)
    };
    let (useless, files): (Vec<_>, Vec<_>) = files.flatten().partition(useless);
    for file in useless {
        // It will be written over, or come here again, if it stays.
        let _ = std::fs::remove_file(file.path());
    }
    let sizes = files.into_iter().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum();
    feed.shared.spooled.fetch_add(sizes, Ordering::Relaxed);
}
