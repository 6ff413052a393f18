//! How long trouble with one blob is waited out, and what it is taken for in the end.
//!
//! A refusal may concern the tenant, which a human must mend, or this one blob, which must not keep the others from being
//! delivered: it is asked for again for some minutes, and then it is missing. Whether only this blob is refused, others
//! that come through meanwhile show; without them it takes an hour. Trouble that passes is waited out until Microsoft
//! deletes the blob.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::backlog::Entry;
use super::blob::Ended;
use super::feed::Feed;
use crate::access::auditing;
use crate::client::{Api, Trouble, Verdict};
use crate::clock::between;
use crate::config::Mode;
use crate::ledger::Reason;

/// How often "there is no such thing" is asked again when it does not come in the API's own words.
const UNSURE: u32 = 3;

/// A refusal is believed after that many of them and that time, if other blobs come through meanwhile.
const REFUSED: (u32, Duration) = (5, Duration::from_secs(300));

/// Trouble for so long is told; and a refusal is believed then, though nothing else came through.
const LONG: Duration = Duration::from_secs(3600);

/// How often something that stands between here and the service may come before it is believed to stay.
const BLOCKED_ROUNDS: u32 = 6;

/// How often, with `mode: once`, transient trouble of one blob is waited out.
const ONCE_ROUNDS: u32 = 12;

/// The trouble with one blob so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    unsure: u32,
    refused: u32,
    rounds: u32,
    /// When it began, and how many blobs had come through by then.
    begun: Option<(Timestamp, u64)>,
    told: bool,
}

impl Patience {
    /// How the blob ends by this trouble; `None` if it is worth another attempt. `is_first`: the others wait for it.
    pub(super) fn judge(&mut self, feed: &Feed, entry: &Entry, trouble: Trouble, is_first: bool) -> Option<Ended> {
        let read = feed.read.load(Ordering::Relaxed);
        let (since, read_then) = *self.begun.get_or_insert((feed.clock.now(), read));
        let lasted = between(since, feed.clock.now());
        let expired = trouble.code == "AF20051" || feed.client.service_now() >= entry.expires;
        let missing = |reason| Some(Ended::Missing(reason, format!("content {}: {trouble}", entry.id)));
        if is_of_the_tenant(&trouble) {
            return Some(Ended::Failed(standstill(trouble, entry).at(&feed.place())));
        }
        if trouble.verdict == Verdict::Skip {
            self.unsure += 1;
            if !trouble.code.starts_with("AF") && self.unsure < UNSURE {
                return None;
            }
            let foreign = feed.client.accept(Api::Management, &entry.uri).is_err();
            return missing(match (expired, foreign) {
                (true, _) => Reason::Expired,
                (false, true) => Reason::ForeignAddress,
                (false, false) => Reason::NotAvailable,
            });
        }
        if expired {
            return missing(Reason::Expired);
        }
        if is_of_the_blob(&trouble) {
            self.refused += 1;
            let is_its_own = read > read_then || lasted >= LONG;
            if self.refused >= REFUSED.0 && lasted >= REFUSED.1 && is_its_own {
                return missing(Reason::NotAvailable);
            }
        } else {
            // A web page or redirect may have come once, at the end of other trouble: it is believed when it stays.
            if trouble.verdict == Verdict::Stop && self.rounds >= BLOCKED_ROUNDS {
                return Some(Ended::Failed(standstill(trouble, entry).at(&feed.place())));
            }
            self.rounds += 1;
            if feed.shared.options.mode == Mode::Once && self.rounds >= ONCE_ROUNDS {
                return Some(Ended::Failed(trouble.at(&feed.place())));
            }
        }
        tracing::debug!(content = entry.id, "{trouble}; waiting");
        if lasted >= LONG && is_first && !self.told {
            self.told = true;
            tracing::warn!(
                tenant = feed.label(), feed = feed.backlog.feed(), content = entry.id, expires = %entry.expires,
                "this content could not be had for an hour, and what was published after it waits: {trouble}; it is tried \
                 until it expires, and then noted as missing"
            );
        }
        None
    }
}

/// Whether the service refuses this one blob, whatever the reason. What it says when there is no subscription is none:
/// the listing starts it again, and then the content is there again.
pub(super) fn is_of_the_blob(trouble: &Trouble) -> bool {
    let refused = match trouble.verdict {
        Verdict::Stop => trouble.status.is_some_and(|status| (400..500).contains(&status)),
        Verdict::Handle => !matches!(trouble.code.as_str(), "AF20022" | "AF20023"),
        Verdict::Retry | Verdict::Throttled | Verdict::Reauth | Verdict::Skip => false,
    };
    refused && !trouble.is_in_the_way() && !is_of_the_tenant(trouble)
}

/// Whether everything that is asked for this tenant is refused: sign-in, permission, proxy, or the tenant itself.
fn is_of_the_tenant(trouble: &Trouble) -> bool {
    let code = matches!(trouble.code.as_str(), "AF10001" | "AF20010" | "AF20012" | "AF20013");
    let off = auditing::is_off(trouble);
    let status = trouble.status.is_none_or(|status| matches!(status, 401 | 403 | 407));
    trouble.verdict == Verdict::Stop && !trouble.is_in_the_way() && (trouble.is_sign_in() || code || off || status)
}

/// The trouble, with what follows from it.
fn standstill(mut trouble: Trouble, entry: &Entry) -> Trouble {
    trouble.meaning += &format!(
        " (asked for content {}; until this is mended the feed stands still, and Microsoft deletes content 7 days after it \
         was published)",
        entry.id
    );
    trouble
}
