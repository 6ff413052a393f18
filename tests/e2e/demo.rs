//! `downspout demo`: what the README begins with works, and leaves behind what it says.

use std::fs;

use crate::support::{Scratch, duckdb, lake_ids, stderr, stdout};

#[test]
fn the_demo_collects_everything_once_and_says_what_happened() {
    let scratch = Scratch::new();
    let output = scratch.downspout(&["demo", "--dir", "demo", "--events-per-day", "300"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    for expected in [
        "Read, by source",
        "in the lake, each once",
        "m365",
        "signins",
        "AzureActiveDirectory",
        "password_spray",
        "duckdb -c",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let figure = |name: &str| -> usize {
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.trim().replace(',', "").parse().unwrap()
    };
    let in_the_lake = figure("in the lake, each once");
    assert_eq!(figure("in all") - figure("of these given twice, dropped"), in_the_lake, "{text}");
    assert!(in_the_lake > 1_000, "{text}");
    let lake = scratch.path("demo/lake");
    assert_eq!(lake_ids(&lake).len(), in_the_lake);
    if let Some(mut python) = duckdb() {
        let files = lake.join("**/*.parquet");
        let query = format!("SELECT count(*) FROM read_parquet('{}') WHERE geo_country IS NOT NULL", files.display());
        let program = format!("import duckdb; print(duckdb.connect().execute(\"{query}\").fetchone()[0])");
        let output = python.args(["-c", &program]).output().unwrap();
        let located: usize = stdout(&output).trim().parse().unwrap_or_else(|_| panic!("{}", stderr(&output)));
        assert!(located > in_the_lake / 10, "{located} of {in_the_lake} have a country");
    }
    assert!(fs::read_dir(scratch.path("demo/lake")).unwrap().count() > 5, "{text}");
    assert!(fs::read_to_string(scratch.path("demo/demo.yaml")).unwrap().contains("office365_management"));
    assert!(scratch.dead_letters("demo/state").is_empty());

    let again = scratch.downspout(&["demo", "--dir", "demo"]).output().unwrap();
    assert!(!again.status.success() && stderr(&again).contains("holds an earlier demo"), "{}", stderr(&again));
}
