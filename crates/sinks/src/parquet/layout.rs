//! What the fields of an event make of the table.
//!
//! Which field fills which column depends on the names in an event alone, and most events have the same names as many
//! others: a few hundred sets of them cover a tenant's logs. So it is worked out once for each set, and an event costs
//! one look-up of its own. Where the event's shape is known ([`downspout_core::shape`]), that stands for its names.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use downspout_core::{EventRef, Field, FieldId};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::schema::{Addition, Geo, Schema, Source, TEXT_COLUMNS};

/// Layouts that are remembered, at most. Past that all are forgotten: who sends records of ever new names would
/// otherwise fill the memory.
const MOST_LAYOUTS: usize = 4096;

/// Fields of all remembered layouts, at most.
const MOST_FIELDS: usize = 1 << 18;

/// In place of the number of fields, where a shape tells what they are.
const BY_SHAPE: u32 = u32::MAX;

/// Where a text column's value may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Candidate {
    Constant(&'static str),
    /// In the field of that place, if it says something.
    Field(u32),
}

/// What the fields of an event mean. Fields are told by their places: the record's own ones in their order, then what
/// transforms added.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The fields of the map that stand in it alone.
    pub(super) singles: Vec<u32>,
    /// The fields of the map that print as an array: those of one name together.
    pub(super) groups: Vec<Vec<u32>>,
    /// The places where the columns find their texts, column by column.
    candidates: Vec<Candidate>,
    /// Where each column ends in `candidates`.
    candidate_ends: [u32; TEXT_COLUMNS],
    /// Fields that may tell the time, in the order in which they are asked.
    pub(super) times: Vec<u32>,
    /// Fields that may hold the client's address.
    pub(super) addresses: Vec<u32>,
    /// Facts about an address, and the field that held it.
    pub(super) facts: Vec<(u32, Geo, FieldId)>,
    /// Ids of rules that matched.
    pub(super) rules: Vec<u32>,
    /// The fields of each promoted field.
    pub(super) promoted: Vec<Vec<u32>>,
}

impl Layout {
    /// Where a text column may find its value, in the order of asking.
    #[inline]
    pub(super) fn candidates(&self, column: usize) -> &[Candidate] {
        let start = if column == 0 { 0 } else { self.candidate_ends[column - 1] };
        &self.candidates[start as usize..self.candidate_ends[column] as usize]
    }

    fn of(event: EventRef<'_>, added: &[Field<'_>], schema: &Schema) -> Layout {
        let mut layout = Layout { promoted: vec![Vec::new(); schema.promoted_count()], ..Layout::default() };
        let mut marks = 0;
        let mut paths: HashMap<u16, Vec<u32>> = HashMap::new();
        let mut mapped: Vec<(FieldId, bool, u32)> = Vec::new();
        // A record must not speak for a transform; see `EventRef::fields`. What has a column for additions alone stands
        // apart from the record's own anyway.
        let mixes =
            |id: &FieldId| matches!(schema.addition_of(*id), Addition::Other) || schema.meaning(*id).promoted != 0;
        let hidden: HashSet<FieldId> = added.iter().map(|field| field.id).filter(mixes).collect();
        for (place, entry) in (0..).zip(event.own_entries()) {
            let meaning = schema.meaning(entry.field);
            marks |= meaning.marks;
            if entry.slot.is_opened() || hidden.contains(&entry.field) {
                continue;
            }
            mapped.push((entry.field, event.repeats(entry.trail), place));
            if meaning.path != 0 {
                paths.entry(meaning.path).or_default().push(place);
            }
            if let Some(promoted) = (meaning.promoted as usize).checked_sub(1) {
                layout.promoted[promoted].push(place);
            }
        }
        for (place, field) in (event.own_entries().len() as u32..).zip(added) {
            match schema.addition_of(field.id) {
                Addition::Rule => layout.rules.push(place),
                Addition::Geo { leaf, of } => layout.facts.push((place, leaf, of)),
                Addition::GeoDetail => {}
                Addition::Other => mapped.push((field.id, false, place)),
            }
            if let Some(promoted) = (schema.meaning(field.id).promoted as usize).checked_sub(1) {
                layout.promoted[promoted].push(place);
            }
        }
        layout.divide(&mapped);
        let Some(feed) = schema.feed(marks) else { return layout };
        let at = |path: &u16| paths.get(path).into_iter().flatten().copied();
        layout.times = feed.time.iter().flat_map(at).collect();
        layout.addresses = feed.client_ip.iter().flat_map(at).collect();
        for (sources, end) in feed.texts.iter().zip(&mut layout.candidate_ends) {
            for source in sources {
                match source {
                    Source::Constant(text) => layout.candidates.push(Candidate::Constant(text)),
                    Source::Path(path) => layout.candidates.extend(at(path).map(Candidate::Field)),
                }
            }
            *end = layout.candidates.len() as u32;
        }
        layout
    }

    /// Tells the fields of the map that have one value, and that outside arrays, from the others.
    fn divide(&mut self, mapped: &[(FieldId, bool, u32)]) {
        let mut counts: HashMap<FieldId, (bool, usize)> = HashMap::new();
        for (field, repeats, _) in mapped {
            let (printed_as_array, count) = counts.entry(*field).or_default();
            *count += 1;
            *printed_as_array |= *repeats || *count > 1;
        }
        let mut groups: HashMap<FieldId, usize> = HashMap::new();
        for (field, _, place) in mapped {
            if counts.get(field).is_some_and(|(printed_as_array, _)| *printed_as_array) {
                let group = *groups.entry(*field).or_insert_with(|| {
                    self.groups.push(Vec::new());
                    self.groups.len() - 1
                });
                self.groups[group].push(*place);
            } else {
                self.singles.push(*place);
            }
        }
    }
}

/// The layouts that came up, by number.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    layouts: Vec<Layout>,
    /// What tells each layout: its fields, or its shape. All one behind the other, and where each layout's end.
    fields: Vec<u32>,
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// How often all were forgotten.
    epoch: u32,
    /// The layout of an event that has names for which there was no room in the field table. Another batch may have
    /// the same numbers for other names, so it is not remembered.
    passing: Layout,
    wanted: Vec<u32>,
}

impl Layouts {
    /// Which numbers mean the same: those of one epoch.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// To be called before each batch.
    pub(super) fn begin(&mut self) {
        if self.layouts.len() >= MOST_LAYOUTS || self.fields.len() >= MOST_FIELDS {
            *self = Layouts { epoch: self.epoch + 1, ..Layouts::default() };
        }
    }

    /// The number of an event's layout; `None` for one that is not remembered. `added`: what transforms added to it.
    #[inline]
    pub(super) fn find(&mut self, event: EventRef<'_>, added: &[Field<'_>], schema: &Schema) -> Option<u32> {
        if !self.describe(event, added) {
            self.passing = Layout::of(event, added, schema);
            return None;
        }
        let hash = self.hasher.hash_one(&self.wanted);
        let known = self.numbers.find(hash, |number| described(&self.fields, &self.ends, *number) == self.wanted);
        if let Some(number) = known {
            return Some(*number);
        }
        let number = self.layouts.len() as u32;
        self.layouts.push(Layout::of(event, added, schema));
        self.fields.extend_from_slice(&self.wanted);
        self.ends.push(self.fields.len());
        let Layouts { numbers, hasher, fields, ends, .. } = self;
        numbers.insert_unique(hash, number, |number| hasher.hash_one(described(fields, ends, *number)));
        Some(number)
    }

    /// Writes down all that a layout depends on. `false`: a name is the batch's own.
    #[inline]
    fn describe(&mut self, event: EventRef<'_>, added: &[Field<'_>]) -> bool {
        self.wanted.clear();
        let mut shared = true;
        if let Some(shape) = event.shape() {
            self.wanted.extend([BY_SHAPE, shape]);
        } else {
            let own = event.own_entries();
            self.wanted.push(own.len() as u32);
            for entry in own {
                let index = entry.field.index();
                shared &= index.is_some();
                // Field numbers are below 2^30: the field table sees to it.
                let flags = u32::from(event.repeats(entry.trail)) << 1 | u32::from(entry.slot.is_opened());
                self.wanted.push((index.unwrap_or(0) as u32) << 2 | flags);
            }
        }
        for field in added {
            let index = field.id.index();
            shared &= index.is_some();
            self.wanted.push(index.unwrap_or(0) as u32);
        }
        shared
    }

    /// The layout of a number that [`Layouts::find`] gave for the last event or in this batch.
    #[inline]
    pub(super) fn get(&self, number: Option<u32>) -> &Layout {
        number.and_then(|number| self.layouts.get(number as usize)).unwrap_or(&self.passing)
    }
}

#[inline]
fn described<'f>(fields: &'f [u32], ends: &[usize], number: u32) -> &'f [u32] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &fields[start..ends[number]]
}
