//! What a config may say, and when a commit is due.

use super::*;

fn mistakes(keys: Value) -> Vec<String> {
    let errors = config("lake".into(), keys).plan().err().unwrap_or_default();
    errors.iter().map(|error| format!("{}: {}", error.key, error.message)).collect()
}

#[test]
fn the_example_and_the_defaults_are_valid() {
    assert_eq!(mistakes(json!({})), [] as [&str; 0]);
    assert_eq!(mistakes(json!({ "partition_by": ["tenant_id", "source", "date"] })), [] as [&str; 0]);
    assert_eq!(
        mistakes(json!({
            "partition_by": ["site"],
            "raw": false,
            "columns": [{ "name": "site", "field": "SiteUrl" }, { "name": "bytes", "field": "Item.SizeInBytes", "type": "int64" }],
            "roll": { "max_rows": 1, "max_bytes": "1MiB", "max_age": "1s" },
            "compression_level": 22,
        })),
        [] as [&str; 0]
    );
}

#[test]
fn mistakes_are_told_all_at_once() {
    assert_eq!(
        mistakes(json!({
            "partition_by": ["date", "date", "time", "nothing", "raw", "asn"],
            "columns": [
                { "name": "2nd", "field": "A" },
                { "name": "Operation", "field": "A" },
                { "name": "date", "field": "A" },
                { "name": "twice", "field": "A" },
                { "name": "twice", "field": "A" },
                { "name": "odd", "field": "A..B" },
                { "name": "root", "field": "" },
            ],
            "roll": { "max_rows": 0, "max_bytes": "2GiB", "max_age": "0s" },
            "compression_level": 0,
            "row_group_rows": 0,
        })),
        [
            "columns.0.name: expected letters, digits and `_`, and no digit first",
            "columns.1.name: the table already has a column `Operation`",
            "columns.2.name: the table already has a column `date`",
            "columns.4.name: the table already has a column `twice`",
            "columns.5.field: this is not the name of a field",
            "columns.6.field: this is not the name of a field",
            "partition_by.1: `date` stands here twice",
            "partition_by.2: `time` is neither `date` nor a column of type string",
            "partition_by.3: `nothing` is neither `date` nor a column of type string",
            "partition_by.4: `raw` is neither `date` nor a column of type string",
            "partition_by.5: `asn` is neither `date` nor a column of type string",
            "compression_level: expected a number from 1 to 22",
            "row_group_rows: expected at least 1",
            "roll.max_rows: expected at least 1",
            "roll.max_bytes: expected a size from 1B to 1GiB",
            "roll.max_age: expected more than 0s",
        ]
    );
    assert_eq!(mistakes(json!({ "compression_level": 23 })), ["compression_level: expected a number from 1 to 22"]);
    assert_eq!(mistakes(json!({ "path": "" })), ["path: expected a folder"]);
}
