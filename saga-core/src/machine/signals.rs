//! What comes from outside: before the saga waits for it, in time, or too late.

use super::running;
use super::state::{Cause, State, StepRecord, StepState};
use super::transition::{Decision, Ignored, TransitionError};
use super::turn::{Halt, Moved, Next, Place, Turn};
use crate::definition::Work;
use crate::id::StepName;
use crate::message::Payload;

/// A signal for a saga that goes forward: taken if the saga waits for it, and kept if it does not yet.
pub(super) fn given(turn: &mut Turn<'_>, step: &StepName, signal: &Payload) -> Moved {
    let place = expected(turn, step, signal)?;
    if let Some(StepState::Waiting { .. }) = turn.state(place) {
        return take(turn, place, signal);
    }
    planted!(EarlySignalDropped: return Err(Ignored::NotAwaited.into()));
    turn.set(place, StepState::Early(signal.clone()));
    Ok((Next::Forward, Decision::Kept(step.clone())))
}

/// A signal for a parked saga is kept: nobody gives it again.
pub(super) fn given_while_parked(
    turn: &mut Turn<'_>,
    step: &StepName,
    signal: &Payload,
    reason: &str,
) -> Moved {
    let place = expected(turn, step, signal)?;
    turn.set(place, kept(turn.state(place), signal));
    Ok((Next::Parked(reason.to_owned()), Decision::Kept(step.clone())))
}

/// Why a signal is no longer taken, unless it was given before.
pub(super) fn too_late(state: &State, step: &StepName, signal: &Payload, why: TransitionError) -> Halt {
    match taken(state, step) {
        Some(before) if before == signal => Ignored::GivenBefore.into(),
        Some(_) => TransitionError::SignalTaken(step.clone()).into(),
        None => why.into(),
    }
}

/// Takes the signals that were kept for the steps that wait now, one after the other.
pub(super) fn take_kept(turn: &mut Turn<'_>, next: Next) -> Result<Next, Halt> {
    let Some((place, signal)) = turn.kept_signal() else { return Ok(next) };
    take(turn, place, &signal).map(|(next, _)| next)
}

/// The time for a signal is over: another one counts as given, or the saga is compensated.
pub(super) fn overdue(turn: &mut Turn<'_>, place: Place) -> Moved {
    match turn.page()?.at_deadline(place.step)? {
        Some(signal) => take(turn, place, &signal),
        None => turn.turn_back(Cause::NoSignal { step: turn.name(place).clone() }),
    }
}

/// Adds a signal to the steps of a saga that it parks, so that it is not lost.
pub(super) fn keep(steps: &mut Vec<StepRecord>, step: &StepName, signal: &Payload) {
    match steps.iter_mut().find(|record| record.name == *step) {
        Some(record) => record.state = kept(Some(&record.state), signal),
        None => steps.push(StepRecord { name: step.clone(), state: StepState::Early(signal.clone()) }),
    }
}

/// Takes a signal, or the reply of any other step: whether it is a refusal is asked of signals only.
pub(super) fn take(turn: &mut Turn<'_>, place: Place, signal: &Payload) -> Moved {
    match turn.page()?.is_refusal(place.step, signal)? {
        true => running::refused(turn, place, Some(signal)),
        false => running::done(turn, place, signal),
    }
}

/// The step that a signal is for, if it can still take one and this is one.
fn expected(turn: &mut Turn<'_>, step: &StepName, signal: &Payload) -> Result<Place, Halt> {
    let place = turn.place(step)?;
    match (&turn.step(place).work, turn.state(place)) {
        (Work::Command(_) | Work::Notification(_) | Work::Pause, _) => {
            return Err(TransitionError::NoSignal(step.clone()).into());
        }
        (Work::Signal { .. }, None | Some(StepState::Waiting { signal: None, .. })) => {}
        (Work::Signal { .. }, Some(StepState::Skipped)) => return Err(Ignored::NotAwaited.into()),
        (Work::Signal { .. }, Some(_)) => {
            planted!(SignalTakenTwice: return Ok(place));
            let why = TransitionError::SignalTaken(step.clone());
            return Err(too_late(&turn.before.state, step, signal, why));
        }
    }
    match turn.page()?.is_refusal(place.step, signal) {
        Ok(_) => Ok(place),
        Err(error) => Err(TransitionError::BadSignal(error.to_string()).into()),
    }
}

/// The signal that the step took or keeps.
fn taken<'a>(state: &'a State, step: &StepName) -> Option<&'a Payload> {
    let record = state.steps().iter().find(|record| record.name == *step)?;
    match (&record.state, state.cause()) {
        (StepState::Done(signal) | StepState::Early(signal), _) => Some(signal),
        (StepState::Waiting { signal, .. }, _) => signal.as_ref(),
        (StepState::Refused, Some(Cause::Refused { step: refused, why })) if refused == step => why.as_ref(),
        (StepState::Queued | StepState::Doing(_) | StepState::Closing(_) | StepState::Refused, _) => None,
        (StepState::Pausing { .. } | StepState::Undoing { .. }, _) => None,
        (StepState::Undone | StepState::Skipped, _) => None,
    }
}

/// The state of a step whose signal is kept.
fn kept(state: Option<&StepState>, signal: &Payload) -> StepState {
    let signal = signal.clone();
    if let Some(StepState::Waiting { asked, .. }) = state {
        return StepState::Waiting { asked: *asked, signal: Some(signal) };
    }
    StepState::Early(signal)
}
