//! A saga that is a step of another one: what its parent asks for, and what it is answered.

use serde::{Deserialize, Serialize};

use super::Compensated;
use super::state::{Cause, Instance, State, StepState};
use super::transition::{Decision, Effect, Ignored, Transition, TransitionError};
use super::turn::{Halt, Next, Turn};
use crate::id::{Destination, Direction, MessageId, SagaId, StepName};
use crate::message::{Answer, Fault, Payload};

/// The saga that another one is a step of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parent {
    /// The parent.
    pub saga: SagaId,
    /// Its step.
    pub step: StepName,
    /// Where it is answered.
    pub reply_to: Destination,
    /// The attempt that is answered.
    pub attempt: u32,
    /// What it asks for; nothing once it has completed.
    pub asks: Option<Direction>,
}

impl Instance {
    /// What a saga answers its parent from where it stands. Every cell is that of the fence's table: a saga that is
    /// under way is a row that was started, one that is through is applied, and one that was compensated is refused if
    /// that was for reasons of its own.
    pub fn answer(&self, direction: Direction) -> Answer {
        match (&self.state, direction) {
            (State::Running(_) | State::Compensating(_) | State::Parked(_), _) => Answer::Running,
            (State::Provisional(_), Direction::Undo) => {
                planted!(TakenBackInWords: return Answer::Undone);
                Answer::Running
            }
            (State::Provisional(_) | State::Completed(_), Direction::Do | Direction::Close) => {
                Answer::Done(self.data.clone())
            }
            (State::Completed(_), Direction::Undo) => Answer::Fault(Fault::permanent(
                "the saga has completed, since its parent had; it cannot be taken back",
            )),
            (State::Compensated(_), Direction::Undo) => Answer::Undone,
            (State::Compensated(ended), Direction::Do | Direction::Close) => {
                match (&ended.cause, direction) {
                    (Cause::Parent, Direction::Close) if !ended.steps.is_empty() => Answer::Undone,
                    (Cause::Parent, _) => Answer::Closed,
                    (cause, _) => Answer::Refused(self.not_run(cause)),
                }
            }
        }
    }

    /// The JSON of a [`NotRun`](crate::NotRun), whose data is JSON already.
    fn not_run(&self, cause: &Cause) -> Payload {
        let why = serde_json::Value::from(cause.to_string());
        let json = format!(r#"{{"why":{why},"data":{}}}"#, self.data.as_text());
        Payload::from_bytes(json.into()).unwrap_or_default()
    }
}

impl Turn<'_> {
    /// The parent asks for something. Only an undo, and only the first, moves a saga.
    pub(super) fn asked(
        &mut self,
        direction: Direction,
        attempt: u32,
        reply_to: &Destination,
    ) -> Result<(), Halt> {
        let parent = self.parent.as_mut().ok_or(TransitionError::NoParent)?;
        match (direction, parent.asks) {
            (Direction::Do | Direction::Close, _) | (Direction::Undo, Some(Direction::Undo)) => {
                Err(Ignored::AskedAgain.into())
            }
            (Direction::Undo, Some(Direction::Do | Direction::Close) | None) => {
                planted!(TakenBackInWords: return Err(Ignored::AskedAgain.into()));
                (parent.asks, parent.attempt) = (Some(direction), attempt);
                parent.reply_to = reply_to.clone();
                Ok(())
            }
        }
    }

    /// The parent has completed.
    pub(super) fn released(&mut self) -> Result<(), Halt> {
        let parent = self.parent.as_mut().ok_or(TransitionError::NoParent)?;
        match parent.asks.take() {
            Some(_) => Ok(()),
            None => Err(Ignored::AskedAgain.into()),
        }
    }

    /// Nothing but what the parent asks for changes.
    pub(super) fn noted(&mut self) -> Halt {
        self.parent
            .take()
            .map_or_else(|| TransitionError::NoParent.into(), |parent| Halt::Noted(parent.into()))
    }

    /// Where a saga stands when every step is done.
    pub(super) fn through(&self) -> Next {
        planted!(ChildEndsAlone: return Next::Completed);
        match self.parent.as_ref().and_then(|parent| parent.asks) {
            Some(_) => Next::Provisional,
            None => Next::Completed,
        }
    }

    /// Whether every step is done: of a parked saga, that it is one that only its parent can take back.
    pub(super) fn is_through(&self) -> bool {
        (0..self.plan.groups().len()).all(|group| self.is_group_done(group))
    }

    /// What a saga that has come to its end tells its parent and its children.
    pub(super) fn farewell(&self, saga: &Instance) -> Vec<Effect> {
        let asks = saga.parent.as_ref().and_then(|parent| parent.asks);
        let answer = |direction| Effect::Answer { direction, answer: saga.answer(direction) };
        match &saga.state {
            State::Completed(_) => self.releases(saga),
            State::Provisional(_) | State::Compensated(_) => asks.map(answer).into_iter().collect(),
            State::Running(_) | State::Compensating(_) | State::Parked(_) => Vec::new(),
        }
    }

    fn releases(&self, saga: &Instance) -> Vec<Effect> {
        let done = saga.state.steps().iter().filter(|record| matches!(record.state, StepState::Done(_)));
        let released = done.filter_map(|record| {
            let step = &self.plan.steps()[self.plan.position_of(&record.name)?];
            let destination = step.command().filter(|command| command.sub_saga.is_some())?.destination();
            let trace = saga.trace.child(MessageId::release(saga.id, &record.name));
            Some(Effect::Release { step: record.name.clone(), destination, trace })
        });
        released.collect()
    }
}

/// The first and last transition of a saga that was taken back before it began: the tombstone.
pub(super) fn never(instance: Instance, direction: Direction) -> Transition {
    let state = State::Compensated(Compensated { steps: Vec::new(), cause: Cause::Parent });
    let next = Instance { version: instance.version + 1, state, ..instance };
    let effects = vec![Effect::Answer { direction, answer: next.answer(direction) }];
    Transition { next, effects, decision: Decision::NeverBegun }
}

/// The transition of a saga that stays where it is, and remembers what its parent asks for.
pub(super) fn note(instance: &Instance, parent: Parent) -> Transition {
    let decision = Decision::Noted(parent.asks);
    let next = Instance { version: instance.version + 1, parent: Some(parent), ..instance.clone() };
    Transition { next, effects: Vec::new(), decision }
}
