//! Which of an event's fields a transform looks at.
//!
//! A transform that knows its fields by name when it is built gives each a slot. Walking an event then costs one
//! look into a small table for each of its fields, however many names the transform asks for.

use downspout_core::batch::{EventRef, Field};
use downspout_core::field::parse_name;
use downspout_core::{FieldId, FieldTable, StageError};

const NONE: u16 = u16::MAX;

/// A table from fields to slots. Fields outside it have none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    by_field: Vec<u16>,
    count: usize,
}

impl Slots {
    /// The slot of a field, given now if it had none. Slots count from 0. `None` past 65,535 slots, and for names
    /// that live in a batch.
    pub(crate) fn insert(&mut self, field: FieldId) -> Option<usize> {
        let index = field.index()?;
        if index >= self.by_field.len() {
            self.by_field.resize(index + 1, NONE);
        }
        if self.by_field[index] == NONE {
            self.by_field[index] = u16::try_from(self.count).ok().filter(|&slot| slot != NONE)?;
            self.count += 1;
        }
        Some(usize::from(self.by_field[index]))
    }

    /// The slot of a field.
    #[inline]
    pub(crate) fn get(&self, field: FieldId) -> Option<usize> {
        let slot = *self.by_field.get(field.index()?)?;
        (slot != NONE).then_some(usize::from(slot))
    }

    /// The fields of an event that have a slot, in the order of the event. The others are not even read. What a
    /// transform added hides what the record itself has of the same name; see [`EventRef::fields`].
    #[inline]
    pub(crate) fn pick<'a>(&self, event: EventRef<'a>) -> impl Iterator<Item = (usize, Field<'a>)> {
        let own = event.own_entries().iter();
        let own = own.filter_map(move |entry| {
            let slot = self.get(entry.field)?;
            (!event.is_added(entry.field)).then(|| (slot, event.read(entry)))
        });
        own.chain(event.added().filter_map(|field| Some((self.get(field.id)?, field))))
    }
}

/// The field that a printed name stands for, given a number now if it had none.
///
/// # Errors
/// If the name is not the printed form of a path (configs are checked before), or if the table is full.
pub(crate) fn intern(table: &FieldTable, printed: &str) -> Result<FieldId, StageError> {
    let full =
        || StageError::stop("fields", format!("no room for the field `{printed}`: the pipeline's field table is full"));
    let segments = parse_name(printed)
        .ok_or_else(|| StageError::stop("fields", format!("`{printed}` is not the printed form of a field")))?;
    table.intern_path(&segments).ok_or_else(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_once_and_in_order() {
        let table = FieldTable::default();
        let field = |name| intern(&table, name).unwrap();
        let mut slots = Slots::default();
        assert_eq!(slots.insert(field("b")), Some(0));
        assert_eq!(slots.insert(field("a.c")), Some(1));
        assert_eq!(slots.insert(field("b")), Some(0));
        assert_eq!((slots.get(field("a.c")), slots.get(field("a"))), (Some(1), None));
    }

    #[test]
    fn a_full_table_and_a_wrong_name_are_errors() {
        let table = FieldTable::bounded(1, 100);
        assert!(intern(&table, "a").is_ok());
        assert!(intern(&table, "b").is_err());
        assert!(intern(&table, "a.").is_err());
    }
}
