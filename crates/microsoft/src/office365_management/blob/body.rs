//! Where the body of a blob comes from: the copy on our disk, or the service.
//!
//! It stands alone because nobody who reads a body needs to know which of the two it is.

use bytes::Bytes;

use super::super::backlog::Entry;
use super::super::feed::Feed;
use super::super::patience::is_of_the_blob;
use super::super::spool;
use crate::client::{self, Api, Request, Trouble, Verdict};

/// How often the client repeats a request by itself: in an outage many blobs wait, and each has pauses of its own.
const ATTEMPTS: u32 = 3;

/// A body on its way in.
pub(super) enum Body {
    Service(client::Body),
    Disk(spool::Copy),
}

impl Body {
    /// The copy on our disk, or the service's.
    pub(super) async fn open(feed: &Feed, entry: &Entry) -> Result<Body, Trouble> {
        if entry.spooled
            && let Some(copy) = spool::open(feed, entry.sequence).await
        {
            return Ok(Body::Disk(copy));
        }
        let url = feed.blob_url(entry)?;
        match feed.client.stream(Request::get(Api::Management, url).attempts(ATTEMPTS)).await {
            Ok(body) => Ok(Body::Service(body)),
            // The entry may have been read before a copy was made.
            Err(trouble) if is_lost(feed, entry, &trouble) => {
                spool::open(feed, entry.sequence).await.map(Body::Disk).ok_or(trouble)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        match self {
            Body::Service(body) => body.chunk().await,
            Body::Disk(copy) => copy.chunk().await,
        }
    }
}

/// Whether the service will not give the blob any more, by this trouble.
fn is_lost(feed: &Feed, entry: &Entry, trouble: &Trouble) -> bool {
    let expired = feed.client.service_now() >= entry.expires;
    expired || trouble.verdict == Verdict::Skip || is_of_the_blob(trouble)
}
