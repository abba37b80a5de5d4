//! Taking back what was done.

use super::state::{Cause, StepRecord, StepState};
use super::transition::{Decision, Ignored, TransitionError};
use super::turn::{Awaited, Halt, Moved, Next, Turn};
use super::{Event, Resolution, running, signals};
use crate::id::{Direction, StepName};
use crate::message::{Answer, FaultKind};

/// Taking back what was done, group by group from the last one entered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compensating {
    /// The steps that were entered.
    pub steps: Vec<StepRecord>,
    /// Why the saga is taken back.
    pub cause: Cause,
}

impl Compensating {
    pub(super) fn on(&self, turn: &mut Turn<'_>, event: &Event) -> Moved {
        match event {
            Event::Started { .. } | Event::StartedBy { .. } | Event::Upgraded { .. } => {
                Err(TransitionError::StartedTwice.into())
            }
            Event::Asked { direction, attempt, reply_to } => {
                turn.asked(*direction, *attempt, reply_to).and_then(|()| Err(turn.noted()))
            }
            Event::Released => turn.released().and_then(|()| Err(turn.noted())),
            Event::Replied { step, direction, attempt, answer } => {
                let awaited = turn.accept(step, *direction, *attempt, answer)?;
                self.answered(turn, &awaited, answer)
            }
            Event::TimerDue { step, direction, attempt } => {
                let awaited = turn.timed(step, *direction, *attempt)?;
                self.unanswered(turn, &awaited)
            }
            Event::Signalled { step, signal } => {
                let why = TransitionError::GoingBack(step.clone());
                Err(signals::too_late(&turn.before.state, step, signal, why))
            }
            Event::Undeliverable { step, reason } => turn.undeliverable(step, reason),
            Event::Cancel { .. } | Event::Compensate { .. } => Err(Ignored::UnderWay.into()),
            Event::Retry { .. } => self.resume(turn),
            Event::Resolve { step, resolution, .. } => self.resolve(turn, step, resolution),
        }
    }

    fn answered(&self, turn: &mut Turn<'_>, awaited: &Awaited, answer: &Answer) -> Moved {
        planted!(UndoFaultSwallowed: return self.settled(turn, awaited, StepState::Undone));
        match answer {
            // Only a step with nothing to undo is closed here; that it was done after all changes nothing.
            Answer::Done(reply) => self.settled(turn, awaited, StepState::Done(reply.clone())),
            Answer::Undone if awaited.direction == Direction::Undo => {
                self.settled(turn, awaited, StepState::Undone)
            }
            Answer::Undone | Answer::Refused(_) | Answer::Closed => {
                self.settled(turn, awaited, StepState::Refused)
            }
            Answer::Running => {
                turn.send_along(awaited)?;
                turn.ask_later(awaited);
                Ok(self.waiting(turn, awaited))
            }
            Answer::Fault(fault) => match fault.kind {
                FaultKind::Permanent => Err(Halt::Park(running::fault_reason(turn, awaited, fault))),
                FaultKind::Temporary if turn.is_spent(awaited) => Err(spent(turn, awaited)),
                FaultKind::Temporary => {
                    turn.back_off(awaited);
                    Ok(self.waiting(turn, awaited))
                }
            },
        }
    }

    fn settled(&self, turn: &mut Turn<'_>, awaited: &Awaited, state: StepState) -> Moved {
        let name = turn.name(awaited.place).clone();
        let undone = state == StepState::Undone;
        turn.set(awaited.place, state);
        let next = turn.retreat(self.cause.clone())?;
        let decision = match next {
            Next::Compensated(_) => Decision::Compensated,
            Next::Forward | Next::Backward(_) | Next::Provisional | Next::Completed | Next::Parked(_)
                if undone =>
            {
                Decision::StepUndone(name)
            }
            Next::Forward | Next::Backward(_) | Next::Provisional | Next::Completed | Next::Parked(_) => {
                Decision::StepSettled(name)
            }
        };
        Ok((next, decision))
    }

    fn waiting(&self, turn: &Turn<'_>, awaited: &Awaited) -> (Next, Decision) {
        let name = turn.name(awaited.place).clone();
        (self.backward(), Decision::BackingOff(name, awaited.direction, awaited.asked.attempt))
    }

    fn unanswered(&self, turn: &mut Turn<'_>, awaited: &Awaited) -> Moved {
        if turn.is_spent(awaited) {
            return Err(spent(turn, awaited));
        }
        let attempt = turn.resend(awaited)?;
        let name = turn.name(awaited.place).clone();
        Ok((self.backward(), Decision::Resent(name, awaited.direction, attempt)))
    }

    /// Sends everything that is awaited again, and counts attempts from here.
    fn resume(&self, turn: &mut Turn<'_>) -> Moved {
        turn.ask_again()?;
        Ok((self.backward(), Decision::Resumed))
    }

    /// An operator says what became of a step that is awaited. An undo must happen: only "done" resolves it.
    pub(super) fn resolve(&self, turn: &mut Turn<'_>, step: &StepName, resolution: &Resolution) -> Moved {
        let place = turn.place(step)?;
        let awaited = turn.awaited(place).ok_or_else(|| TransitionError::NothingToResolve(step.clone()))?;
        let undo = awaited.direction == Direction::Undo;
        match resolution {
            Resolution::Done(_) if undo => self.settled(turn, &awaited, StepState::Undone),
            Resolution::Done(reply) => self.settled(turn, &awaited, StepState::Done(reply.clone())),
            Resolution::NotDone if undo => Err(TransitionError::UndoMustHappen(step.clone()).into()),
            Resolution::NotDone => self.settled(turn, &awaited, StepState::Refused),
        }
    }

    pub(super) fn backward(&self) -> Next {
        Next::Backward(self.cause.clone())
    }
}

fn spent(turn: &Turn<'_>, awaited: &Awaited) -> Halt {
    let step = turn.name(awaited.place);
    Halt::Park(format!("{} to {} {step} are spent", attempts(awaited), awaited.direction))
}

fn attempts(awaited: &Awaited) -> String {
    match awaited.asked.made() {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    }
}
