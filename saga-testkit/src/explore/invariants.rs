//! What must hold for every saga, without a word from its author.
//!
//! The names in brackets are those under which `docs/explorer.md` lists them.

use std::hash::Hash;
use std::sync::Arc;

use saga_core::definition::Role;
use saga_core::fence::FenceState;
use saga_core::id::Direction;
use saga_core::machine::{Instance, State, StepState};

use super::orchestrator::{Asked, Moment, Stimulus};
use super::rules::Rules;
use super::scene::{Condition, Scene};
use super::world::{Cell, Local, Message, NONE, Said, World};

impl<M> Rules<M> {
    /// What is wrong with a transition, whatever the rest of the world looks like.
    pub(super) fn wrong_transition(
        &self,
        before: &Instance,
        after: &Instance,
        stimulus: Stimulus,
        moment: Moment,
        effects: &[Asked],
    ) -> Option<String> {
        if before.state.status().is_terminal() {
            return Some("a saga that has ended moves [absorbing]".into());
        }
        self.wrong_acceptance(before, stimulus)
            .or_else(|| self.wrong_sending(after, effects))
            .or_else(|| self.wrong_silence(after, stimulus, moment, effects))
    }

    /// A reply counts only where it is awaited.
    fn wrong_acceptance(&self, before: &Instance, stimulus: Stimulus) -> Option<String> {
        let Stimulus::Reply { step, direction, .. } = stimulus else { return None };
        let awaited = self.awaited(before, step);
        let final_anyway = awaited == Some(Direction::Close) && direction == Direction::Do;
        let name = self.steps.value(step);
        let parked = matches!(before.state, State::Parked(_));
        (parked || (awaited != Some(direction) && !final_anyway))
            .then(|| format!("a reply to {direction} {name} counts, and nobody awaits it [correlation]"))
    }

    /// Nothing is done while going back, and nothing is undone while going forward.
    fn wrong_sending(&self, after: &Instance, effects: &[Asked]) -> Option<String> {
        let going_back = after.state.cause().is_some();
        effects.iter().find_map(|effect| match effect {
            Asked::Send { step, direction: Direction::Do, .. } if going_back => {
                Some(format!("{} is asked for while the saga goes back [order]", self.steps.value(*step)))
            }
            Asked::Send { step, direction: Direction::Undo, .. } if !going_back => {
                Some(format!("{} is undone while the saga goes forward [order]", self.steps.value(*step)))
            }
            Asked::Send { .. } | Asked::Arm { .. } | Asked::Disarm { .. } => None,
        })
    }

    /// A message may be lost, so a timer that fires sends it again as long as it is awaited.
    fn wrong_silence(
        &self,
        after: &Instance,
        stimulus: Stimulus,
        moment: Moment,
        effects: &[Asked],
    ) -> Option<String> {
        let Stimulus::Timer { step, direction } = stimulus else { return None };
        let sent =
            effects.iter().any(|effect| matches!(effect, Asked::Send { step: sent, .. } if *sent == step));
        let parked = matches!(after.state, State::Parked(_));
        let awaited = self.awaited(after, step) == Some(direction);
        (awaited && !sent && !parked && moment == Moment::Early)
            .then(|| format!("{direction} {} is not sent again [loss]", self.steps.value(step)))
    }

    fn awaited(&self, instance: &Instance, step: u32) -> Option<Direction> {
        let name = self.steps.value(step);
        let record = instance.state.steps().iter().find(|record| record.name == *name)?;
        record.state.awaited().map(|(direction, _)| direction)
    }

    /// A step is undone only when no effect of a later group stands or can still come about.
    pub(super) fn wrong_undo(&self, local: &Local, undone: u32) -> Option<String> {
        let place = self.place(undone);
        let group = self.plan.groups().iter().find(|group| group.contains(&place))?;
        let later = local.cells.iter().find(|cell| {
            let place = self.place(cell.step);
            place >= group.end && !self.is_harmless(cell.step) && !self.is_out_of_the_world(cell)
        })?;
        let (undone, later) = (self.steps.value(undone), self.steps.value(later.step));
        Some(format!("{undone} is undone before {later} is out of the world [undo order]"))
    }

    pub(super) fn sends_command(&self, step: u32) -> bool {
        self.plan.steps()[self.place(step)].command().is_some()
    }

    /// Whether it makes no difference that a step was done.
    fn is_harmless(&self, step: u32) -> bool {
        matches!(self.plan.steps()[self.place(step)].role, Role::NothingToUndo)
    }

    /// Whether a step's effect does not stand and never will.
    pub(super) fn is_out_of_the_world(&self, cell: &Cell) -> bool {
        cell.row != NONE
            && matches!(
                *self.rows.value(cell.row),
                FenceState::Refused(_) | FenceState::Compensated | FenceState::Closed
            )
    }

    /// What is wrong with one saga's part of the world.
    pub(super) fn wrong_local(&self, local: &Local) -> Option<String> {
        let instance = self.instances.value(local.instance);
        let cells = local.cells.iter().find_map(|cell| self.wrong_cell(cell));
        let records = || {
            instance.state.steps().iter().find_map(|record| {
                let step = self.steps.number(record.name.clone());
                self.wrong_knowledge(local, step, &record.state)
            })
        };
        cells
            .or_else(records)
            .or_else(|| self.wrong_end(&instance))
            .or_else(|| self.wrong_timers(&instance, local))
    }

    /// Every effect happens at most once, and is taken back at most once and only after it.
    fn wrong_cell(&self, cell: &Cell) -> Option<String> {
        let name = self.steps.value(cell.step);
        let yes_and_no = |direction| {
            cell.has(Message::Reply(direction, Said::Done))
                && cell.has(Message::Reply(direction, Said::Refused))
        };
        if cell.effects > 1 {
            Some(format!("{name} is done twice [once]"))
        } else if cell.undos > cell.effects {
            Some(format!("{name} is undone more often than it was done [once]"))
        } else if yes_and_no(Direction::Do) || yes_and_no(Direction::Close) {
            Some(format!("{name} is answered with yes and with no [truth]"))
        } else {
            None
        }
    }

    /// What the saga knows of a step is true, and stays true whatever arrives late.
    fn wrong_knowledge(&self, local: &Local, step: u32, state: &StepState) -> Option<String> {
        let cell = local.cell(step).filter(|_| self.sends_command(step))?;
        let name = self.steps.value(step);
        match state {
            StepState::Done(_) if cell.effects == 0 || cell.undos > 0 => {
                Some(format!("the saga takes {name} for done, and it is not [truth]"))
            }
            StepState::Undone | StepState::Refused
                if cell.effects > cell.undos && !self.is_harmless(step) =>
            {
                Some(format!("the saga takes {name} for not done or undone, and its effect stands [truth]"))
            }
            StepState::Done(_)
            | StepState::Undone
            | StepState::Refused
            | StepState::Early(_)
            | StepState::Queued
            | StepState::Waiting { .. }
            | StepState::Skipped
            | StepState::Doing(_)
            | StepState::Closing(_)
            | StepState::Undoing { .. } => None,
        }
    }

    /// A completed saga has every step done, a compensated one none that can be undone; neither awaits anything.
    fn wrong_end(&self, instance: &Instance) -> Option<String> {
        let status = instance.state.status();
        let records = instance.state.steps();
        if status.is_terminal()
            && let Some(open) = records.iter().find(|record| record.state.is_awaited())
        {
            return Some(format!("the saga has ended, and nobody knows what became of {} [end]", open.name));
        }
        self.plan.steps().iter().find_map(|step| {
            let record = records.iter().find(|record| record.name == step.name);
            let done = record.is_some_and(|record| matches!(record.state, StepState::Done(_)));
            let skipped = record.is_some_and(|record| record.state == StepState::Skipped);
            match &instance.state {
                State::Completed(_) if !done && !skipped => {
                    Some(format!("the saga is completed without {} [end]", step.name))
                }
                State::Compensated(_) if done && !matches!(step.role, Role::NothingToUndo) => {
                    Some(format!("the saga is compensated with {} [end]", step.name))
                }
                State::Completed(_)
                | State::Compensated(_)
                | State::Running(_)
                | State::Compensating(_)
                | State::Parked(_) => None,
            }
        })
    }

    /// What is awaited has a timer, or the loss of one message would be the end of it.
    fn wrong_timers(&self, instance: &Instance, local: &Local) -> Option<String> {
        if matches!(instance.state, State::Parked(_)) {
            return None;
        }
        let unarmed = instance.state.steps().iter().find(|record| {
            let step = self.steps.number(record.name.clone());
            record.state.is_awaited() && !local.cell(step).is_some_and(Cell::is_armed)
        })?;
        Some(format!("{} is awaited without a timer [loss]", unarmed.name))
    }
}

impl<M: Eq + Hash> Rules<M> {
    /// Which of the user's conditions does not hold.
    pub(super) fn wrong_scene(&self, world: &World) -> Option<String> {
        if self.invariants.is_empty() && self.finals.is_empty() {
            return None;
        }
        let model = self.models.value(world.model);
        let sagas: Vec<Arc<Instance>> =
            world.sagas.iter().map(|local| self.instances.value(local.instance)).collect();
        let scene = Scene { model: &*model, sagas: &sagas };
        let broken = |condition: &&Condition<M>| !(condition.holds)(&scene);
        let ended = sagas.iter().all(|saga| saga.state.status().is_terminal());
        let finals = || self.finals.iter().filter(|_| ended).find(broken);
        let broken = self.invariants.iter().find(broken).or_else(finals)?;
        Some(format!("{NOT_SO}{}", broken.name))
    }
}

/// Begins what is said of a condition that does not hold. Conditions are named by sentences.
pub(super) const NOT_SO: &str = "it is not so that ";
