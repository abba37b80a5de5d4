//! The rooms that decide do no I/O, read no clock and draw no dice; and each room looks only down.
//!
//! Read from the source, so that a breach is named with its file before it is a bug. Unit tests and comments are
//! left out; text inside string literals is not told apart, and need not be.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

/// The floors of the crate, from the bottom up. A room may use what lies on floors below its own.
const FLOORS: [&[&str]; 7] = [
    &["planted"],
    &["id", "policy"],
    &["message"],
    &["definition"],
    &["machine", "fence"],
    &["drawing", "port"],
    &["memory", "namespace", "replay", "runtime"],
];

/// The rooms that decide: floors one to four. Below them is what tests plant, and what no build for use has.
const PURE_FLOORS: std::ops::RangeInclusive<usize> = 1..=4;

/// What no pure room may name, with or without a path before it.
const IMPURE: [&str; 12] = [
    "tokio",
    "rand",
    "getrandom",
    "fastrand",
    "SystemTime",
    "Instant",
    "async",
    "await",
    "now_v7",
    "new_v4",
    "thread_local",
    "unsafe",
];

/// The parts of the standard library that reach outside.
const OUTSIDE: [&str; 6] = ["net", "fs", "process", "env", "thread", "io"];

#[test]
fn the_rooms_that_decide_are_pure() {
    let breaches: Vec<String> =
        rooms().filter(|room| PURE_FLOORS.contains(&room.floor)).flat_map(impurities).collect();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn each_room_uses_only_floors_below_its_own() {
    let breaches: Vec<String> = rooms().flat_map(arrows_up).collect();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_room_has_a_floor_and_every_floor_is_read() {
    let found: std::collections::BTreeSet<String> = rooms().map(|room| room.name).collect();
    let listed = FLOORS.iter().flat_map(|rooms| rooms.iter().map(ToString::to_string)).collect();
    assert_eq!(found, listed, "a new room needs a floor in this test and in ARCHITECTURE.md");
}

#[test]
fn a_breach_is_found() {
    let impure = [
        "use tokio::time::sleep;",
        "let now = std::time::Instant::now();",
        "use std::time::{Duration, SystemTime};",
        "use std::{fmt, fs};",
        "std::net::TcpStream::connect(address)",
        "Uuid::now_v7()",
        "pub async fn load() {}",
    ];
    for code in impure {
        assert_eq!(impurities(room("machine", code)).len(), 1, "{code}");
    }
    for code in ["use std::time::Duration;", "// tokio", "/// Not an Instant.", "fn environment() {}"] {
        assert!(impurities(room("machine", code)).is_empty(), "{code}");
    }
    for (name, code) in [
        ("id", "use crate::message::Payload;"),
        ("fence", "crate::machine::apply()"),
        ("machine", "use crate::{fence, id};"),
        ("port", "use crate::memory;"),
        ("policy", "use super::id::SagaId;"),
    ] {
        assert_eq!(arrows_up(room(name, code)).len(), 1, "{name}: {code}");
    }
    for (name, code) in [("machine", "use crate::machine::Event;"), ("port", "use crate::{fence, machine};")]
    {
        assert!(arrows_up(room(name, code)).is_empty(), "{name}: {code}");
    }
}

/// A source file, in the room it belongs to.
struct Room {
    name: String,
    floor: usize,
    file: PathBuf,
    /// Its words, and `::`, `{`, `}`, `,` and `;` between them.
    words: Vec<String>,
}

fn room(name: &str, source: &str) -> Room {
    let floor = FLOORS.iter().position(|rooms| rooms.contains(&name)).unwrap_or(FLOORS.len());
    Room { name: name.into(), floor, file: format!("{name}.rs").into(), words: words(source) }
}

fn rooms() -> impl Iterator<Item = Room> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files(&src).into_iter().filter(|file| !file.ends_with("lib.rs"));
    files.map(move |file| {
        let path = file.strip_prefix(&src).unwrap();
        let name = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        Room { file: path.to_owned(), ..room(name, &std::fs::read_to_string(&file).unwrap()) }
    })
}

/// The source files under `folder`, without those of unit tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let code = entries.filter(|path| !path.ends_with("tests") && !path.ends_with("tests.rs"));
    code.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn words(source: &str) -> Vec<String> {
    let code = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut words = Vec::new();
    for line in lines {
        let spaced = line.replace("::", " :: ");
        for word in spaced.split_whitespace() {
            split_word(word, &mut words);
        }
    }
    words
}

/// Splits `{fmt,fs};` into its names and its marks.
fn split_word(word: &str, words: &mut Vec<String>) {
    if word == "::" {
        return words.push(word.into());
    }
    let mut name = String::new();
    for c in word.chars() {
        if c.is_alphanumeric() || c == '_' {
            name.push(c);
            continue;
        }
        words.extend((!name.is_empty()).then(|| std::mem::take(&mut name)));
        words.push(c.into());
    }
    words.extend((!name.is_empty()).then_some(name));
}

fn impurities(room: Room) -> Vec<String> {
    let named = room.words.iter().filter(|word| IMPURE.contains(&word.as_str())).cloned();
    let outside = under(&room.words, "std").into_iter().filter(|part| OUTSIDE.contains(&part.as_str()));
    named.chain(outside).map(|word| format!("{} uses {word}", room.file.display())).collect()
}

fn arrows_up(room: Room) -> Vec<String> {
    let above = |name: &String| {
        FLOORS
            .iter()
            .position(|rooms| rooms.contains(&name.as_str()))
            .is_some_and(|floor| floor >= room.floor)
    };
    let mut used = under(&room.words, "crate");
    if room.file.components().nth(1).is_none() {
        used.extend(under(&room.words, "super"));
    }
    let breaches = used.into_iter().filter(|name| *name != room.name && above(name));
    breaches.map(|name| format!("{} uses {name}, which is not below it", room.file.display())).collect()
}

/// The names that directly follow `root::`, also as the first names inside `root::{..}`.
fn under(words: &[String], root: &str) -> Vec<String> {
    let starts = words.windows(2).enumerate().filter(|(_, pair)| pair[0] == root && pair[1] == "::");
    starts.flat_map(|(at, _)| names(&words[at + 2..])).collect()
}

fn names(words: &[String]) -> Vec<String> {
    if words.first().is_none_or(|word| word != "{") {
        return words.first().cloned().into_iter().collect();
    }
    let (mut depth, mut names) = (0_usize, Vec::new());
    for pair in words.windows(2) {
        match pair[0].as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && (pair[0] == "{" || pair[0] == ",") {
            names.push(pair[1].clone());
        }
    }
    names
}
