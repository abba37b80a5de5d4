//! The fence's table in `docs/delivery.md` is what `fence::decide` decides.

use saga_core::fence::{
    Called, ExternalVerdict, FenceState, Progress, Recorded, Verdict, decide, decide_external,
};
use saga_core::id::Direction;
use saga_core::message::{Answer, Fault, Payload};

use super::assert_drawn;

#[test]
fn the_tables_of_the_fence_are_what_it_decides() {
    of_all_handlers();
    of_external_handlers();
}

fn of_all_handlers() {
    let rows = rows();
    let titles: Vec<String> = rows.iter().map(title).collect();
    let mut table = format!("| on | {} |\n|{}\n", titles.join(" | "), "---|".repeat(rows.len() + 1));
    for direction in Direction::ALL {
        let cells: Vec<String> = rows.iter().map(|row| cell(&decide(row.as_ref(), direction))).collect();
        table += &format!("| `{direction}` | {} |\n", cells.join(" | "));
    }
    assert_drawn("delivery.md", "fence", &table);
}

fn of_external_handlers() {
    let (rows, recorded) = (rows(), || Payload::encode(&"recorded").unwrap());
    let new = || Payload::encode(&"new").unwrap();
    let undone = |recorded| Progress::Undone(recorded);
    let lines = [
        ("`do`", Direction::Do, Progress::Delivered),
        ("a call came back *done*", Direction::Do, Progress::Called(Called::Done(new()))),
        ("a call came back *refused*", Direction::Do, Progress::Called(Called::Refused(new()))),
        ("a call came to a fault", Direction::Do, Progress::Called(Called::Failed(Fault::temporary("")))),
        ("a late call was undone", Direction::Do, undone(Recorded::Unknown)),
        ("`undo`", Direction::Undo, Progress::Delivered),
        ("the undo is done, outcome unknown", Direction::Undo, undone(Recorded::Unknown)),
        ("the undo is done, with the reply", Direction::Undo, undone(Recorded::Reply(recorded()))),
        ("`close`", Direction::Close, Progress::Delivered),
    ];
    let titles: Vec<String> = rows.iter().map(title).collect();
    let mut table = format!("| on | {} |\n|{}\n", titles.join(" | "), "---|".repeat(rows.len() + 1));
    for (what, direction, progress) in lines {
        let says = |row: &Option<FenceState>| decide_external(row.as_ref(), direction, &progress);
        let cells: Vec<String> = rows.iter().map(|row| external_cell(&says(row))).collect();
        table += &format!("| {what} | {} |\n", cells.join(" | "));
    }
    assert_drawn("delivery.md", "external fence", &table);
}

#[test]
fn the_example_of_an_external_handler_is_one_that_compiles() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let document = std::fs::read_to_string(format!("{root}/docs/delivery.md")).unwrap();
    let code =
        std::fs::read_to_string(format!("{root}/saga-core/src/runtime/participant/handler.rs")).unwrap();
    let example = document.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let shown: String =
        example.lines().map(|line| format!("/// {line}").trim_end().to_owned() + "\n").collect();
    assert!(code.contains(&shown), "docs/delivery.md shows what is not tested:\n{example}");
}

/// Every row that a fence can have, with a payload that tells a recorded answer from any other.
fn rows() -> [Option<FenceState>; 7] {
    let recorded = || Payload::encode(&"recorded").unwrap();
    [
        None,
        Some(FenceState::Started),
        Some(FenceState::Repeated),
        Some(FenceState::Applied(recorded())),
        Some(FenceState::Refused(recorded())),
        Some(FenceState::Compensated),
        Some(FenceState::Closed),
    ]
}

fn title(row: &Option<FenceState>) -> String {
    row.as_ref().map_or("no row".into(), |state| format!("`{}`", state.as_str()))
}

fn cell(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Run => "run the handler".into(),
        Verdict::Undo(Recorded::Reply(reply)) => format!("run the undo with the {} reply", text(reply)),
        Verdict::Undo(Recorded::Unknown) => "run the undo, outcome unknown".into(),
        Verdict::Record(state, answer) => format!("store `{}`, answer {}", state.as_str(), name(answer)),
        Verdict::Answer(answer) => format!("answer {}", name(answer)),
    }
}

fn external_cell(verdict: &ExternalVerdict) -> String {
    match verdict {
        ExternalVerdict::Call(None) => "call again".into(),
        ExternalVerdict::Call(Some(state)) => format!("store `{}`, then call", state.as_str()),
        ExternalVerdict::Undo(recorded) => cell(&Verdict::Undo(recorded.clone())),
        ExternalVerdict::Watch(state) => {
            let undo = cell(&Verdict::Undo(Recorded::Unknown));
            format!("store `{}`, watch, then {undo}", state.as_str())
        }
        ExternalVerdict::Record(FenceState::Applied(_), answer) => {
            format!("store it, answer *{}*", answer.name())
        }
        ExternalVerdict::Record(state, answer) => cell(&Verdict::Record(state.clone(), answer.clone())),
        ExternalVerdict::Answer(answer) => cell(&Verdict::Answer(answer.clone())),
    }
}

fn name(answer: &Answer) -> String {
    match answer {
        Answer::Done(payload) | Answer::Refused(payload) => {
            format!("the {} *{}*", text(payload), answer.name())
        }
        Answer::Undone | Answer::Closed | Answer::Running | Answer::Fault(_) => {
            format!("*{}*", answer.name())
        }
    }
}

fn text(payload: &Payload) -> String {
    payload.decode().unwrap()
}
