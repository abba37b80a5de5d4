//! Waiting for a human: what parks a saga, and every way out.

use std::time::Duration;

use super::case::{
    Case, cancel, compensate, done, name, no, permanent, replied, resolve, resolve_done, resolve_not_done,
    retry, temporary, timer,
};
use super::contract::{Order, order, parallel_order};
use crate::id::Direction::{Close, Do, Undo};
use crate::machine::{Cause, Decision, Event, Ignored, Resolution, Status, TransitionError};
use crate::message::{Answer, Payload};

/// `order`, parked with `reserve` out.
fn parked_forward() -> Case {
    let mut case = Case::of(&order());
    case.answer("reserve", permanent());
    assert_eq!(case.reason(), "service could not do reserve: a bug");
    case
}

/// `order`, parked because the undo of `reserve` came to no end.
fn parked_going_back() -> Case {
    let mut case = Case::of(&order());
    case.moved(&cancel());
    case.exhaust("reserve");
    assert_eq!(case.reason(), "3 attempts to undo reserve are spent");
    case
}

/// `order`, parked while `screen` is being closed.
fn parked_closing() -> Case {
    let mut case = Case::of(&order());
    case.done("reserve");
    case.exhaust("screen");
    case.answer("screen", permanent());
    assert_eq!(case.reason(), "service could not close screen: a bug");
    case
}

/// `order`, parked at its pivot.
fn parked_at_pivot() -> Case {
    let mut case = Case::of(&order());
    case.done("reserve");
    case.done("screen");
    case.answer("capture", permanent());
    case
}

/// `order`, parked after its pivot.
fn parked_after_pivot() -> Case {
    let mut case = Case::of(&order());
    case.done("reserve");
    case.done("screen");
    case.done("capture");
    case.answer("ship", no("no truck"));
    assert!(case.reason().contains("stands after the pivot"), "{}", case.reason());
    assert!(case.reason().contains("no truck"), "{}", case.reason());
    case
}

#[test]
fn a_parked_saga_runs_no_timers_and_ignores_what_comes() {
    let mut case = parked_forward();
    assert!(case.timers.is_empty());
    let undeliverable = Event::Undeliverable { step: name("reserve"), reason: "too large".into() };
    for event in [replied("reserve", Do, 1, done(7)), timer("reserve", Do, 1), undeliverable] {
        assert_eq!(case.ignored(&event), Ignored::Parked);
    }
}

#[test]
fn a_retry_sends_again_and_counts_attempts_and_the_deadline_afresh() {
    let mut case = Case::of(&order());
    case.time_out("reserve");
    case.answer("reserve", permanent());
    assert_eq!(case.moved(&retry()), Decision::Resumed);
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["do reserve #3".to_owned()][..]));
    case.time_out("reserve");
    case.time_out("reserve");
    assert_eq!(case.sent, ["do reserve #5"], "three attempts from the retry on");
    case.time_out("reserve");
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn a_retry_begins_with_the_shortest_pause_again() {
    let mut case = Case::of(&order());
    case.done("reserve");
    case.done("screen");
    for _ in 0..10 {
        case.time_out("capture");
    }
    case.answer("capture", permanent());
    case.moved(&retry());
    case.answer("capture", temporary());
    assert!(case.timers[&name("capture")].2 <= Duration::from_secs(1));
}

#[test]
fn a_retry_of_an_undo_counts_afresh_too() {
    let mut case = parked_going_back();
    case.moved(&retry());
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve #4".to_owned()][..]));
    case.exhaust("reserve");
    assert_eq!(case.awaited("reserve"), Some((Undo, 6)));
    assert_eq!(case.status(), Status::Parked);
}

#[test]
fn the_answer_that_parked_a_saga_comes_again_after_a_retry() {
    let mut case = parked_after_pivot();
    case.moved(&retry());
    assert_eq!(case.sent, ["do ship #2"]);
    case.done("ship");
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn resolved_as_done_the_step_counts_with_the_operators_reply() {
    let mut case = parked_forward();
    case.moved(&resolve_done("reserve"));
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["do screen".to_owned()][..]));
    assert_eq!(case.data::<Order>().diary, ["reserve replied 9"]);
}

#[test]
fn resolved_as_not_done_the_step_is_undone_because_its_command_may_still_arrive() {
    let mut case = parked_forward();
    let decision = case.moved(&resolve_not_done("reserve"));
    assert_eq!(decision, Decision::TurnedBack(Cause::Operator { reason: "asked them by phone".into() }));
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve".to_owned()][..]));
}

#[test]
fn resolved_as_not_done_the_pivot_is_closed_and_the_answer_decides() {
    let mut case = parked_at_pivot();
    case.moved(&resolve_not_done("capture"));
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["close capture".to_owned()][..]));
    case.answer("capture", Answer::Closed);
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn resolved_as_not_done_a_step_that_is_being_closed_is_not_done() {
    let mut case = parked_closing();
    case.moved(&resolve_not_done("screen"));
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve".to_owned()][..]));
}

#[test]
fn resolved_as_not_done_twice_the_participant_still_decides() {
    let mut case = parked_at_pivot();
    case.moved(&resolve_not_done("capture"));
    assert_eq!(case.ignored(&resolve_not_done("capture")), Ignored::UnderWay);
    case.done("capture");
    assert_eq!(case.sent, ["do ship"]);
}

#[test]
fn a_reply_that_the_step_cannot_take_is_refused_and_nothing_changes() {
    let nonsense = Resolution::Done(Payload::encode(&"seven").unwrap());
    for mut case in [parked_forward(), Case::of(&order())] {
        let before = case.saga.clone();
        let error = case.refused(&resolve("reserve", nonsense.clone()));
        assert!(error.to_string().contains("the reply of \"reserve\""), "{error}");
        assert_eq!(case.saga, before);
    }
}

#[test]
fn a_step_after_the_pivot_cannot_be_resolved_as_not_done() {
    let mut case = parked_after_pivot();
    assert_eq!(case.refused(&resolve_not_done("ship")), TransitionError::MustHappen(name("ship")));
    case.moved(&resolve_done("ship"));
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn an_undo_can_only_be_resolved_as_done() {
    let mut case = parked_going_back();
    assert_eq!(case.refused(&resolve_not_done("reserve")), TransitionError::UndoMustHappen(name("reserve")));
    case.moved(&resolve_done("reserve"));
    assert_eq!(case.status(), Status::Compensated);
}

#[test]
fn a_step_that_is_not_awaited_cannot_be_resolved() {
    let mut case = parked_closing();
    for step in ["reserve", "capture"] {
        assert_eq!(case.refused(&resolve_done(step)), TransitionError::NothingToResolve(name(step)));
    }
    let unknown = TransitionError::UnknownStep("rserve".into());
    assert_eq!(case.refused(&resolve_done("rserve")), unknown);
}

#[test]
fn compensated_by_an_operator_a_parked_saga_undoes_the_unknown_step() {
    let mut case = parked_forward();
    case.moved(&compensate());
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve".to_owned()][..]));
}

#[test]
fn whatever_leads_out_a_step_that_is_being_closed_is_asked_again() {
    for verb in [cancel(), compensate(), retry()] {
        let mut case = parked_closing();
        case.moved(&verb);
        assert_eq!(case.sent, ["close screen #2"], "{verb:?}");
        case.answer("screen", Answer::Closed);
        assert_eq!(case.sent, ["undo reserve"], "{verb:?}");
    }
}

#[test]
fn compensated_by_an_operator_a_saga_parked_at_its_pivot_closes_it() {
    let mut case = parked_at_pivot();
    assert!(matches!(case.refused(&cancel()), TransitionError::PastPivot(_)));
    case.moved(&compensate());
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["close capture".to_owned()][..]));
    case.answer("capture", permanent());
    case.moved(&compensate());
    assert_eq!(case.sent, ["close capture #2"]);
}

#[test]
fn a_saga_parked_after_its_pivot_is_not_compensated() {
    let mut case = parked_after_pivot();
    for verb in [cancel(), compensate()] {
        assert!(matches!(case.refused(&verb), TransitionError::PastPivot(_)));
    }
}

#[test]
fn a_saga_parked_going_back_goes_on_going_back() {
    let mut case = parked_going_back();
    assert_eq!(case.ignored(&cancel()), Ignored::UnderWay, "only an operator takes it out");
    case.moved(&compensate());
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve #4".to_owned()][..]));
    assert!(matches!(case.saga.state.cause(), Some(Cause::Cancelled { .. })), "the first cause stands");
}

#[test]
fn a_parked_group_sends_the_rest_again_when_one_step_is_resolved() {
    let mut case = Case::of(&parallel_order());
    case.done("reserve");
    case.answer("invoice", permanent());
    case.moved(&resolve_done("invoice"));
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["do authorize #2".to_owned()][..]));
    case.done("authorize");
    assert_eq!(case.sent, ["do capture"]);
}

#[test]
fn a_parked_group_that_goes_back_sends_the_rest_again_too() {
    let mut case = Case::of(&parallel_order());
    case.done("reserve");
    case.moved(&cancel());
    case.answer("invoice", permanent());
    case.moved(&resolve_done("invoice"));
    assert_eq!(case.sent, ["undo authorize #2"]);
    case.answer("authorize", Answer::Undone);
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn a_message_that_no_broker_takes_parks_the_saga_that_awaits_its_answer() {
    let event = |step: &str| Event::Undeliverable { step: name(step), reason: "too large".into() };
    let mut case = Case::of(&order());
    assert_eq!(case.ignored(&event("screen")), Ignored::NotAwaited);
    assert_eq!(case.moved(&event("reserve")), Decision::Parked("too large".into()));
    case.moved(&retry());
    case.done("reserve");
    assert_eq!(case.ignored(&event("reserve")), Ignored::NotAwaited, "answered after all");
    case.moved(&cancel());
    case.moved(&event("screen"));
    assert_eq!(case.status(), Status::Parked);
    assert!(case.saga.state.cause().is_some());
}

#[test]
fn a_fault_of_an_undo_is_waited_out_until_its_attempts_are_spent() {
    let mut case = Case::of(&order());
    case.moved(&cancel());
    case.answer("reserve", temporary());
    case.time_out("reserve");
    case.answer("reserve", temporary());
    case.time_out("reserve");
    case.answer("reserve", temporary());
    assert_eq!(case.reason(), "3 attempts to undo reserve are spent");
}

#[test]
fn a_permanent_fault_of_an_undo_parks_at_once() {
    let mut case = Case::of(&order());
    case.moved(&cancel());
    case.answer("reserve", permanent());
    assert_eq!(case.reason(), "service could not undo reserve: a bug");
    case.moved(&retry());
    case.answer("reserve", Answer::Undone);
    assert_eq!(case.status(), Status::Compensated);
}

#[test]
fn a_close_while_going_back_never_gives_up() {
    let mut case = Case::of(&order());
    case.done("reserve");
    case.moved(&cancel());
    for _ in 0..20 {
        case.time_out("screen");
    }
    case.answer("screen", Answer::Running);
    case.time_out("screen");
    assert_eq!(case.awaited("screen"), Some((Close, 22)));
    assert_eq!(case.status(), Status::Compensating);
}

#[test]
fn a_closed_step_resolved_while_going_back_is_settled_either_way() {
    for verb in [resolve_done("screen"), resolve_not_done("screen")] {
        let mut case = Case::of(&order());
        case.done("reserve");
        case.moved(&cancel());
        case.moved(&verb);
        assert_eq!(case.sent, ["undo reserve"]);
    }
}

#[test]
fn a_reason_that_no_table_could_hold_is_cut() {
    let mut case = Case::of(&order());
    case.moved(&Event::Undeliverable { step: name("reserve"), reason: "x\0".repeat(1_000_000) });
    assert!(case.reason().len() <= crate::message::FAULT_BYTES_MAX);
    assert!(case.reason().chars().all(|c| c == 'x'));
}

#[test]
fn a_refusal_that_no_table_could_hold_is_cut_in_the_journal() {
    let mut case = Case::of(&order());
    let decision = case.answer("reserve", no(&"x".repeat(1_000_000)));
    assert!(decision.to_string().len() < 2 * crate::message::FAULT_BYTES_MAX);
}
