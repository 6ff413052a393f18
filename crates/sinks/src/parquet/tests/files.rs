//! Files and folders: partitions, order, statistics, Bloom filters.

use std::collections::BTreeSet;

use parquet::bloom_filter::Sbbf;
use parquet::file::reader::FileReader;

use super::*;

fn numbered(count: usize) -> Vec<String> {
    let record = |n: usize| {
        // Backwards in time, so that sorting has something to do.
        let (hour, minute) = ((count - n) / 60 % 24, (count - n) % 60);
        format!(
            r#"{{"CreationTime":"2026-11-22T{hour:02}:{minute:02}:00","Operation":"Op{}","Id":"id-{n}","UserId":"user{}@example.com","ClientIP":"203.0.113.{}","Workload":"Exchange"}}"#,
            n % 7,
            n % 100,
            n % 250,
        )
    };
    (0..count).map(record).collect()
}

async fn written(keys: Value, records: &[String]) -> (Place, Vec<PathBuf>) {
    let place = Place::new(keys);
    let mut sink = place.open();
    for records in records.chunks(1000) {
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        sink.deliver(&Arc::new(place.batch(&records))).await.unwrap();
    }
    suite::commit(&mut *sink, 1).await.unwrap();
    let files = read::files(&place.path());
    (place, files)
}

#[tokio::test]
async fn a_large_commit_is_sorted_indexed_and_filtered() {
    let (_place, files) = written(json!({ "partition_by": [] }), &numbered(20_000)).await;
    assert_eq!(files.len(), 1);
    let rows = read::rows_of_file(&files[0]);
    let ids: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!((rows.len(), ids.len()), (20_000, 20_000));
    let times: Vec<&str> = rows.iter().map(|row| row["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted());

    let reader = read::open(&files[0]);
    let metadata = reader.metadata();
    assert!(metadata.file_metadata().created_by().unwrap().starts_with("downspout "));
    assert_eq!(metadata.num_row_groups(), 1, "threads share it by columns");
    let mut seen = 0;
    for group in metadata.row_groups() {
        assert_eq!(group.sorting_columns().unwrap()[0].column_idx, 0);
        for column in group.columns() {
            assert!(column.offset_index_offset().is_some());
            let name = column.column_path().string();
            let looked_for = !name.starts_with("fields") && name != "raw";
            assert_eq!(column.column_index_offset().is_some(), looked_for, "{name}");
            let filtered = ["id", "operation", "user_id", "client_ip"].contains(&&*name);
            assert_eq!(column.bloom_filter_offset().is_some(), filtered, "{name}");
        }
        let file = std::fs::File::open(&files[0]).unwrap();
        for (column, hit) in [(1, "id"), (5, "operation"), (8, "user_id"), (13, "client_ip")] {
            let filter = Sbbf::read_from_column_chunk(group.column(column), &file).unwrap().unwrap();
            for row in &rows[seen..seen + group.num_rows() as usize] {
                assert!(filter.check(row[hit].as_str().unwrap()));
            }
            let misses = (0..1000).filter(|n| filter.check(&*format!("not there {n}"))).count();
            assert!(misses < 60, "{misses} of 1000 false positives in {hit}");
        }
        seen += group.num_rows() as usize;
    }
}

#[tokio::test]
async fn pages_tell_their_bounds() {
    let (_place, files) = written(json!({ "partition_by": [], "row_group_rows": 1_000_000 }), &numbered(9_000)).await;
    let reader = read::open(&files[0]);
    let time = reader.metadata().row_group(0).column(0);
    assert_eq!(time.statistics().unwrap().null_count_opt(), Some(0));
    let user = reader.metadata().row_group(0).column(8).statistics().unwrap();
    assert_eq!(user.min_bytes_opt().unwrap(), b"user0@example.com");
    assert_eq!(user.max_bytes_opt().unwrap(), b"user9@example.com");
}

#[tokio::test]
async fn rows_are_dealt_out_to_hive_folders() {
    let mut records = numbered(200);
    records.push(r#"{"CreationTime":"never","Operation":"x","Id":"no-time","Workload":"../../etc=x"}"#.to_owned());
    records.push(r#"{"CreationTime":"2026-01-01T00:00:00","Operation":"x","Id":"no-workload"}"#.to_owned());
    records.push(
        r#"{"CreationTime":"2026-01-01T00:00:00","Operation":"x","Id":"blank-workload","Workload":""}"#.to_owned(),
    );
    let (place, files) = written(json!({}), &records).await;
    let folder =
        |file: &PathBuf| file.parent().unwrap().strip_prefix(place.path()).unwrap().to_str().unwrap().to_owned();
    let folders: Vec<String> = files.iter().map(folder).collect();
    assert_eq!(
        folders,
        [
            "workload=..%2F..%2Fetc%3Dx/date=__HIVE_DEFAULT_PARTITION__",
            "workload=Exchange/date=2026-11-22",
            "workload=__HIVE_DEFAULT_PARTITION__/date=2026-01-01",
        ]
    );
    assert_eq!(read::rows_of_file(&files[0])[0]["workload"], "../../etc=x");
    assert_eq!(read::rows_of_file(&files[2]).len(), 2);
}

#[tokio::test]
async fn rows_without_a_time_come_last() {
    let mut records = numbered(50);
    records.insert(10, r#"{"CreationTime":"never","Operation":"x","Id":"no-time"}"#.to_owned());
    let (_place, files) = written(json!({ "partition_by": [] }), &records).await;
    let rows = read::rows_of_file(&files[0]);
    assert_eq!((rows.len(), &rows[50]["id"], &rows[50]["time"]), (51, &json!("no-time"), &Value::Null));
}

#[tokio::test]
async fn any_text_column_can_make_folders() {
    let keys =
        json!({ "partition_by": ["client_ip", "site", "source"], "columns": [{ "name": "site", "field": "Site" }] });
    let records = [
        r#"{"CreationTime":"2026-11-22T10:00:00","Operation":"x","Id":"1","ClientIP":"203.0.113.7:80","Site":"a/b"}"#
            .to_owned(),
        r#"{"CreationTime":"2026-11-22T10:00:00","Operation":"x","Id":"2","ClientIP":"203.0.113.7","Site":"a/b"}"#
            .to_owned(),
    ];
    let (place, files) = written(keys, &records).await;
    assert_eq!(files.len(), 1);
    assert!(files[0].starts_with(place.path().join("client_ip=203.0.113.7/site=a%2Fb/source=archive")));
}

#[tokio::test]
async fn texts_too_many_for_a_dictionary_come_back_too() {
    let long = "x".repeat(3_000);
    let record = |n: usize| {
        format!(
            r#"{{"CreationTime":"2026-11-22T10:00:00","Operation":"{n}","Id":"{n}","UserId":"{n}{long}","Blob{}":"{n}"}}"#,
            n % 3
        )
    };
    let records: Vec<String> = (0..6_000).map(record).collect();
    let (_place, files) = written(json!({ "partition_by": [] }), &records).await;
    let rows = read::rows_of_file(&files[0]);
    assert_eq!(rows.len(), 6_000);
    for (n, row) in rows.iter().enumerate() {
        let user = format!("{n}{long}");
        assert_eq!((row["id"].as_str(), row["user_id"].as_str()), (Some(&*n.to_string()), Some(&*user)));
        assert_eq!(row["fields"]["UserId"].as_str(), Some(&*user));
        assert_eq!(row["fields"][format!("Blob{}", n % 3)].as_str(), Some(&*n.to_string()));
    }
    let user = read::open(&files[0]);
    let user = user.metadata().row_group(0).column(8).statistics().unwrap();
    assert!(user.min_bytes_opt().unwrap().len() <= 64 && user.max_bytes_opt().unwrap().len() <= 64);
}

#[tokio::test]
async fn row_groups_have_a_most_number_of_rows() {
    let (_place, files) = written(json!({ "partition_by": [], "row_group_rows": 300 }), &numbered(1_000)).await;
    let reader = read::open(&files[0]);
    let rows: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [250, 250, 250, 250]);
    assert_eq!(read::rows_of_file(&files[0]).len(), 1_000);
}
