//! A saga and its participants over a network that loses, doubles, delays and reorders everything.
//!
//! The invariants are those of the hazards that the protocol is made against: S3 at most once, S4 terminal truth,
//! S5 decision order, S6 compensation order, S17 replay. They are checked after every move, the last one at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, cancel, compensate, replied, resolve, resolve_not_done, retry, timer};
use super::participants::{Handler, Participants};
use super::topology::{Diary, Shape};
use crate::definition::{Role, StepPlan, Work};
use crate::fence::FenceState;
use crate::id::{Direction, StepName};
use crate::machine::{Applied, Cause, Event, Ignored, Resolution, Status, StepState};
use crate::message::{Answer, Payload};

/// One thing that happens. Numbers choose among what there is at that moment.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// A command arrives; a copy may stay on its way.
    Command { which: usize, copied: bool, handler: Handler },
    /// A command is lost.
    LoseCommand { which: usize },
    /// A reply arrives; a copy may stay on its way.
    Reply { which: usize, copied: bool },
    /// A reply is lost.
    LoseReply { which: usize },
    /// A timer fires.
    Timer { which: usize },
    /// A signal comes, twice: a yes or a no.
    Signal { which: usize, yes: bool },
    /// Somebody cancels the saga.
    Cancel,
    /// An operator intervenes.
    Operator { verb: Verb, which: usize },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Retry,
    Compensate,
    /// Only ever said if it is true.
    ResolveDone,
    /// Believed true when said, but the command may still be on its way; only the last word of all must be true.
    ResolveNotDone,
}

pub(super) struct World {
    begun: Case,
    case: Case,
    participants: Participants,
    commands: Vec<(StepName, Direction, u32)>,
    replies: Vec<Event>,
    /// What the saga knows to be refused.
    refused: BTreeSet<StepName>,
    /// The first signal that each step was given.
    given: BTreeMap<StepName, Payload>,
    /// What has been asked of each step.
    asked: BTreeSet<(StepName, Direction)>,
    /// What was seen to happen, so that a test can tell whether it tested anything.
    pub(super) seen: BTreeSet<&'static str>,
}

impl World {
    pub(super) fn of(shape: &Shape) -> Self {
        let case = Case::with(&shape.definition(), &Diary::default());
        let (commands, replies, participants) = (Vec::new(), Vec::new(), Participants::default());
        let (refused, given, asked, seen) =
            (BTreeSet::new(), BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let begun = case.clone();
        let mut world = World { begun, case, participants, commands, replies, refused, given, asked, seen };
        world.send();
        world
    }

    pub(super) fn make(&mut self, happening: &Move) {
        match *happening {
            Move::Command { which, copied, handler } => {
                if let Some((step, direction, attempt)) = pick(&mut self.commands, which, copied) {
                    self.handle(&step, direction, attempt, handler);
                }
            }
            Move::LoseCommand { which } => drop(pick(&mut self.commands, which, false)),
            Move::Reply { which, copied } => {
                if let Some(reply) = pick(&mut self.replies, which, copied) {
                    self.happen_twice(&reply);
                }
            }
            Move::LoseReply { which } => drop(pick(&mut self.replies, which, false)),
            Move::Timer { which } => self.fire(which),
            Move::Signal { which, yes } => self.give(which, yes),
            Move::Cancel => self.happen(&cancel()),
            Move::Operator { verb, which } => self.operate(verb, which),
        }
        self.check();
    }

    /// From here on nothing is lost and nothing fails, so the saga must end.
    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            let ended = self.case.status().is_terminal();
            self.make(&match () {
                () if !self.replies.is_empty() => Move::Reply { which: 0, copied: false },
                () if !self.commands.is_empty() => {
                    Move::Command { which: 0, copied: false, handler: Handler::Does }
                }
                () if !self.case.timers.is_empty() => Move::Timer { which: 0 },
                () if ended => return self.end(),
                () => Move::Operator { verb: Verb::Retry, which: 0 },
            });
        }
        panic!("no end is in sight of {:?}", self.case.saga.state);
    }

    fn handle(&mut self, step: &StepName, direction: Direction, attempt: u32, handler: Handler) {
        let place = self.case.plan.position_of(step).unwrap();
        let role = self.case.plan.steps()[place].role.clone();
        let known = self.participants.fence(step).is_some();
        let answer = self.participants.handle(step, &role, direction, handler);
        self.note(!known && direction == Direction::Undo, "an undo overtook its command");
        self.note(direction == Direction::Do && answer == Answer::Closed, "a command came after its undo");
        let done = matches!(answer, Answer::Done(_));
        self.note(direction == Direction::Close && done, "a close found its step done");
        self.replies.push(replied(step.as_str(), direction, attempt, answer));
    }

    fn fire(&mut self, which: usize) {
        if self.case.timers.is_empty() {
            return;
        }
        let (step, (direction, attempt, after)) =
            self.case.timers.iter().nth(which % self.case.timers.len()).unwrap();
        let event = timer(step.as_str(), *direction, *attempt);
        self.case.now = self.case.now.plus(*after);
        self.happen_twice(&event);
    }

    /// Gives a step its signal, and again: the first time counts, and the second changes nothing.
    fn give(&mut self, which: usize, yes: bool) {
        let waits = self.case.plan.steps().iter().filter(|step| matches!(step.work, Work::Signal { .. }));
        let Some(step) = waits.map(|step| step.name.clone()).nth(which) else { return };
        let signal = Payload::encode(&yes).unwrap();
        let event = Event::Signalled { step: step.clone(), signal: signal.clone() };
        let entered = self.case.saga.state.steps().iter().any(|record| record.name == step);
        let moved = matches!(self.case.apply(&event), Ok(Applied::Moved(_)));
        if moved {
            self.send();
            self.note(!entered, "a signal came early");
            assert_eq!(self.given.insert(step, signal), None, "a second signal was taken");
            assert_eq!(self.case.ignored(&event), Ignored::GivenBefore);
        }
    }

    /// The signals that were given first are those that were taken, unless their steps were skipped.
    fn check_signals(&self) {
        for record in self.case.saga.state.steps() {
            if let (Some(given), StepState::Done(taken)) = (self.given.get(&record.name), &record.state) {
                assert_eq!(given, taken, "{} took another signal", record.name);
            }
        }
    }

    fn operate(&mut self, verb: Verb, which: usize) {
        let awaited: Vec<_> = self.case.saga.state.steps().iter().filter(|r| r.state.is_awaited()).collect();
        let record = (!awaited.is_empty()).then(|| awaited[which % awaited.len()].clone());
        let event = match (verb, record) {
            (Verb::Retry, _) => Some(retry()),
            (Verb::Compensate, _) => Some(compensate()),
            (Verb::ResolveDone, Some(record)) => self
                .truly_done(&record.name, &record.state)
                .map(|reply| resolve(record.name.as_str(), Resolution::Done(reply))),
            (Verb::ResolveNotDone, Some(record)) => {
                let last_word = matches!(record.state, StepState::Closing(_))
                    && self.case.status() == Status::Parked
                    && self.case.saga.state.cause().is_none();
                let true_word = !last_word || self.participants.is_out_of_the_world(&record.name);
                true_word.then(|| resolve_not_done(record.name.as_str()))
            }
            (Verb::ResolveDone | Verb::ResolveNotDone, None) => None,
        };
        if let Some(event) = event {
            self.note(self.case.status() == Status::Parked, "an operator took care of a parked saga");
            self.happen(&event);
        }
    }

    /// What the step has answered, if what is awaited of it is really done.
    fn truly_done(&self, step: &StepName, state: &StepState) -> Option<Payload> {
        match (state.awaited()?.0, self.participants.fence(step)?) {
            (Direction::Do | Direction::Close, FenceState::Applied(reply)) => Some(reply.clone()),
            (Direction::Undo, _) if self.participants.is_out_of_the_world(step) => Some(Payload::default()),
            (Direction::Do | Direction::Close | Direction::Undo, _) => None,
        }
    }

    /// An event that may come twice: the second time it changes nothing.
    fn happen_twice(&mut self, event: &Event) {
        let before = self.case.saga.clone();
        self.happen(event);
        let late_done = matches!(event, Event::Replied { answer: Answer::Done(_), .. });
        let going_back = before.state.cause().is_some();
        self.note(late_done && going_back && self.case.saga == before, "a late done was ignored");
        let after = self.case.clone();
        let ignored = self.case.ignored(event);
        assert_ne!(ignored, Ignored::UnderWay, "{event:?}");
        assert_eq!(self.case.saga, after.saga);
    }

    fn happen(&mut self, event: &Event) {
        let moved = matches!(self.case.apply(event), Ok(Applied::Moved(_)));
        if moved {
            self.send();
            self.check_stale_timers();
        }
    }

    /// Takes what the last transition sent, and sees that it was right to send it.
    fn send(&mut self) {
        let state = &self.case.saga.state;
        let refused = state.steps().iter().filter(|record| record.state == StepState::Refused);
        self.refused.extend(refused.map(|record| record.name.clone()));
        let going_back = state.cause().is_some();
        for (step, direction, attempt) in self.case.outbox.clone() {
            let first = self.asked.insert((step.clone(), direction));
            match direction {
                Direction::Do => assert!(!going_back, "S5: {step} is asked for while going back"),
                Direction::Undo => {
                    assert!(going_back, "S5: {step} is undone while going forward");
                    assert!(!self.refused.contains(&step), "{step} was refused, and is undone");
                    if first {
                        self.check_order(&step);
                    }
                }
                Direction::Close => {}
            }
            self.commands.push((step, direction, attempt));
        }
    }

    /// S6: a step is undone only when no effect of a later group stands or can still come about.
    fn check_order(&self, undone: &StepName) {
        let plan = &self.case.plan;
        let place = plan.position_of(undone).unwrap();
        let group = plan.groups().iter().find(|group| group.contains(&place)).unwrap();
        for (name, later) in self.parts() {
            let earlier = plan.position_of(&name).is_some_and(|place| place < group.end);
            let asked = self.asked.contains(&(name.clone(), Direction::Do));
            let out = earlier || !asked || self.participants.is_out_of_the_world(&name);
            let harmless = matches!(later.role, Role::NothingToUndo);
            assert!(out || harmless, "S6: {undone} is undone before {name}");
        }
    }

    fn check_stale_timers(&mut self) {
        let timers: Vec<_> = self.case.timers.iter().map(|(step, timer)| (step.clone(), *timer)).collect();
        for (step, (direction, attempt, _)) in timers {
            let stale = timer(step.as_str(), direction, attempt - 1);
            let sent = std::mem::take(&mut self.case.outbox);
            assert_eq!(self.case.ignored(&stale), Ignored::StaleTimer);
            self.case.outbox = sent;
        }
    }

    fn check(&self) {
        self.check_signals();
        for (name, step) in self.parts() {
            let (name, ledger) = (&name, self.participants.ledger(&name));
            assert!(ledger.effects <= 1, "S3: {name} took place {} times", ledger.effects);
            assert!(ledger.undos <= ledger.effects, "S3: {name} was undone without an effect");
            match self.case.status() {
                Status::Completed => {
                    let wanted = u32::from(step.command().is_some() && !self.is_skipped(name));
                    assert_eq!((ledger.effects, ledger.undos), (wanted, 0), "S4: {name}");
                }
                Status::Compensated if !matches!(step.role, Role::NothingToUndo) => {
                    assert_eq!(ledger.effects, ledger.undos, "S4: {name} stands");
                }
                Status::Compensated | Status::Running | Status::Compensating => {}
                Status::Provisional | Status::Parked => {}
            }
        }
    }

    /// Every step, and of a step with items every item that it was fixed to.
    fn parts(&self) -> Vec<(StepName, &StepPlan)> {
        let items = |step: &StepPlan| {
            let records = self.case.saga.state.steps().iter().map(|record| record.name.clone());
            records.filter(|name| step.is_item(name)).collect::<Vec<_>>()
        };
        let names = |step: &StepPlan| match step.items_at_once {
            Some(_) => items(step),
            None => vec![step.name.clone()],
        };
        let steps = self.case.plan.steps().iter();
        steps.flat_map(|step| names(step).into_iter().map(move |name| (name, step))).collect()
    }

    fn is_skipped(&self, step: &StepName) -> bool {
        let mut steps = self.case.saga.state.steps().iter();
        steps.any(|record| record.name == *step && record.state == StepState::Skipped)
    }

    /// S17: the journal, folded again, gives the saga as it is.
    fn end(&mut self) {
        let mut again = self.begun.clone();
        for (event, now) in &self.case.journal {
            again.now = *now;
            again.moved(&serde_json::from_str(event).unwrap());
        }
        assert_eq!(again.saga, self.case.saga);
        self.note(again.saga.state.cause() == Some(&Cause::Overdue), "a deadline passed");
        let completed = self.case.status() == Status::Completed;
        self.note(completed, "a saga completed");
        let skipped = self.case.plan.steps().iter().any(|step| self.is_skipped(&step.name));
        self.note(skipped, "a step was skipped");
        let items = self.parts().into_iter().filter(|(_, step)| step.items_at_once.is_some()).count();
        self.note(items > 2, "items came after others");
        self.note(!completed, "a saga was compensated");
    }

    fn note(&mut self, happened: bool, what: &'static str) {
        if happened {
            self.seen.insert(what);
        }
    }
}

/// Takes one of `all`, or a copy of it.
fn pick<T: Clone>(all: &mut Vec<T>, which: usize, copied: bool) -> Option<T> {
    match all.len() {
        0 => None,
        count if copied => Some(all[which % count].clone()),
        count => Some(all.remove(which % count)),
    }
}
