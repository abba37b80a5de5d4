//! Going forward.

use super::state::{Cause, StepRecord, StepState};
use super::transition::{Decision, Ignored, TransitionError};
use super::turn::{Awaited, Halt, Moved, Next, Place, Turn};
use super::{Event, Resolution, signals};
use crate::definition::{Role, Work};
use crate::id::{Direction, StepName};
use crate::message::{Answer, Fault, FaultKind, Payload, shortened};

/// Going forward: the steps of one group are out, all groups before it are done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    /// The steps that were entered.
    pub steps: Vec<StepRecord>,
}

impl Running {
    pub(super) fn on(&self, turn: &mut Turn<'_>, event: &Event) -> Moved {
        match event {
            Event::Started { .. } | Event::StartedBy { .. } | Event::Upgraded { .. } => {
                Err(TransitionError::StartedTwice.into())
            }
            Event::Asked { direction, attempt, reply_to } => {
                turn.asked(*direction, *attempt, reply_to)?;
                turn.turn_back(Cause::Parent)
            }
            Event::Released => turn.released().and_then(|()| Err(turn.noted())),
            Event::Replied { step, direction, attempt, answer } => {
                let awaited = turn.accept(step, *direction, *attempt, answer)?;
                answered(turn, &awaited, answer)
            }
            Event::TimerDue { step, direction, attempt } => {
                let awaited = turn.timed(step, *direction, *attempt)?;
                unanswered(turn, &awaited)
            }
            Event::Signalled { step, signal } => signals::given(turn, step, signal),
            Event::Undeliverable { step, reason } => turn.undeliverable(step, reason),
            Event::Cancel { reason } => cancel(turn, reason),
            Event::Retry { .. } => resume(turn),
            Event::Resolve { step, resolution, reason } => self.resolve(turn, step, resolution, reason),
            Event::Compensate { reason } => compensate(turn, reason),
        }
    }

    /// While a step is being closed, its participant says whether it was done; an operator may only once the saga
    /// is parked over that. So the same verb given twice does not override the fence.
    fn resolve(&self, turn: &mut Turn<'_>, step: &StepName, resolution: &Resolution, reason: &str) -> Moved {
        let closing =
            |record: &StepRecord| record.name == *step && matches!(record.state, StepState::Closing(_));
        match resolution {
            Resolution::NotDone if self.steps.iter().any(closing) => Err(Ignored::UnderWay.into()),
            Resolution::NotDone | Resolution::Done(_) => resolve(turn, step, resolution, reason),
        }
    }
}

fn answered(turn: &mut Turn<'_>, awaited: &Awaited, answer: &Answer) -> Moved {
    match answer {
        Answer::Done(reply) => done(turn, awaited.place, reply),
        Answer::Refused(why) => refused(turn, awaited.place, Some(why)),
        Answer::Closed | Answer::Undone => refused(turn, awaited.place, None),
        Answer::Running => {
            turn.send_along(awaited)?;
            turn.ask_later(awaited);
            Ok(waiting(turn, awaited))
        }
        Answer::Fault(fault) => faulted(turn, awaited, fault),
    }
}

pub(super) fn done(turn: &mut Turn<'_>, place: Place, reply: &Payload) -> Moved {
    turn.set(place, StepState::Done(reply.clone()));
    planted!(CompletedEarly: return Ok((Next::Completed, Decision::Completed)));
    let name = turn.name(place).clone();
    let group = turn.group_of(place.step);
    if !turn.is_group_done(group) {
        turn.try_reply(place, reply)?;
        if turn.is_overdue() {
            return turn.turn_back(Cause::Overdue);
        }
        turn.ask_next_items(place.step)?;
        return Ok((Next::Forward, Decision::StepDone(name)));
    }
    let is_last = group + 1 == turn.plan.groups().len();
    if !is_last && turn.is_overdue() {
        return turn.turn_back(Cause::Overdue);
    }
    turn.note_replies(group)?;
    let next = turn.enter(group + 1)?;
    let next = signals::take_kept(turn, next)?;
    let decision = match next {
        Next::Completed => Decision::Completed,
        Next::Provisional => Decision::Through,
        Next::Forward | Next::Backward(_) | Next::Compensated(_) | Next::Parked(_) => {
            Decision::Advanced(name)
        }
    };
    Ok((next, decision))
}

pub(super) fn refused(turn: &mut Turn<'_>, place: Place, why: Option<&Payload>) -> Moved {
    let step = turn.name(place).clone();
    if matches!(turn.step(place).role, Role::Retriable) {
        let said = why.map_or("closed", Payload::as_text);
        return Err(Halt::Park(format!(
            "step {step} stands after the pivot, where nothing may be refused, and was refused with {said}"
        )));
    }
    if let Some(why) = why {
        turn.on_refused(place, why)?;
    }
    turn.set(place, StepState::Refused);
    turn.turn_back(Cause::Refused { step, why: why.cloned() })
}

fn waiting(turn: &Turn<'_>, awaited: &Awaited) -> (Next, Decision) {
    let name = turn.name(awaited.place).clone();
    (Next::Forward, Decision::BackingOff(name, awaited.direction, awaited.asked.attempt))
}

fn faulted(turn: &mut Turn<'_>, awaited: &Awaited, fault: &Fault) -> Moved {
    planted!(FaultIsRefusal: return refused(turn, awaited.place, None));
    match fault.kind {
        FaultKind::Permanent => Err(Halt::Park(fault_reason(turn, awaited, fault))),
        FaultKind::Temporary if turn.is_spent(awaited) => stayed_unknown(turn, awaited),
        FaultKind::Temporary => {
            turn.back_off(awaited);
            Ok(waiting(turn, awaited))
        }
    }
}

fn unanswered(turn: &mut Turn<'_>, awaited: &Awaited) -> Moved {
    planted!(TimeoutIsRefusal: return refused(turn, awaited.place, None));
    // A step that is being closed is asked on: the saga waits for that answer in any case.
    if turn.is_overdue() && awaited.direction == Direction::Do {
        return turn.turn_back(Cause::Overdue);
    }
    if let Some(left) = turn.left_to_wait(awaited) {
        turn.wait_on(awaited, left);
        return Ok((Next::Forward, Decision::WaitingOn(turn.name(awaited.place).clone())));
    }
    match turn.step(awaited.place).work {
        Work::Command(_) | Work::Notification(_) => {}
        Work::Signal { .. } => return signals::overdue(turn, awaited.place),
        Work::Pause => return done(turn, awaited.place, &Payload::default()),
    }
    if turn.is_spent(awaited) {
        return stayed_unknown(turn, awaited);
    }
    let attempt = turn.resend(awaited)?;
    let name = turn.name(awaited.place).clone();
    Ok((Next::Forward, Decision::Resent(name, awaited.direction, attempt)))
}

fn stayed_unknown(turn: &mut Turn<'_>, awaited: &Awaited) -> Moved {
    let step = turn.name(awaited.place).clone();
    give_up(turn, awaited.place, Cause::Unanswered { step })
}

/// Gives up a command whose outcome is unknown. A step that can be undone is: its undo is safe whatever happened.
/// Any other is closed, and the answer to that decides. Nobody need be asked about a signal that did not come.
fn give_up(turn: &mut Turn<'_>, place: Place, cause: Cause) -> Moved {
    if turn.step(place).undo().is_some() || turn.step(place).command().is_none() {
        return turn.turn_back(cause);
    }
    turn.close(place)?;
    Ok((Next::Forward, Decision::Closing(turn.name(place).clone())))
}

pub(super) fn cancel(turn: &mut Turn<'_>, reason: &str) -> Moved {
    if turn.is_through() {
        return Err(TransitionError::Provisional.into());
    }
    match turn.pivot_entered() {
        Some(pivot) => Err(TransitionError::PastPivot(turn.name(pivot).clone()).into()),
        None => turn.turn_back(Cause::Cancelled { reason: shortened(reason) }),
    }
}

/// Sends everything that is awaited again, and counts attempts from here.
fn resume(turn: &mut Turn<'_>) -> Moved {
    turn.ask_again()?;
    Ok((Next::Forward, Decision::Resumed))
}

/// An operator wants the saga undone. An unknown pivot is closed first, and the answer decides.
pub(super) fn compensate(turn: &mut Turn<'_>, reason: &str) -> Moved {
    if turn.is_through() {
        return Err(TransitionError::Provisional.into());
    }
    let Some(pivot) = turn.pivot_entered() else {
        return turn.turn_back(Cause::Operator { reason: shortened(reason) });
    };
    let name = turn.name(pivot).clone();
    match turn.state(pivot) {
        Some(StepState::Doing(_)) => turn.close(pivot)?,
        Some(StepState::Closing(_)) => turn.ask_again()?,
        Some(
            StepState::Early(_)
            | StepState::Queued
            | StepState::Waiting { .. }
            | StepState::Pausing { .. }
            | StepState::Done(_)
            | StepState::Refused
            | StepState::Undoing { .. }
            | StepState::Undone
            | StepState::Skipped,
        )
        | None => return Err(TransitionError::PastPivot(name).into()),
    }
    Ok((Next::Forward, Decision::Closing(name)))
}

/// An operator says what became of a step that is awaited.
///
/// "Not done" is only believed once the participant's fence knows of it, since the command may still be on its way:
/// the step is undone or closed. If that is what the saga is parked over, the operator's word is the last one.
pub(super) fn resolve(turn: &mut Turn<'_>, step: &StepName, resolution: &Resolution, reason: &str) -> Moved {
    let place = turn.place(step)?;
    let awaited = turn.awaited(place).ok_or_else(|| TransitionError::NothingToResolve(step.clone()))?;
    if let Some(StepState::Waiting { signal: Some(_), .. }) = turn.state(place) {
        // Whoever gave it was told that it counts.
        return Err(TransitionError::SignalTaken(step.clone()).into());
    }
    match (resolution, awaited.direction) {
        (Resolution::Done(reply), _) => {
            turn.try_reply(place, reply).map_err(|error| TransitionError::BadReply(error.to_string()))?;
            signals::take(turn, place, reply)
        }
        (Resolution::NotDone, _) if matches!(turn.step(place).role, Role::Retriable) => {
            Err(TransitionError::MustHappen(step.clone()).into())
        }
        (Resolution::NotDone, Direction::Do) => {
            give_up(turn, place, Cause::Operator { reason: shortened(reason) })
        }
        (Resolution::NotDone, Direction::Close | Direction::Undo) => refused(turn, place, None),
    }
}

/// Why a permanent fault parks the saga.
pub(super) fn fault_reason(turn: &Turn<'_>, awaited: &Awaited, fault: &Fault) -> String {
    let step = turn.step(awaited.place);
    let who = step.command().map_or("nobody", |command| command.participant.as_str());
    format!("{who} could not {} {}: {fault}", awaited.direction, turn.name(awaited.place))
}
