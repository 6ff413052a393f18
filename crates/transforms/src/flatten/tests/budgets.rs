//! Hostile records: what finds no room stays closed, nothing is dropped, and the cost stays linear.

use super::*;

fn fields_of(batch: &Batch) -> usize {
    batch.event(0).fields().count()
}

#[track_caller]
fn rebuilds(batch: &Batch, record: &str) {
    assert_eq!(rebuild(batch.event(0)), serde_json::from_str::<serde_json::Value>(record).unwrap());
}

#[test]
fn what_finds_no_room_stays_closed() {
    let config = FlattenConfig { max_fields: 6, ..FlattenConfig::default() };
    let cases = [
        // All of `a` finds room, `b` does not.
        (r#"{"a":{"x":1,"y":2,"z":3},"b":{"x":1,"y":2,"z":3,"u":4},"c":5}"#, r#"{"a.x":1,"a.y":2,"a.z":3,"b":{"x":1,"y":2,"z":3,"u":4},"c":5}"#),
        (r#"{"a":[1,2,3,4,5,6],"b":{"x":{"y":1}}}"#, r#"{"a":[1,2,3,4,5,6],"b.x.y":1}"#),
        (r#"{"a":[1,2,3,4,5,6,7],"b":{"x":{"y":1}}}"#, r#"{"a":[1,2,3,4,5,6,7],"b.x.y":1}"#),
        (
            r#"{"a":[{"Name":"n","Value":1,"NewValue":2,"OldValue":3},{"Name":"m","Value":1},{"Name":"l","Value":1},{"k":1}]}"#,
            r#"{"a.n":1,"a.n.NewValue":2,"a.n.OldValue":3,"a":[{"Name":"m","Value":1},{"Name":"l","Value":1}],"a.k":[1]}"#,
        ),
        (r#"{"a":"[1,2,3]","b":"[1,2,3,4,5,6,7]"}"#, r#"{"a":"[1,2,3]","b":"[1,2,3,4,5,6,7]"}"#),
        (r#"{"Parameters":"-a 1 -b 2 -c 3 -d 4 -e 5"}"#, r#"{"Parameters":"-a 1 -b 2 -c 3 -d 4 -e 5"}"#),
    ];
    for (record, expected) in cases {
        let batch = flatten_with(&config, &[record]);
        assert_eq!(print(&batch).trim_end(), expected);
        rebuilds(&batch, record);
    }
}
