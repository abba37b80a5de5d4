//! A participant's fence with its faults. What its service's own data must keep is checked at each commit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga_core::fence::{FenceKey, FenceState};
use saga_core::memory::{MemoryFence, MemoryTx};
use saga_core::policy::Timestamp;
use saga_core::port::{Backlog, Fence, FenceWrite, Outbox, OutboxRow, RowId, StoreError};

use super::counters::Seen;
use super::faulty::Faulty;
use super::participants::{Check, RUNS_MAX};
use super::planted::Bug;

/// A fence as one process sees it.
pub(super) struct FaultyFence<D> {
    pub(super) ports: Faulty<MemoryFence<D>>,
    pub(super) always: Arc<Vec<Check<D>>>,
}

#[async_trait]
impl<D: Clone + Send + Sync + 'static> Fence for FaultyFence<D> {
    type Tx = MemoryTx<D>;

    async fn begin(&self, keys: &[FenceKey]) -> Result<(MemoryTx<D>, Vec<Option<FenceState>>), StoreError> {
        let (tx, mut states) = self.ports.call("begin", self.ports.inner.begin(keys)).await?;
        if self.ports.process.world.has(Bug::NoFence) {
            states.fill(None);
        }
        Ok((tx, states))
    }

    async fn savepoint(&self, tx: &mut MemoryTx<D>) -> Result<(), StoreError> {
        self.ports.call("savepoint", self.ports.inner.savepoint(tx)).await
    }

    async fn rollback(&self, tx: &mut MemoryTx<D>) -> Result<(), StoreError> {
        if self.ports.process.world.has(Bug::RefusedWritesKept) {
            return Ok(());
        }
        self.ports.call("rollback", self.ports.inner.rollback(tx)).await
    }

    async fn commit(
        &self,
        tx: MemoryTx<D>,
        writes: &[FenceWrite],
        lease: Duration,
    ) -> Result<(), StoreError> {
        let committing = async {
            self.check(tx.data());
            let planted = self.ports.process.world.bug();
            let planted: Option<Vec<_>> =
                planted.map(|bug| writes.iter().map(|write| bug.fenced(write)).collect());
            let writes = planted.as_deref().unwrap_or(writes);
            self.ports.inner.commit(tx, writes, lease).await?;
            self.committed(writes);
            Ok(())
        };
        self.ports.call("commit", committing).await
    }

    async fn count_runs(&self, keys: &[FenceKey]) -> Result<Vec<u32>, StoreError> {
        let runs = self.ports.call("count runs", self.ports.inner.count_runs(keys)).await?;
        if runs.iter().any(|runs| *runs > RUNS_MAX) {
            self.ports.process.world.count(Seen::PoisonRecognised);
        }
        Ok(runs)
    }

    async fn forget_runs(&self, keys: &[FenceKey]) -> Result<(), StoreError> {
        self.ports.call("forget runs", self.ports.inner.forget_runs(keys)).await
    }

    fn began(&self, tx: &MemoryTx<D>) -> Timestamp {
        self.ports.inner.began(tx)
    }
}

impl<D> FaultyFence<D> {
    fn check(&self, data: &D) {
        let process = &self.ports.process;
        for check in self.always.iter().filter(|check| !(check.holds)(data)) {
            process.world.violation(format!("S16: {}: {}", process.name, check.name));
        }
    }

    fn committed(&self, writes: &[FenceWrite]) {
        let process = &self.ports.process;
        for FenceWrite { key, state, .. } in writes {
            let state = state.as_ref().map_or("as it was", FenceState::as_str);
            process.note(format_args!("{} of {}: {state}", key.step, key.saga));
        }
        process.world.witness(|witness, counters| {
            writes.iter().for_each(|write| witness.fenced(&process.name, write, counters));
        });
    }
}

#[async_trait]
impl<D: Send + 'static> Outbox for FaultyFence<D> {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError> {
        self.ports.claim(limit, lease).await
    }

    async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError> {
        self.ports.delete(rows).await
    }

    async fn postpone(&self, rows: &[RowId], after: Duration, why: &str) -> Result<(), StoreError> {
        self.ports.postpone(rows, after, why).await
    }

    async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError> {
        self.ports.set_aside(rows).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.ports.backlog().await
    }
}
