//! What can happen to a saga.

use serde::{Deserialize, Serialize};

use super::Parent;
use crate::id::{Destination, Direction, StepName};
use crate::message::{Answer, Payload};

/// What can happen to a saga. Stored in its journal as JSON, so variants and fields only ever grow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The saga began. Only ever the first line of a journal.
    Started {
        /// What it began with.
        data: Payload,
    },
    /// The saga began as a step of another one, or will never begin. Only ever the first line of a journal.
    StartedBy {
        /// The other one, and what it asked for first.
        parent: Parent,
        /// What it began with.
        data: Payload,
    },
    /// The saga that this one is a step of asks for something, perhaps again.
    Asked {
        /// What it asks for.
        direction: Direction,
        /// Which attempt that is.
        attempt: u32,
        /// Where the answer goes.
        reply_to: Destination,
    },
    /// The saga that this one is a step of has completed: nobody will take this one back any more.
    Released,
    /// The saga moves to a newer version of its definition. See [`upgrade`](super::upgrade).
    Upgraded {
        /// The version that it has.
        from: u32,
        /// The version that the journal goes on with.
        to: u32,
        /// Its data in that version.
        data: Payload,
    },
    /// A participant answered.
    Replied {
        /// The step that asked.
        step: StepName,
        /// What it asked for.
        direction: Direction,
        /// Which attempt is answered.
        attempt: u32,
        /// The answer.
        answer: Answer,
    },
    /// A step's timer fired.
    TimerDue {
        /// The step.
        step: StepName,
        /// What was awaited.
        direction: Direction,
        /// The attempt that was awaited.
        attempt: u32,
    },
    /// What the saga waits for, or will wait for, has come from outside.
    Signalled {
        /// The step that waits for it.
        step: StepName,
        /// What came.
        signal: Payload,
    },
    /// A message of this saga was set aside, because no broker will ever take it.
    Undeliverable {
        /// The step that sent it.
        step: StepName,
        /// Why no broker takes it.
        reason: String,
    },
    /// Somebody wants the saga undone, and may still have it so.
    Cancel {
        /// Why.
        reason: String,
    },
    /// An operator has everything that is awaited sent again.
    Retry {
        /// Why.
        reason: String,
    },
    /// An operator says what became of a step.
    Resolve {
        /// The step.
        step: StepName,
        /// What became of it.
        resolution: Resolution,
        /// How the operator knows.
        reason: String,
    },
    /// An operator has the saga undone.
    Compensate {
        /// Why.
        reason: String,
    },
}

/// What an operator says became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// What was awaited is done: the step with this reply, or its undo (the reply is then not looked at).
    Done(Payload),
    /// The step was not done. Its participant makes that final, since the command may still be on its way: a step
    /// that can be undone is, any other is closed. It is taken at the operator's word only if the saga is parked
    /// because even the close could not be answered.
    NotDone,
}
