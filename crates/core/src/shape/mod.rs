//! Shapes: records that are laid out like one before are read in one pass, straight into flat entries.
//!
//! A service writes the records of one kind alike: the same names in the same order and nesting, and only the values
//! differ. A few hundred such shapes cover a tenant's logs. So what lies between two values, names and brackets and
//! all, is remembered as one literal text, together with the field of the value behind it. A record that has these
//! literals where they are expected needs no parse tree, no look-up of names and no walk: its values are its entries.
//! Records of other shapes are parsed and walked through as ever, and their shape is learnt from that.
//!
//! What is remembered is a tree of steps, shared as far as shapes begin alike. A string that holds JSON has steps of
//! its own for its content. A shape is learnt only from a record whose entries follow from it: what depends on a value (a
//! command line, a member `Name` that is no string, a limit that was reached) is left to the walk.
//!
//! A record that is read by its shape is checked like any other: its literals are those of a record that was parsed,
//! and each value is a string, a number or a word of JSON.

mod learn;
mod read;

use hashbrown::HashMap;

use crate::field::FieldId;
use crate::value::{Kind, Step as TrailStep, Trail, TrailId};

pub(crate) use learn::{Lesson, Token};

/// Steps that are remembered, at most, and bytes of their literals. Past that all are forgotten: who sends records of
/// ever new shapes would otherwise fill the memory. 9,608 real records have 7,600 steps.
const MOST_STEPS: usize = 1 << 15;
const MOST_LITERALS: usize = 1 << 20;
const MOST_TRAILS: usize = 1 << 13;

/// The most steps of a shape. Longer records are lists of hundreds of items, which rarely come twice with as many.
const MOST_STEPS_OF_A_SHAPE: usize = 512;

/// The most steps that may be taken in one place: 17 in real records. Where more differ, they will go on to differ.
const MOST_ALTERNATIVES: usize = 32;

/// After so many records it is judged whether shapes pay: at least every second must have had one that was known.
const JUDGED: u32 = 1024;

/// For how many records shapes are left alone if they do not pay, at first and at most; each time for twice as many.
const REST: std::ops::RangeInclusive<u32> = 4 * JUDGED..=256 * JUDGED;

/// The tree's root: a step that is never taken.
const ROOT: u32 = 0;

/// A literal and what stands behind it.
#[derive(Debug, Clone)]
struct Step {
    /// The literal, in `Shapes::literals`.
    start: u32,
    len: u32,
    what: What,
    /// The first of the steps that may come next; of those that may begin the content, if the value is a string that
    /// was opened; and the next of those that may be taken in this one's place. `ROOT`: none.
    next: u32,
    inside: u32,
    other: u32,
}

/// What stands behind a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A string, a number, `true`, `false` or `null`.
    Scalar { field: FieldId, trail: TrailId },
    /// Nothing: the last `len` bytes of the literal are an empty object or array.
    Empty { field: FieldId, trail: TrailId, kind: Kind, len: u32 },
    /// The end of an opened string.
    EndOfContent,
    /// The end of the record.
    End { shape: u32 },
}

/// The shapes that one reader has come across.
///
/// It holds for batches of one field table, and for one way of flattening.
#[derive(Debug, Clone)]
pub struct Shapes {
    steps: Vec<Step>,
    literals: Vec<u8>,
    /// The trails that the steps speak of: every batch begins with these.
    trails: Vec<Trail>,
    trail_ids: HashMap<(TrailId, u32, TrailStep), TrailId>,
    /// How many bytes of strings are opened in an event; `None`: none are.
    openable: Option<u32>,
    /// The top-level field whose strings may be command lines.
    command_line: Option<FieldId>,
    worth: Worth,
}

/// Whether shapes pay. Where records hardly ever come twice in one shape, trying and learning would cost more than
/// parsing does: whoever sends such records must not gain by it.
#[derive(Debug, Clone)]
struct Worth {
    /// Records that were tried since the last judgement, and those whose shape was known.
    tried: u32,
    known: u32,
    /// How many records are passed by now, and how many will be the next time.
    resting: u32,
    rest: u32,
}

impl Worth {
    fn new() -> Worth {
        Worth { tried: 0, known: 0, resting: 0, rest: *REST.start() }
    }

    /// Whether a record is to be tried.
    #[inline]
    fn try_next(&mut self) -> bool {
        let resting = self.resting > 0;
        self.resting = self.resting.saturating_sub(1);
        !resting
    }

    /// Notes whether a record's shape was known.
    #[inline]
    fn note(&mut self, known: bool) {
        self.tried += 1;
        self.known += u32::from(known);
        if self.tried == JUDGED {
            if self.known < JUDGED / 2 {
                self.resting = self.rest;
                self.rest = (2 * self.rest).min(*REST.end());
            } else {
                self.rest = *REST.start();
            }
            (self.tried, self.known) = (0, 0);
        }
    }
}

impl Shapes {
    /// No shapes yet. `openable`: up to how many bytes of strings a walk opens in an event, if it opens any;
    /// `command_line`: the field at the top of which it takes strings apart that start with a dash.
    pub fn new(openable: Option<u32>, command_line: Option<FieldId>) -> Shapes {
        let root = Step { start: 0, len: 0, what: What::EndOfContent, next: ROOT, inside: ROOT, other: ROOT };
        Shapes {
            steps: vec![root],
            literals: Vec::new(),
            trails: vec![Trail::ROOT],
            trail_ids: HashMap::new(),
            openable,
            command_line,
            worth: Worth::new(),
        }
    }

    /// Whether the next record is to be tried. Where nothing is known yet there is nothing to be tried, nor to be judged.
    #[inline]
    pub(crate) fn tries(&mut self) -> bool {
        self.steps.len() > 1 && self.worth.try_next()
    }

    /// Notes whether the shape of a record that was tried is known.
    #[inline]
    pub(crate) fn tried(&mut self, known: bool) {
        self.worth.note(known);
    }

    /// Whether a record that was walked through is to be learnt.
    #[inline]
    pub(crate) fn learns(&self) -> bool {
        self.worth.resting == 0
    }

    /// To be called before each batch: gives the trails with which it begins.
    pub(crate) fn begin(&mut self) -> Vec<Trail> {
        if self.steps.len() >= MOST_STEPS || self.literals.len() >= MOST_LITERALS || self.trails.len() >= MOST_TRAILS {
            *self = Shapes { worth: self.worth.clone(), ..Shapes::new(self.openable, self.command_line) };
        }
        self.trails.clone()
    }

    /// The number of a trail of the batch, if it has one; else `new` is its number from now on.
    pub(crate) fn trail(&mut self, parent: TrailId, depth: u32, step: TrailStep, new: TrailId) -> TrailId {
        *self.trail_ids.entry((parent, depth, step)).or_insert(new)
    }

    /// To be called behind each batch that was begun with these shapes. `trails`: those that it has now. `learnt`:
    /// whether some of its records were learnt.
    pub(crate) fn finish(&mut self, trails: &[Trail], learnt: bool) {
        if learnt {
            self.trails.extend_from_slice(&trails[self.trails.len()..]);
            return;
        }
        for trail in &trails[self.trails.len()..] {
            self.trail_ids.remove(&(trail.parent, trail.depth, trail.step));
        }
    }
}

/// Where the steps hang that may be taken next: behind a step, or inside its string.
#[derive(Clone, Copy)]
struct Fork {
    step: u32,
    inside: bool,
}

impl Fork {
    const ROOT: Fork = Fork { step: ROOT, inside: false };

    fn behind(step: u32) -> Fork {
        Fork { step, inside: false }
    }

    fn inside(step: u32) -> Fork {
        Fork { step, inside: true }
    }

    /// The first of its steps.
    #[inline]
    fn first(self, steps: &mut [Step]) -> &mut u32 {
        let step = &mut steps[self.step as usize];
        if self.inside { &mut step.inside } else { &mut step.next }
    }
}
