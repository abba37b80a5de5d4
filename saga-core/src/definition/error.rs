//! What is wrong with a definition, where the compiler could not see it.

use crate::id::NameError;

/// A definition that cannot be built. Each names the step that is to be mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// There is no step.
    #[error("saga {saga:?} has no steps; add one with `.step`, `.pivot` or `.then`")]
    Empty {
        /// The saga type.
        saga: &'static str,
    },
    /// Two steps have one name.
    #[error("saga {saga:?} has two steps named {step:?}; give one of them a `const NAME` of its own")]
    DuplicateStep {
        /// The saga type.
        saga: &'static str,
        /// The name that occurs twice.
        step: &'static str,
    },
    /// A name cannot be carried by every broker and table.
    #[error("step {step:?}: {error}")]
    BadName {
        /// The step, or the saga type if it is the saga's own name.
        step: &'static str,
        /// The rule it breaks.
        error: NameError,
    },
    /// A retry option makes no sense.
    #[error("step {step:?} has {mistake}")]
    BadRetry {
        /// The step.
        step: &'static str,
        /// What is wrong.
        mistake: &'static str,
    },
    /// A name holds the mark that stands between a step's name and an item's key.
    #[error("step {step:?} has a # in its name, which only stands before the key of an item")]
    MarkInName {
        /// The step.
        step: &'static str,
    },
    /// A step is to be run for no items at once, or for too many.
    #[error("step {step:?} is run for {width} items at once; it may be from 1 to {limit}")]
    BadWidth {
        /// The step.
        step: &'static str,
        /// How many there are.
        width: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A saga is run where it could not be taken back.
    #[error(
        "step {step:?} runs a saga, so it stands before the pivot as one that can be undone: `.step`, `.parallel` or `.for_each`"
    )]
    SubSagaMisplaced {
        /// The step.
        step: &'static str,
    },
    /// A notification goes nowhere, or to too many.
    #[error("step {step:?} notifies {count} topics; it may be from 1 to {limit}")]
    BadTopics {
        /// The step.
        step: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The deadline of a signal makes no sense.
    #[error("step {step:?} waits with {mistake}")]
    BadSignal {
        /// The step.
        step: &'static str,
        /// What is wrong.
        mistake: &'static str,
    },
    /// The saga's deadline makes no sense.
    #[error("saga {saga:?} has {mistake}")]
    BadDeadline {
        /// The saga type.
        saga: &'static str,
        /// What is wrong.
        mistake: &'static str,
    },
    /// A condition stands before the first step.
    #[error("saga {saga:?} begins with a condition; `.when` follows the step that it is for")]
    ConditionOnNothing {
        /// The saga type.
        saga: &'static str,
    },
    /// A condition is for a step that is not in the group before it.
    #[error("saga {saga:?} has a condition for step {step:?} that does not follow the group with that step")]
    ConditionElsewhere {
        /// The saga type.
        saga: &'static str,
        /// The step.
        step: &'static str,
    },
    /// A step has two conditions.
    #[error("saga {saga:?} has two conditions for step {step:?}; write one with `&&`")]
    TwoConditions {
        /// The saga type.
        saga: &'static str,
        /// The step.
        step: &'static str,
    },
    /// The saga, or one of its groups, is larger than the limit.
    #[error("saga {saga:?} has {count} {what}, and the limit is {limit}; split it into several sagas")]
    TooLarge {
        /// The saga type.
        saga: &'static str,
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Only sagas of an older version of the same type can move.
    #[error("saga {saga:?} cannot take sagas of {older}: that is no older version of it")]
    BadUpgrade {
        /// The saga type.
        saga: &'static str,
        /// What is not an older version of it.
        older: String,
    },
    /// Versions count from 1.
    #[error("saga {saga:?} has version 0; versions count from 1")]
    VersionZero {
        /// The saga type.
        saga: &'static str,
    },
}
