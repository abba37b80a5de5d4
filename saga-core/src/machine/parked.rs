//! Waiting for a human.

use super::state::{Cause, Instance, State, StepRecord};
use super::transition::{Decision, Effect, Ignored, Transition, TransitionError};
use super::turn::{Moved, Next, Turn};
use super::{Compensating, Event, running, signals};
use crate::id::StepName;
use crate::message::{Payload, shortened};

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
        if let Event::Signalled { step, signal } = event {
            return self.signalled(turn, step, signal);
        }
        if matches!(event, Event::Released) {
            return turn.released().and_then(|()| Err(turn.noted()));
        }
        let (next, decision) = self.leave(turn, event)?;
        let next = match next {
            Next::Forward => signals::take_kept(turn, next)?,
            Next::Backward(_) | Next::Provisional | Next::Completed => next,
            Next::Compensated(_) | Next::Parked(_) => next,
        };
        turn.ask_again()?;
        Ok((next, decision))
    }

    fn signalled(&self, turn: &mut Turn<'_>, step: &StepName, signal: &Payload) -> Moved {
        match self.cause {
            None => signals::given_while_parked(turn, step, signal, &self.reason),
            Some(_) => {
                let why = TransitionError::GoingBack(step.clone());
                Err(signals::too_late(&turn.before.state, step, signal, why))
            }
        }
    }

    fn leave(&self, turn: &mut Turn<'_>, event: &Event) -> Moved {
        match (event, self.backward()) {
            (Event::Started { .. } | Event::StartedBy { .. } | Event::Upgraded { .. }, _) => {
                Err(TransitionError::StartedTwice.into())
            }
            (Event::Replied { .. } | Event::TimerDue { .. } | Event::Undeliverable { .. }, _)
            | (Event::Signalled { .. } | Event::Released, _) => Err(Ignored::Parked.into()),
            (Event::Asked { .. }, _) if turn.parent.is_none() => Err(TransitionError::NoParent.into()),
            (Event::Asked { .. }, _) => Err(Ignored::Parked.into()),
            (Event::Cancel { reason }, None) => running::cancel(turn, reason),
            (Event::Cancel { .. }, Some(_)) => Err(Ignored::UnderWay.into()),
            (Event::Compensate { reason }, None) => running::compensate(turn, reason),
            (Event::Retry { .. }, None) if turn.is_through() => Ok((turn.through(), Decision::Resumed)),
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

/// The transition that parks a saga as it stands. A signal that led to it is kept.
pub(super) fn park(instance: &Instance, event: &Event, reason: &str) -> Transition {
    let reason = shortened(reason);
    let mut steps = instance.state.steps().to_vec();
    if let Event::Signalled { step, signal } = event {
        signals::keep(&mut steps, step, signal);
    }
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
