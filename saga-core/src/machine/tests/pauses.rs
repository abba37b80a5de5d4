//! Steps that let time pass.

use std::time::Duration;

use super::case::{
    Case, cancel, done, name, replied, resolve_done, resolve_not_done, retry, signal, temporary, timer,
};
use super::contract::{Approval, Order, only_rest, rested_order};
use crate::id::Direction::Do;
use crate::machine::{Cause, Decision, Event, Ignored, Status, StepState, TransitionError};

/// After `reserve`, at the pause before the pivot.
fn resting() -> Case {
    let mut case = Case::of(&rested_order());
    case.done("reserve");
    case
}

/// At the pause behind the pivot.
fn resting_again() -> Case {
    let mut case = resting();
    case.time_out("rest");
    case.done("capture");
    case
}

fn timer_of(case: &Case, step: &str) -> Duration {
    case.timers[&name(step)].2
}

fn parked(mut case: Case) -> Case {
    case.moved(&Event::Undeliverable { step: name("rest"), reason: "as an operator has it".into() });
    assert!(case.timers.is_empty());
    case
}

#[test]
fn what_follows_a_pause_is_sent_when_it_is_over_before_the_pivot_and_behind_it() {
    let mut case = resting();
    assert!(case.sent.is_empty());
    assert_eq!(timer_of(&case, "rest"), HOUR);
    assert_eq!(case.time_out("rest"), Decision::Advanced(name("rest")));
    assert_eq!(case.sent, ["do capture"]);
    case.done("capture");
    assert!(case.sent.is_empty());
    assert_eq!(timer_of(&case, "rest-again"), 2 * HOUR);
    case.time_out("rest-again");
    assert_eq!(case.sent, ["do ship"]);
    assert_eq!(case.done("ship"), Decision::Completed);
}

#[test]
fn a_saga_may_begin_and_end_with_a_pause() {
    let mut case = Case::of(&only_rest(None));
    assert_eq!(case.time_out("rest"), Decision::Completed);
}

#[test]
fn a_pause_longer_than_a_year_parks_the_saga_and_says_why() {
    let mut case = Case::with(&rested_order(), &Order { lenient: true, ..Order::default() });
    case.done("reserve");
    assert_eq!(case.status(), Status::Parked);
    assert!(case.reason().starts_with("`length` of \"rest\" gave"), "{}", case.reason());
}

#[test]
fn a_saga_that_is_cancelled_in_a_pause_is_taken_back_at_once() {
    let mut case = resting();
    case.moved(&cancel());
    assert_eq!(case.sent, ["undo reserve"]);
    assert_eq!(case.ignored(&timer("rest", Do, 1)), Ignored::StaleTimer);
}

#[test]
fn a_released_saga_pauses_for_what_was_left() {
    for mut case in [resting(), parked(resting())] {
        case.now = case.now.plus(HOUR / 4);
        case.moved(&retry());
        assert_eq!(timer_of(&case, "rest"), 3 * HOUR / 4);
        assert_eq!(case.ignored(&timer("rest", Do, 1)), Ignored::StaleTimer);
        case.time_out("rest");
        assert_eq!(case.sent, ["do capture"]);
    }
    let mut case = parked(resting());
    case.now = case.now.plus(2 * HOUR);
    case.moved(&retry());
    assert_eq!(timer_of(&case, "rest"), Duration::ZERO);
}

#[test]
fn an_operator_ends_a_pause_or_has_the_saga_undone() {
    let mut case = resting();
    case.moved(&resolve_done("rest"));
    assert_eq!(case.sent, ["do capture"]);
    let mut case = resting();
    case.moved(&resolve_not_done("rest"));
    assert_eq!(case.sent, ["undo reserve"]);
    let mut case = resting_again();
    assert_eq!(
        case.refused(&resolve_not_done("rest-again")),
        TransitionError::MustHappen(name("rest-again"))
    );
    case.moved(&resolve_done("rest-again"));
    assert_eq!(case.sent, ["do ship"]);
}

#[test]
fn the_deadline_of_the_saga_cuts_a_pause() {
    let mut case = Case::of(&only_rest(Some(HOUR / 2)));
    assert_eq!(timer_of(&case, "rest"), HOUR / 2);
    case.time_out("rest");
    assert_eq!(case.saga.state.cause(), Some(&Cause::Overdue));
}

#[test]
fn nobody_answers_or_signals_a_pause() {
    let mut case = resting();
    assert_eq!(case.ignored(&replied("rest", Do, 1, done(1))), Ignored::NotAwaited);
    assert_eq!(case.ignored(&replied("rest", Do, 1, temporary())), Ignored::NotAwaited);
    assert_eq!(case.refused(&signal("rest", Approval::Yes)), TransitionError::NoSignal(name("rest")));
    let steps = case.saga.state.steps();
    assert!(steps.iter().any(|step| matches!(step.state, StepState::Pausing { .. })));
}

const HOUR: Duration = Duration::from_secs(3600);

/// The timer was cut to a deadline that a newer build has put off.
#[test]
fn a_pause_whose_timer_is_early_goes_on_to_its_end() {
    let mut case = Case::of(&only_rest(Some(HOUR / 4)));
    case.plan = only_rest(Some(2 * HOUR)).plan().clone();
    assert_eq!(timer_of(&case, "rest"), HOUR / 4);
    assert_eq!(case.time_out("rest"), Decision::WaitingOn(name("rest")));
    assert_eq!(timer_of(&case, "rest"), HOUR * 3 / 4);
    assert_eq!(case.time_out("rest"), Decision::Completed);
}
