//! Asking participants: what is sent, how often, and how long an answer is waited for.

use std::ops::Range;
use std::time::Duration;

use super::state::{StepState, Try, Waiting};
use super::transition::Effect;
use super::turn::{Awaited, Next, Place, Turn};
use crate::definition::{At, CommandPlan, NotificationPlan, Role, ScriptError, Work};
use crate::id::{CommandType, Direction, MessageId};
use crate::message::Payload;
use crate::policy::Retry;

impl<'a> Turn<'a> {
    /// Enters the next group that has something to do, from `group` on. Without one the saga is through.
    pub(super) fn enter(&mut self, group: usize) -> Result<Next, ScriptError> {
        for group in &self.plan.groups()[group..] {
            if self.enter_group(group.clone())? {
                return Ok(Next::Forward);
            }
        }
        Ok(self.through())
    }

    /// Sends the commands of a group for the first time. False if all its steps are skipped.
    fn enter_group(&mut self, group: Range<usize>) -> Result<bool, ScriptError> {
        let mut entered = false;
        for place in group.map(Place::of) {
            if self.step(place).conditional && !self.page()?.is_wanted(place.step)? {
                self.set(place, StepState::Skipped);
            } else {
                entered |= self.enter_step(place)?;
            }
        }
        Ok(entered)
    }

    /// Enters one step. False if there is nothing to do.
    fn enter_step(&mut self, place: Place) -> Result<bool, ScriptError> {
        match &self.step(place).work {
            Work::Command(_) if self.step(place).items_at_once.is_some() => return self.enter_items(place),
            Work::Command(_) => self.ask(place, StepState::Doing, Direction::Do)?,
            Work::Signal { .. } => self.begin_to_wait(place)?,
            Work::Pause => self.begin_to_pause(place)?,
            Work::Notification(told) => {
                self.notify(place, told)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells others something; the step is done with that.
    fn notify(&mut self, place: Place, told: &NotificationPlan) -> Result<(), ScriptError> {
        let step = self.name(place).clone();
        let body = self.page()?.command(At::of(place.step, &step))?;
        let trace = self.before.trace.child(MessageId::command(self.before.id, &step, Direction::Do));
        let NotificationPlan { notification_type, topics } = told.clone();
        self.effects.push(Effect::Notify { step, topics, notification_type, body, trace });
        self.set(place, StepState::Done(Payload::default()));
        Ok(())
    }

    /// A signal that came early is taken as soon as its step is entered, so it needs no timer.
    fn begin_to_wait(&mut self, place: Place) -> Result<(), ScriptError> {
        if let Some(StepState::Early(signal)) = self.state(place) {
            let (asked, signal) = (self.first_try(), Some(signal.clone()));
            self.set(place, StepState::Waiting { asked, signal });
            return Ok(());
        }
        self.ask(place, |asked| StepState::Waiting { asked, signal: None }, Direction::Do)
    }

    fn begin_to_pause(&mut self, place: Place) -> Result<(), ScriptError> {
        let until = self.now.plus(self.page()?.pause(place.step)?);
        self.ask(place, |asked| StepState::Pausing { asked, until }, Direction::Do)
    }

    /// Fixes the items of a step, and asks for the first of them. Without any the step is skipped.
    fn enter_items(&mut self, place: Place) -> Result<bool, ScriptError> {
        let items = self.page()?.items(place.step)?;
        if items.is_empty() {
            self.set(place, StepState::Skipped);
            return Ok(false);
        }
        items.into_iter().for_each(|item| self.add_item(item));
        self.ask_next_items(place.step)?;
        Ok(true)
    }

    /// Asks for the next items of a step, as many as may be under way at once.
    pub(super) fn ask_next_items(&mut self, step: usize) -> Result<(), ScriptError> {
        let queued = |part: &Place| matches!(self.state(*part), Some(StepState::Queued));
        let next: Vec<Place> = self.parts(step).into_iter().filter(queued).take(self.room(step)).collect();
        next.into_iter().try_for_each(|part| self.ask(part, StepState::Doing, Direction::Do))
    }

    const fn first_try(&self) -> Try {
        Try { attempt: 1, first: 1, since: self.now, waiting: Waiting::Answer }
    }

    /// Sends a step's message in a direction it was not asked before.
    pub(super) fn ask(
        &mut self,
        place: Place,
        state: impl FnOnce(Try) -> StepState,
        direction: Direction,
    ) -> Result<(), ScriptError> {
        let asked = self.first_try();
        self.set(place, state(asked));
        self.send(place, direction, asked)
    }

    /// Asks a step's participant to make a "no" final.
    pub(super) fn close(&mut self, place: Place) -> Result<(), ScriptError> {
        self.ask(place, StepState::Closing, Direction::Close)
    }

    /// Sends what a step awaits once more, and returns which attempt that is.
    pub(super) fn resend(&mut self, awaited: &Awaited) -> Result<u32, ScriptError> {
        let attempt = awaited.asked.attempt.saturating_add(1);
        self.repeat(awaited, Try { attempt, waiting: Waiting::Answer, ..awaited.asked })?;
        Ok(attempt)
    }

    /// Sends everything that is awaited and that this turn has not sent, and counts attempts and deadlines from here.
    pub(super) fn ask_again(&mut self) -> Result<(), ScriptError> {
        for awaited in self.all_awaited() {
            if !self.is_armed(awaited.place) {
                let attempt = awaited.asked.attempt.saturating_add(1);
                let asked = Try { attempt, first: attempt, since: self.now, waiting: Waiting::Answer };
                self.repeat(&awaited, asked)?;
            }
        }
        Ok(())
    }

    /// Sends the command along with its close: the participant has begun a call, and whoever made it may have given up.
    /// With the command somebody makes it, and what comes of it is final.
    pub(super) fn send_along(&mut self, awaited: &Awaited) -> Result<(), ScriptError> {
        match (self.step(awaited.place).command(), awaited.direction) {
            (Some(command), Direction::Close) => {
                self.send_command(awaited.place, command, Direction::Do, awaited.asked.attempt)
            }
            (Some(_), Direction::Do | Direction::Undo) | (None, _) => Ok(()),
        }
    }

    fn repeat(&mut self, awaited: &Awaited, asked: Try) -> Result<(), ScriptError> {
        if let Some(state) = self.state(awaited.place).map(|state| state.with_try(asked)) {
            self.set(awaited.place, state);
        }
        self.send(awaited.place, awaited.direction, asked)
    }

    fn send(&mut self, place: Place, direction: Direction, asked: Try) -> Result<(), ScriptError> {
        if let Some(StepState::Pausing { until, .. }) = self.state(place) {
            let left = until.since(self.now);
            self.arm(place, direction, &asked, left);
            return Ok(());
        }
        if let Some(command) = self.step(place).command() {
            self.send_command(place, command, direction, asked.attempt)?;
        }
        let retry = self.retry(place, direction);
        let pause = retry.backoff.delay(asked.made(), self.seed());
        let last = self.attempts_spent(place, direction, &asked);
        self.arm(place, direction, &asked, if last { retry.timeout } else { retry.timeout + pause });
        Ok(())
    }

    fn send_command(
        &mut self,
        place: Place,
        command: &CommandPlan,
        direction: Direction,
        attempt: u32,
    ) -> Result<(), ScriptError> {
        planted!(NotSentAgain: if attempt > 1 { return Ok(()) });
        let (command_type, body) = self.message(place, command, direction)?;
        let step = self.name(place).clone();
        planted!(StepByIndex: let step = crate::id::StepName::new(place.step.to_string()).unwrap_or(step));
        let trace = self.before.trace.child(MessageId::command(self.before.id, &step, direction));
        let destination = command.destination();
        planted!(UndoSentElsewhere: let destination = match self.plan.steps()[0].command() {
            Some(first) if direction == Direction::Undo => first.destination(),
            Some(_) | None => destination,
        });
        self.effects.push(Effect::Send { step, direction, attempt, destination, command_type, body, trace });
        Ok(())
    }

    /// What is sent to ask for `direction` of a step.
    fn message(
        &mut self,
        place: Place,
        command: &CommandPlan,
        direction: Direction,
    ) -> Result<(CommandType, Payload), ScriptError> {
        match direction {
            Direction::Do => {
                let name = self.name(place).clone();
                let body = self.page()?.command(At::of(place.step, &name))?;
                Ok((command.command_type.clone(), body))
            }
            Direction::Close => Ok((command.command_type.clone(), Payload::default())),
            Direction::Undo => {
                let reply = match self.state(place) {
                    Some(StepState::Undoing { reply, .. }) => reply.clone(),
                    Some(_) | None => None,
                };
                let name = self.name(place).clone();
                let body = self.page()?.undo(At::of(place.step, &name), reply.as_ref())?;
                let undo = self.step(place).undo();
                let command_type = undo.map_or(&command.command_type, |undo| &undo.command_type);
                Ok((command_type.clone(), body))
            }
        }
    }

    /// Waits before the next attempt, because the present one was answered with a fault.
    pub(super) fn back_off(&mut self, awaited: &Awaited) {
        self.pause(awaited, awaited.asked.first, awaited.asked.made());
    }

    /// Waits before asking again, because the work is under way. The other side is alive, so this attempt counts for
    /// nothing: only the step's deadline ends the waiting. The pauses grow with all that were made.
    pub(super) fn ask_later(&mut self, awaited: &Awaited) {
        let attempt = awaited.asked.attempt;
        self.pause(awaited, attempt.saturating_add(1), attempt);
    }

    /// How long a signal or the end of a pause is yet to be waited for, although the step's timer has fired: it was cut to
    /// a deadline of the saga that has changed since, or a clock was put back.
    pub(super) fn left_to_wait(&self, awaited: &Awaited) -> Option<Duration> {
        let left = match (&self.step(awaited.place).work, self.state(awaited.place)) {
            (Work::Signal { deadline }, _) => deadline.saturating_sub(self.now.since(awaited.asked.since)),
            (Work::Pause, Some(StepState::Pausing { until, .. })) => until.since(self.now),
            (Work::Command(_) | Work::Notification(_) | Work::Pause, _) => Duration::ZERO,
        };
        Some(left).filter(|left| !left.is_zero())
    }

    /// Sets the timer of a signal or a pause anew.
    pub(super) fn wait_on(&mut self, awaited: &Awaited, left: Duration) {
        self.arm(awaited.place, awaited.direction, &awaited.asked, left);
    }

    fn pause(&mut self, awaited: &Awaited, first: u32, attempts: u32) {
        let asked = Try { first, waiting: Waiting::Backoff, ..awaited.asked };
        if let Some(state) = self.state(awaited.place).map(|state| state.with_try(asked)) {
            self.set(awaited.place, state);
        }
        let pause = self.retry(awaited.place, awaited.direction).backoff.delay(attempts, self.seed());
        self.arm(awaited.place, awaited.direction, &asked, pause);
    }

    /// Sets the step's timer, at the latest to when its deadline or that of the saga is over.
    fn arm(&mut self, place: Place, direction: Direction, asked: &Try, after: Duration) {
        planted!(NoTimer: return);
        let deadline = self.deadline(place, direction);
        let left = deadline.map(|deadline| deadline.saturating_sub(self.now.since(asked.since)));
        let left_to_saga = self.time_left().filter(|_| direction == Direction::Do);
        let after = left.into_iter().chain(left_to_saga).fold(after, Duration::min);
        let step = self.name(place).clone();
        self.effects.push(Effect::Arm { step, direction, attempt: asked.attempt, after });
    }

    /// How long all attempts may take together, if that is limited.
    fn deadline(&self, place: Place, direction: Direction) -> Option<Duration> {
        self.retry(place, direction).deadline.filter(|_| self.limited(place, direction))
    }

    /// Whether the policy allows no further attempt.
    pub(super) fn is_spent(&self, awaited: &Awaited) -> bool {
        let Awaited { place, direction, asked } = awaited;
        let deadline = self.deadline(*place, *direction);
        let late = deadline.is_some_and(|deadline| self.now.since(asked.since) >= deadline);
        late || self.attempts_spent(*place, *direction, asked)
    }

    fn attempts_spent(&self, place: Place, direction: Direction, asked: &Try) -> bool {
        self.limited(place, direction) && asked.made() >= self.retry(place, direction).attempts
    }

    /// Whether asking ever ends. A close, a step after the pivot, and a pivot that is not to be closed go on for ever.
    fn limited(&self, place: Place, direction: Direction) -> bool {
        match (direction, &self.step(place).role) {
            (Direction::Close, _) | (Direction::Do, Role::Retriable) => false,
            (Direction::Do, Role::Pivot) => self.step(place).retry().close_when_spent,
            (Direction::Do, Role::Compensatable(_) | Role::NothingToUndo) | (Direction::Undo, _) => true,
        }
    }

    fn retry(&self, place: Place, direction: Direction) -> Retry {
        let step = self.step(place);
        match direction {
            Direction::Do | Direction::Close => step.retry(),
            Direction::Undo => step.undo().map_or_else(|| step.retry(), |undo| undo.retry),
        }
    }

    /// Spreads the pauses of different sagas; the same saga always gets the same ones.
    fn seed(&self) -> u64 {
        self.before.id.as_uuid().as_u64_pair().1
    }

    /// Whether this turn has set the step's timer.
    fn is_armed(&self, place: Place) -> bool {
        let name = self.name(place);
        self.effects.iter().any(|effect| matches!(effect, Effect::Arm { step, .. } if step == name))
    }
}
