//! Sagas that are run as steps of others: each stands for a fence row of its parent's.

use saga_core::definition::StepPlan;
use saga_core::fence::FenceState;
use saga_core::id::{Direction, ParticipantName, SagaId, StepName};
use saga_core::machine::{Cause, Instance, Status};
use saga_core::message::{COMMAND_VALID, Payload};
use saga_core::policy::Timestamp;
use saga_core::port::Commit;

use super::{Saga, Said, Witness};
use crate::simulate::counters::{Counters, Seen};

impl Witness {
    /// The saga that a step runs, if it has begun.
    pub(super) fn child(&self, saga: SagaId, step: &StepName) -> Option<&Saga> {
        self.sagas.get(&saga.child(step))
    }

    /// Whether a saga that runs as a step may say this without having moved.
    pub(super) fn may_be_answered(&self, saga: SagaId, step: &StepName, answer: &str) -> bool {
        self.child(saga, step).is_some_and(|child| match answer {
            "running" => true,
            "done" => child.was_through,
            _ => child.stored.status == Status::Compensated,
        })
    }

    /// S14 for commands: what the parent asks for is begun, or remembered. A command that is too old is answered from
    /// memory, and what is asked while nobody can read the saga is asked again.
    pub(super) fn why_not_asked(
        &self,
        saga: SagaId,
        step: &StepName,
        direction: Direction,
        not_after: Timestamp,
    ) -> Option<&'static str> {
        let is_taken = match (self.child(saga, step), direction) {
            (None, Direction::Do) => not_after < self.now,
            (None, Direction::Undo | Direction::Close) => false,
            (Some(_), Direction::Do | Direction::Close) => true,
            (Some(child), Direction::Undo) => {
                child.was_parked || child.stored.status.is_terminal() || child.asked_for() == Some(direction)
            }
        };
        (!is_taken).then_some("nothing was done")
    }

    /// S14 for releases.
    pub(super) fn why_not_released(&self, saga: SagaId, step: &StepName) -> Option<&'static str> {
        match self.child(saga, step) {
            None => Some("there is no such saga"),
            Some(child) => {
                (!child.was_parked && child.asked_for().is_some()).then_some("it can still be taken back")
            }
        }
    }

    /// A message is set aside or dead-lettered. If it is a release, its saga stays as it is.
    pub(super) fn given_up(&mut self, said: &Said) {
        let Said::Release { saga, step } = said else { return };
        if self.child(*saga, step).is_some_and(|child| !child.stored.status.is_terminal()) {
            self.unreleased.insert(saga.child(step));
        }
    }

    /// S10: what a saga takes for its parent's word is its word.
    pub(super) fn check_asked(&mut self, id: SagaId, direction: Direction) {
        let Some((parent, step)) = self.sagas.get(&id).and_then(|saga| saga.parent.clone()) else {
            return self.violation(format!("S10: {id} has no parent, and is asked to {direction}"));
        };
        let was_sent = |saga: &Saga| saga.sent.contains_key(&(step.clone(), direction));
        if !self.sagas.get(&parent).is_some_and(was_sent) {
            self.violation(format!("S10: {direction} is asked of {id}, and {parent} did not send it"));
        }
    }

    /// S4: a saga that runs as a step ends like the step: completed only when its parent is.
    pub(super) fn check_family(&mut self, commit: &Commit, counters: &mut Counters) {
        let Some(child) = self.sagas.get(&commit.id) else { return };
        let Some((parent, _)) = child.parent.clone() else { return };
        let (was_through, is_taken_back) = (child.was_through, child.is_taken_back());
        match commit.status {
            Status::Completed if self.status(parent) != Some(Status::Completed) => {
                let is = self.status(parent);
                self.violation(format!("S4: {} is completed, and its parent {parent} is {is:?}", commit.id));
            }
            Status::Completed => counters.count(Seen::ChildCompleted),
            Status::Compensated if !is_taken_back => counters.count(Seen::ChildRefused),
            Status::Compensated if was_through => counters.count(Seen::ChildTakenBack),
            Status::Compensated if commit.journal.iter().all(|entry| entry.version == 1) => {
                counters.count(Seen::ChildNeverBegun);
            }
            Status::Compensated | Status::Provisional => {}
            Status::Running | Status::Compensating | Status::Parked => {}
        }
    }

    /// S12: a saga leaves the store once it has ended, and one that ran as a step when no copy of its command can begin
    /// it again: long after the notice of its parent's end, or after it was taken back before it began.
    pub(in crate::simulate) fn retired(&mut self, id: SagaId, now: Timestamp) {
        let Some(saga) = self.sagas.get(&id) else { return };
        let (status, ended_for) = (saga.stored.status, now.since(saga.moved));
        let noted =
            |(parent, _): &(SagaId, StepName)| self.parents_ended.get(parent).map(|at| now.since(*at));
        let free_for =
            saga.parent.as_ref().map(|parent| noted(parent).max(saga.never_began().then_some(ended_for)));
        if !status.is_terminal()
            || free_for.is_some_and(|free_for| free_for.is_none_or(|free| free < COMMAND_VALID))
        {
            self.violation(format!(
                "S12: {id} is retired: it is {} for {ended_for:?}, and nobody can begin it for {free_for:?}",
                status.as_str()
            ));
        }
        self.retired.insert(id);
    }

    /// Whether this is who takes the commands of a step that runs another saga.
    pub(super) fn runs_sagas(&self, participant: &ParticipantName) -> bool {
        let steps =
            self.plans.values().flat_map(|plan| plan.steps()).filter(|step| step.sub_saga().is_some());
        steps.filter_map(StepPlan::command).any(|command| command.participant == *participant)
    }

    pub(in crate::simulate) fn has_children(&self) -> bool {
        self.sagas.values().any(|saga| saga.parent.is_some())
    }

    /// The sagas that may still leave the store: those that were started first, or all. A notice that no broker took leaves
    /// the children of its sagas where they are.
    pub(in crate::simulate) fn kept(&self, with_children: bool) -> Vec<SagaId> {
        let leaves = |saga: &Saga| match &saga.parent {
            None => true,
            Some((parent, _)) => {
                with_children && (saga.never_began() || self.parents_ended.contains_key(parent))
            }
        };
        let kept = self.sagas.iter().filter(|(id, _)| !self.unreleased.contains(id));
        kept.filter(|(_, saga)| leaves(saga)).map(|(id, _)| *id).collect()
    }

    /// A saga that has left the store is begun again: only to say that it is not there.
    pub(super) fn begun_again(&mut self, commit: &Commit) {
        if commit.status != Status::Compensated {
            self.violation(format!("S12: {} had left, and begins again", commit.id));
        }
        self.tombstones.insert(commit.id);
    }

    pub(in crate::simulate) fn is_tombstone(&self, saga: SagaId) -> bool {
        self.tombstones.contains(&saga)
    }
}

impl Saga {
    /// What the fence row says that this saga stands for.
    pub(super) fn row(&self) -> FenceState {
        match self.unparked {
            Status::Running | Status::Compensating | Status::Parked => FenceState::Started,
            Status::Provisional | Status::Completed => FenceState::Applied(Payload::default()),
            Status::Compensated if self.is_taken_back() => FenceState::Compensated,
            Status::Compensated => FenceState::Refused(Payload::default()),
        }
    }

    /// Whether its parent took it back before it began.
    fn never_began(&self) -> bool {
        self.stored.version == 1 && self.stored.status == Status::Compensated
    }

    fn asked_for(&self) -> Option<Direction> {
        Instance::decode(self.stored.clone()).ok()?.parent?.asks
    }

    fn is_taken_back(&self) -> bool {
        Instance::decode(self.stored.clone()).is_ok_and(|saga| saga.state.cause() == Some(&Cause::Parent))
    }
}
