//! The names of a batch's fields: those of the shared table, and those that found no room there.

use std::borrow::Cow;
use std::sync::RwLockReadGuard;

use hashbrown::HashTable;

use crate::field::{FieldId, Names, push_segment};

/// The names that found no room in the field table; they live and die with the batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalNames {
    names: Vec<LocalName>,
    /// Their segments, one behind the other: hundreds of thousands may come in one record.
    text: String,
    index: HashTable<u32>,
}

#[derive(Debug, Clone, Copy)]
struct LocalName {
    hash: u64,
    /// Where its segment ends in `text`. It begins where the one before ends.
    end: usize,
    parent: FieldId,
}

impl LocalNames {
    /// The number of a name. `hash` is the field table's for it.
    pub(crate) fn child(&mut self, hash: u64, parent: FieldId, segment: &str) -> FieldId {
        let is_it = |index: &u32| {
            let name = self.names[*index as usize];
            name.hash == hash && name.parent == parent && self.segment(*index as usize) == segment
        };
        if let Some(known) = self.index.find(hash, is_it) {
            return FieldId::local(*known as usize);
        }
        let new = self.names.len();
        self.text.push_str(segment);
        self.names.push(LocalName { hash, end: self.text.len(), parent });
        self.index.insert_unique(hash, new as u32, |other| self.names[*other as usize].hash);
        FieldId::local(new)
    }

    fn segment(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.names[index - 1].end };
        &self.text[start..self.names[index].end]
    }

    /// About how much memory they take.
    pub(crate) fn memory(&self) -> usize {
        self.names.capacity() * size_of::<LocalName>()
            + self.text.capacity()
            + self.index.num_buckets() * size_of::<u32>()
    }
}

/// The names of a batch's fields, under one read lock.
#[derive(Debug)]
pub struct BatchNames<'a> {
    table: RwLockReadGuard<'a, Names>,
    locals: &'a LocalNames,
}

impl<'a> BatchNames<'a> {
    pub(crate) fn new(table: RwLockReadGuard<'a, Names>, locals: &'a LocalNames) -> BatchNames<'a> {
        BatchNames { table, locals }
    }

    /// The printed form of a field's path; see [`crate::field`].
    #[inline]
    pub fn printed(&self, field: FieldId) -> Cow<'_, str> {
        if field.index().is_some() {
            return Cow::Borrowed(self.table.printed(field));
        }
        let mut printed = String::new();
        for segment in self.segments(field) {
            push_segment(&mut printed, segment);
        }
        Cow::Owned(printed)
    }

    /// The segments of a field's path, outermost first.
    pub fn segments(&self, field: FieldId) -> Vec<&str> {
        let mut own = Vec::new();
        let mut at = field;
        while let Some(index) = at.local_index()
            && let Some(local) = self.locals.names.get(index)
        {
            own.push(self.locals.segment(index));
            at = local.parent;
        }
        let mut segments = self.table.segments(at);
        segments.extend(own.into_iter().rev());
        segments
    }

    /// How many numbers the table has given: every shared field's index is below it.
    pub fn count(&self) -> usize {
        self.table.count()
    }

    /// The shared fields whose index is `first` or above, in order: those that came up since a reader last looked.
    pub fn since(&self, first: usize) -> impl Iterator<Item = FieldId> {
        (first..self.count()).map(|index| FieldId(index as u32))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::field::FieldTable;
    use crate::interner::Interner;

    proptest! {
        #[test]
        fn names_without_room_are_told_apart_and_found_again(
            names in prop::collection::vec(("[a-c]{0,2}", 0..6_usize), 1..60), room in 0..5_usize,
        ) {
            let table = FieldTable::bounded(room, 1 << 20);
            let mut locals = LocalNames::default();
            let mut interner = Interner::new(&table);
            let mut ids = vec![FieldId::ROOT];
            let mut paths = vec![Vec::new()];
            for (segment, parent) in &names {
                // Under something that came before.
                let parent = parent % ids.len();
                ids.push(interner.child(ids[parent], segment, 0, segment.len() as u32, &mut locals));
                paths.push([&paths[parent][..], &[segment.as_str()]].concat());
            }
            interner.finish();
            prop_assert!(table.len() <= room);
            let known = BatchNames::new(table.read(), &locals);
            for (id, path) in ids.iter().zip(&paths) {
                prop_assert_eq!(&known.segments(*id), path);
            }
            for (a, one) in paths.iter().enumerate() {
                for (b, other) in paths.iter().enumerate() {
                    prop_assert_eq!(ids[a] == ids[b], one == other);
                }
            }
        }
    }
}
