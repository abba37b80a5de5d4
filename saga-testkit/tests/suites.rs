//! What holds for all suites: a scenario that nobody runs, or that cannot fail, proves nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

const SUITES: [&str; 9] =
    ["fence", "forget", "outbox", "retire", "run_in", "start_in", "store", "transport", "watch"];

#[test]
fn every_scenario_is_in_the_list_of_its_suite() {
    for suite in SUITES {
        let list = read_to_string(root().join("src/suite").join(suite).join("mod.rs")).unwrap();
        for scenario in scenarios(suite) {
            let listed = list.lines().any(|line| line.trim() == scenario);
            assert!(listed, "{scenario} is not in the list of the suite {suite}");
        }
    }
}

#[test]
fn every_scenario_is_seen_to_fail() {
    let broken = ["broken_fence", "broken_store", "broken_transport"]
        .map(|name| read_to_string(root().join("tests").join(name).join("main.rs")).unwrap())
        .concat();
    for suite in SUITES {
        for scenario in scenarios(suite) {
            let fails = broken.contains(&format!(" {scenario}: "));
            assert!(fails, "no flaw makes {scenario} of the suite {suite} fail");
        }
    }
}

/// The names of a suite's scenarios, as they stand in its files.
fn scenarios(suite: &str) -> Vec<String> {
    let files = read_dir(root().join("src/suite").join(suite)).unwrap();
    let sources: Vec<String> = files.map(|file| read_to_string(file.unwrap().path()).unwrap()).collect();
    let declarations = sources.iter().flat_map(|source| source.lines());
    let names = declarations.filter_map(|line| line.strip_prefix("pub async fn ")?.split('<').next());
    let names: Vec<String> = names.map(|name| name.split('(').next().unwrap().to_owned()).collect();
    assert!(!names.is_empty(), "the suite {suite} has scenarios");
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
