//! Ended, one way or the other. Nothing moves a saga from here.

use super::state::{Cause, StepRecord};
use super::transition::{Ignored, TransitionError};
use super::turn::{Moved, Turn};
use super::{Event, signals};

/// Ended with every effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Completed {
    /// The steps, all of them done.
    pub steps: Vec<StepRecord>,
}

/// Ended with no effect that the definition undoes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compensated {
    /// The steps that were entered.
    pub steps: Vec<StepRecord>,
    /// Why the saga was taken back.
    pub cause: Cause,
}

impl Completed {
    pub(super) fn on(&self, turn: &Turn<'_>, event: &Event) -> Moved {
        ended(turn, event)
    }
}

impl Compensated {
    pub(super) fn on(&self, turn: &Turn<'_>, event: &Event) -> Moved {
        ended(turn, event)
    }
}

/// Late answers and timers are normal; a human who asks for something gets an error.
fn ended(turn: &Turn<'_>, event: &Event) -> Moved {
    planted!(EndedMoves: return Ok((super::turn::Next::Completed, super::Decision::Resumed)));
    match event {
        Event::Replied { .. } | Event::TimerDue { .. } | Event::Undeliverable { .. } => {
            Err(Ignored::Ended.into())
        }
        Event::Signalled { step, signal } => {
            Err(signals::too_late(&turn.before.state, step, signal, TransitionError::Ended))
        }
        Event::Asked { .. } | Event::Released if turn.parent.is_none() => {
            Err(TransitionError::NoParent.into())
        }
        Event::Asked { .. } => Err(Ignored::AskedAgain.into()),
        Event::Released => Err(Ignored::Ended.into()),
        Event::Started { .. } | Event::StartedBy { .. } | Event::Upgraded { .. } => {
            Err(TransitionError::StartedTwice.into())
        }
        Event::Cancel { .. } | Event::Retry { .. } | Event::Resolve { .. } | Event::Compensate { .. } => {
            Err(TransitionError::Ended.into())
        }
    }
}
