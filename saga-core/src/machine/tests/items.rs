//! Steps that are run once for each of several items.

use std::time::Duration;

use serde_json::json;

use super::case::{Case, cancel, done, name, no, permanent, replied, resolve_done, retry};
use super::contract::{Order, Pick, picked_order};
use crate::definition::saga;
use crate::id::Direction::{Do, Undo};
use crate::id::SagaId;
use crate::machine::{Cause, Decision, Ignored, Status, StepState, TransitionError, start};
use crate::message::{Answer, Payload, TraceParent};
use crate::policy::Timestamp;

/// `picked_order` of these items, with the first of them out.
fn picking(items: &[&str]) -> Case {
    let mut case = Case::with(&picked_order(), &Order::of(items));
    case.done("reserve");
    case
}

fn state(case: &Case, step: &str) -> StepState {
    let mut steps = case.saga.state.steps().iter();
    steps.find(|record| record.name.as_str() == step).unwrap().state.clone()
}

fn parked_over(items: &[&str]) -> String {
    picking(items).reason().to_owned()
}

#[test]
fn each_item_is_asked_for_under_its_own_name_as_many_at_once_as_may_be() {
    let mut case = picking(&["a", "b", "c"]);
    assert_eq!(case.sent, ["do pick#a", "do pick#b"]);
    assert_eq!(state(&case, "pick#c"), StepState::Queued);
    assert_eq!(case.body("pick#a", Do)["item"], json!("a"));
    assert_eq!(case.done("pick#b"), Decision::StepDone(name("pick#b")));
    assert_eq!(case.sent, ["do pick#c"]);
    case.done("pick#c");
    assert!(case.sent.is_empty());
    case.done("pick#a");
    assert_eq!(case.sent, ["do capture"]);
}

#[test]
fn replies_are_noted_in_the_order_of_the_items_and_no_command_sees_those_of_others() {
    let mut case = picking(&["b", "a", "c"]);
    case.answer("pick#a", done(1));
    assert_eq!(case.body("pick#c", Do)["diary"], json!(["reserve replied 7"]));
    case.answer("pick#c", done(2));
    case.answer("pick#b", done(3));
    let noted = ["reserve replied 7", "pick b replied 3", "pick a replied 1", "pick c replied 2"];
    assert_eq!(case.data::<Order>().diary, noted);
}

#[test]
fn the_items_are_those_of_the_moment_when_the_step_was_entered() {
    let mut case = picking(&["a", "b", "c"]);
    let changed = Order { items: vec!["x".into()], ..case.data() };
    case.saga.data = Payload::encode(&changed).unwrap();
    for item in ["a", "b", "c"] {
        case.done(&format!("pick#{item}"));
    }
    case.done("capture");
    assert_eq!(case.sent, ["do pack#x"], "a step that is entered later sees the data of then");
}

#[test]
fn an_order_without_items_passes_the_step() {
    let mut case = picking(&[]);
    assert_eq!(case.sent, ["do capture"]);
    assert_eq!(state(&case, "pick"), StepState::Skipped);
    assert_eq!(case.done("capture"), Decision::Completed);
    let order = Order { unwanted: vec!["pick".into()], ..Order::of(&["a"]) };
    let mut unwanted = Case::with(&picked_order(), &order);
    unwanted.done("reserve");
    assert_eq!(unwanted.sent, ["do capture"]);
}

#[test]
fn items_that_cannot_be_steps_park_the_saga_with_the_reason() {
    assert_eq!(parked_over(&["a", "b", "a"]), "`items` of \"pick\" gave the item \"a\" twice");
    assert!(parked_over(&["a b"]).starts_with("`items` of \"pick\" gave a bad key: the name \"pick#a b\""));
    let many: Vec<String> = (0..257).map(|item| item.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(parked_over(&many), "`items` of \"pick\" gave 257 items, and the limit is 256");
    assert_eq!(picking(&many[1..]).status(), Status::Running);
    let mut empty = picking(&[""]);
    assert_eq!(empty.sent, ["do pick#"], "an empty key is a key");
    empty.done("pick#");
}

#[test]
fn a_saga_that_begins_with_items_that_cannot_be_steps_is_not_started() {
    let id = SagaId::from_uuid(uuid::Uuid::from_u128(7));
    let trace = TraceParent::of_message(id, crate::id::MessageId::from_uuid(id.as_uuid()));
    let definition = crate::saga::<Order>(1).for_each::<Pick>().build().unwrap();
    let begin = |order: &Order| {
        start(definition.plan(), id, Payload::encode(order).unwrap(), trace.clone(), Timestamp::default())
    };
    assert!(begin(&Order::of(&["a", "a"])).unwrap_err().to_string().contains("the item \"a\" twice"));
    assert_eq!(begin(&Order::of(&[])).unwrap().next.state.status(), Status::Completed);
}

#[test]
fn a_refused_item_has_the_others_undone_and_those_in_the_queue_forgotten() {
    let mut case = picking(&["a", "b", "c", "d"]);
    case.answer("pick#a", done(5));
    case.answer("pick#b", no("sold out"));
    assert_eq!(case.sent, ["undo pick#a", "undo pick#c"]);
    assert_eq!(case.body("pick#a", Undo), json!({ "item": "a", "did": 5 }));
    assert!(case.body("pick#c", Undo)["did"].is_null(), "its answer had not come");
    assert_eq!(state(&case, "pick#d"), StepState::Refused);
    let cause = case.saga.state.cause().unwrap().to_string();
    assert_eq!(cause, "pick#b was refused with \"sold out\"");
    assert!(case.data::<Order>().diary.contains(&"pick b refused sold out".to_owned()));
    case.answer("pick#c", Answer::Undone);
    case.answer("pick#a", Answer::Undone);
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn items_are_undone_as_many_at_once_as_they_were_done() {
    let mut case = picking(&["a", "b", "c", "d", "e"]);
    for item in ["a", "b", "c", "d", "e"] {
        case.done(&format!("pick#{item}"));
    }
    case.answer("capture", no("no funds"));
    assert_eq!(case.sent, ["undo pick#a", "undo pick#b"]);
    case.answer("pick#b", Answer::Undone);
    assert_eq!(case.sent, ["undo pick#c"]);
    for item in ["a", "c"] {
        case.answer(&format!("pick#{item}"), Answer::Undone);
    }
    case.answer("pick#d", Answer::Undone);
    assert!(case.sent.is_empty(), "one is not undone yet");
    case.answer("pick#e", Answer::Undone);
    assert_eq!(case.sent, ["undo reserve"]);
}

#[test]
fn an_item_that_stays_unknown_is_undone_itself() {
    let mut case = picking(&["a", "b", "c"]);
    case.done("pick#a");
    case.exhaust("pick#b");
    assert_eq!(case.saga.state.cause(), Some(&Cause::Unanswered { step: name("pick#b") }));
    assert_eq!(case.sent, ["undo pick#b", "undo pick#c"]);
    case.answer("pick#c", Answer::Undone);
    assert_eq!(case.sent, ["undo pick#a"]);
}

#[test]
fn a_late_or_doubled_answer_for_an_item_is_ignored_and_one_for_an_unknown_item_is_an_error() {
    let mut case = picking(&["a", "b", "c"]);
    case.done("pick#a");
    assert_eq!(case.ignored(&replied("pick#a", Do, 1, done(7))), Ignored::NotAwaited);
    let mut early = picking(&["a", "b", "c"]);
    assert_eq!(early.ignored(&replied("pick#c", Do, 1, done(7))), Ignored::NotAwaited);
    for unknown in ["pick#z", "pluck#a", "reserve#a"] {
        let error = case.refused(&replied(unknown, Do, 1, done(7)));
        assert_eq!(error, TransitionError::UnknownStep(unknown.into()));
    }
    assert_eq!(case.ignored(&replied("pick", Do, 1, done(7))), Ignored::NotAwaited);
}

#[test]
fn a_parked_saga_asks_again_for_the_items_that_are_out() {
    let mut case = picking(&["a", "b", "c"]);
    case.done("pick#a");
    case.answer("pick#b", permanent());
    case.moved(&retry());
    assert_eq!(case.sent, ["do pick#b #2", "do pick#c #2"]);
    case.moved(&resolve_done("pick#b"));
    case.done("pick#c");
    assert_eq!(case.sent, ["do capture"]);
}

#[test]
fn a_cancelled_saga_undoes_its_items() {
    let mut case = picking(&["a", "b", "c"]);
    case.done("pick#a");
    case.moved(&cancel());
    assert_eq!(case.sent, ["undo pick#b", "undo pick#c"], "what is out comes first");
    case.answer("pick#b", Answer::Undone);
    assert_eq!(case.sent, ["undo pick#a"]);
}

#[test]
fn items_after_the_pivot_succeed_in_the_end() {
    let mut case = picking(&["a", "b", "c"]);
    for step in ["pick#a", "pick#b", "pick#c", "capture"] {
        case.done(step);
    }
    assert_eq!(case.sent, ["do pack#a", "do pack#b"]);
    for attempt in 2..20 {
        case.time_out("pack#a");
        assert_eq!(case.sent, [format!("do pack#a #{attempt}")]);
    }
    case.answer("pack#b", no("no box"));
    assert!(case.reason().contains("step pack#b stands after the pivot"));
    case.moved(&retry());
    for step in ["pack#a", "pack#b", "pack#c"] {
        case.done(step);
    }
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn no_item_is_begun_after_the_deadline() {
    let hurried = saga(1).for_each::<Pick>().deadline(Duration::from_secs(15)).build().unwrap();
    let mut case = Case::with(&hurried, &Order::of(&["a", "b", "c"]));
    case.now = case.now.plus(Duration::from_secs(15));
    assert_eq!(case.done("pick#a"), Decision::TurnedBack(Cause::Overdue));
    assert_eq!(case.sent, ["undo pick#a", "undo pick#b"], "and none of pick#c");
}
