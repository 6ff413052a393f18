//! What makes two records the same: the key of a record, 128 bits.
//!
//! A record id that is a GUID is its own key, exactly. Any other id, and one of several parts, is known by the first
//! 128 bits of its SHA-256: nobody can make two ids that share them, and so nobody can make a record vanish. The same
//! goes for an id that the record's content is a part of.
//!
//! Ids are unique inside their feed only: a sign-in and the audit record of the same sign-in carry the same GUID in
//! Microsoft's own logs. So each way of finding an id has a space of its own; GUIDs are moved into it by an exclusive
//! or, which keeps different ones different.

use downspout_core::batch::EventRef;
use downspout_core::value::Entry;
use downspout_core::{FieldTable, Origin, StageError};
use sha2::{Digest, Sha256};

use super::KeyConfig;
use crate::slots::{Slots, intern};

/// How many fields all keys together may name: one bit each in a word.
pub(super) const MAX_FIELDS: usize = 64;
/// How many of these may be parts of ids: their texts are put aside for every record.
pub(super) const MAX_PARTS: usize = 16;

/// The ways of finding a record's id, in order.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    slots: Slots,
    ways: Vec<Way>,
}

#[derive(Debug, Clone)]
struct Way {
    /// A bit for each slot that must hold something.
    needs: u64,
    /// The slots whose texts make the id.
    parts: Vec<usize>,
    /// Whether the whole record is a part of the id.
    content: bool,
    space: u128,
}

impl Keys {
    /// # Errors
    /// If the field table is full.
    pub(super) fn new(configs: &[KeyConfig], fields: &FieldTable) -> Result<Keys, StageError> {
        let mut slots = Slots::default();
        let mut place = |name: &String, limit: usize| -> Result<usize, StageError> {
            let too_many = || StageError::stop("fields", format!("the keys name more than {limit} fields"));
            slots.insert(intern(fields, name)?).filter(|&slot| slot < limit).ok_or_else(too_many)
        };
        let mut ways = Vec::new();
        // Parts first, so that theirs are the lowest slots.
        for config in configs {
            let parts = config.fields.iter().map(|name| place(name, MAX_PARTS)).collect::<Result<Vec<_>, _>>()?;
            let needs = parts.iter().fold(0, |needs, slot| needs | 1 << slot);
            ways.push(Way { needs, parts, content: config.content, space: space(config) });
        }
        for (way, config) in ways.iter_mut().zip(configs) {
            for name in &config.with {
                way.needs |= 1 << place(name, MAX_FIELDS)?;
            }
        }
        Ok(Keys { slots, ways })
    }

    /// The key of a record; `None` if it has no id. Only the record's own fields count, not what transforms added.
    #[inline]
    pub(super) fn of(&self, event: EventRef<'_>) -> Option<u128> {
        let mut parts: [Option<&Entry>; MAX_PARTS] = [None; MAX_PARTS];
        let mut present = 0;
        let first = self.ways.first()?;
        for entry in event.own_entries() {
            let Some(slot) = self.slots.get(entry.field) else { continue };
            if present & 1 << slot != 0 || !entry.slot.is_telling() {
                continue;
            }
            if let Some(part) = parts.get_mut(slot) {
                *part = Some(entry);
            }
            present |= 1 << slot;
            if present & first.needs == first.needs {
                return Some(first.key(event, &parts));
            }
        }
        let way = self.ways.iter().find(|way| present & way.needs == way.needs)?;
        Some(way.key(event, &parts))
    }
}

impl Way {
    #[inline]
    fn key(&self, event: EventRef<'_>, parts: &[Option<&Entry>; MAX_PARTS]) -> u128 {
        let text = |part: usize| parts[part].map_or(&b""[..], |entry| event.text(entry));
        if let [part] = self.parts[..]
            && !self.content
            && let Some(guid) = guid(text(part))
        {
            return guid ^ self.space;
        }
        let mut hash = Sha256::new();
        hash.update(self.space.to_be_bytes());
        for &part in &self.parts {
            add_text(&mut hash, text(part));
        }
        if self.content {
            add_text(&mut hash, event.raw().as_bytes());
        }
        first_128(hash)
    }
}

/// A text behind its length, so that no two lists of texts read the same.
fn add_text(hash: &mut Sha256, text: &[u8]) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

fn first_128(hash: Sha256) -> u128 {
    let digest: [u8; 32] = hash.finalize().into();
    digest.first_chunk::<16>().map_or(0, |first| u128::from_be_bytes(*first))
}

/// The space of a way: it changes with what the way is, not with its place in the list.
fn space(config: &KeyConfig) -> u128 {
    let mut hash = Sha256::new();
    for names in [&config.fields, &config.with] {
        hash.update((names.len() as u64).to_be_bytes());
        names.iter().for_each(|name| add_text(&mut hash, name.as_bytes()));
    }
    if config.content {
        hash.update([1]);
    }
    first_128(hash)
}

/// The number that a GUID in its usual form (`8-4-4-4-12` hex digits in either case) stands for.
#[inline]
fn guid(text: &[u8]) -> Option<u128> {
    let bytes: &[u8; 36] = text.try_into().ok()?;
    if bytes[8] != b'-' || bytes[13] != b'-' || bytes[18] != b'-' || bytes[23] != b'-' {
        return None;
    }
    let (high, wrong_high) = hex([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]);
    let (middle, wrong_middle) =
        hex([bytes[9], bytes[10], bytes[11], bytes[12], bytes[14], bytes[15], bytes[16], bytes[17]]);
    let (low, wrong_low) =
        hex([bytes[19], bytes[20], bytes[21], bytes[22], bytes[24], bytes[25], bytes[26], bytes[27]]);
    let (end, wrong_end) =
        hex([bytes[28], bytes[29], bytes[30], bytes[31], bytes[32], bytes[33], bytes[34], bytes[35]]);
    if wrong_high | wrong_middle | wrong_low | wrong_end != 0 {
        return None;
    }
    Some(u128::from(high) << 96 | u128::from(middle) << 64 | u128::from(low) << 32 | u128::from(end))
}

/// The number that eight hex digits stand for, worked on all at once: there are some in every record. And a bit for
/// each byte that is none.
#[inline(always)]
fn hex(digits: [u8; 8]) -> (u32, u64) {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = 0x80 * ONES;
    let text = u64::from_be_bytes(digits);
    // In a byte below 128, adding 128 - n sets the high bit if it is n or more; nothing carries into its neighbour.
    let at_least = |bytes: u64, n: u64| (bytes + (0x80 - n) * ONES) & HIGHS;
    let lower = text | (0x20 * ONES);
    let digit = at_least(text & !HIGHS, 0x30) & !at_least(text & !HIGHS, 0x3a);
    let letter = at_least(lower & !HIGHS, 0x61) & !at_least(lower & !HIGHS, 0x67);
    let wrong = HIGHS & !((digit | letter) & !text);
    // `0` is 0x30, `A` 0x41, `a` 0x61: the low four bits, and nine more for a letter.
    let mut value = (text & (0x0f * ONES)) + (letter >> 7) * 9;
    value = (value | value >> 4) & 0x00ff_00ff_00ff_00ff;
    value = (value | value >> 8) & 0x0000_ffff_0000_ffff;
    ((value | value >> 16) as u32, wrong)
}

/// Tells occurrences of records apart: 64 bits for a place in a source's shard, the same after a restart.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    last: Option<(Origin, u64)>,
}

impl Places {
    /// The shard's part of [`place`].
    pub(super) fn shard(&mut self, origin: &Origin) -> u64 {
        match &self.last {
            Some((last, shard)) if last == origin => *shard,
            _ => {
                let mut hash = Sha256::new();
                add_text(&mut hash, origin.source.as_bytes());
                add_text(&mut hash, origin.shard.as_bytes());
                let shard = first_128(hash) as u64;
                self.last = Some((origin.clone(), shard));
                shard
            }
        }
    }
}

/// The place of a record in a shard. Bits are mixed as in SplitMix64, so that neighbours share nothing.
#[inline]
pub(super) fn place(shard: u64, position: u64) -> u64 {
    let mut bits = shard ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::dedupe::default_keys;
    use crate::testing;

    fn keys_of(configs: &[KeyConfig], lines: &[&str]) -> Vec<Option<u128>> {
        let fields = Arc::new(FieldTable::default());
        let keys = Keys::new(configs, &fields).unwrap();
        let batch = testing::batch(&fields, lines);
        batch.events().map(|event| keys.of(event)).collect()
    }

    fn way(fields: &[&str], with: &[&str]) -> KeyConfig {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        KeyConfig { fields: owned(fields), with: owned(with), content: false }
    }

    #[test]
    fn guids() {
        let text = "12345678-9abc-DEF0-1234-56789abcdef0";
        assert_eq!(guid(text.as_bytes()), Some(0x1234_5678_9abc_def0_1234_5678_9abc_def0));
        for wrong in [
            "",
            "12345678-9abc-def0-1234-56789abcdeg0",
            "12345678+9abc-def0-1234-56789abcdef0",
            &text[1..],
            &format!("{text}0"),
        ] {
            assert_eq!(guid(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn hex_digits() {
        for byte in 0..=255_u8 {
            for place in 0..8 {
                let mut digits = *b"0F9a4C7e";
                digits[place] = byte;
                let expected = std::str::from_utf8(&digits).ok().filter(|_| byte != b'+');
                let expected = expected.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let (value, wrong) = hex(digits);
                assert_eq!((wrong == 0).then_some(value), expected, "{digits:?}");
            }
        }
    }

    #[test]
    fn ids_in_different_spellings_and_spaces() {
        let ways = [way(&["A"], &[]), way(&["B"], &[]), way(&["C", "D"], &[])];
        let keys = keys_of(
            &ways,
            &[
                r#"{"A":"12345678-9abc-def0-1234-56789abcdef0"}"#,
                r#"{"A":"12345678-9ABC-DEF0-1234-56789ABCDEF0"}"#,
                r#"{"B":"12345678-9abc-def0-1234-56789abcdef0"}"#,
                r#"{"C":"ab","D":"c"}"#,
                r#"{"C":"a","D":"bc"}"#,
                r#"{"A":7}"#,
                r#"{"A":"7"}"#,
            ],
        );
        assert_eq!(keys[0], keys[1]);
        assert_ne!(keys[0], keys[2]);
        assert_ne!(keys[3], keys[4]);
        assert_eq!(keys[5], keys[6]);
        assert!(keys.iter().all(Option::is_some));
        // The order of ways does not matter to a key.
        assert_eq!(keys_of(&ways[1..2], &[r#"{"B":"12345678-9abc-def0-1234-56789abcdef0"}"#]), [keys[2]]);
    }

    #[test]
    fn what_has_no_id() {
        let lines =
            [r#"{}"#, r#"{"A":null}"#, r#"{"A":""}"#, r#"{"A":{}}"#, r#"{"A":[1]}"#, r#"{"A":"x"}"#, r#"{"W":1}"#];
        assert_eq!(keys_of(&[way(&["A"], &["W"])], &lines), [None; 7]);
        assert!(keys_of(&[way(&["A"], &["W"])], &[r#"{"A":"x","W":0}"#])[0].is_some());
    }

    #[test]
    fn a_sign_in_that_changed_is_another_record_and_an_audit_record_is_not() {
        let lines = [
            r#"{"id":"GUID","createdDateTime":"t","correlationId":"c","riskState":"none"}"#,
            r#"{"id":"GUID","createdDateTime":"t","correlationId":"c","riskState":"atRisk"}"#,
            r#"{"id":"GUID","createdDateTime":"t","correlationId":"c","riskState":"none"}"#,
            r#"{"id":"GUID","activityDateTime":"t","result":"success"}"#,
            r#"{"id":"GUID","activityDateTime":"t","result":"failure"}"#,
        ]
        .map(|line| line.replace("GUID", "12345678-9abc-def0-1234-56789abcdef0"));
        let keys = keys_of(&default_keys(), &lines.each_ref().map(String::as_str));
        assert!(keys.iter().all(Option::is_some));
        assert_ne!(keys[0], keys[1]);
        assert_eq!(keys[0], keys[2]);
        assert_eq!(keys[3], keys[4]);
        // Content is a part of the id, and not all of it.
        let content = |fields: &[&str]| KeyConfig { content: true, ..way(fields, &[]) };
        let keys = |config| keys_of(&[config], &[r#"{"A":1,"B":2}"#]);
        assert_ne!(keys(content(&["A"])), keys(content(&["B"])));
        assert_ne!(keys(content(&["A"])), keys(way(&["A"], &[])));
    }

    #[test]
    fn default_keys_know_the_feeds() {
        let guid = "12345678-9abc-def0-1234-56789abcdef0";
        let with_id = [
            r#"{"CreationTime":"t","Id":"GUID","Operation":"o"}"#,
            r#"{"id":"GUID","createdDateTime":"t","correlationId":"c"}"#,
            r#"{"id":"GUID","activityDateTime":"t","activityDisplayName":"n"}"#,
            r#"{"id":"2518;1;2","actionId":"a","timestamp":"t"}"#,
            r#"{"eventDataId":"GUID","eventTimestamp":"t","id":"/subscriptions/1"}"#,
            r#"{"EventDataId":"GUID","EventTimestamp":"t"}"#,
            r#"{"id":"GUID","recipientAddress":"a","status":"delivered","receivedDateTime":"t"}"#,
            r#"{"id":"GUID","recipientAddress":"b","status":"delivered","receivedDateTime":"t"}"#,
            r#"{"MessageTraceId":"GUID","RecipientAddress":"b","Status":"Delivered","Received":"t"}"#,
            r#"{"Identity":"x","LastAccessed":"t","Operation":"o"}"#,
        ];
        let lines = with_id.map(|line| line.replace("GUID", guid));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut keys = keys_of(&default_keys(), &lines);
        assert!(keys.iter().all(Option::is_some), "{keys:?}");
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), with_id.len());
        // Lists of users and resources have ids too, and come again with other content: they are no events.
        let snapshots = [
            r#"{"id":"GUID","createdDateTime":"t","displayName":"n"}"#,
            r#"{"Id":"GUID"}"#,
            r#"{"properties":{"id":"x"}}"#,
        ];
        assert_eq!(keys_of(&default_keys(), &snapshots), [None; 3]);
    }

    proptest! {
        #[test]
        fn different_lists_of_parts_have_different_keys(a in "[ab]{1,3}", b in "[ab]{1,3}", c in "[ab]{1,3}", d in "[ab]{1,3}") {
            let line = |x: &str, y: &str| format!(r#"{{"C":"{x}","D":"{y}"}}"#);
            let keys = keys_of(&[way(&["C", "D"], &[])], &[&line(&a, &b), &line(&c, &d)]);
            prop_assert_eq!(keys[0] == keys[1], (a, b) == (c, d));
        }
    }
}
