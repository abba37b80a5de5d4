//! From one world to the next ones.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use saga_core::definition::Role;
use saga_core::fence::FenceState;
use saga_core::id::Direction;
use saga_core::machine::Status;

use super::Faults;
use super::external::Outward;
use super::orchestrator::{Asked, Moment, Outcome, Standing, Stimulus};
use super::participants::{Did, Taken};
use super::rules::Rules;
use super::world::{Cell, Fast, Local, Message, NONE, Said, World};

/// One thing that happens to one saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) saga: usize,
    pub(super) happening: Happening,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// A participant takes a command, for the first time or again.
    Take { step: u32, direction: Direction, did: Did, said: Option<Said>, body: u32 },
    /// Something happens to the calls of a step, outside of all transactions.
    Outside { step: u32, outward: Outward },
    /// Something reaches the orchestrator, at a moment.
    Hear(Stimulus, Moment),
}

/// Where a move leads, or what is wrong with it.
pub(super) type Reached = Result<World, String>;

/// What a participant may do with a command, or why it can do nothing.
type Choices = Result<Vec<Taken>, String>;

/// Walks from world to world, and remembers what the machine and the participants said before: both are pure.
pub(super) struct Walker<'a, M> {
    pub(super) rules: &'a Rules<M>,
    outcomes: HashMap<(u32, Stimulus, Moment), Arc<Outcome>, Fast>,
    standings: HashMap<u32, Arc<Standing>, Fast>,
    taken: HashMap<(u32, Question), Arc<Choices>, Fast>,
    rows: HashMap<u32, Row, Fast>,
    has_sub_sagas: bool,
}

/// What a participant's answers depend on, beside the model.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    step: u32,
    row: u32,
    direction: Direction,
    body: u32,
}

/// What a fence row says to an operator who looks at it.
#[derive(Clone, Copy)]
struct Row {
    /// The reply, if the work is done.
    reply: Option<u32>,
    out_of_the_world: bool,
}

impl<'a, M: Clone + Eq + Hash> Walker<'a, M> {
    pub(super) fn new(rules: &'a Rules<M>) -> Self {
        Walker {
            rules,
            outcomes: HashMap::default(),
            standings: HashMap::default(),
            taken: HashMap::default(),
            rows: HashMap::default(),
            has_sub_sagas: rules.has_sub_sagas(),
        }
    }

    /// Everything that may happen next and changes something, always in the same order.
    pub(super) fn next(&mut self, world: &World) -> Vec<(Move, Reached)> {
        let mut next = Vec::new();
        for saga in 0..world.sagas.len() {
            if !world.sagas[saga].is_there() {
                continue;
            }
            self.deliver_commands(world, saga, &mut next);
            self.deliver_replies(world, saga, &mut next);
            self.let_time_pass(world, saga, &mut next);
            self.interfere(world, saga, &mut next);
        }
        next
    }

    fn deliver_commands(&mut self, world: &World, saga: usize, next: &mut Vec<(Move, Reached)>) {
        let rules = self.rules;
        for cell in &world.sagas[saga].cells {
            if self.has_sub_sagas && rules.step(cell.step).sub_saga().is_some() {
                self.ask_child(world, saga, cell, next);
                continue;
            }
            let sent = Message::commands().filter(|direction| cell.has(Message::Command(*direction)));
            if rules.is_external(cell.step) {
                next.extend(self.outward(world, saga, cell, sent));
                continue;
            }
            for direction in sent {
                self.take(world, saga, cell, direction, next);
            }
        }
    }

    fn outward(
        &self,
        world: &World,
        saga: usize,
        cell: &Cell,
        sent: impl Iterator<Item = Direction>,
    ) -> impl Iterator<Item = (Move, Reached)> {
        let moves = self.rules.outward(cell, sent).into_iter();
        moves.filter(|(_, after)| after.as_ref() != Ok(cell)).map(move |(outward, after)| {
            let happening = Happening::Outside { step: cell.step, outward };
            (Move { saga, happening }, after.map(|after| with_cell(world, saga, after)))
        })
    }

    fn take(
        &mut self,
        world: &World,
        saga: usize,
        cell: &Cell,
        direction: Direction,
        next: &mut Vec<(Move, Reached)>,
    ) {
        let happening = |did, said, body| Happening::Take { step: cell.step, direction, did, said, body };
        match &*self.taken(world.model, cell, direction) {
            Ok(taken) => {
                for taken in taken {
                    let made = Move { saga, happening: happening(taken.did, taken.said, taken.body) };
                    next.extend(took(world, saga, cell, direction, taken).map(|reached| (made, reached)));
                }
            }
            Err(wrong) => {
                next.push((Move { saga, happening: happening(Did::Answer, None, NONE) }, Err(wrong.clone())));
            }
        }
    }

    fn taken(&mut self, model: u32, cell: &Cell, direction: Direction) -> Arc<Choices> {
        let rules = self.rules;
        let question = Question { step: cell.step, row: cell.row, direction, body: cell.body(direction) };
        let taken = self.taken.entry((model, question));
        taken.or_insert_with(|| Arc::new(rules.take(model, cell, direction))).clone()
    }

    fn deliver_replies(&mut self, world: &World, saga: usize, next: &mut Vec<(Move, Reached)>) {
        let has_deadline = self.has_deadline(&world.sagas[saga]);
        for cell in &world.sagas[saga].cells {
            let sent =
                Message::replies().filter(|(direction, said)| cell.has(Message::Reply(*direction, *said)));
            for (direction, said) in sent {
                let body = match said {
                    Said::Done | Said::Refused => cell.said,
                    Said::Closed | Said::Undone => NONE,
                };
                let reply = Stimulus::Reply { step: cell.step, direction, said, body };
                self.hear(world, saga, reply, Moment::Early, next);
                if has_deadline {
                    self.hear(world, saga, reply, Moment::Overdue, next);
                }
            }
        }
    }

    fn has_deadline(&mut self, local: &Local) -> bool {
        let plan = self.standing(local).plan;
        self.rules.plans[plan as usize].deadline().is_some() && self.rules.faults.contains(Faults::DEADLINE)
    }

    fn let_time_pass(&mut self, world: &World, saga: usize, next: &mut Vec<(Move, Reached)>) {
        let local = &world.sagas[saga];
        let has_deadline = self.has_deadline(local);
        for &(step, direction) in &self.standing(local).awaited {
            let timer = Stimulus::Timer { step, direction };
            let asks = self.rules.sends_command(step);
            let timed = if asks { Faults::UNKNOWN } else { Faults::DEADLINE };
            let passes = self.rules.pauses(step) || self.rules.faults.contains(timed);
            if local.cell(step).is_some_and(Cell::is_armed) && passes {
                self.hear(world, saga, timer, Moment::Early, next);
                self.hear(world, saga, timer, Moment::Spent, next);
            }
            if has_deadline {
                self.hear(world, saga, timer, Moment::Overdue, next);
            }
            if asks && self.rules.faults.contains(Faults::PERMANENT) {
                self.hear(world, saga, Stimulus::PermanentFault { step, direction }, Moment::Early, next);
            }
        }
    }

    /// Processes that know newer versions, whoever gives signals, whoever cancels, and operators, who say nothing that
    /// is not true.
    fn interfere(&mut self, world: &World, saga: usize, next: &mut Vec<(Move, Reached)>) {
        let rules = self.rules;
        let plan = self.standing(&world.sagas[saga]).plan as usize;
        for &to in &rules.newer[plan] {
            self.hear(world, saga, Stimulus::Upgrade { to }, Moment::Early, next);
        }
        let of_saga = |step| rules.place(step).0.reference().name == rules.plans[plan].reference().name;
        for &(step, body) in rules.signals.iter().filter(|(step, _)| of_saga(*step)) {
            self.hear(world, saga, Stimulus::Signal { step, body }, Moment::Early, next);
        }
        if self.rules.faults.contains(Faults::CANCEL) {
            self.hear(world, saga, Stimulus::Cancel, Moment::Early, next);
        }
        if !self.rules.faults.contains(Faults::OPERATOR) {
            return;
        }
        self.hear(world, saga, Stimulus::Retry, Moment::Early, next);
        self.hear(world, saga, Stimulus::Compensate, Moment::Early, next);
        let local = &world.sagas[saga];
        let standing = self.standing(local);
        for &(step, direction) in &standing.awaited {
            let Some(cell) = local.cell(step) else { continue };
            if let Some(body) = self.truly_done(cell, direction) {
                self.hear(world, saga, Stimulus::ResolveDone { step, body }, Moment::Early, next);
            }
            if self.may_say_not_done(&standing, cell, direction) {
                self.hear(world, saga, Stimulus::ResolveNotDone { step }, Moment::Early, next);
            }
        }
    }

    /// What the step has answered, if what is awaited of it is really done.
    fn truly_done(&mut self, cell: &Cell, direction: Direction) -> Option<u32> {
        let row = self.row(cell)?;
        match direction {
            Direction::Do | Direction::Close => row.reply,
            // A row may say that a call is taken back before it is.
            Direction::Undo => (row.out_of_the_world && cell.effects == cell.undos).then_some(NONE),
        }
    }

    fn row(&mut self, cell: &Cell) -> Option<Row> {
        let rules = self.rules;
        let read = || Row {
            reply: match &*rules.rows.value(cell.row) {
                FenceState::Applied(reply) => Some(rules.payloads.number(reply.clone())),
                FenceState::Started | FenceState::Repeated | FenceState::Refused(_) => None,
                FenceState::Compensated | FenceState::Closed => None,
            },
            out_of_the_world: rules.is_out_of_the_world(cell),
        };
        (cell.row != NONE).then(|| *self.rows.entry(cell.row).or_insert_with(read))
    }

    /// An operator may believe that a step was not done while its command is on its way. Only the last word of all
    /// must be true: that on a step of which the saga is parked because even its close was not answered.
    fn may_say_not_done(&mut self, standing: &Standing, cell: &Cell, direction: Direction) -> bool {
        let last_word = direction == Direction::Close && standing.status == Status::Parked;
        let retriable = matches!(self.rules.step(cell.step).role, Role::Retriable);
        !retriable
            && (!last_word || standing.going_back || self.row(cell).is_some_and(|row| row.out_of_the_world))
    }

    /// What is wrong with a state.
    pub(super) fn wrong(&mut self, world: &World) -> Option<String> {
        let rules = self.rules;
        let there = world.sagas.iter().filter(|local| local.is_there());
        let local = there.into_iter().find_map(|local| rules.wrong_local(local, &self.standing(local)));
        local.or_else(|| rules.wrong_scene(world))
    }

    /// Whether every saga has ended, or is parked for good.
    pub(super) fn is_end(&mut self, world: &World) -> bool {
        (0..world.sagas.len()).all(|saga| !world.sagas[saga].is_there() || self.rests(world, saga))
    }

    /// Whether nothing more is to be expected of a saga. One that is through waits for its parent, for good if that
    /// one is parked for good.
    fn rests(&mut self, world: &World, saga: usize) -> bool {
        let parked_for_good = !self.rules.faults.contains(Faults::OPERATOR);
        match (self.standing(&world.sagas[saga]).status, self.rules.parent(saga)) {
            (Status::Completed | Status::Compensated, _) => true,
            (Status::Parked, _) => parked_for_good,
            (Status::Provisional, Some((parent, _))) => {
                let waits = [Status::Parked, Status::Provisional];
                waits.contains(&self.standing(&world.sagas[parent]).status) && self.rests(world, parent)
            }
            (Status::Running | Status::Compensating | Status::Provisional, _) => false,
        }
    }

    pub(super) fn standing(&mut self, local: &Local) -> Arc<Standing> {
        let (rules, instance) = (self.rules, local.instance);
        self.standings.entry(instance).or_insert_with(|| Arc::new(rules.standing(instance))).clone()
    }

    /// Whether the code of sagas fails: that is for good.
    pub(super) const fn code_fails(&self) -> bool {
        self.rules.faults.contains(Faults::PERMANENT)
    }

    pub(super) fn hear(
        &mut self,
        world: &World,
        saga: usize,
        stimulus: Stimulus,
        moment: Moment,
        next: &mut Vec<(Move, Reached)>,
    ) {
        self.hear_at(world, saga, stimulus, moment, next);
        if moment == Moment::Early && self.code_fails() {
            self.hear_at(world, saga, stimulus, Moment::Failing, next);
        }
    }

    fn hear_at(
        &mut self,
        world: &World,
        saga: usize,
        stimulus: Stimulus,
        moment: Moment,
        next: &mut Vec<(Move, Reached)>,
    ) {
        let (rules, instance) = (self.rules, world.sagas[saga].instance);
        let known = self.outcomes.entry((instance, stimulus, moment));
        let outcome = known.or_insert_with(|| Arc::new(rules.happen(instance, stimulus, moment)));
        let reached = match &**outcome {
            Outcome::Nothing => return,
            Outcome::Wrong(wrong) => Err(wrong.clone()),
            Outcome::Moved { instance, effects } => rules.moved(world, saga, *instance, effects),
        };
        if reached.as_ref() != Ok(world) {
            next.push((Move { saga, happening: Happening::Hear(stimulus, moment) }, reached));
        }
    }
}

/// The world after a participant took a command; `None` if that changed nothing.
fn took(world: &World, saga: usize, cell: &Cell, direction: Direction, taken: &Taken) -> Option<Reached> {
    let after = match taken.applied(cell, direction) {
        Ok(after) if after == *cell && taken.model == world.model => return None,
        Ok(after) => after,
        Err(wrong) => return Some(Err(wrong)),
    };
    let mut world = with_cell(world, saga, after);
    world.model = taken.model;
    Some(Ok(world))
}

fn with_cell(world: &World, saga: usize, cell: Cell) -> World {
    let mut world = world.clone();
    *world.sagas[saga].cell_mut(cell.step) = cell;
    world
}

impl<M> Rules<M> {
    /// The world after a transition of a saga.
    pub(super) fn moved(&self, world: &World, saga: usize, instance: u32, effects: &[Asked]) -> Reached {
        let mut world = world.clone();
        let local = world.local_mut(saga);
        local.instance = instance;
        self.take_effects(local, effects)?;
        self.tell_parent(&mut world, saga, effects)?;
        Ok(world)
    }

    pub(super) fn take_effects(&self, local: &mut Local, effects: &[Asked]) -> Result<(), String> {
        effects.iter().try_for_each(|effect| self.take_effect(local, effect))
    }

    fn take_effect(&self, local: &mut Local, effect: &Asked) -> Result<(), String> {
        match *effect {
            // It belongs to the parent's part of the world.
            Asked::Answer { .. } => Ok(()),
            Asked::Release { step } => {
                let cell = local.cell_mut(step);
                *cell = cell.with(Message::Release);
                Ok(())
            }
            Asked::Tell { step } => self.tell(local, step),
            Asked::Send { step, direction, body } => self.send(local, step, direction, body),
            Asked::Arm { step } => {
                let cell = local.cell_mut(step);
                *cell = cell.armed(true);
                Ok(())
            }
            Asked::Disarm { step } => {
                let cell = local.cell_mut(step);
                *cell = cell.armed(false);
                Ok(())
            }
        }
    }

    fn send(&self, local: &mut Local, step: u32, direction: Direction, body: u32) -> Result<(), String> {
        let cell = local.cell_mut(step);
        let again = cell.has(Message::Command(direction));
        if again && direction != Direction::Close && cell.body(direction) != body {
            let name = self.name(step);
            return Err(format!("{direction} {name} is sent again with another body [resend]"));
        }
        *cell = cell.with(Message::Command(direction));
        match direction {
            Direction::Do => cell.command = body,
            Direction::Undo => cell.undo = body,
            Direction::Close => {}
        }
        match direction {
            Direction::Undo if !again => self.wrong_undo(local, step).map_or(Ok(()), Err),
            Direction::Do | Direction::Undo | Direction::Close => Ok(()),
        }
    }
}
