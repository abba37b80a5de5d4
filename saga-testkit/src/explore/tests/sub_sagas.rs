//! Orchestrators that take their parents' commands with one mistake each: the explorer must find every one of them.

use saga_core::definition::{Plan, ScriptError};
use saga_core::id::Direction;
use saga_core::machine::{
    Applied, Effect, Event, Ignored, Instance, Parent, State, Status, TransitionError, apply,
};
use saga_core::message::{Answer, Payload};
use saga_core::policy::Timestamp;

use super::broken::spoiled;
use crate::explore::children::{Answered, Ask, ask};
use crate::explore::rules::Apply;
use crate::explore::{Faults, Violation};
use crate::topology::{Errand, Part, Topology};

type Asked = Result<Answered, ScriptError>;

/// What is wrong with a saga that runs another one, if orchestrators do this.
fn wrong(ask: Ask, apply: Apply, faults: Faults) -> Violation {
    let mut explorer = Topology::of([Part::Run(Errand::Short), Part::Check]).explorer::<5>().faults(faults);
    (explorer.ask, explorer.apply) = (ask, apply);
    explorer.run().violation.unwrap_or_else(|| panic!("nothing was found"))
}

fn asks(parent: &Parent, direction: Direction) -> bool {
    parent.asks == Some(direction)
}

/// An undo whose child is not there is answered, and not written down.
fn no_tombstone(plan: &Plan, child: Option<&Instance>, parent: Parent, body: &Payload) -> Asked {
    match child {
        None if asks(&parent, Direction::Undo) => Ok(Answered::Is(Answer::Undone)),
        child => ask(plan, child, parent, body),
    }
}

#[test]
fn a_late_command_begins_a_saga_when_no_tombstone_is_set() {
    let violation = wrong(no_tombstone, apply, Faults::all().without(Faults::OPERATOR));
    assert!(violation.what.ends_with("and its effect stands [truth]"), "{violation}");
    assert!(violation.trace.iter().any(|line| line.contains("undo arrives from its parent")), "{violation}");
}

/// A command begins the saga even if that was taken back before.
fn deaf_to_tombstones(plan: &Plan, child: Option<&Instance>, parent: Parent, body: &Payload) -> Asked {
    let never_began = |child: &&Instance| child.state.steps().is_empty();
    match child.filter(never_began) {
        Some(_) if asks(&parent, Direction::Do) => ask(plan, None, parent, body),
        Some(_) | None => ask(plan, child, parent, body),
    }
}

#[test]
fn a_saga_that_begins_after_it_was_taken_back_is_found() {
    let violation = wrong(deaf_to_tombstones, apply, Faults::all().without(Faults::OPERATOR));
    assert!(violation.what.ends_with("and its effect stands [truth]"), "{violation}");
}

/// A saga that is through has ended: its undo is answered, and nothing is undone.
fn ended_when_through(plan: &Plan, child: Option<&Instance>, parent: Parent, body: &Payload) -> Asked {
    match child.map(|child| child.state.status()) {
        Some(Status::Provisional) if asks(&parent, Direction::Undo) => Ok(Answered::Is(Answer::Undone)),
        Some(_) | None => ask(plan, child, parent, body),
    }
}

fn absorbing_when_through(
    plan: &Plan,
    saga: &Instance,
    event: &Event,
    now: Timestamp,
) -> Result<Applied, TransitionError> {
    match (&saga.state, event) {
        (State::Provisional(_), Event::Asked { .. }) => Ok(Applied::Ignored(Ignored::Ended)),
        _ => apply(plan, saga, event, now),
    }
}

#[test]
fn a_saga_that_counts_as_ended_when_it_is_through_is_found() {
    let violation = wrong(ended_when_through, absorbing_when_through, Faults::REFUSAL);
    assert!(violation.what.ends_with("and its effect stands [truth]"), "{violation}");
    assert_eq!(violation.trace.last().unwrap(), "saga 1: undone arrives for undo short");
}

/// A saga that is under way answers as if it were through.
fn hasty(plan: &Plan, child: Option<&Instance>, parent: Parent, body: &Payload) -> Asked {
    match child {
        Some(child) if asks(&parent, Direction::Do) => Ok(Answered::Is(Answer::Done(child.data.clone()))),
        Some(_) | None => ask(plan, child, parent, body),
    }
}

#[test]
fn a_saga_that_is_taken_for_through_too_early_is_found() {
    let violation = wrong(hasty, apply, Faults::REFUSAL | Faults::UNKNOWN);
    assert!(violation.what.contains("takes short for done, and it is not [truth]"), "{violation}");
}

/// No answer leaves the child: neither when it comes to its end nor when it is asked again.
fn silent(plan: &Plan, child: Option<&Instance>, parent: Parent, body: &Payload) -> Asked {
    match ask(plan, child, parent, body)? {
        Answered::Is(_) => Ok(Answered::Is(Answer::Running)),
        Answered::Begins(transition) => Ok(Answered::Begins(transition)),
    }
}

fn without_answers(
    plan: &Plan,
    saga: &Instance,
    event: &Event,
    now: Timestamp,
) -> Result<Applied, TransitionError> {
    spoiled(plan, saga, event, now, |moved| {
        moved.effects.retain(|effect| !matches!(effect, Effect::Answer { .. }));
    })
}

#[test]
fn a_parent_that_is_never_answered_is_found_to_be_stuck() {
    let violation = wrong(silent, without_answers, Faults::REFUSAL);
    assert_eq!(violation.what, "no end can be reached from here [stuck]");
}

/// The answer to the first command may be lost, since asking again is answered too.
#[test]
fn a_parent_whose_answer_is_lost_asks_again() {
    let mut explorer = Topology::of([Part::Run(Errand::Short)]).explorer::<5>();
    explorer.apply = without_answers;
    explorer.run().assert_ok();
}

/// A saga completes without releasing those that it has run.
fn without_release(
    plan: &Plan,
    saga: &Instance,
    event: &Event,
    now: Timestamp,
) -> Result<Applied, TransitionError> {
    spoiled(plan, saga, event, now, |moved| {
        moved.effects.retain(|effect| !matches!(effect, Effect::Release { .. }));
    })
}

#[test]
fn a_saga_that_is_never_released_is_found_to_be_stuck() {
    let violation = wrong(ask, without_release, Faults::REFUSAL);
    assert_eq!(violation.what, "no end can be reached from here [stuck]");
}
