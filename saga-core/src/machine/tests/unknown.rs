//! Unknown is never failure: what happens when answers do not come, for each role.

use std::time::Duration;

use super::case::{Case, done, no, permanent, replied, temporary, timer};
use super::contract::{Order, closing_order, hurried_order, order};
use crate::id::Direction::{Close, Do, Undo};
use crate::machine::{Cause, Decision, Ignored, Status, TransitionError};
use crate::message::Answer;

/// `order` at its pivot.
fn at_pivot(definition: crate::Definition<Order>) -> Case {
    let mut case = Case::of(&definition);
    case.done("reserve");
    case.done("screen");
    case
}

/// `closing_order` with its pivot being closed.
fn closing_pivot() -> Case {
    let mut case = at_pivot(closing_order());
    case.exhaust("capture-or-close");
    assert_eq!(case.sent, ["close capture-or-close"]);
    case
}

#[test]
fn an_attempt_without_an_answer_is_sent_again_and_not_undone() {
    let mut case = Case::of(&order());
    let decision = case.time_out("reserve");
    assert_eq!(decision.to_string(), "do reserve sent again, attempt 2");
    assert_eq!(case.sent, ["do reserve #2"]);
    assert_eq!(case.status(), Status::Running);
}

#[test]
fn a_compensatable_step_is_undone_itself_when_its_attempts_are_spent() {
    let mut case = Case::of(&order());
    case.time_out("reserve");
    case.time_out("reserve");
    let decision = case.time_out("reserve");
    assert!(matches!(decision, Decision::TurnedBack(Cause::Unanswered { .. })), "{decision:?}");
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve".to_owned()][..]));
    assert!(case.body("reserve", Undo)["did"].is_null());
    case.answer("reserve", Answer::Undone);
    assert_eq!(case.status(), Status::Compensated);
}

#[test]
fn a_step_is_given_up_when_its_deadline_is_over_though_attempts_are_left() {
    let mut case = Case::of(&hurried_order());
    case.done("reserve");
    let begun = case.now;
    case.exhaust("hurried");
    assert_eq!(case.now.since(begun), Duration::from_secs(25));
    assert_eq!(case.sent, ["undo hurried"]);
}

#[test]
fn a_deadline_also_cuts_the_pause_after_a_fault() {
    let mut case = Case::of(&hurried_order());
    case.done("reserve");
    case.now = case.now.plus(Duration::from_millis(24_900));
    case.answer("hurried", temporary());
    assert_eq!(case.timers[&super::case::name("hurried")].2, Duration::from_millis(100));
    case.time_out("hurried");
    assert_eq!(case.sent, ["undo hurried"]);
}

#[test]
fn a_step_with_nothing_to_undo_is_closed_when_its_attempts_are_spent() {
    let mut case = Case::of(&order());
    case.done("reserve");
    case.exhaust("screen");
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["close screen".to_owned()][..]));
}

#[test]
fn a_pivot_is_asked_for_ever_and_never_taken_back_while_it_is_unknown() {
    let mut case = at_pivot(order());
    for attempt in 2..100 {
        case.time_out("capture");
        assert_eq!(case.sent, [format!("do capture #{attempt}")]);
    }
    case.answer("capture", temporary());
    assert_eq!(case.status(), Status::Running);
}

#[test]
fn a_pivot_is_closed_by_policy_when_its_attempts_are_spent() {
    assert_eq!(closing_pivot().status(), Status::Running);
}

#[test]
fn a_fault_at_the_last_attempt_spends_it_too() {
    let mut case = at_pivot(closing_order());
    case.time_out("capture-or-close");
    case.time_out("capture-or-close");
    assert_eq!(
        case.answer("capture-or-close", temporary()).to_string(),
        "outcome of capture-or-close unknown, closing it"
    );
}

#[test]
fn a_closed_pivot_that_was_done_after_all_goes_on() {
    let mut case = closing_pivot();
    case.done("capture-or-close");
    assert_eq!((case.status(), &case.sent[..]), (Status::Running, &["do ship".to_owned()][..]));
}

#[test]
fn a_closed_pivot_that_was_not_done_compensates_whatever_the_no_is_called() {
    for answer in [no("no funds"), Answer::Closed, Answer::Undone] {
        let mut case = closing_pivot();
        case.answer("capture-or-close", answer);
        assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve".to_owned()][..]));
    }
}

#[test]
fn a_close_is_repeated_for_ever_while_an_external_call_runs_and_has_it_called_again() {
    let mut case = closing_pivot();
    for attempt in 2..20 {
        case.answer("capture-or-close", Answer::Running);
        let command = format!("do capture-or-close #{}", attempt - 1);
        assert_eq!(case.sent, [command.trim_end_matches(" #1")], "it waits before it closes again");
        case.time_out("capture-or-close");
        assert_eq!(case.sent, [format!("close capture-or-close #{attempt}")]);
    }
    case.answer("capture-or-close", temporary());
    case.time_out("capture-or-close");
    assert_eq!(case.status(), Status::Running);
}

#[test]
fn a_late_answer_to_the_command_itself_is_as_good_as_one_to_its_close() {
    let mut case = closing_pivot();
    case.moved(&replied("capture-or-close", Do, 1, done(7)));
    assert_eq!(case.sent, ["do ship"]);
    let of_the_close = replied("capture-or-close", Close, 1, done(7));
    assert_eq!(case.ignored(&of_the_close), Ignored::NotAwaited);

    let mut case = closing_pivot();
    case.moved(&replied("capture-or-close", Do, 2, no("no funds")));
    assert_eq!(case.status(), Status::Compensating);
}

#[test]
fn a_late_fault_of_the_command_says_nothing_about_its_close() {
    let mut case = closing_pivot();
    assert_eq!(case.ignored(&replied("capture-or-close", Do, 3, permanent())), Ignored::NotAwaited);
}

#[test]
fn a_retriable_step_is_asked_for_ever() {
    let mut case = at_pivot(order());
    case.done("capture");
    for attempt in 2..100 {
        case.time_out("ship");
        assert_eq!(case.sent, [format!("do ship #{attempt}")]);
    }
    case.done("ship");
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn a_final_answer_counts_from_any_attempt() {
    let mut case = Case::of(&order());
    case.time_out("reserve");
    case.moved(&replied("reserve", Do, 1, done(7)));
    assert_eq!(case.sent, ["do screen"]);
}

#[test]
fn a_fault_counts_from_the_present_attempt_only() {
    let mut case = Case::of(&order());
    case.time_out("reserve");
    for fault in [temporary(), permanent()] {
        assert_eq!(case.ignored(&replied("reserve", Do, 1, fault)), Ignored::EarlierAttempt);
    }
    case.moved(&replied("reserve", Do, 2, temporary()));
    assert_eq!(case.ignored(&replied("reserve", Do, 2, temporary())), Ignored::EarlierAttempt);
}

#[test]
fn a_temporary_fault_is_waited_out_before_the_next_attempt() {
    let mut case = Case::of(&order());
    let decision = case.answer("reserve", temporary());
    assert_eq!(decision.to_string(), "attempt 1 to do reserve failed, waiting to try again");
    assert!(case.sent.is_empty());
    case.time_out("reserve");
    assert_eq!(case.sent, ["do reserve #2"]);
}

#[test]
fn the_last_attempt_is_not_followed_by_a_pause() {
    let mut case = Case::of(&order());
    let after = |case: &Case| case.timers[&super::case::name("reserve")].2;
    assert!(after(&case) > Duration::from_secs(10));
    case.time_out("reserve");
    case.time_out("reserve");
    assert_eq!(after(&case), Duration::from_secs(10));
}

#[test]
fn an_answer_that_its_direction_cannot_have_is_an_error() {
    let mut case = Case::of(&order());
    let error = case.refused(&replied("reserve", Do, 1, Answer::Undone));
    assert!(matches!(error, TransitionError::WrongAnswer { direction: Do, .. }), "{error}");
}

#[test]
fn a_step_that_the_definition_does_not_know_is_an_error() {
    let mut case = Case::of(&order());
    for event in [replied("rserve", Do, 1, done(7)), timer("rserve", Do, 1)] {
        assert_eq!(case.refused(&event), TransitionError::UnknownStep("rserve".into()));
    }
}

#[test]
fn a_timer_of_another_attempt_or_direction_is_stale() {
    let mut case = Case::of(&order());
    case.time_out("reserve");
    for stale in
        [timer("reserve", Do, 1), timer("reserve", Do, 3), timer("reserve", Undo, 2), timer("screen", Do, 1)]
    {
        assert_eq!(case.ignored(&stale), Ignored::StaleTimer, "{stale:?}");
    }
}

#[test]
fn attempts_never_overflow() {
    let mut case = at_pivot(order());
    let crate::machine::State::Running(running) = &mut case.saga.state else { unreachable!() };
    for record in &mut running.steps {
        if let crate::machine::StepState::Doing(asked) = &mut record.state {
            asked.attempt = u32::MAX;
        }
    }
    case.moved(&timer("capture", Do, u32::MAX));
    assert_eq!(case.awaited("capture"), Some((Do, u32::MAX)));
}
