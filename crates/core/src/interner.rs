//! From names to fields, many times for every record.

use std::sync::RwLockReadGuard;

use crate::field::{FieldId, FieldTable, Names};
use crate::names::LocalNames;

/// Looks children of fields up under one read lock, and takes the write lock only for a name never seen, and only while
/// the table has room: workers that meet ever new names must not wait for each other.
///
/// Records of one kind have the same names again and again, so what was found is noted in [`ShortCuts`]. A name that
/// finds its place there taken, or is too long, only loses the short cut: so hostile names cannot make this slow.
#[derive(Debug)]
pub(crate) struct Interner<'t> {
    table: &'t FieldTable,
    names: Option<RwLockReadGuard<'t, Names>>,
    known: ShortCuts,
}

/// Fields found before, each at a place that follows from its name's bytes by little arithmetic. They wait at the
/// field table for whoever looks names up next: finding them anew for every batch cost as much as parsing some records.
#[derive(Debug)]
pub(crate) struct ShortCuts(Box<[Known; KNOWN]>);

const KNOWN: usize = 512;

/// How long a name in the short cut may be, in bytes, and in words.
const SHORT: usize = 32;
const WORDS: usize = SHORT / 8;

/// A field found before. Aligned, so that it is one line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Known {
    /// The last segment, zeros behind it.
    words: [u64; WORDS],
    /// The segment's length and the field it stands under.
    under: u64,
    id: FieldId,
}

impl Default for ShortCuts {
    fn default() -> Self {
        ShortCuts(Box::new([Known { words: [0; WORDS], under: u64::MAX, id: FieldId::ROOT }; KNOWN]))
    }
}

impl<'t> Interner<'t> {
    pub(crate) fn new(table: &'t FieldTable) -> Self {
        Interner { table, names: None, known: table.short_cuts() }
    }

    /// Leaves the short cuts to others.
    pub(crate) fn finish(self) {
        self.table.keep_short_cuts(self.known);
    }

    /// The field under `parent` whose segment is the `len` bytes of `text` from `start` on.
    #[inline]
    pub(crate) fn child(
        &mut self,
        parent: FieldId,
        text: &str,
        start: u32,
        len: u32,
        locals: &mut LocalNames,
    ) -> FieldId {
        let bytes = text.as_bytes();
        let Some(words) = bytes.get(start as usize..).and_then(|name| words(name, len as usize)) else {
            return self.find(parent, text, start, len, locals);
        };
        let under = u64::from(parent.0) << 8 | u64::from(len);
        let place = place(words, under);
        let known = &self.known.0[place];
        let differ = known.words.iter().zip(words).fold(known.under ^ under, |differ, (a, b)| differ | (a ^ b));
        if differ == 0 {
            return known.id;
        }
        let id = self.find(parent, text, start, len, locals);
        // A name that lives in its batch has another number in the next.
        if id.index().is_some() {
            self.known.0[place] = Known { words, under, id };
        }
        id
    }

    #[inline(never)]
    fn find(&mut self, parent: FieldId, text: &str, start: u32, len: u32, locals: &mut LocalNames) -> FieldId {
        let segment = &text[start as usize..(start + len) as usize];
        let names = self.names.get_or_insert_with(|| self.table.read());
        let hash = names.hash(parent, segment);
        if let Some(known) = names.child_of(hash, parent, segment) {
            return known;
        }
        if names.has_room(parent) {
            self.names = None;
            if let Some(new) = self.table.intern(parent, segment) {
                return new;
            }
        }
        locals.child(hash, parent, segment)
    }
}

/// The first `len` bytes of a text, zeros behind them. `None` if they are too many, or if the text ends so soon that
/// a whole [`SHORT`] cannot be read.
#[inline]
fn words(text: &[u8], len: usize) -> Option<[u64; WORDS]> {
    const MASKS: [u8; 2 * SHORT] = {
        let mut masks = [0; 2 * SHORT];
        let mut at = 0;
        while at < SHORT {
            masks[at] = 255;
            at += 1;
        }
        masks
    };
    let text = text.first_chunk::<SHORT>()?;
    let mask = MASKS.get(SHORT.checked_sub(len)?..)?.first_chunk::<SHORT>()?;
    let mut words = [0; WORDS];
    for (word, (text, mask)) in words.iter_mut().zip(text.as_chunks().0.iter().zip(mask.as_chunks().0)) {
        *word = u64::from_le_bytes(*text) & u64::from_le_bytes(*mask);
    }
    Some(words)
}

#[inline]
fn place(words: [u64; WORDS], under: u64) -> usize {
    let [a, b, c, d] = words;
    let mixed = a ^ b.rotate_left(16) ^ c.rotate_left(32) ^ d.rotate_left(48) ^ under;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - KNOWN.ilog2())) as usize
}
