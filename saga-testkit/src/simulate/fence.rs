//! A participant's fence with its faults. What its service's own data must keep is checked at each commit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{CommandType, ParticipantName, SagaId};
use saga_core::memory::{MemoryFence, MemoryTx};
use saga_core::policy::Timestamp;
use saga_core::port::{
    Backlog, Clock, Fence, FenceWrite, Forget, Look, Outbox, OutboxRow, RowId, StoreError, Watch,
};

use super::clock::JumpingClock;
use super::counters::Seen;
use super::faulty::Faulty;
use super::participants::{Check, RUNS_MAX};
use super::planted::Bug;

/// A fence as one process sees it.
pub(super) struct FaultyFence<D> {
    pub(super) ports: Faulty<MemoryFence<D>>,
    pub(super) clock: Arc<JumpingClock>,
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

#[async_trait]
impl<D: Clone + Send + Sync + 'static> Forget for FaultyFence<D> {
    async fn note_ended(&self, participant: &ParticipantName, sagas: &[SagaId]) -> Result<(), StoreError> {
        let noting = async {
            // The horizon counts from when the call began: it may wait for the rows.
            let now = self.clock.now();
            self.ports.inner.note_ended(participant, sagas).await?;
            self.ports.process.world.witness(|witness, _| witness.noted_ended(participant, sagas, now));
            Ok(())
        };
        self.ports.call("note ends", noting).await
    }

    async fn forget(
        &self,
        participant: &ParticipantName,
        horizon: Duration,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let forgetting = async {
            let world = &self.ports.process.world;
            let keys = world.witness(|witness, _| witness.fence_keys(participant));
            let horizon = match world.bug() {
                Some(Bug::NoticeIgnored) => {
                    let sagas: Vec<SagaId> = keys.iter().map(|key| key.saga).collect();
                    self.ports.inner.note_ended(participant, &sagas).await?;
                    Duration::ZERO
                }
                Some(Bug::HorizonIgnored) => Duration::ZERO,
                _ => horizon,
            };
            let forgotten = self.ports.inner.forget(participant, horizon, limit).await?;
            self.forgotten(keys).await;
            Ok(forgotten)
        };
        self.ports.call("forget", forgetting).await
    }
}

#[async_trait]
impl<D: Clone + Send + Sync + 'static> Watch for FaultyFence<D> {
    async fn watch(
        &self,
        tx: &mut MemoryTx<D>,
        key: &FenceKey,
        command: &CommandType,
        pause: Duration,
    ) -> Result<(), StoreError> {
        self.ports.process.world.count(Seen::CallWatched);
        self.ports.call("watch", self.ports.inner.watch(tx, key, command, pause)).await
    }

    async fn claim_looks(
        &self,
        participant: &ParticipantName,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Look>, StoreError> {
        self.ports.call("claim looks", self.ports.inner.claim_looks(participant, limit, lease)).await
    }

    async fn watched(&self, participant: &ParticipantName) -> Result<u64, StoreError> {
        self.ports.inner.watched(participant).await
    }

    async fn looked(&self, looks: &[(FenceKey, Option<Duration>)]) -> Result<(), StoreError> {
        self.ports.call("note looks", self.ports.inner.looked(looks)).await
    }
}

impl<D> FaultyFence<D> {
    /// Shows the witness which of the rows that it knows are gone.
    async fn forgotten(&self, keys: Vec<FenceKey>) {
        let process = &self.ports.process;
        for key in keys {
            if self.ports.inner.row(&key).await.is_none() {
                process.note(format_args!("forgets {} of {}", key.step, key.saga));
                let now = self.clock.now();
                process.world.witness(|witness, counters| witness.forgotten(key, now, counters));
            }
        }
    }

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
