//! Sagas that steps run. Each has a place in the world from when it begins, and stands in for its parent's fence row.
//!
//! What is decided of them is what production decides: `machine::start_by`, `machine::apply`, and `Instance::answer`.

use std::hash::Hash;
use std::sync::Arc;

use saga_core::definition::{Plan, ScriptError, StepPlan};
use saga_core::fence::FenceState;
use saga_core::id::{Destination, Direction, MessageId};
use saga_core::machine::{Event, Instance, Parent, Status, Transition, start_by};
use saga_core::message::{Answer, Payload, TraceParent};
use saga_core::policy::Timestamp;

use super::orchestrator::{Asked, Moment, Outcome, Stimulus, plain};
use super::rules::Rules;
use super::walker::{Happening, Move, Reached, Walker};
use super::world::{Cell, Local, Message, NONE, World};

/// What a parent's command comes to.
#[derive(Clone, Debug)]
pub(super) enum Answered {
    /// The saga begins, or never will.
    Begins(Box<Transition>),
    /// It is there: the machine decides, and if nothing moves, this is the answer.
    Is(Answer),
}

/// How an orchestrator takes a command of a parent's: of the saga that is there, if it is.
pub(super) type Ask = fn(&Plan, Option<&Instance>, Parent, &Payload) -> Result<Answered, ScriptError>;

/// What production does: the first command begins the saga, and any other is answered from where it stands.
pub(super) fn ask(
    plan: &Plan,
    child: Option<&Instance>,
    parent: Parent,
    body: &Payload,
) -> Result<Answered, ScriptError> {
    match (child, parent.asks) {
        (Some(child), Some(direction)) => Ok(Answered::Is(child.answer(direction))),
        (Some(_), None) => Ok(Answered::Is(Answer::Running)),
        (None, _) => {
            let id = parent.saga.child(&parent.step);
            let trace = TraceParent::of_message(id, MessageId::from_uuid(id.as_uuid()));
            let begun = start_by(plan, id, parent, body.clone(), trace, Timestamp::from_micros(0))?;
            Ok(Answered::Begins(Box::new(begun)))
        }
    }
}

/// The event that a parent's command is.
pub(super) fn asked(direction: Direction) -> Event {
    Event::Asked { direction, attempt: 1, reply_to: Destination::of(&replies()) }
}

fn replies() -> saga_core::id::ParticipantName {
    saga_core::id::ParticipantName::new("parents").unwrap_or_else(|error| panic!("{error}"))
}

impl<M> Rules<M> {
    /// Sees to it that the definition of every saga that a step runs is there.
    #[track_caller]
    pub(super) fn check_sub_sagas(&self) {
        let steps = self.plans.iter().flat_map(|plan| plan.steps());
        for saga in steps.filter_map(StepPlan::sub_saga) {
            let known = self.plans.iter().any(|plan| plan.reference().name == *saga);
            assert!(known, "add the definition of {saga} with `sub_saga`");
        }
    }

    /// Whether steps run sagas at all.
    pub(super) fn has_sub_sagas(&self) -> bool {
        self.plans.iter().any(|plan| plan.steps().iter().any(|step| step.sub_saga().is_some()))
    }

    /// The definition that a saga follows which this step runs, if it runs one: the oldest version.
    pub(super) fn sub_saga(&self, step: u32) -> Option<&Arc<Plan>> {
        let saga = self.step(step).sub_saga()?;
        self.plans.iter().find(|plan| plan.reference().name == *saga)
    }

    /// The sagas that were given.
    pub(super) fn given<'w>(&self, world: &'w World) -> impl Iterator<Item = &'w Local> {
        world.sagas[..self.given].iter()
    }

    /// The place of the saga that a step runs.
    fn child(&self, saga: usize, step: u32) -> usize {
        self.given + self.children.number((saga, step)) as usize
    }

    /// The place of the saga that runs the one in this place, and the number of the step.
    pub(super) fn parent(&self, slot: usize) -> Option<(usize, u32)> {
        slot.checked_sub(self.given).map(|child| *self.children.value(child as u32))
    }

    /// What a trace calls the saga in this place.
    pub(super) fn called(&self, slot: usize) -> String {
        match self.parent(slot) {
            None => format!("saga {}", slot + 1),
            Some((parent, step)) => format!("{} of {}", self.name(step), self.called(parent)),
        }
    }

    /// Whether a step has run a saga that is neither through nor taken back.
    pub(super) fn is_child_under_way(&self, cell: &Cell) -> bool {
        cell.row != NONE
            && self.step(cell.step).sub_saga().is_some()
            && *self.rows.value(cell.row) == FenceState::Started
    }

    /// Writes down in the parent's part of the world where its child stands, and what it answers.
    pub(super) fn tell_parent(
        &self,
        world: &mut World,
        slot: usize,
        effects: &[Asked],
    ) -> Result<(), String> {
        let Some((parent, step)) = self.parent(slot) else { return Ok(()) };
        let child = world.instance(slot);
        let cell = world.sagas[parent].cell_mut(step);
        if child != NONE {
            let row = row(&self.instances.value(child));
            cell.effects = cell.effects.max(u8::from(matches!(row, FenceState::Applied(_))));
            cell.undos = cell.undos.max(cell.effects.min(u8::from(row == FenceState::Compensated)));
            cell.row = self.rows.number(row);
        }
        effects.iter().try_for_each(|effect| answer(cell, effect))
    }
}

/// The fence row that a saga stands for.
fn row(child: &Instance) -> FenceState {
    match (child.state.status(), child.answer(Direction::Do), child.answer(Direction::Close)) {
        (Status::Compensated, Answer::Refused(why), _) => FenceState::Refused(why),
        (Status::Compensated, _, Answer::Closed) => FenceState::Closed,
        (Status::Compensated, _, _) => FenceState::Compensated,
        (_, Answer::Done(data), _) => FenceState::Applied(data),
        (_, _, _) => FenceState::Started,
    }
}

/// Puts an answer of a child's among the messages of its parent's step.
fn answer(cell: &mut Cell, effect: &Asked) -> Result<(), String> {
    let Asked::Answer { direction, said, body } = *effect else { return Ok(()) };
    if body != NONE && cell.said != NONE && cell.said != body {
        return Err("a saga gives its parent two different answers [truth]".into());
    }
    cell.said = if body == NONE { cell.said } else { body };
    *cell = cell.with(Message::Reply(direction, said));
    Ok(())
}

impl<M: Clone + Eq + Hash> Walker<'_, M> {
    /// Delivers what a step has sent to the saga that it runs.
    pub(super) fn ask_child(
        &mut self,
        world: &World,
        saga: usize,
        cell: &Cell,
        next: &mut Vec<(Move, Reached)>,
    ) {
        let slot = self.rules.child(saga, cell.step);
        for direction in Message::commands().filter(|direction| cell.has(Message::Command(*direction))) {
            let fails = world.instance(slot) != NONE && self.code_fails();
            for moment in [Moment::Early].into_iter().chain(fails.then_some(Moment::Failing)) {
                let happening = Happening::Hear(Stimulus::Asked(direction), moment);
                match self.asked(world, slot, direction, moment) {
                    Ok(reached) if reached == *world => {}
                    reached => next.push((Move { saga: slot, happening }, reached)),
                }
            }
        }
        if cell.has(Message::Release) && world.instance(slot) != NONE {
            self.hear(world, slot, Stimulus::Released, Moment::Early, next);
        }
    }

    fn asked(&self, world: &World, slot: usize, direction: Direction, moment: Moment) -> Reached {
        let rules = self.rules;
        let Some((parent, step)) = rules.parent(slot) else { return Ok(world.clone()) };
        let Some(plan) = rules.sub_saga(step) else { return Ok(world.clone()) };
        let body = world.sagas[parent].cell(step).map_or(NONE, |cell| cell.body(direction));
        let child = world.instance(slot);
        let child = (child != NONE).then(|| rules.instances.value(child));
        let parent = Parent {
            saga: rules.instances.value(world.sagas[parent].instance).id,
            step: rules.name(step),
            reply_to: Destination::of(&replies()),
            attempt: 1,
            asks: Some(direction),
        };
        let answered = (rules.ask)(plan, child.as_deref(), parent, &rules.payload(body));
        match answered.map_err(|error| error.to_string())? {
            Answered::Begins(transition) => {
                let Transition { next, effects, .. } = *transition;
                let effects: Vec<Asked> =
                    effects.iter().filter_map(|effect| rules.asked(&next, effect)).collect();
                rules.moved(world, slot, rules.instances.number(plain(next)), &effects)
            }
            Answered::Is(answer) => self.moved_or_answered(world, slot, direction, &answer, moment),
        }
    }

    /// If the machine moves the saga for what its parent asks, that; otherwise the answer.
    fn moved_or_answered(
        &self,
        world: &World,
        slot: usize,
        direction: Direction,
        answer: &Answer,
        moment: Moment,
    ) -> Reached {
        let (rules, child) = (self.rules, world.instance(slot));
        let outcome = match child {
            NONE => Outcome::Nothing,
            child => rules.happen(child, Stimulus::Asked(direction), moment),
        };
        match outcome {
            Outcome::Nothing if moment == Moment::Failing => Ok(world.clone()),
            Outcome::Nothing => {
                let answer = rules.answered(direction, answer);
                let mut world = world.clone();
                rules.tell_parent(&mut world, slot, answer.as_slice()).map(|()| world)
            }
            Outcome::Moved { instance, effects } => rules.moved(world, slot, instance, &effects),
            Outcome::Wrong(wrong) => Err(wrong),
        }
    }
}
