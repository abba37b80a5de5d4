//! Redaction: a recording without what was said in it, which still replays.

use std::mem::{Discriminant, discriminant};

use super::fold::{Fold, messages};
use super::recording::{Line, Message, Recording, RecordingError};
use super::stand_in::StandIns;
use super::{Difference, Outcome};
use crate::definition::{ITEM_MARK, Plan};
use crate::id::{Direction, StepName};
use crate::machine::{Decision, Event, Resolution, Status, StepState, Transition};
use crate::message::{Answer, Fault};

impl Recording {
    /// The same saga without what was said in it: each text and each number in bodies, reasons and faults has a stand-in
    /// of the same form, but for those in the fields named in `keep`. A body without fields, such as an enum's variant,
    /// goes by its name in the event: `data`, `done`, `refused` or `signal`.
    ///
    /// Equal values have equal stand-ins. Names of fields, truth values, zeros, the number of things, names of steps,
    /// ids of sagas and times stay, so a map whose keys are personal is not for a recording. `plan` is of the definition
    /// that the saga began with; it makes the same decisions of what is left, or there is no recording.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Hidden`] if the definition decides otherwise, and where. Keep the fields that it looks at.
    pub fn redacted(&self, plan: &Plan, keep: &[&str]) -> Result<Recording, RecordingError> {
        let mut hiding = Hiding(StandIns::keeping(keep));
        let journal = self.journal.iter().map(|line| hiding.line(line)).collect();
        let mut redacted = Recording { journal, ..self.clone() };
        hiding.fold(self, &mut redacted, plan).map_err(RecordingError::Hidden)?;
        Ok(redacted)
    }
}

struct Hiding<'a>(StandIns<'a>);

impl Hiding<'_> {
    /// A line with only its event hidden; the machine says the rest anew.
    fn line(&mut self, line: &Line) -> Line {
        let decision = match line.decision.split_once(": ") {
            Some((parked, reason)) if line.untouched => {
                format!("{parked}: {}", self.0.field("reason", reason))
            }
            Some(_) | None => line.decision.clone(),
        };
        Line { event: self.event(&line.event), decision, ..line.clone() }
    }

    fn event(&mut self, event: &Event) -> Event {
        let mut event = event.clone();
        match &mut event {
            Event::Started { data } | Event::Upgraded { data, .. } => *data = self.0.payload("data", data),
            Event::StartedBy { parent, data } => {
                parent.step = self.step(&parent.step);
                *data = self.0.payload("data", data);
            }
            Event::Asked { .. } | Event::Released => {}
            Event::Replied { step, answer, .. } => {
                *answer = self.answer(answer);
                *step = self.step(step);
            }
            Event::TimerDue { step, .. } => *step = self.step(step),
            Event::Signalled { signal, .. } => *signal = self.0.payload("signal", signal),
            Event::Undeliverable { step, reason } => {
                *reason = self.0.field("reason", reason);
                *step = self.step(step);
            }
            Event::Cancel { reason } | Event::Retry { reason } | Event::Compensate { reason } => {
                *reason = self.0.field("reason", reason);
            }
            Event::Resolve { step, resolution, reason } => {
                *resolution = self.resolution(resolution);
                *reason = self.0.field("reason", reason);
                *step = self.step(step);
            }
        }
        event
    }

    fn answer(&mut self, answer: &Answer) -> Answer {
        match answer {
            Answer::Done(reply) => Answer::Done(self.0.payload("done", reply)),
            Answer::Refused(why) => Answer::Refused(self.0.payload("refused", why)),
            Answer::Fault(Fault { kind, message }) => {
                Answer::Fault(Fault { kind: *kind, message: self.0.field("message", message) })
            }
            Answer::Undone | Answer::Closed | Answer::Running => answer.clone(),
        }
    }

    fn resolution(&mut self, resolution: &Resolution) -> Resolution {
        match resolution {
            Resolution::Done(reply) => Resolution::Done(self.0.payload("done", reply)),
            Resolution::NotDone => Resolution::NotDone,
        }
    }

    /// The name of a step, which is also that of an item if it has a key.
    fn step(&self, step: &StepName) -> StepName {
        let Some((name, key)) = step.as_str().split_once(ITEM_MARK) else { return step.clone() };
        let Some(key) = self.0.key(key) else { return step.clone() };
        StepName::new(format!("{name}{ITEM_MARK}{key}")).unwrap_or_else(|_| step.clone())
    }

    /// Has the machine decide anew, and compares what it does with what it did.
    fn fold(&self, whole: &Recording, redacted: &mut Recording, plan: &Plan) -> Result<(), Box<Difference>> {
        let bare = redacted.clone();
        let (mut before, mut after) = (Fold::of(whole, plan), Fold::of(&bare, plan));
        for (line, hidden) in whole.journal.iter().zip(&mut redacted.journal) {
            let (was, is) = (before.next(line)?, after.next(hidden)?);
            (hidden.decision, hidden.messages) = (is.decision.to_string(), messages(&is));
            if Sense::of(&was, |step| self.step(step)) != Sense::of(&is, StepName::clone) {
                return Err(before.difference(line, Outcome::Decided(hidden.decision.clone())));
            }
        }
        redacted.end = after.here().unwrap_or(redacted.end.clone());
        Ok(())
    }
}

/// What a transition does, without what it says.
#[derive(PartialEq)]
struct Sense {
    decision: Discriminant<Decision>,
    status: Status,
    steps: Vec<(StepName, Discriminant<StepState>)>,
    sent: Vec<(StepName, Option<Direction>)>,
}

impl Sense {
    fn of(made: &Transition, name: impl Fn(&StepName) -> StepName) -> Self {
        let records = made.next.state.steps().iter();
        Sense {
            decision: discriminant(&made.decision),
            status: made.next.state.status(),
            steps: records.map(|record| (name(&record.name), discriminant(&record.state))).collect(),
            sent: messages(made)
                .iter()
                .map(|Message { step, direction, .. }| (name(step), *direction))
                .collect(),
        }
    }
}
