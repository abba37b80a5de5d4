//! Versions of a definition, and what is kept for those who know them: M3.

use saga_core::definition::{DefinitionRef, Plan, StepPlan};
use saga_core::id::{SagaId, StepName};
use saga_core::port::{HeldId, HeldReply};

use super::saga::must_be_sent;
use super::{Said, Witness};
use crate::simulate::counters::{Counters, Seen};

impl Witness {
    /// M3: a saga moves to a newer version that could have brought it where it stands.
    pub(super) fn upgraded(&mut self, id: SagaId, to: &DefinitionRef, counters: &mut Counters) {
        counters.count(Seen::Upgraded);
        let from = self.sagas.get(&id).map(|saga| saga.stored.definition.version);
        if from.is_none_or(|from| from >= to.version) {
            self.violation(format!("M3: {id} moves from version {from:?} to {}", to.version));
        }
        let Some(plan) = self.plans.get(to).cloned() else {
            return self.violation(format!("M3: {id} moves to {to}, which nobody knows"));
        };
        let sent = self.sent_steps(id);
        if let Some(step) = sent.iter().find(|step| plan.position_of(step).is_none()) {
            self.violation(format!("M3: {id} moves to version {}, which has no {step}", to.version));
        }
        if let Some(passed) = passed_over(&plan, &sent) {
            self.violation(format!("M3: {id} moves to version {}, past {}", to.version, passed.name));
        }
    }

    pub(in crate::simulate) fn held(&mut self, replies: &[HeldReply], counters: &mut Counters) {
        counters.count(Seen::ReplyHeld);
        self.held.extend(replies.iter().map(|reply| (reply.id, reply.envelope.clone())));
    }

    pub(super) fn is_held(&self, said: &Said) -> bool {
        self.held.values().any(|envelope| Said::of(envelope) == *said)
    }

    /// S14 for what was held.
    pub(in crate::simulate) fn dropped(&mut self, held: &[HeldId], counters: &mut Counters) {
        for id in held {
            let Some(envelope) = self.held.remove(id) else { continue };
            if let Some(why) = self.why_not_acked(&envelope, counters) {
                self.violation(format!(
                    "S14: {}, which was held, is dropped, and {why}",
                    Said::of(&envelope)
                ));
            }
        }
    }
}

/// A step that comes before one of those that were sent, and was not sent itself.
fn passed_over<'a>(plan: &'a Plan, sent: &[StepName]) -> Option<&'a StepPlan> {
    let group = |step: &StepName| {
        let place = plan.position_of(step)?;
        plan.groups().iter().position(|group| group.contains(&place))
    };
    let last = sent.iter().filter_map(group).max()?;
    let before = plan.steps().iter().filter(|step| must_be_sent(step) && group(&step.name) < Some(last));
    before.into_iter().find(|step| !sent.contains(&step.name))
}
