//! The saga's own deadline: it is taken back unless its pivot was asked for in time.

use std::time::Duration;

use super::case::{Case, name, permanent, replied, retry, temporary};
use super::contract::{Order, Reserve, overdue_order};
use crate::id::Direction::Do;
use crate::machine::{Cause, Ignored, Status};
use crate::message::Answer;

/// Fifteen seconds to the pivot, of which `seconds` have passed.
fn after(seconds: u64) -> Case {
    let mut case = Case::of(&overdue_order());
    case.now = case.now.plus(Duration::from_secs(seconds));
    case
}

fn timer_of(case: &Case, step: &str) -> Duration {
    case.timers[&name(step)].2
}

fn is_overdue(case: &Case) -> bool {
    case.status() == Status::Compensating && case.saga.state.cause() == Some(&Cause::Overdue)
}

#[test]
fn a_saga_that_does_not_come_to_its_pivot_in_time_is_taken_back() {
    let mut case = Case::of(&overdue_order());
    let begun = case.now;
    let decision = (case.time_out("reserve"), case.time_out("reserve")).1;
    assert_eq!(case.now.since(begun), Duration::from_secs(15));
    assert_eq!(decision.to_string(), "compensating: its deadline passed");
    assert!(is_overdue(&case));
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn the_deadline_cuts_every_wait_before_the_pivot() {
    let mut case = after(14);
    case.answer("reserve", temporary());
    assert!(timer_of(&case, "reserve") <= Duration::from_secs(1));
    case.time_out("reserve");
    let mut case = after(14);
    case.done("reserve");
    assert_eq!(timer_of(&case, "screen"), Duration::from_secs(1));
    case.time_out("screen");
    assert_eq!(case.sent, ["close screen"]);
    assert!(is_overdue(&case));
}

#[test]
fn no_step_is_begun_after_the_deadline() {
    let mut case = after(15);
    case.done("reserve");
    assert!(is_overdue(&case));
    assert_eq!(case.sent, ["undo reserve"]);
    assert_eq!(case.data::<Order>().diary, ["reserve replied 7"], "noted once");
}

#[test]
fn once_the_pivot_is_asked_for_there_is_no_deadline() {
    let mut case = after(14);
    case.done("reserve");
    case.done("screen");
    assert!(timer_of(&case, "capture") >= Duration::from_secs(10));
    for _ in 0..10 {
        case.time_out("capture");
    }
    case.done("capture");
    case.done("ship");
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn taking_back_takes_the_time_it_needs() {
    let mut case = after(15);
    case.time_out("reserve");
    assert!(is_overdue(&case));
    assert!(timer_of(&case, "reserve") >= Duration::from_secs(10));
    assert_eq!(case.ignored(&replied("reserve", Do, 1, super::case::done(7))), Ignored::NotAwaited);
}

#[test]
fn a_step_that_is_being_closed_waits_for_its_answer_though_the_deadline_is_over() {
    let mut case = after(14);
    case.done("reserve");
    case.time_out("screen");
    assert!(timer_of(&case, "screen") >= Duration::from_secs(10));
    case.answer("screen", Answer::Closed);
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn a_step_that_was_closed_before_the_deadline_is_asked_on_after_it() {
    let mut case = Case::of(&overdue_order());
    case.now = case.now.plus(Duration::from_secs(4));
    case.done("reserve");
    for _ in 0..2 {
        case.answer("screen", temporary());
        case.time_out("screen");
    }
    case.answer("screen", temporary());
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["close screen".to_owned()][..]));
    case.time_out("screen");
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["close screen #2".to_owned()][..]));
    case.done("screen");
    assert!(is_overdue(&case));
}

#[test]
fn a_saga_retried_after_its_deadline_is_taken_back() {
    let mut case = Case::of(&overdue_order());
    case.answer("reserve", permanent());
    case.now = case.now.plus(Duration::from_secs(60));
    case.moved(&retry());
    assert_eq!(timer_of(&case, "reserve"), Duration::ZERO);
    case.time_out("reserve");
    assert!(is_overdue(&case));
}

#[test]
fn a_saga_without_a_pivot_has_until_its_end() {
    let deadline = Duration::from_secs(15);
    let definition = crate::saga::<Order>(1).deadline(deadline).step::<Reserve>().build().unwrap();
    let mut case = Case::of(&definition);
    case.now = case.now.plus(Duration::from_secs(16));
    case.done("reserve");
    assert_eq!(case.status(), Status::Completed, "its last step is done, so there is nothing to wait for");
}
