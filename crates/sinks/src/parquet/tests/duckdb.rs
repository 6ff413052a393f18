//! A reader that we did not write, over real records.

use std::path::Path;
use std::process::Command;

use super::*;

/// Runs Python with DuckDB over a lake; `None` where there is none.
fn duckdb(lake: &Path, script: &str) -> Option<String> {
    let here =
        Command::new("python3").args(["-c", "import duckdb"]).output().is_ok_and(|output| output.status.success());
    if !here {
        eprintln!("SKIPPED: python3 has no duckdb here");
        return None;
    }
    let output = Command::new("python3").args(["-c", script]).arg(lake).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The real records, or `None` where they are not.
fn real_records() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Ok(packed) = std::fs::read(root.join("../shared/corpora/ual/ual-2021.ndjson.zst")) else {
        eprintln!("SKIPPED: the real records are not here");
        return None;
    };
    Some(String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap())
}

#[tokio::test]
async fn duckdb_reads_the_folders() {
    let place = Place::new(json!({}));
    let records = [
        r#"{"CreationTime":"2026-11-21T10:00:00","Operation":"x","Id":"1","Workload":"Exchange","N":{"A":"b"}}"#,
        r#"{"CreationTime":"2026-11-22T10:00:00","Operation":"x","Id":"2","Workload":"a/b=c%","L":[1,2]}"#,
        r#"{"CreationTime":"never","Operation":"x","Id":"3"}"#,
    ];
    place.rows_of(vec![place.batch(&records)]).await;
    let script = r#"
import duckdb, sys
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
source = f"read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning = true)"
for row in connection.execute(f"SELECT id, time::VARCHAR, workload, date::VARCHAR, fields['N.A'], fields['L'] FROM {source} ORDER BY id").fetchall():
    print(row)
"#;
    if let Some(output) = duckdb(&place.path(), script) {
        assert_eq!(
            output,
            "('1', '2026-11-21 10:00:00+00', 'Exchange', '2026-11-21', 'b', None)\n\
             ('2', '2026-11-22 10:00:00+00', 'a/b=c%', '2026-11-22', None, '[1,2]')\n\
             ('3', None, None, None, None, None)\n"
        );
    }
}

#[tokio::test]
async fn duckdb_agrees_on_the_real_records() {
    let Some(text) = real_records() else { return };
    let lines: Vec<&str> = text.lines().collect();
    let place = Place::new(json!({ "partition_by": ["workload"] }));
    let mut sink = place.open();
    for (commit, lines) in lines.chunks(5_000).enumerate() {
        for lines in lines.chunks(1_000) {
            sink.deliver(&Arc::new(place.batch(lines))).await.unwrap();
        }
        suite::commit(&mut *sink, commit as u64 + 1).await.unwrap();
    }
    let script = r#"
import duckdb, sys
connection = duckdb.connect()
source = f"read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning = true)"
print(connection.execute(f"""
    SELECT count(*), count(DISTINCT id), count(time), count(client_ip), count(client_port),
           count(*) FILTER (WHERE id = json_extract_string(raw, '$.Id')),
           count(*) FILTER (WHERE user_id = fields['UserId']),
           count(*) FILTER (WHERE strftime(time, '%Y-%m-%dT%H:%M:%S') = fields['CreationTime']),
           count(*) FILTER (WHERE len(list_distinct(map_keys(fields))) = cardinality(fields))
    FROM {source}""").fetchone())
print(connection.execute(f"SELECT workload, count(*) FROM {source} GROUP BY 1 ORDER BY 2 DESC, 1").fetchall())
print(connection.execute(f"SELECT count(*) FROM {source} WHERE operation = 'New-InboxRule'").fetchall())
"#;
    if let Some(output) = duckdb(&place.path(), script) {
        assert_eq!(
            output,
            "(9608, 5373, 9608, 1995, 56, 9608, 9608, 9608, 9608)\n\
             [('Exchange', 7193), ('AzureActiveDirectory', 1621), ('SecurityComplianceCenter', 525), ('SharePoint', 134), \
             ('OneDrive', 128), ('MicrosoftTeams', 5), ('SkypeForBusiness', 1), ('ThreatIntelligence', 1)]\n\
             [(6,)]\n"
        );
    }
}
