//! Sagas: each commit is held against everything that was committed before it.

use std::collections::{BTreeMap, BTreeSet};

use saga_core::definition::{CommandPlan, StepPlan};
use saga_core::fence::FenceState;
use saga_core::id::{Direction, SagaId, StepName};
use saga_core::machine::{Event, Status, Stored};
use saga_core::message::{Answer, CommandMessage};
use saga_core::policy::Timestamp;
use saga_core::port::{Change, Commit, JournalEntry, TimerDue};

use super::{Saga, Witness};
use crate::simulate::counters::{Counters, Seen};

impl Witness {
    /// A commit was stored.
    pub(in crate::simulate) fn committed(&mut self, process: &str, commit: &Commit, counters: &mut Counters) {
        for row in &commit.outbox {
            self.inserted(process, row);
        }
        if self.retired.contains(&commit.id) && matches!(commit.change, Change::Start(_)) {
            return self.begun_again(commit);
        }
        self.check_pauses(commit, counters);
        let before = self.follow(process, commit, counters);
        for entry in &commit.journal {
            self.journalled(commit.id, entry, counters);
        }
        // The others are answers, releases, and notifications, of which nothing comes back.
        for command in commit.outbox.iter().filter_map(|row| CommandMessage::decode(&row.envelope).ok()) {
            self.sent(commit, &command);
        }
        self.check_end(commit.id);
        self.count_skipped(commit, counters);
        self.check_signals(commit.id, counters);
        self.check_family(commit, counters);
        count(before, commit, counters);
    }

    /// S1, S2, S7, S11: versions follow one another, and nothing follows the end. Returns the status before.
    fn follow(&mut self, process: &str, commit: &Commit, counters: &mut Counters) -> Option<Status> {
        let before = self.sagas.get(&commit.id).map(|saga| (saga.stored.version, saga.stored.status));
        let version = match &commit.change {
            Change::Start(start) => {
                let definition = start.definition.clone();
                let saga = Saga::new(process, stored(commit, definition), start.parent.clone());
                self.sagas.insert(commit.id, saga);
                self.check_limit(process);
                0
            }
            Change::Move { expected } => *expected,
            Change::Upgrade { expected, definition } => {
                self.upgraded(commit.id, definition, counters);
                if let Some(saga) = self.sagas.get_mut(&commit.id) {
                    saga.stored.definition = definition.clone();
                }
                *expected
            }
        };
        if version != before.map_or(0, |(version, _)| version) {
            self.violation(format!("S2: {} is moved from version {version}, and has {before:?}", commit.id));
        }
        if before.is_some_and(|(_, status)| status.is_terminal()) {
            self.violation(format!("S7: {} has ended, and moves on", commit.id));
        }
        if let Some(saga) = self.sagas.get_mut(&commit.id) {
            let definition = saga.stored.definition.clone();
            let version = version + commit.journal.len() as u64;
            saga.stored = Stored { version, ..stored(commit, definition) };
            saga.was_parked |= commit.status == Status::Parked;
            saga.was_through |= commit.status == Status::Provisional;
            if commit.status != Status::Parked {
                saga.unparked = commit.status;
            }
            saga.moved = commit.journal.last().map_or(saga.moved, |entry| entry.now);
        }
        before.map(|(_, status)| status)
    }

    /// S10: an accepted answer answers a command that was sent, once, and is true.
    fn journalled(&mut self, id: SagaId, entry: &JournalEntry, counters: &mut Counters) {
        let (step, direction, attempt, answer) = match serde_json::from_slice(&entry.event) {
            Ok(Event::Replied { step, direction, attempt, answer }) => (step, direction, attempt, answer),
            Ok(Event::Asked { direction, .. }) => return self.check_asked(id, direction),
            Ok(Event::Signalled { step, signal }) => {
                if entry.decision.ends_with("kept") {
                    counters.count(Seen::SignalEarly);
                }
                return self.taken_signal(id, step, signal);
            }
            Ok(_) | Err(_) => return,
        };
        // An event that only parks its saga is not accepted: it comes again once the saga is released.
        let is_local = self.step(id, &step).and_then(StepPlan::command).is_some_and(CommandPlan::is_local);
        let Some(saga) = self.sagas.get_mut(&id).filter(|_| !entry.decision.starts_with("parked")) else {
            return;
        };
        if is_local {
            // What is asked of it is no message.
            saga.sent.insert((step.clone(), direction), attempt);
        }
        let last = saga.sent.get(&(step.clone(), direction)).copied().unwrap_or_default();
        let is_final = !matches!(answer, Answer::Fault(_) | Answer::Running);
        let is_first = !is_final || saga.accepted.insert((step.clone(), direction));
        let is_undone =
            direction == Direction::Do && saga.sent.contains_key(&(step.clone(), Direction::Undo));
        let what = format!("{} to {direction} {step} of {id}, attempt {attempt}, is accepted", answer.name());
        if attempt > last {
            self.violation(format!("S10: {what}, and {last} attempts were sent"));
        }
        if !is_first {
            self.violation(format!("S10: {what} a second time"));
        }
        if is_undone {
            self.violation(format!("S10: {what} after the step's undo was sent"));
        }
        // The effect of a local step is one with its transition.
        if !is_local && !self.is_true(id, &step, &answer) {
            self.violation(format!("S10: {what}, and its participant knows nothing of it"));
        }
    }

    fn is_true(&self, id: SagaId, step: &StepName, answer: &Answer) -> bool {
        let fence = self.fence(id, step);
        match answer {
            Answer::Done(_) => matches!(fence, Some(FenceState::Applied(_) | FenceState::Compensated)),
            Answer::Refused(_) => matches!(fence, Some(FenceState::Refused(_))),
            Answer::Undone | Answer::Closed => {
                matches!(fence, Some(FenceState::Refused(_) | FenceState::Compensated | FenceState::Closed))
            }
            Answer::Running | Answer::Fault(_) => true,
        }
    }

    /// S5 and S6: nothing is begun after the saga turned back, and what was done is undone from its end.
    fn sent(&mut self, commit: &Commit, command: &CommandMessage) {
        let CommandMessage { saga: id, step, direction, attempt, .. } = command;
        let Some(saga) = self.sagas.get_mut(id) else { return };
        let is_first = saga.sent.insert((step.clone(), *direction), *attempt).is_none();
        let goes_back = saga.sent.keys().any(|(_, direction)| *direction == Direction::Undo);
        match direction {
            Direction::Do if goes_back && is_first => {
                self.violation(format!("S5: {step} of {id} is sent, and an undo was sent before"));
            }
            Direction::Undo
                if matches!(commit.status, Status::Running | Status::Provisional | Status::Completed) =>
            {
                self.violation(format!("S5: {step} of {id} is undone, and the saga goes forward"));
            }
            Direction::Undo if is_first => self.check_order(*id, step),
            Direction::Do | Direction::Undo | Direction::Close => {}
        }
    }

    fn check_order(&mut self, id: SagaId, undone: &StepName) {
        let Some(plan) = self.plan(id).cloned() else { return };
        let group = |step| {
            let place = plan.position_of(step)?;
            plan.groups().iter().position(|group| group.contains(&place))
        };
        for step in self.sent_steps(id).iter().filter(|step| group(step) > group(undone)) {
            if let Some(why) = self.why_unsettled(id, step) {
                self.violation(format!("S6: {undone} of {id} is undone, and the later {step} {why}"));
            }
        }
    }

    /// The steps whose work was asked for.
    pub(super) fn sent_steps(&self, id: SagaId) -> Vec<StepName> {
        let sent = self.sagas.get(&id).into_iter().flat_map(|saga| saga.sent.keys());
        sent.filter(|(_, direction)| *direction == Direction::Do).map(|(step, _)| step.clone()).collect()
    }

    /// S4: a saga that has ended tells the truth. Looked at when it ends, and again when all is quiet.
    pub(in crate::simulate) fn check_end(&mut self, id: SagaId) {
        let Some(status) = self.status(id) else { return };
        let mut steps = self.sent_steps(id);
        if matches!(status, Status::Provisional | Status::Completed) {
            let all = self.plan(id).into_iter().flat_map(|plan| plan.steps());
            steps.extend(all.filter(|step| must_be_sent(step)).map(|step| step.name.clone()));
        }
        for step in steps {
            let why = match status {
                Status::Provisional | Status::Completed => self.why_not_done(id, &step),
                Status::Compensated => self.why_unsettled(id, &step),
                Status::Running | Status::Compensating | Status::Parked => None,
            };
            if let Some(why) = why {
                self.violation(format!("S4: {id} is {}, and {step} {why}", status.as_str()));
            }
        }
        if matches!(status, Status::Provisional | Status::Completed) {
            self.check_told(id);
        }
    }

    /// A caller was told how a saga ended.
    pub(in crate::simulate) fn told(&mut self, id: SagaId, status: Status) {
        let is_known = self.status(id);
        if is_known != Some(status) {
            self.violation(format!(
                "S4: a caller was told that {id} is {}, and it is {is_known:?}",
                status.as_str()
            ));
        }
    }

    pub(in crate::simulate) fn fired(&mut self, due: &[TimerDue], now: Timestamp, counters: &mut Counters) {
        for TimerDue { saga, step, direction, .. } in due {
            self.fired.insert((*saga, step.clone()), now);
            if self.is_reply_under_way(*saga, step, *direction) {
                counters.count(Seen::TimerMetReply);
            }
        }
    }
}

impl Saga {
    fn new(process: &str, stored: Stored, parent: Option<(SagaId, StepName)>) -> Self {
        Saga {
            begun_by: process.to_owned(),
            input: stored.data.clone(),
            parent,
            unparked: stored.status,
            was_through: false,
            moved: Timestamp::default(),
            stored,
            was_parked: false,
            sent: BTreeMap::new(),
            accepted: BTreeSet::new(),
        }
    }
}

/// Whether no saga completes without this step: neither its data nor its items decide, and no signal takes its place.
pub(super) fn must_be_sent(step: &StepPlan) -> bool {
    !step.conditional && step.items_at_once.is_none() && step.command().is_some()
}

fn stored(commit: &Commit, definition: saga_core::definition::DefinitionRef) -> Stored {
    Stored {
        id: commit.id,
        definition,
        version: 0,
        status: commit.status,
        state: commit.state.clone(),
        data: commit.data.clone(),
        parked: commit.parked.clone(),
    }
}

fn count(before: Option<Status>, commit: &Commit, counters: &mut Counters) {
    match commit.status {
        Status::Completed => counters.count(Seen::Completed),
        Status::Compensated => counters.count(Seen::Compensated),
        Status::Running | Status::Compensating | Status::Provisional | Status::Parked => {}
    }
    if before == Some(Status::Parked) && commit.status != Status::Parked {
        counters.count(Seen::Released);
    }
    if commit.parked.as_ref().is_some_and(|why| why.contains("this build reads")) {
        counters.count(Seen::UnreadableParked);
    }
}
