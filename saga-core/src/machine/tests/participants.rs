//! The other side of the network: participants that follow the fence's table, and ledgers of what they really did.

use std::collections::BTreeMap;

use super::case::done;
use crate::definition::Role;
use crate::fence::{FenceState, Verdict, decide};
use crate::id::{Direction, StepName};
use crate::message::{Answer, Fault, Payload};

/// What a handler does if it is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Handler {
    Does,
    Refuses,
    Fails,
    FailsForGood,
}

/// How often a step's effect took place, and was taken back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ledger {
    pub(super) effects: u32,
    pub(super) undos: u32,
}

#[derive(Default)]
pub(super) struct Participants {
    fences: BTreeMap<StepName, FenceState>,
    ledgers: BTreeMap<StepName, Ledger>,
}

impl Participants {
    pub(super) fn fence(&self, step: &StepName) -> Option<&FenceState> {
        self.fences.get(step)
    }

    pub(super) fn ledger(&self, step: &StepName) -> Ledger {
        self.ledgers.get(step).copied().unwrap_or_default()
    }

    /// Whether the step's effect does not stand and never will.
    pub(super) fn is_out_of_the_world(&self, step: &StepName) -> bool {
        matches!(
            self.fence(step),
            Some(FenceState::Refused(_) | FenceState::Compensated | FenceState::Closed)
        )
    }

    /// Handles a command as the fence says, and answers.
    pub(super) fn handle(
        &mut self,
        step: &StepName,
        role: &Role,
        direction: Direction,
        handler: Handler,
    ) -> Answer {
        match decide(self.fence(step), direction) {
            Verdict::Answer(answer) => answer,
            Verdict::Record(state, answer) => self.record(step, state, answer),
            Verdict::Run | Verdict::Undo(_) if handler == Handler::Fails => {
                Answer::Fault(Fault::temporary("away"))
            }
            Verdict::Run | Verdict::Undo(_) if handler == Handler::FailsForGood => {
                Answer::Fault(Fault::permanent("a bug"))
            }
            Verdict::Run if handler == Handler::Refuses && !matches!(role, Role::Retriable) => {
                let why = Payload::encode(&()).unwrap();
                self.record(step, FenceState::Refused(why.clone()), Answer::Refused(why))
            }
            Verdict::Run => {
                self.ledgers.entry(step.clone()).or_default().effects += 1;
                let reply = Payload::encode(&7_u64).unwrap();
                self.record(step, FenceState::Applied(reply), done(7))
            }
            Verdict::Undo(_) => {
                self.ledgers.entry(step.clone()).or_default().undos += 1;
                self.record(step, FenceState::Compensated, Answer::Undone)
            }
        }
    }

    fn record(&mut self, step: &StepName, state: FenceState, answer: Answer) -> Answer {
        self.fences.insert(step.clone(), state);
        answer
    }
}
