//! Steps that run at the same time, and the order of taking back.

use serde_json::json;

use super::case::{Case, cancel, done, no, replied, resolve_done, retry};
use super::contract::{Order, order_shipped_and_thanked_for, parallel_order};
use crate::id::Direction::{Do, Undo};
use crate::machine::{Cause, Decision, Ignored, Status};
use crate::message::Answer;

/// `parallel_order` with both steps of its group out.
fn both_out() -> Case {
    let mut case = Case::of(&parallel_order());
    case.done("reserve");
    assert_eq!(case.sent, ["do authorize", "do invoice"]);
    case
}

#[test]
fn a_group_is_done_when_its_last_step_is() {
    let mut case = both_out();
    assert_eq!(case.done("invoice"), Decision::StepDone(super::case::name("invoice")));
    assert!(case.sent.is_empty());
    case.done("authorize");
    assert_eq!(case.sent, ["do capture"]);
}

#[test]
fn a_refusal_undoes_the_others_at_once_answered_or_not() {
    let mut unanswered = both_out();
    unanswered.answer("invoice", no("no address"));
    assert_eq!(unanswered.sent, ["undo authorize"]);
    assert!(unanswered.body("authorize", Undo)["did"].is_null());

    let mut answered = both_out();
    answered.answer("authorize", done(5));
    answered.answer("invoice", no("no address"));
    assert_eq!(answered.sent, ["undo authorize"]);
    assert_eq!(answered.body("authorize", Undo)["did"], json!(5));
}

#[test]
fn a_step_that_stays_unknown_is_undone_together_with_the_others() {
    let mut case = both_out();
    case.done("authorize");
    case.exhaust("invoice");
    assert_eq!(case.sent, ["undo authorize", "undo invoice"]);
}

#[test]
fn earlier_groups_are_undone_only_after_the_whole_later_one() {
    let mut case = both_out();
    case.moved(&cancel());
    assert_eq!(case.sent, ["undo authorize", "undo invoice"]);
    assert_eq!(case.answer("invoice", Answer::Undone), Decision::StepUndone(super::case::name("invoice")));
    assert!(case.sent.is_empty());
    case.answer("authorize", Answer::Undone);
    assert_eq!(case.sent, ["undo reserve"]);
    assert_eq!(case.answer("reserve", Answer::Undone), Decision::Compensated);
}

#[test]
fn a_refused_pivot_undoes_every_group_in_reverse_order() {
    let mut case = both_out();
    case.done("authorize");
    case.done("invoice");
    let decision = case.answer("capture", no("no funds"));
    assert!(matches!(decision, Decision::TurnedBack(Cause::Refused { .. })));
    assert_eq!(case.sent, ["undo authorize", "undo invoice"]);
    case.answer("authorize", Answer::Undone);
    case.answer("invoice", Answer::Undone);
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn a_second_refusal_and_a_late_done_change_nothing() {
    let mut case = both_out();
    case.answer("invoice", no("no address"));
    for late in [done(5), no("no funds"), Answer::Closed] {
        assert_eq!(case.ignored(&replied("authorize", Do, 1, late)), Ignored::NotAwaited);
    }
    assert_eq!(case.ignored(&replied("invoice", Do, 1, no("no address"))), Ignored::NotAwaited);
}

#[test]
fn a_command_that_is_sent_again_does_not_see_what_its_siblings_answered() {
    let mut case = both_out();
    case.done("authorize");
    case.time_out("invoice");
    assert_eq!(case.sent, ["do invoice #2"]);
    assert_eq!(case.body("invoice", Do)["diary"], json!(["reserve replied 7"]));
}

#[test]
fn replies_of_a_group_are_noted_in_the_order_of_the_definition_whatever_came_first() {
    let diary = |first: &str, second: &str| {
        let mut case = both_out();
        case.done(first);
        case.done(second);
        case.data::<Order>().diary
    };
    let expected = ["reserve replied 7", "authorize replied 7", "invoice replied 7"];
    assert_eq!(diary("authorize", "invoice"), expected);
    assert_eq!(diary("invoice", "authorize"), expected);
}

#[test]
fn an_undo_sees_what_the_steps_that_were_done_have_answered() {
    let mut case = both_out();
    case.done("authorize");
    case.answer("invoice", no("no address"));
    let noted = json!(["reserve replied 7", "invoice refused no address", "authorize replied 7"]);
    assert_eq!(case.body("authorize", Undo)["diary"], noted);
}

#[test]
fn a_command_sees_only_what_is_stored() {
    let mut case = Case::of(&parallel_order());
    case.done("reserve");
    assert_eq!(case.body("authorize", Do)["unstored"], json!(false));
    case.time_out("authorize");
    assert_eq!(case.sent, ["do authorize #2"]);
}

#[test]
fn an_operator_resolves_one_step_of_a_running_group_and_leaves_the_other_alone() {
    let mut case = both_out();
    case.moved(&resolve_done("authorize"));
    assert!(case.sent.is_empty());
    case.done("invoice");
    assert_eq!(case.sent, ["do capture"]);
    assert_eq!(case.status(), Status::Running);
}

#[test]
fn behind_the_pivot_a_group_is_asked_for_until_all_of_it_is_done() {
    let mut case = Case::of(&order_shipped_and_thanked_for());
    case.done("capture");
    assert_eq!(case.sent, ["do ship", "do thank"]);
    case.time_out("ship");
    assert_eq!(case.sent, ["do ship #2"]);
    case.done("thank");
    assert!(case.sent.is_empty());
    case.done("ship");
    assert_eq!(case.sent, ["tell ended to mailing"]);
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn a_refusal_in_a_group_behind_the_pivot_parks_the_saga_and_its_release_asks_for_what_is_missing() {
    let mut case = Case::of(&order_shipped_and_thanked_for());
    case.done("capture");
    case.answer("ship", no("the road is closed"));
    assert_eq!(case.status(), Status::Parked);
    case.moved(&retry());
    assert_eq!(case.sent, ["do ship #2", "do thank #2"]);
}
