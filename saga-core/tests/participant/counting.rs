//! A fence that counts the transactions over it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{CommandType, ParticipantName, SagaId};
use saga_core::memory::{MemoryFence, MemoryTx};
use saga_core::policy::Timestamp;
use saga_core::port::{
    Backlog, Fence, FenceWrite, Forget, Look, Outbox, OutboxRow, RowId, StoreError, Watch,
};

#[derive(Default)]
pub(crate) struct CountingFence {
    inner: MemoryFence<u32>,
    /// How many transactions were begun, or wait for that, and are not committed.
    open: AtomicUsize,
    open_max: AtomicUsize,
    /// How many commands each transaction had that was committed.
    committed: Mutex<Vec<usize>>,
}

impl CountingFence {
    pub(crate) fn open_max(&self) -> usize {
        self.open_max.load(SeqCst)
    }

    pub(crate) fn committed(&self) -> Vec<usize> {
        self.committed.lock().unwrap().clone()
    }
}

#[async_trait]
impl Fence for CountingFence {
    type Tx = MemoryTx<u32>;

    async fn begin(&self, keys: &[FenceKey]) -> Result<(Self::Tx, Vec<Option<FenceState>>), StoreError> {
        // A participant that starts only looks whether the database is there.
        if !keys.is_empty() {
            self.open_max.fetch_max(self.open.fetch_add(1, SeqCst) + 1, SeqCst);
        }
        self.inner.begin(keys).await
    }

    async fn savepoint(&self, tx: &mut Self::Tx) -> Result<(), StoreError> {
        self.inner.savepoint(tx).await
    }

    async fn rollback(&self, tx: &mut Self::Tx) -> Result<(), StoreError> {
        self.inner.rollback(tx).await
    }

    async fn commit(&self, tx: Self::Tx, writes: &[FenceWrite], lease: Duration) -> Result<(), StoreError> {
        self.inner.commit(tx, writes, lease).await?;
        self.open.fetch_sub(1, SeqCst);
        self.committed.lock().unwrap().push(writes.len());
        Ok(())
    }

    async fn count_runs(&self, keys: &[FenceKey]) -> Result<Vec<u32>, StoreError> {
        self.inner.count_runs(keys).await
    }

    async fn forget_runs(&self, keys: &[FenceKey]) -> Result<(), StoreError> {
        self.inner.forget_runs(keys).await
    }

    fn began(&self, tx: &Self::Tx) -> Timestamp {
        self.inner.began(tx)
    }
}

#[async_trait]
impl Forget for CountingFence {
    async fn note_ended(&self, participant: &ParticipantName, sagas: &[SagaId]) -> Result<(), StoreError> {
        self.inner.note_ended(participant, sagas).await
    }

    async fn forget(
        &self,
        participant: &ParticipantName,
        horizon: Duration,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.inner.forget(participant, horizon, limit).await
    }
}

#[async_trait]
impl Watch for CountingFence {
    async fn watch(
        &self,
        tx: &mut Self::Tx,
        key: &FenceKey,
        command: &CommandType,
        pause: Duration,
    ) -> Result<(), StoreError> {
        self.inner.watch(tx, key, command, pause).await
    }

    async fn claim_looks(
        &self,
        participant: &ParticipantName,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Look>, StoreError> {
        self.inner.claim_looks(participant, limit, lease).await
    }

    async fn watched(&self, participant: &ParticipantName) -> Result<u64, StoreError> {
        self.inner.watched(participant).await
    }

    async fn looked(&self, looks: &[(FenceKey, Option<Duration>)]) -> Result<(), StoreError> {
        self.inner.looked(looks).await
    }
}

#[async_trait]
impl Outbox for CountingFence {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError> {
        self.inner.claim(limit, lease).await
    }

    async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError> {
        self.inner.delete(rows).await
    }

    async fn postpone(&self, rows: &[RowId], after: Duration, why: &str) -> Result<(), StoreError> {
        self.inner.postpone(rows, after, why).await
    }

    async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError> {
        self.inner.set_aside(rows).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.inner.backlog().await
    }
}
