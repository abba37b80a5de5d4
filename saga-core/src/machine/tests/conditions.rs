//! Steps that the saga's data decides about.

use super::case::{Case, cancel, no, permanent, retry};
use super::contract::{Order, moody_order, order, picky_order};
use crate::id::SagaId;
use crate::machine::{Decision, Status, StepState, TransitionError, start};
use crate::message::{Answer, Payload, TraceParent};
use crate::policy::Timestamp;

/// `picky_order` that does without these steps.
fn without(steps: &[&str]) -> Case {
    Case::with(&picky_order(), &Order::without(steps))
}

/// From now on every step is wanted, and none panics.
fn change_mind(case: &mut Case) {
    let order = Order { diary: case.data::<Order>().diary, ..Order::default() };
    case.saga.data = Payload::encode(&order).unwrap();
}

fn is_skipped(case: &Case, step: &str) -> bool {
    let mut steps = case.saga.state.steps().iter();
    steps.any(|record| record.name.as_str() == step && record.state == StepState::Skipped)
}

#[test]
fn steps_whose_conditions_are_met_are_run_like_any_other() {
    let mut case = without(&[]);
    for step in ["reserve", "authorize", "invoice", "screen", "capture", "ship"] {
        case.done(step);
    }
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn a_step_whose_condition_is_not_met_is_passed_and_recorded() {
    let mut case = without(&["screen", "ship"]);
    for step in ["reserve", "authorize", "invoice"] {
        case.done(step);
    }
    assert_eq!(case.sent, ["do capture"]);
    assert!(is_skipped(&case, "screen"));
    assert_eq!(case.done("capture"), Decision::Completed);
    assert!(is_skipped(&case, "ship"));
}

#[test]
fn of_a_group_only_the_wanted_steps_are_run() {
    let mut case = without(&["invoice"]);
    case.done("reserve");
    assert_eq!(case.sent, ["do authorize"]);
    case.done("authorize");
    assert_eq!(case.sent, ["do screen"]);
}

#[test]
fn a_group_whose_steps_are_all_skipped_is_passed() {
    let mut case = without(&["authorize", "invoice"]);
    case.done("reserve");
    assert_eq!(case.sent, ["do screen"]);
    assert!(is_skipped(&case, "authorize") && is_skipped(&case, "invoice"));
}

#[test]
fn a_saga_may_skip_its_first_steps_or_all() {
    assert_eq!(without(&["reserve", "authorize"]).sent, ["do invoice"]);
    let none = without(&["reserve", "authorize", "invoice", "screen", "capture", "ship"]);
    assert_eq!((none.status(), none.sent.len()), (Status::Completed, 0));
}

#[test]
fn what_is_undone_is_what_was_done_whatever_became_of_the_data() {
    let mut case = Case::of(&moody_order());
    case.done("reserve");
    assert_eq!(case.sent, ["do invoice"], "the diary is no longer empty");
    case.answer("invoice", no("no address"));
    assert_eq!(case.sent, ["undo reserve"], "though its condition is no longer met");
    case.answer("reserve", Answer::Undone);
    assert_eq!(case.status(), Status::Compensated);
}

#[test]
fn a_step_that_was_skipped_is_not_undone_though_its_condition_is_met_by_now() {
    let mut case = without(&["authorize"]);
    case.done("reserve");
    change_mind(&mut case);
    case.moved(&cancel());
    assert_eq!(case.sent, ["undo invoice"]);
    case.answer("invoice", Answer::Undone);
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn a_pivot_that_is_skipped_is_passed_like_one_that_is_done() {
    let mut case = without(&["capture"]);
    for step in ["reserve", "authorize", "invoice", "screen"] {
        case.done(step);
    }
    assert_eq!(case.sent, ["do ship"]);
    assert!(matches!(case.refused(&cancel()), TransitionError::PastPivot(_)));
    case.answer("ship", no("no truck"));
    assert_eq!(case.status(), Status::Parked, "nothing may be refused behind it");
}

#[test]
fn a_condition_that_panics_parks_its_saga_as_it_was() {
    let mut case = Case::with(&picky_order(), &Order::trapped("when screen"));
    for step in ["reserve", "authorize", "invoice"] {
        case.done(step);
    }
    assert_eq!(case.reason(), "`when` of \"screen\" panicked: trapped in when screen");
    change_mind(&mut case);
    case.moved(&retry());
    assert_eq!(case.sent, ["do invoice #2"], "its answer is asked for again");
    case.done("invoice");
    assert_eq!(case.sent, ["do screen"]);
}

#[test]
fn a_saga_whose_first_condition_panics_is_not_started() {
    let id = SagaId::from_uuid(uuid::Uuid::from_u128(7));
    let trace = TraceParent::of_message(id, crate::id::MessageId::from_uuid(id.as_uuid()));
    let data = Payload::encode(&Order::trapped("when reserve")).unwrap();
    let error = start(picky_order().plan(), id, data, trace, Timestamp::default()).unwrap_err();
    assert!(error.to_string().contains("trapped in when reserve"), "{error}");
}

#[test]
fn a_parked_saga_keeps_what_was_decided() {
    let mut case = without(&["invoice"]);
    case.done("reserve");
    case.answer("authorize", permanent());
    change_mind(&mut case);
    case.moved(&retry());
    assert_eq!(case.sent, ["do authorize #2"]);
    case.done("authorize");
    assert_eq!(case.sent, ["do screen"]);
}

#[test]
fn a_condition_makes_another_definition() {
    assert_ne!(order().plan().reference().fingerprint, picky_order().plan().reference().fingerprint);
    assert!(picky_order().plan().steps().iter().all(|step| step.conditional));
    assert!(order().plan().steps().iter().all(|step| !step.conditional));
}
