//! Verdicts of Exchange Online's administration and the Reporting Web Service, beyond what every status means.

use super::{Judgement, Refusal};
use crate::client::verdict::Verdict;

pub(super) fn judge(refusal: &Refusal) -> Option<Judgement> {
    // What these services call it when a request is one too many differs, the words do not.
    let lower = refusal.message.to_ascii_lowercase();
    let throttled = lower.contains("too many requests") || refusal.code == "TooManyRequests";
    throttled.then(|| (Verdict::Throttled, "too many requests".to_owned()))
}
