//! Through, as a step of another saga that has not ended: every effect stands, and can still be taken back.

use super::state::{Cause, StepRecord};
use super::transition::{Decision, Ignored, TransitionError};
use super::turn::{Moved, Next, Turn};
use super::{Event, signals};

/// Through, until the saga that it is a step of has ended. Only that one moves it on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Provisional {
    /// The steps, all of them done.
    pub steps: Vec<StepRecord>,
}

impl Provisional {
    pub(super) fn on(&self, turn: &mut Turn<'_>, event: &Event) -> Moved {
        match event {
            Event::Started { .. } | Event::StartedBy { .. } | Event::Upgraded { .. } => {
                Err(TransitionError::StartedTwice.into())
            }
            Event::Asked { direction, attempt, reply_to } => {
                turn.asked(*direction, *attempt, reply_to)?;
                // The replies of all groups are noted already.
                let next = turn.retreat(Cause::Parent)?;
                Ok((next, Decision::TurnedBack(Cause::Parent)))
            }
            Event::Released => {
                turn.released()?;
                Ok((Next::Completed, Decision::Completed))
            }
            Event::Replied { .. } | Event::Undeliverable { .. } => Err(Ignored::NotAwaited.into()),
            Event::TimerDue { .. } => Err(Ignored::StaleTimer.into()),
            Event::Signalled { step, signal } => {
                Err(signals::too_late(&turn.before.state, step, signal, TransitionError::Provisional))
            }
            Event::Cancel { .. } | Event::Retry { .. } | Event::Resolve { .. } | Event::Compensate { .. } => {
                Err(TransitionError::Provisional.into())
            }
        }
    }
}
