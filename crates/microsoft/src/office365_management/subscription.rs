//! Subscriptions: the API collects nothing for a tenant and content type before somebody started one.
//!
//! Microsoft asks for 15 minutes between two start requests; when the last one was made stands in the store, so that a
//! restart does not begin the count anew. With it stands since when content may be missing, until the ledger has that as a
//! gap: so a crash, or an answer that was lost, does not hide it.

use std::time::Duration;

use downspout_core::StageError;
use downspout_core::store::{Write, key};
use jiff::Timestamp;

use super::feed::Feed;
use crate::client::{Api, Request, Trouble, Verdict};
use crate::clock::{between, plus};
use crate::ledger::{Gap, Reason};
use crate::stored;

/// Between two start requests.
const PAUSE: Duration = Duration::from_secs(15 * 60);

/// Starts the subscription if there is none.
pub(super) async fn ensure(feed: &Feed) -> Result<(), StageError> {
    let url = feed.url("subscriptions/list", &[]).map_err(|trouble| trouble.at(&feed.place()))?;
    let listed = feed.client.get_json(Request::get(Api::Management, url)).await;
    let listed = listed.map_err(|trouble| trouble.at(&feed.place()))?;
    let own = |entry: &&serde_json::Value| {
        let named = entry.get("contentType").and_then(serde_json::Value::as_str);
        named.is_some_and(|name| name.eq_ignore_ascii_case(feed.backlog.feed()))
    };
    let found = listed.body.as_array().and_then(|list| list.iter().find(own));
    match found.map(|entry| entry.get("status").and_then(serde_json::Value::as_str)) {
        // An entry without a status stands in Microsoft's own samples.
        Some(None | Some("enabled")) => settle(feed),
        Some(Some(status)) => begin(feed, &format!("the subscription was {status}")).await,
        None => begin(feed, "there was no subscription").await,
    }
}

/// The service says, in the middle of a run, that there is no enabled subscription.
pub(super) async fn restart(feed: &Feed, trouble: &Trouble) -> Result<(), StageError> {
    feed.shared.context.metrics.error("not_subscribed");
    tracing::warn!(tenant = feed.label(), feed = feed.backlog.feed(), "{trouble}; starting the subscription");
    begin(feed, &trouble.meaning).await
}

async fn begin(feed: &Feed, why: &str) -> Result<(), StageError> {
    let asked = key(&[b"office365-subscribed", feed.shared.context.id.as_bytes(), feed.backlog.shard().as_bytes()]);
    let last = feed.shared.context.store.get(&asked)?.and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
    let now = feed.clock.now();
    let last = last.and_then(|second| Timestamp::from_second(second).ok());
    if let Some(last) = last.filter(|last| *last <= now && between(*last, now) < PAUSE) {
        let wait = between(now, plus(last, PAUSE));
        tracing::info!(
            tenant = feed.label(),
            feed = feed.backlog.feed(),
            seconds = wait.as_secs(),
            "waiting before the subscription may be started again"
        );
        feed.clock.sleep(wait).await;
    }
    let mut writes = vec![Write::set(asked, feed.clock.now().as_second().to_be_bytes())];
    // At the first start nothing is missed yet; and what an earlier one left began earlier.
    if let (Some(start), None) = (feed.backlog.listed_until(), pending(feed)?) {
        let (reason, detail) = (Reason::NotSubscribed, why.to_owned());
        let gap = Gap { start, end: start, reason, detail, items: 0, filled_by: None };
        writes.push(stored::write(pending_key(feed), &gap));
    }
    feed.shared.context.store.write_all(&writes)?;
    let url = feed.url("subscriptions/start", &[]).map_err(|trouble| trouble.at(&feed.place()))?;
    match feed.client.get(Request::post(Api::Management, url)).await {
        Ok(_) => tracing::info!(tenant = feed.label(), feed = feed.backlog.feed(), "subscription started: {why}"),
        // An answer that was lost had started it, or somebody else has.
        Err(trouble) if trouble.code == "AF20024" => {}
        Err(trouble) => {
            // What a source handles elsewhere is an error here: nothing else can be tried.
            let verdict = if trouble.verdict == Verdict::Handle { Verdict::Stop } else { trouble.verdict };
            return Err(Trouble { verdict, ..trouble }.at(&feed.place()));
        }
    }
    settle(feed)
}

fn pending_key(feed: &Feed) -> Vec<u8> {
    key(&[b"office365-unsubscribed", feed.shared.context.id.as_bytes(), feed.backlog.shard().as_bytes()])
}

/// The gap that ends when there is a subscription.
fn pending(feed: &Feed) -> Result<Option<Gap>, StageError> {
    Ok(stored::read(&feed.shared.context.store, &pending_key(feed))?)
}

/// There is a subscription: what happened before may be missing, and stands in the ledger from now on.
fn settle(feed: &Feed) -> Result<(), StageError> {
    if let Some(gap) = pending(feed)? {
        // A crash in between notes the same stretch again, which the ledger takes for one.
        feed.backlog.gap(Gap { end: feed.client.service_now(), ..gap })?;
        feed.shared.context.store.write_all(&[Write::remove(pending_key(feed))])?;
    }
    Ok(())
}
