//! The orchestrator's store with its faults.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use saga_core::definition::DefinitionRef;
use saga_core::id::{BusinessKey, ParticipantName, SagaId, SagaName};
use saga_core::memory::MemoryStore;
use saga_core::port::{
    Commit, CommitError, Committed, HeldId, HeldReply, History, Loaded, Retire, Retiring, SagaDetails,
    SagaFilter, SagaSummary, Store, StoreError, StoreHealth, TimerDue, Workload,
};

use super::counters::Seen;
use super::fault::Fault;
use super::faulty::Faulty;

type Results = Vec<Result<Committed, CommitError>>;

#[async_trait]
impl Store for Faulty<MemoryStore> {
    async fn register(&self, definitions: &[DefinitionRef]) -> Result<(), StoreError> {
        self.call("register", self.inner.register(definitions)).await
    }

    async fn load(&self, sagas: &[SagaId]) -> Result<Loaded, StoreError> {
        self.process.loaded();
        let mut loaded = self.call("load", self.inner.load(sagas)).await?;
        self.process.world.witness(|witness, _| witness.time_is(loaded.now));
        for saga in &mut loaded.sagas {
            if self.strikes(Fault::Unreadable) {
                saga.state = rewritten(&saga.state, READABLE, UNREADABLE);
            }
        }
        Ok(loaded)
    }

    async fn commit(&self, batch: &[Commit], lease: Duration) -> Results {
        self.process.step().await;
        if self.strikes(Fault::Away) {
            return self.failed(batch, |why| StoreError::Unavailable(why.into()));
        }
        if self.strikes(Fault::AnswerLost) {
            self.process.world.count(Seen::LostAnswerRolledBack);
            return self.failed(batch, |why| StoreError::Ambiguous(why.into()));
        }
        // Who cannot read a state keeps its bytes, and those are what was stored.
        let batch: Vec<Commit> = batch
            .iter()
            .map(|commit| {
                let state = rewritten(&commit.state, UNREADABLE, READABLE);
                Commit { state, ..commit.clone() }
            })
            .collect();
        let batch = &batch[..];
        let results = self.store(batch, lease).await;
        self.committed(batch, &results);
        self.process.step().await;
        if self.strikes(Fault::AnswerLost) {
            self.process.world.count(Seen::LostAnswerCommitted);
            return self.failed(batch, |why| StoreError::Ambiguous(why.into()));
        }
        results
    }

    async fn due_timers(
        &self,
        known: &[DefinitionRef],
        limit: usize,
        lease: Duration,
        grace: Duration,
    ) -> Result<Vec<TimerDue>, StoreError> {
        let looking = async {
            let due = self.inner.due_timers(known, limit, lease, grace).await?;
            let Loaded { now, .. } = self.inner.load(&[]).await?;
            self.process.world.witness(|witness, counters| witness.fired(&due, now, counters));
            Ok(due)
        };
        let due = self.call("look for timers", looking).await?;
        for TimerDue { saga, step, direction, attempt } in &due {
            self.process.note(format_args!("timer for {direction} {step} of {saga}, attempt {attempt}"));
        }
        Ok(due)
    }

    async fn hold(&self, replies: &[HeldReply]) -> Result<(), StoreError> {
        let holding = async {
            self.inner.hold(replies).await?;
            self.process.note(format_args!("holds {} replies", replies.len()));
            self.process.world.witness(|witness, counters| witness.held(replies, counters));
            Ok(())
        };
        self.call("hold replies", holding).await
    }

    async fn held(&self, known: &[DefinitionRef], limit: usize) -> Result<Vec<HeldReply>, StoreError> {
        self.call("look for held replies", self.inner.held(known, limit)).await
    }

    async fn drop_held(&self, replies: &[HeldId]) -> Result<(), StoreError> {
        let dropping = async {
            self.inner.drop_held(replies).await?;
            self.process.note(format_args!("drops {} replies", replies.len()));
            self.process.world.witness(|witness, counters| witness.dropped(replies, counters));
            Ok(())
        };
        self.call("drop held replies", dropping).await
    }

    async fn note_ended(&self, parents: &[SagaId]) -> Result<(), StoreError> {
        let noting = async {
            self.inner.note_ended(parents).await?;
            let now = self.inner.load(&[]).await?.now;
            self.process.world.witness(|witness, _| witness.noted_parents_ended(parents, now));
            Ok(())
        };
        self.call("note the ends of parents", noting).await
    }
}

impl Faulty<MemoryStore> {
    /// Stores a batch, with the bug that is planted if one is.
    async fn store(&self, batch: &[Commit], lease: Duration) -> Results {
        let world = &self.process.world;
        let Some(bug) = world.bug() else { return self.inner.commit(batch, lease).await };
        let planted = batch.iter().map(|commit| {
            let current = world.witness(|witness, _| witness.version(commit.id));
            bug.stored(commit.clone(), current)
        });
        self.inner.commit(&planted.collect::<Vec<_>>(), lease).await
    }

    pub(super) fn committed(&self, batch: &[Commit], results: &Results) {
        let process = &self.process;
        for (commit, result) in batch.iter().zip(results) {
            let decisions = commit.journal.iter().map(|entry| entry.decision.as_str()).collect::<Vec<_>>();
            process.note(format_args!("commits {}: {}: {result:?}", commit.id, decisions.join("; ")));
            let zombie = process.is_zombie();
            process.world.witness(|witness, counters| match result {
                Ok(Committed::Stored) => witness.committed(&process.name, commit, counters),
                Ok(Committed::Existing(_)) => counters.count(Seen::StartRepeated),
                Err(CommitError::Conflict) => {
                    counters.count(if zombie { Seen::ZombieRefused } else { Seen::RaceLost });
                }
                Err(_) => {}
            });
        }
    }

    /// Shows the witness which sagas are gone.
    async fn show_retired(&self) {
        let known = self.process.world.witness(|witness, _| witness.sagas());
        let Ok(Loaded { now, sagas }) = self.inner.load(&known).await else { return };
        let is_gone = |id: &&SagaId| !sagas.iter().any(|saga| saga.id == **id);
        self.process.world.witness(|witness, _| {
            known.iter().filter(is_gone).for_each(|id| witness.retired(*id, now));
        });
    }

    fn failed(&self, batch: &[Commit], error: impl Fn(&str) -> StoreError) -> Results {
        let why = "the connection is gone";
        self.process.note(format_args!("commits {} sagas: {}", batch.len(), error(why)));
        batch.iter().map(|_| Err(CommitError::Store(error(why)))).collect()
    }
}

#[async_trait]
impl Retire for Faulty<MemoryStore> {
    async fn note_participants(
        &self,
        participants: &[(DefinitionRef, Vec<ParticipantName>)],
    ) -> Result<(), StoreError> {
        self.call("note participants", self.inner.note_participants(participants)).await
    }

    async fn retire(&self, retiring: Retiring) -> Result<usize, StoreError> {
        // Seen even if the process dies then, or the answer is lost.
        let retiring = async {
            let retired = self.inner.retire(retiring).await?;
            if retired > 0 {
                self.process.note(format_args!("retires {retired} sagas"));
                self.process.world.count(Seen::Retired);
                self.show_retired().await;
            }
            Ok(retired)
        };
        self.call("retire", retiring).await
    }
}

#[async_trait]
impl History for Faulty<MemoryStore> {
    async fn list(&self, filter: &SagaFilter, limit: usize) -> Result<Vec<SagaSummary>, StoreError> {
        self.call("list", self.inner.list(filter, limit)).await
    }

    async fn show(&self, saga: SagaId) -> Result<Option<SagaDetails>, StoreError> {
        self.call("show", self.inner.show(saga)).await
    }

    async fn workload(&self) -> Result<Workload, StoreError> {
        self.call("count what is under way", self.inner.workload()).await
    }

    async fn holder(&self, name: &SagaName, key: &BusinessKey) -> Result<Option<SagaId>, StoreError> {
        self.call("look up a key", self.inner.holder(name, key)).await
    }

    async fn health(&self, known: &[DefinitionRef]) -> Result<StoreHealth, StoreError> {
        self.call("look at health", self.inner.health(known)).await
    }
}

/// The bytes with another beginning, if they begin with `from`.
fn rewritten(bytes: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    match bytes.strip_prefix(from) {
        Some(rest) => [to, rest].concat().into(),
        None => bytes.clone(),
    }
}

/// How a saga's state begins.
const READABLE: &[u8] = br#"{"v":1,"#;

/// How a state begins that a newer build has written.
const UNREADABLE: &[u8] = br#"{"v":4711,"#;
