//! Machines that decide again what was decided when a step was entered, or tell others too often or too little.
//!
//! A diary that changes with every answer is what shows the first: with one that does not, what is decided again comes out
//! the same.

use saga_core::definition::{NotificationPlan, Plan, Work};
use saga_core::id::{Direction, StepName};
use saga_core::machine::{
    Applied, Effect, Event, Instance, State, StepRecord, StepState, Transition, TransitionError, Try, Waiting,
};
use saga_core::message::{Payload, TraceParent};
use saga_core::policy::Timestamp;

use super::broken::{TRACE, sent, spoiled};
use crate::explore::rules::Apply;
use crate::topology::{Diary, Part, Topology};
use Part::{Check, Loop, Notify, Step};

type Moved = Result<Applied, TransitionError>;

/// What is found in a saga of these parts, each with a condition, with this machine.
fn found(parts: &[Part], diary: Diary, machine: Apply) -> Option<String> {
    let mut explorer = Topology::of(parts.iter().copied()).with_conditions().explorer::<3>().saga(&diary);
    explorer.apply = machine;
    let report = explorer.run();
    assert!(!report.cut_off);
    report.violation.map(|violation| violation.what)
}

/// The records of a saga that goes back, and what its data says by now.
fn going_back(moved: &mut Transition) -> Option<(&mut Vec<StepRecord>, &mut Vec<Effect>, Diary)> {
    let diary = moved.next.data.decode().ok()?;
    let State::Compensating(back) = &mut moved.next.state else { return None };
    Some((&mut back.steps, &mut moved.effects, diary))
}

fn is_of(effect: &Effect, name: &StepName) -> bool {
    match effect {
        Effect::Send { step, .. } | Effect::Arm { step, .. } => step == name,
        Effect::Disarm { .. } | Effect::Notify { .. } => false,
        Effect::Answer { .. } | Effect::Release { .. } => false,
    }
}

/// Going back, it passes over a first step whose condition does not hold any more.
fn passing_over(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Moved {
    spoiled(plan, saga, event, now, |moved| {
        let Some((steps, effects, diary)) = going_back(moved) else { return };
        if matches!(steps[0].state, StepState::Undoing { .. }) && !diary.wants::<0>() {
            steps[0].state = StepState::Undone;
            effects.retain(|effect| !is_of(effect, &steps[0].name));
        }
    })
}

/// Both steps are run, and as soon as one has answered the first would not be.
const WANTED_ONCE: u16 = 0b1100_0000_0000_0000;

#[test]
fn a_machine_that_asks_the_condition_again_when_it_goes_back_is_found_if_the_data_changes() {
    let diary = Diary::of(0).skipping(WANTED_ONCE);
    assert_eq!(found(&[Step, Check], diary.clone(), passing_over), None);
    let what = found(&[Step, Check], diary.changing(), passing_over).unwrap();
    assert_eq!(what, "the saga takes s0 for not done or undone, and its effect stands [truth]");
}

/// Going back, it undoes a first step whose condition holds by now, though it was skipped.
fn undoing_what_was_skipped(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Moved {
    spoiled(plan, saga, event, now, |moved| {
        let Some((steps, effects, diary)) = going_back(moved) else { return };
        if matches!(steps[0].state, StepState::Skipped) && diary.wants::<0>() {
            steps[0].state = StepState::Undoing { asked: first_try(now), reply: None };
            effects.push(sent(plan, 0, Direction::Undo));
        }
    })
}

#[test]
fn a_machine_that_undoes_what_was_skipped_is_found_if_the_data_changes() {
    let diary = Diary::of(0).skipping(0b1);
    assert_eq!(found(&[Step, Step, Check], diary.clone(), undoing_what_was_skipped), None);
    let what = found(&[Step, Step, Check], diary.changing(), undoing_what_was_skipped).unwrap();
    assert_eq!(what, "whether s0 is run is decided again [decided]");
}

/// Going back, it undoes the items that the data has by now.
fn with_items_of_now(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Moved {
    spoiled(plan, saga, event, now, |moved| {
        let Some((steps, effects, diary)) = going_back(moved) else { return };
        let is_gone = |record: &StepRecord| {
            plan.steps()[0].is_item(&record.name)
                && !diary.keys().iter().any(|key| record.name.as_str().ends_with(&format!("#{key}")))
        };
        effects.retain(|effect| !steps.iter().any(|record| is_gone(record) && is_of(effect, &record.name)));
        steps.retain(|record| !is_gone(record));
    })
}

#[test]
fn a_machine_that_fixes_the_items_again_when_it_goes_back_is_found_if_the_data_changes() {
    assert_eq!(found(&[Loop, Check], Diary::of(2), with_items_of_now), None);
    let what = found(&[Loop, Check], Diary::of(2).changing(), with_items_of_now).unwrap();
    assert_eq!(what, "whether s0#0 is run is decided again [decided]");
}

/// Going back, it takes note of the items that have been added.
fn with_more_items(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Moved {
    spoiled(plan, saga, event, now, |moved| {
        let Some((steps, _, diary)) = going_back(moved) else { return };
        for key in diary.keys() {
            let name = StepName::new(format!("s0#{key}")).unwrap();
            if !steps.iter().any(|record| record.name == name) {
                steps.push(StepRecord { name, state: StepState::Refused });
            }
        }
    })
}

#[test]
fn a_machine_that_adds_items_when_it_goes_back_is_found_if_the_data_changes() {
    assert_eq!(found(&[Loop, Check], Diary::of(1), with_more_items), None);
    let what = found(&[Loop, Check], Diary::of(1).changing(), with_more_items).unwrap();
    assert_eq!(what, "s0#1 becomes an item of s0 after that was entered [decided]");
}

/// As soon as anything happens, it asks for the items that are queued.
fn without_width(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Moved {
    spoiled(plan, saga, event, now, |moved| {
        let State::Running(running) = &mut moved.next.state else { return };
        let queued = running.steps.iter_mut().filter(|record| matches!(record.state, StepState::Queued));
        for record in queued {
            record.state = StepState::Doing(first_try(now));
            let mut command = sent(plan, 0, Direction::Do);
            if let Effect::Send { step, .. } = &mut command {
                *step = record.name.clone();
            }
            moved.effects.push(command);
        }
    })
}

#[test]
fn a_machine_that_has_more_items_under_way_than_it_may_is_found() {
    let what = found(&[Loop], Diary::of(3), without_width).unwrap();
    assert_eq!(what, "3 items of s0 are under way at once, and 2 may be [width]");
}

/// Whenever something is due, it tells its first step's news again.
fn telling_again(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Moved {
    let due = matches!(event, Event::TimerDue { .. });
    spoiled(plan, saga, event, now, |moved| moved.effects.extend(due.then(|| told(plan, 0))))
}

#[test]
fn a_machine_that_tells_others_twice_is_found() {
    let what = found(&[Notify, Step], Diary::of(0), telling_again).unwrap();
    assert_eq!(what, "s0 is told twice [told]");
}

fn telling_nobody(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Moved {
    spoiled(plan, saga, event, now, |moved| {
        moved.effects.retain(|effect| !matches!(effect, Effect::Notify { .. }));
    })
}

#[test]
fn a_machine_that_forgets_to_tell_others_is_found() {
    let what = found(&[Step, Notify, Step], Diary::of(0), telling_nobody).unwrap();
    assert_eq!(what, "the saga has come to s1, and nobody is told [told]");
}

/// It tells what its second step would have told, though that was skipped.
fn telling_what_was_skipped(plan: &Plan, saga: &Instance, event: &Event, now: Timestamp) -> Moved {
    spoiled(plan, saga, event, now, |moved| {
        let skipped = |saga: &Instance| {
            let second = saga.state.steps().get(1);
            second.is_some_and(|record| matches!(record.state, StepState::Skipped))
        };
        if skipped(&moved.next) && !skipped(saga) {
            moved.effects.push(told(plan, 1));
        }
    })
}

#[test]
fn a_machine_that_tells_what_was_skipped_is_found() {
    let what = found(&[Step, Notify, Step], Diary::of(0).skipping(0b10), telling_what_was_skipped).unwrap();
    assert_eq!(what, "s1 is told, and the saga has not come to it [told]");
}

fn told(plan: &Plan, place: usize) -> Effect {
    let step = &plan.steps()[place];
    let Work::Notification(NotificationPlan { notification_type, topics }) = step.work.clone() else {
        panic!("{} tells nothing", step.name)
    };
    let (body, trace) = (Payload::default(), TraceParent::parse(TRACE).unwrap());
    Effect::Notify { step: step.name.clone(), topics, notification_type, body, trace }
}

const fn first_try(now: Timestamp) -> Try {
    Try { attempt: 1, first: 1, since: now, waiting: Waiting::Answer }
}
