//! One saga, moved by what happens to it, and drawn.

use std::sync::Arc;

use saga_core::definition::Plan;
use saga_core::drawing::Drawing;
use saga_core::id::{Direction, MessageId, SagaId, StepName};
use saga_core::machine::{Applied, Event, Instance, Parent, apply, start, start_by};
use saga_core::message::{Answer, Payload, TraceParent};
use saga_core::policy::Timestamp;
use saga_core::{Definition, DefinitionError};

use crate::shop::Order;

pub(crate) struct Tale {
    plan: Arc<Plan>,
    saga: Instance,
    now: Timestamp,
}

impl Tale {
    pub(crate) fn of(definition: Result<Definition<Order>, DefinitionError>, order: &Order) -> Self {
        let plan = definition.unwrap().plan().clone();
        let (id, data, now) = (id(), Payload::encode(order).unwrap(), Timestamp::default());
        let saga = start(&plan, id, data, trace(id), now).unwrap().next;
        Tale { plan, saga, now }
    }

    pub(crate) fn of_child(definition: Result<Definition<Order>, DefinitionError>, parent: Parent) -> Self {
        let plan = definition.unwrap().plan().clone();
        let (id, data) = (id(), Payload::encode(&Order::default()).unwrap());
        let saga = start_by(&plan, id, parent, data, trace(id), Timestamp::default()).unwrap().next;
        Tale { plan, saga, now: Timestamp::default() }
    }

    /// What follows happens so many seconds after the saga began.
    pub(crate) fn at(self, seconds: i64) -> Self {
        Tale { now: Timestamp::from_micros(seconds * 1_000_000), ..self }
    }

    pub(crate) fn on(mut self, event: &Event) -> Self {
        self.saga = match apply(&self.plan, &self.saga, event, self.now).unwrap() {
            Applied::Moved(transition) => transition.next,
            Applied::Ignored(why) => panic!("{event:?} is ignored: {why:?}"),
        };
        self
    }

    pub(crate) fn done(self, steps: &[&str]) -> Self {
        let done = |tale: Tale, step: &&str| tale.answered(step, Answer::Done(nothing()));
        steps.iter().fold(self, done)
    }

    pub(crate) fn refused(self, step: &str, why: &str) -> Self {
        self.answered(step, Answer::Refused(Payload::encode(&why).unwrap()))
    }

    /// Answers what the step is asked now.
    pub(crate) fn answered(self, step: &str, answer: Answer) -> Self {
        let (step, direction, attempt) = self.asked(step);
        self.on(&Event::Replied { step, direction, attempt, answer })
    }

    pub(crate) fn times_out(self, step: &str) -> Self {
        let (step, direction, attempt) = self.asked(step);
        self.on(&Event::TimerDue { step, direction, attempt })
    }

    pub(crate) fn signalled(self, step: &str) -> Self {
        self.on(&Event::Signalled { step: named(step), signal: nothing() })
    }

    pub(crate) fn undeliverable(self, step: &str, reason: &str) -> Self {
        self.on(&Event::Undeliverable { step: named(step), reason: reason.into() })
    }

    pub(crate) fn cancelled(self, reason: &str) -> Self {
        self.on(&Event::Cancel { reason: reason.into() })
    }

    pub(crate) fn drawing(&self) -> Drawing {
        Drawing::of_saga(&self.plan, &self.saga)
    }

    pub(crate) fn assert_drawn(&self, parts: &[&str]) {
        let drawn = self.drawing().mermaid();
        for part in parts {
            assert!(drawn.contains(part), "{part} is not in\n{drawn}");
        }
    }

    pub(crate) fn assert_not_drawn(&self, part: &str) {
        let drawn = self.drawing().mermaid();
        assert!(!drawn.contains(part), "{part} is in\n{drawn}");
    }

    fn asked(&self, step: &str) -> (StepName, Direction, u32) {
        let record = self.saga.state.steps().iter().find(|record| record.name.as_str() == step);
        let (direction, asked) = record.and_then(|record| record.state.awaited()).unwrap();
        (named(step), direction, asked.attempt)
    }
}

/// What stands for a reply, or a signal, that says nothing.
fn nothing() -> Payload {
    Payload::encode(&()).unwrap()
}

fn named(step: &str) -> StepName {
    StepName::new(step).unwrap()
}

fn id() -> SagaId {
    SagaId::from_uuid(uuid::Uuid::from_u128(7))
}

fn trace(id: SagaId) -> TraceParent {
    TraceParent::of_message(id, MessageId::from_uuid(id.as_uuid()))
}
