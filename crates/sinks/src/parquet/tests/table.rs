//! Columns and their values.

use downspout_core::Value as Scalar;
use downspout_core::print::Grouper;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn the_table_has_the_columns_of_the_design() {
    let place =
        Place::new(json!({ "partition_by": [], "columns": [{ "name": "size", "field": "Size", "type": "int64" }] }));
    place.row_of("{}").await;
    let file = std::fs::File::open(&read::files(&place.path())[0]).unwrap();
    let schema = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
    let columns: Vec<String> =
        schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    assert_eq!(
        columns.join("\n"),
        "time Timestamp(µs, \"UTC\")\nid Utf8\ntenant_id Utf8\nsource Utf8\nworkload Utf8\noperation Utf8\n\
         record_type Utf8\nresult Utf8\nuser_id Utf8\nuser_type Utf8\nobject_id Utf8\napp_id Utf8\nuser_agent Utf8\n\
         client_ip Utf8\nclient_port Int32\ngeo_country Utf8\ngeo_region Utf8\ngeo_city Utf8\ngeo_lat Float64\n\
         geo_lon Float64\nasn Int64\nas_org Utf8\nrules List(non-null Utf8, field: 'element')\n\
         fields Map(\"key_value\": non-null Struct(\"key\": non-null Utf8, \"value\": non-null Utf8), unsorted)\n\
         raw Utf8\nsize Int64"
    );
}

#[tokio::test]
async fn raw_and_source_are_kept_and_raw_can_be_left_out() {
    let record = "{\"CreationTime\" : \"2026-11-22T10:09:55\", \"Ünï\":\"\\u00e9\"}";
    let row = Place::new(json!({})).row_of(record).await;
    assert_eq!((row["raw"].as_str(), row["source"].as_str()), (Some(record), Some("archive")));
    let without = Place::new(json!({ "raw": false })).row_of(record).await;
    assert!(!without.contains_key("raw"));
}

#[tokio::test]
async fn the_map_holds_every_field_once() {
    let record = r#"{"A":"x","B":{"C":1.50,"D.E":true},"F":[1,"two",null],"G":[{"H":"a"},{"H":"b"}],"A2":null,"E":{},"L":[],"A":"again"}"#;
    assert_eq!(
        Place::new(json!({})).row_of(record).await["fields"],
        json!({
            "A": r#"["x","again"]"#, "B.C": "1.50", "B[D.E]": "true", "F": r#"[1,"two",null]"#, "G.H": r#"["a","b"]"#,
            "A2": "null", "E": "{}", "L": "[]",
        })
    );
}

#[tokio::test]
async fn records_of_ever_new_names_keep_their_names() {
    // More sets of names than are remembered, so that they are forgotten in the middle of a commit; and more names
    // than the field table takes, so that the last live in their batches only.
    let mut place = Place::new(json!({}));
    place.bench.context.fields = Arc::new(FieldTable::bounded(6000, 1 << 20));
    let record = |number: usize| format!(r#"{{"Id":"{number}","name {number}":"value {number}","L":[1,2]}}"#);
    let mut sink = place.open();
    for batch in 0..14 {
        let records: Vec<String> = (0..500).map(|index| record(500 * batch + index)).collect();
        let batch = place.batch(&records.iter().map(String::as_str).collect::<Vec<_>>());
        sink.deliver(&Arc::new(batch)).await.unwrap();
    }
    suite::commit(&mut *sink, 1).await.unwrap();
    let rows = read::rows(&place.path());
    assert_eq!(rows.len(), 7000);
    for row in rows {
        let number = row["fields"]["Id"].as_str().unwrap();
        let name = format!("name {number}");
        let expected = json!({ "Id": number, name: format!("value {number}"), "L": "[1,2]" });
        assert_eq!(row["fields"], expected);
    }
}

#[tokio::test]
async fn additions_have_their_columns_or_go_to_the_map() {
    let place = Place::new(json!({ "columns": [{ "name": "owner", "field": "lookup.owner" }] }));
    let record = r#"{"CreationTime":"2026-11-22T10:09:55","Operation":"x","ClientIP":"203.0.113.7:1","ActorIpAddress":"203.0.113.8","rules":"own","lookup":{"owner":"own"}}"#;
    let mut batch = place.batch(&[record]);
    let mut add = |path: &[&str], value: Scalar<'_>| {
        let field = place.fields().intern_path(path).unwrap();
        batch.add(0, field, value);
    };
    add(&["geo", "ClientIP", "country_iso_code"], Scalar::String("NL"));
    add(&["geo", "ClientIP", "country_name"], Scalar::String("Netherlands"));
    add(&["geo", "ClientIP", "region_iso_code"], Scalar::String("NL-NH"));
    add(&["geo", "ClientIP", "city_name"], Scalar::String("Amsterdam"));
    add(&["geo", "ClientIP", "latitude"], Scalar::Number("52.5"));
    add(&["geo", "ClientIP", "longitude"], Scalar::String("4.75"));
    add(&["geo", "ClientIP", "asn"], Scalar::Number("64500"));
    add(&["geo", "ClientIP", "as_org"], Scalar::String("Example"));
    add(&["geo", "ActorIpAddress", "country_iso_code"], Scalar::String("DE"));
    add(&["geo", "Other", "country_iso_code"], Scalar::String("FR"));
    add(&["rules"], Scalar::String("r1"));
    add(&["rules"], Scalar::String("r2"));
    add(&["lookup", "owner"], Scalar::String("ann"));
    let row = place.rows_of(vec![batch]).await.remove(0);
    let picked: Vec<&Value> =
        ["geo_country", "geo_region", "geo_city", "geo_lat", "geo_lon", "asn", "as_org", "rules", "owner"]
            .iter()
            .map(|column| &row[*column])
            .collect();
    assert_eq!(json!(picked), json!(["NL", "NL-NH", "Amsterdam", 52.5, 4.75, 64500, "Example", ["r1", "r2"], "ann"]));
    assert_eq!(
        row["fields"],
        json!({
            "CreationTime": "2026-11-22T10:09:55", "Operation": "x", "ClientIP": "203.0.113.7:1", "ActorIpAddress": "203.0.113.8",
            "rules": "own", "geo.Other.country_iso_code": "FR", "lookup.owner": "ann",
        })
    );
}

#[tokio::test]
async fn a_record_cannot_forge_what_transforms_add() {
    let record = r#"{"CreationTime":"x","Operation":"x","ClientIP":"203.0.113.7","geo":{"ClientIP":{"country_iso_code":"XX"}},"rules":["r"]}"#;
    let row = Place::new(json!({})).row_of(record).await;
    assert_eq!((&row["geo_country"], &row["rules"]), (&Value::Null, &json!([])));
    assert_eq!(row["fields"]["geo.ClientIP.country_iso_code"], "XX");
}

#[tokio::test]
async fn promoted_columns_have_types() {
    let columns = json!([
        { "name": "text", "field": "A.V" },
        { "name": "long", "field": "A.V", "type": "int64" },
        { "name": "double", "field": "A.V", "type": "double" },
        { "name": "flag", "field": "A.V", "type": "boolean" },
        { "name": "moment", "field": "A.V", "type": "timestamp" },
    ]);
    for (value, expected) in [
        ("1", json!(["1", 1, 1.0, null, null])),
        (r#"" -7 ""#, json!([" -7 ", -7, -7.0, null, null])),
        ("2.5e0", json!(["2.5e0", null, 2.5, null, null])),
        (r#""True""#, json!(["True", null, null, true, null])),
        ("false", json!(["false", null, null, false, null])),
        (
            r#""2026-11-22T10:00:00+01:00""#,
            json!(["2026-11-22T10:00:00+01:00", null, null, null, "2026-11-22T09:00:00Z"]),
        ),
        (r#""NaN""#, json!(["NaN", null, null, null, null])),
        ("null", json!(["null", null, null, null, null])),
        (r#""""#, json!(["", null, null, null, null])),
        ("[3,4]", json!(["[3,4]", 3, 3.0, null, null])),
        ("9223372036854775808", json!(["9223372036854775808", null, 9.223372036854776e18, null, null])),
    ] {
        let place = Place::new(json!({ "partition_by": [], "columns": columns }));
        let row = place.row_of(&format!(r#"{{"A":{{"V":{value}}}}}"#)).await;
        let found: Vec<&Value> =
            ["text", "long", "double", "flag", "moment"].iter().map(|column| &row[*column]).collect();
        assert_eq!(json!(found), expected, "{value}");
    }
    let place = Place::new(json!({ "partition_by": [], "columns": columns }));
    assert_eq!(place.row_of("{}").await["text"], Value::Null);
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|flag| json!(flag)),
        any::<i32>().prop_map(|number| json!(number)),
        "[a-c\"\\\\é\n]{0,6}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab.\\[é]{0,2}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The map is what `core::print` prints, for names in the field table and for those that found no room there.
    #[test]
    fn the_map_is_what_is_printed(
        records in prop::collection::vec(prop::collection::btree_map("[a-d]{1,2}", tree(), 0..5), 1..6),
        room in prop_oneof![Just(100_000), Just(400)],
    ) {
        let mut place = Place::new(json!({ "partition_by": [] }));
        place.bench.context.fields = Arc::new(FieldTable::bounded(room, 1 << 20));
        let records: Vec<String> = records.iter().map(|record| json!(record).to_string()).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let batch = place.batch(&records);
        let mut expected = Vec::new();
        for event in batch.events() {
            let grouped = Grouper::default().group(event);
            let names = batch.names();
            let mut map = serde_json::Map::new();
            for group in grouped.groups() {
                let mut text = Vec::new();
                grouped.write_text(group, &mut text);
                map.insert(names.printed(group.field).into_owned(), String::from_utf8(text).unwrap().into());
            }
            expected.push((event.raw().to_owned(), Value::Object(map)));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rows = runtime.block_on(place.rows_of(vec![batch]));
        let found: Vec<(String, Value)> =
            rows.into_iter().map(|row| (row["raw"].as_str().unwrap().to_owned(), row["fields"].clone())).collect();
        prop_assert_eq!(found, expected);
    }
}
