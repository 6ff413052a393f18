//! The way back: a record from its flat fields.
//!
//! It exists to prove that flattening loses nothing, and for whoever needs the nested form of an event again.

use downspout_core::value::{Bag, Step, Trail, Value as Flat};
use downspout_core::{EventRef, Field, FieldId};
use serde_json::{Map, Value};

/// The record that an event's own fields stand for. Additions are left out, and so is what stood in an opened string:
/// the string itself is there.
pub fn rebuild(event: EventRef<'_>) -> Value {
    let names = event.batch().names();
    let mut record = Value::Object(Map::new());
    for field in event.own_fields() {
        let steps = event.steps(field.trail);
        if steps.iter().any(|step| step.step == Step::Opened) {
            continue;
        }
        match (&mut record, json(field)) {
            // What found no room at the top level.
            (Value::Object(record), Value::Object(rest)) if field.id == FieldId::ROOT => record.extend(rest),
            (record, value) => *place(record, &names.segments(field.id), &steps) = value,
        }
    }
    record
}

/// The place in the record that a path and its steps lead to, made if it is not there.
fn place<'r>(record: &'r mut Value, segments: &[&str], steps: &[Trail]) -> &'r mut Value {
    let mut at = record;
    let mut used = 0;
    // An element that named itself: its value is meant unless a segment follows, which is then another member.
    let mut named: Option<Bag> = None;
    for step in steps {
        for segment in &segments[used..step.depth as usize] {
            at = member(at, segment);
            named = None;
        }
        used = step.depth as usize;
        if let Some(bag) = named.take() {
            at = member(at, bag.value());
        }
        match step.step {
            Step::Element(number) => at = element(at, number),
            Step::Named(number, bag) => {
                at = element(at, number);
                *member(at, bag.name()) = Value::from(segments[used]);
                used += 1;
                named = Some(bag);
            }
            Step::Value | Step::Opened => {}
        }
    }
    for segment in &segments[used..] {
        at = member(at, segment);
        named = None;
    }
    match named {
        Some(bag) => member(at, bag.value()),
        None => at,
    }
}

fn member<'v>(object: &'v mut Value, name: &str) -> &'v mut Value {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    &mut object[name]
}

fn element(array: &mut Value, number: u32) -> &mut Value {
    if !array.is_array() {
        *array = Value::Array(Vec::new());
    }
    let number = number as usize;
    if let Value::Array(elements) = array
        && elements.len() <= number
    {
        elements.resize(number + 1, Value::Null);
    }
    &mut array[number]
}

fn json(field: Field<'_>) -> Value {
    match field.value {
        Flat::Null => Value::Null,
        Flat::Bool(value) => Value::Bool(value),
        Flat::String(text) => Value::from(text),
        Flat::EmptyObject => Value::Object(Map::new()),
        Flat::EmptyArray => Value::Array(Vec::new()),
        // The reader has checked both; only numbers beyond serde_json's range and nesting beyond its depth fail.
        Flat::Number(text) | Flat::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    }
}
