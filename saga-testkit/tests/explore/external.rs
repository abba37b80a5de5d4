//! Steps whose participant calls another system: every rule that takes a late call back is needed, and they are enough.

use saga_core::fence::{Called, ExternalVerdict, FenceState, Progress, Recorded, decide_external};
use saga_core::id::Direction;
use saga_core::message::Answer;
use saga_core::policy::Retry;
use saga_core::{
    Command, Compensate, Definition, NothingToUndo, Outcome, Participant, Retriable, Saga, Step, Undoes, saga,
};
use saga_testkit::explore::{Explorer, Faults, Violation, explore};
use saga_testkit::topology::{Part, Topology};
use serde::{Deserialize, Serialize};

struct Payment;
impl Participant for Payment {
    const NAME: &'static str = "payment";
}

commands!(Payment: Charge "charge" Refund "refund" Capture "capture" Ship "ship" Screen "screen");
impl Undoes<Charge> for Refund {}

#[derive(Serialize, Deserialize)]
struct Order;
impl Saga for Order {
    const NAME: &'static str = "order";
}
impl Step<Order> for Charge {
    fn command(_: &Order) -> Self {
        Charge
    }
}
impl Compensate<Order> for Charge {
    type Undo = Refund;

    fn undo(_: &Order, _: Outcome<()>) -> Refund {
        Refund
    }
}
impl Step<Order> for Capture {
    fn command(_: &Order) -> Self {
        Capture
    }

    fn retry() -> Retry {
        Retry::default().close_when_spent()
    }
}
impl Step<Order> for Screen {
    fn command(_: &Order) -> Self {
        Screen
    }
}
impl NothingToUndo<Order> for Screen {}
impl Step<Order> for Ship {
    fn command(_: &Order) -> Self {
        Ship
    }
}
impl Retriable<Order> for Ship {}

fn order() -> Definition<Order> {
    saga(1).step::<Charge>().pivot::<Capture>().then::<Ship>().build().unwrap()
}

fn charging() -> Explorer<Order, ()> {
    explore(&order()).external::<Charge>()
}

#[test]
fn a_step_that_calls_out_keeps_every_promise_whatever_goes_wrong() {
    charging().run().assert_ok();
}

#[test]
fn so_do_a_pivot_a_check_and_a_step_after_the_pivot() {
    let faults = Faults::REFUSAL | Faults::UNKNOWN | Faults::CANCEL | Faults::STRAY;
    let order = saga(1).check::<Screen>().pivot::<Capture>().then::<Ship>().build().unwrap();
    explore(&order).faults(faults).external::<Screen>().run().assert_ok();
    explore(&order).faults(faults).external::<Capture>().run().assert_ok();
    explore(&order).faults(faults).external::<Ship>().run().assert_ok();
}

#[test]
fn so_does_one_of_a_group_and_one_of_a_saga_that_moves_to_a_newer_version() {
    let faults = Faults::REFUSAL | Faults::UNKNOWN | Faults::STRAY;
    let group = Topology::of([Part::Group(2), Part::ClosedPivot]);
    let states = |topology: Topology| {
        let report = topology.explorer::<5>().faults(faults).run();
        report.assert_ok();
        report.states
    };
    assert!(states(group.clone().calling_out(1)) > 2 * states(group));

    let first = Topology::of([Part::Step, Part::ClosedPivot]).calling_out(0);
    let second = Topology::of([Part::Step, Part::Step, Part::ClosedPivot]);
    let second = second.upgrade_of::<5>(&first.definition::<5>());
    first.explorer::<5>().upgrade_to(&second).faults(faults).run().assert_ok();
}

type Fence = fn(Option<&FenceState>, Direction, &Progress) -> ExternalVerdict;

/// What is found with this fence. Rows are not watched, so that each rule is needed: with the watch they are what takes a
/// call back soon.
fn violation(fence: Fence) -> Violation {
    charging().faults(Faults::all().without(Faults::STRAY)).external_fence(fence).run().violation.unwrap()
}

const STANDS: &str = "the saga takes charge for not done or undone, and its effect stands [truth]";

#[test]
fn a_worker_that_does_not_undo_what_landed_late_is_found() {
    let found = violation(|row, direction, progress| match (row, progress) {
        (Some(FenceState::Compensated), Progress::Called(_)) => ExternalVerdict::Answer(Answer::Closed),
        (Some(FenceState::Refused(why)), Progress::Called(_)) => {
            ExternalVerdict::Answer(Answer::Refused(why.clone()))
        }
        _ => decide_external(row, direction, progress),
    });
    assert_eq!(found.what, STANDS);
    assert_eq!(found.trace.len(), 6, "{:#?}", found.trace);
}

#[test]
fn a_later_delivery_that_does_not_undo_again_is_found() {
    let found = violation(|row, direction, progress| match (row, direction, progress) {
        (Some(FenceState::Compensated), Direction::Do, Progress::Delivered) => {
            ExternalVerdict::Answer(Answer::Closed)
        }
        _ => decide_external(row, direction, progress),
    });
    assert_eq!(found.what, STANDS);
    assert_eq!(found.trace.len(), 7, "{:#?}", found.trace);
}

#[test]
fn a_later_delivery_that_trusts_a_refusal_is_found() {
    let found = violation(|row, direction, progress| match (row, direction, progress) {
        (Some(FenceState::Refused(why)), Direction::Do, Progress::Delivered) => {
            ExternalVerdict::Answer(Answer::Refused(why.clone()))
        }
        _ => decide_external(row, direction, progress),
    });
    assert_eq!(found.what, STANDS);
    assert_eq!(found.trace.len(), 9, "{:#?}", found.trace);
}

#[test]
fn an_undo_that_is_stored_after_it_is_run_is_found() {
    let found = violation(|row, direction, progress| match (row, direction, progress) {
        (Some(FenceState::Started | FenceState::Repeated), Direction::Undo, Progress::Delivered) => {
            ExternalVerdict::Undo(Recorded::Unknown)
        }
        (Some(FenceState::Started | FenceState::Repeated), Direction::Undo, Progress::Undone(_)) => {
            ExternalVerdict::Record(FenceState::Compensated, Answer::Undone)
        }
        _ => decide_external(row, direction, progress),
    });
    assert_eq!(found.what, STANDS);
}

#[test]
fn an_undo_that_trusts_its_record_is_found() {
    let found = violation(|row, direction, progress| match (row, direction, progress) {
        (Some(FenceState::Compensated), Direction::Undo, Progress::Delivered) => {
            ExternalVerdict::Answer(Answer::Undone)
        }
        _ => decide_external(row, direction, progress),
    });
    assert_eq!(found.what, STANDS);
}

#[test]
fn a_call_without_an_answer_that_counts_as_a_no_is_found() {
    let found = violation(|row, direction, progress| match (row, progress) {
        (Some(FenceState::Started | FenceState::Repeated), Progress::Called(Called::Failed(_))) => {
            let why = saga_core::message::Payload::encode(&()).unwrap();
            ExternalVerdict::Record(FenceState::Refused(why.clone()), Answer::Refused(why))
        }
        _ => decide_external(row, direction, progress),
    });
    assert_eq!(found.what, STANDS);
}

#[test]
fn a_refusal_of_one_call_that_is_trusted_although_another_was_begun_is_found() {
    let found = violation(|row, direction, progress| match (row, progress) {
        (Some(FenceState::Repeated), Progress::Called(Called::Refused(why))) => {
            ExternalVerdict::Record(FenceState::Refused(why.clone()), Answer::Refused(why.clone()))
        }
        _ => decide_external(row, direction, progress),
    });
    assert_eq!(found.what, STANDS);
    assert_eq!(found.trace.len(), 7, "{:#?}", found.trace);
}
