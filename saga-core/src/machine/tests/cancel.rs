//! Taking a saga back on request: before the pivot's command is committed, and after.

use super::case::{Case, cancel, compensate, done, name, replied, resolve_done, resolve_not_done};
use super::contract::{closing_order, order};
use crate::id::Direction::{Close, Do};
use crate::machine::{Cause, Decision, Event, Ignored, State, Status, StepState, TransitionError};
use crate::message::Answer;

#[test]
fn a_cancelled_saga_undoes_its_steps_the_unknown_one_included() {
    let mut case = Case::of(&order());
    let decision = case.moved(&cancel());
    assert_eq!(decision, Decision::TurnedBack(Cause::Cancelled { reason: "changed my mind".into() }));
    assert_eq!(case.sent, ["undo reserve"]);
    assert_eq!(case.ignored(&replied("reserve", Do, 1, done(7))), Ignored::NotAwaited, "too late");
}

#[test]
fn a_cancelled_saga_closes_a_step_with_nothing_to_undo_before_it_goes_back() {
    let mut case = Case::of(&order());
    case.done("reserve");
    case.moved(&cancel());
    assert_eq!(case.sent, ["close screen"]);
    case.answer("screen", Answer::Closed);
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn a_close_under_way_decides_nothing_any_more_once_the_saga_goes_back() {
    let mut case = Case::of(&order());
    case.done("reserve");
    case.exhaust("screen");
    case.moved(&cancel());
    assert!(case.sent.is_empty());
    case.moved(&replied("screen", Close, 1, done(7)));
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve".to_owned()][..]));
}

#[test]
fn what_was_closed_is_settled_and_never_counts_as_undone() {
    let settled = |event: &Event| {
        let mut case = Case::of(&order());
        case.done("reserve");
        case.moved(&cancel());
        assert_eq!(case.moved(event), Decision::StepSettled(name("screen")), "{event:?}");
        let screen = case.saga.state.steps().iter().find(|record| record.name == name("screen"));
        screen.map(|record| record.state.clone()).unwrap()
    };
    for no in [Answer::Closed, Answer::Undone] {
        assert_eq!(settled(&replied("screen", Close, 1, no)), StepState::Refused);
    }
    assert_eq!(settled(&resolve_not_done("screen")), StepState::Refused);
    assert!(matches!(settled(&replied("screen", Close, 1, done(7))), StepState::Done(_)));
    assert!(matches!(settled(&resolve_done("screen")), StepState::Done(_)));
}

#[test]
fn a_cancelled_saga_that_did_nothing_yet_ends_as_soon_as_that_is_sure() {
    let definition =
        crate::saga::<super::contract::Order>(1).check::<super::contract::Screen>().build().unwrap();
    let mut case = Case::of(&definition);
    case.moved(&cancel());
    case.answer("screen", Answer::Closed);
    assert_eq!(case.status(), Status::Compensated);
}

#[test]
fn nobody_cancels_once_the_pivot_is_under_way_or_done() {
    let mut case = Case::of(&closing_order());
    case.done("reserve");
    case.done("screen");
    let past = |case: &mut Case| matches!(case.refused(&cancel()), TransitionError::PastPivot(_));
    assert!(past(&mut case), "while its outcome is unknown");
    let mut closing = case.clone();
    closing.exhaust("capture-or-close");
    assert!(past(&mut closing), "while it is being closed");
    case.done("capture-or-close");
    assert!(past(&mut case), "once it is done");
    assert!(matches!(case.refused(&compensate()), TransitionError::PastPivot(_)));
}

#[test]
fn an_operator_may_have_an_unknown_pivot_closed_and_its_answer_decides() {
    let at_pivot = || {
        let mut case = Case::of(&order());
        case.done("reserve");
        case.done("screen");
        assert_eq!(case.moved(&compensate()).to_string(), "outcome of capture unknown, closing it");
        assert_eq!(case.sent, ["close capture"]);
        case
    };
    let mut done = at_pivot();
    done.done("capture");
    assert_eq!(done.sent, ["do ship"]);
    let mut closed = at_pivot();
    closed.answer("capture", Answer::Closed);
    assert_eq!(closed.sent, ["undo reserve"]);
    let mut again = at_pivot();
    again.moved(&compensate());
    assert_eq!(again.sent, ["close capture #2"]);
}

#[test]
fn an_operator_may_have_a_running_saga_compensated() {
    let mut case = Case::of(&order());
    case.moved(&compensate());
    assert_eq!(case.saga.state.cause(), Some(&Cause::Operator { reason: "give it up".into() }));
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn a_saga_that_goes_back_already_is_not_cancelled_again() {
    let mut case = Case::of(&order());
    case.moved(&cancel());
    assert_eq!(case.ignored(&cancel()), Ignored::UnderWay);
    assert_eq!(case.ignored(&compensate()), Ignored::UnderWay);
}

#[test]
fn a_saga_that_has_ended_is_not_cancelled() {
    let mut case = Case::of(&order());
    case.moved(&cancel());
    case.answer("reserve", Answer::Undone);
    assert!(matches!(case.saga.state, State::Compensated(_)));
    assert_eq!(case.refused(&cancel()), TransitionError::Ended);
}

#[test]
fn a_reason_of_megabytes_is_cut() {
    let mut case = Case::of(&order());
    case.moved(&crate::machine::Event::Cancel { reason: "é\0".repeat(1_000_000) });
    let Some(Cause::Cancelled { reason }) = case.saga.state.cause() else { unreachable!() };
    assert!(reason.len() <= crate::message::FAULT_BYTES_MAX && reason.chars().all(|c| c == 'é'));
}
