//! Records against real ones: 9,608 records of a tenant of 2021. By workload and record type, ours must have every
//! field that the real ones have, with the same JSON types, and nothing that is not known to be newer or to belong to
//! an operation that the real ones do not hold; and by operation every field that is usual in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

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
    by_operation: BTreeMap<String, Operation>,
}

/// What the records of one operation have: how many there are, and in how many of them each field stands.
#[derive(Default)]
struct Operation {
    records: usize,
    fields: BTreeMap<Field, usize>,
}

impl Operation {
    /// The JSON types of a field.
    fn kinds(&self, path: &str) -> BTreeSet<&'static str> {
        self.fields.keys().filter(|(name, _)| name == path).map(|(_, kind)| *kind).collect()
    }
}

type Shapes = BTreeMap<(String, u64), Shape>;

fn add(shapes: &mut Shapes, record: &Value) {
    let Some(kind) = record["RecordType"].as_u64() else { return };
    let shape = shapes.entry((record["Workload"].as_str().unwrap_or_default().to_owned(), kind)).or_default();
    let mut own = BTreeSet::new();
    fields(record, "", &mut own);
    shape.some.extend(own.iter().cloned());
    let operation = shape.by_operation.entry(record["Operation"].as_str().unwrap_or_default().to_owned()).or_default();
    operation.records += 1;
    for field in &own {
        *operation.fields.entry(field.clone()).or_default() += 1;
    }
    shape.all = Some(shape.all.take().map_or_else(|| own.clone(), |all| &all & &own));
}

/// The real ones, if the corpus is there.
fn real() -> Option<Shapes> {
    // The corpora lie beside the repository, or beside the folder of a worktree.
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let file = folders
        .map(|folder| folder.join("shared/corpora/ual/ual-2021.ndjson.zst"))
        .find_map(|path| File::open(path).ok());
    let Some(file) = file else {
        eprintln!("SKIPPED: the real records of 2021 are not here");
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
    // What only few of the records have is there in some of many.
    for (_, happening) in (0..10).flat_map(every_operation) {
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

/// How common a field must be in an operation's real records for ours to need it: one in so many.
const USUAL: usize = 4;

#[test]
fn records_have_the_shapes_of_real_ones() {
    let Some(real) = real() else { return };
    let ours = ours();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (kind, theirs) in &real {
        let Some(own) = ours.get(kind) else {
            wrong.push(format!("{kind:?}: we have none"));
            continue;
        };
        compare(kind.1, theirs, own, |problem| wrong.push(format!("{kind:?}: {problem}")));
        for (name, theirs) in &theirs.by_operation {
            let mut tell = |problem: String| wrong.push(format!("{kind:?} {name}: {problem}"));
            let Some(own) = own.by_operation.get(name) else {
                tell("nobody ever does it".to_owned());
                continue;
            };
            compared += 1;
            compare_usual(theirs, own, &mut tell);
            // The few records of Teams tell too little of what the others have.
            let strange = own.fields.keys().filter(|field| kind.1 != 25 && !theirs.fields.contains_key(*field));
            for (path, _) in strange.filter(|(path, _)| !is_known(&real, path)) {
                tell(format!("{path} is not known from real records"));
            }
        }
    }
    let types = |shapes: &Shapes| shapes.keys().map(|(_, kind)| kind).collect::<BTreeSet<_>>().len();
    let operations = |shapes: &Shapes| shapes.values().map(|shape| shape.by_operation.len()).sum::<usize>();
    eprintln!(
        "{} record types and {} operations are simulated; all {} types and {compared} operations of the real records are held \
         against them",
        types(&ours),
        operations(&ours),
        types(&real),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All records of a workload and record type: each field that theirs have, with the type that it has there.
fn compare(record_type: u64, theirs: &Shape, own: &Shape, mut tell: impl FnMut(String)) {
    for field in theirs.some.difference(&own.some) {
        tell(format!("we never have {field:?}"));
    }
    if let (Some(always), Some(own_always)) = (&theirs.all, &own.all) {
        // The few records of Teams are all about members; sharing is more than it was; lists differ by their kind.
        let differs = matches!(record_type, 14 | 25 | 36);
        for field in always.difference(own_always).filter(|_| !differs) {
            tell(format!("theirs always have {field:?}"));
        }
    }
    for (path, ours) in &own.some {
        let types: Vec<_> = theirs.some.iter().filter(|(theirs, _)| theirs == path).map(|(_, kind)| *kind).collect();
        if !types.is_empty() && !types.contains(ours) {
            tell(format!("{path} is {ours} here and {types:?} there"));
        }
    }
}

/// The records of one operation: what is usual in theirs, ours have at times, too.
fn compare_usual(theirs: &Operation, own: &Operation, tell: &mut impl FnMut(String)) {
    for ((path, kind), count) in &theirs.fields {
        let ours = own.kinds(path);
        if count * USUAL >= theirs.records && !ours.contains(kind) {
            tell(format!("{path} is {kind} in {count} of {} real records, and {ours:?} here", theirs.records));
        }
    }
}

/// Some real record of any kind has the field, or could have it today.
fn is_known(real: &Shapes, path: &str) -> bool {
    NEWER.iter().chain(OF_OTHER_OPERATIONS).any(|name| path.starts_with(name))
        || real.values().any(|shape| shape.some.iter().any(|(theirs, _)| theirs == path))
}
