//! Field names: small integers for interned paths.
//!
//! A path is a list of segments (`Parameters`, `ForwardingSmtpAddress`). A pipeline owns one [`FieldTable`]; every
//! stage speaks of a path by its [`FieldId`], and comparing two fields is comparing two integers. Names come from
//! outside, and an attacker can invent them without end, so the table is bounded in names and in bytes: past the
//! bound a name lives in its batch alone (see [`crate::Batch`]) and is forgotten with it.
//!
//! # The printed form
//! Segments are joined by `.`. A segment that is empty or holds `.`, `[`, `]`, `\` or a control character stands in
//! brackets behind its parent, without a dot: `ModifiedProperties[Role.DisplayName].NewValue`. Inside brackets a
//! backslash stands before `\`, `[` and `]`. So each path has one printed form and each printed form one path
//! ([`parse_name`] inverts it), and a dot inside a name is never mistaken for nesting.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::interner::ShortCuts;

/// A path, by number. Numbers are given in the order of first sight and mean nothing outside their table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub(crate) u32);

impl FieldId {
    /// The path with no segments: the record itself.
    pub const ROOT: FieldId = FieldId(0);
    const LOCAL: u32 = 1 << 31;

    /// A name that lives in its batch only, by its place there.
    pub(crate) fn local(index: usize) -> FieldId {
        FieldId(Self::LOCAL | index as u32)
    }

    /// The place in the batch of a name that lives there only.
    pub(crate) fn local_index(self) -> Option<usize> {
        (self.0 & Self::LOCAL != 0).then_some((self.0 & !Self::LOCAL) as usize)
    }

    /// The number, for tables indexed by field; `None` for a name that lives in its batch only.
    pub fn index(self) -> Option<usize> {
        (self.0 & Self::LOCAL == 0).then_some(self.0 as usize)
    }
}

#[derive(Debug)]
struct Path {
    parent: u32,
    segment: Box<str>,
    printed: Box<str>,
}

/// The bounded interner of a pipeline. Shared by all its workers.
#[derive(Debug)]
pub struct FieldTable {
    names: RwLock<Names>,
    /// As many as were in use at once.
    short_cuts: Mutex<Vec<ShortCuts>>,
    /// How many shapes of records were numbered.
    shapes: AtomicU32,
    max_names: usize,
    max_bytes: usize,
}

/// The table under a read lock: taken once for a batch, not once for a field.
#[derive(Debug)]
pub struct Names {
    paths: Vec<Path>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    bytes: usize,
    /// Whether there is no room for usual names: from then on nobody asks for any, and waits for the write lock.
    full: bool,
}

/// The longest of usual names, in bytes. That a longer one finds no room does not make the table full.
const USUAL: usize = 1024;

impl Default for FieldTable {
    /// 65,536 names and 8 MiB of text: the public schemas have a few thousand names.
    fn default() -> Self {
        Self::bounded(65_536, 8 << 20)
    }
}

impl FieldTable {
    /// A table that holds at most `max_names` names whose printed forms take at most `max_bytes` bytes together.
    pub fn bounded(max_names: usize, max_bytes: usize) -> Self {
        let root = Path { parent: 0, segment: "".into(), printed: "".into() };
        let (index, hasher) = (HashTable::new(), DefaultHashBuilder::default());
        let names = Names { paths: vec![root], index, hasher, bytes: 0, full: false };
        let (names, max_names) = (RwLock::new(names), max_names.min(1 << 30));
        FieldTable { names, short_cuts: Mutex::default(), shapes: AtomicU32::new(0), max_names, max_bytes }
    }

    /// Short cuts to this table's names, for one user at a time.
    pub(crate) fn short_cuts(&self) -> ShortCuts {
        self.short_cuts.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes short cuts back, for the next user.
    pub(crate) fn keep_short_cuts(&self, short_cuts: ShortCuts) {
        self.short_cuts.lock().unwrap_or_else(PoisonError::into_inner).push(short_cuts);
    }

    /// A number for a shape, which no other has. `None` when they are used up.
    pub(crate) fn number_shape(&self) -> Option<u32> {
        let next = |number: u32| number.checked_add(1).filter(|number| *number < u32::MAX);
        self.shapes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    /// The names as they are now. Hold it for a batch, and not across a call of [`FieldTable::intern`].
    pub fn read(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of `segment` under `parent`, given now if it had none. `None` when the table is full, or when
    /// `parent` lives in a batch.
    pub fn intern(&self, parent: FieldId, segment: &str) -> Option<FieldId> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.child(parent, segment) {
            return Some(known);
        }
        if !names.has_room(parent) {
            return None;
        }
        let mut printed = names.printed(parent).to_owned();
        push_segment(&mut printed, segment);
        let room = self.max_bytes.saturating_sub(names.bytes);
        if names.paths.len() > self.max_names || printed.len() > room {
            names.full = names.paths.len() > self.max_names || room < USUAL;
            return None;
        }
        let id = names.paths.len() as u32;
        let hash = names.hash(parent, segment);
        names.bytes += printed.len();
        names.paths.push(Path { parent: parent.0, segment: segment.into(), printed: printed.into() });
        let Names { paths, index, hasher, .. } = &mut *names;
        index.insert_unique(hash, id, |&other| {
            let path = &paths[other as usize];
            hasher.hash_one((path.parent, &*path.segment))
        });
        Some(FieldId(id))
    }

    /// The number of a path, given now if it had none. `None` when the table is full.
    pub fn intern_path(&self, segments: &[impl AsRef<str>]) -> Option<FieldId> {
        segments.iter().try_fold(FieldId::ROOT, |parent, segment| self.intern(parent, segment.as_ref()))
    }

    /// How many names the table holds.
    pub fn len(&self) -> usize {
        self.read().paths.len() - 1
    }

    /// Whether no name was interned yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Names {
    pub(crate) fn hash(&self, parent: FieldId, segment: &str) -> u64 {
        self.hasher.hash_one((parent.0, segment))
    }

    /// Whether the table may take a new name under `parent`: if not, there is no use in asking it.
    pub(crate) fn has_room(&self, parent: FieldId) -> bool {
        !self.full && parent.index().is_some()
    }

    /// The number of `segment` under `parent`, if it has one.
    #[inline]
    pub fn child(&self, parent: FieldId, segment: &str) -> Option<FieldId> {
        self.child_of(self.hash(parent, segment), parent, segment)
    }

    /// As [`Names::child`], with the name's hash.
    #[inline]
    pub(crate) fn child_of(&self, hash: u64, parent: FieldId, segment: &str) -> Option<FieldId> {
        self.index.find(hash, |&id| self.is_child(FieldId(id), parent, segment)).map(|&id| FieldId(id))
    }

    /// Whether `id` is `segment` under `parent`: cheaper than [`Names::child`] when the answer can be guessed.
    #[inline]
    pub fn is_child(&self, id: FieldId, parent: FieldId, segment: &str) -> bool {
        let path = &self.paths[id.0 as usize];
        path.parent == parent.0 && &*path.segment == segment
    }

    /// The printed form of an interned path; empty for one that lives in a batch.
    #[inline]
    pub fn printed(&self, id: FieldId) -> &str {
        id.index().and_then(|index| self.paths.get(index)).map_or("", |path| &path.printed)
    }

    /// The segments of an interned path, outermost first.
    pub fn segments(&self, id: FieldId) -> Vec<&str> {
        let mut segments = Vec::new();
        let mut at = id.index().unwrap_or(0);
        while at != 0 {
            let path = &self.paths[at];
            segments.push(&*path.segment);
            at = path.parent as usize;
        }
        segments.reverse();
        segments
    }

    /// How many numbers have been given: every interned id's index is below it.
    pub fn count(&self) -> usize {
        self.paths.len()
    }
}

/// Appends `segment` to the printed form of its parent.
pub fn push_segment(printed: &mut String, segment: &str) {
    let bracketed = |c: char| matches!(c, '.' | '[' | ']' | '\\') || c.is_control();
    if !segment.is_empty() && !segment.contains(bracketed) {
        if !printed.is_empty() {
            printed.push('.');
        }
        printed.push_str(segment);
        return;
    }
    printed.push('[');
    for c in segment.chars() {
        if matches!(c, '[' | ']' | '\\') {
            printed.push('\\');
        }
        printed.push(c);
    }
    printed.push(']');
}

/// The segments that a printed name stands for. `None` if it is not the printed form of any path.
pub fn parse_name(printed: &str) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    let mut rest = printed;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let mut segment = String::new();
            let mut chars = inside.char_indices();
            let close = loop {
                match chars.next()? {
                    (_, '\\') => segment.push(chars.next()?.1),
                    (at, ']') => break at,
                    (_, c) => segment.push(c),
                }
            };
            segments.push(segment);
            rest = &inside[close + 1..];
        } else {
            let plain = if segments.is_empty() { rest } else { rest.strip_prefix('.')? };
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            if end == 0 || plain[..end].contains([']', '\\']) {
                return None;
            }
            segments.push(plain[..end].to_owned());
            rest = &plain[end..];
        }
    }
    Some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn printed_forms() {
        let table = FieldTable::default();
        for (segments, printed) in [
            (vec!["Parameters", "Identity"], "Parameters.Identity"),
            (
                vec!["ModifiedProperties", "Role.DisplayName", "NewValue"],
                "ModifiedProperties[Role.DisplayName].NewValue",
            ),
            (vec!["A", "MethodExecutionResult."], "A[MethodExecutionResult.]"),
            (vec!["A", "Included Updated Properties"], "A.Included Updated Properties"),
            (vec!["", ""], "[][]"),
            (vec!["a]b\\"], "[a\\]b\\\\]"),
        ] {
            let id = table.intern_path(&segments).unwrap();
            assert_eq!(table.read().printed(id), printed);
            assert_eq!(table.read().segments(id), segments);
        }
    }

    #[test]
    fn a_full_table_refuses_new_names_and_keeps_the_old() {
        let table = FieldTable::bounded(2, 1000);
        let a = table.intern(FieldId::ROOT, "a").unwrap();
        table.intern(FieldId::ROOT, "b").unwrap();
        assert_eq!(table.intern(FieldId::ROOT, "c"), None);
        assert_eq!(table.intern(FieldId::ROOT, "a"), Some(a));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn one_long_name_leaves_room_for_others() {
        let table = FieldTable::bounded(1000, 4096);
        let has_room = || table.read().has_room(FieldId::ROOT);
        assert_eq!((table.intern(FieldId::ROOT, &"x".repeat(5000)), has_room()), (None, true));
        assert!(table.intern(FieldId::ROOT, &"x".repeat(4000)).is_some());
        assert_eq!((table.intern(FieldId::ROOT, &"y".repeat(100)), has_room()), (None, false));
    }

    #[test]
    fn text_is_bounded_too() {
        let table = FieldTable::bounded(1000, 10);
        assert!(table.intern(FieldId::ROOT, "0123456789").is_some());
        assert!(table.intern(FieldId::ROOT, "x").is_none());
    }

    proptest! {
        #[test]
        fn the_printed_form_can_be_inverted(segments in prop::collection::vec("[a-c.\\[\\]\\\\ \n\u{e9}]{0,6}", 1..5)) {
            let mut printed = String::new();
            for segment in &segments {
                push_segment(&mut printed, segment);
            }
            prop_assert_eq!(parse_name(&printed), Some(segments));
        }

        #[test]
        fn parsing_any_text_never_panics(text in ".{0,40}") {
            let _ = parse_name(&text);
        }
    }
}
