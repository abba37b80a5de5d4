//! Folds the events of one saga into one commit. Pure: the machine decides, this only adds up.

use std::collections::BTreeMap;

use bytes::Bytes;
use metrics::counter;

use super::arrival::{Begin, Verdict};
use super::operate::OperateError;
use crate::definition::{Plan, ScriptError};
use crate::id::{Destination, Direction, MessageId, StepName, Version};
use crate::machine::{self, Applied, Effect, Event, Instance, Parent, Transition};
use crate::message::{
    Answer, COMMAND_VALID, CommandMessage, Envelope, Local, NotificationMessage, Participant, ReleaseMessage,
    ReplyMessage,
};
use crate::policy::Timestamp;
use crate::port::{Change, Commit, IdSource, JournalEntry, OutboxRow, Start, TimerChange};

/// What a fold needs beside the saga and its events.
pub(super) struct Folding<'a> {
    pub(super) now: Timestamp,
    pub(super) replies: &'a Destination,
    pub(super) ids: &'a dyn IdSource,
}

/// Several transitions of one saga, added up.
struct Fold<'a> {
    with: &'a Folding<'a>,
    instance: Instance,
    journal: Vec<JournalEntry>,
    outbox: Vec<OutboxRow>,
    timers: BTreeMap<StepName, TimerChange>,
}

/// Folds `events` over a saga. Returns what to commit, if anything moved, the saga afterwards, and a verdict for each event.
pub(super) fn fold<'e>(
    with: &Folding<'_>,
    plan: &Plan,
    instance: Instance,
    events: impl Iterator<Item = &'e Event>,
) -> (Option<Commit>, Instance, Vec<Verdict>) {
    let expected = instance.version;
    let mut fold = Fold::over(with, instance);
    let verdicts = events.map(|event| fold.apply(plan, event)).collect();
    let commit = (!fold.journal.is_empty()).then(|| fold.commit(Change::Move { expected }));
    (commit, fold.instance, verdicts)
}

/// The same for a saga that moves to a newer version first, whose plan is `plan`.
pub(super) fn upgrade<'e>(
    with: &Folding<'_>,
    plan: &Plan,
    instance: Instance,
    upgrade: &Event,
    events: impl Iterator<Item = &'e Event>,
) -> (Option<Commit>, Instance, Vec<Verdict>) {
    counter!("saga_upgraded_total").increment(1);
    let (expected, definition) = (instance.version, plan.reference().clone());
    let mut fold = Fold::over(with, instance);
    fold.apply(plan, upgrade);
    let verdicts = events.map(|event| fold.apply(plan, event)).collect();
    (Some(fold.commit(Change::Upgrade { expected, definition })), fold.instance, verdicts)
}

/// The commit that begins a saga, and the saga it begins.
pub(super) fn begin(with: &Folding<'_>, begin: &Begin) -> Result<(Commit, Instance), ScriptError> {
    let transition =
        machine::start(&begin.plan, begin.id, begin.data.clone(), begin.trace.clone(), with.now)?;
    let mut fold = Fold::over(with, transition.next.clone());
    fold.add(&Event::Started { data: begin.data.clone() }, transition);
    let definition = begin.plan.reference().clone();
    let (key, input) = (begin.key.clone(), begin.input());
    let commit = fold.commit(Change::Start(Start { definition, key, input, parent: None }));
    Ok((commit, fold.instance))
}

/// The commit that begins a saga as a step of another one, or sees to it that it never begins; and the saga.
pub(super) fn begin_by(
    with: &Folding<'_>,
    begin: &Begin,
    parent: &Parent,
) -> Result<(Commit, Instance), ScriptError> {
    let (data, trace) = (begin.data.clone(), begin.trace.clone());
    let transition = machine::start_by(&begin.plan, begin.id, parent.clone(), data.clone(), trace, with.now)?;
    let mut fold = Fold::over(with, transition.next.clone());
    fold.add(&Event::StartedBy { parent: parent.clone(), data }, transition);
    let (definition, input) = (begin.plan.reference().clone(), begin.input());
    let parent = Some((parent.saga, parent.step.clone()));
    let commit = fold.commit(Change::Start(Start { definition, key: None, input, parent }));
    Ok((commit, fold.instance))
}

/// The entry that a journal keeps of an event.
pub(super) fn entry(version: Version, event: &Event, now: Timestamp, decision: String) -> JournalEntry {
    JournalEntry { version, event: encoded(event), now, decision }
}

/// An event as the journal holds it.
fn encoded(event: &Event) -> Bytes {
    // Every part of an event has a JSON form: names, numbers, and payloads that are text.
    serde_json::to_vec(event).map(Bytes::from).unwrap_or_default()
}

/// How many bytes an event has in the journal: there it is JSON in which the text of what was said is a string, with an
/// escape for each quote and newline.
pub(super) fn bytes_of(event: &Event) -> usize {
    encoded(event).len()
}

/// The largest event that an entry of the journal holds.
pub(super) const ENTRY_BYTES_MAX: usize = 16 * 1024 * 1024;

impl<'a> Fold<'a> {
    fn over(with: &'a Folding<'a>, instance: Instance) -> Self {
        Fold { with, instance, journal: Vec::new(), outbox: Vec::new(), timers: BTreeMap::new() }
    }

    fn apply(&mut self, plan: &Plan, event: &Event) -> Verdict {
        match machine::apply(plan, &self.instance, event, self.with.now) {
            Ok(Applied::Moved(transition)) => self.add(event, *transition),
            Ok(Applied::Ignored(reason)) => {
                counter!("saga_events_ignored_total", "reason" => reason.as_str()).increment(1);
                return self.unmoved(event);
            }
            Err(error) => return Verdict::Wrong(OperateError::Refused(error)),
        }
        Verdict::Taken(self.instance.state.status())
    }

    /// What becomes of an event that moves nothing: if the parent asks for something again, it is answered.
    fn unmoved(&self, event: &Event) -> Verdict {
        match (event, &self.instance.parent) {
            (Event::Asked { direction, attempt, reply_to }, Some(parent)) => {
                let (attempt, reply_to) = (*attempt, reply_to.clone());
                let parent = Parent { attempt, reply_to, ..parent.clone() };
                let answer = self.instance.answer(*direction);
                Verdict::Answered(Box::new(self.answer(&parent, *direction, answer)))
            }
            _ => Verdict::Taken(self.instance.state.status()),
        }
    }

    fn answer(&self, parent: &Parent, direction: Direction, answer: Answer) -> OutboxRow {
        let trace = self.instance.trace.child(MessageId::reply(parent.saga, &parent.step, direction));
        let Parent { saga, step, attempt, reply_to, .. } = parent.clone();
        let reply = ReplyMessage { saga, step, direction, attempt, answer, trace };
        self.row(reply.encode(reply_to))
    }

    fn row(&self, envelope: Envelope) -> OutboxRow {
        OutboxRow { id: self.with.ids.row(), envelope, claimed: false }
    }

    fn add(&mut self, event: &Event, transition: Transition) {
        let Transition { next, effects, decision } = transition;
        tracing::debug!(saga = %next.id, trace = next.trace.as_str(), %decision, "saga moved");
        self.journal.push(entry(next.version, event, self.with.now, decision.to_string()));
        self.instance = next;
        for effect in effects {
            self.take(effect);
        }
    }

    fn take(&mut self, effect: Effect) {
        match effect {
            // Whoever stores this transition looks after its local steps, see `local`.
            Effect::Send { destination, .. } if destination.as_str() == Local::NAME => {}
            Effect::Send { step, direction, attempt, destination, command_type, body, trace } => {
                let saga = self.instance.id;
                let reply_to = self.with.replies.clone();
                let not_after = self.with.now.plus(COMMAND_VALID);
                let message = CommandMessage {
                    saga,
                    step,
                    direction,
                    attempt,
                    command_type,
                    reply_to,
                    not_after,
                    trace,
                    body,
                };
                self.outbox.push(self.row(message.encode(destination)));
            }
            Effect::Notify { step, topics, notification_type, body, trace } => {
                let message =
                    NotificationMessage { saga: self.instance.id, step, notification_type, trace, body };
                let rows: Vec<_> = topics.into_iter().map(|topic| self.row(message.encode(topic))).collect();
                self.outbox.extend(rows);
            }
            Effect::Answer { direction, answer } => {
                let parent = self.instance.parent.clone();
                let row = parent.map(|parent| self.answer(&parent, direction, answer));
                self.outbox.extend(row);
            }
            Effect::Release { step, destination, trace } => {
                let release = ReleaseMessage { saga: self.instance.id, step, trace };
                self.outbox.push(self.row(release.encode(destination)));
            }
            Effect::Arm { step, direction, attempt, after } => {
                self.timers.insert(step.clone(), TimerChange::Arm { step, direction, attempt, after });
            }
            Effect::Disarm { step } => {
                self.timers.insert(step.clone(), TimerChange::Drop { step });
            }
        }
    }

    /// Everything added up, as one commit.
    fn commit(&mut self, change: Change) -> Commit {
        let instance = &self.instance;
        Commit {
            id: instance.id,
            change,
            status: instance.state.status(),
            state: instance.encode_state(),
            data: instance.data.as_bytes().clone(),
            parked: instance.state.parked().map(str::to_owned),
            journal: std::mem::take(&mut self.journal),
            outbox: std::mem::take(&mut self.outbox),
            timers: std::mem::take(&mut self.timers).into_values().collect(),
        }
    }
}
