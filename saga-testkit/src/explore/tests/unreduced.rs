//! A saga and its participants with everything that the explorer leaves out: outboxes, a relay that dies between
//! publishing and deleting, exact attempts, faults on their way. Written plainly, and with nothing of the explorer's.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use saga_core::definition::{Plan, Role};
use saga_core::fence::{FenceState, Verdict, decide};
use saga_core::id::{Direction, MessageId, SagaId, StepName};
use saga_core::machine::{Applied, Effect, Event, Instance, State, apply, start};
use saga_core::message::{Answer, Fault, Payload, TraceParent};
use saga_core::policy::Timestamp;
use uuid::Uuid;

use crate::explore::Faults;
use crate::topology::Diary;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Unreduced {
    pub(super) saga: Instance,
    pub(super) fences: BTreeMap<StepName, FenceState>,
    /// How often each step took place, and was taken back.
    pub(super) ledger: BTreeMap<StepName, (u8, u8)>,
    /// Rows that are committed and not deleted, of both sides.
    pub(super) outbox: BTreeSet<Letter>,
    /// Rows that no broker takes.
    pub(super) dead: BTreeSet<Letter>,
    /// Everything that was ever published.
    pub(super) network: BTreeSet<Letter>,
    timers: BTreeMap<StepName, (Direction, u32)>,
    detail: Detail,
}

/// A message. What it says is JSON: the body of a command, or an answer.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Letter {
    pub(super) is_reply: bool,
    pub(super) step: StepName,
    pub(super) direction: Direction,
    pub(super) attempt: u32,
    pub(super) says: String,
}

/// What is looked at closely. Both at once are too many states for a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Detail {
    /// Outboxes, and a relay that dies between publishing and deleting.
    Relay,
    /// The same, but replies are published at once.
    RelayOfCommands,
    /// Attempts up to this one, and temporary and permanent faults on their way.
    Attempts(u32),
}

/// Everything that can be reached.
pub(super) fn reach(plan: &Plan, faults: Faults, detail: Detail) -> HashSet<Unreduced> {
    let first = Unreduced::begin(plan, detail);
    let (mut seen, mut queue) = (HashSet::from([first.clone()]), VecDeque::from([first]));
    while let Some(world) = queue.pop_front() {
        for next in world.next(plan, faults) {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    seen
}

impl Unreduced {
    fn begin(plan: &Plan, detail: Detail) -> Self {
        let id = SagaId::from_uuid(Uuid::from_u128(1));
        let trace = TraceParent::of_message(id, MessageId::from_uuid(id.as_uuid()));
        let data = Payload::encode(&Diary::default()).unwrap();
        let begun = start(plan, id, data, trace, NOW).unwrap();
        let (fences, ledger, timers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (outbox, dead, network) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut world = Unreduced { saga: begun.next, fences, ledger, outbox, dead, network, timers, detail };
        world.saga.version = 0;
        world.commit(&begun.effects);
        world
    }

    fn next(&self, plan: &Plan, faults: Faults) -> Vec<Unreduced> {
        let mut next = Vec::new();
        for letter in &self.outbox {
            let mut published = self.clone();
            published.network.insert(letter.clone());
            next.push(published.clone());
            published.outbox.remove(letter);
            next.push(published);
        }
        for letter in &self.network {
            match letter.is_reply {
                true => next.extend(self.hear(plan, letter)),
                false => self.take(plan, letter, faults, &mut next),
            }
        }
        if faults.contains(Faults::PERMANENT) {
            let letters = self.outbox.union(&self.network).filter(|letter| !letter.is_reply);
            next.extend(letters.filter_map(|letter| self.set_aside(plan, letter)));
        }
        if faults.contains(Faults::UNKNOWN) {
            next.extend(self.timers_due(plan));
        }
        if faults.contains(Faults::CANCEL) {
            next.extend(self.happen(plan, &Event::Cancel { reason: "explored".into() }));
        }
        next
    }

    /// No broker takes a row, so it leaves the outbox and the saga is told.
    fn set_aside(&self, plan: &Plan, letter: &Letter) -> Option<Unreduced> {
        let mut world = self.clone();
        world.dead.extend(world.outbox.take(letter));
        world.happen(plan, &Event::Undeliverable { step: letter.step.clone(), reason: "explored".into() })
    }

    fn hear(&self, plan: &Plan, letter: &Letter) -> Option<Unreduced> {
        let Letter { step, direction, attempt, says, .. } = letter.clone();
        let answer = serde_json::from_str(&says).unwrap();
        self.happen(plan, &Event::Replied { step, direction, attempt, answer })
    }

    fn timers_due<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = Unreduced> + 'a {
        self.timers.iter().filter_map(move |(step, (direction, attempt))| {
            let due = Event::TimerDue { step: step.clone(), direction: *direction, attempt: *attempt };
            let next = self.happen(plan, &due)?;
            let last = next.timers.values().map(|(_, attempt)| *attempt).max();
            (last <= Some(self.attempts_max())).then_some(next)
        })
    }

    /// A step that is asked for ever is asked this often.
    const fn attempts_max(&self) -> u32 {
        match self.detail {
            Detail::Relay | Detail::RelayOfCommands => 1,
            Detail::Attempts(max) => max,
        }
    }

    fn take(&self, plan: &Plan, letter: &Letter, faults: Faults, next: &mut Vec<Unreduced>) {
        let verdict = decide(self.fences.get(&letter.step), letter.direction);
        let runs =
            matches!(verdict, Verdict::Run | Verdict::Undo(_)) && matches!(self.detail, Detail::Attempts(_));
        if runs && faults.contains(Faults::UNKNOWN) {
            next.push(self.fail(letter, Fault::temporary("explored")));
        }
        if runs && faults.contains(Faults::PERMANENT) {
            next.push(self.fail(letter, Fault::permanent("explored")));
        }
        let place = plan.position(&letter.step).unwrap();
        match verdict {
            Verdict::Answer(answer) => next.push(self.answer(letter, None, &answer, (0, 0))),
            Verdict::Record(row, answer) => next.push(self.answer(letter, Some(row), &answer, (0, 0))),
            Verdict::Undo(_) => {
                next.push(self.answer(letter, Some(FenceState::Compensated), &Answer::Undone, (0, 1)));
            }
            Verdict::Run => {
                let (reply, why) = (Payload::encode(&0).unwrap(), Payload::encode(&()).unwrap());
                let row = FenceState::Applied(reply.clone());
                next.push(self.answer(letter, Some(row), &Answer::Done(reply), (1, 0)));
                if faults.contains(Faults::REFUSAL) && !matches!(plan.steps()[place].role, Role::Retriable) {
                    let row = FenceState::Refused(why.clone());
                    next.push(self.answer(letter, Some(row), &Answer::Refused(why), (0, 0)));
                }
            }
        }
    }

    /// One transaction of a participant: the row, the effect, and the reply in its outbox.
    fn answer(&self, letter: &Letter, row: Option<FenceState>, answer: &Answer, did: (u8, u8)) -> Unreduced {
        let mut world = self.clone();
        world.fences.extend(row.map(|row| (letter.step.clone(), row)));
        let (effects, undos) = world.ledger.entry(letter.step.clone()).or_default();
        (*effects, *undos) = (*effects + did.0, *undos + did.1);
        world.store(letter.answered(answer));
        world
    }

    /// A fault leaves no row, and is published past the outbox.
    fn fail(&self, letter: &Letter, fault: Fault) -> Unreduced {
        let mut world = self.clone();
        world.network.insert(letter.answered(&Answer::Fault(fault)));
        world
    }

    fn happen(&self, plan: &Plan, event: &Event) -> Option<Unreduced> {
        let Ok(Applied::Moved(moved)) = apply(plan, &self.saga, event, NOW) else { return None };
        let mut world = self.clone();
        world.saga = moved.next;
        world.saga.version = 0;
        if let State::Parked(parked) = &mut world.saga.state {
            parked.reason.clear();
        }
        world.commit(&moved.effects);
        Some(world)
    }

    fn store(&mut self, letter: Letter) {
        match self.detail {
            Detail::Relay => self.outbox.insert(letter),
            Detail::RelayOfCommands if !letter.is_reply => self.outbox.insert(letter),
            Detail::RelayOfCommands | Detail::Attempts(_) => self.network.insert(letter),
        };
    }

    fn commit(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect.clone() {
                Effect::Send { step, direction, attempt, body, .. } => {
                    let says = body.as_text().to_owned();
                    self.store(Letter { is_reply: false, step, direction, attempt, says });
                }
                Effect::Arm { step, direction, attempt, .. } => {
                    self.timers.insert(step, (direction, attempt));
                }
                Effect::Disarm { step } => {
                    self.timers.remove(&step);
                }
                Effect::Notify { .. } | Effect::Answer { .. } | Effect::Release { .. } => {}
            }
        }
    }
}

impl Letter {
    fn answered(&self, answer: &Answer) -> Letter {
        Letter { is_reply: true, says: serde_json::to_string(answer).unwrap(), ..self.clone() }
    }
}

const NOW: Timestamp = Timestamp::from_micros(0);
