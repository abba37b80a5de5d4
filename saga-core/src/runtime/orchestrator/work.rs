//! What a batch comes to before it is stored: one commit a saga, and whom it concerns.

use metrics::counter;
use uuid::Uuid;

use super::arrival::{EventArrival, Source, StartArrival, Verdict};
use super::child;
use super::fold::{self, Folding};
use super::operate::OperateError;
use super::registry::Registry;
use crate::definition::Plan;
use crate::id::{SagaId, StepName};
use crate::machine::{Event, Instance, StateError, Status, Stored};
use crate::message::{Envelope, Payload};
use crate::policy::Timestamp;
use crate::port::{Change, Commit, HeldId, HeldReply, TimerChange};

/// What a batch comes to, before it is stored.
#[derive(Default)]
pub(super) struct Work {
    /// One commit a saga, and whom it concerns.
    pub(super) commits: Vec<Commit>,
    pub(super) concerns: Vec<Concern>,
    /// Events that change nothing.
    pub(super) unmoved: Vec<(EventArrival, Verdict)>,
    /// Events of sagas that others of this batch begin.
    pub(super) early: Vec<EventArrival>,
    /// Replies for sagas whose definition this process does not know.
    pub(super) held: Vec<HeldReply>,
    pub(super) holding: Vec<EventArrival>,
}

/// Whom a commit concerns.
pub(super) enum Concern {
    Events {
        before: Stored,
        /// `None` if the stored saga could not be read, and is parked as it is.
        after: Option<Instance>,
        arrivals: Vec<(EventArrival, Verdict)>,
    },
    Start {
        after: Instance,
        arrival: StartArrival,
    },
    /// A saga that is begun as a step of another one, or that never will be.
    Child {
        after: Instance,
        arrival: EventArrival,
    },
}
impl Work {
    /// Nobody knows this saga. The first command of a parent begins it; anything else is dead-lettered, and an operator
    /// is told.
    pub(super) fn missing(
        &mut self,
        with: &Folding<'_>,
        registry: &Registry,
        saga: SagaId,
        arrivals: Vec<EventArrival>,
    ) {
        let (commands, others): (Vec<_>, Vec<_>) =
            arrivals.into_iter().partition(|arrival| matches!(arrival.event, Event::Asked { .. }));
        let mut commands = commands.into_iter();
        if let Some(first) = commands.next() {
            self.begin_child(with, registry, saga, first);
            self.early.extend(commands.chain(others));
            return;
        }
        counter!("saga_events_unknown_saga_total").increment(others.len() as u64);
        planted!(StrayReplyDropped: return self.unmoved.extend(others.into_iter().map(|one| (one, Verdict::Taken(Status::Running)))));
        let wrong = |arrival| (arrival, Verdict::Wrong(OperateError::NotFound(saga)));
        self.unmoved.extend(others.into_iter().map(wrong));
    }

    fn begin_child(&mut self, with: &Folding<'_>, registry: &Registry, saga: SagaId, arrival: EventArrival) {
        let Some(command) = child::command(&arrival) else {
            return self.unmoved.push((arrival, Verdict::Wrong(OperateError::NotFound(saga))));
        };
        match child::begin(with, registry, &command) {
            Ok((commit, after)) => {
                self.commits.push(commit);
                self.concerns.push(Concern::Child { after, arrival });
            }
            Err(fault) => {
                let answer = child::fault(with.ids, command, fault);
                self.unmoved.push((arrival, Verdict::Answered(Box::new(answer))));
            }
        }
    }

    /// The saga runs a definition that this process does not know: it is left alone, and its replies are held.
    pub(super) fn unknown(&mut self, stored: &Stored, arrivals: Vec<EventArrival>) {
        planted!(UnknownDefinitionDropped: return self.unmoved.extend(arrivals.into_iter().map(|one| (one, Verdict::Taken(Status::Running)))));
        for arrival in arrivals {
            match &arrival.source {
                Source::Delivery { envelope, .. } => {
                    let id = held_id(envelope);
                    self.held.push(HeldReply { id, saga: arrival.saga, envelope: (**envelope).clone() });
                    self.holding.push(arrival);
                }
                Source::Held(_) | Source::Timer | Source::Operator(_) => {
                    let error = OperateError::UnknownDefinition(stored.definition.to_string());
                    self.unmoved.push((arrival, Verdict::Wrong(error)));
                }
            }
        }
    }

    pub(super) fn fold(
        &mut self,
        with: &Folding<'_>,
        registry: &Registry,
        plan: &Plan,
        before: Stored,
        arrivals: Vec<EventArrival>,
    ) {
        let instance = match Instance::decode(before.clone()) {
            Ok(instance) => instance,
            Err(error) => return self.unreadable(with, plan, before, arrivals, error),
        };
        let events = arrivals.iter().map(|arrival| &arrival.event);
        let (commit, after, verdicts) = match registry.upgrade(&instance) {
            Some((newer, upgrade)) => fold::upgrade(with, newer, instance, &upgrade, events),
            None => fold::fold(with, plan, instance, events),
        };
        let arrivals = arrivals.into_iter().zip(verdicts);
        match commit {
            None => self.unmoved.extend(arrivals),
            Some(commit) => {
                self.commits.push(commit);
                self.concerns.push(Concern::Events {
                    before,
                    after: Some(after),
                    arrivals: arrivals.collect(),
                });
            }
        }
    }

    /// Parks a saga whose state this build cannot read, with its bytes kept as they are.
    fn unreadable(
        &mut self,
        with: &Folding<'_>,
        plan: &Plan,
        before: Stored,
        arrivals: Vec<EventArrival>,
        error: StateError,
    ) {
        // What nobody says again is not taken: operators are told, and a release is dead-lettered.
        let is_said_once = EventArrival::is_said_once;
        planted!(ReleaseDropped: let is_said_once = |arrival: &EventArrival| matches!(arrival.source, Source::Operator(_)));
        let (once, others): (Vec<_>, Vec<_>) = arrivals.into_iter().partition(is_said_once);
        let why = error.to_string();
        let unreadable = |arrival| (arrival, Verdict::Wrong(OperateError::Unreadable(error.clone())));
        self.unmoved.extend(once.into_iter().map(unreadable));
        let taken = others.into_iter().map(|arrival| (arrival, Verdict::Taken(Status::Parked)));
        if before.status == Status::Parked || before.status.is_terminal() {
            return self.unmoved.extend(taken);
        }
        let arrivals: Vec<_> = taken.collect();
        let commit =
            park_as_it_is(&before, arrivals.iter().map(|(arrival, _)| arrival), Some(plan), with.now, &why);
        self.commits.push(commit);
        self.concerns.push(Concern::Events { before, after: None, arrivals });
    }

    pub(super) fn begin(&mut self, with: &Folding<'_>, arrival: StartArrival) {
        match fold::begin(with, &arrival.begin) {
            Ok((commit, after)) => {
                self.commits.push(commit);
                self.concerns.push(Concern::Start { after, arrival });
            }
            Err(error) => drop(arrival.started.send(Err(error.into()))),
        }
    }
}

/// The same for all copies of a message, and another one for the answer to another attempt, whose message id is the same.
fn held_id(envelope: &Envelope) -> HeldId {
    planted!(HeldByMessage: return HeldId(envelope.id.as_uuid()));
    let headers = envelope.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    HeldId(Uuid::new_v5(&envelope.id.as_uuid(), headers.collect::<String>().as_bytes()))
}

/// A commit that parks a saga with its state and data untouched. Its events come again when it is released.
pub(super) fn park_as_it_is<'a>(
    before: &Stored,
    mut arrivals: impl Iterator<Item = &'a EventArrival>,
    plan: Option<&Plan>,
    now: Timestamp,
    why: &str,
) -> Commit {
    let reason: String = why.chars().filter(|c| *c != '\0').collect();
    let event = arrivals.next().map(|arrival| &arrival.event);
    let nothing = Event::Started { data: Payload::default() };
    let event = event.unwrap_or(&nothing);
    Commit {
        id: before.id,
        change: Change::Move { expected: before.version },
        status: Status::Parked,
        state: before.state.clone(),
        data: before.data.clone(),
        journal: vec![fold::entry(before.version + 1, event, now, format!("parked: {reason}"))],
        parked: Some(reason),
        outbox: Vec::new(),
        timers: steps(before, plan).into_iter().map(|step| TimerChange::Drop { step }).collect(),
    }
}

/// The steps that may have a timer. Of a saga that cannot be read these are the plan's; timers of items fire then, and
/// find their saga parked.
fn steps(before: &Stored, plan: Option<&Plan>) -> Vec<StepName> {
    match Instance::decode(before.clone()) {
        Ok(saga) => saga.state.steps().iter().map(|record| record.name.clone()).collect(),
        Err(_) => plan.map_or(&[][..], Plan::steps).iter().map(|step| step.name.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Destination, Direction, MessageId};
    use crate::message::{Answer, ReplyMessage, TraceParent};

    fn reply(attempt: u32, answer: Answer) -> HeldId {
        let (saga, step) = (SagaId::from_uuid(Uuid::from_u128(7)), StepName::new("reserve").unwrap());
        let direction = Direction::Do;
        let trace = TraceParent::of_message(saga, MessageId::command(saga, &step, direction));
        let reply = ReplyMessage { saga, step, direction, attempt, answer, trace };
        held_id(&reply.encode(Destination::new("replies").unwrap()))
    }

    #[test]
    fn each_answer_is_held_once_and_none_takes_the_place_of_another() {
        let done = || Answer::Done(Payload::default());
        assert_eq!(reply(2, done()), reply(2, done()));
        assert_ne!(reply(1, done()), reply(2, done()));
        assert_ne!(reply(2, Answer::Running), reply(2, done()));
    }
}
