//! Steps that are passed without a command: skipped, told, or waited out. S4 and M4.

use saga_core::definition::{Plan, StepPlan, Work};
use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{SagaId, StepName};
use saga_core::machine::{Event, StepState};
use saga_core::port::{Commit, JournalEntry};

use super::{Said, Witness};
use crate::simulate::counters::{Counters, Seen};

impl Witness {
    /// S4: nothing takes place in a step that was skipped.
    pub(super) fn check_skipped(&mut self, key: &FenceKey, state: &FenceState) {
        let FenceKey { saga, step, .. } = key;
        if self.step(*saga, step).is_some_and(|step| step.conditional) && self.is_skipped(*saga, step) {
            self.violation(format!("S4: {step} of {saga} was skipped, and became {}", state.as_str()));
        }
    }

    pub(super) fn count_skipped(&self, commit: &Commit, counters: &mut Counters) {
        let Some(plan) = self.plan(commit.id).filter(|_| commit.status.is_terminal()) else { return };
        let conditional = plan.steps().iter().filter(|step| step.conditional);
        let skipped = conditional.filter(|step| self.is_skipped(commit.id, &step.name));
        skipped.for_each(|_| counters.count(Seen::StepSkipped));
    }

    fn is_skipped(&self, saga: SagaId, step: &StepName) -> bool {
        self.state(saga, step) == Some(StepState::Skipped)
    }

    /// S4: a saga that is through has told what it was to tell.
    pub(super) fn check_told(&mut self, saga: SagaId) {
        let steps = self.plan(saga).into_iter().flat_map(|plan| plan.steps());
        let told = steps.filter(|step| must_be_told(step)).map(|step| step.name.clone());
        let is_untold =
            |step: &StepName| !self.committed.contains(&Said::Notification { saga, step: step.clone() });
        let untold: Vec<StepName> = told.filter(is_untold).collect();
        for step in untold {
            self.violation(format!("S4: {saga} is through, and {step} is not told"));
        }
    }

    /// M4: a saga does not go on before its pause is over. Looked at before the commit is followed. What counts is
    /// the time when the timer fired: the clock may have been put back since.
    pub(super) fn check_pauses(&mut self, commit: &Commit, counters: &mut Counters) {
        let Some(plan) = self.plan(commit.id).filter(|plan| has_pause(plan)).cloned() else { return };
        // A deadline of the saga's own may pass within the pause, by the same timer.
        let goes_on = |entry: &&JournalEntry| !entry.decision.starts_with("compensating");
        for JournalEntry { event, .. } in commit.journal.iter().filter(goes_on) {
            let Ok(Event::TimerDue { step, .. }) = serde_json::from_slice(event) else { continue };
            let Some(StepState::Pausing { until, .. }) = self.state(commit.id, &step) else { continue };
            counters.count(Seen::PauseOver);
            let fired = self.fired.get(&(commit.id, step.clone())).copied();
            if plan.deadline().is_none() && fired.is_none_or(|fired| fired < until) {
                self.violation(format!("M4: {} goes on before {step} is over", commit.id));
            }
        }
    }
}

fn has_pause(plan: &Plan) -> bool {
    plan.steps().iter().any(|step| matches!(step.work, Work::Pause))
}

/// Whether no saga comes to its end without telling this.
const fn must_be_told(step: &StepPlan) -> bool {
    !step.conditional && matches!(step.work, Work::Notification(_))
}
