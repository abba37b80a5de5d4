//! One transition under construction: the steps as they change, the user's data opened, the effects so far.

use std::time::Duration;

use super::state::{Cause, State, StepRecord, StepState, Try, Waiting};
use super::transition::{Decision, Effect, Ignored, TransitionError};
use super::{Compensated, Compensating, Completed, Running};
use crate::definition::{Page, Plan, Role, ScriptError, StepPlan};
use crate::id::{CommandType, Direction, MessageId, SagaId, StepName};
use crate::message::{Answer, Payload, TraceParent};
use crate::policy::{Retry, Timestamp};

/// Where the saga goes from here; its steps are filled in when the turn is finished.
pub(super) enum Next {
    Forward,
    Backward(Cause),
    Completed,
    Compensated(Cause),
}

impl Next {
    pub(super) fn with(self, steps: Vec<StepRecord>) -> State {
        match self {
            Next::Forward => State::Running(Running { steps }),
            Next::Backward(cause) => State::Compensating(Compensating { steps, cause }),
            Next::Completed => State::Completed(Completed { steps }),
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
    saga: SagaId,
    trace: &'a TraceParent,
    before: &'a Payload,
    now: Timestamp,
    page: Option<Box<dyn Page + 'a>>,
    touched: bool,
    steps: Vec<StepRecord>,
    effects: Vec<Effect>,
}

/// A step that is awaited, with the answer's place in the plan.
#[derive(Clone)]
pub(super) struct Awaited {
    pub(super) place: usize,
    pub(super) direction: Direction,
    pub(super) asked: Try,
}

impl<'a> Turn<'a> {
    pub(super) fn open(
        plan: &'a Plan,
        saga: SagaId,
        trace: &'a TraceParent,
        data: &'a Payload,
        steps: Vec<StepRecord>,
        now: Timestamp,
    ) -> Self {
        Turn { plan, saga, trace, before: data, now, page: None, touched: false, steps, effects: Vec::new() }
    }

    /// The steps, data and effects afterwards.
    pub(super) fn finish(self) -> Result<(Vec<StepRecord>, Payload, Vec<Effect>), ScriptError> {
        let data = match &self.page {
            Some(page) if self.touched => page.data()?,
            Some(_) | None => self.before.clone(),
        };
        Ok((self.steps, data, self.effects))
    }

    /// The user's data, read when the first of its functions is called.
    fn page(&mut self) -> Result<&mut Box<dyn Page + 'a>, ScriptError> {
        if self.page.is_none() {
            self.page = Some(self.plan.open(self.before)?);
        }
        match &mut self.page {
            Some(page) => Ok(page),
            None => unreachable!("the page was opened above"),
        }
    }

    pub(super) fn on_reply(&mut self, place: usize, reply: &Payload) -> Result<(), ScriptError> {
        self.page()?.on_reply(place, reply)?;
        self.touched = true;
        Ok(())
    }

    pub(super) fn on_refused(&mut self, place: usize, refusal: &Payload) -> Result<(), ScriptError> {
        self.page()?.on_refused(place, refusal)?;
        self.touched = true;
        Ok(())
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

    /// Sets a step to a state in which nothing is awaited any more.
    pub(super) fn settle(&mut self, place: usize, state: StepState) {
        self.effects.push(Effect::Disarm { step: self.step(place).name.clone() });
        self.set(place, state);
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
        let awaited = self.awaited(place).ok_or(Ignored::NotAwaited)?;
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

    pub(super) fn awaited(&self, place: usize) -> Option<Awaited> {
        let (direction, asked) = self.state(place)?.awaited()?;
        Some(Awaited { place, direction, asked: *asked })
    }

    /// Every step that is awaited.
    pub(super) fn all_awaited(&self) -> Vec<Awaited> {
        (0..self.plan.steps().len()).filter_map(|place| self.awaited(place)).collect()
    }

    /// Sends the commands of a group for the first time.
    pub(super) fn enter(&mut self, group: usize) -> Result<(), ScriptError> {
        for place in self.plan.groups()[group].clone() {
            self.ask(place, StepState::Doing, Direction::Do)?;
        }
        Ok(())
    }

    /// Sends a step's message in a direction it was not asked before.
    fn ask(
        &mut self,
        place: usize,
        state: impl FnOnce(Try) -> StepState,
        direction: Direction,
    ) -> Result<(), ScriptError> {
        let asked = Try { attempt: 1, first: 1, since: self.now, waiting: Waiting::Answer };
        self.set(place, state(asked));
        self.send(place, direction, asked)
    }

    /// Asks a step's participant to make a "no" final.
    pub(super) fn close(&mut self, place: usize) -> Result<(), ScriptError> {
        self.ask(place, StepState::Closing, Direction::Close)
    }

    /// Sends what a step awaits once more, as its next attempt.
    pub(super) fn resend(&mut self, awaited: &Awaited) -> Result<(), ScriptError> {
        let asked = Try {
            attempt: awaited.asked.attempt.saturating_add(1),
            waiting: Waiting::Answer,
            ..awaited.asked
        };
        self.repeat(awaited, asked)
    }

    /// Sends what a step awaits once more, and counts its attempts and its deadline from here.
    pub(super) fn resend_afresh(&mut self, awaited: &Awaited) -> Result<(), ScriptError> {
        let attempt = awaited.asked.attempt.saturating_add(1);
        self.repeat(awaited, Try { attempt, first: attempt, since: self.now, waiting: Waiting::Answer })
    }

    fn repeat(&mut self, awaited: &Awaited, asked: Try) -> Result<(), ScriptError> {
        if let Some(state) = self.state(awaited.place).map(|state| state.with_try(asked)) {
            self.set(awaited.place, state);
        }
        self.send(awaited.place, awaited.direction, asked)
    }

    fn send(&mut self, place: usize, direction: Direction, asked: Try) -> Result<(), ScriptError> {
        let plan = self.step(place);
        let (command_type, body) = self.message(place, direction)?;
        let trace = self.trace.child(MessageId::command(self.saga, &plan.name, direction));
        let (step, attempt, destination) = (plan.name.clone(), asked.attempt, plan.destination());
        self.effects.push(Effect::Send { step, direction, attempt, destination, command_type, body, trace });
        let retry = self.retry(place, direction);
        let pause = retry.backoff.delay(asked.attempt, self.seed());
        let last = self.attempts_spent(place, direction, &asked);
        self.arm(place, direction, &asked, if last { retry.timeout } else { retry.timeout + pause });
        Ok(())
    }

    /// What is sent to ask for `direction` of a step.
    fn message(&mut self, place: usize, direction: Direction) -> Result<(CommandType, Payload), ScriptError> {
        let step = self.step(place);
        match direction {
            Direction::Do => Ok((step.command_type.clone(), self.page()?.command(place)?)),
            Direction::Close => Ok((step.command_type.clone(), Payload::default())),
            Direction::Undo => {
                let reply = match self.state(place) {
                    Some(StepState::Undoing { reply, .. }) => reply.clone(),
                    Some(_) | None => None,
                };
                let body = self.page()?.undo(place, reply.as_ref())?;
                let command_type = step.undo().map_or(&step.command_type, |undo| &undo.command_type);
                Ok((command_type.clone(), body))
            }
        }
    }

    /// Waits before the next attempt, because the present one was answered with a fault.
    pub(super) fn back_off(&mut self, awaited: &Awaited) {
        let asked = Try { waiting: Waiting::Backoff, ..awaited.asked };
        if let Some(state) = self.state(awaited.place).map(|state| state.with_try(asked)) {
            self.set(awaited.place, state);
        }
        let pause = self.retry(awaited.place, awaited.direction).backoff.delay(asked.attempt, self.seed());
        self.arm(awaited.place, awaited.direction, &asked, pause);
    }

    /// Sets the step's timer, at the latest to when its deadline is over.
    fn arm(&mut self, place: usize, direction: Direction, asked: &Try, after: Duration) {
        let deadline =
            self.limited(place, direction).then(|| self.retry(place, direction).deadline).flatten();
        let left = deadline.map(|deadline| deadline.saturating_sub(self.now.since(asked.since)));
        let after = left.map_or(after, |left| left.min(after));
        let step = self.step(place).name.clone();
        self.effects.push(Effect::Arm { step, direction, attempt: asked.attempt, after });
    }

    /// Whether the policy allows no further attempt.
    pub(super) fn is_spent(&self, awaited: &Awaited) -> bool {
        let Awaited { place, direction, asked } = awaited;
        let deadline = self.retry(*place, *direction).deadline.filter(|_| self.limited(*place, *direction));
        let late = deadline.is_some_and(|deadline| self.now.since(asked.since) >= deadline);
        late || self.attempts_spent(*place, *direction, asked)
    }

    fn attempts_spent(&self, place: usize, direction: Direction, asked: &Try) -> bool {
        let made = asked.attempt.saturating_sub(asked.first).saturating_add(1);
        self.limited(place, direction) && made >= self.retry(place, direction).attempts
    }

    /// Whether asking ever ends. A close, a step after the pivot, and a pivot that is not to be closed go on for ever.
    fn limited(&self, place: usize, direction: Direction) -> bool {
        match (direction, &self.step(place).role) {
            (Direction::Close, _) | (Direction::Do, Role::Retriable) => false,
            (Direction::Do, Role::Pivot) => self.step(place).retry.close_when_spent,
            (Direction::Do, Role::Compensatable(_) | Role::NothingToUndo) | (Direction::Undo, _) => true,
        }
    }

    fn retry(&self, place: usize, direction: Direction) -> &'a Retry {
        let step = self.step(place);
        match direction {
            Direction::Do | Direction::Close => &step.retry,
            Direction::Undo => step.undo().map_or(&step.retry, |undo| &undo.retry),
        }
    }

    /// Spreads the pauses of different sagas; the same saga always gets the same ones.
    fn seed(&self) -> u64 {
        self.saga.as_uuid().as_u64_pair().1
    }

    /// Whether this turn has set the step's timer.
    pub(super) fn is_armed(&self, place: usize) -> bool {
        let name = &self.step(place).name;
        self.effects.iter().any(|effect| matches!(effect, Effect::Arm { step, .. } if step == name))
    }

    /// The pivot, if its command is committed.
    pub(super) fn pivot_entered(&self) -> Option<usize> {
        let pivot = self.plan.steps().iter().position(|step| matches!(step.role, Role::Pivot))?;
        self.state(pivot).map(|_| pivot)
    }

    /// Turns back for `cause`: undoes the last group that has something to undo, or ends.
    pub(super) fn turn_back(&mut self, cause: Cause) -> Moved {
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
            None | Some(StepState::Refused | StepState::Undone) => return Ok(false),
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
