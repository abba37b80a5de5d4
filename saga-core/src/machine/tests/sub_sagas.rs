//! Sagas that run others as their steps, and those that are run.

use super::case::{Case, asked, cancel, compensate, done, name, no, parent, retry, stored};
use super::contract::{Order, Parcel, child_order, parent_order};
use crate::NotRun;
use crate::fence::{self, FenceState, Verdict};
use crate::id::Direction;
use crate::machine::{Cause, Event, Ignored, State, Status, TransitionError};
use crate::message::{Answer, Payload};

fn child(steps: &[&str]) -> Case {
    let mut case = Case::run_by(&child_order(), Direction::Do);
    steps.iter().for_each(|step| drop(case.done(step)));
    case
}

fn through() -> Case {
    child(&["reserve", "screen"])
}

fn parcel(weight: u32) -> Answer {
    Answer::Done(Payload::encode(&Parcel { weight }).unwrap())
}

#[test]
fn a_child_that_is_through_tells_its_parent_and_stays_undoable() {
    let mut case = through();
    assert_eq!(
        (case.status(), &case.sent[..]),
        (Status::Provisional, &["answer do with done".to_owned()][..])
    );
    assert_eq!(case.saga.answer(Direction::Do), Answer::Done(case.saga.data.clone()));
    case.moved(&asked(Direction::Undo, 1));
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo reserve".to_owned()][..]));
    case.answer("reserve", Answer::Undone);
    assert_eq!(
        (case.status(), &case.sent[..]),
        (Status::Compensated, &["answer undo with undone".to_owned()][..])
    );
}

#[test]
fn a_child_that_is_released_has_completed() {
    let mut case = through();
    case.moved(&Event::Released);
    assert_eq!((case.status(), case.sent.len()), (Status::Completed, 0));
    assert_eq!(case.ignored(&Event::Released), Ignored::Ended);
    assert!(matches!(case.saga.answer(Direction::Undo), Answer::Fault(_)));
}

#[test]
fn a_release_that_overtakes_is_remembered() {
    let mut case = child(&["reserve"]);
    case.moved(&Event::Released);
    assert_eq!(case.ignored(&Event::Released), Ignored::AskedAgain);
    case.done("screen");
    assert_eq!((case.status(), case.sent.len()), (Status::Completed, 0));
}

#[test]
fn a_child_that_was_refused_says_why_with_its_data() {
    let mut case = child(&["reserve"]);
    case.answer("screen", no("suspicious"));
    case.answer("reserve", Answer::Undone);
    assert_eq!(case.sent, ["answer do with refused"]);
    let Answer::Refused(why) = case.saga.answer(Direction::Do) else { panic!("not refused") };
    let why: NotRun<Order> = why.decode().unwrap();
    assert_eq!((why.why.as_str(), why.data), ("screen was refused with \"suspicious\"", case.data()));
}

#[test]
fn a_child_that_goes_back_by_itself_answers_what_was_asked_last() {
    let mut case = child(&["reserve"]);
    case.answer("screen", no("suspicious"));
    case.moved(&asked(Direction::Undo, 3));
    assert_eq!((case.status(), case.sent.len()), (Status::Compensating, 0));
    assert_eq!(case.ignored(&asked(Direction::Undo, 4)), Ignored::AskedAgain);
    case.answer("reserve", Answer::Undone);
    assert_eq!(case.sent, ["answer undo with undone"]);
    assert!(!matches!(case.saga.state.cause(), Some(Cause::Parent)), "its own cause is kept");
}

#[test]
fn a_saga_that_is_taken_back_before_it_begins_never_does() {
    for direction in [Direction::Undo, Direction::Close] {
        let mut case = Case::run_by(&child_order(), direction);
        assert_eq!((case.status(), case.saga.version), (Status::Compensated, 1));
        assert_eq!(case.ignored(&asked(Direction::Do, 1)), Ignored::AskedAgain);
        assert_eq!(case.saga.answer(Direction::Do), Answer::Closed);
    }
}

#[test]
fn an_operator_may_cancel_a_child_that_is_under_way_and_not_one_that_is_through() {
    let mut case = child(&[]);
    case.moved(&cancel());
    case.answer("reserve", Answer::Undone);
    assert_eq!(case.sent, ["answer do with refused"]);
    for verb in [cancel(), compensate(), retry()] {
        assert_eq!(through().refused(&verb), TransitionError::Provisional);
    }
}

/// Its undo panics, so it parks. Nobody but its parent may take it back even then.
#[test]
fn a_child_that_parked_when_it_was_through_is_through_again_when_it_is_released() {
    let mut case = through();
    case.saga.data = Payload::encode(&Order::trapped("undo reserve")).unwrap();
    case.moved(&asked(Direction::Undo, 1));
    assert_eq!((case.status(), case.saga.answer(Direction::Undo)), (Status::Parked, Answer::Running));
    assert_eq!(case.ignored(&asked(Direction::Undo, 2)), Ignored::Parked);
    for verb in [cancel(), compensate()] {
        assert_eq!(case.refused(&verb), TransitionError::Provisional);
    }
    case.saga.data = Payload::encode(&Order::default()).unwrap();
    case.moved(&retry());
    assert_eq!(case.status(), Status::Provisional);
    case.moved(&asked(Direction::Undo, 3));
    assert_eq!(case.status(), Status::Compensating);
}

#[test]
fn a_parked_child_remembers_its_release() {
    let mut case = through();
    case.saga.data = Payload::encode(&Order::trapped("undo reserve")).unwrap();
    case.moved(&asked(Direction::Undo, 1));
    case.moved(&Event::Released);
    assert_eq!(case.status(), Status::Parked);
    case.moved(&retry());
    assert_eq!(case.status(), Status::Completed);
}

#[test]
fn only_a_saga_with_a_parent_is_asked_and_released() {
    let mut case = Case::of(&child_order());
    for event in [asked(Direction::Undo, 1), asked(Direction::Do, 1), Event::Released] {
        assert_eq!(case.refused(&event), TransitionError::NoParent);
    }
    case.done("reserve");
    case.done("screen");
    assert_eq!(case.status(), Status::Completed);
    assert_eq!(case.refused(&Event::Released), TransitionError::NoParent);
}

#[test]
fn a_parent_runs_its_child_like_any_step_and_releases_it_at_its_end() {
    let mut case = Case::of(&parent_order());
    assert_eq!(case.sent, ["do parcel"]);
    case.answer("parcel", parcel(3));
    assert_eq!(case.data::<Order>().diary, ["a parcel of 3"]);
    case.done("screen");
    assert_eq!(case.sent, ["release parcel at service"]);
}

#[test]
fn a_parent_that_is_compensated_takes_its_child_back_and_releases_nothing() {
    let mut case = Case::of(&parent_order());
    case.answer("parcel", parcel(3));
    case.answer("screen", no("suspicious"));
    assert_eq!(case.sent, ["undo parcel"]);
    case.answer("parcel", Answer::Undone);
    assert_eq!((case.status(), case.sent.len()), (Status::Compensated, 0));
}

#[test]
fn a_refusal_tells_the_parent_what_the_child_took_note_of() {
    let mut case = Case::of(&parent_order());
    let why = NotRun { why: "too heavy".into(), data: Parcel { weight: 99 } };
    case.answer("parcel", Answer::Refused(Payload::encode(&why).unwrap()));
    assert_eq!(case.data::<Order>().diary, ["no parcel of 99: too heavy"]);
    assert_eq!(case.status(), Status::Compensated);
}

/// A parent that is itself a child keeps its own undoable until it is released.
#[test]
fn a_parent_that_is_a_child_releases_its_own_when_it_is_released() {
    let mut case = Case::run_by(&parent_order(), Direction::Do);
    case.answer("parcel", parcel(3));
    case.done("screen");
    assert_eq!(
        (case.status(), &case.sent[..]),
        (Status::Provisional, &["answer do with done".to_owned()][..])
    );
    case.moved(&Event::Released);
    assert_eq!(
        (case.status(), &case.sent[..]),
        (Status::Completed, &["release parcel at service".to_owned()][..])
    );
}

/// The other side is alive, so only the step's own deadline limits how long it is waited for.
#[test]
fn an_answer_that_the_work_is_under_way_costs_no_attempt() {
    let mut case = Case::of(&parent_order());
    for asked in 2..20 {
        case.answer("parcel", Answer::Running);
        case.time_out("parcel");
        assert_eq!((case.status(), &case.sent[..]), (Status::Running, &[format!("do parcel #{asked}")][..]));
    }
    case.time_out("parcel");
    case.time_out("parcel");
    assert_eq!(case.status(), Status::Running);
    case.time_out("parcel");
    assert_eq!((case.status(), &case.sent[..]), (Status::Compensating, &["undo parcel".to_owned()][..]));
    for _ in 0..40 {
        case.answer("parcel", Answer::Running);
        case.time_out("parcel");
    }
    assert_eq!(case.status(), Status::Compensating);
}

#[test]
fn the_pauses_after_running_grow_with_the_attempts() {
    let mut case = Case::of(&parent_order());
    let mut pauses = Vec::new();
    for _ in 0..4 {
        case.answer("parcel", Answer::Running);
        pauses.push(case.timers[&name("parcel")].2);
        case.time_out("parcel");
    }
    assert!(pauses[0] < pauses[1] && pauses[1] < pauses[2], "{pauses:?}");
}

/// What stands in for a fence row: the answers are those of the fence's table, cell by cell.
#[test]
fn a_child_answers_as_the_fence_would() {
    let data = through().saga.data;
    let refused = || {
        let mut case = child(&["reserve"]);
        case.answer("screen", no("suspicious"));
        case.answer("reserve", Answer::Undone);
        case.saga
    };
    let Answer::Refused(why) = refused().answer(Direction::Do) else { panic!("not refused") };
    let taken_back = || {
        let mut case = through();
        case.moved(&asked(Direction::Undo, 1));
        case.answer("reserve", Answer::Undone);
        case.saga
    };
    let never = Case::run_by(&child_order(), Direction::Undo).saga;
    let rows = [
        (through().saga, FenceState::Applied(data)),
        (refused(), FenceState::Refused(why)),
        (taken_back(), FenceState::Compensated),
        (never, FenceState::Closed),
    ];
    for (saga, row) in rows {
        for direction in Direction::ALL {
            let answer = match fence::decide(Some(&row), direction) {
                Verdict::Answer(answer) => answer,
                // It is under way, and answered when it is done.
                Verdict::Undo(_) => Answer::Running,
                other => panic!("{other:?}"),
            };
            assert_eq!(saga.answer(direction), answer, "{direction} of {row:?}");
        }
    }
    for direction in Direction::ALL {
        assert_eq!(child(&[]).saga.answer(direction), Answer::Running);
    }
}

#[test]
fn what_is_stored_of_a_child_has_its_parent() {
    let case = through();
    let read = crate::machine::Instance::decode(stored(&case.saga)).unwrap();
    assert_eq!(read.parent, Some(parent(Some(Direction::Do))));
    assert!(matches!(read.state, State::Provisional(_)));
    assert_eq!(done(7).name(), "done");
}
