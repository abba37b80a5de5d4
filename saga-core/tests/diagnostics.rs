//! A mistake in a definition does not compile, and the compiler says what to do.
//!
//! Each file of `compile_fail/` is a program of its own. Its `//~` lines are the parts of the compiler's message that
//! are ours, and only they are compared: the rest differs from one compiler to the next. A file without such lines
//! must compile.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the compiler said about each program, one text for each error.
type Errors = BTreeMap<String, Vec<String>>;

#[test]
fn every_mistake_is_refused_with_a_message_that_says_what_to_do() {
    let cases = cases();
    let errors = check(&project(&cases));
    for case in &cases {
        let source = std::fs::read_to_string(case).unwrap();
        let expected: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//~ ")).collect();
        compare(&name(case), &expected, errors.get(&name(case)).map_or(&[], Vec::as_slice));
    }
    assert!(errors.len() >= 10, "only {} programs were refused", errors.len());
}

fn compare(case: &str, expected: &[&str], errors: &[String]) {
    let said = errors.join("\n");
    assert_eq!(expected.is_empty(), errors.is_empty(), "{case}: {said}");
    for line in expected {
        assert!(said.contains(line), "{case} does not say\n  {line}\nbut\n{said}");
    }
    for error in errors {
        assert!(expected.iter().any(|line| error.contains(line)), "{case} also fails for\n{error}");
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|ext| ext == "rs")).collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> String {
    case.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Writes a package with a program for each case, with the versions that this workspace has locked.
fn project(cases: &[PathBuf]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    std::fs::create_dir_all(&folder).unwrap();
    let core = env!("CARGO_MANIFEST_DIR");
    let mut manifest = format!(
        "[package]\nname = \"compile_fail\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         saga-core = {{ path = {core:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n"
    );
    for case in cases {
        let _ = write!(manifest, "\n[[bin]]\nname = {:?}\npath = {case:?}\n", name(case));
    }
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(Path::new(core).join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

/// Checks every program, in the folder where the tests themselves were built.
fn check(project: &Path) -> Errors {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--keep-going", "--message-format=json", "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .current_dir(project)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("could not compile"), "cargo did not come to check the programs:\n{log}");
    let mut errors = Errors::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        if message["message"]["level"] == "error" {
            let program = message["target"]["name"].as_str().unwrap().to_owned();
            let said = message["message"]["rendered"].as_str().unwrap().to_owned();
            errors.entry(program).or_default().push(said);
        }
    }
    errors
}
