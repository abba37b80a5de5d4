//! Signals: M1.

use saga_core::id::{SagaId, StepName};
use saga_core::machine::{Cause, Instance, Status, StepState};
use saga_core::message::Payload;

use super::Witness;
use crate::simulate::counters::{Counters, Seen};

impl Witness {
    /// M1: one signal counts for a step, and no other after it.
    pub(super) fn taken_signal(&mut self, saga: SagaId, step: StepName, signal: Payload) {
        if let Some(before) = self.signals.insert((saga, step.clone()), signal) {
            self.violation(format!("M1: {step} of {saga} takes a signal, and had {}", before.as_text()));
        }
    }

    /// M1: whoever was told that a signal is given finds it taken, unless the saga does not wait for it at all.
    pub(in crate::simulate) fn signalled(&mut self, saga: SagaId, step: &StepName, signal: &Payload) {
        let is_taken = self.signals.get(&(saga, step.clone())) == Some(signal);
        if !is_taken && self.state(saga, step) != Some(StepState::Skipped) {
            self.violation(format!("M1: {} is given to {step} of {saga}, and not taken", signal.as_text()));
        }
    }

    /// M1: what was given in time is what the saga went on with.
    pub(super) fn check_signals(&mut self, id: SagaId, counters: &mut Counters) {
        if !self.status(id).is_some_and(Status::is_terminal) {
            return;
        }
        if let Some(step) = self.missed_signal(id) {
            counters.count(Seen::SignalMissed);
            if self.signals.contains_key(&(id, step.clone())) {
                self.violation(format!(
                    "M1: {id} is compensated for want of a signal, and {step} was given one"
                ));
            }
        }
        let given = self.signals.iter().filter(|((saga, _), _)| *saga == id);
        let is_lost = |((_, step), signal): &(&(SagaId, StepName), &Payload)| matches!(self.state(id, step), Some(StepState::Done(taken)) if taken != **signal);
        let lost: Vec<StepName> = given.filter(is_lost).map(|((_, step), _)| step.clone()).collect();
        for step in lost {
            self.violation(format!("M1: {step} of {id} went on with another signal than it took"));
        }
    }

    fn missed_signal(&self, id: SagaId) -> Option<StepName> {
        match Instance::decode(self.sagas.get(&id)?.stored.clone()).ok()?.state.cause()? {
            Cause::NoSignal { step } => Some(step.clone()),
            _ => None,
        }
    }

    /// What a saga knows of a step.
    pub(super) fn state(&self, saga: SagaId, step: &StepName) -> Option<StepState> {
        let saga = Instance::decode(self.sagas.get(&saga)?.stored.clone()).ok()?;
        saga.state.steps().iter().find(|record| record.name == *step).map(|record| record.state.clone())
    }
}
