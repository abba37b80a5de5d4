//! The orchestrator's store in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::TokioClock;
use super::tables::Tables;
use crate::definition::DefinitionRef;
use crate::id::SagaId;
use crate::port::{
    Backlog, Change, Clock, Commit, CommitError, Committed, HeldId, HeldReply, Loaded, Outbox, OutboxRow,
    RowId, StartIn, Store, StoreError, TimerDue,
};

/// Sagas, their journal, their outbox and their timers, in memory.
///
/// Clones share what is stored. Nothing is ever forgotten, so it grows with the number of sagas.
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
    ) -> Result<Vec<TimerDue>, StoreError> {
        let mut tables = self.tables.lock().await;
        Ok(tables.due_timers(known, limit, lease, self.clock.now()))
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
}

#[async_trait]
impl StartIn for MemoryStore {
    type Tx = MemoryStoreTx;

    async fn start_in(&self, tx: &mut MemoryStoreTx, start: &Commit) -> Result<Committed, CommitError> {
        match start.change {
            Change::Start(_) => tx.copy.commit(start, Duration::ZERO, self.clock.now()),
            Change::Move { .. } => Err(CommitError::Rejected("not a start".into())),
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
