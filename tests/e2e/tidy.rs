//! Rules of the repository that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::root;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut found = Vec::new();
    for folder in ["crates", "tests", "benches", "examples"] {
        sources(&root().join(folder), &mut found);
    }
    let silent: Vec<_> = found.iter().filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!")).collect();
    assert!(silent.is_empty(), "these do not open with `//!`: {silent:?}");
}

/// The crates that a package pulls in, by name.
fn dependencies(package: &str) -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn crates_that_need_no_network_reach_none() {
    for package in ["downspout-core", "downspout-sources", "downspout-transforms", "downspout-sinks"] {
        let dependencies = dependencies(package);
        for network in ["axum", "hyper", "reqwest", "rustls", "openssl-sys", "native-tls"] {
            assert!(!dependencies.iter().any(|name| name == network), "{package} reaches {network}");
        }
    }
}

#[test]
fn component_crates_do_not_know_each_other() {
    let components = ["downspout-sources", "downspout-transforms", "downspout-sinks"];
    for package in components {
        let dependencies = dependencies(package);
        for other in components.iter().filter(|other| **other != package) {
            assert!(!dependencies.iter().any(|name| name == other), "{package} knows {other}");
        }
    }
}

#[test]
fn there_is_one_tls_stack_at_most() {
    assert!(!dependencies("downspout").iter().any(|name| name == "openssl-sys" || name == "native-tls"));
}
