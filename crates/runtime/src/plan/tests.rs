//! What is told of a whole config, beside each component's own mistakes.

use super::*;

/// The problems of a config, or its warnings.
fn told(config: &str) -> Result<String, String> {
    let planned = Plan::from_text("p.yaml", config, &|_| None);
    planned.map(|plan| plan.warnings.to_string()).map_err(|problems| problems.to_string())
}

fn assert_tells(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[test]
fn settings_are_checked() {
    let rest = "sources: { in: { type: stdin } }\nsinks: { out: { type: blackhole, inputs: [in] } }\n";
    for (settings, problem) in [
        ("data_dir: ''", "data_dir is empty"),
        ("data_dir: d\nthreads: 0", "threads must be at least 1"),
        ("data_dir: d\ncheckpoint_interval: 0s", "checkpoint_interval must be more than nothing"),
    ] {
        assert_tells(&told(&format!("{settings}\n{rest}")).unwrap_err(), &[problem, "p.yaml:"]);
    }
    assert_eq!(told(&format!("data_dir: d\n{rest}")).unwrap(), "");
}
