//! The store in memory behind a wrapper that spoils one thing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use saga_core::definition::DefinitionRef;
use saga_core::id::{BusinessKey, ParticipantName, SagaId, SagaName};
use saga_core::memory::MemoryStore;
use saga_core::port::{
    BODY_BYTES_MAX, Backlog, Change, Commit, CommitError, Committed, HeldId, HeldReply, History, IdSource,
    JournalEntry, Loaded, Outbox, OutboxRow, RandomIds, Retire, Retiring, RowId, SagaDetails, SagaFilter,
    SagaSummary, Start, Status, Store, StoreError, StoreHealth, TimerChange, TimerDue, Workload,
};
use saga_testkit::suite::outbox::OfStore;
use saga_testkit::suite::store;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    IgnoresVersions,
    SendsForLosers,
    ArmsForLosers,
    FailsWholeBatches,
    StoresText,
    ShowsTheLastEntry,
    ConfirmsAgain,
    StopsAtManyCommits,
    TakesAnyBody,
    IgnoresKeys,
    IgnoresInputs,
    RegistersAnything,
    StartsAnything,
    FiresEarly,
    NeverDropsTimers,
    LeasesForNoTime,
    LeasesForEver,
    GivesNoGrace,
    IgnoresLimits,
    KnowsEverything,
    HoldsTwice,
    NeverDropsHeld,
    ListsBackwards,
    IgnoresFilters,
    HidesChildren,
    ReportsNoHealth,
    DropsEmptyHeaders,
    ClaimsNothingForItself,
    DeletesTheFirst,
    PostponesForNoTime,
    DropsWhatItPostpones,
    NeverSetsAside,
    NeverCommits,
    CommitsWhatIsDropped,
    AbortsOnTakenKeys,
    FreesKeys,
    KeepsDefinitions,
    NeverArchives,
    RetiresEarly,
    TakesRefusalsForRaces,
    NeverNotesEnds,
    NeedsNoHorizon,
    RetiresUntold,
    TellsTheFirst,
    TellsTwice,
    WritesAtOnce,
    KeepsWorkOfLosers,
    NeverRollsBack,
    RollsAllBack,
    MovesWhomItCan,
}

/// A harness whose stores have a flaw.
pub(crate) struct Broken(pub(crate) BrokenStore);

impl Broken {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Broken(BrokenStore {
            flaw,
            inner: MemoryStore::default(),
            registered: Arc::default(),
            written: Arc::default(),
        })
    }

    pub(crate) fn outbox(flaw: Flaw) -> OfStore<Self> {
        OfStore(Broken::new(flaw))
    }
}

#[async_trait]
impl store::Harness for Broken {
    type Store = BrokenStore;

    async fn start() -> Option<Self> {
        None
    }

    async fn connect(&self) -> BrokenStore {
        self.0.clone()
    }
}

#[derive(Clone)]
pub(crate) struct BrokenStore {
    pub(crate) flaw: Flaw,
    pub(crate) inner: MemoryStore,
    registered: Arc<Mutex<Vec<DefinitionRef>>>,
    /// What local steps have written.
    pub(crate) written: Arc<Mutex<HashMap<String, i64>>>,
}

impl BrokenStore {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn lease(&self, lease: Duration) -> Duration {
        match self.flaw {
            Flaw::LeasesForNoTime => Duration::ZERO,
            Flaw::LeasesForEver => Duration::MAX,
            _ => lease,
        }
    }

    fn limit(&self, limit: usize) -> usize {
        if self.has(Flaw::IgnoresLimits) { limit * 2 } else { limit }
    }

    fn limit_of_names(&self) -> usize {
        if self.has(Flaw::TellsTheFirst) { 1 } else { usize::MAX }
    }

    /// Puts rows into the outbox, with the start of some other saga.
    async fn write_rows(&self, outbox: Vec<OutboxRow>) {
        let Some(definition) = self.registered.lock().unwrap().first().cloned() else { return };
        let start = Start { definition, key: None, input: Default::default(), parent: None };
        let entry = JournalEntry {
            version: 1,
            event: Bytes::new(),
            now: Default::default(),
            decision: String::new(),
        };
        let commit = Commit {
            id: RandomIds.saga(),
            change: Change::Start(start),
            status: Status::Running,
            state: Bytes::new(),
            data: Bytes::new(),
            parked: None,
            journal: vec![entry],
            outbox,
            timers: vec![],
        };
        self.inner.commit(&[commit], Duration::ZERO).await.remove(0).unwrap();
    }

    fn known(&self, known: &[DefinitionRef]) -> Vec<DefinitionRef> {
        let all = self.registered.lock().unwrap().clone();
        if self.has(Flaw::KnowsEverything) { all } else { known.to_vec() }
    }

    async fn store(&self, commit: &Commit, lease: Duration) -> Result<Committed, CommitError> {
        let spoiled = self.spoiled(commit).await;
        let result = self.inner.commit(&[spoiled], lease).await.remove(0);
        if result.is_err() || matches!(result, Ok(Committed::Existing(_))) {
            self.write_for_a_loser(commit, lease).await;
        }
        match result {
            Err(CommitError::Conflict) if self.has(Flaw::ConfirmsAgain) => Ok(Committed::Stored),
            Err(CommitError::Rejected(_)) if self.has(Flaw::TakesRefusalsForRaces) => {
                Err(CommitError::Conflict)
            }
            result => result,
        }
    }

    /// What is really stored in the place of a commit.
    async fn spoiled(&self, commit: &Commit) -> Commit {
        let mut spoiled = commit.clone();
        if let Change::Start(start) = &mut spoiled.change {
            start.key = start.key.take().filter(|_| !self.has(Flaw::IgnoresKeys));
            if self.has(Flaw::IgnoresInputs) {
                start.input = Default::default();
            }
            if self.has(Flaw::StartsAnything) {
                self.inner.register(std::slice::from_ref(&start.definition)).await.ok();
            }
        }
        if self.has(Flaw::IgnoresVersions)
            && let Some(stored) = self.load(&[commit.id]).await.unwrap().sagas.pop()
        {
            spoiled.change = Change::Move { expected: stored.version };
            for (entry, version) in spoiled.journal.iter_mut().zip(stored.version + 1..) {
                entry.version = version;
            }
        }
        if let Change::Upgrade { expected, .. } = spoiled.change
            && self.has(Flaw::KeepsDefinitions)
        {
            spoiled.change = Change::Move { expected };
        }
        if self.has(Flaw::StoresText) {
            spoiled.state = text(&spoiled.state);
        }
        for row in &mut spoiled.outbox {
            row.claimed &= !self.has(Flaw::ClaimsNothingForItself);
            if self.has(Flaw::TakesAnyBody) {
                row.envelope.body.truncate(BODY_BYTES_MAX);
            }
        }
        for timer in &mut spoiled.timers {
            if let TimerChange::Arm { after, .. } = timer
                && self.has(Flaw::FiresEarly)
            {
                *after = Duration::ZERO;
            }
        }
        if self.has(Flaw::NeverDropsTimers) {
            spoiled.timers.retain(|timer| matches!(timer, TimerChange::Arm { .. }));
        }
        spoiled
    }

    /// Writes the messages or timers of a commit that was not stored, under another saga.
    async fn write_for_a_loser(&self, commit: &Commit, lease: Duration) {
        let Some(definition) = self.registered.lock().unwrap().first().cloned() else { return };
        let start = Start { definition, key: None, input: Default::default(), parent: None };
        let mut journal = commit.journal.clone();
        journal.truncate(1);
        journal[0].version = 1;
        let mut wrong =
            Commit { id: RandomIds.saga(), change: Change::Start(start), journal, ..commit.clone() };
        if !self.has(Flaw::SendsForLosers) {
            wrong.outbox.clear();
        }
        if !self.has(Flaw::ArmsForLosers) {
            wrong.timers.clear();
        }
        if !wrong.outbox.is_empty() || !wrong.timers.is_empty() {
            self.inner.commit(&[wrong], lease).await.remove(0).unwrap();
        }
    }

    /// Whether some commit of a batch would not be stored.
    async fn would_fail(&self, batch: &[Commit]) -> bool {
        let too_large = |row: &OutboxRow| row.envelope.body.len() > BODY_BYTES_MAX;
        for commit in batch {
            let version = self.load(&[commit.id]).await.unwrap().sagas.pop().map(|stored| stored.version);
            let moved = matches!(commit.change, Change::Move { expected } if version != Some(expected));
            if moved || commit.outbox.iter().any(too_large) {
                return true;
            }
        }
        false
    }
}

#[async_trait]
impl Store for BrokenStore {
    async fn register(&self, definitions: &[DefinitionRef]) -> Result<(), StoreError> {
        self.registered.lock().unwrap().extend(definitions.iter().cloned());
        let registered = self.inner.register(definitions).await;
        if self.has(Flaw::RegistersAnything) { Ok(()) } else { registered }
    }

    async fn load(&self, sagas: &[SagaId]) -> Result<Loaded, StoreError> {
        self.inner.load(sagas).await
    }

    async fn commit(&self, batch: &[Commit], lease: Duration) -> Vec<Result<Committed, CommitError>> {
        if self.has(Flaw::FailsWholeBatches) && self.would_fail(batch).await {
            return batch.iter().map(|_| Err(CommitError::Rejected("one of the batch".into()))).collect();
        }
        let mut results = Vec::new();
        for (index, commit) in batch.iter().enumerate() {
            let stops = self.has(Flaw::StopsAtManyCommits) && index >= 256;
            results.push(match stops {
                true => Err(CommitError::Rejected("too many".into())),
                false => self.store(commit, self.lease(lease)).await,
            });
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
        let grace = if self.has(Flaw::GivesNoGrace) { Duration::MAX } else { grace };
        self.inner.due_timers(&self.known(known), self.limit(limit), self.lease(lease), grace).await
    }

    async fn hold(&self, replies: &[HeldReply]) -> Result<(), StoreError> {
        let mut replies = replies.to_vec();
        for reply in replies.iter_mut().filter(|_| self.has(Flaw::HoldsTwice)) {
            reply.id = HeldId(RandomIds.uuid());
        }
        self.inner.hold(&replies).await
    }

    async fn held(&self, known: &[DefinitionRef], limit: usize) -> Result<Vec<HeldReply>, StoreError> {
        self.inner.held(&self.known(known), self.limit(limit)).await
    }

    async fn drop_held(&self, replies: &[HeldId]) -> Result<(), StoreError> {
        if self.has(Flaw::NeverDropsHeld) { Ok(()) } else { self.inner.drop_held(replies).await }
    }

    async fn note_ended(&self, parents: &[SagaId]) -> Result<(), StoreError> {
        if self.has(Flaw::NeverNotesEnds) { Ok(()) } else { self.inner.note_ended(parents).await }
    }
}

#[async_trait]
impl Retire for BrokenStore {
    async fn note_participants(
        &self,
        participants: &[(DefinitionRef, Vec<ParticipantName>)],
    ) -> Result<(), StoreError> {
        let mut participants = participants.to_vec();
        participants.iter_mut().for_each(|(_, names)| names.truncate(self.limit_of_names()));
        self.inner.note_participants(&participants).await
    }

    async fn retire(&self, retiring: Retiring) -> Result<usize, StoreError> {
        if self.has(Flaw::RetiresUntold) {
            let known: Vec<_> =
                self.registered.lock().unwrap().iter().map(|known| (known.clone(), vec![])).collect();
            self.inner.note_participants(&known).await?;
        }
        let ended_for = if self.has(Flaw::RetiresEarly) { Duration::ZERO } else { retiring.ended_for };
        let archive = retiring.archive && !self.has(Flaw::NeverArchives);
        let limit = self.limit(retiring.limit);
        let horizon = if self.has(Flaw::NeedsNoHorizon) { Duration::ZERO } else { retiring.horizon };
        let retired = self.inner.retire(Retiring { ended_for, archive, horizon, limit }).await?;
        if self.has(Flaw::TellsTwice) {
            let rows = self.inner.claim(limit, Duration::ZERO).await?;
            let again = rows.into_iter().map(|row| OutboxRow { id: RandomIds.row(), ..row }).collect();
            self.write_rows(again).await;
        }
        Ok(retired)
    }
}

#[async_trait]
impl Outbox for BrokenStore {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError> {
        let mut rows = self.inner.claim(self.limit(limit), self.lease(lease)).await?;
        for row in rows.iter_mut().filter(|_| self.has(Flaw::DropsEmptyHeaders)) {
            let full = row.envelope.headers.iter().filter(|(_, value)| !value.is_empty());
            row.envelope.headers = full.map(|(name, value)| (name.to_owned(), value)).collect();
        }
        Ok(rows)
    }

    async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError> {
        if self.has(Flaw::DeletesTheFirst) {
            let first = self.inner.claim(rows.len(), Duration::ZERO).await?;
            let first: Vec<RowId> = first.iter().map(|row| row.id).collect();
            return self.inner.delete(&first).await;
        }
        self.inner.delete(rows).await
    }

    async fn postpone(&self, rows: &[RowId], after: Duration, why: &str) -> Result<(), StoreError> {
        match self.flaw {
            Flaw::PostponesForNoTime => self.inner.postpone(rows, Duration::ZERO, why).await,
            Flaw::DropsWhatItPostpones => self.inner.delete(rows).await,
            _ => self.inner.postpone(rows, after, why).await,
        }
    }

    async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError> {
        if self.has(Flaw::NeverSetsAside) { Ok(()) } else { self.inner.set_aside(rows).await }
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        if self.has(Flaw::ReportsNoHealth) { Ok(Backlog::default()) } else { self.inner.backlog().await }
    }
}

#[async_trait]
impl History for BrokenStore {
    async fn list(&self, filter: &SagaFilter, limit: usize) -> Result<Vec<SagaSummary>, StoreError> {
        let filter = match self.flaw {
            Flaw::IgnoresFilters => SagaFilter { after: filter.after, ..SagaFilter::default() },
            _ => filter.clone(),
        };
        let mut page = self.inner.list(&filter, self.limit(limit)).await?;
        if self.has(Flaw::ListsBackwards) {
            page.reverse();
        }
        Ok(page)
    }

    async fn show(&self, saga: SagaId) -> Result<Option<SagaDetails>, StoreError> {
        let mut shown = self.inner.show(saga).await?;
        if let Some(details) = &mut shown
            && self.has(Flaw::ShowsTheLastEntry)
        {
            details.journal.drain(..details.journal.len() - 1);
        }
        if let Some(details) = shown.as_mut().filter(|_| self.has(Flaw::HidesChildren)) {
            details.children.clear();
        }
        Ok(shown)
    }

    async fn workload(&self) -> Result<Workload, StoreError> {
        if self.has(Flaw::ReportsNoHealth) { Ok(Workload::default()) } else { self.inner.workload().await }
    }

    async fn holder(&self, name: &SagaName, key: &BusinessKey) -> Result<Option<SagaId>, StoreError> {
        if self.has(Flaw::FreesKeys) { Ok(None) } else { self.inner.holder(name, key).await }
    }

    async fn health(&self, known: &[DefinitionRef]) -> Result<StoreHealth, StoreError> {
        if self.has(Flaw::ReportsNoHealth) {
            Ok(StoreHealth::default())
        } else {
            self.inner.health(known).await
        }
    }
}

fn text(bytes: &Bytes) -> Bytes {
    String::from_utf8_lossy(bytes).into_owned().into()
}
