//! A merge leaves each record once, wherever it is interrupted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use parquet::data_type::Int64Type;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::RowAccessor;
use parquet::schema::parser::parse_message_type;

use super::*;

const DAYS: [&str; 2] = ["source=a/date=2026-11-22", "source=b/date=__HIVE_DEFAULT_PARTITION__"];

fn go_on() -> bool {
    true
}

/// A collection with files of several commits for its days.
fn collection(format: Format) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, day) in DAYS.iter().enumerate() {
        for commit in 0..3 {
            add(folder.path(), format, day, commit, (index * 100 + commit) as i64);
        }
    }
    folder
}

/// Adds a commit's file with two records.
fn add(root: &Path, format: Format, day: &str, commit: usize, record: i64) {
    let path = root.join(day).join(format!("0a1b2c3d-{commit:010}-0.{}", format.extension()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let records = [record, record + 1000];
    match format {
        Format::Ndjson => fs::write(path, records.map(line).concat()).unwrap(),
        Format::Parquet => write_parquet(&path, "id", &records),
    }
}

/// A record; all are of the same time.
fn line(record: i64) -> String {
    format!("{{\"CreationTime\":\"2026-11-22T10:00:00\",\"Id\":\"{record:05}\"}}\n")
}

fn record(line: &str) -> i64 {
    let record: serde_json::Value = serde_json::from_str(line).unwrap();
    record["Id"].as_str().unwrap().parse().unwrap()
}

fn write_parquet(path: &Path, column: &str, records: &[i64]) {
    let schema = Arc::new(parse_message_type(&format!("message m {{ required int64 {column}; }}")).unwrap());
    let properties = WriterProperties::builder().set_bloom_filter_enabled(true).build();
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut values = group.next_column().unwrap().unwrap();
    values.typed::<Int64Type>().write_batch(records, None, None).unwrap();
    values.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

/// The records of all files that can be seen, by path, in their order.
fn records(root: &Path) -> BTreeMap<String, Vec<i64>> {
    let mut found = BTreeMap::new();
    for day in DAYS {
        for entry in fs::read_dir(root.join(day)).unwrap() {
            let path = entry.unwrap().path();
            let records = if path.extension().unwrap() == "parquet" {
                let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
                reader.get_row_iter(None).unwrap().map(|row| row.unwrap().get_long(0).unwrap()).collect()
            } else {
                fs::read_to_string(&path).unwrap().lines().map(record).collect()
            };
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), records);
        }
    }
    found
}

/// What merging leaves, with `more` in one of the days.
fn merged(format: Format, (day, more): (usize, &[i64])) -> BTreeMap<String, Vec<i64>> {
    let extension = format.extension();
    let names = [format!("{}/a_2026-11-22.{extension}", DAYS[0]), format!("{}/b_none.{extension}", DAYS[1])];
    let mut records = [vec![0, 1000, 1, 1001, 2, 1002], vec![100, 1100, 101, 1101, 102, 1102]];
    records[day].extend(more);
    if format == Format::Ndjson {
        records.iter_mut().for_each(|records| records.sort_unstable());
    }
    names.into_iter().zip(records).collect()
}

#[test]
fn each_day_becomes_one_file_and_what_comes_later_joins_it() {
    for format in [Format::Ndjson, Format::Parquet] {
        let folder = collection(format);
        let root = folder.path();
        let merger = Merger::new(root, format, &go_on);
        merger.merge().unwrap();
        let expected = merged(format, (0, &[]));
        assert_eq!(records(root), expected);
        let modified = |name: &String| fs::metadata(root.join(name)).unwrap().modified().unwrap();
        let names: Vec<String> = expected.keys().cloned().collect();
        let before: Vec<_> = names.iter().map(modified).collect();
        merger.merge().unwrap();
        assert_eq!(before, names.iter().map(modified).collect::<Vec<_>>(), "nothing is merged twice");
        add(root, format, DAYS[0], 3, 3);
        merger.merge().unwrap();
        assert_eq!(records(root), merged(format, (0, &[3, 1003])));
    }
}

#[test]
fn interrupted_at_any_step_nothing_is_lost_and_nothing_doubled() {
    for format in [Format::Ndjson, Format::Parquet] {
        let mut steps = 0_usize;
        loop {
            let folder = collection(format);
            let root = folder.path();
            // The first file of a day that was merged before must survive as well.
            Merger::new(root, format, &go_on).merge_day(&root.join(DAYS[1])).unwrap();
            add(root, format, DAYS[1], 3, 103);
            let left = Cell::new(steps);
            let some_steps = || left.replace(left.get().saturating_sub(1)) > 0;
            let outcome = Merger::new(root, format, &some_steps).merge();
            // Not one record may be there twice at any time, not even before the next run mends it.
            let mut seen: Vec<i64> = records(root).into_values().flatten().collect();
            seen.sort_unstable();
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{format:?}, {steps} steps: {seen:?}");
            // What is mended may be interrupted, too.
            let one = Cell::new(true);
            let _ = Merger::new(root, format, &|| one.replace(false)).finish();
            let merger = Merger::new(root, format, &go_on);
            merger.finish().unwrap();
            merger.merge().unwrap();
            assert_eq!(records(root), merged(format, (1, &[103, 1103])), "{format:?}, {steps} steps");
            if outcome.is_ok() {
                break;
            }
            steps += 1;
        }
        assert!(steps > 10, "only {steps} steps were interrupted");
    }
}

#[test]
fn merged_parquet_keeps_its_filters_and_indexes() {
    let folder = collection(Format::Parquet);
    Merger::new(folder.path(), Format::Parquet, &go_on).merge().unwrap();
    let file = File::open(folder.path().join(DAYS[0]).join("a_2026-11-22.parquet")).unwrap();
    let options = parquet::file::serialized_reader::ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(file, options).unwrap();
    assert_eq!(reader.num_row_groups(), 3);
    let index = reader.metadata().page_index().unwrap();
    for group in 0..3 {
        assert!(reader.metadata().row_group(group).column(0).bloom_filter_offset().is_some());
        assert!(index.column_index(group, 0).is_some() && index.offset_index(group, 0).is_some());
    }
}

#[test]
fn row_groups_stand_in_the_order_of_their_first_times() {
    let folder = tempfile::tempdir().unwrap();
    let day = folder.path().join(DAYS[0]);
    fs::create_dir_all(&day).unwrap();
    for (commit, times) in [[30, 40], [10, 35], [20, 21]].into_iter().enumerate() {
        write_parquet(&day.join(format!("0a1b2c3d-{commit:010}-0.parquet")), "time", &times);
    }
    Merger::new(folder.path(), Format::Parquet, &go_on).merge().unwrap();
    let reader = SerializedFileReader::new(File::open(day.join("a_2026-11-22.parquet")).unwrap()).unwrap();
    let times: Vec<i64> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().get_long(0).unwrap()).collect();
    assert_eq!(times, [10, 35, 20, 21, 30, 40]);
}

#[test]
fn a_day_that_cannot_be_merged_stays_and_others_do_not_wait() {
    let folder = collection(Format::Parquet);
    let root = folder.path();
    write_parquet(&root.join(DAYS[0]).join("0a1b2c3d-0000000009-0.parquet"), "other", &[9]);
    let problems = Merger::new(root, Format::Parquet, &go_on).merge().unwrap_err();
    assert!(problems.len() == 1 && problems[0].contains("other columns"), "{problems:?}");
    let found = records(root);
    assert_eq!(found.len(), 5);
    assert!(found.contains_key(&format!("{}/b_none.parquet", DAYS[1])));
}

#[test]
fn files_that_still_wait_for_their_place_are_waited_for() {
    let folder = collection(Format::Ndjson);
    fs::create_dir_all(folder.path().join(UNFINISHED).join("0a1b2c3d-0000000004")).unwrap();
    let before = records(folder.path());
    assert!(Merger::new(folder.path(), Format::Ndjson, &go_on).merge().is_err());
    assert_eq!(records(folder.path()), before);
}
