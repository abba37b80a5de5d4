//! What a saga tells others.

use serde_json::json;

use super::case::{Case, cancel, done, no, replied, retry, signal};
use super::contract::{Approval, Order, told_order};
use crate::id::Direction::Do;
use crate::machine::{Ignored, Status, TransitionError};
use crate::message::{Answer, Payload};

#[test]
fn others_are_told_with_the_transition_that_comes_to_the_step() {
    let mut case = Case::of(&told_order());
    assert_eq!(case.sent, ["tell begun to mailing", "do reserve"]);
    case.done("reserve");
    assert_eq!(case.sent, ["tell reserved to mailing and statistics", "do capture"]);
    assert_eq!(case.body("reserved", Do), json!(["reserve replied 7"]));
    case.done("capture");
    assert_eq!(case.sent, ["tell ended to mailing"]);
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn nobody_is_told_on_a_condition_that_is_not_met() {
    let mut case = Case::with(&told_order(), &Order::without(&["reserved"]));
    case.done("reserve");
    assert_eq!(case.sent, ["do capture"]);
}

#[test]
fn nothing_is_told_twice_and_nothing_taken_back() {
    let mut case = Case::of(&told_order());
    case.moved(&retry());
    assert_eq!(case.sent, ["do reserve #2"]);
    case.done("reserve");
    case.answer("capture", no("no funds"));
    assert_eq!(case.sent, ["undo reserve"]);
    case.answer("reserve", Answer::Undone);
    assert_eq!(case.status(), Status::Compensated);
    let mut cancelled = Case::of(&told_order());
    cancelled.moved(&cancel());
    assert_eq!(cancelled.sent, ["undo reserve"]);
}

#[test]
fn a_notification_is_neither_answered_nor_given() {
    let mut case = Case::of(&told_order());
    for step in ["begun", "ended"] {
        assert_eq!(case.ignored(&replied(step, Do, 1, done(7))), Ignored::NotAwaited);
        let given = case.refused(&signal(step, Approval::Yes));
        assert!(matches!(given, TransitionError::NoSignal(_)), "{given}");
    }
}

#[test]
fn a_notification_that_panics_parks_the_saga_and_nobody_was_told() {
    let mut case = Case::with(&told_order(), &Order::trapped("tell reserved"));
    case.done("reserve");
    assert!(case.reason().contains("trapped in tell reserved"), "{}", case.reason());
    let mended = Order { trap: String::new(), ..case.data() };
    case.saga.data = Payload::encode(&mended).unwrap();
    case.moved(&retry());
    case.done("reserve");
    assert_eq!(case.sent, ["tell reserved to mailing and statistics", "do capture"]);
}
