//! Records against real ones: 9,608 records of a tenant of 2021. By workload and record type, ours must have every
//! field that the real ones have, with the same JSON types, and nothing that is not known to be newer or to belong to
//! an operation that the real ones do not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};

use super::*;

/// A field and the kind of its JSON value.
type Field = (String, &'static str);

fn fields(value: &Value, path: &str, into: &mut BTreeSet<Field>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items.iter().for_each(|item| fields(item, &format!("{path}[]"), into));
            "array"
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| fields(member, &format!("{path}.{name}"), into));
            "object"
        }
    };
    into.insert((path.to_owned(), kind));
}

/// What the records of a workload and record type have.
#[derive(Default)]
struct Shape {
    some: BTreeSet<Field>,
    all: Option<BTreeSet<Field>>,
    by_operation: BTreeMap<String, BTreeSet<Field>>,
}

type Shapes = BTreeMap<(String, u64), Shape>;

fn add(shapes: &mut Shapes, record: &Value) {
    let Some(kind) = record["RecordType"].as_u64() else { return };
    let shape = shapes.entry((record["Workload"].as_str().unwrap_or_default().to_owned(), kind)).or_default();
    let mut own = BTreeSet::new();
    fields(record, "", &mut own);
    shape.some.extend(own.iter().cloned());
    let operation = shape.by_operation.entry(record["Operation"].as_str().unwrap_or_default().to_owned()).or_default();
    operation.extend(own.iter().cloned());
    shape.all = Some(shape.all.take().map_or_else(|| own.clone(), |all| &all & &own));
}

/// The real ones, if the corpus is there.
fn real() -> Option<Shapes> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/ual/ual-2021.ndjson.zst");
    let Ok(file) = std::fs::File::open(path) else {
        eprintln!("SKIPPED: no real records at {path}");
        return None;
    };
    let mut shapes = Shapes::new();
    // Thousands of some operations are alike.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in BufReader::new(zstd::Decoder::new(file).expect("zstd")).lines() {
        let line = line.expect("line");
        let operation =
            line.split("\"Operation\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("operation");
        let count = seen.entry(operation.to_owned()).or_default();
        *count += 1;
        if *count <= 100 {
            add(&mut shapes, &serde_json::from_str(&line).expect("record"));
        }
    }
    Some(shapes)
}

fn ours() -> Shapes {
    let mut shapes = Shapes::new();
    for (_, happening) in every_operation() {
        add(&mut shapes, &parse(&happening));
    }
    // Chance decides which site an operation takes place on; days of life have them all.
    for happening in World::new(config(2, 6000)).advance(hours(24)) {
        if happening.feed.content_type().is_some() {
            add(&mut shapes, &parse(&happening));
        }
    }
    shapes
}

/// Fields that Microsoft has added since 2021, in workloads that the real records hold.
const NEWER: &[&str] = &[
    ".AppAccessContext",
    ".MachineId",
    ".MachineDomainInfo",
    ".FileSyncBytesCommitted",
    ".SensitivityLabel",
    ".ParticipantInfo",
    ".SearchQueryText",
    ".Folders[].FolderItems[].",
];

/// Fields that belong to operations which the real records do not hold.
const OF_OTHER_OPERATIONS: &[&str] = &[".SendAsUser", ".SendOnBehalfOf", ".LogonUserDisplayName"];

#[test]
fn records_have_the_shapes_of_real_ones() {
    let Some(real) = real() else { return };
    let ours = ours();
    let mut wrong = Vec::new();
    for (kind, theirs) in &real {
        let Some(own) = ours.get(kind) else {
            wrong.push(format!("{kind:?}: we have none"));
            continue;
        };
        for field in theirs.some.difference(&own.some) {
            wrong.push(format!("{kind:?}: we never have {field:?}"));
        }
        for operation in theirs.by_operation.keys().filter(|operation| !own.by_operation.contains_key(*operation)) {
            wrong.push(format!("{kind:?}: nobody ever does {operation}"));
        }
        let (Some(always), Some(own_always)) = (&theirs.all, &own.all) else { continue };
        // The few records of Teams are all about members; sharing is more than it was; lists differ by their kind.
        if !matches!(kind.1, 14 | 25 | 36) {
            for field in always.difference(own_always) {
                wrong.push(format!("{kind:?}: theirs always have {field:?}"));
            }
        }
        // A field of one name has the type that it has there.
        for (path, ours) in &own.some {
            let types: Vec<_> =
                theirs.some.iter().filter(|(theirs, _)| theirs == path).map(|(_, kind)| *kind).collect();
            if !types.is_empty() && !types.contains(ours) {
                wrong.push(format!("{kind:?}: {path} is {ours} here and {types:?} there"));
            }
        }
        for (operation, own) in &own.by_operation {
            let Some(theirs) = theirs.by_operation.get(operation) else { continue };
            for (path, _) in own.difference(theirs) {
                let known = theirs_elsewhere(&real, path)
                    || NEWER.iter().chain(OF_OTHER_OPERATIONS).any(|name| path.starts_with(name));
                // One record of Teams tells too little of what the others have.
                if !known && kind.1 != 25 {
                    wrong.push(format!("{kind:?} {operation}: {path} is not known from real records"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Some real record of any kind has the field.
fn theirs_elsewhere(real: &Shapes, path: &str) -> bool {
    real.values().any(|shape| shape.some.iter().any(|(theirs, _)| theirs == path))
}
