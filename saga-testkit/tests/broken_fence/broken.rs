//! The fence in memory behind a wrapper that spoils one thing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{CommandType, ParticipantName, SagaId};
use saga_core::memory::{MemoryFence, MemoryTx};
use saga_core::policy::Timestamp;
use saga_core::port::{
    BODY_BYTES_MAX, Backlog, Fence, FenceWrite, Forget, Look, Outbox, OutboxRow, RowId, StoreError, Watch,
};
use saga_testkit::suite::fence;

/// What is wrong with a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    ForgetsRows,
    LeavesPlaceholders,
    SharesRows,
    ForgetsWrites,
    CommitsWhatIsDropped,
    KeepsRefusedWrites,
    RollsBackToTheBeginning,
    NeverReplies,
    DropsLargeReplies,
    ReadsBeforeItWaits,
    DoesNotWait,
    HoldsWhatIsStarted,
    FailsWhenBusy,
    ForgetsRuns,
    NeverForgetsRuns,
    StandsStill,
    NeedsNoNotice,
    MixesParticipants,
    IgnoresLimits,
    WaitsToForget,
    KeepsCounts,
    NeverWatches,
    WatchesAtOnce,
    LooksTwice,
    LooksAtAllAgain,
    NeverEndsALook,
    WatchesForEver,
    ForgetsWatched,
}

type Data = HashMap<String, i64>;

/// A harness whose fences have a flaw.
pub(crate) struct Broken(BrokenFence);

impl Broken {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Broken(BrokenFence::new(flaw))
    }
}

#[async_trait]
impl fence::Harness for Broken {
    type Fence = BrokenFence;

    async fn start() -> Option<Self> {
        None
    }

    async fn connect(&self) -> BrokenFence {
        if self.0.has(Flaw::DoesNotWait) { BrokenFence::new(Flaw::DoesNotWait) } else { self.0.clone() }
    }

    async fn write(&self, tx: &mut BrokenTx, name: &str, value: i64) {
        if !self.0.has(Flaw::ForgetsWrites) {
            tx.inner().data_mut().insert(name.to_owned(), value);
        }
    }

    async fn read(&self, name: &str) -> Option<i64> {
        self.0.inner.data().await.get(name).copied()
    }
}

#[derive(Clone)]
pub(crate) struct BrokenFence {
    flaw: Flaw,
    inner: MemoryFence<Data>,
    /// The rows as they were committed, to be read without waiting.
    seen: Arc<Mutex<HashMap<FenceKey, FenceState>>>,
    open: Arc<AtomicUsize>,
}

pub(crate) struct BrokenTx {
    inner: Option<MemoryTx<Data>>,
    marked: bool,
    keys: Vec<FenceKey>,
    fence: BrokenFence,
}

impl BrokenTx {
    fn inner(&mut self) -> &mut MemoryTx<Data> {
        self.inner.as_mut().unwrap()
    }
}

impl Drop for BrokenTx {
    fn drop(&mut self) {
        self.fence.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(tx) = self.inner.take()
            && self.fence.has(Flaw::CommitsWhatIsDropped)
        {
            let closed = |key: &FenceKey| FenceWrite {
                key: key.clone(),
                state: Some(FenceState::Closed),
                reply: None,
            };
            let writes: Vec<FenceWrite> = self.keys.iter().map(closed).collect();
            self.fence.inner.commit(tx, &writes, Duration::ZERO).now_or_never().unwrap().unwrap();
        }
    }
}

impl BrokenFence {
    fn new(flaw: Flaw) -> Self {
        BrokenFence { flaw, inner: MemoryFence::default(), seen: Arc::default(), open: Arc::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn spoiled_key(&self, key: &FenceKey) -> FenceKey {
        let participant = match self.flaw {
            Flaw::SharesRows => ParticipantName::new("everyone").unwrap(),
            _ => key.participant.clone(),
        };
        FenceKey { participant, ..key.clone() }
    }

    fn spoiled(&self, write: &FenceWrite) -> FenceWrite {
        let mut spoiled = FenceWrite { key: self.spoiled_key(&write.key), ..write.clone() };
        if self.has(Flaw::ForgetsRows) {
            spoiled.state = None;
        }
        if self.has(Flaw::LeavesPlaceholders) {
            spoiled.state = spoiled.state.or(Some(FenceState::Closed));
        }
        let large = |reply: &OutboxRow| reply.envelope.body.len() > BODY_BYTES_MAX;
        let drops = self.has(Flaw::NeverReplies)
            || self.has(Flaw::DropsLargeReplies) && spoiled.reply.as_ref().is_some_and(large);
        spoiled.reply = spoiled.reply.filter(|_| !drops);
        spoiled
    }
}

#[async_trait]
impl Fence for BrokenFence {
    type Tx = BrokenTx;

    async fn begin(&self, keys: &[FenceKey]) -> Result<(BrokenTx, Vec<Option<FenceState>>), StoreError> {
        if self.open.fetch_add(1, Ordering::Relaxed) > 0 && self.has(Flaw::FailsWhenBusy) {
            return Err(StoreError::Unavailable("a deadlock".into()));
        }
        let has_started = || self.seen.lock().unwrap().values().any(|state| *state == FenceState::Started);
        if self.has(Flaw::HoldsWhatIsStarted) && has_started() {
            std::future::pending::<()>().await;
        }
        let keys: Vec<FenceKey> = keys.iter().map(|key| self.spoiled_key(key)).collect();
        let early: Vec<_> = keys.iter().map(|key| self.seen.lock().unwrap().get(key).cloned()).collect();
        let (tx, states) = self.inner.begin(&keys).await?;
        let tx = BrokenTx { inner: Some(tx), marked: false, keys, fence: self.clone() };
        Ok((tx, if self.has(Flaw::ReadsBeforeItWaits) { early } else { states }))
    }

    async fn savepoint(&self, tx: &mut BrokenTx) -> Result<(), StoreError> {
        if tx.marked && self.has(Flaw::RollsBackToTheBeginning) {
            return Ok(());
        }
        tx.marked = true;
        self.inner.savepoint(tx.inner()).await
    }

    async fn rollback(&self, tx: &mut BrokenTx) -> Result<(), StoreError> {
        if self.has(Flaw::KeepsRefusedWrites) { Ok(()) } else { self.inner.rollback(tx.inner()).await }
    }

    async fn commit(
        &self,
        mut tx: BrokenTx,
        writes: &[FenceWrite],
        lease: Duration,
    ) -> Result<(), StoreError> {
        let writes: Vec<FenceWrite> = writes.iter().map(|write| self.spoiled(write)).collect();
        self.inner.commit(tx.inner.take().unwrap(), &writes, lease).await?;
        let written = writes.into_iter().filter_map(|write| Some((write.key, write.state?)));
        self.seen.lock().unwrap().extend(written);
        Ok(())
    }

    async fn count_runs(&self, keys: &[FenceKey]) -> Result<Vec<u32>, StoreError> {
        let counts = self.inner.count_runs(keys).await?;
        Ok(if self.has(Flaw::ForgetsRuns) { vec![1; keys.len()] } else { counts })
    }

    async fn forget_runs(&self, keys: &[FenceKey]) -> Result<(), StoreError> {
        if self.has(Flaw::NeverForgetsRuns) { Ok(()) } else { self.inner.forget_runs(keys).await }
    }

    fn began(&self, tx: &BrokenTx) -> Timestamp {
        match &tx.inner {
            Some(inner) if !self.has(Flaw::StandsStill) => self.inner.began(inner),
            _ => Timestamp::default(),
        }
    }
}

#[async_trait]
impl Forget for BrokenFence {
    async fn note_ended(&self, participant: &ParticipantName, sagas: &[SagaId]) -> Result<(), StoreError> {
        if self.has(Flaw::MixesParticipants) {
            self.inner.note_ended(&ParticipantName::new("payment").unwrap(), sagas).await?;
        }
        self.inner.note_ended(participant, sagas).await
    }

    async fn forget(
        &self,
        participant: &ParticipantName,
        horizon: Duration,
        limit: usize,
    ) -> Result<usize, StoreError> {
        if self.has(Flaw::NeedsNoNotice) {
            let sagas: Vec<SagaId> = self.seen.lock().unwrap().keys().map(|key| key.saga).collect();
            self.inner.note_ended(participant, &sagas).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.has(Flaw::WaitsToForget) {
            while self.open.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let limit = if self.has(Flaw::IgnoresLimits) { limit * 2 } else { limit };
        let keys: Vec<FenceKey> = self.seen.lock().unwrap().keys().cloned().collect();
        if self.has(Flaw::ForgetsWatched) {
            let looks: Vec<_> = keys.iter().map(|key| (key.clone(), None)).collect();
            self.inner.looked(&looks).await?;
        }
        let forgotten = self.inner.forget(participant, horizon, limit).await?;
        if self.has(Flaw::KeepsCounts) {
            self.inner.count_runs(&keys).await?;
        }
        Ok(forgotten)
    }
}

#[async_trait]
impl Watch for BrokenFence {
    async fn watch(
        &self,
        tx: &mut BrokenTx,
        key: &FenceKey,
        command: &CommandType,
        pause: Duration,
    ) -> Result<(), StoreError> {
        let pause = if self.has(Flaw::WatchesAtOnce) { Duration::ZERO } else { pause };
        if self.has(Flaw::NeverWatches) {
            return Ok(());
        }
        self.inner.watch(tx.inner(), key, command, pause).await
    }

    async fn claim_looks(
        &self,
        participant: &ParticipantName,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Look>, StoreError> {
        let lease = if self.has(Flaw::LooksTwice) { Duration::ZERO } else { lease };
        let limit = if self.has(Flaw::IgnoresLimits) { limit * 2 } else { limit };
        let mut looks = self.inner.claim_looks(participant, limit, lease).await?;
        if self.has(Flaw::MixesParticipants) {
            let theirs = ParticipantName::new("payment").unwrap();
            looks.extend(self.inner.claim_looks(&theirs, limit, lease).await?);
        }
        if self.has(Flaw::LooksAtAllAgain) {
            looks.extend(self.inner.claim_looks(participant, limit, Duration::from_secs(3600)).await?);
        }
        Ok(looks)
    }

    async fn watched(&self, participant: &ParticipantName) -> Result<u64, StoreError> {
        self.inner.watched(participant).await
    }

    async fn looked(&self, looks: &[(FenceKey, Option<Duration>)]) -> Result<(), StoreError> {
        if self.has(Flaw::NeverEndsALook) {
            return Ok(());
        }
        if !self.has(Flaw::WatchesForEver) {
            return self.inner.looked(looks).await;
        }
        let again =
            |(key, pause): &(FenceKey, Option<Duration>)| (key.clone(), pause.or(Some(Duration::ZERO)));
        self.inner.looked(&looks.iter().map(again).collect::<Vec<_>>()).await
    }
}

#[async_trait]
impl Outbox for BrokenFence {
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
