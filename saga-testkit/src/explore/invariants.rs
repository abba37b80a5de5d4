//! What must hold for every saga, without a word from its author.
//!
//! The names in brackets are those under which `docs/explorer.md` lists them.

use std::hash::Hash;
use std::sync::Arc;

use saga_core::definition::{Plan, Role, StepPlan, Work};
use saga_core::fence::FenceState;
use saga_core::id::Direction;
use saga_core::machine::{Effect, Instance, State, Status, StepRecord, StepState};

use super::orchestrator::{Asked, Moment, Standing, Stimulus};
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
            .or_else(|| self.decided_again(before, after))
            .or_else(|| self.wrong_sending(after, effects))
            .or_else(|| self.wrong_silence(after, stimulus, moment, effects))
    }

    /// A reply counts only where it is awaited.
    fn wrong_acceptance(&self, before: &Instance, stimulus: Stimulus) -> Option<String> {
        let Stimulus::Reply { step, direction, .. } = stimulus else { return None };
        let awaited = self.awaited(before, step);
        let final_anyway = awaited == Some(Direction::Close) && direction == Direction::Do;
        let name = self.name(step);
        let parked = matches!(before.state, State::Parked(_));
        (parked || (awaited != Some(direction) && !final_anyway))
            .then(|| format!("a reply to {direction} {name} counts, and nobody awaits it [correlation]"))
    }

    /// Nothing is done while going back, and nothing is undone while going forward.
    fn wrong_sending(&self, after: &Instance, effects: &[Asked]) -> Option<String> {
        let going_back = after.state.cause().is_some();
        effects.iter().find_map(|effect| match effect {
            Asked::Send { step, direction: Direction::Do, .. } if going_back => {
                Some(format!("{} is asked for while the saga goes back [order]", self.name(*step)))
            }
            Asked::Send { step, direction: Direction::Undo, .. } if !going_back => {
                Some(format!("{} is undone while the saga goes forward [order]", self.name(*step)))
            }
            Asked::Send { .. } | Asked::Arm { .. } | Asked::Disarm { .. } => None,
            Asked::Answer { .. } | Asked::Release { .. } | Asked::Tell { .. } => None,
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
        (awaited && !sent && !parked && moment == Moment::Early && self.sends_command(step))
            .then(|| format!("{direction} {} is not sent again [loss]", self.name(step)))
    }

    fn awaited(&self, instance: &Instance, step: u32) -> Option<Direction> {
        let name = self.name(step);
        let record = instance.state.steps().iter().find(|record| record.name == name)?;
        record.state.awaited().map(|(direction, _)| direction)
    }

    /// A step is undone only when no effect of a later group stands or can still come about.
    pub(super) fn wrong_undo(&self, local: &Local, undone: u32) -> Option<String> {
        let saga = self.instances.value(local.instance);
        let place = |step| self.plan_of(&saga).1.position_of(&self.name(step));
        let undone_at = place(undone)?;
        let group = self.plan_of(&saga).1.groups().iter().find(|group| group.contains(&undone_at))?;
        let later = local.cells.iter().find(|cell| {
            let is_later = || place(cell.step).is_some_and(|place| place >= group.end);
            !self.is_harmless(cell.step) && !self.is_out_of_the_world(cell) && is_later()
        })?;
        let (undone, later) = (self.name(undone), self.name(later.step));
        Some(format!("{undone} is undone before {later} is out of the world [undo order]"))
    }

    pub(super) fn sends_command(&self, step: u32) -> bool {
        self.step(step).command().is_some()
    }

    pub(super) fn pauses(&self, step: u32) -> bool {
        matches!(self.step(step).work, Work::Pause)
    }

    /// Whether it makes no difference that a step was done.
    fn is_harmless(&self, step: u32) -> bool {
        matches!(self.step(step).role, Role::NothingToUndo)
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
    pub(super) fn wrong_local(&self, local: &Local, standing: &Standing) -> Option<String> {
        let cells = local.cells.iter().find_map(|cell| self.wrong_cell(cell));
        cells
            .or_else(|| self.wrong_knowledge(local, standing))
            .or_else(|| self.wrong_telling(local, standing))
            .or_else(|| standing.wrong.clone())
            .or_else(|| self.forgotten(local, standing))
            .or_else(|| self.wrong_timers(local, standing))
    }

    /// Every effect happens at most once, and is taken back at most once and only after it.
    fn wrong_cell(&self, cell: &Cell) -> Option<String> {
        let name = || self.name(cell.step);
        let yes_and_no = |direction| {
            cell.has(Message::Reply(direction, Said::Done))
                && cell.has(Message::Reply(direction, Said::Refused))
        };
        if cell.effects > 1 {
            Some(format!("{} is done twice [once]", name()))
        } else if cell.undos > cell.effects {
            Some(format!("{} is undone more often than it was done [once]", name()))
        } else if yes_and_no(Direction::Do) || yes_and_no(Direction::Close) {
            Some(format!("{} is answered with yes and with no [truth]", name()))
        } else {
            None
        }
    }

    /// What was asked for is a step of the saga, as it was asked for.
    fn forgotten(&self, local: &Local, standing: &Standing) -> Option<String> {
        let cell = local.cells.iter().find(|cell| !standing.known.contains(&cell.step))?;
        let (name, plan) = (self.name(cell.step), &self.plans[standing.plan as usize]);
        Some(format!("{name} was asked for, and {} has no such step [memory]", plan.reference()))
    }

    /// What the saga knows of a step is true, and stays true whatever arrives late.
    fn wrong_knowledge(&self, local: &Local, standing: &Standing) -> Option<String> {
        let is_not = |cell: &&Cell| cell.effects == 0 || cell.undos > 0;
        let stands = |cell: &&Cell| {
            let stands = cell.effects > cell.undos && !self.is_harmless(cell.step);
            // Whoever made a call that landed late is still there, or comes again, to take it back.
            (stands && !cell.outside.is_busy()) || self.is_child_under_way(cell)
        };
        let cell = |step: &u32| local.cell(*step);
        if let Some(cell) = standing.done.iter().filter_map(cell).find(is_not) {
            let name = self.name(cell.step);
            return Some(format!("the saga takes {name} for done, and it is not [truth]"));
        }
        let cell = standing.not_done.iter().filter_map(cell).find(stands)?;
        let name = self.name(cell.step);
        Some(format!("the saga takes {name} for not done or undone, and its effect stands [truth]"))
    }

    /// A completed saga has every step done, a compensated one none that can be undone; neither awaits anything.
    pub(super) fn wrong_end(&self, instance: &Instance) -> Option<String> {
        let status = instance.state.status();
        let records = instance.state.steps();
        if status.is_terminal()
            && let Some(open) = records.iter().find(|record| record.state.is_awaited())
        {
            return Some(format!("the saga has ended, and nobody knows what became of {} [end]", open.name));
        }
        match &instance.state {
            State::Completed(_) | State::Provisional(_) => {
                self.wrong_completed(self.plan_of(instance).1, records)
            }
            State::Compensated(_) => self.wrong_compensated(self.plan_of(instance).1, records),
            State::Running(_) | State::Compensating(_) | State::Parked(_) => None,
        }
    }

    fn wrong_completed(&self, plan: &Plan, records: &[StepRecord]) -> Option<String> {
        let is_missing = |step: &&StepPlan| {
            step.items_at_once.is_none() && !records.iter().any(|record| record.name == step.name)
        };
        let missing = plan.steps().iter().find(is_missing).map(|step| &step.name);
        let is_open = |record: &&StepRecord| !matches!(record.state, StepState::Done(_) | StepState::Skipped);
        let open = || records.iter().find(is_open).map(|record| &record.name);
        missing.or_else(open).map(|step| format!("the saga is completed without {step} [end]"))
    }

    fn wrong_compensated(&self, plan: &Plan, records: &[StepRecord]) -> Option<String> {
        let stands = |record: &&StepRecord| {
            let step = plan.position_of(&record.name).map(|place| &plan.steps()[place]);
            let can_be_undone = step.is_some_and(|step| !matches!(step.role, Role::NothingToUndo));
            can_be_undone && matches!(record.state, StepState::Done(_))
        };
        let standing = records.iter().find(stands)?;
        Some(format!("the saga is compensated with {} [end]", standing.name))
    }

    /// What is awaited has a timer, or the loss of one message would be the end of it.
    fn wrong_timers(&self, local: &Local, standing: &Standing) -> Option<String> {
        let is_unarmed = |step: u32| !local.cell(step).is_some_and(Cell::is_armed);
        let (step, _) = standing.awaited.iter().find(|(step, _)| is_unarmed(*step))?;
        (standing.status != Status::Parked)
            .then(|| format!("{} is awaited without a timer [loss]", self.name(*step)))
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
            self.given(world).map(|local| self.instances.value(local.instance)).collect();
        let scene = Scene { model: &*model, sagas: &sagas };
        let broken = |condition: &&Condition<M>| !(condition.holds)(&scene);
        let ended = sagas.iter().all(|saga| saga.state.status().is_terminal());
        let finals = || self.finals.iter().filter(|_| ended).find(broken);
        let broken = self.invariants.iter().find(broken).or_else(finals)?;
        Some(format!("{NOT_SO}{}", broken.name))
    }
}

/// What is sent goes to whoever takes the step's commands: its fence alone knows what became of it.
pub(super) fn wrong_address(plan: &Plan, effect: &Effect) -> Option<String> {
    let Effect::Send { step, direction, destination, command_type, .. } = effect else { return None };
    let planned = &plan.steps()[plan.position_of(step)?];
    let command = planned.command()?;
    let wanted = match direction {
        Direction::Do | Direction::Close => &command.command_type,
        Direction::Undo => &planned.undo()?.command_type,
    };
    (*destination != command.destination() || command_type != wanted)
        .then(|| format!("{direction} {step} is sent as {command_type} to {destination} [address]"))
}

/// Begins what is said of a condition that does not hold. Conditions are named by sentences.
pub(super) const NOT_SO: &str = "it is not so that ";
