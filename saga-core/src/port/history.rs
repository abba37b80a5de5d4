//! The read side, for operators and pages: lists, one saga's timeline, and health computed from the tables.

use std::time::Duration;

use async_trait::async_trait;

use crate::definition::DefinitionRef;
use crate::id::{BusinessKey, Direction, SagaId, SagaName, StepName, Version};
use crate::policy::Timestamp;
use crate::port::{Backlog, JournalEntry, Status, StoreError, Stored};

/// Which sagas a list shows. Everything by default.
#[derive(Clone, Debug, Default)]
pub struct SagaFilter {
    /// Only sagas of this type.
    pub name: Option<SagaName>,
    /// Only sagas that stand there.
    pub status: Option<Status>,
    /// Only the saga with this business key.
    pub key: Option<BusinessKey>,
    /// Only sagas that began at least so long ago, by the database's clock. A list without a status reads past all
    /// that are younger to find them.
    pub older_than: Option<Duration>,
    /// Only sagas that began less than so long ago.
    pub younger_than: Option<Duration>,
    /// Only sagas that have not ended, and not moved for at least so long.
    pub unmoved_for: Option<Duration>,
    /// Only sagas that come after this one in the list: the last of the page before.
    pub after: Option<SagaId>,
}

/// One line of a list. Lists are ordered by id, newest first, which is the order of starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaSummary {
    /// The saga.
    pub id: SagaId,
    /// The definition it began with.
    pub definition: DefinitionRef,
    /// What the business calls it.
    pub key: Option<BusinessKey>,
    /// The saga that it is a step of, and that step, if it is one.
    pub parent: Option<(SagaId, StepName)>,
    /// Where it stands.
    pub status: Status,
    /// How many transitions it has made.
    pub version: Version,
    /// Why it is parked, if it is.
    pub parked: Option<String>,
    /// When it was started.
    pub started: Timestamp,
    /// When it last moved.
    pub moved: Timestamp,
}

/// One entry of a saga's journal, with who wrote it and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLine {
    /// The entry.
    pub entry: JournalEntry,
    /// When it was committed, by the database's clock.
    pub at: Timestamp,
    /// The process that wrote it.
    pub writer: String,
}

/// A saga with its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaDetails {
    /// The saga as a list shows it.
    pub summary: SagaSummary,
    /// The saga as it is stored.
    pub stored: Stored,
    /// Its transitions, oldest first.
    pub journal: Vec<JournalLine>,
    /// The timers of what it awaits, by step.
    pub timers: Vec<ArmedTimer>,
    /// The sagas that its steps have run, by id; at most 1,000 of them.
    pub children: Vec<SagaSummary>,
}

/// A timer of a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmedTimer {
    /// The step.
    pub step: StepName,
    /// What is awaited.
    pub direction: Direction,
    /// The attempt that is awaited.
    pub attempt: u32,
    /// When it is due, or due again if some process has just taken it.
    pub due: Timestamp,
}

/// A parked saga and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The saga.
    pub id: SagaId,
    /// Why it is parked.
    pub reason: String,
}

/// A definition that the database holds unfinished sagas of, and the asking process does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDefinition {
    /// The definition.
    pub definition: DefinitionRef,
    /// How many of its sagas have not ended.
    pub unfinished: u64,
}

/// How things stand, computed from the tables by whoever asks, so that it cannot lie.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StoreHealth {
    /// What waits in the outbox.
    pub outbox: Backlog,
    /// The saga that has waited longest for its next transition, and for how long.
    pub oldest_waiting: Option<(SagaId, Duration)>,
    /// How many sagas have neither ended nor parked.
    pub unfinished: u64,
    /// How many sagas wait for a human.
    pub parked: u64,
    /// How many replies are held for a worker that knows their definition.
    pub held: u64,
    /// Definitions that are left alone because this process does not know them.
    pub unknown: Vec<UnknownDefinition>,
}

/// What is under way, counted for whoever decides which sagas may begin.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Workload {
    /// How many sagas have neither ended nor parked, for each definition that has such.
    pub sagas: Vec<(DefinitionRef, u64)>,
    /// The steps that are awaited.
    pub awaited: Vec<AwaitedSteps>,
    /// How many messages are not yet with the broker.
    pub unsent: u64,
}

/// How often a step is awaited, over all sagas with one definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedSteps {
    /// The sagas' definition.
    pub definition: DefinitionRef,
    /// The step; all its items count as one step.
    pub step: StepName,
    /// How many sagas or items await it.
    pub count: u64,
    /// How many of them asked more than once.
    pub repeated: u64,
}

/// What operators see.
///
/// # Contract
///
/// - **Reads only**, from the primary, each in one snapshot.
/// - **Pages are bounded**: at most `limit` lines, and `limit` is at most 1,000.
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// Lists sagas, newest first; no archived ones.
    async fn list(&self, filter: &SagaFilter, limit: usize) -> Result<Vec<SagaSummary>, StoreError>;

    /// Shows one saga with its journal and its children, or `None` if there is no such saga. Archived ones are shown, too.
    async fn show(&self, saga: SagaId) -> Result<Option<SagaDetails>, StoreError>;

    /// What is under way, counted for whoever decides which sagas may begin. Definitions come in their order, and
    /// the steps of one in that of their names.
    async fn workload(&self) -> Result<Workload, StoreError>;

    /// The saga that this key was given to, whether it runs, has ended, or has left the store.
    async fn holder(&self, name: &SagaName, key: &BusinessKey) -> Result<Option<SagaId>, StoreError>;

    /// How things stand, for a process that knows the `known` definitions.
    async fn health(&self, known: &[DefinitionRef]) -> Result<StoreHealth, StoreError>;
}
