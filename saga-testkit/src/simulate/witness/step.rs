//! Steps: what participants' fences say of them.

use std::collections::BTreeMap;

use saga_core::definition::{Role, StepPlan};
use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{Direction, MessageId, SagaId, StepName};
use saga_core::machine::StepState;
use saga_core::message::{Answer, Payload, ReplyMessage};
use saga_core::port::FenceWrite;

use super::{Saga, Witness};
use crate::simulate::counters::{Counters, Seen};

impl Witness {
    /// S3: an effect takes place once, is taken back once, and never after it was ruled out.
    pub(in crate::simulate) fn fenced(&mut self, process: &str, write: &FenceWrite, counters: &mut Counters) {
        if let Some(row) = &write.reply {
            self.inserted(process, row);
            self.replied(write, counters);
        }
        let Some(state) = &write.state else { return };
        if self.forgotten.contains(&write.key) {
            return self.after_all(&write.key, state);
        }
        self.check_skipped(&write.key, state);
        let before = self.fences.insert(write.key.clone(), state.clone());
        if !may_follow(before.as_ref(), state) {
            let (saga, step) = (write.key.saga, &write.key.step);
            let before = before.as_ref().map_or("nothing", FenceState::as_str);
            self.violation(format!("S3: step {step} of {saga} was {before}, and became {}", state.as_str()));
        }
    }

    /// S12: nothing takes place any more in a step that is forgotten. An undo that comes so late leaves a tombstone.
    fn after_all(&mut self, key: &FenceKey, state: &FenceState) {
        if *state != FenceState::Closed {
            let FenceKey { saga, step, .. } = key;
            self.violation(format!(
                "S12: step {step} of {saga} was forgotten, and became {}",
                state.as_str()
            ));
        }
    }

    fn replied(&mut self, write: &FenceWrite, counters: &mut Counters) {
        let reply = write.reply.as_ref().and_then(|row| ReplyMessage::decode(&row.envelope).ok());
        let Some(ReplyMessage { direction, answer, .. }) = reply else { return };
        match (direction, &answer, &write.state) {
            (Direction::Undo | Direction::Close, _, Some(FenceState::Closed)) => {
                counters.count(Seen::CommandOvertaken);
            }
            (Direction::Do, Answer::Closed, None) => counters.count(Seen::TombstoneHit),
            _ => {}
        }
    }

    /// What a step's participant says of it, or the saga that it runs.
    pub(super) fn fence(&self, saga: SagaId, step: &StepName) -> Option<FenceState> {
        let plan = self.step(saga, step)?;
        if plan.sub_saga().is_some() {
            return self.child(saga, step).map(Saga::row);
        }
        if plan.command()?.is_local() {
            return self.state(saga, step).map(|state| local_row(&state));
        }
        let participant = plan.command()?.participant.clone();
        self.fences.get(&FenceKey { participant, saga, step: step.clone() }).cloned()
    }

    /// S4: a charge stands if its step is done, and only then.
    pub(in crate::simulate) fn check_charges(&mut self, charges: &BTreeMap<MessageId, bool>) {
        let steps = self.fences.iter().filter_map(|(key, state)| {
            let charge = MessageId::command(key.saga, &key.step, Direction::Do);
            Some((key, state, *charges.get(&charge)?))
        });
        let is_wrong =
            |(_, state, stands): &(_, &FenceState, bool)| *stands != matches!(state, FenceState::Applied(_));
        let wrong = steps.filter(is_wrong).map(|(FenceKey { saga, step, .. }, state, stands)| {
            let stands = if stands { "stands" } else { "does not stand" };
            format!("S4: the charge for {step} of {saga} {stands}, and its row says {}", state.as_str())
        });
        let wrong: Vec<String> = wrong.collect();
        wrong.into_iter().for_each(|wrong| self.violation(wrong));
    }

    /// The plan of a step, or of the step that this is an item's part of.
    pub(super) fn step(&self, saga: SagaId, step: &StepName) -> Option<&StepPlan> {
        let plan = self.plan(saga)?;
        Some(&plan.steps()[plan.position_of(step)?])
    }

    /// Why a step that was sent is not settled, in a saga that goes back: it stands, or may still come to stand.
    pub(super) fn why_unsettled(&self, saga: SagaId, step: &StepName) -> Option<&'static str> {
        let leaves_nothing =
            self.step(saga, step).is_some_and(|step| matches!(step.role, Role::NothingToUndo));
        match self.fence(saga, step) {
            Some(FenceState::Refused(_) | FenceState::Compensated | FenceState::Closed) => None,
            Some(FenceState::Applied(_)) if leaves_nothing => None,
            Some(FenceState::Applied(_) | FenceState::Started | FenceState::Repeated) => Some("stands"),
            None => Some("may still be done"),
        }
    }

    pub(super) fn why_not_done(&self, saga: SagaId, step: &StepName) -> Option<&'static str> {
        match self.fence(saga, step) {
            Some(FenceState::Applied(_)) => None,
            Some(_) | None => Some("is not done"),
        }
    }
}

/// What a fence row would say of a local step, whose effect is where its saga says that it is.
fn local_row(state: &StepState) -> FenceState {
    match state {
        StepState::Done(_) | StepState::Undoing { reply: Some(_), .. } => {
            FenceState::Applied(Payload::default())
        }
        StepState::Refused => FenceState::Refused(Payload::default()),
        StepState::Undone => FenceState::Compensated,
        StepState::Early(_) | StepState::Waiting { .. } | StepState::Pausing { .. } => FenceState::Started,
        StepState::Queued | StepState::Doing(_) | StepState::Closing(_) => FenceState::Started,
        StepState::Undoing { reply: None, .. } | StepState::Skipped => FenceState::Started,
    }
}

/// Whether a row that said `before` may come to say `after`.
fn may_follow(before: Option<&FenceState>, after: &FenceState) -> bool {
    matches!(
        (before, after),
        (None, FenceState::Started | FenceState::Applied(_) | FenceState::Refused(_) | FenceState::Closed)
            | (Some(FenceState::Started), FenceState::Repeated)
            | (
                Some(FenceState::Started | FenceState::Repeated),
                FenceState::Applied(_) | FenceState::Refused(_) | FenceState::Compensated
            )
            | (Some(FenceState::Applied(_)), FenceState::Compensated)
    )
}
