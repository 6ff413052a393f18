//! The blobs themselves.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::listing::{part_id, segment_id};
use super::{Outcome, fault, subscribed};
use crate::cloud::Cloud;
use crate::cloud::faults::FaultKind;
use crate::cloud::http::{Answer, Call, Content};
use crate::cloud::publish::{Bulk, content_feed};
use crate::cloud::route::Api;
use crate::cloud::server::{accepts_gzip, stream};
use crate::cloud::tenant::Tenant;

/// One blob.
pub(super) fn blob(cloud: &Cloud, call: &Call, tenant: &Tenant, id: &str) -> Outcome {
    let bad = || fault(call, 400, "AF20052", "Content ID {0} in the URL is invalid.");
    let mut fields = id.split('$');
    let (Some(stamp), Some(_), Some(_), Some(kind)) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(bad());
    };
    let feed = content_feed(&kind.replace('_', ".")).ok_or_else(bad)?;
    let serial = stamp.get(17..).filter(|serial| serial.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(bad)?;
    let missing = || fault(call, 404, "AF20050", "The specified content does not exist.");
    let expired = || {
        fault(
            call,
            400,
            "AF20051",
            "Content requested with the key has already expired. Content older than 7 days cannot be retrieved.",
        )
    };
    let strikes = |kind| cloud.faults.strikes(kind, Api::Management, Some(tenant.id()), &call.path).is_some();
    let life = tenant.live(call.now);
    subscribed(call, tenant, &life, &feed)?;
    if let Some(rest) = serial.strip_prefix('9') {
        let (series, number) = rest.split_at_checked(1).ok_or_else(missing)?;
        let (series, number): (usize, u64) = series.parse().ok().zip(number.parse().ok()).ok_or_else(missing)?;
        let bulk = life.publisher.bulk().get(series).filter(|bulk| number < bulk.blobs()).ok_or_else(missing)?;
        let dies = bulk.created(number).saturating_add(life.publisher.content_life()).unwrap_or(Timestamp::MAX);
        if call.now >= dies || strikes(FaultKind::ContentGone) {
            return Err(expired());
        }
        cloud.stats.blob_bytes.fetch_add(bulk.size(), Ordering::Relaxed);
        return Ok(bulk_blob(call, tenant, (bulk, series, number)));
    }
    let (in_part, index) = serial.split_at_checked(1).ok_or_else(bad)?;
    let index: usize = index.parse().map_err(|_| bad())?;
    let segment = life.publisher.segments(&feed).get(index).ok_or_else(missing)?;
    let (name, in_part) = (feed.content_type().unwrap_or_default(), in_part == "1");
    let known = if in_part { part_id(name, index, segment) } else { segment_id(name, index, segment) };
    if known != id {
        return Err(missing());
    }
    if call.now >= segment.dies {
        if segment.dies < segment.expires && call.now < segment.expires {
            cloud.faults.note("early_expiry");
        }
        return Err(expired());
    }
    if strikes(FaultKind::ContentGone) {
        return Err(expired());
    }
    let body = if in_part { segment.part() } else { segment.blob() }.ok_or_else(expired)?;
    cloud.stats.blob_bytes.fetch_add(segment.size() as u64, Ordering::Relaxed);
    Ok(Answer {
        status: 200,
        headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
        content: Content::Gzip(body),
    })
}

fn bulk_blob(call: &Call, tenant: &Tenant, (bulk, series, number): (&Bulk, usize, u64)) -> Answer {
    let content = match bulk.same() {
        Some(body) => Content::Gzip(body),
        None => {
            let compressed = accepts_gzip(&call.headers);
            // The series is made anew: the thread that streams must not hold the tenant's lock.
            let config = &tenant.config.bulk[series];
            let own = Bulk::new(config, tenant.id(), bulk.started());
            stream(compressed, move |out| own.stream(number, compressed, out))
        }
    };
    Answer { status: 200, headers: vec![("content-type", "application/json; charset=utf-8".to_owned())], content }
}
