//! The floors in `ARCHITECTURE.md` are kept: no module imports from its own floor or above, and the lower ones are pure.

use std::path::{Path, PathBuf};

/// The floors whose modules do no I/O.
const PURE: std::ops::RangeInclusive<u32> = 1..=4;

/// What a pure module does not name.
const IMPURE: [&str; 7] =
    ["tokio", "std::fs", "std::net", "std::thread", "std::time::Instant", "SystemTime", "now_v7"];

#[test]
fn every_module_imports_only_from_the_floors_below_it() {
    let floors = floors();
    for (module, floor) in &floors {
        for (path, line) in lines_of(module) {
            assert!(!line.contains("crate::{"), "{}: one `use` for each module: {line}", path.display());
            for (other, above) in floors.iter().filter(|(other, above)| above >= floor && other != module) {
                let upward = line.contains(&format!("crate::{other}"));
                assert!(!upward, "{}: floor {floor} imports from floor {above}: {line}", path.display());
            }
        }
    }
}

#[test]
fn the_lower_floors_have_no_clock_no_chance_and_no_io() {
    for (module, _) in floors().iter().filter(|(_, floor)| PURE.contains(floor)) {
        for (path, line) in lines_of(module) {
            let impure = IMPURE.iter().find(|impure| line.contains(**impure));
            assert!(impure.is_none(), "{}: {impure:?} in a pure module: {line}", path.display());
        }
    }
}

#[test]
fn every_module_stands_on_a_floor() {
    let listed: Vec<String> = floors().into_iter().map(|(module, _)| module).collect();
    for entry in std::fs::read_dir(source()).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(name == "lib" || listed.contains(&name), "ARCHITECTURE.md has no floor for {name}");
    }
}

/// Each module with its floor, as the document has them.
fn floors() -> Vec<(String, u32)> {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md")).unwrap();
    let (_, rest) = document.split_once("<!-- floors: read by a test -->").unwrap();
    let (table, _) = rest.split_once("<!-- floors: end -->").unwrap();
    let floor = |line: &str| {
        let mut words = line.split_whitespace();
        let number = words.next()?.parse().ok()?;
        Some((words.next()?.to_owned(), number))
    };
    table.lines().filter_map(floor).collect()
}

/// The code of a module with the file of each line, without comments and tests.
fn lines_of(module: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    find_files(&source().join(module), &mut files);
    files.push(source().join(format!("{module}.rs")));
    let mut lines = Vec::new();
    for file in files.into_iter().filter(|file| file.exists()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.extend(code.map(|line| (file.clone(), line.to_owned())));
    }
    assert!(!lines.is_empty(), "there is no module {module}");
    lines
}

fn find_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true if path.ends_with("tests") => {}
            true => find_files(&path, files),
            false => files.push(path),
        }
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
