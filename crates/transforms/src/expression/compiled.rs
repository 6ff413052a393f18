//! Expressions made ready to be asked about many events.
//!
//! All conditions of a transform are compiled together. An event's fields are walked once; a field that any test
//! asks for goes to those tests, and each leaves one bit. Then the conditions are put together from the bits. So the
//! cost is one walk, however many conditions and tests there are, and nothing is allocated for an event.

use std::cmp::Ordering;
use std::ops::Range;

use downspout_core::address::parse_address;
use downspout_core::batch::EventRef;
use downspout_core::{FieldTable, StageError, Value};

use super::number::Number;
use super::text::{Glob, Wanted};
use super::{Check, Comparison, Expression, Literal, Network, Test};
use crate::slots::{Slots, intern};

/// Conditions over the fields of one pipeline.
#[derive(Debug, Clone)]
pub struct Conditions {
    slots: Slots,
    /// For each slot its tests, in `tests`.
    ranges: Vec<Range<usize>>,
    tests: Vec<Compiled>,
    roots: Vec<Node>,
    passed: Vec<bool>,
}

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Test(usize),
}

#[derive(Debug, Clone)]
enum Compiled {
    Exists,
    Null,
    Text(Wanted),
    Number(Number),
    InOrder(Comparison, Wanted),
    BySize(Comparison, Number),
    Contains(Wanted),
    StartsWith(Wanted),
    EndsWith(Wanted),
    Matches(Glob),
    In(Vec<Compiled>),
    Cidr(Vec<Network>),
}

impl Conditions {
    /// Makes expressions ready. Their order is their index in [`Conditions::holds`].
    ///
    /// # Errors
    /// If the field table is full.
    pub fn new(expressions: &[Expression], fields: &FieldTable) -> Result<Conditions, StageError> {
        let mut slots = Slots::default();
        let mut by_slot: Vec<Vec<(usize, Compiled)>> = Vec::new();
        let mut count = 0;
        let mut place = |test: &Test| -> Result<usize, StageError> {
            let too_many = || StageError::stop("fields", "conditions name too many fields");
            let slot = slots.insert(intern(fields, &test.field)?).ok_or_else(too_many)?;
            by_slot.resize_with(by_slot.len().max(slot + 1), Vec::new);
            by_slot[slot].push((count, Compiled::new(&test.check)));
            count += 1;
            Ok(count - 1)
        };
        let mut roots =
            expressions.iter().map(|expression| node(expression, &mut place)).collect::<Result<Vec<_>, _>>()?;

        // Tests of the same field are brought together, and take the number of their new place.
        let mut places = vec![0; count];
        let (mut ranges, mut tests) = (Vec::new(), Vec::new());
        for group in by_slot {
            let first = tests.len();
            for (old, test) in group {
                places[old] = tests.len();
                tests.push(test);
            }
            ranges.push(first..tests.len());
        }
        roots.iter_mut().for_each(|root| root.renumber(&places));
        Ok(Conditions { slots, ranges, passed: vec![false; tests.len()], tests, roots })
    }

    /// Turns to an event.
    pub fn read(&mut self, event: EventRef<'_>) {
        self.passed.fill(false);
        for (slot, field) in self.slots.pick(event) {
            for test in self.ranges[slot].clone() {
                if !self.passed[test] {
                    self.passed[test] = self.tests[test].passes(field.value);
                }
            }
        }
    }

    /// Whether the condition of that index holds for the event that was read last. False if there is none.
    pub fn holds(&self, condition: usize) -> bool {
        self.roots.get(condition).is_some_and(|root| root.holds(&self.passed))
    }
}

fn node(
    expression: &Expression,
    place: &mut impl FnMut(&Test) -> Result<usize, StageError>,
) -> Result<Node, StageError> {
    let mut nodes = |parts: &[Expression]| parts.iter().map(|part| node(part, place)).collect::<Result<Vec<_>, _>>();
    Ok(match expression {
        Expression::All(parts) => Node::All(nodes(parts)?),
        Expression::Any(parts) => Node::Any(nodes(parts)?),
        Expression::Not(inner) => Node::Not(Box::new(node(inner, place)?)),
        Expression::Test(test) => Node::Test(place(test)?),
    })
}

impl Node {
    fn renumber(&mut self, places: &[usize]) {
        match self {
            Node::All(parts) | Node::Any(parts) => parts.iter_mut().for_each(|part| part.renumber(places)),
            Node::Not(inner) => inner.renumber(places),
            Node::Test(test) => *test = places[*test],
        }
    }

    fn holds(&self, passed: &[bool]) -> bool {
        match self {
            Node::All(parts) => parts.iter().all(|part| part.holds(passed)),
            Node::Any(parts) => parts.iter().any(|part| part.holds(passed)),
            Node::Not(inner) => !inner.holds(passed),
            Node::Test(test) => passed[*test],
        }
    }
}

impl Compiled {
    fn new(check: &Check) -> Compiled {
        match check {
            Check::Equals(literal) => Compiled::equals(literal),
            Check::Compares(comparison, literal) => match number(literal) {
                Some(number) => Compiled::BySize(*comparison, number),
                None => Compiled::InOrder(*comparison, Wanted::new(text(literal))),
            },
            Check::Contains(text) => Compiled::Contains(Wanted::new(text)),
            Check::StartsWith(text) => Compiled::StartsWith(Wanted::new(text)),
            Check::EndsWith(text) => Compiled::EndsWith(Wanted::new(text)),
            Check::Matches(pattern) => Compiled::Matches(Glob::new(pattern)),
            Check::In(literals) => Compiled::In(literals.iter().map(Compiled::equals).collect()),
            Check::Exists => Compiled::Exists,
            Check::Cidr(networks) => Compiled::Cidr(networks.clone()),
        }
    }

    fn equals(literal: &Literal) -> Compiled {
        match (literal, number(literal)) {
            (Literal::Null, _) => Compiled::Null,
            (_, Some(number)) => Compiled::Number(number),
            _ => Compiled::Text(Wanted::new(text(literal))),
        }
    }

    fn passes(&self, value: Value<'_>) -> bool {
        match self {
            Compiled::Exists => true,
            Compiled::Null => value == Value::Null,
            // What stands for null is "null" to sinks; a condition means the text.
            _ if value == Value::Null => false,
            Compiled::Text(wanted) => wanted.is(value.text()),
            Compiled::Number(number) => by_size(value, *number) == Some(Ordering::Equal),
            Compiled::InOrder(comparison, wanted) => comparison.admits(wanted.order(value.text())),
            Compiled::BySize(comparison, number) => {
                by_size(value, *number).is_some_and(|order| comparison.admits(order))
            }
            Compiled::Contains(wanted) => wanted.is_in(value.text()),
            Compiled::StartsWith(wanted) => wanted.starts(value.text()),
            Compiled::EndsWith(wanted) => wanted.ends(value.text()),
            Compiled::Matches(glob) => glob.matches(value.text()),
            Compiled::In(checks) => checks.iter().any(|check| check.passes(value)),
            Compiled::Cidr(networks) => parse_address(value.text())
                .is_some_and(|(address, _)| networks.iter().any(|network| network.contains(address))),
        }
    }
}

fn by_size(value: Value<'_>, wanted: Number) -> Option<Ordering> {
    match value {
        Value::Number(text) | Value::String(text) => Number::parse(text)?.compare(wanted),
        _ => None,
    }
}

fn number(literal: &Literal) -> Option<Number> {
    match literal {
        Literal::Number(number) => Number::parse(number),
        _ => None,
    }
}

fn text(literal: &Literal) -> &str {
    match literal {
        Literal::Text(text) | Literal::Number(text) => text,
        Literal::Bool(true) => "true",
        Literal::Bool(false) => "false",
        Literal::Null => "null",
    }
}

impl Comparison {
    fn admits(self, order: Ordering) -> bool {
        match self {
            Comparison::Less => order.is_lt(),
            Comparison::AtMost => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::AtLeast => order.is_ge(),
        }
    }
}
