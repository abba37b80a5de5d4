//! Holds `docs/state-machine.md` against the code: its diagram and its tables are what the machine does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::table::{EVENT_NAMES, Row, Stance, event_kind, rows, stances};
use crate::machine::Status;

#[test]
fn the_document_shows_what_the_machine_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/state-machine.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut drawn = replaced(&document, "diagram", &diagram());
    for status in Status::ALL {
        drawn = replaced(&drawn, status.as_str(), &table(status));
    }
    if std::env::var_os("SAGA_UPDATE_DOCS").is_some() {
        std::fs::write(path, &drawn).unwrap();
    } else if let Some((was, is)) = document.lines().zip(drawn.lines()).find(|(was, is)| was != is) {
        panic!("{path} says\n  {was}\nand the machine does\n  {is}\n{HOW_TO_UPDATE}");
    }
    assert_eq!(document.lines().count(), drawn.lines().count(), "{HOW_TO_UPDATE}");
}

const HOW_TO_UPDATE: &str = "If the machine is right, by docs/delivery.md, run
    SAGA_UPDATE_DOCS=1 cargo test -p saga-core --lib the_document_shows
and read what changed, cell by cell.";

/// `document` with the text between the marks of `name` replaced.
fn replaced(document: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: drawn by a test -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = document.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{before}{begin}{text}{end}{after}")
}

fn diagram() -> String {
    let (stances, rows) = (stances(), rows());
    let mut edges: BTreeMap<(Status, Status), BTreeSet<usize>> = BTreeMap::new();
    for stance in &stances {
        for row in &rows {
            if let Some(to) = row.leads_to(stance) {
                edges.entry((stance.case.status(), to)).or_default().insert(event_kind(&row.event(stance)));
            }
        }
    }
    let mut text = "```mermaid\nstateDiagram-v2\n    [*] --> Running: start\n".to_owned();
    text += "    [*] --> Compensated: taken back before it begins\n";
    for ((from, to), events) in edges {
        let events: Vec<&str> = events.into_iter().map(|event| EVENT_NAMES[event]).collect();
        let _ = writeln!(text, "    {from:?} --> {to:?}: {}", events.join(", "));
    }
    for status in Status::ALL.into_iter().filter(|status| status.is_terminal()) {
        let _ = writeln!(text, "    {status:?} --> [*]");
    }
    text + "```\n"
}

/// The table of one status; events that do the same in every stance share a line.
fn table(status: Status) -> String {
    let (mut stances, rows) = (stances(), rows());
    stances.retain(|stance| stance.case.status() == status);
    let labels: Vec<&str> = stances.iter().map(|stance| stance.label).collect();
    let mut text = format!("| event \\ awaited | {} |\n", labels.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(stances.len() + 1));
    for (cells, alike) in merged(&rows, &stances) {
        let _ = writeln!(text, "| {} | {} |", label(&alike, &rows), cells.join(" | "));
    }
    text
}

/// The rows by what they do in these stances.
fn merged<'a>(rows: &'a [Row], stances: &[Stance]) -> Vec<(Vec<String>, Vec<&'a Row>)> {
    let mut lines: Vec<(Vec<String>, Vec<&Row>)> = Vec::new();
    for row in rows {
        let cells: Vec<String> = stances.iter().map(|stance| row.cell(stance)).collect();
        match lines.iter_mut().find(|(known, _)| *known == cells) {
            Some((_, alike)) => alike.push(row),
            None => lines.push((cells, vec![row])),
        }
    }
    lines
}

/// The name of several rows: `do: refused, closed<br>close: any`.
fn label(alike: &[&Row], all: &[Row]) -> String {
    let mut lines = Vec::new();
    for first in alike.iter().enumerate().filter(|(at, row)| alike[..*at].iter().all(|r| r.what != row.what))
    {
        let what = &first.1.what;
        let which: Vec<&str> = of(alike.iter().copied(), what).collect();
        lines.push(match which.as_slice() {
            [""] => what.clone(),
            _ if which.len() > 1 && which.len() == of(all.iter(), what).count() => format!("{what}: any"),
            _ => format!("{what}: {}", which.join(", ")),
        });
    }
    lines.join("<br>")
}

fn of<'a>(rows: impl Iterator<Item = &'a Row>, what: &str) -> impl Iterator<Item = &'a str> {
    rows.filter(move |row| row.what == what).map(|row| row.which.as_str())
}
