//! Machines that make one mistake each: what must hold without a word from the author is found not to.

use saga_core::definition::Plan;
use saga_core::id::{Destination, Direction, ParticipantName};
use saga_core::machine::{
    Applied, Completed, Decision, Effect, Event, Instance, State, StepRecord, StepState, Transition,
    TransitionError, apply,
};
use saga_core::message::{Answer, Payload, TraceParent};
use saga_core::policy::Timestamp;

use crate::explore::explore;
use crate::explore::rules::Apply;
use crate::topology::{Part, Topology};

/// What is found in a saga of two steps with this machine.
fn found(machine: Apply) -> String {
    let definition = Topology::of([Part::Step, Part::Step]).definition::<3>();
    let mut explorer = explore(&definition);
    explorer.apply = machine;
    explorer.run().violation.unwrap().what
}

/// A machine that decides right, and then spoils the transition.
pub(super) fn spoiled(
    plan: &Plan,
    instance: &Instance,
    event: &Event,
    now: Timestamp,
    spoil: impl FnOnce(&mut Transition),
) -> Result<Applied, TransitionError> {
    let mut applied = apply(plan, instance, event, now)?;
    if let Applied::Moved(transition) = &mut applied {
        spoil(transition);
    }
    Ok(applied)
}

pub(super) fn sent(plan: &Plan, step: usize, direction: Direction) -> Effect {
    let (command, undo) = (plan.steps()[step].command().unwrap(), plan.steps()[step].undo().unwrap());
    let command_type = match direction {
        Direction::Do | Direction::Close => &command.command_type,
        Direction::Undo => &undo.command_type,
    };
    Effect::Send {
        step: plan.steps()[step].name.clone(),
        direction,
        attempt: 1,
        destination: command.destination(),
        command_type: command_type.clone(),
        body: Payload::default(),
        trace: TraceParent::parse(TRACE).unwrap(),
    }
}

#[test]
fn a_machine_that_sets_no_timers_is_found() {
    let found = found(|plan, instance, event, now| {
        spoiled(plan, instance, event, now, |moved| {
            moved.effects.retain(|effect| !matches!(effect, Effect::Arm { .. }));
        })
    });
    assert!(found.contains("awaited without a timer [loss]"), "{found}");
}

#[test]
fn a_machine_that_sends_nothing_again_is_found() {
    let found = found(|plan, instance, event, now| {
        let due = matches!(event, Event::TimerDue { .. });
        spoiled(plan, instance, event, now, |moved| {
            moved.effects.retain(|effect| !due || !matches!(effect, Effect::Send { .. }));
        })
    });
    assert_eq!(found, "do s0 is not sent again [loss]");
}

#[test]
fn a_machine_that_goes_forward_while_it_goes_back_is_found() {
    let found = found(|plan, instance, event, now| {
        spoiled(plan, instance, event, now, |moved| {
            if moved.next.state.cause().is_some() {
                moved.effects.push(sent(plan, 1, Direction::Do));
            }
        })
    });
    assert_eq!(found, "s1 is asked for while the saga goes back [order]");
}

#[test]
fn a_machine_that_undoes_in_the_wrong_order_is_found() {
    let found = found(|plan, instance, event, now| {
        spoiled(plan, instance, event, now, |moved| {
            let undoes = |effect: &Effect| match effect {
                Effect::Send { step, direction: Direction::Undo, .. } => *step == plan.steps()[1].name,
                Effect::Send { .. } | Effect::Notify { .. } => false,
                Effect::Arm { .. } | Effect::Disarm { .. } => false,
                Effect::Answer { .. } | Effect::Release { .. } => false,
            };
            if moved.effects.iter().any(undoes) {
                moved.effects.push(sent(plan, 0, Direction::Undo));
            }
        })
    });
    assert_eq!(found, "s0 is undone before s1 is out of the world [undo order]");
}

#[test]
fn a_machine_that_sends_an_undo_to_somebody_else_is_found() {
    let found = found(|plan, instance, event, now| {
        spoiled(plan, instance, event, now, |moved| {
            for effect in &mut moved.effects {
                if let Effect::Send { direction: Direction::Undo, destination, .. } = effect {
                    *destination = Destination::of(&ParticipantName::new("somebody").unwrap());
                }
            }
        })
    });
    assert_eq!(found, "undo s0 is sent as u0 to somebody [address]");
}

#[test]
fn a_machine_that_is_done_too_early_is_found() {
    let found = found(|plan, instance, event, now| {
        spoiled(plan, instance, event, now, |moved| {
            if let State::Running(running) = &moved.next.state {
                let done = |record: &&StepRecord| matches!(record.state, StepState::Done(_));
                let steps: Vec<StepRecord> = running.steps.iter().filter(done).cloned().collect();
                if !steps.is_empty() {
                    moved.next.state = State::Completed(Completed { steps });
                }
            }
        })
    });
    assert_eq!(found, "the saga is completed without s1 [end]");
}

#[test]
fn a_machine_that_takes_silence_for_a_no_is_found() {
    let found = found(|plan, instance, event, now| {
        let Event::TimerDue { step, .. } = event else { return apply(plan, instance, event, now) };
        let answer = Answer::Refused(Payload::encode(&()).unwrap());
        let refused = Event::Replied { step: step.clone(), direction: Direction::Do, attempt: 1, answer };
        apply(plan, instance, &refused, now)
    });
    assert_eq!(found, "the saga takes s0 for not done or undone, and its effect stands [truth]");
}

#[test]
fn a_machine_that_moves_what_has_ended_is_found() {
    let found = found(|plan, instance, event, now| {
        let applied = apply(plan, instance, event, now)?;
        let ended = instance.state.status().is_terminal();
        Ok(match (applied, event) {
            (Applied::Ignored(_), Event::Replied { .. }) if ended => {
                let decision = Decision::Resumed;
                Applied::Moved(Box::new(Transition { next: instance.clone(), effects: Vec::new(), decision }))
            }
            (applied, _) => applied,
        })
    });
    assert_eq!(found, "a saga that has ended moves [absorbing]");
}

#[test]
fn a_machine_that_takes_a_late_yes_is_found() {
    let found = found(|plan, instance, event, now| {
        let applied = apply(plan, instance, event, now)?;
        Ok(match (applied, event, &instance.state) {
            (
                Applied::Ignored(_),
                Event::Replied { direction: Direction::Do, .. },
                State::Compensating(_),
            ) => {
                let decision = Decision::Resumed;
                Applied::Moved(Box::new(Transition { next: instance.clone(), effects: Vec::new(), decision }))
            }
            (applied, _, _) => applied,
        })
    });
    assert_eq!(found, "a reply to do s0 counts, and nobody awaits it [correlation]");
}

pub(super) const TRACE: &str = "00-00000000000000000000000000000001-0000000000000001-01";
