//! Waiting for a human.

use super::state::{Cause, Instance, State, StepRecord};
use super::transition::{Decision, Effect, Ignored, Transition, TransitionError};
use super::turn::{Halt, Moved, Turn};
use super::{Compensating, Event, running};
use crate::id::StepName;

/// Waiting for a human: no timers run and replies are ignored. An operator's verb has everything that is awaited
/// sent again; the fences answer once more, so nothing that arrived meanwhile is lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parked {
    /// The steps that were entered.
    pub steps: Vec<StepRecord>,
    /// Why the saga was being taken back; `None` if it was going forward.
    pub cause: Option<Cause>,
    /// Why it is parked.
    pub reason: String,
}

impl Parked {
    pub(super) fn on(&self, turn: &mut Turn<'_>, event: &Event) -> Moved {
        match event {
            Event::Started => Err(TransitionError::StartedTwice.into()),
            Event::Replied { .. } | Event::TimerDue { .. } | Event::Undeliverable { .. } => {
                Err(Ignored::Parked.into())
            }
            Event::Cancel { reason } => self.leave(turn, |turn| running::cancel(turn, reason)),
            Event::Compensate { reason } => self.leave(turn, |turn| running::compensate(turn, reason)),
            Event::Retry { .. } => match self.backward() {
                Some(compensating) => compensating.resume(turn),
                None => running::resume(turn),
            },
            Event::Resolve { step, resolution, .. } => {
                let moved = match self.backward() {
                    Some(compensating) => compensating.resolve(turn, step, resolution)?,
                    None => running::resolve(turn, step, resolution)?,
                };
                resend_rest(turn, step)?;
                Ok(moved)
            }
        }
    }

    /// Undoes a saga that was parked going forward; one that was parked going back is only resumed.
    fn leave(&self, turn: &mut Turn<'_>, undo: impl FnOnce(&mut Turn<'_>) -> Moved) -> Moved {
        match self.backward() {
            Some(compensating) => compensating.resume(turn),
            None => undo(turn),
        }
    }

    fn backward(&self) -> Option<Compensating> {
        self.cause.clone().map(|cause| Compensating { steps: Vec::new(), cause })
    }
}

/// The other steps of a parked group lost their timers, so they are asked again.
fn resend_rest(turn: &mut Turn<'_>, resolved: &StepName) -> Result<(), Halt> {
    for awaited in turn.all_awaited() {
        if turn.step(awaited.place).name != *resolved && !turn.is_armed(awaited.place) {
            turn.resend_afresh(&awaited)?;
        }
    }
    Ok(())
}

/// The transition that parks a saga as it stands.
pub(super) fn park(instance: &Instance, reason: String) -> Transition {
    let steps = instance.state.steps().to_vec();
    let effects = steps
        .iter()
        .filter(|record| record.state.is_awaited())
        .map(|record| Effect::Disarm { step: record.name.clone() })
        .collect();
    let state =
        State::Parked(Parked { steps, cause: instance.state.cause().cloned(), reason: reason.clone() });
    let next = Instance { version: instance.version + 1, state, ..instance.clone() };
    Transition { next, effects, decision: Decision::Parked(reason) }
}
