//! `downspout demo`: what the README begins with works, and leaves behind what it says.

use std::fs;

use crate::support::{Scratch, stderr};

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
    assert!(fs::read_dir(scratch.path("demo/lake")).unwrap().count() > 5, "{text}");
    assert!(fs::read_to_string(scratch.path("demo/demo.yaml")).unwrap().contains("office365_management"));
    assert!(scratch.dead_letters("demo/state").is_empty());

    let again = scratch.downspout(&["demo", "--dir", "demo"]).output().unwrap();
    assert!(!again.status.success() && stderr(&again).contains("holds an earlier demo"), "{}", stderr(&again));
}
