//! A fence that leaves something out is found, with nothing said but the shape of the saga.

use saga_core::fence::{FenceState, Verdict, decide};
use saga_core::id::Direction;
use saga_core::message::Answer;
use saga_testkit::explore::{Violation, explore};
use saga_testkit::topology::{Part, Topology};

fn violation(parts: &[Part], fence: fn(Option<&FenceState>, Direction) -> Verdict) -> Violation {
    let topology = Topology::of(parts.iter().copied());
    explore(&topology.definition::<5>()).fence(fence).run().violation.unwrap()
}

#[test]
fn a_fence_that_runs_a_command_again_is_found() {
    let found = violation(&[Part::Step], |row, direction| match (row, direction) {
        (Some(FenceState::Applied(_)), Direction::Do) => Verdict::Run,
        (row, direction) => decide(row, direction),
    });
    assert_eq!(found.what, "s0 is done twice [once]");
    assert_eq!(found.trace, ["service does s0, and answers 0", "service does s0, and answers 0"]);
}

#[test]
fn a_fence_without_a_tombstone_is_found() {
    let found = violation(&[Part::Step], |row, direction| match (row, direction) {
        (None, Direction::Undo) => Verdict::Answer(Answer::Undone),
        (row, direction) => decide(row, direction),
    });
    assert_eq!(found.what, "the saga takes s0 for not done or undone, and its effect stands [truth]");
    assert_eq!(
        found.trace,
        [
            "no answer to do s0 in time, and no attempt is left",
            "service answers undo s0 from its record: undone",
            "service does s0, and answers 0",
            "undone arrives for undo s0",
        ]
    );
}

#[test]
fn a_fence_that_takes_a_close_for_a_question_is_found() {
    let found = violation(&[Part::ClosedPivot], |row, direction| match (row, direction) {
        (None, Direction::Close) => Verdict::Answer(Answer::Closed),
        (row, direction) => decide(row, direction),
    });
    assert_eq!(found.what, "the saga takes pivot for not done or undone, and its effect stands [truth]");
    assert_eq!(found.trace.len(), 4, "{:?}", found.trace);
}

#[test]
fn a_fence_that_runs_an_undo_twice_is_found() {
    let found = violation(&[Part::Step], |row, direction| match (row, direction) {
        (Some(FenceState::Compensated), Direction::Undo) => {
            Verdict::Undo(saga_core::fence::Recorded::Unknown)
        }
        (row, direction) => decide(row, direction),
    });
    assert_eq!(found.what, "s0 is undone more often than it was done [once]");
    assert_eq!(found.trace.len(), 4, "{:?}", found.trace);
}

#[test]
fn a_fence_that_forgets_what_it_answered_is_found() {
    let found = violation(&[Part::Step], |row, direction| match (row, direction) {
        (Some(FenceState::Refused(_)), Direction::Do) => Verdict::Run,
        (row, direction) => decide(row, direction),
    });
    assert_eq!(found.what, "a participant gives two different answers to one command [truth]");
    assert_eq!(found.trace, ["service refuses s0", "service does s0, and answers 0"]);
}
