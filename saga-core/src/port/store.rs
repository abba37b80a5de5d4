//! The orchestrator's side of the database: sagas, their journal, their commands and their timers.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::definition::DefinitionRef;
use crate::id::{BusinessKey, Direction, SagaId, StepName, Version};
use crate::machine::{Status, Stored};
use crate::message::Envelope;
use crate::policy::Timestamp;
use crate::port::{OutboxRow, StoreError};

/// What [`Store::load`] found, and when.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The database's time.
    pub now: Timestamp,
    /// The sagas that exist, in no order.
    pub sagas: Vec<Stored>,
}

/// One saga's part of a batch: all of it is stored, or none.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The saga.
    pub id: SagaId,
    /// Whether this starts the saga or moves it.
    pub change: Change,
    /// Its status afterwards.
    pub status: Status,
    /// Its state afterwards.
    pub state: Bytes,
    /// Its data afterwards.
    pub data: Bytes,
    /// Why it is parked afterwards; set exactly if `status` is [`Status::Parked`].
    pub parked: Option<String>,
    /// One entry for each transition, at least one. Versions follow one another; the last is the saga's new version.
    pub journal: Vec<JournalEntry>,
    /// Messages to send.
    pub outbox: Vec<OutboxRow>,
    /// Timers to arm or drop, at most one change for each step.
    pub timers: Vec<TimerChange>,
}

/// Whether a commit starts a saga or moves one.
#[derive(Clone, Debug)]
pub enum Change {
    /// The saga is new.
    Start(Start),
    /// The saga was read at this version, and is moved only if it still has it.
    Move {
        /// The version it was read at.
        expected: Version,
    },
    /// As a move, and the saga has another definition afterwards, which must be registered. So have its timers.
    Upgrade {
        /// The version it was read at.
        expected: Version,
        /// The definition it has from now on.
        definition: DefinitionRef,
    },
}

/// What is stored of a saga only once.
#[derive(Clone, Debug)]
pub struct Start {
    /// The definition it keeps.
    pub definition: DefinitionRef,
    /// What the business calls it, if anything.
    pub key: Option<BusinessKey>,
    /// A digest of the input; the same key with another input is an error.
    pub input: Uuid,
    /// The saga that it is a step of, and that step, if it is one.
    pub parent: Option<(SagaId, StepName)>,
}

/// One transition: what came, what was decided, and when. Folding the events again gives the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The version that this transition made.
    pub version: Version,
    /// The event, encoded.
    pub event: Bytes,
    /// The `now` that the decision was made with.
    pub now: Timestamp,
    /// What was decided, in a few words for a human.
    pub decision: String,
}

/// A timer of one step. A step has at most one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// Sets the step's timer, or replaces the one it has.
    Arm {
        /// The step.
        step: StepName,
        /// What is awaited.
        direction: Direction,
        /// The attempt that is awaited.
        attempt: u32,
        /// How long from the commit on, by the database's clock.
        after: Duration,
    },
    /// Removes the step's timer, if it has one.
    Drop {
        /// The step.
        step: StepName,
    },
}

impl TimerChange {
    /// The step whose timer changes.
    pub const fn step(&self) -> &StepName {
        match self {
            TimerChange::Arm { step, .. } | TimerChange::Drop { step } => step,
        }
    }
}

/// A timer whose time has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimerDue {
    /// The saga.
    pub saga: SagaId,
    /// The step.
    pub step: StepName,
    /// What was awaited.
    pub direction: Direction,
    /// The attempt that was awaited.
    pub attempt: u32,
}

/// What became of one commit of a batch that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The saga is started or moved.
    Stored,
    /// A saga with this business key and the same input exists already; nothing was stored.
    Existing(SagaId),
}

/// One commit of a batch was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Another worker moved the saga first. Load it and decide again.
    #[error("another worker moved the saga first")]
    Conflict,
    /// The business key belongs to a saga that was started with another input.
    #[error("the business key belongs to saga {0}, which was started with another input")]
    KeyTaken(SagaId),
    /// The database will never take this commit, and takes the others of the batch.
    #[error("the store refused: {0}")]
    Rejected(String),
    /// The store could not be asked, or not about this commit: the whole batch failed, or it is a start whose business key
    /// is held by a transaction that has not ended.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommitError {
    /// Whether the same commit may succeed later. A [`Conflict`](CommitError::Conflict) needs a new decision first.
    pub const fn is_temporary(&self) -> bool {
        match self {
            CommitError::Store(error) => error.is_temporary(),
            CommitError::Conflict | CommitError::KeyTaken(_) | CommitError::Rejected(_) => false,
        }
    }
}

/// Names a held reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeldId(pub Uuid);

/// A reply for a saga whose definition the process that received it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldReply {
    /// The row's id.
    pub id: HeldId,
    /// The saga.
    pub saga: SagaId,
    /// The reply as it came.
    pub envelope: Envelope,
}

/// Sagas, their journal, their outbox rows and their timers.
///
/// # Contract
///
/// - **Atomicity**: a [`Commit`] is stored whole or not at all, and a batch in one database transaction.
/// - **Compare-and-set**: a move succeeds only if the stored version is the expected one. Journal, outbox and
///   timers of a saga that lost the race are not written, and the other sagas of the batch are not harmed.
/// - **Bad data is alone**: a commit that the database refuses is found, reported as
///   [`CommitError::Rejected`], and the others are stored.
/// - **A held key is alone**: a start whose business key another transaction has written and not committed is given up
///   as [`StoreError::Unavailable`] before long, and the others are stored.
/// - **Twice is once**: storing the same batch again gives `Conflict` (or the same `Existing`), never a second effect.
///   A commit whose answer was lost is read back by key; it is reported as it is.
/// - **Time is the database's**: `now`, due times and leases are computed by it.
/// - **A dropped future** may or may not have had its effect.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes definitions known. Sagas refer to them by name, version and fingerprint, and one whose definition is
    /// not registered so is not started: its commit is rejected.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] if one is stored with the same name and version and another fingerprint, while a
    /// saga of it has not ended; the message says which, and to give the changed definition a new version.
    async fn register(&self, definitions: &[DefinitionRef]) -> Result<(), StoreError>;

    /// Reads the database's time, and the sagas that exist of those asked for.
    async fn load(&self, sagas: &[SagaId]) -> Result<Loaded, StoreError>;

    /// Stores a batch of transitions, each whole or not at all: state, journal, messages to send, timers.
    ///
    /// Returns one result per commit, in the same order. `batch` holds each saga at most once. Claimed outbox
    /// rows are left alone by sweepers for `lease`.
    ///
    /// # Errors
    ///
    /// [`CommitError`], one for each commit that was not stored.
    async fn commit(&self, batch: &[Commit], lease: Duration) -> Vec<Result<Committed, CommitError>>;

    /// Takes up to `limit` timers that are due, of sagas with one of the `known` definitions, and leaves them to
    /// the caller for `lease`; after that they are due again unless a commit changed them.
    ///
    /// A timer that has been due for longer than `grace` is put off instead, to be due `grace` from now: nobody was
    /// there to take it, so nobody took the answer either that it was set for. That happens to a timer once, until a
    /// commit arms it anew.
    async fn due_timers(
        &self,
        known: &[DefinitionRef],
        limit: usize,
        lease: Duration,
        grace: Duration,
    ) -> Result<Vec<TimerDue>, StoreError>;

    /// Keeps replies for a worker that knows their definition, all or none. Keeping one twice keeps it once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] if one of them can never be kept; alone, it is dead-lettered.
    async fn hold(&self, replies: &[HeldReply]) -> Result<(), StoreError>;

    /// Reads up to `limit` held replies of sagas with one of the `known` definitions. They stay until dropped.
    async fn held(&self, known: &[DefinitionRef], limit: usize) -> Result<Vec<HeldReply>, StoreError>;

    /// Drops held replies that were taken into account.
    async fn drop_held(&self, replies: &[HeldId]) -> Result<(), StoreError>;

    /// Notes at the sagas that were run as steps of these that whoever ran them has ended, there or in another store.
    /// Noting it again notes the later time.
    async fn note_ended(&self, parents: &[SagaId]) -> Result<(), StoreError>;
}

/// A store in whose transactions a saga's local steps work, so that their work commits with the saga's transition.
///
/// # Contract
///
/// - **One transaction**: what a handler writes through `Tx` and the transition that [`finish`](RunIn::finish) stores
///   are committed together, or neither is.
/// - **Compare-and-set** as in [`Store::commit`]: a saga that was moved meanwhile is not moved again, and what the
///   handler wrote is rolled back.
/// - **A dropped `Tx` is rolled back.**
#[async_trait]
pub trait RunIn: Store {
    /// The transaction that handlers work in.
    type Tx: Send + 'static;

    /// Opens a transaction. It locks nothing of the store's.
    async fn begin_work(&self) -> Result<Self::Tx, StoreError>;

    /// Marks a point that [`rollback`](RunIn::rollback) returns to. An earlier mark is forgotten.
    async fn savepoint(&self, tx: &mut Self::Tx) -> Result<(), StoreError>;

    /// Undoes what was written since the last mark.
    async fn rollback(&self, tx: &mut Self::Tx) -> Result<(), StoreError>;

    /// Stores moves of different sagas in the transaction, all or none, and commits it; their outbox rows are not claimed.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`] for the first that is not stored; nothing is stored then. After [`StoreError::Ambiguous`] all
    /// may have been. [`StoreError::Rejected`] says that what the handlers did was refused, and not a move.
    async fn finish(&self, tx: Self::Tx, moves: &[Commit]) -> Result<(), CommitError>;
}

/// A store that can start a saga inside a transaction of the caller's, so that both commit together.
#[async_trait]
pub trait StartIn: Store {
    /// The caller's transaction.
    type Tx: Send + ?Sized;

    /// The database's time, read through the caller's transaction.
    async fn now_in(&self, tx: &mut Self::Tx) -> Result<Timestamp, StoreError>;

    /// Stores the commit, which must be a start, in the caller's transaction; its outbox rows are not claimed.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`]. The transaction stays usable after [`CommitError::KeyTaken`].
    async fn start_in(&self, tx: &mut Self::Tx, start: &Commit) -> Result<Committed, CommitError>;
}
