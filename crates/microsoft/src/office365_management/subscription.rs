//! Subscriptions: the API collects nothing for a tenant and content type before somebody started one.
//!
//! Microsoft asks for 15 minutes between two start requests; when the last one was made stands in the store, so that a
//! restart does not begin the count anew.

use std::time::Duration;

use downspout_core::StageError;
use downspout_core::store::{Write, key};
use jiff::Timestamp;

use super::feed::Feed;
use crate::client::{Api, Request, Trouble, Verdict};
use crate::clock::{between, plus};
use crate::ledger::{Gap, Reason};

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
        Some(None | Some("enabled")) => Ok(()),
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
    let begun = feed.clock.now().as_second().to_be_bytes();
    feed.shared.context.store.write_all(&[Write::set(asked, begun)])?;
    let url = feed.url("subscriptions/start", &[]).map_err(|trouble| trouble.at(&feed.place()))?;
    match feed.client.get(Request::post(Api::Management, url)).await {
        Ok(_) => tracing::info!(tenant = feed.label(), feed = feed.backlog.feed(), "subscription started: {why}"),
        // It was there all the time.
        Err(trouble) if trouble.code == "AF20024" => return Ok(()),
        Err(trouble) => {
            // What a source handles elsewhere is an error here: nothing else can be tried.
            let verdict = if trouble.verdict == Verdict::Handle { Verdict::Stop } else { trouble.verdict };
            return Err(Trouble { verdict, ..trouble }.at(&feed.place()));
        }
    }
    // What happened while there was no subscription may be missing; at the first start nothing is missed yet.
    if let Some(until) = feed.backlog.listed_until() {
        let gap = Gap {
            start: until,
            end: feed.client.service_now(),
            reason: Reason::NotSubscribed,
            detail: why.to_owned(),
            items: 0,
            filled_by: None,
        };
        feed.backlog.gap(gap)?;
    }
    Ok(())
}
