//! Waiting for sagas that other processes end, however many are awaited and whatever becomes of them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use saga_core::id::SagaId;
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::port::{Change, Commit, JournalEntry, Status, Store};
use saga_core::runtime::{Orchestrator, OutcomeError, Retention, SagaHandle, SagaOutcome};
use saga_core::{Definition, Saga, Signal, saga};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Errand;

impl Saga for Errand {
    const NAME: &'static str = "errand";
}

#[derive(Serialize, Deserialize)]
struct Go;

impl Signal<Errand> for Go {
    const NAME: &'static str = "go";

    fn deadline() -> Duration {
        Duration::from_secs(3600)
    }
}

fn waiting() -> Definition<Errand> {
    saga(1).wait::<Go>().build().unwrap()
}

/// Two orchestrators over one store: who waits, and who ends sagas and retires them at once, if it is to.
struct World {
    store: Arc<MemoryStore>,
    waits: Orchestrator<MemoryStore>,
    ends: Orchestrator<MemoryStore>,
}

impl World {
    async fn start(retention: Option<Retention>) -> Self {
        let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
        let builder = || {
            let replies = "errands.replies";
            Orchestrator::builder(store.clone(), Arc::new(transport.connect()), replies).register(&waiting())
        };
        let waits = builder().start().await.unwrap();
        let ends = retention.into_iter().fold(builder(), |builder, retention| builder.retention(retention));
        let ends = ends.start().await.unwrap();
        World { store, waits, ends }
    }

    /// A saga that somebody waits for, and that has been looked for.
    async fn awaited(&self) -> (SagaId, tokio::task::JoinHandle<Result<SagaOutcome<Errand>, OutcomeError>>) {
        let saga = self.ends.start(Errand).await.unwrap().id();
        let handle: SagaHandle<_, Errand> = self.waits.handle(saga);
        let outcome = tokio::spawn(async move { handle.outcome().await });
        tokio::time::sleep(Duration::from_secs(2)).await;
        (saga, outcome)
    }

    async fn end(&self, saga: SagaId) {
        self.ends.handle::<Errand>(saga).signal(Go).await.unwrap();
    }
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_saga_that_ends_elsewhere_is_heard_of_however_many_others_are_awaited() {
    let world = World::start(None).await;
    let mut others = Vec::new();
    for _ in 0..2_500 {
        let handle: SagaHandle<_, Errand> = world.waits.handle(world.ends.start(Errand).await.unwrap().id());
        others.push(tokio::spawn(async move { handle.outcome().await }));
    }
    let (saga, outcome) = world.awaited().await;
    world.end(saga).await;
    let outcome = tokio::time::timeout(SOON, outcome).await.expect("it is looked for").unwrap();
    assert!(matches!(outcome, Ok(SagaOutcome::Completed(_))), "{outcome:?}");
    assert!(others.iter().all(|other| !other.is_finished()));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_saga_that_cannot_be_read_is_told_so() {
    let world = World::start(None).await;
    let (saga, outcome) = world.awaited().await;
    let entry = JournalEntry { version: 2, event: "{}".into(), now: Default::default(), decision: "".into() };
    let unreadable = Commit {
        id: saga,
        change: Change::Move { expected: 1 },
        status: Status::Parked,
        state: "of another build".into(),
        data: "null".into(),
        parked: Some("it cannot be read".into()),
        journal: vec![entry],
        outbox: Vec::new(),
        timers: Vec::new(),
    };
    world.store.commit(&[unreadable], Duration::ZERO).await.remove(0).unwrap();
    let outcome = tokio::time::timeout(SOON, outcome).await.expect("it is told").unwrap();
    assert!(matches!(outcome, Err(OutcomeError::Unreadable(_))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_saga_that_was_deleted_meanwhile_is_told_so() {
    let world = World::start(Some(Retention::after(Duration::ZERO).without_archive())).await;
    let (saga, outcome) = world.awaited().await;
    world.end(saga).await;
    let outcome = tokio::time::timeout(SOON, outcome).await.expect("it is told").unwrap();
    assert!(matches!(outcome, Err(OutcomeError::NotFound(gone)) if gone == saga), "{outcome:?}");
}
