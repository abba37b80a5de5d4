//! A saga at rest: where it stands, and what became of its steps.

use serde::{Deserialize, Serialize};

use super::{Compensated, Compensating, Completed, Parent, Parked, Provisional, Running};
use crate::definition::DefinitionRef;
use crate::id::{Direction, SagaId, StepName, Version};
use crate::message::{Payload, TraceParent};
use crate::policy::Timestamp;

/// A saga at rest, between two transitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The saga.
    pub id: SagaId,
    /// The definition it began with, and keeps.
    pub definition: DefinitionRef,
    /// How many transitions it has made.
    pub version: Version,
    /// Where it stands.
    pub state: State,
    /// The user's data.
    pub data: Payload,
    /// When it began.
    pub began: Timestamp,
    /// The trace it belongs to.
    pub trace: TraceParent,
    /// The saga that this one is a step of, if it is one.
    pub parent: Option<Parent>,
}

/// Where a saga stands. Each state is a type of its own, and holds what is true in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Going forward.
    Running(Running),
    /// Taking back what was done.
    Compensating(Compensating),
    /// Through, as a step of another saga that may still take it back.
    Provisional(Provisional),
    /// Waiting for a human.
    Parked(Parked),
    /// Ended with every effect.
    Completed(Completed),
    /// Ended with no effect that its definition undoes.
    Compensated(Compensated),
}

impl State {
    /// The state's name.
    pub const fn status(&self) -> Status {
        match self {
            State::Running(_) => Status::Running,
            State::Compensating(_) => Status::Compensating,
            State::Provisional(_) => Status::Provisional,
            State::Parked(_) => Status::Parked,
            State::Completed(_) => Status::Completed,
            State::Compensated(_) => Status::Compensated,
        }
    }

    /// The steps that were entered, and those whose signals came early.
    pub fn steps(&self) -> &[StepRecord] {
        match self {
            State::Running(running) => &running.steps,
            State::Compensating(compensating) => &compensating.steps,
            State::Provisional(provisional) => &provisional.steps,
            State::Parked(parked) => &parked.steps,
            State::Completed(completed) => &completed.steps,
            State::Compensated(compensated) => &compensated.steps,
        }
    }

    /// Why the saga is taken back, if it is.
    pub const fn cause(&self) -> Option<&Cause> {
        match self {
            State::Running(_) | State::Provisional(_) | State::Completed(_) => None,
            State::Compensating(compensating) => Some(&compensating.cause),
            State::Compensated(compensated) => Some(&compensated.cause),
            State::Parked(parked) => parked.cause.as_ref(),
        }
    }

    /// Why the saga is parked, if it is.
    pub fn parked(&self) -> Option<&str> {
        match self {
            State::Parked(parked) => Some(&parked.reason),
            State::Running(_) | State::Compensating(_) | State::Provisional(_) => None,
            State::Completed(_) | State::Compensated(_) => None,
        }
    }
}

/// Where a saga stands, as tables and lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Going forward.
    Running,
    /// Taking back what was done.
    Compensating,
    /// Through, as a step of another saga that may still take it back.
    Provisional,
    /// Waiting for a human.
    Parked,
    /// Ended with every effect.
    Completed,
    /// Ended with no effect that its definition undoes.
    Compensated,
}

impl Status {
    /// Every status, in the order of their declaration.
    pub const ALL: [Status; 6] = [
        Status::Running,
        Status::Compensating,
        Status::Provisional,
        Status::Parked,
        Status::Completed,
        Status::Compensated,
    ];

    /// The status's name in tables and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Compensating => "compensating",
            Status::Provisional => "provisional",
            Status::Parked => "parked",
            Status::Completed => "completed",
            Status::Compensated => "compensated",
        }
    }

    /// Whether the saga has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Status::Completed | Status::Compensated)
    }
}

/// A step that was entered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step.
    pub name: StepName,
    /// What is known of it.
    pub state: StepState,
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Its signal came before the saga waited for it, and is kept until then.
    Early(Payload),
    /// It waits for its signal.
    Waiting {
        /// Since when, and with which timer.
        asked: Try,
        /// What came while the saga was parked, or parked it.
        signal: Option<Payload>,
    },
    /// It lets time pass.
    Pausing {
        /// Since when, and with which timer.
        asked: Try,
        /// Until when.
        until: Timestamp,
    },
    /// Nothing of it was sent yet: other items of the same step come first.
    Queued,
    /// Its command is out.
    Doing(Try),
    /// Its outcome stayed unknown, and the participant is asked to make a "no" final.
    Closing(Try),
    /// It is done, with this reply.
    Done(Payload),
    /// It was not done, and never will be.
    Refused,
    /// Its undo is out.
    Undoing {
        /// How that is going.
        asked: Try,
        /// What the step had answered; `None` if that stayed unknown.
        reply: Option<Payload>,
    },
    /// It is taken back.
    Undone,
    /// Its condition was not met when the saga came to it.
    Skipped,
}

impl StepState {
    /// Whether the step's participant was asked for something, whatever has come of it.
    pub fn was_asked(&self) -> bool {
        match self {
            StepState::Early(_) | StepState::Queued | StepState::Skipped => false,
            StepState::Waiting { .. } | StepState::Pausing { .. } => false,
            StepState::Doing(_) | StepState::Closing(_) | StepState::Undoing { .. } => true,
            StepState::Done(_) | StepState::Refused | StepState::Undone => true,
        }
    }

    /// What is awaited, if anything is.
    pub const fn awaited(&self) -> Option<(Direction, &Try)> {
        match self {
            StepState::Doing(asked) | StepState::Waiting { asked, .. } | StepState::Pausing { asked, .. } => {
                Some((Direction::Do, asked))
            }
            StepState::Closing(asked) => Some((Direction::Close, asked)),
            StepState::Undoing { asked, .. } => Some((Direction::Undo, asked)),
            StepState::Early(_) | StepState::Queued | StepState::Done(_) | StepState::Refused => None,
            StepState::Undone | StepState::Skipped => None,
        }
    }

    /// The signal that a step which waits has got while its saga was parked.
    pub(super) const fn kept_signal(&self) -> Option<&Payload> {
        match self {
            StepState::Waiting { signal, .. } => signal.as_ref(),
            StepState::Early(_) | StepState::Queued | StepState::Doing(_) | StepState::Closing(_) => None,
            StepState::Pausing { .. } | StepState::Done(_) => None,
            StepState::Refused | StepState::Undoing { .. } | StepState::Undone | StepState::Skipped => None,
        }
    }

    /// Whether an answer, a signal or the end of a pause is awaited.
    pub const fn is_awaited(&self) -> bool {
        self.awaited().is_some()
    }

    /// The same with another try, for a step that is awaited.
    pub(super) fn with_try(&self, asked: Try) -> StepState {
        match self {
            StepState::Doing(_) => StepState::Doing(asked),
            StepState::Waiting { signal, .. } => StepState::Waiting { asked, signal: signal.clone() },
            StepState::Pausing { until, .. } => StepState::Pausing { asked, until: *until },
            StepState::Closing(_) => StepState::Closing(asked),
            StepState::Undoing { reply, .. } => StepState::Undoing { asked, reply: reply.clone() },
            StepState::Early(_) | StepState::Queued | StepState::Done(_) => self.clone(),
            StepState::Refused => self.clone(),
            StepState::Undone | StepState::Skipped => self.clone(),
        }
    }
}

/// How asking a participant is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Try {
    /// The present attempt.
    pub attempt: u32,
    /// The attempt that the policy counts from: 1, the first one after an operator's retry, or the one after an
    /// attempt that was answered with "running".
    pub first: u32,
    /// When the first attempt was sent, or the first one after an operator's retry.
    pub since: Timestamp,
    /// What the timer is for.
    pub waiting: Waiting,
}

impl Try {
    /// How many attempts were made since the policy counts.
    pub(super) const fn made(&self) -> u32 {
        self.attempt.saturating_add(1).saturating_sub(self.first)
    }
}

/// What a step's timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// The answer to the present attempt.
    Answer,
    /// The next attempt: the present one was answered with a fault.
    Backoff,
}

/// Why a saga is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A participant said no.
    Refused {
        /// The step.
        step: StepName,
        /// The refusal, as JSON; `None` if the participant only said that it is closed.
        why: Option<Payload>,
    },
    /// A step's outcome stayed unknown until its attempts or its deadline were spent.
    Unanswered {
        /// The step.
        step: StepName,
    },
    /// What a step waited for did not come in time.
    NoSignal {
        /// The step.
        step: StepName,
    },
    /// The saga's deadline passed before its pivot was asked for.
    Overdue,
    /// Somebody cancelled the saga.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// The saga that it is a step of takes it back.
    Parent,
    /// An operator had it compensated.
    Operator {
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_asked_may_know_of_the_saga() {
        let since = Timestamp::default();
        let asked = || Try { attempt: 1, first: 1, since, waiting: Waiting::Answer };
        let were = [
            StepState::Doing(asked()),
            StepState::Closing(asked()),
            StepState::Undoing { asked: asked(), reply: None },
            StepState::Done(Payload::default()),
            StepState::Refused,
            StepState::Undone,
        ];
        let were_not = [
            StepState::Early(Payload::default()),
            StepState::Queued,
            StepState::Skipped,
            StepState::Waiting { asked: asked(), signal: None },
            StepState::Pausing { asked: asked(), until: since },
        ];
        assert!(were.iter().all(StepState::was_asked));
        assert!(!were_not.iter().any(StepState::was_asked));
    }
}
