//! What the documents point at is there: files, folders and headings.

use std::path::{Path, PathBuf};

#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: there is no {file}", document.display());
            assert!(heading.is_empty() || has_heading(&target, heading), "{}: {link}", document.display());
        }
    }
}

#[test]
fn every_path_that_is_named_exists() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for path in text.split('`').skip(1).step_by(2).filter(|code| is_path(code)) {
            let found = root().join(path).exists() || root().join("saga-core/src").join(path).exists();
            assert!(found, "{}: there is no {path}", document.display());
        }
    }
}

#[test]
fn every_line_of_the_code_map_is_a_file_or_a_folder() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, map) = text.split_once("## Code map").unwrap();
    let (map, _) = map.split_once("## One command").unwrap();
    let mut folder = String::new();
    for line in map.lines() {
        if let Some(heading) = line.strip_prefix("### `") {
            folder = heading.trim_end_matches('`').to_owned();
        }
        let first = line.split_whitespace().next().unwrap_or_default();
        if first.ends_with('/') || first.ends_with(".rs") {
            assert!(root().join(&folder).join(first).exists(), "there is no {folder}/{first}");
        }
    }
}

/// The Markdown files of the project.
fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/adr", "examples", "examples/order", "examples/quickstart"];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// What stands in `](..)`, without the links to other hosts.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.contains("://"))
}

/// Whether a span of code names a file or a folder of ours.
fn is_path(code: &str) -> bool {
    let begins = ["saga-", "docs/", "examples/", "scripts/", "bench/", "runtime/", "machine/", "definition/"];
    let named = begins.iter().any(|begin| code.starts_with(begin)) && code.contains('/');
    named && !code.contains([' ', '\n', '*', '<', '{'])
}

fn has_heading(document: &Path, wanted: &str) -> bool {
    let text = std::fs::read_to_string(document).unwrap();
    let slug =
        |heading: &str| heading.to_lowercase().replace(' ', "-").replace(['?', ',', '.', '`', ':'], "");
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .any(|line| slug(line.trim_start_matches(['#', ' '])) == wanted)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
