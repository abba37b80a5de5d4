//! One saga under test: what was sent, which timers run, and checks that hold after every transition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::contract::Approval;
use crate::definition::{Definition, Plan, Saga, ScriptError};
use crate::id::{Destination, Direction, MessageId, SagaId, StepName};
use crate::machine::{
    Applied, Decision, Effect, Event, Ignored, Instance, Parent, Resolution, Status, Stored, Transition,
    TransitionError, apply, start, start_by,
};
use crate::message::{Answer, Fault, Payload, TraceParent};
use crate::policy::Timestamp;

/// A timer: what is awaited, which attempt, and how long.
type Timer = (Direction, u32, Duration);

/// What was last sent of a step in a direction.
type Message = (String, Payload);

#[derive(Clone)]
pub(super) struct Case {
    pub(super) plan: Arc<Plan>,
    pub(super) saga: Instance,
    pub(super) now: Timestamp,
    pub(super) timers: BTreeMap<StepName, Timer>,
    /// What the last transition sent: `do reserve`, or `do reserve #2` for a second attempt.
    pub(super) sent: Vec<String>,
    /// The same, in parts.
    pub(super) outbox: Vec<(StepName, Direction, u32)>,
    /// What moved the saga, and when, as a journal keeps it.
    pub(super) journal: Vec<(String, Timestamp)>,
    messages: BTreeMap<(StepName, Direction), Message>,
}

impl Case {
    pub(super) fn of(definition: &Definition<impl Saga>) -> Self {
        Case::with(definition, &super::contract::Order::default())
    }

    pub(super) fn with(definition: &Definition<impl Saga>, data: &impl Serialize) -> Self {
        Case::begun(definition, data, start)
    }

    /// A saga that another one runs, or takes back before it has begun.
    pub(super) fn run_by(definition: &Definition<impl Saga>, asks: Direction) -> Self {
        let data = super::contract::Order::default();
        Case::begun(definition, &data, |plan, id, data, trace, now| {
            start_by(plan, id, parent(Some(asks)), data, trace, now)
        })
    }

    fn begun(
        definition: &Definition<impl Saga>,
        data: &impl Serialize,
        start: impl FnOnce(&Plan, SagaId, Payload, TraceParent, Timestamp) -> Result<Transition, ScriptError>,
    ) -> Self {
        let id = SagaId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
        let trace = TraceParent::of_message(id, MessageId::from_uuid(id.as_uuid()));
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let data = Payload::encode(data).unwrap();
        let begun = start(definition.plan(), id, data, trace, now).unwrap();
        let (plan, timers, messages) = (definition.plan().clone(), BTreeMap::new(), BTreeMap::new());
        let (sent, outbox, journal) = (Vec::new(), Vec::new(), Vec::new());
        let mut case = Case { plan, saga: begun.next, now, timers, sent, outbox, journal, messages };
        case.take(begun.effects);
        case
    }

    /// Applies an event, and checks what must hold after each one.
    pub(super) fn apply(&mut self, event: &Event) -> Result<Applied, TransitionError> {
        let applied = apply(&self.plan, &self.saga, event, self.now)?;
        self.sent.clear();
        self.outbox.clear();
        if let Applied::Moved(transition) = &applied {
            assert_eq!(transition.next.version, self.saga.version + 1, "versions follow one another");
            self.saga = transition.next.clone();
            self.journal.push((serde_json::to_string(event).unwrap(), self.now));
            self.take(transition.effects.clone());
        }
        Ok(applied)
    }

    /// Applies an event that moves the saga.
    pub(super) fn moved(&mut self, event: &Event) -> Decision {
        match self.apply(event) {
            Ok(Applied::Moved(transition)) => transition.decision,
            other => panic!("{event:?} did not move {:?}: {other:?}", self.saga.state),
        }
    }

    /// Applies an event that is ignored.
    pub(super) fn ignored(&mut self, event: &Event) -> Ignored {
        match self.apply(event) {
            Ok(Applied::Ignored(ignored)) => ignored,
            other => panic!("{event:?} was not ignored in {:?}: {other:?}", self.saga.state),
        }
    }

    /// Applies an event that is refused.
    pub(super) fn refused(&mut self, event: &Event) -> TransitionError {
        match self.apply(event) {
            Err(error) => error,
            Ok(applied) => panic!("{event:?} was not refused in {:?}: {applied:?}", self.saga.state),
        }
    }

    /// An answer to the present attempt of what `step` awaits.
    pub(super) fn answer(&mut self, step: &str, answer: Answer) -> Decision {
        let event = self.answer_event(step, answer);
        self.moved(&event)
    }

    pub(super) fn answer_event(&self, step: &str, answer: Answer) -> Event {
        let (direction, attempt) = self.awaited(step).unwrap_or_else(|| panic!("{step} is not awaited"));
        replied(step, direction, attempt, answer)
    }

    pub(super) fn done(&mut self, step: &str) -> Decision {
        self.answer(step, done(7))
    }

    /// Lets the timer of `step` fire, when it is due.
    pub(super) fn time_out(&mut self, step: &str) -> Decision {
        let (direction, attempt, after) = self.timers[&name(step)];
        self.now = self.now.plus(after);
        self.moved(&timer(step, direction, attempt))
    }

    /// Lets the timer of `step` fire until nothing of it is awaited in the same direction, at most 50 times.
    pub(super) fn exhaust(&mut self, step: &str) {
        let (direction, _) = self.awaited(step).unwrap();
        for _ in 0..50 {
            self.time_out(step);
            if self.awaited(step).is_none_or(|(now, _)| now != direction) || self.status() == Status::Parked {
                return;
            }
        }
        panic!("{step} is asked for ever");
    }

    pub(super) fn status(&self) -> Status {
        self.saga.state.status()
    }

    /// Why the saga is parked.
    pub(super) fn reason(&self) -> &str {
        let state = &self.saga.state;
        state.parked().unwrap_or_else(|| panic!("not parked: {state:?}"))
    }

    /// What `step` awaits, and which attempt.
    pub(super) fn awaited(&self, step: &str) -> Option<(Direction, u32)> {
        let record = self.saga.state.steps().iter().find(|record| record.name.as_str() == step)?;
        record.state.awaited().map(|(direction, asked)| (direction, asked.attempt))
    }

    pub(super) fn data<S: Saga>(&self) -> S {
        self.saga.data.decode().unwrap()
    }

    /// The body that was last sent of `step` in a direction.
    pub(super) fn body(&self, step: &str, direction: Direction) -> serde_json::Value {
        self.messages[&(name(step), direction)].1.decode().unwrap()
    }

    fn take(&mut self, effects: Vec<Effect>) {
        let mut changed = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { step, direction, attempt, command_type, body, destination, trace } => {
                    let again = if attempt > 1 { format!(" #{attempt}") } else { String::new() };
                    self.sent.push(format!("{direction} {step}{again}"));
                    self.outbox.push((step.clone(), direction, attempt));
                    let message = (format!("{command_type} {destination} {}", trace.as_str()), body);
                    let first = self.messages.entry((step, direction)).or_insert_with(|| message.clone());
                    assert_eq!(*first, message, "a resend is the same message");
                }
                Effect::Notify { step, topics, body, .. } => {
                    let topics: Vec<&str> = topics.iter().map(|topic| topic.as_str()).collect();
                    self.sent.push(format!("tell {step} to {}", topics.join(" and ")));
                    let told = self.messages.insert((step, Direction::Do), (String::new(), body));
                    assert!(told.is_none(), "a notification is sent once");
                }
                Effect::Answer { direction, answer } => {
                    assert_eq!(answer, self.saga.answer(direction), "an answer is that of the table");
                    self.sent.push(format!("answer {direction} with {}", answer.name()));
                }
                Effect::Release { step, destination, .. } => {
                    self.sent.push(format!("release {step} at {destination}"));
                }
                Effect::Arm { step, direction, attempt, after } => {
                    changed.push(step.clone());
                    self.timers.insert(step, (direction, attempt, after));
                }
                Effect::Disarm { step } => {
                    changed.push(step.clone());
                    self.timers.remove(&step);
                }
            }
        }
        let count = changed.len();
        changed.sort();
        changed.dedup();
        assert_eq!(changed.len(), count, "a transition changes a timer at most once");
        self.check_timers();
        self.check_storage();
    }

    /// A timer runs for exactly what is awaited, unless the saga is parked, waits for its parent, or has ended.
    fn check_timers(&self) {
        let waits = matches!(self.status(), Status::Parked | Status::Provisional);
        let at_rest = waits || self.status().is_terminal();
        let awaited = self.saga.state.steps().iter().filter(|_| !at_rest).filter_map(|record| {
            let (direction, asked) = record.state.awaited()?;
            Some((record.name.clone(), (direction, asked.attempt)))
        });
        let timers = self.timers.iter().map(|(step, timer)| (step.clone(), (timer.0, timer.1)));
        assert_eq!(timers.collect::<BTreeMap<_, _>>(), awaited.collect(), "{:?}", self.saga.state);
        assert!(at_rest || !self.timers.is_empty(), "nothing would ever move {:?}", self.saga.state);
    }

    /// What is stored reads back as the same saga.
    fn check_storage(&self) {
        let read = Instance::decode(stored(&self.saga)).unwrap();
        assert_eq!(read, self.saga);
    }
}

/// What a store holds of a saga.
pub(super) fn stored(saga: &Instance) -> Stored {
    let Instance { id, definition, version, state, data, .. } = saga.clone();
    let parked = state.parked().map(str::to_owned);
    let (status, data, state) = (state.status(), data.as_bytes().clone(), saga.encode_state());
    Stored { id, definition, version, status, state, data, parked }
}

/// The parent of every saga here that has one, as it stands when it asks for this.
pub(super) fn parent(asks: Option<Direction>) -> Parent {
    let saga = SagaId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0007));
    Parent { saga, step: name("order"), reply_to: replies(), attempt: 1, asks }
}

fn replies() -> Destination {
    Destination::new("parents.replies").unwrap()
}

/// What the parent asks for.
pub(super) fn asked(direction: Direction, attempt: u32) -> Event {
    Event::Asked { direction, attempt, reply_to: replies() }
}

pub(super) fn name(step: &str) -> StepName {
    StepName::new(step).unwrap()
}

pub(super) fn replied(step: &str, direction: Direction, attempt: u32, answer: Answer) -> Event {
    Event::Replied { step: name(step), direction, attempt, answer }
}

pub(super) fn timer(step: &str, direction: Direction, attempt: u32) -> Event {
    Event::TimerDue { step: name(step), direction, attempt }
}

pub(super) fn done(reply: u64) -> Answer {
    Answer::Done(Payload::encode(&reply).unwrap())
}

pub(super) fn no(why: &str) -> Answer {
    Answer::Refused(Payload::encode(&why).unwrap())
}

pub(super) fn temporary() -> Answer {
    Answer::Fault(Fault::temporary("the database is away"))
}

pub(super) fn permanent() -> Answer {
    Answer::Fault(Fault::permanent("a bug"))
}

pub(super) fn cancel() -> Event {
    Event::Cancel { reason: "changed my mind".into() }
}

pub(super) fn retry() -> Event {
    Event::Retry { reason: "fixed it".into() }
}

pub(super) fn compensate() -> Event {
    Event::Compensate { reason: "give it up".into() }
}

/// What a human decides about a step.
pub(super) fn signal(step: &str, approval: Approval) -> Event {
    Event::Signalled { step: name(step), signal: Payload::encode(&approval).unwrap() }
}

pub(super) fn resolve(step: &str, resolution: Resolution) -> Event {
    Event::Resolve { step: name(step), resolution, reason: "asked them by phone".into() }
}

/// An operator's word that what is awaited is done, with the reply 9.
pub(super) fn resolve_done(step: &str) -> Event {
    resolve(step, Resolution::Done(Payload::encode(&9_u64).unwrap()))
}

pub(super) fn resolve_not_done(step: &str) -> Event {
    resolve(step, Resolution::NotDone)
}
