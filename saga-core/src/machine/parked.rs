//! Waiting for a human.

use super::state::{Cause, Instance, State, StepRecord};
use super::transition::{Decision, Effect, Ignored, Transition, TransitionError};
use super::turn::{Moved, Next, Turn};
use super::{Compensating, Event, running};
use crate::message::shortened;

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
    /// An operator's verb moves the saga on; what is awaited after that and was not just sent is sent again.
    pub(super) fn on(&self, turn: &mut Turn<'_>, event: &Event) -> Moved {
        let moved = self.leave(turn, event)?;
        turn.ask_again()?;
        Ok(moved)
    }

    fn leave(&self, turn: &mut Turn<'_>, event: &Event) -> Moved {
        match (event, self.backward()) {
            (Event::Started, _) => Err(TransitionError::StartedTwice.into()),
            (Event::Replied { .. } | Event::TimerDue { .. } | Event::Undeliverable { .. }, _) => {
                Err(Ignored::Parked.into())
            }
            (Event::Cancel { reason }, None) => running::cancel(turn, reason),
            (Event::Cancel { .. }, Some(_)) => Err(Ignored::UnderWay.into()),
            (Event::Compensate { reason }, None) => running::compensate(turn, reason),
            (Event::Retry { .. }, None) => Ok((Next::Forward, Decision::Resumed)),
            (Event::Retry { .. } | Event::Compensate { .. }, Some(compensating)) => {
                Ok((compensating.backward(), Decision::Resumed))
            }
            (Event::Resolve { step, resolution, reason }, None) => {
                running::resolve(turn, step, resolution, reason)
            }
            (Event::Resolve { step, resolution, .. }, Some(compensating)) => {
                compensating.resolve(turn, step, resolution)
            }
        }
    }

    fn backward(&self) -> Option<Compensating> {
        self.cause.clone().map(|cause| Compensating { steps: Vec::new(), cause })
    }
}

/// The transition that parks a saga as it stands.
pub(super) fn park(instance: &Instance, reason: &str) -> Transition {
    let reason = shortened(reason);
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
