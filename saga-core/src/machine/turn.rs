//! One transition under construction: the steps as they change, the user's data opened, the effects so far.

use std::time::Duration;

use super::state::{Cause, Instance, State, StepRecord, StepState, Try, Waiting};
use super::transition::{Decision, Effect, Ignored, TransitionError};
use super::{Compensated, Compensating, Completed, Parent, Parked, Provisional, Running};
use crate::definition::{At, Page, Plan, Role, ScriptError, StepPlan};
use crate::id::{Direction, StepName};
use crate::message::{Answer, Payload};
use crate::policy::Timestamp;

/// Where the saga goes from here; its steps are filled in when the turn is finished.
pub(super) enum Next {
    Forward,
    Backward(Cause),
    Provisional,
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
            Next::Provisional => State::Provisional(Provisional { steps }),
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
    /// Only what the parent asks for changes.
    Noted(Box<Parent>),
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
    pub(super) parent: Option<Parent>,
    steps: Vec<StepRecord>,
    data: Payload,
    page: Option<Box<dyn Page + 'a>>,
}

/// Where a step stands: its place in the plan, and, if it is one item's part of a step, that of its record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) step: usize,
    record: Option<usize>,
}

impl Place {
    /// The place of a step that is run once.
    pub(super) const fn of(step: usize) -> Self {
        Place { step, record: None }
    }
}

/// A step that is awaited, with its place.
#[derive(Clone)]
pub(super) struct Awaited {
    pub(super) place: Place,
    pub(super) direction: Direction,
    pub(super) asked: Try,
}

impl<'a> Turn<'a> {
    pub(super) fn open(plan: &'a Plan, before: &'a Instance, now: Timestamp) -> Self {
        let (steps, data) = (before.state.steps().to_vec(), before.data.clone());
        let parent = before.parent.clone();
        Turn { plan, before, now, effects: Vec::new(), parent, steps, data, page: None }
    }

    /// The saga afterwards, and what is to be done for it.
    pub(super) fn finish(mut self, next: Next) -> (Instance, Vec<Effect>) {
        let disarmed = self.disarmed();
        self.effects.extend(disarmed);
        let (version, state) = (self.before.version + 1, next.with(std::mem::take(&mut self.steps)));
        let (parent, data) = (self.parent.take(), std::mem::take(&mut self.data));
        let saga = Instance { version, state, parent, data, ..self.before.clone() };
        let farewell = self.farewell(&saga);
        self.effects.extend(farewell);
        (saga, self.effects)
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
        for place in self.places(group) {
            if let Some(StepState::Done(reply)) = self.state(place).cloned() {
                let name = self.name(place).clone();
                self.page()?.on_reply(At::of(place.step, &name), &reply)?;
                noted = true;
            }
        }
        if noted { self.keep() } else { Ok(()) }
    }

    /// Sees whether a reply can be read and noted, and changes nothing.
    pub(super) fn try_reply(&mut self, place: Place, reply: &Payload) -> Result<(), ScriptError> {
        let name = self.name(place).clone();
        self.page()?.on_reply(At::of(place.step, &name), reply)?;
        self.page = None;
        Ok(())
    }

    pub(super) fn on_refused(&mut self, place: Place, refusal: &Payload) -> Result<(), ScriptError> {
        let name = self.name(place).clone();
        self.page()?.on_refused(At::of(place.step, &name), refusal)?;
        self.keep()
    }

    pub(super) fn step(&self, place: Place) -> &'a StepPlan {
        &self.plan.steps()[place.step]
    }

    /// The name under which the step is asked: its own, with the item's key if it has one.
    pub(super) fn name(&self, place: Place) -> &StepName {
        match place.record {
            Some(record) => &self.steps[record].name,
            None => &self.step(place).name,
        }
    }

    /// The steps of a group, as they were entered: a part for each item of a step that has items.
    pub(super) fn places(&self, group: usize) -> Vec<Place> {
        let steps = self.plan.groups()[group].clone();
        steps.flat_map(|step| self.parts(step)).collect()
    }

    /// The parts of a step: one for each of its items, or only itself.
    pub(super) fn parts(&self, step: usize) -> Vec<Place> {
        match self.plan.steps()[step].items_at_once {
            None => vec![Place::of(step)],
            Some(_) => self.items_of(step).map(|(record, _)| Place { step, record: Some(record) }).collect(),
        }
    }

    /// The records of a step's items, each with its number.
    fn items_of(&self, step: usize) -> impl Iterator<Item = (usize, &StepRecord)> {
        let is_item = move |name: &StepName| self.plan.steps()[step].is_item(name);
        self.steps.iter().enumerate().filter(move |(_, record)| is_item(&record.name))
    }

    /// How many more items of a step may be under way; without limit for a step that has no items.
    pub(super) fn room(&self, step: usize) -> usize {
        let Some(width) = self.plan.steps()[step].items_at_once else { return usize::MAX };
        let under_way = self.items_of(step).filter(|(_, record)| record.state.is_awaited()).count();
        width.saturating_sub(under_way)
    }

    /// Adds the part of a step for one of its items.
    pub(super) fn add_item(&mut self, item: StepName) {
        self.steps.push(StepRecord { name: item, state: StepState::Queued });
    }

    pub(super) fn place(&self, step: &StepName) -> Result<Place, Halt> {
        let unknown = || TransitionError::UnknownStep(step.to_string());
        match self.plan.position(step) {
            Some(place) => Ok(Place::of(place)),
            None => {
                let record = self.steps.iter().position(|record| record.name == *step);
                let record = record.ok_or_else(unknown)?;
                let step = self.plan.position_of(step).ok_or_else(unknown)?;
                Ok(Place { step, record: Some(record) })
            }
        }
    }

    pub(super) fn state(&self, place: Place) -> Option<&StepState> {
        let name = self.name(place);
        match place.record {
            Some(record) => Some(&self.steps[record].state),
            None => self.steps.iter().find(|record| record.name == *name).map(|record| &record.state),
        }
    }

    pub(super) fn set(&mut self, place: Place, state: StepState) {
        if let Some(record) = place.record {
            self.steps[record].state = state;
            return;
        }
        let name = &self.plan.steps()[place.step].name;
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
        planted!(LateDoneAccepted: return Ok(awaited));
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
        planted!(OldTimerAccepted: return Ok(awaited));
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

    pub(super) fn awaited(&self, place: Place) -> Option<Awaited> {
        let (direction, asked) = self.state(place)?.awaited()?;
        Some(Awaited { place, direction, asked: *asked })
    }

    /// The group that the step at `step` belongs to.
    pub(super) fn group_of(&self, step: usize) -> usize {
        self.plan.groups().iter().position(|group| group.contains(&step)).unwrap_or_default()
    }

    /// The group that was entered last.
    fn last_group(&self) -> usize {
        let entered = self.steps.iter().filter(|record| !matches!(record.state, StepState::Early(_)));
        let last = entered.filter_map(|record| self.plan.position_of(&record.name)).max();
        self.group_of(last.unwrap_or_default())
    }

    pub(super) fn is_group_done(&self, group: usize) -> bool {
        let is_done = |place| matches!(self.state(place), Some(StepState::Done(_) | StepState::Skipped));
        self.places(group).into_iter().all(is_done)
    }

    /// A step that waits, and the signal that was kept for it.
    pub(super) fn kept_signal(&self) -> Option<(Place, Payload)> {
        let kept = self.steps.iter().find(|record| record.state.kept_signal().is_some())?;
        Some((Place::of(self.plan.position(&kept.name)?), kept.state.kept_signal()?.clone()))
    }

    /// Every step that is awaited.
    pub(super) fn all_awaited(&self) -> Vec<Awaited> {
        let records = (0..self.steps.len()).filter(|record| self.steps[*record].state.is_awaited());
        let places = records.filter_map(|record| self.place(&self.steps[record].name).ok());
        places.filter_map(|place| self.awaited(place)).collect()
    }

    /// The pivot, if its command is committed or it is passed without one.
    pub(super) fn pivot_entered(&self) -> Option<Place> {
        let pivot =
            self.plan.steps().iter().position(|step| matches!(step.role, Role::Pivot)).map(Place::of)?;
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
        planted!(ForwardWhileBack: drop(self.enter(self.last_group() + 1)));
        let next = self.retreat(cause.clone())?;
        Ok((next, Decision::TurnedBack(cause)))
    }

    /// Undoes the last group that is not settled, all its steps at once; ends if all groups are.
    pub(super) fn retreat(&mut self, cause: Cause) -> Result<Next, Halt> {
        for group in (0..self.plan.groups().len()).rev() {
            planted!(CompensatedForward: let group = self.plan.groups().len() - 1 - group);
            let mut unsettled = false;
            for place in self.places(group) {
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
    fn take_back(&mut self, place: Place) -> Result<bool, ScriptError> {
        let can_undo = self.step(place).undo().is_some();
        let reply = match self.state(place) {
            None | Some(StepState::Early(_) | StepState::Refused) => return Ok(false),
            Some(StepState::Undone | StepState::Skipped) => return Ok(false),
            Some(StepState::Waiting { .. } | StepState::Pausing { .. } | StepState::Queued) => {
                self.set(place, StepState::Refused);
                return Ok(false);
            }
            Some(StepState::Undoing { .. } | StepState::Closing(_)) => return Ok(true),
            Some(StepState::Done(_)) if !can_undo => return Ok(false),
            Some(StepState::Doing(_)) if !can_undo => return self.close(place).map(|()| true),
            Some(StepState::Done(_)) if self.room(place.step) == 0 => return Ok(true),
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
