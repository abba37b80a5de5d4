//! The orchestrator's tables and what one commit does to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use super::outbox::OutboxTable;
use crate::definition::{DefinitionRef, Fingerprint, step_of};
use crate::id::{BusinessKey, Direction, ParticipantName, SagaId, SagaName, StepName, Version};
use crate::policy::Timestamp;
use crate::port::{
    ArmedTimer, AwaitedSteps, Change, Commit, CommitError, Committed, HeldId, HeldReply, JournalLine, Start,
    Status, StoreError, Stored, TimerChange, TimerDue,
};

/// Everything that a store remembers.
#[derive(Clone, Default)]
pub(super) struct Tables {
    definitions: BTreeMap<(SagaName, u32), Fingerprint>,
    pub(super) sagas: BTreeMap<SagaId, Saga>,
    /// Those who have retired as well.
    pub(super) archive: BTreeMap<SagaId, Saga>,
    pub(super) participants: BTreeMap<DefinitionRef, BTreeSet<ParticipantName>>,
    /// Whose key it is, and the digest of what that saga was started with.
    pub(super) keys: HashMap<(SagaName, BusinessKey), (SagaId, Uuid)>,
    timers: BTreeMap<(SagaId, StepName), Timer>,
    pub(super) held: BTreeMap<HeldId, HeldReply>,
    pub(super) outbox: OutboxTable,
}

/// One saga's row and its journal.
#[derive(Clone)]
pub(super) struct Saga {
    pub(super) stored: Stored,
    pub(super) key: Option<BusinessKey>,
    pub(super) parent: Option<(SagaId, StepName)>,
    pub(super) started: Timestamp,
    pub(super) moved: Timestamp,
    /// When it was last said that whoever ran it as a step has ended.
    pub(super) parent_ended: Option<Timestamp>,
    pub(super) journal: Vec<JournalLine>,
}

#[derive(Clone)]
struct Timer {
    direction: Direction,
    attempt: u32,
    due: Timestamp,
    /// Whether it was given its grace.
    put_off: bool,
}

impl Tables {
    pub(super) fn register(&mut self, definitions: &[DefinitionRef]) -> Result<(), StoreError> {
        if let Some(changed) = definitions.iter().find(|definition| self.runs_changed(definition)) {
            return Err(StoreError::Rejected(format!(
                "{changed} has changed while sagas of it are running; give the changed definition a new version"
            )));
        }
        self.definitions.extend(
            definitions
                .iter()
                .map(|definition| ((definition.name.clone(), definition.version), definition.fingerprint)),
        );
        Ok(())
    }

    /// Whether a saga that has not ended has this definition's name and version, and another fingerprint.
    fn runs_changed(&self, definition: &DefinitionRef) -> bool {
        self.unfinished().any(|saga| {
            let pinned = &saga.stored.definition;
            pinned.name == definition.name
                && pinned.version == definition.version
                && pinned.fingerprint != definition.fingerprint
        })
    }

    pub(super) fn timers_of(&self, saga: SagaId) -> Vec<ArmedTimer> {
        let timers = self.timers.iter().filter(|((whose, _), _)| *whose == saga);
        let armed = timers.map(|((_, step), timer)| {
            let Timer { direction, attempt, due, .. } = *timer;
            ArmedTimer { step: step.clone(), direction, attempt, due }
        });
        armed.collect()
    }

    /// The steps that have timers.
    pub(super) fn awaited(&self) -> Vec<AwaitedSteps> {
        let mut counts: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for ((saga, step), timer) in &self.timers {
            if let Some(saga) = self.sagas.get(saga) {
                let (count, repeated) =
                    counts.entry((saga.stored.definition.clone(), step_of(step))).or_default();
                *count += 1;
                *repeated += u64::from(timer.attempt > 1);
            }
        }
        let awaited = counts.into_iter().map(|((definition, step), (count, repeated))| AwaitedSteps {
            definition,
            step,
            count,
            repeated,
        });
        awaited.collect()
    }

    /// The sagas that have not ended, parked ones included.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &Saga> {
        self.sagas.values().filter(|saga| !saga.stored.status.is_terminal())
    }

    /// Stores one commit whole, or says why not and stores nothing.
    pub(super) fn commit(
        &mut self,
        commit: &Commit,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Committed, CommitError> {
        let read_at = match &commit.change {
            Change::Start(start) => match self.existing(start)? {
                Some(existing) => return Ok(existing),
                None => self.check_start(commit.id, start)?,
            },
            Change::Move { expected } => self.check_move(commit.id, *expected)?,
            Change::Upgrade { expected, definition } => {
                self.check_registered(definition)?;
                self.check_move(commit.id, *expected)?
            }
        };
        if let Some(mistake) = mistake(commit, read_at).or_else(|| self.outbox.mistake(commit.outbox.iter()))
        {
            return Err(CommitError::Rejected(mistake));
        }
        self.write(commit, now);
        self.outbox.insert(commit.outbox.iter(), lease, now);
        Ok(Committed::Stored)
    }

    /// The saga that has the start's business key already, if its input is the same.
    fn existing(&self, start: &Start) -> Result<Option<Committed>, CommitError> {
        let Some(key) = &start.key else {
            return Ok(None);
        };
        match self.keys.get(&(start.definition.name.clone(), key.clone())) {
            None => Ok(None),
            Some((saga, input)) if *input == start.input => Ok(Some(Committed::Existing(*saga))),
            Some((saga, _)) => Err(CommitError::KeyTaken(*saga)),
        }
    }

    /// A new saga is read at version 0.
    fn check_start(&self, id: SagaId, start: &Start) -> Result<Version, CommitError> {
        if self.sagas.contains_key(&id) {
            return Err(CommitError::Conflict);
        }
        self.check_registered(&start.definition)?;
        Ok(0)
    }

    fn check_registered(&self, definition: &DefinitionRef) -> Result<(), CommitError> {
        let registered = self.definitions.get(&(definition.name.clone(), definition.version));
        match registered == Some(&definition.fingerprint) {
            true => Ok(()),
            false => {
                let why = format!("{definition} is not registered, or with another fingerprint");
                Err(CommitError::Rejected(why))
            }
        }
    }

    fn check_move(&self, id: SagaId, expected: Version) -> Result<Version, CommitError> {
        let stored = self.sagas.get(&id).map(|saga| saga.stored.version);
        if stored == Some(expected) { Ok(expected) } else { Err(CommitError::Conflict) }
    }

    fn write(&mut self, commit: &Commit, now: Timestamp) {
        if let Change::Start(start) = &commit.change {
            self.insert(commit.id, start, now);
        }
        if let Some(saga) = self.sagas.get_mut(&commit.id) {
            saga.apply(commit, now);
            if let Change::Upgrade { definition, .. } = &commit.change {
                saga.stored.definition = definition.clone();
            }
        }
        for timer in &commit.timers {
            self.set_timer(commit.id, timer, now);
        }
    }

    fn insert(&mut self, id: SagaId, start: &Start, now: Timestamp) {
        if let Some(key) = &start.key {
            let name = start.definition.name.clone();
            self.keys.insert((name, key.clone()), (id, start.input));
        }
        self.sagas.insert(id, Saga::new(id, start, now));
    }

    fn set_timer(&mut self, saga: SagaId, change: &TimerChange, now: Timestamp) {
        let row = (saga, change.step().clone());
        match *change {
            TimerChange::Arm { direction, attempt, after, .. } => {
                let due = now.plus(after);
                self.timers.insert(row, Timer { direction, attempt, due, put_off: false });
            }
            TimerChange::Drop { .. } => {
                self.timers.remove(&row);
            }
        }
    }

    /// Gives the timers that nobody took for longer than `grace` that much time once more.
    pub(super) fn put_off_timers(&mut self, known: &[DefinitionRef], grace: Duration, now: Timestamp) {
        let sagas = &self.sagas;
        let late = |timer: &Timer| !timer.put_off && now.since(timer.due) > grace;
        let known = self.timers.iter_mut().filter(|((saga, _), _)| has_definition(sagas, saga, known));
        for (_, timer) in known.filter(|(_, timer)| late(timer)) {
            (timer.due, timer.put_off) = (now.plus(grace), true);
        }
    }

    pub(super) fn due_timers(
        &mut self,
        known: &[DefinitionRef],
        limit: usize,
        lease: Duration,
        now: Timestamp,
    ) -> Vec<TimerDue> {
        let sagas = &self.sagas;
        let due = self
            .timers
            .iter_mut()
            .filter(|((saga, _), timer)| timer.due <= now && has_definition(sagas, saga, known));
        due.take(limit)
            .map(|((saga, step), timer)| {
                timer.due = now.plus(lease);
                TimerDue {
                    saga: *saga,
                    step: step.clone(),
                    direction: timer.direction,
                    attempt: timer.attempt,
                }
            })
            .collect()
    }

    pub(super) fn held(&self, known: &[DefinitionRef], limit: usize) -> Vec<HeldReply> {
        let held = self.held.values();
        held.filter(|reply| has_definition(&self.sagas, &reply.saga, known)).take(limit).cloned().collect()
    }
}

fn has_definition(sagas: &BTreeMap<SagaId, Saga>, saga: &SagaId, known: &[DefinitionRef]) -> bool {
    sagas.get(saga).is_some_and(|saga| known.contains(&saga.stored.definition))
}

impl Saga {
    /// A saga before its first transition.
    fn new(id: SagaId, start: &Start, now: Timestamp) -> Self {
        Saga {
            stored: Stored {
                id,
                definition: start.definition.clone(),
                version: 0,
                status: Status::Running,
                state: Default::default(),
                data: Default::default(),
                parked: None,
            },
            key: start.key.clone(),
            parent: start.parent.clone(),
            started: now,
            moved: now,
            parent_ended: None,
            journal: Vec::new(),
        }
    }

    fn apply(&mut self, commit: &Commit, now: Timestamp) {
        self.stored.version += commit.journal.len() as Version;
        self.stored.status = commit.status;
        self.stored.state = commit.state.clone();
        self.stored.data = commit.data.clone();
        self.stored.parked = commit.parked.clone();
        self.moved = now;
        self.journal.extend(commit.journal.iter().map(|entry| JournalLine {
            entry: entry.clone(),
            at: now,
            writer: WRITER.into(),
        }));
    }
}

/// Says what tables with constraints would refuse about a commit of a saga that was read at version `read_at`.
fn mistake(commit: &Commit, read_at: Version) -> Option<String> {
    let versions = commit.journal.iter().map(|entry| entry.version);
    if commit.journal.is_empty() {
        Some("a commit without a journal entry".into())
    } else if !versions.eq((read_at..).skip(1).take(commit.journal.len())) {
        Some(format!("journal versions that do not follow {read_at}"))
    } else if commit.parked.is_some() != (commit.status == Status::Parked) {
        Some("a reason for parking without the status, or the other way round".into())
    } else {
        None
    }
}

/// Who wrote a journal line: there is only this process.
const WRITER: &str = "memory";
