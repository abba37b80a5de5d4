//! Going forward.

use super::state::{Cause, StepRecord, StepState};
use super::transition::{Decision, TransitionError};
use super::turn::{Awaited, Halt, Moved, Next, Turn};
use super::{Event, Resolution};
use crate::definition::Role;
use crate::id::StepName;
use crate::message::{Answer, Fault, FaultKind, Payload};

/// Going forward: the steps of one group are out, all groups before it are done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    /// The steps that were entered.
    pub steps: Vec<StepRecord>,
}

impl Running {
    pub(super) fn on(&self, turn: &mut Turn<'_>, event: &Event) -> Moved {
        match event {
            Event::Started => Err(TransitionError::StartedTwice.into()),
            Event::Replied { step, direction, attempt, answer } => {
                let awaited = turn.accept(step, *direction, *attempt, answer)?;
                answered(turn, &awaited, answer)
            }
            Event::TimerDue { step, direction, attempt } => {
                let awaited = turn.timed(step, *direction, *attempt)?;
                unanswered(turn, &awaited)
            }
            Event::Undeliverable { reason, .. } => Err(Halt::Park(reason.clone())),
            Event::Cancel { reason } => cancel(turn, reason),
            Event::Retry { .. } => resume(turn),
            Event::Resolve { step, resolution, .. } => resolve(turn, step, resolution),
            Event::Compensate { reason } => compensate(turn, reason),
        }
    }
}

fn answered(turn: &mut Turn<'_>, awaited: &Awaited, answer: &Answer) -> Moved {
    match answer {
        Answer::Done(reply) => done(turn, awaited.place, reply),
        Answer::Refused(why) => refused(turn, awaited.place, Some(why)),
        Answer::Closed | Answer::Undone => refused(turn, awaited.place, None),
        Answer::Running => wait(turn, awaited),
        Answer::Fault(fault) => faulted(turn, awaited, fault),
    }
}

fn done(turn: &mut Turn<'_>, place: usize, reply: &Payload) -> Moved {
    turn.on_reply(place, reply)?;
    turn.settle(place, StepState::Done(reply.clone()));
    let name = turn.step(place).name.clone();
    let group = turn.plan.groups().iter().position(|group| group.contains(&place)).unwrap_or_default();
    let all_done = |turn: &Turn<'_>, place| matches!(turn.state(place), Some(StepState::Done(_)));
    if !turn.plan.groups()[group].clone().all(|place| all_done(turn, place)) {
        return Ok((Next::Forward, Decision::StepDone(name)));
    }
    if group + 1 == turn.plan.groups().len() {
        return Ok((Next::Completed, Decision::Completed));
    }
    turn.enter(group + 1)?;
    Ok((Next::Forward, Decision::Advanced(name)))
}

fn refused(turn: &mut Turn<'_>, place: usize, why: Option<&Payload>) -> Moved {
    let step = turn.step(place).name.clone();
    if matches!(turn.step(place).role, Role::Retriable) {
        let said = why.map_or("closed", Payload::as_text);
        return Err(Halt::Park(format!(
            "step {step} stands after the pivot, where nothing may be refused, and was refused with {said}"
        )));
    }
    if let Some(why) = why {
        turn.on_refused(place, why)?;
    }
    turn.settle(place, StepState::Refused);
    turn.turn_back(Cause::Refused { step, why: why.cloned() })
}

/// An external call is under way: ask again later.
fn wait(turn: &mut Turn<'_>, awaited: &Awaited) -> Moved {
    turn.back_off(awaited);
    let name = turn.step(awaited.place).name.clone();
    Ok((Next::Forward, Decision::BackingOff(name, awaited.direction, awaited.asked.attempt)))
}

fn faulted(turn: &mut Turn<'_>, awaited: &Awaited, fault: &Fault) -> Moved {
    match fault.kind {
        FaultKind::Permanent => Err(Halt::Park(fault_reason(turn, awaited, fault))),
        FaultKind::Temporary if turn.is_spent(awaited) => give_up(turn, awaited),
        FaultKind::Temporary => wait(turn, awaited),
    }
}

fn unanswered(turn: &mut Turn<'_>, awaited: &Awaited) -> Moved {
    if turn.is_spent(awaited) {
        return give_up(turn, awaited);
    }
    turn.resend(awaited)?;
    let name = turn.step(awaited.place).name.clone();
    Ok((Next::Forward, Decision::Resent(name, awaited.direction, awaited.asked.attempt + 1)))
}

/// The outcome stayed unknown. A step that can be undone is: its undo is safe whatever happened. Any other is closed,
/// and the answer to that decides.
fn give_up(turn: &mut Turn<'_>, awaited: &Awaited) -> Moved {
    let step = turn.step(awaited.place).name.clone();
    if turn.step(awaited.place).undo().is_some() {
        return turn.turn_back(Cause::Unanswered { step });
    }
    turn.close(awaited.place)?;
    Ok((Next::Forward, Decision::Closing(step)))
}

pub(super) fn cancel(turn: &mut Turn<'_>, reason: &str) -> Moved {
    match turn.pivot_entered() {
        Some(pivot) => Err(TransitionError::PastPivot(turn.step(pivot).name.clone()).into()),
        None => turn.turn_back(Cause::Cancelled { reason: reason.to_owned() }),
    }
}

/// Sends everything that is awaited again, and counts attempts from here.
pub(super) fn resume(turn: &mut Turn<'_>) -> Moved {
    for awaited in turn.all_awaited() {
        turn.resend_afresh(&awaited)?;
    }
    Ok((Next::Forward, Decision::Resumed))
}

/// An operator wants the saga undone. An unknown pivot is closed first, and the answer decides.
pub(super) fn compensate(turn: &mut Turn<'_>, reason: &str) -> Moved {
    let Some(pivot) = turn.pivot_entered() else {
        return turn.turn_back(Cause::Operator { reason: reason.to_owned() });
    };
    let name = turn.step(pivot).name.clone();
    match turn.state(pivot) {
        Some(StepState::Doing(_)) => turn.close(pivot)?,
        Some(StepState::Closing(_)) => resend_close(turn, pivot)?,
        Some(StepState::Done(_) | StepState::Refused | StepState::Undoing { .. } | StepState::Undone)
        | None => {
            return Err(TransitionError::PastPivot(name).into());
        }
    }
    Ok((Next::Forward, Decision::Closing(name)))
}

fn resend_close(turn: &mut Turn<'_>, pivot: usize) -> Result<(), Halt> {
    match turn.awaited(pivot) {
        Some(awaited) => Ok(turn.resend_afresh(&awaited)?),
        None => Ok(()),
    }
}

/// An operator says what became of a step that is awaited.
pub(super) fn resolve(turn: &mut Turn<'_>, step: &StepName, resolution: &Resolution) -> Moved {
    let place = turn.place(step)?;
    if turn.awaited(place).is_none() {
        return Err(TransitionError::NothingToResolve(step.clone()).into());
    }
    match resolution {
        Resolution::Done(reply) => done(turn, place, reply),
        Resolution::NotDone if matches!(turn.step(place).role, Role::Retriable) => {
            Err(TransitionError::MustHappen(step.clone()).into())
        }
        Resolution::NotDone => refused(turn, place, None),
    }
}

/// Why a permanent fault parks the saga.
pub(super) fn fault_reason(turn: &Turn<'_>, awaited: &Awaited, fault: &Fault) -> String {
    let step = &turn.step(awaited.place).name;
    format!("{} could not {} {step}: {fault}", turn.step(awaited.place).participant, awaited.direction)
}
