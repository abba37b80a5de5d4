//! The pure state machine. Two doors: [`start`] and [`apply`]. No I/O, no clock; a transition is a value, and it is
//! exactly what one database transaction writes.
//!
//! `docs/state-machine.md` draws it; a test holds the drawing against the code.

mod asking;
mod compensating;
mod event;
mod finished;
mod parked;
mod running;
mod signals;
mod state;
mod stored;
mod transition;
mod turn;

#[cfg(test)]
mod tests;

pub use compensating::Compensating;
pub use event::{Event, Resolution};
pub use finished::{Compensated, Completed};
pub use parked::Parked;
pub use running::Running;
pub use state::{Cause, Instance, State, Status, StepRecord, StepState, Try, Waiting};
pub use stored::{StateError, Stored};
pub use transition::{Applied, Decision, Effect, Ignored, Transition, TransitionError};

use crate::definition::{Plan, ScriptError};
use crate::id::SagaId;
use crate::message::{Payload, TraceParent};
use crate::policy::Timestamp;
use turn::{Halt, Turn};

/// Starts a saga: enters the first group of `plan` that has something to do.
///
/// # Errors
///
/// [`ScriptError`] if the user's code panicked or its command has no JSON form. Nothing was started then.
pub fn start(
    plan: &Plan,
    id: SagaId,
    data: Payload,
    trace: TraceParent,
    now: Timestamp,
) -> Result<Transition, ScriptError> {
    let definition = plan.reference().clone();
    let state = State::Running(Running { steps: Vec::new() });
    let instance = Instance { id, definition, version: 0, state, data, began: now, trace };
    let mut turn = Turn::open(plan, &instance, now);
    let next = turn.enter(0)?;
    let (next, effects) = turn.finish(next);
    Ok(Transition { next, effects, decision: Decision::Started })
}

/// Applies an event to a saga.
///
/// If the user's code panics or cannot read its data, the transition parks the saga as it was before the event.
///
/// # Errors
///
/// [`TransitionError`] if the event is one that nobody should have sent: an answer that its direction cannot
/// have, a step that the definition does not know, an operator's verb that the state does not allow.
pub fn apply(
    plan: &Plan,
    instance: &Instance,
    event: &Event,
    now: Timestamp,
) -> Result<Applied, TransitionError> {
    match decide(plan, instance, event, now) {
        Ok(transition) => Ok(Applied::Moved(Box::new(transition))),
        Err(Halt::Park(reason)) => Ok(Applied::Moved(Box::new(parked::park(instance, event, &reason)))),
        Err(Halt::Script(error)) => {
            Ok(Applied::Moved(Box::new(parked::park(instance, event, &error.to_string()))))
        }
        Err(Halt::Ignored(ignored)) => Ok(Applied::Ignored(ignored)),
        Err(Halt::Error(error)) => Err(error),
    }
}

fn decide(plan: &Plan, instance: &Instance, event: &Event, now: Timestamp) -> Result<Transition, Halt> {
    debug_assert_eq!(plan.reference(), &instance.definition, "a saga keeps the definition it began with");
    let mut turn = Turn::open(plan, instance, now);
    let (next, decision) = match &instance.state {
        State::Running(running) => running.on(&mut turn, event),
        State::Compensating(compensating) => compensating.on(&mut turn, event),
        State::Parked(parked) => parked.on(&mut turn, event),
        State::Completed(completed) => completed.on(&turn, event),
        State::Compensated(compensated) => compensated.on(&turn, event),
    }?;
    let (next, effects) = turn.finish(next);
    Ok(Transition { next, effects, decision })
}
