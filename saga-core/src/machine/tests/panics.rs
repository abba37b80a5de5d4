//! A panic in user code, or data that it cannot read, parks the one saga it happens in, as it was.

use super::case::{Case, cancel, done, no, replied, resolve_done, retry};
use super::contract::{Order, order, parallel_order};
use crate::definition::{Definition, Saga, Step, saga as define};
use crate::id::Direction::Do;
use crate::machine::{Event, Instance, State, Status, start};
use crate::message::{Answer, Payload};
use serde::{Deserialize, Deserializer, Serialize};

/// Applies `event`, which is to park the saga with `reason` and leave all else as it was.
fn parks(mut case: Case, event: &Event, reason: &str) -> Case {
    let before = case.saga.clone();
    case.moved(event);
    assert!(case.reason().contains(reason), "{}", case.reason());
    assert_eq!(case.saga.state.steps(), before.state.steps());
    assert_eq!(case.saga.state.cause(), before.state.cause());
    assert_eq!(case.saga.data, before.data);
    assert!(case.sent.is_empty());
    case
}

fn trapped(function: &str) -> Case {
    Case::with(&order(), &Order::trapped(function))
}

#[test]
fn a_panic_in_command_parks_the_saga_before_its_step() {
    let case = trapped("command screen");
    let event = case.answer_event("reserve", done(7));
    let mut case = parks(case, &event, "`command` of \"screen\" panicked: trapped in command screen");
    case.moved(&retry());
    assert_eq!(case.sent, ["do reserve #2"], "its reply is asked for again");
}

#[test]
fn a_panic_in_on_reply_parks_the_saga() {
    let case = trapped("on_reply reserve");
    let event = case.answer_event("reserve", done(7));
    parks(case, &event, "`on_reply` of \"reserve\" panicked");
}

#[test]
fn a_panic_in_on_refused_parks_the_saga() {
    let case = trapped("on_refused reserve");
    let event = case.answer_event("reserve", no("sold out"));
    parks(case, &event, "`on_refused` of \"reserve\" panicked");
}

#[test]
fn a_panic_in_undo_parks_the_saga() {
    let mut case = parks(trapped("undo reserve"), &cancel(), "`undo` of \"reserve\" panicked");
    let reason = case.reason().to_owned();
    case.moved(&cancel());
    assert_eq!((case.status(), case.reason()), (Status::Parked, reason.as_str()), "and again");
}

#[test]
fn a_panic_in_the_middle_of_a_group_parks_the_saga_before_its_reply() {
    let mut case = Case::with(&parallel_order(), &Order::trapped("on_reply invoice"));
    case.done("reserve");
    let event = case.answer_event("invoice", done(7));
    let mut case = parks(case, &event, "`on_reply` of \"invoice\" panicked");
    case.moved(&retry());
    assert_eq!(case.sent, ["do authorize #2", "do invoice #2"]);
}

#[test]
fn a_panic_at_the_start_starts_nothing() {
    let case = Case::of(&order());
    let data = Payload::encode(&Order::trapped("command reserve")).unwrap();
    let error = start(&case.plan, case.saga.id, data, case.saga.trace.clone(), case.now).unwrap_err();
    assert!(error.to_string().contains("trapped"), "{error}");
}

#[test]
fn a_reply_that_cannot_be_read_parks_the_saga_and_can_be_resolved() {
    let case = Case::of(&parallel_order());
    let nonsense = Answer::Done(Payload::encode(&"seven").unwrap());
    let event = case.answer_event("reserve", nonsense.clone());
    let mut case = parks(case, &event, "the reply of \"reserve\": the body cannot be read");
    case.moved(&resolve_done("reserve"));
    let event = case.answer_event("invoice", nonsense);
    let mut case = parks(case, &event, "the reply of \"invoice\": the body cannot be read");
    case.moved(&resolve_done("invoice"));
    assert_eq!(case.sent, ["do authorize #2"]);
}

#[test]
fn a_refusal_that_cannot_be_read_parks_the_saga() {
    let case = Case::of(&order());
    let event = case.answer_event("reserve", Answer::Refused(Payload::encode(&7).unwrap()));
    parks(case, &event, "the refusal of \"reserve\": the body cannot be read");
}

#[test]
fn data_that_cannot_be_read_parks_the_saga() {
    let mut case = Case::of(&order());
    case.saga.data = Payload::encode(&"nonsense").unwrap();
    let event = case.answer_event("reserve", done(7));
    let mut case = parks(case, &event, "the data of \"order\": the body cannot be read");
    case.moved(&retry());
    assert_eq!(case.status(), Status::Parked, "until it can be read");
}

/// A saga whose data panics when it is read or written, as told.
#[derive(Default)]
struct Fragile {
    panic_in_write: bool,
}

impl Saga for Fragile {
    const NAME: &'static str = "fragile";
}

impl Serialize for Fragile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.panic_in_write, "cannot be written");
        serializer.serialize_str("fragile")
    }
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        assert!(text != "broken", "cannot be read");
        Ok(Fragile::default())
    }
}

impl Step<Fragile> for super::contract::Reserve {
    fn command(_: &Fragile) -> Self {
        serde_json::from_value(serde_json::json!({"diary": [], "unstored": false})).unwrap()
    }

    fn on_reply(saga: &mut Fragile, _: u64) {
        saga.panic_in_write = true;
    }
}

fn fragile() -> Definition<Fragile> {
    define(1).pivot::<super::contract::Reserve>().build().unwrap()
}

#[test]
fn a_panic_while_data_is_written_parks_the_saga() {
    let case = Case::with(&fragile(), &"whole");
    let event = case.answer_event("reserve", done(7));
    parks(case, &event, "`serialize` of \"fragile\" panicked: cannot be written");
}

#[test]
fn a_panic_while_data_is_read_parks_the_saga() {
    let mut case = Case::with(&fragile(), &"whole");
    case.saga.data = Payload::encode(&"broken").unwrap();
    let event = case.answer_event("reserve", done(7));
    parks(case, &event, "`deserialize` of \"fragile\" panicked: cannot be read");
}

#[test]
fn a_saga_parked_by_its_own_code_moves_on_once_that_is_mended() {
    let case = trapped("on_reply reserve");
    let event = case.answer_event("reserve", done(7));
    let mut case = parks(case, &event, "panicked");
    // A new build without the bug: the same saga, whose data no longer springs the trap.
    case.saga = Instance { data: Payload::encode(&Order::default()).unwrap(), ..case.saga };
    case.moved(&retry());
    case.moved(&replied("reserve", Do, 1, done(7)));
    assert!(matches!(case.saga.state, State::Running(_)));
    assert_eq!(case.sent, ["do screen"]);
}
