//! Machines that move a saga to a newer version where they must not.

use saga_core::definition::Plan;
use saga_core::machine::{
    Applied, Decision, Event, Instance, State, Transition, TransitionError, UpgradeError, apply, upgrade,
};
use saga_core::policy::Timestamp;

use crate::topology::{Errand, Part, Topology};
use Part::{Check, Elsewhere, Gone, Run, Step};

/// Every saga under way may move, wherever it stands.
fn anywhere(plan: &Plan, saga: &Instance) -> Result<Event, UpgradeError> {
    if saga.state.status().is_terminal() {
        return Err(UpgradeError::Ended);
    }
    let (from, to) = (saga.definition.version, plan.reference().version);
    Ok(Event::Upgraded { from, to, data: saga.data.clone() })
}

fn moving(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Result<Applied, TransitionError> {
    let Event::Upgraded { from, to, .. } = event else { return apply(plan, saga, event, now) };
    let next = Instance { definition: plan.reference().clone(), ..saga.clone() };
    let decision = Decision::Upgraded(*from, *to);
    Ok(Applied::Moved(Box::new(Transition { next, effects: Vec::new(), decision })))
}

/// What is found if sagas of the older shape may move to the newer one anywhere.
fn found(older: &[Part], newer: &[Part]) -> String {
    let first = Topology::of(older.iter().copied());
    let second = Topology::of(newer.iter().copied()).upgrade_of::<3>(&first.definition::<3>());
    let mut explorer = first.explorer::<3>().upgrade_to(&second);
    (explorer.upgrade, explorer.apply) = (anywhere, moving);
    explorer.run().violation.unwrap().what
}

#[test]
fn a_saga_that_moves_past_a_step_that_was_added_is_found() {
    assert_eq!(found(&[Gone, Check], &[Step, Check]), "the saga is completed without s0 [end]");
}

#[test]
fn a_saga_that_moves_past_a_step_that_was_taken_out_is_found() {
    let found = found(&[Step, Check], &[Gone, Check]);
    assert_eq!(found, "s0 was asked for, and diary version 2 has no such step [memory]");
}

#[test]
fn a_saga_that_moves_past_a_step_that_somebody_else_does_now_is_found() {
    let found = found(&[Step, Check], &[Elsewhere, Check]);
    assert_eq!(found, "s0 was asked for, and diary version 2 has no such step [memory]");
}

/// A saga that is parked may move though it is through.
fn while_parked(plan: &Plan, saga: &Instance) -> Result<Event, UpgradeError> {
    match (upgrade(plan, saga), &saga.state) {
        (Err(UpgradeError::Through), State::Parked(_)) => anywhere(plan, saga),
        (decided, _) => decided,
    }
}

#[test]
fn a_saga_that_is_through_and_moves_while_its_code_fails_is_found() {
    let mut explorer = Topology::of([Run(Errand::Short), Check]).with_newer_errands().explorer::<5>();
    (explorer.upgrade, explorer.apply) = (while_parked, moving);
    let violation = explorer.run().violation.unwrap();
    assert!(
        violation.trace.iter().any(|line| line.ends_with("and the saga's own code fails")),
        "{violation}"
    );
}
