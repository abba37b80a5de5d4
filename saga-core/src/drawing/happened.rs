//! What has become of one saga, in words.

use std::ops::Range;
use std::time::Duration;

use super::date::date;
use super::{Group, Mark, Node, planned};
use crate::definition::{Plan, Role, Work};
use crate::id::StepName;
use crate::machine::{Cause, Instance, StepRecord, StepState, Try, Waiting};

/// A saga and its plan.
pub(super) struct Telling<'a> {
    pub(super) plan: &'a Plan,
    pub(super) saga: &'a Instance,
}

impl Telling<'_> {
    /// When the saga began, for whom, and until when it must have come far enough.
    pub(super) fn start(&self) -> Vec<String> {
        let mut lines = vec![format!("began {}", date(self.saga.began))];
        lines.extend(
            self.saga.parent.as_ref().map(|parent| format!("step {} of {}", parent.step, parent.saga)),
        );
        lines.extend(self.deadline().map(|most| {
            let goal = planned::goal(self.plan);
            format!("compensated if it is not {goal} by {}", date(self.saga.began.plus(most)))
        }));
        lines
    }

    /// How long the saga may take, if that can still make a difference.
    fn deadline(&self) -> Option<Duration> {
        let is_over = self.saga.state.status().is_terminal() || self.saga.state.cause().is_some();
        self.plan.deadline().filter(|_| !is_over && !self.is_past_pivot())
    }

    /// Whether the pivot is asked for, done or skipped.
    fn is_past_pivot(&self) -> bool {
        let pivot = self.plan.steps().iter().find(|step| matches!(step.role, Role::Pivot));
        pivot.is_some_and(|pivot| self.saga.state.steps().iter().any(|record| record.name == pivot.name))
    }

    /// What the saga has come to.
    pub(super) fn outcome(&self) -> Vec<String> {
        let (state, status) = (&self.saga.state, self.saga.state.status().as_str());
        match (state.parked(), state.cause()) {
            (None, None) => vec![status.to_owned()],
            (None, Some(cause)) => vec![format!("{status}: {cause}")],
            (Some(reason), None) => vec![format!("{status}: {reason}")],
            (Some(reason), Some(cause)) => {
                vec![format!("{status}: {reason}"), format!("while it was compensated: {cause}")]
            }
        }
    }

    /// The boxes of a group: one for each step, or one for each item if the items of its step are known.
    pub(super) fn group(&self, steps: &Range<usize>) -> Group {
        let heading = steps.clone().find(|place| self.has_items(*place));
        Group {
            heading: heading.map_or(Vec::new(), |place| planned::step(&self.plan.steps()[place])),
            nodes: steps.clone().flat_map(|place| self.nodes(place)).collect(),
        }
    }

    fn has_items(&self, place: usize) -> bool {
        self.records(place).any(|record| record.name != self.plan.steps()[place].name)
    }

    fn records(&self, place: usize) -> impl Iterator<Item = &StepRecord> {
        let records = self.saga.state.steps().iter();
        records.filter(move |record| self.plan.position_of(&record.name) == Some(place))
    }

    fn nodes(&self, place: usize) -> Vec<Node> {
        let reached: Vec<Node> =
            self.records(place).enumerate().map(|(item, record)| self.node(place, item, record)).collect();
        if !reached.is_empty() {
            return reached;
        }
        let ahead = Node::of_plan(self.plan, place);
        let lines = ahead.lines.into_iter().chain(["not reached".into()]).collect();
        vec![Node { lines, mark: Some(Mark::Ahead), ..ahead }]
    }

    fn node(&self, place: usize, item: usize, record: &StepRecord) -> Node {
        let step = &self.plan.steps()[place];
        let mut lines = match record.name == step.name {
            true => planned::step(step),
            false => vec![record.name.to_string()],
        };
        lines.extend(self.words(place, record));
        Node { id: format!("step{place}_{item}"), lines, mark: Some(mark(&record.state)) }
    }

    fn words(&self, place: usize, record: &StepRecord) -> Vec<String> {
        match &record.state {
            StepState::Queued => vec!["queued".into()],
            StepState::Early(_) => vec!["signalled early".into()],
            StepState::Waiting { signal: Some(_), .. } => vec!["signalled, and kept until it goes on".into()],
            StepState::Waiting { asked, signal: None } => self.waits(place, asked),
            StepState::Pausing { until, .. } => vec![format!("pauses until {}", date(*until))],
            StepState::Doing(asked) => vec![tried("asked", asked)],
            StepState::Closing(asked) => vec![tried("being closed", asked)],
            StepState::Undoing { asked, .. } => vec![tried("being undone", asked)],
            StepState::Refused if !self.is_refused(&record.name) => {
                vec!["not done, and never will be".into()]
            }
            StepState::Refused | StepState::Done(_) | StepState::Undone | StepState::Skipped => {
                vec![mark(&record.state).name().into()]
            }
        }
    }

    /// Until when a signal is awaited, and what follows then. A parked saga waits anew once it is released.
    fn waits(&self, place: usize, asked: &Try) -> Vec<String> {
        match self.plan.steps()[place].work {
            Work::Signal { deadline } if self.saga.state.parked().is_none() => {
                let until = date(asked.since.plus(deadline));
                vec![format!("waits for its signal until {until}"), self.afterwards(place)]
            }
            Work::Signal { .. } | Work::Command(_) | Work::Notification(_) | Work::Pause => {
                vec!["waits for its signal".into()]
            }
        }
    }

    fn afterwards(&self, place: usize) -> String {
        match self.plan.open(&self.saga.data).and_then(|page| page.at_deadline(place)) {
            Ok(Some(_)) => "then the signal of at_deadline counts".into(),
            Ok(None) => "then it is compensated".into(),
            Err(error) => format!("then it is parked: {error}"),
        }
    }

    /// Whether somebody said no to this step, rather than that nobody was asked or the saga did not wait on.
    fn is_refused(&self, name: &StepName) -> bool {
        matches!(self.saga.state.cause(), Some(Cause::Refused { step, .. }) if step == name)
    }
}

const fn mark(state: &StepState) -> Mark {
    match state {
        StepState::Queued => Mark::Ahead,
        StepState::Early(_) => Mark::Early,
        StepState::Waiting { .. } => Mark::Waiting,
        StepState::Pausing { .. } => Mark::Pausing,
        StepState::Doing(_) => Mark::Awaited,
        StepState::Closing(_) => Mark::Closing,
        StepState::Undoing { .. } => Mark::Undoing,
        StepState::Done(_) => Mark::Done,
        StepState::Refused => Mark::Refused,
        StepState::Undone => Mark::Undone,
        StepState::Skipped => Mark::Skipped,
    }
}

fn tried(what: &str, asked: &Try) -> String {
    let attempt = asked.attempt;
    match asked.waiting {
        Waiting::Answer => format!("{what}, attempt {attempt}"),
        Waiting::Backoff => format!("{what}, attempt {attempt}, the next one comes"),
    }
}
