//! The fence's table in `docs/delivery.md` is what `fence::decide` decides.

use saga_core::fence::{FenceState, Recorded, Verdict, decide};
use saga_core::id::Direction;
use saga_core::message::{Answer, Payload};

use super::assert_drawn;

#[test]
fn the_table_of_the_fence_is_what_it_decides() {
    let rows = rows();
    let titles: Vec<String> = rows.iter().map(title).collect();
    let mut table = format!("| on | {} |\n|{}\n", titles.join(" | "), "---|".repeat(rows.len() + 1));
    for direction in Direction::ALL {
        let cells: Vec<String> = rows.iter().map(|row| cell(&decide(row.as_ref(), direction))).collect();
        table += &format!("| `{direction}` | {} |\n", cells.join(" | "));
    }
    assert_drawn("delivery.md", "fence", &table);
}

/// Every row that a fence can have, with a payload that tells a recorded answer from any other.
fn rows() -> [Option<FenceState>; 6] {
    let recorded = || Payload::encode(&"recorded").unwrap();
    [
        None,
        Some(FenceState::Started),
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
