//! The pure state machine. Two doors: [`start`] (and [`start_by`], for a step of another saga) and [`apply`]. No I/O, no clock; a transition is a value, and it is
//! exactly what one database transaction writes.
//!
//! `docs/state-machine.md` draws it; a test holds the drawing against the code.

mod asking;
mod compensating;
mod event;
mod finished;
mod parent;
mod parked;
mod provisional;
mod running;
mod signals;
mod state;
mod stored;
mod transition;
mod turn;
mod upgrade;

#[cfg(test)]
mod tests;

pub use compensating::Compensating;
pub use event::{Event, Resolution};
pub use finished::{Compensated, Completed};
pub use parent::Parent;
pub use parked::Parked;
pub use provisional::Provisional;
pub use running::Running;
pub use state::{Cause, Instance, State, Status, StepRecord, StepState, Try, Waiting};
pub use stored::{StateError, Stored};
pub use transition::{Applied, Decision, Effect, Ignored, Transition, TransitionError};
pub use upgrade::{UpgradeError, upgrade};

use crate::definition::{Plan, ScriptError};
use crate::id::{Direction, SagaId};
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
    begin(plan, fresh(plan, id, data, trace, now))
}

/// Starts a saga as a step of another one, or sees to it that it never begins: what `parent` asks for first decides.
///
/// # Errors
///
/// [`ScriptError`] as [`start`]. Nothing was started then.
pub fn start_by(
    plan: &Plan,
    id: SagaId,
    parent: Parent,
    data: Payload,
    trace: TraceParent,
    now: Timestamp,
) -> Result<Transition, ScriptError> {
    let asks = parent.asks;
    let instance = Instance { parent: Some(parent), ..fresh(plan, id, data, trace, now) };
    match asks {
        Some(Direction::Do) | None => begin(plan, instance),
        Some(direction @ (Direction::Undo | Direction::Close)) => Ok(parent::never(instance, direction)),
    }
}

/// A saga before its first transition.
fn fresh(plan: &Plan, id: SagaId, data: Payload, trace: TraceParent, now: Timestamp) -> Instance {
    let definition = plan.reference().clone();
    let state = State::Running(Running { steps: Vec::new() });
    Instance { id, definition, version: 0, state, data, began: now, trace, parent: None }
}

fn begin(plan: &Plan, instance: Instance) -> Result<Transition, ScriptError> {
    let mut turn = Turn::open(plan, &instance, instance.began);
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
        Err(Halt::Noted(parent)) => Ok(Applied::Moved(Box::new(parent::note(instance, *parent)))),
        Err(Halt::Ignored(ignored)) => Ok(Applied::Ignored(ignored)),
        Err(Halt::Error(error)) => Err(error),
    }
}

fn decide(plan: &Plan, instance: &Instance, event: &Event, now: Timestamp) -> Result<Transition, Halt> {
    if let Event::Upgraded { data, .. } = event {
        return upgrade::upgraded(plan, instance, data);
    }
    debug_assert_eq!(plan.reference(), &instance.definition, "a saga keeps the definition it began with");
    let mut turn = Turn::open(plan, instance, now);
    let (next, decision) = match &instance.state {
        State::Running(running) => running.on(&mut turn, event),
        State::Compensating(compensating) => compensating.on(&mut turn, event),
        State::Provisional(provisional) => provisional.on(&mut turn, event),
        State::Parked(parked) => parked.on(&mut turn, event),
        State::Completed(completed) => completed.on(&turn, event),
        State::Compensated(compensated) => compensated.on(&turn, event),
    }?;
    let (next, effects) = turn.finish(next);
    Ok(Transition { next, effects, decision })
}
