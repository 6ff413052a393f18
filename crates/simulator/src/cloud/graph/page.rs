//! Graph's pages: a query's answer as it stood at its first page, cut into portions, with links that cannot be edited.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::cloud::faults::FaultKind;
use crate::cloud::http::{Answer, Call, encode};
use crate::cloud::publish::Place;
use crate::cloud::route::Api;
use crate::cloud::tenant::Life;
use crate::cloud::{Cloud, random};
use crate::world::Feed;

/// Results that are kept for the pages to come.
const KEPT: usize = 32;

/// Where records of a query's answer are.
pub(crate) type Found = Arc<Vec<(Feed, Place)>>;

/// A position in an answer, as a skip token carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// How many records came before.
    pub(crate) offset: usize,
    /// How much was published in each feed when the first page was made.
    pub(crate) snapshot: Vec<usize>,
}

/// The query without its skip token: what the token belongs to.
fn subject(call: &Call) -> String {
    let kept = call.raw_query.split('&').filter(|pair| !is_skip(pair));
    format!("{}?{}", call.path, kept.collect::<Vec<_>>().join("&"))
}

fn is_skip(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    name.eq_ignore_ascii_case("$skiptoken") || name.eq_ignore_ascii_case("%24skiptoken")
}

impl Position {
    fn token(&self, subject: &str) -> String {
        let numbers: Vec<String> = self.snapshot.iter().map(usize::to_string).collect();
        let text = format!("{} {}", self.offset, numbers.join(" "));
        URL_SAFE_NO_PAD.encode(format!("{:016x} {text}", random::hash(41, &format!("{subject} {text}"))))
    }

    /// The position that a call names; `None` in the result for a token that was edited.
    pub(crate) fn of(call: &Call) -> Result<Option<Position>, Answer> {
        let Some(token) = call.parameter("$skiptoken") else { return Ok(None) };
        let read = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).ok()?).ok()?;
            let mut numbers = text.split_ascii_whitespace().skip(1).map(str::parse);
            let offset = numbers.next()?.ok()?;
            let position = Position { offset, snapshot: numbers.collect::<Result<_, _>>().ok()? };
            (position.token(&subject(call)) == token).then_some(position)
        };
        read().map(Some).ok_or_else(|| super::fault(call, 400, "BadRequest", "Skip token is invalid."))
    }
}

/// The link to another page of the same query.
pub(crate) fn link(call: &Call, position: &Position) -> String {
    let subject = subject(call);
    let joint = if subject.ends_with('?') { "" } else { "&" };
    format!("{}{subject}{joint}$skiptoken={}", call.origin, encode(&position.token(&subject)))
}

/// The answer of a query: from memory, or found by `search`.
pub(crate) fn found(
    life: &mut Life,
    call: &Call,
    position: &Position,
    search: impl FnOnce(&mut Life) -> Vec<(Feed, Place)>,
) -> Found {
    let key = format!("{} {} {:?}", call.host, subject(call), position.snapshot);
    if let Some((_, found)) = life.results.iter().find(|(known, _)| *known == key) {
        return Arc::clone(found);
    }
    let found = Arc::new(search(life));
    if life.results.len() >= KEPT {
        life.results.pop_front();
    }
    life.results.push_back((key, Arc::clone(&found)));
    found
}

/// One page: which records it holds, and where its link leads, after the faults that concern pages.
pub(crate) struct Page {
    /// The first record, and one behind the last.
    pub(crate) range: (usize, usize),
    /// The link to the next page.
    pub(crate) next: Option<String>,
}

/// Cuts a page out of `total` records.
pub(crate) fn cut(
    cloud: &Cloud,
    call: &Call,
    tenant: &str,
    position: &Position,
    (total, size): (usize, usize),
) -> Page {
    let size = match cloud.config.limits.graph_page {
        0 => size,
        most => size.min(most),
    };
    let strikes = |kind| cloud.faults.strikes(kind, Api::Graph, Some(tenant), &call.path).is_some();
    let at = |offset| link(call, &Position { offset, snapshot: position.snapshot.clone() });
    let offset = position.offset.min(total);
    if offset >= size && strikes(FaultKind::RepeatPage) {
        return Page { range: (offset - size, offset), next: Some(at(offset)) };
    }
    if offset < total && strikes(FaultKind::EmptyPage) {
        return Page { range: (offset, offset), next: Some(at(offset)) };
    }
    let end = (offset + size).min(total);
    let mut next = (end < total).then(|| at(end));
    if let Some(link) = &mut next
        && strikes(FaultKind::HostileLink)
    {
        *link = link.replacen(&call.origin, &cloud.foreign, 1);
    }
    Page { range: (offset, end), next }
}

/// An OData collection from records that are JSON already.
pub(crate) fn collection(
    call: &Call,
    context: &str,
    records: &[String],
    next: Option<&str>,
    count: Option<usize>,
) -> Answer {
    let version = call.path.split('/').nth(1).unwrap_or("v1.0");
    let mut body = format!("{{\"@odata.context\":{}", json!(format!("{}/{version}/$metadata#{context}", call.origin)));
    if let Some(count) = count {
        body += &format!(",\"@odata.count\":{count}");
    }
    if let Some(next) = next {
        body += &format!(",\"@odata.nextLink\":{}", json!(next));
    }
    body += ",\"value\":[";
    body += &records.join(",");
    body += "]}";
    Answer::text(200, "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false", body)
}

/// `$top` inside its limits.
pub(crate) fn size(call: &Call, default: usize, largest: usize) -> Result<usize, Answer> {
    match call.parameter("$top") {
        None => Ok(default),
        Some(text) => text.parse().ok().filter(|size| (1..=largest).contains(size)).ok_or_else(|| {
            let message = format!("Invalid page size specified: '{text}'. Must be between 1 and {largest} inclusive.");
            super::fault(call, 400, "BadRequest", &message)
        }),
    }
}
