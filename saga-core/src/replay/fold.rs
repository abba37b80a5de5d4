//! Folding a journal: what the machine makes of each line.

use super::difference::{Difference, Outcome};
use super::recording::{End, Line, Message, Recording};
use crate::definition::Plan;
use crate::machine::{self, Applied, Decision, Effect, Event, Instance, Parked, State, Stored, Transition};

/// A recording that is folded by a plan, line by line.
pub(super) struct Fold<'a> {
    recording: &'a Recording,
    plan: &'a Plan,
    /// The version of it that the next line is folded by.
    at: &'a Plan,
    /// The saga as the lines so far leave it.
    instance: Option<Instance>,
    /// How many lines that are.
    lines: usize,
}

impl<'a> Fold<'a> {
    pub(super) fn of(recording: &'a Recording, plan: &'a Plan) -> Self {
        let upgraded_from = recording.journal.iter().find_map(|line| {
            let Event::Upgraded { from, .. } = line.event else { return None };
            plan.at_version(from)
        });
        Fold { recording, plan, at: upgraded_from.unwrap_or(plan), instance: None, lines: 0 }
    }

    /// Folds a line, which must come out as it says.
    pub(super) fn again(&mut self, line: &Line) -> Result<(), Box<Difference>> {
        let made = self.next(line)?;
        if made.decision.to_string() != line.decision {
            return Err(self.difference(line, Outcome::Decided(made.decision.to_string())));
        }
        let messages = messages(&made);
        if messages != line.messages {
            return Err(self.difference(line, Outcome::Sent(messages)));
        }
        Ok(())
    }

    /// Folds a line as it was stored, and notes in it what a journal does not say.
    pub(super) fn fill(&mut self, line: &mut Line) -> Result<(), Box<Difference>> {
        let made = self.made(line).ok().filter(|made| made.decision.to_string() == line.decision);
        line.untouched = made.is_none() && line.decision.starts_with(PARKED);
        line.messages = made.as_ref().map(messages).unwrap_or_default();
        self.again(line)
    }

    /// Folds a line, whatever comes out.
    pub(super) fn next(&mut self, line: &Line) -> Result<Transition, Box<Difference>> {
        self.lines += 1;
        if let Event::Upgraded { to, .. } = line.event {
            self.at = self.plan.at_version(to).unwrap_or(self.plan);
        }
        let made = self.made(line).map_err(|outcome| self.difference(line, outcome))?;
        self.instance = Some(made.next.clone());
        Ok(made)
    }

    fn made(&self, line: &Line) -> Result<Transition, Outcome> {
        let Recording { saga, trace, .. } = self.recording;
        let Some(before) = &self.instance else {
            let (data, parent) = match &line.event {
                Event::Started { data } => (data, None),
                Event::StartedBy { data, parent } => (data, Some(parent)),
                _ => return Err(Outcome::NotBegun),
            };
            let (data, trace) = (data.clone(), trace.clone());
            let begun = match parent {
                None => machine::start(self.at, *saga, data, trace, line.now),
                Some(parent) => machine::start_by(self.at, *saga, parent.clone(), data, trace, line.now),
            };
            return begun.map_err(|error| Outcome::Impossible(error.to_string()));
        };
        if line.untouched {
            return Ok(parked_untouched(before, &line.decision));
        }
        match machine::apply(self.at, before, &line.event, line.now) {
            Ok(Applied::Moved(made)) => Ok(*made),
            Ok(Applied::Ignored(why)) => Err(Outcome::Ignored(why)),
            Err(error) => Err(Outcome::Impossible(error.to_string())),
        }
    }

    /// Compares where the lines have led. Says so of the last line if that is somewhere else.
    pub(super) fn end(&self, end: &End) -> Result<(), Box<Difference>> {
        let (Some(last), Some(instance)) = (self.recording.journal.last(), &self.instance) else {
            return Ok(());
        };
        match self.read(end, instance) {
            Ok(stored) if stored == *instance => Ok(()),
            Ok(_) => Err(self.difference(last, Outcome::Ended(Box::new(End::of(instance))))),
            Err(error) => Err(self.difference(last, Outcome::Unreadable(error.to_string()))),
        }
    }

    /// The end as this build reads it, as if it were of this definition.
    fn read(&self, end: &End, instance: &Instance) -> Result<Instance, machine::StateError> {
        Instance::decode(Stored {
            id: instance.id,
            definition: instance.definition.clone(),
            version: instance.version,
            status: end.status,
            state: end.state.as_bytes().clone(),
            data: end.data.as_bytes().clone(),
            parked: end.parked.clone(),
        })
    }

    /// Where the lines so far have led.
    pub(super) fn here(&self) -> Option<End> {
        self.instance.as_ref().map(End::of)
    }

    pub(super) fn difference(&self, line: &Line, outcome: Outcome) -> Box<Difference> {
        Box::new(Difference {
            definition: self.recording.definition.clone(),
            by: self.plan.reference().clone(),
            saga: self.recording.saga,
            line: self.lines,
            recorded: line.clone(),
            outcome,
        })
    }
}

/// What a runtime does with a saga that it cannot read or not store.
fn parked_untouched(before: &Instance, decision: &str) -> Transition {
    let reason = decision.strip_prefix(PARKED).unwrap_or(decision).to_owned();
    let (steps, cause) = (before.state.steps().to_vec(), before.state.cause().cloned());
    let state = State::Parked(Parked { steps, cause, reason: reason.clone() });
    let next = Instance { version: before.version + 1, state, ..before.clone() };
    Transition { next, effects: Vec::new(), decision: Decision::Parked(reason) }
}

/// What a transition sends.
pub(super) fn messages(made: &Transition) -> Vec<Message> {
    made.effects.iter().filter_map(message).collect()
}

fn message(effect: &Effect) -> Option<Message> {
    let (step, direction, to, body_type, body) = match effect {
        Effect::Send { step, direction, destination, command_type, body, .. } => {
            (step, Some(*direction), vec![destination.clone()], command_type, body)
        }
        Effect::Notify { step, topics, notification_type, body, .. } => {
            (step, None, topics.clone(), notification_type, body)
        }
        // What a parent and its children are told is said by the decision.
        Effect::Answer { .. } | Effect::Release { .. } => return None,
        Effect::Arm { .. } | Effect::Disarm { .. } => return None,
    };
    let (step, body_type, body) = (step.clone(), body_type.clone(), body.clone());
    Some(Message { step, direction, to, body_type, body })
}

/// How the decision to park a saga begins.
const PARKED: &str = "parked: ";
