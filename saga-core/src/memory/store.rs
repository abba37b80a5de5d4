//! The orchestrator's store in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::TokioClock;
use super::tables::Tables;
use crate::definition::DefinitionRef;
use crate::id::SagaId;
use crate::policy::Timestamp;
use crate::port::{
    Backlog, Change, Clock, Commit, CommitError, Committed, HeldId, HeldReply, Loaded, Outbox, OutboxRow,
    RowId, RunIn, StartIn, Store, StoreError, TimerDue,
};

/// Sagas, their journal, their outbox and their timers, in memory.
///
/// Clones share what is stored. Only what is retired leaves it, and the archive keeps that.
///
/// # Example: the store of a test
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use saga_core::memory::MemoryStore;
/// use saga_core::port::Store;
///
/// let store = MemoryStore::default();
/// assert!(store.load(&[]).await.unwrap().sagas.is_empty());
/// # });
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    pub(super) tables: Arc<Mutex<Tables>>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A transaction of [`MemoryStore`]: the store is its own until it is committed or dropped.
///
/// It works on a copy of everything, which is simple and right, and slow on a large store.
pub struct MemoryStoreTx {
    stored: OwnedMutexGuard<Tables>,
    copy: Tables,
}

/// A transaction of [`MemoryStore`] that a local step works in: what it is to do if it is committed.
#[derive(Default)]
pub struct MemoryWorkTx {
    work: Vec<Box<dyn FnOnce() + Send>>,
    /// How much of it there was at the savepoint.
    marked: usize,
}

impl MemoryWorkTx {
    /// Has this done when the transaction is committed, and never if it is not.
    pub fn on_commit(&mut self, work: impl FnOnce() + Send + 'static) {
        self.work.push(Box::new(work));
    }
}

impl Default for MemoryStore {
    /// An empty store on [`TokioClock`].
    fn default() -> Self {
        MemoryStore::new(Arc::new(TokioClock::default()))
    }
}

impl MemoryStore {
    /// An empty store whose due times and leases go by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        MemoryStore { tables: Arc::default(), clock }
    }

    /// Opens a transaction for [`StartIn::start_in`].
    ///
    /// Every other call on the store waits until it is committed or dropped; a task that makes one meanwhile waits
    /// for itself.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn begin(&self) -> MemoryStoreTx {
        let stored = self.tables.clone().lock_owned().await;
        let copy = stored.clone();
        MemoryStoreTx { stored, copy }
    }

    /// The outbox rows that were set aside, each with its reason.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn dead_rows(&self) -> Vec<(OutboxRow, String)> {
        self.tables.lock().await.outbox.dead()
    }
}

impl MemoryStoreTx {
    /// Makes what was started in this transaction visible to everyone.
    pub fn commit(mut self) {
        *self.stored = self.copy;
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn register(&self, definitions: &[DefinitionRef]) -> Result<(), StoreError> {
        self.tables.lock().await.register(definitions)
    }

    async fn load(&self, sagas: &[SagaId]) -> Result<Loaded, StoreError> {
        let tables = self.tables.lock().await;
        let found = sagas.iter().filter_map(|id| tables.sagas.get(id));
        Ok(Loaded { now: self.clock.now(), sagas: found.map(|saga| saga.stored.clone()).collect() })
    }

    async fn commit(&self, batch: &[Commit], lease: Duration) -> Vec<Result<Committed, CommitError>> {
        let mut tables = self.tables.lock().await;
        let now = self.clock.now();
        batch.iter().map(|commit| tables.commit(commit, lease, now)).collect()
    }

    async fn due_timers(
        &self,
        known: &[DefinitionRef],
        limit: usize,
        lease: Duration,
        grace: Duration,
    ) -> Result<Vec<TimerDue>, StoreError> {
        let mut tables = self.tables.lock().await;
        let now = self.clock.now();
        tables.put_off_timers(known, grace, now);
        Ok(tables.due_timers(known, limit, lease, now))
    }

    async fn hold(&self, replies: &[HeldReply]) -> Result<(), StoreError> {
        let held = &mut self.tables.lock().await.held;
        held.extend(replies.iter().map(|reply| (reply.id, reply.clone())));
        Ok(())
    }

    async fn held(&self, known: &[DefinitionRef], limit: usize) -> Result<Vec<HeldReply>, StoreError> {
        Ok(self.tables.lock().await.held(known, limit))
    }

    async fn drop_held(&self, replies: &[HeldId]) -> Result<(), StoreError> {
        let held = &mut self.tables.lock().await.held;
        held.retain(|id, _| !replies.contains(id));
        Ok(())
    }

    async fn note_ended(&self, parents: &[SagaId]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let sagas = &mut self.tables.lock().await.sagas;
        for saga in sagas.values_mut() {
            if saga.parent.as_ref().is_some_and(|(parent, _)| parents.contains(parent)) {
                saga.parent_ended = Some(now);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl RunIn for MemoryStore {
    type Tx = MemoryWorkTx;

    async fn begin_work(&self) -> Result<MemoryWorkTx, StoreError> {
        Ok(MemoryWorkTx::default())
    }

    async fn savepoint(&self, tx: &mut MemoryWorkTx) -> Result<(), StoreError> {
        tx.marked = tx.work.len();
        Ok(())
    }

    async fn rollback(&self, tx: &mut MemoryWorkTx) -> Result<(), StoreError> {
        tx.work.truncate(tx.marked);
        Ok(())
    }

    async fn finish(&self, tx: MemoryWorkTx, moves: &[Commit]) -> Result<(), CommitError> {
        let mut tables = self.tables.lock().await;
        match moves {
            [alone] => drop(tables.commit(alone, Duration::ZERO, self.clock.now())?),
            _ => {
                let mut moved = tables.clone();
                for commit in moves {
                    moved.commit(commit, Duration::ZERO, self.clock.now())?;
                }
                *tables = moved;
            }
        }
        tx.work.into_iter().for_each(|work| work());
        Ok(())
    }
}

#[async_trait]
impl StartIn for MemoryStore {
    type Tx = MemoryStoreTx;

    async fn now_in(&self, _: &mut MemoryStoreTx) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn start_in(&self, tx: &mut MemoryStoreTx, start: &Commit) -> Result<Committed, CommitError> {
        match start.change {
            Change::Start(_) => tx.copy.commit(start, Duration::ZERO, self.clock.now()),
            Change::Move { .. } | Change::Upgrade { .. } => Err(CommitError::Rejected("not a start".into())),
        }
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError> {
        let mut tables = self.tables.lock().await;
        Ok(tables.outbox.claim(limit, lease, self.clock.now()))
    }

    async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError> {
        self.tables.lock().await.outbox.delete(rows);
        Ok(())
    }

    async fn postpone(&self, rows: &[RowId], after: Duration, _why: &str) -> Result<(), StoreError> {
        let mut tables = self.tables.lock().await;
        tables.outbox.postpone(rows, after, self.clock.now());
        Ok(())
    }

    async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError> {
        self.tables.lock().await.outbox.set_aside(rows);
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let tables = self.tables.lock().await;
        Ok(tables.outbox.backlog(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::definition::Fingerprint;
    use crate::id::{Destination, MessageId, SagaName};
    use crate::message::{Envelope, Headers};
    use crate::port::{JournalEntry, Start, Status};

    fn definition() -> DefinitionRef {
        let fingerprint = Fingerprint::from_uuid(Uuid::from_u128(1));
        DefinitionRef { name: SagaName::new("place-order").unwrap(), version: 1, fingerprint }
    }

    fn start() -> Commit {
        let start = Start { definition: definition(), key: None, input: Uuid::nil(), parent: None };
        Commit {
            id: SagaId::from_uuid(Uuid::from_u128(7)),
            change: Change::Start(start),
            status: Status::Running,
            state: Bytes::new(),
            data: Bytes::new(),
            parked: None,
            journal: vec![entry(1)],
            outbox: Vec::new(),
            timers: Vec::new(),
        }
    }

    fn entry(version: u64) -> JournalEntry {
        JournalEntry { version, event: Bytes::new(), now: Timestamp::default(), decision: String::new() }
    }

    fn row() -> OutboxRow {
        let envelope = Envelope {
            id: MessageId::from_uuid(Uuid::from_u128(1)),
            destination: Destination::new("inventory").unwrap(),
            key: SagaId::from_uuid(Uuid::from_u128(7)),
            headers: Headers::default(),
            body: Bytes::new(),
        };
        OutboxRow { id: RowId::from_uuid(Uuid::from_u128(3)), envelope, claimed: false }
    }

    async fn store() -> MemoryStore {
        let store = MemoryStore::default();
        store.register(&[definition()]).await.unwrap();
        store
    }

    #[tokio::test]
    async fn commits_that_no_constraint_would_let_pass_are_refused() {
        let store = store().await;
        let mistakes = [
            Commit { journal: vec![], ..start() },
            Commit { journal: vec![entry(2)], ..start() },
            Commit { journal: vec![entry(1), entry(3)], ..start() },
            Commit { status: Status::Parked, ..start() },
            Commit { parked: Some("why".into()), ..start() },
        ];
        for mistake in mistakes {
            let refused = store.commit(from_ref(&mistake), Duration::ZERO).await.remove(0);
            assert!(matches!(refused, Err(CommitError::Rejected(_))), "{mistake:?}");
        }
        store.commit(&[Commit { outbox: vec![row()], ..start() }], Duration::ZERO).await.remove(0).unwrap();
        let same_row = Commit { id: SagaId::from_uuid(Uuid::from_u128(8)), outbox: vec![row()], ..start() };
        let refused = store.commit(&[same_row], Duration::ZERO).await.remove(0);
        assert!(matches!(refused, Err(CommitError::Rejected(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn only_a_start_joins_a_transaction() {
        let store = store().await;
        let mut tx = store.begin().await;
        let moved = Commit { change: Change::Move { expected: 0 }, ..start() };
        let refused = store.start_in(&mut tx, &moved).await;
        assert!(matches!(refused, Err(CommitError::Rejected(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_row_that_was_set_aside_is_found_with_its_reason() {
        let store = store().await;
        store.commit(&[Commit { outbox: vec![row()], ..start() }], Duration::ZERO).await.remove(0).unwrap();
        store.set_aside(&[(row().id, "too large".into())]).await.unwrap();
        assert_eq!(store.dead_rows().await, [(row(), "too large".into())]);
    }
}
