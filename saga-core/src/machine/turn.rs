//! One transition under construction: the steps as they change, the user's data opened, the effects so far.

use std::time::Duration;

use super::state::{Cause, Instance, State, StepRecord, StepState, Try, Waiting};
use super::transition::{Decision, Effect, Ignored, TransitionError};
use super::{Compensated, Compensating, Completed, Parked, Running};
use crate::definition::{Page, Plan, Role, ScriptError, StepPlan};
use crate::id::{Direction, StepName};
use crate::message::{Answer, Payload};
use crate::policy::Timestamp;

/// Where the saga goes from here; its steps are filled in when the turn is finished.
pub(super) enum Next {
    Forward,
    Backward(Cause),
    Completed,
    Compensated(Cause),
    /// Still parked, for this reason, and going forward once it is released.
    Parked(String),
}

impl Next {
    pub(super) fn with(self, steps: Vec<StepRecord>) -> State {
        match self {
            Next::Forward => State::Running(Running { steps }),
            Next::Backward(cause) => State::Compensating(Compensating { steps, cause }),
            Next::Completed => State::Completed(Completed { steps }),
            Next::Parked(reason) => State::Parked(Parked { steps, cause: None, reason }),
            Next::Compensated(cause) => State::Compensated(Compensated { steps, cause }),
        }
    }
}

/// What an event comes to.
pub(super) type Moved = Result<(Next, Decision), Halt>;

/// Why no transition came about.
#[derive(Debug)]
pub(super) enum Halt {
    Ignored(Ignored),
    Park(String),
    Script(ScriptError),
    Error(TransitionError),
}

impl From<ScriptError> for Halt {
    fn from(error: ScriptError) -> Self {
        Halt::Script(error)
    }
}

impl From<Ignored> for Halt {
    fn from(ignored: Ignored) -> Self {
        Halt::Ignored(ignored)
    }
}

impl From<TransitionError> for Halt {
    fn from(error: TransitionError) -> Self {
        Halt::Error(error)
    }
}

/// One transition under construction. Dropped without a trace if the event comes to nothing.
pub(super) struct Turn<'a> {
    pub(super) plan: &'a Plan,
    pub(super) before: &'a Instance,
    pub(super) now: Timestamp,
    pub(super) effects: Vec<Effect>,
    steps: Vec<StepRecord>,
    data: Payload,
    page: Option<Box<dyn Page + 'a>>,
}

/// A step that is awaited, with the answer's place in the plan.
#[derive(Clone)]
pub(super) struct Awaited {
    pub(super) place: usize,
    pub(super) direction: Direction,
    pub(super) asked: Try,
}

impl<'a> Turn<'a> {
    pub(super) fn open(plan: &'a Plan, before: &'a Instance, now: Timestamp) -> Self {
        let (steps, data) = (before.state.steps().to_vec(), before.data.clone());
        Turn { plan, before, now, effects: Vec::new(), steps, data, page: None }
    }

    /// The saga afterwards, and what is to be done for it.
    pub(super) fn finish(mut self, next: Next) -> (Instance, Vec<Effect>) {
        let disarmed = self.disarmed();
        self.effects.extend(disarmed);
        let (version, state) = (self.before.version + 1, next.with(self.steps));
        (Instance { version, state, data: self.data, ..self.before.clone() }, self.effects)
    }

    /// Drops the timers of what was awaited before and is not any more.
    fn disarmed(&self) -> Vec<Effect> {
        let awaits = |name: &StepName| {
            self.steps.iter().any(|record| record.name == *name && record.state.is_awaited())
        };
        let before = self.before.state.steps().iter().filter(|record| record.state.is_awaited());
        let settled = before.filter(|record| !awaits(&record.name));
        settled.map(|record| Effect::Disarm { step: record.name.clone() }).collect()
    }

    /// The user's data, read when the first of its functions is called.
    pub(super) fn page(&mut self) -> Result<&mut Box<dyn Page + 'a>, ScriptError> {
        let page = match self.page.take() {
            Some(page) => page,
            None => self.plan.open(&self.data)?,
        };
        Ok(self.page.insert(page))
    }

    /// Keeps what the user's functions changed. The page is read anew after that: a command must be written from
    /// what is stored, or its resend would differ.
    fn keep(&mut self) -> Result<(), ScriptError> {
        if let Some(page) = self.page.take() {
            self.data = page.data()?;
        }
        Ok(())
    }

    /// Takes note of the replies of a group, in the order of the definition.
    ///
    /// Only once nothing of the group is out any more: a reply that changed the data before would change what is
    /// sent again to the other steps of the group.
    pub(super) fn note_replies(&mut self, group: usize) -> Result<(), ScriptError> {
        let mut noted = false;
        for place in self.plan.groups()[group].clone() {
            if let Some(StepState::Done(reply)) = self.state(place).cloned() {
                self.page()?.on_reply(place, &reply)?;
                noted = true;
            }
        }
        if noted { self.keep() } else { Ok(()) }
    }

    /// Sees whether a reply can be read and noted, and changes nothing.
    pub(super) fn try_reply(&mut self, place: usize, reply: &Payload) -> Result<(), ScriptError> {
        self.page()?.on_reply(place, reply)?;
        self.page = None;
        Ok(())
    }

    pub(super) fn on_refused(&mut self, place: usize, refusal: &Payload) -> Result<(), ScriptError> {
        self.page()?.on_refused(place, refusal)?;
        self.keep()
    }

    pub(super) fn step(&self, place: usize) -> &'a StepPlan {
        &self.plan.steps()[place]
    }

    pub(super) fn place(&self, step: &StepName) -> Result<usize, Halt> {
        self.plan.position(step).ok_or_else(|| TransitionError::UnknownStep(step.to_string()).into())
    }

    pub(super) fn state(&self, place: usize) -> Option<&StepState> {
        let name = &self.step(place).name;
        self.steps.iter().find(|record| record.name == *name).map(|record| &record.state)
    }

    pub(super) fn set(&mut self, place: usize, state: StepState) {
        let name = &self.plan.steps()[place].name;
        match self.steps.iter_mut().find(|record| record.name == *name) {
            Some(record) => record.state = state,
            None => self.steps.push(StepRecord { name: name.clone(), state }),
        }
    }

    /// The step that awaits this answer, or why it is not accepted.
    ///
    /// Done, Refused, Undone and Closed count from any attempt; a fault counts only from the present one. While a
    /// step is being closed, an answer to the command itself is as good: it is final.
    pub(super) fn accept(
        &self,
        step: &StepName,
        direction: Direction,
        attempt: u32,
        answer: &Answer,
    ) -> Result<Awaited, Halt> {
        let place = self.place(step)?;
        if !answer.answers(direction) {
            return Err(TransitionError::WrongAnswer { direction, answer: answer.name() }.into());
        }
        let awaited = self.awaited(place).filter(|_| self.step(place).command().is_some());
        let awaited = awaited.ok_or(Ignored::NotAwaited)?;
        let final_anyway =
            awaited.direction == Direction::Close && direction == Direction::Do && is_final(answer);
        if awaited.direction != direction && !final_anyway {
            return Err(Ignored::NotAwaited.into());
        }
        let present = awaited.asked.attempt == attempt && awaited.asked.waiting == Waiting::Answer;
        if !is_final(answer) && !present {
            return Err(Ignored::EarlierAttempt.into());
        }
        Ok(awaited)
    }

    /// The step that this timer was set for, if its attempt is still awaited.
    pub(super) fn timed(&self, step: &StepName, direction: Direction, attempt: u32) -> Result<Awaited, Halt> {
        let awaited = self.awaited(self.place(step)?).ok_or(Ignored::StaleTimer)?;
        if awaited.direction != direction || awaited.asked.attempt != attempt {
            return Err(Ignored::StaleTimer.into());
        }
        Ok(awaited)
    }

    /// A message of this step was set aside: a human is needed if it is still awaited.
    pub(super) fn undeliverable(&self, step: &StepName, reason: &str) -> Moved {
        match self.awaited(self.place(step)?) {
            Some(_) => Err(Halt::Park(reason.to_owned())),
            None => Err(Ignored::NotAwaited.into()),
        }
    }

    pub(super) fn awaited(&self, place: usize) -> Option<Awaited> {
        let (direction, asked) = self.state(place)?.awaited()?;
        Some(Awaited { place, direction, asked: *asked })
    }

    /// The group that `place` belongs to.
    pub(super) fn group_of(&self, place: usize) -> usize {
        self.plan.groups().iter().position(|group| group.contains(&place)).unwrap_or_default()
    }

    /// The group that was entered last.
    fn last_group(&self) -> usize {
        let entered = self.steps.iter().filter(|record| !matches!(record.state, StepState::Early(_)));
        let last = entered.filter_map(|record| self.plan.position(&record.name)).max();
        self.group_of(last.unwrap_or_default())
    }

    pub(super) fn is_group_done(&self, group: usize) -> bool {
        let is_done = |place| matches!(self.state(place), Some(StepState::Done(_) | StepState::Skipped));
        self.plan.groups()[group].clone().all(is_done)
    }

    /// A step that waits, and the signal that was kept for it.
    pub(super) fn kept_signal(&self) -> Option<(usize, Payload)> {
        let kept = self.steps.iter().find(|record| record.state.kept_signal().is_some())?;
        Some((self.plan.position(&kept.name)?, kept.state.kept_signal()?.clone()))
    }

    /// Every step that is awaited.
    pub(super) fn all_awaited(&self) -> Vec<Awaited> {
        (0..self.plan.steps().len()).filter_map(|place| self.awaited(place)).collect()
    }

    /// The pivot, if its command is committed or it is passed without one.
    pub(super) fn pivot_entered(&self) -> Option<usize> {
        let pivot = self.plan.steps().iter().position(|step| matches!(step.role, Role::Pivot))?;
        self.state(pivot).map(|_| pivot)
    }

    /// Whether the saga's deadline has passed, and it can still be taken back.
    pub(super) fn is_overdue(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }

    /// How long the saga may still take to come to its pivot, if that is limited.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let deadline = self.plan.deadline().filter(|_| self.pivot_entered().is_none())?;
        Some(deadline.saturating_sub(self.now.since(self.before.began)))
    }

    /// Turns back for `cause`: undoes the last group that has something to undo, or ends.
    pub(super) fn turn_back(&mut self, cause: Cause) -> Moved {
        self.note_replies(self.last_group())?;
        let next = self.retreat(cause.clone())?;
        Ok((next, Decision::TurnedBack(cause)))
    }

    /// Undoes the last group that is not settled, all its steps at once; ends if all groups are.
    pub(super) fn retreat(&mut self, cause: Cause) -> Result<Next, Halt> {
        for group in self.plan.groups().iter().rev() {
            let mut unsettled = false;
            for place in group.clone() {
                unsettled |= self.take_back(place)?;
            }
            if unsettled {
                return Ok(Next::Backward(cause));
            }
        }
        Ok(Next::Compensated(cause))
    }

    /// Sees to it that one step is taken back, and tells whether something is awaited for that.
    ///
    /// A step whose outcome is unknown is undone like one that is done: the fence makes that safe.
    fn take_back(&mut self, place: usize) -> Result<bool, ScriptError> {
        let can_undo = self.step(place).undo().is_some();
        let reply = match self.state(place) {
            None | Some(StepState::Early(_) | StepState::Refused) => return Ok(false),
            Some(StepState::Undone | StepState::Skipped) => return Ok(false),
            Some(StepState::Waiting { .. }) => {
                self.set(place, StepState::Refused);
                return Ok(false);
            }
            Some(StepState::Undoing { .. } | StepState::Closing(_)) => return Ok(true),
            Some(StepState::Done(_)) if !can_undo => return Ok(false),
            Some(StepState::Doing(_)) if !can_undo => return self.close(place).map(|()| true),
            Some(StepState::Done(reply)) => Some(reply.clone()),
            Some(StepState::Doing(_)) => None,
        };
        self.ask(place, |asked| StepState::Undoing { asked, reply }, Direction::Undo)?;
        Ok(true)
    }
}

/// Whether an answer is the last word on its direction.
const fn is_final(answer: &Answer) -> bool {
    match answer {
        Answer::Done(_) | Answer::Refused(_) | Answer::Undone | Answer::Closed => true,
        Answer::Running | Answer::Fault(_) => false,
    }
}
