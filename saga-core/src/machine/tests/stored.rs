//! What is written today must be read for ever, and what cannot be read says why.
//!
//! The files in `golden/` are what released builds have written. They are never changed: a new form gets a new file,
//! and the old one must still be read.

use bytes::Bytes;
use serde_json::{Value, json};

use super::case::{Case, cancel, no, permanent, signal, stored, temporary};
use super::contract::{
    Approval, Order, approved_order, child_order, closing_order, order, parallel_order, picked_order,
    rested_order,
};
use crate::definition::DefinitionRef;
use crate::id::Direction;
use crate::machine::{Event, Instance, Status, Stored};
use crate::message::Answer;

const RUNNING: &str = include_str!("golden/state-1-running.json");
const COMPENSATING: &str = include_str!("golden/state-1-compensating.json");
const PARKED: &str = include_str!("golden/state-1-parked.json");
const COMPENSATED: &str = include_str!("golden/state-1-compensated.json");
const COMPLETED: &str = include_str!("golden/state-1-completed.json");
const EARLY: &str = include_str!("golden/state-1-early.json");
const SIGNALLED: &str = include_str!("golden/state-1-signalled.json");
const SKIPPED: &str = include_str!("golden/state-1-skipped.json");
const ITEMS: &str = include_str!("golden/state-1-items.json");
const PAUSING: &str = include_str!("golden/state-1-pausing.json");
const PROVISIONAL: &str = include_str!("golden/state-1-provisional.json");
const EVENTS: &str = include_str!("golden/events-1.json");

/// A group with one step done, one waiting after a fault.
fn running() -> Instance {
    let mut case = Case::of(&parallel_order());
    case.done("reserve");
    case.done("authorize");
    case.answer("invoice", temporary());
    case.saga
}

/// A group that is undone, with and without a known reply, after a refusal.
fn compensating() -> Instance {
    let mut case = Case::of(&parallel_order());
    case.done("reserve");
    case.done("authorize");
    case.answer("invoice", no("no address"));
    case.saga
}

/// A pivot that was being closed when a human was needed.
fn parked() -> Instance {
    let mut case = Case::of(&closing_order());
    case.done("reserve");
    case.done("screen");
    case.exhaust("capture-or-close");
    case.answer("capture-or-close", permanent());
    case.saga
}

/// Undone because it was cancelled while a step was unknown.
fn compensated() -> Instance {
    let mut case = Case::of(&order());
    case.moved(&cancel());
    case.answer("reserve", Answer::Undone);
    case.saga
}

fn completed() -> Instance {
    let mut case = Case::of(&order());
    for step in ["reserve", "screen", "capture", "ship"] {
        case.done(step);
    }
    case.saga
}

/// A signal that came before the saga waits for it.
fn early() -> Instance {
    let mut case = Case::of(&approved_order());
    case.moved(&signal("approve", Approval::Yes));
    case.saga
}

/// A signal that parked its saga, and is kept.
fn signalled() -> Instance {
    let mut case = Case::with(&approved_order(), &Order::trapped("on_signal approve"));
    case.done("reserve");
    case.moved(&signal("approve", Approval::Yes));
    case.saga
}

/// A step that was skipped.
fn skipped() -> Instance {
    let mut case = Case::with(&approved_order(), &Order::without(&["approve"]));
    case.done("reserve");
    case.saga
}

/// Items that are done, out and queued.
fn items() -> Instance {
    let mut case = Case::with(&picked_order(), &Order::of(&["a", "b", "c", "d"]));
    case.done("reserve");
    case.done("pick#a");
    case.saga
}

/// A pause.
fn pausing() -> Instance {
    let mut case = Case::of(&rested_order());
    case.done("reserve");
    case.saga
}

/// A step of another saga that is through.
fn provisional() -> Instance {
    let mut case = Case::run_by(&child_order(), Direction::Do);
    case.done("reserve");
    case.done("screen");
    case.saga
}

fn goldens() -> [(Instance, &'static str); 11] {
    [
        (running(), RUNNING),
        (compensating(), COMPENSATING),
        (parked(), PARKED),
        (compensated(), COMPENSATED),
        (completed(), COMPLETED),
        (early(), EARLY),
        (signalled(), SIGNALLED),
        (skipped(), SKIPPED),
        (items(), ITEMS),
        (pausing(), PAUSING),
        (provisional(), PROVISIONAL),
    ]
}

/// `saga` as a store holds it, but with another state.
fn with_state(saga: &Instance, state: impl Into<Bytes>) -> Stored {
    Stored { state: state.into(), ..stored(saga) }
}

fn error_of(stored: Stored) -> String {
    Instance::decode(stored).unwrap_err().to_string()
}

#[test]
fn every_status_has_a_golden_file() {
    let statuses = goldens().map(|(saga, _)| saga.state.status());
    assert!(Status::ALL.iter().all(|status| statuses.contains(status)));
}

#[test]
fn a_state_written_by_a_released_build_is_read() {
    for (saga, golden) in goldens() {
        assert_eq!(Instance::decode(with_state(&saga, golden)).unwrap(), saga);
    }
}

#[test]
fn a_state_is_written_as_released_builds_read_it() {
    for (saga, golden) in goldens() {
        let written: Value = serde_json::from_slice(&saga.encode_state()).unwrap();
        let golden: Value = serde_json::from_str(golden).unwrap();
        assert_eq!(written, golden, "{:?}, now written as {written:#}", saga.state.status());
    }
}

#[test]
fn an_older_build_reads_a_state_with_a_field_that_it_does_not_know() {
    let saga = running();
    let mut newer: Value = serde_json::from_str(RUNNING).unwrap();
    newer["mood"] = json!("hopeful");
    newer["steps"][0]["since"] = json!(7);
    assert_eq!(Instance::decode(with_state(&saga, newer.to_string())).unwrap(), saga);
}

#[test]
fn an_older_build_says_that_a_state_is_too_new_for_it() {
    let saga = running();
    let expected = "the stored state cannot be read: it has format 2, this build reads format 1";
    let mut newer: Value = serde_json::from_str(RUNNING).unwrap();
    newer["v"] = json!(2);
    assert_eq!(error_of(with_state(&saga, newer.to_string())), expected);
    newer["steps"] = json!({"another": "shape"});
    assert_eq!(error_of(with_state(&saga, newer.to_string())), expected);
}

#[test]
fn a_state_that_is_not_ours_is_an_error() {
    let saga = running();
    for state in ["", "null", "[1,", "{}", "{\"v\":1}", &RUNNING.replace("\"doing\"", "\"pondering\"")] {
        assert!(error_of(with_state(&saga, state.to_owned())).starts_with("the stored state"), "{state}");
    }
}

#[test]
fn a_state_with_a_malformed_trace_is_an_error() {
    for trace in ["", "00-é", "00-00000000000000000000000000000000-0000000000000000-01"] {
        let mut state: Value = serde_json::from_str(RUNNING).unwrap();
        state["trace"] = json!(trace);
        let error = error_of(with_state(&running(), state.to_string()));
        assert!(error.contains("trace context is malformed"), "{error}");
    }
}

#[test]
fn a_state_that_contradicts_its_status_is_an_error() {
    for status in [Status::Running, Status::Completed] {
        let error = error_of(Stored { status, ..stored(&compensating()) });
        assert!(error.contains("it goes forward and has a cause to go back"), "{error}");
    }
    for status in [Status::Compensating, Status::Compensated] {
        let error = error_of(Stored { status, ..stored(&running()) });
        assert!(error.contains("it goes back without a cause"), "{error}");
    }
}

#[test]
fn data_that_is_not_text_is_an_error() {
    let error = error_of(Stored { data: Bytes::from_static(&[0xff]), ..stored(&running()) });
    assert_eq!(error, "the stored data cannot be read: the body is not UTF-8 text");
}

#[test]
fn every_event_of_a_released_journal_is_read_and_written_the_same() {
    let golden: Vec<Value> = serde_json::from_str(EVENTS).unwrap();
    for line in golden {
        let event: Event = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), line);
    }
}

#[test]
fn every_kind_of_event_and_answer_has_its_line_in_the_golden_journal() {
    let golden: Vec<Event> = serde_json::from_str(EVENTS).unwrap();
    let kinds: std::collections::BTreeSet<usize> = golden.iter().map(super::table::event_kind).collect();
    assert_eq!(kinds.len(), super::table::EVENT_NAMES.len());
    let answers = golden.iter().filter_map(|event| match event {
        Event::Replied { answer, .. } => Some(answer.name()),
        Event::Signalled { .. } => None,
        Event::Started { .. }
        | Event::Upgraded { .. }
        | Event::TimerDue { .. }
        | Event::Undeliverable { .. }
        | Event::Cancel { .. } => None,
        Event::Retry { .. } | Event::Resolve { .. } | Event::Compensate { .. } => None,
        Event::StartedBy { .. } | Event::Asked { .. } | Event::Released => None,
    });
    assert_eq!(answers.collect::<std::collections::BTreeSet<_>>().len(), super::table::ANSWER_KINDS);
}

#[test]
fn a_saga_keeps_the_definition_it_began_with() {
    let saga = completed();
    let DefinitionRef { name, version, fingerprint } = saga.definition;
    assert_eq!((name.as_str(), version), ("order", 1));
    assert_eq!(fingerprint, order().plan().reference().fingerprint);
    assert_ne!(fingerprint, closing_order().plan().reference().fingerprint);
}
