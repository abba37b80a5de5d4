//! What comes of an event: a transition, a named reason to ignore it, or an error.

use std::fmt;
use std::time::Duration;

use super::state::{Cause, Instance};
use crate::id::{CommandType, Destination, Direction, StepName};
use crate::message::{Answer, Payload, TraceParent, shortened};

/// One move of one saga: its next state and what is to be done for it. All of it is one database transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The saga afterwards.
    pub next: Instance,
    /// What to send, and which timers to set.
    pub effects: Vec<Effect>,
    /// What was decided.
    pub decision: Decision,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The saga moved.
    Moved(Box<Transition>),
    /// Nothing is written. Late and repeated events are normal.
    Ignored(Ignored),
}

/// What a transition asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a command.
    Send {
        /// The step.
        step: StepName,
        /// What it asks for.
        direction: Direction,
        /// Which try this is.
        attempt: u32,
        /// Where it goes.
        destination: Destination,
        /// What the body is.
        command_type: CommandType,
        /// The body.
        body: Payload,
        /// The span of this message.
        trace: TraceParent,
    },
    /// Tell others something. Nobody answers.
    Notify {
        /// The step.
        step: StepName,
        /// Where it goes; one message for each.
        topics: Vec<Destination>,
        /// What the body is.
        notification_type: CommandType,
        /// The body.
        body: Payload,
        /// The span of this message.
        trace: TraceParent,
    },
    /// Tell the saga that this one is a step of what has become of it.
    Answer {
        /// What it had asked for.
        direction: Direction,
        /// The answer.
        answer: Answer,
    },
    /// Tell the saga that a step has run that it will not be taken back. Nobody answers.
    Release {
        /// The step.
        step: StepName,
        /// Where it goes.
        destination: Destination,
        /// The span of this message.
        trace: TraceParent,
    },
    /// Set the step's timer, or replace the one it has.
    Arm {
        /// The step.
        step: StepName,
        /// What is awaited.
        direction: Direction,
        /// The attempt that is awaited.
        attempt: u32,
        /// How long from now.
        after: Duration,
    },
    /// Drop the step's timer.
    Disarm {
        /// The step.
        step: StepName,
    },
}

/// Why an event is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// The step does not await an answer in this direction: the answer is late, or a copy.
    NotAwaited,
    /// A fault of an attempt that is no longer the present one.
    EarlierAttempt,
    /// A timer of an attempt that is no longer the present one.
    StaleTimer,
    /// The saga is parked. What is awaited is sent again when it leaves.
    Parked,
    /// The saga has ended.
    Ended,
    /// What was asked for is happening already.
    UnderWay,
    /// The same signal was given before.
    GivenBefore,
    /// The parent asks for what moves nothing: it is answered from where the saga stands.
    AskedAgain,
}

impl Ignored {
    /// The reason's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ignored::NotAwaited => "not_awaited",
            Ignored::EarlierAttempt => "earlier_attempt",
            Ignored::StaleTimer => "stale_timer",
            Ignored::Parked => "parked",
            Ignored::Ended => "ended",
            Ignored::UnderWay => "under_way",
            Ignored::GivenBefore => "given_before",
            Ignored::AskedAgain => "asked_again",
        }
    }
}

/// What was decided, in a few words for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The saga began.
    Started,
    /// A step is done, and others of its group are not.
    StepDone(StepName),
    /// A signal is kept until the saga waits for it, or is released.
    Kept(StepName),
    /// A group is done and the next one begins.
    Advanced(StepName),
    /// A command is sent again.
    Resent(StepName, Direction, u32),
    /// A fault is waited out before the next attempt.
    BackingOff(StepName, Direction, u32),
    /// A signal or the end of a pause is waited for on, since its timer was early.
    WaitingOn(StepName),
    /// The participant is asked to make a "no" final.
    Closing(StepName),
    /// The saga turns back.
    TurnedBack(Cause),
    /// A step is taken back, and others are not yet.
    StepUndone(StepName),
    /// A step that had nothing to take back is settled, and others are not yet.
    StepSettled(StepName),
    /// What the parent asks for is noted until the saga has come to its end.
    Noted(Option<Direction>),
    /// The parent took it back before it began.
    NeverBegun,
    /// Every step is done, and the parent may still take it back.
    Through,
    /// Every step is done.
    Completed,
    /// Everything is taken back.
    Compensated,
    /// A human is needed.
    Parked(String),
    /// What is awaited is sent again, because an operator said so.
    Resumed,
    /// The saga moves from one version of its definition to a newer one.
    Upgraded(u32, u32),
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Started => write!(f, "started"),
            Decision::StepDone(step) => write!(f, "{step} done"),
            Decision::Kept(step) => write!(f, "signal of {step} kept"),
            Decision::Advanced(step) => write!(f, "{step} done, next step sent"),
            Decision::Resent(step, direction, attempt) => {
                write!(f, "{direction} {step} sent again, attempt {attempt}")
            }
            Decision::BackingOff(step, direction, attempt) => {
                write!(f, "attempt {attempt} to {direction} {step} failed, waiting to try again")
            }
            Decision::WaitingOn(step) => write!(f, "{step} waits on, its timer was early"),
            Decision::Closing(step) => write!(f, "outcome of {step} unknown, closing it"),
            Decision::TurnedBack(cause) => write!(f, "compensating: {cause}"),
            Decision::StepUndone(step) => write!(f, "{step} undone"),
            Decision::StepSettled(step) => write!(f, "{step} settled, nothing to undo"),
            Decision::Noted(Some(direction)) => write!(f, "its parent asks for {direction}"),
            Decision::Noted(None) => write!(f, "released by its parent"),
            Decision::NeverBegun => write!(f, "taken back by its parent before it began"),
            Decision::Through => write!(f, "through, until its parent has ended"),
            Decision::Completed => write!(f, "completed"),
            Decision::Compensated => write!(f, "compensated"),
            Decision::Parked(reason) => write!(f, "parked: {reason}"),
            Decision::Upgraded(from, to) => write!(f, "moved from version {from} to {to}"),
            Decision::Resumed => write!(f, "resumed by an operator"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Refused { step, why: Some(why) } => {
                write!(f, "{step} was refused with {}", shortened(why.as_text()))
            }
            Cause::Refused { step, why: None } => write!(f, "{step} was closed before it was done"),
            Cause::Unanswered { step } => write!(f, "the outcome of {step} stayed unknown"),
            Cause::NoSignal { step } => write!(f, "no signal came for {step} in time"),
            Cause::Overdue => write!(f, "its deadline passed"),
            Cause::Cancelled { reason } => write!(f, "cancelled: {reason}"),
            Cause::Parent => write!(f, "its parent took it back"),
            Cause::Operator { reason } => write!(f, "an operator asked for it: {reason}"),
        }
    }
}

/// An event that nobody should have sent, or an operator's verb that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransitionError {
    /// The definition has no such step.
    #[error("the definition has no step {0:?}")]
    UnknownStep(String),
    /// The answer is none that its direction can have.
    #[error("a command in direction {direction} cannot be answered with {answer:?}")]
    WrongAnswer {
        /// What was asked.
        direction: Direction,
        /// What was answered.
        answer: &'static str,
    },
    /// The pivot's command is committed; the saga only goes forward now.
    #[error("the pivot {0} is under way or done, so the saga can no longer be undone")]
    PastPivot(StepName),
    /// The saga has ended.
    #[error("the saga has ended")]
    Ended,
    /// The saga is through, and only its parent can take it back.
    #[error("the saga is through, and only the saga that it is a step of can take it back: cancel that one")]
    Provisional,
    /// The saga is a step of no other.
    #[error("no saga runs this one as its step")]
    NoParent,
    /// The step is not awaited, so there is nothing to resolve.
    #[error("step {0} is not awaited, so there is nothing to resolve")]
    NothingToResolve(StepName),
    /// The reply that an operator gave for a step is not one that the step can take.
    #[error("the reply given is not one that the step can take: {0}")]
    BadReply(String),
    /// The step waits for no signal.
    #[error("step {0} does not wait for a signal")]
    NoSignal(StepName),
    /// The signal is not one that the step can take.
    #[error("the signal given is not one that the step can take: {0}")]
    BadSignal(String),
    /// The step took another signal before, or the one that its deadline stands for.
    #[error("step {0} took another signal before, or was over before this one came")]
    SignalTaken(StepName),
    /// The saga is being taken back, so it waits for nothing from outside.
    #[error("the saga is being compensated, so the signal of {0} comes too late")]
    GoingBack(StepName),
    /// An undo must happen; it cannot be resolved as not done.
    #[error(
        "the undo of {0} cannot be resolved as not done: have it retried, or do it by hand and resolve it as done"
    )]
    UndoMustHappen(StepName),
    /// After the pivot every step must happen; it cannot be resolved as not done.
    #[error(
        "step {0} stands after the pivot and must happen: have it retried, or do it by hand and resolve it as done"
    )]
    MustHappen(StepName),
    /// The event only ever begins a journal.
    #[error("a saga starts only once")]
    StartedTwice,
    /// The saga cannot move to this version of its definition.
    #[error("the saga stays with its version: {0}")]
    NotUpgraded(String),
}
