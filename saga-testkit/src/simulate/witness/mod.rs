//! The witness: sees every commit, every message and every settlement of a run, and says when a promise is broken.
//!
//! It keeps books of its own, so that it does not have to believe what it watches.

mod family;
mod forgetting;
mod limit;
mod message;
mod passed;
mod relay;
mod saga;
mod signal;
mod step;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use saga_core::definition::{DefinitionRef, Plan};
use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{Direction, ParticipantName, SagaId, StepName, Version};
use saga_core::machine::{Status, Stored};
use saga_core::message::{Envelope, Payload};
use saga_core::policy::Timestamp;
use saga_core::port::{HeldId, RowId};

pub(super) use message::Said;

/// What the witness knows.
pub(super) struct Witness {
    plans: BTreeMap<DefinitionRef, Arc<Plan>>,
    sagas: BTreeMap<SagaId, Saga>,
    fences: BTreeMap<FenceKey, FenceState>,
    /// The rows of `fences` that were deleted.
    forgotten: BTreeSet<FenceKey>,
    /// When a participant last noted the end of a saga, by its own clock.
    ends: BTreeMap<(ParticipantName, SagaId), Timestamp>,
    /// When the store last noted the end of a saga that has run others.
    parents_ended: BTreeMap<SagaId, Timestamp>,
    /// Sagas that have left the store.
    retired: BTreeSet<SagaId>,
    /// Those of them that were begun once more, only to say that they are not there: what they run as may not be done.
    tombstones: BTreeSet<SagaId>,
    /// Sagas that are through, and are never told that their parent has completed.
    unreleased: BTreeSet<SagaId>,
    /// The signals that were taken.
    signals: BTreeMap<(SagaId, StepName), Payload>,
    /// When a step's timer fired last, by the store's clock.
    fired: BTreeMap<(SagaId, StepName), Timestamp>,
    /// Replies that are kept for who knows their saga's definition.
    held: BTreeMap<HeldId, Envelope>,
    /// How many sagas that were not started by others may be under way.
    in_flight: Option<u64>,
    /// The store's time, as it was last told.
    now: Timestamp,
    rows: BTreeMap<RowId, Row>,
    /// Messages that are committed in some outbox.
    committed: BTreeSet<Said>,
    /// Messages that the broker has taken.
    taken: BTreeMap<Said, Envelope>,
    /// Messages that the broker has taken while their confirm was lost.
    unconfirmed: BTreeSet<Said>,
    received: BTreeSet<Said>,
    /// Commands to which a fault was answered.
    faulted: BTreeSet<Asked>,
    violations: Vec<String>,
}

/// A command as a participant answers it.
type Asked = (SagaId, StepName, Direction, u32);

/// A saga as its commits say it stands.
struct Saga {
    stored: Stored,
    /// The process that began it.
    begun_by: String,
    /// The saga that it is a step of, and that step.
    parent: Option<(SagaId, StepName)>,
    /// Its status when it was not parked last.
    unparked: Status,
    /// Whether it came through, as a step of another saga.
    was_through: bool,
    /// When it moved last, by the store's clock.
    moved: Timestamp,
    /// Its data at the beginning.
    input: Bytes,
    /// Whether it was ever parked.
    was_parked: bool,
    /// The commands that were sent, and the last attempt of each.
    sent: BTreeMap<(StepName, Direction), u32>,
    /// The final answers that were accepted.
    accepted: BTreeSet<(StepName, Direction)>,
}

/// An outbox row.
struct Row {
    said: Said,
    /// The process that claimed it last.
    claimed_by: String,
}

impl Witness {
    pub(super) fn new(plans: &[Arc<Plan>], in_flight: Option<u64>) -> Self {
        Witness {
            plans: plans.iter().map(|plan| (plan.reference().clone(), plan.clone())).collect(),
            sagas: BTreeMap::new(),
            fences: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            ends: BTreeMap::new(),
            parents_ended: BTreeMap::new(),
            retired: BTreeSet::new(),
            tombstones: BTreeSet::new(),
            unreleased: BTreeSet::new(),
            signals: BTreeMap::new(),
            fired: BTreeMap::new(),
            held: BTreeMap::new(),
            in_flight,
            now: Timestamp::default(),
            rows: BTreeMap::new(),
            committed: BTreeSet::new(),
            taken: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            received: BTreeSet::new(),
            faulted: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    pub(super) fn violation(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what);
        }
    }

    pub(super) fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// The sagas that were started, in the order of their ids.
    pub(super) fn sagas(&self) -> Vec<SagaId> {
        self.sagas.keys().copied().collect()
    }

    pub(super) fn time_is(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The plan that a saga has.
    pub(super) fn plan(&self, saga: SagaId) -> Option<&Arc<Plan>> {
        self.plans.get(&self.sagas.get(&saga)?.stored.definition)
    }

    pub(super) fn status(&self, saga: SagaId) -> Option<Status> {
        self.sagas.get(&saga).map(|saga| saga.stored.status)
    }

    /// The sagas that have completed, and are no steps of others.
    pub(super) fn completed(&self) -> Vec<SagaId> {
        let is_completed = |saga: &Saga| saga.stored.status == Status::Completed && saga.parent.is_none();
        self.sagas.iter().filter(|(_, saga)| is_completed(saga)).map(|(id, _)| *id).collect()
    }

    pub(super) fn is_parked_over(&self, saga: SagaId, what: &str) -> bool {
        let parked = self.sagas.get(&saga).and_then(|saga| saga.stored.parked.as_deref());
        parked.is_some_and(|reason| reason.contains(what))
    }

    pub(super) fn version(&self, saga: SagaId) -> Option<Version> {
        self.sagas.get(&saga).map(|saga| saga.stored.version)
    }

    /// The data that a saga began with.
    pub(super) fn input(&self, saga: SagaId) -> Option<Payload> {
        Payload::from_bytes(self.sagas.get(&saga)?.input.clone()).ok()
    }

    /// Some of the messages that the broker has taken.
    pub(super) fn some_taken(&self, limit: usize) -> Vec<Envelope> {
        let every = self.taken.len().div_ceil(limit).max(1);
        self.taken.values().step_by(every).cloned().collect()
    }

    /// The sagas that have not ended, parked ones included.
    pub(super) fn unfinished(&self) -> Vec<(SagaId, Status)> {
        let unfinished = self.sagas.iter().filter(|(_, saga)| !saga.stored.status.is_terminal());
        let unfinished = unfinished.filter(|(id, _)| !self.unreleased.contains(id));
        unfinished.map(|(id, saga)| (*id, saga.stored.status)).collect()
    }
}

/// The first few say what is wrong; the rest follow from them.
const VIOLATIONS_MAX: usize = 20;
